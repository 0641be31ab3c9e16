// Brings the book's explorers to life in a static page: no kernel, no network.
//
// The page carries the state of each widget, its ES module (`_esm`) and style (`_css`) included, as JSON written by
// the notebook's execution. What JupyterLab's widget manager would do with it is done here, for our own anywidgets.
// Heavy data lie in files of their own beside the page: see apart in book/_ext/coursebook.py.
(() => {
  // What an entry of the browser's history holds for an explorer: Sphinx's own script empties it when the page is read.
  const arrival = history.state;
  const NEAR = 1500; // pixels from the view
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

  // The part of anywidget's model interface that a module uses: get, set, on, off, save_changes.
  class Model {
    #state; #listeners = new Map();
    constructor(state) { this.#state = { ...state }; }
    get(key) { return this.#state[key]; }
    set(key, value) {
      if (JSON.stringify(this.#state[key]) === JSON.stringify(value)) return;
      this.#state[key] = value;
      for (const name of [`change:${key}`, "change"])
        for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(this, value);
    }
    on(name, listener) { this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]); }
    off(name, listener) {
      this.#listeners.set(name, listener ? (this.#listeners.get(name) ?? []).filter((one) => one !== listener) : []);
    }
    save_changes() {}
    send() {}
  }

  // Messages of the explorers' catalogue, as in prelude.js.
  let words = null;
  const say = (text, values = {}) => {
    words ??= JSON.parse(document.getElementById("explorer-words")?.textContent ?? "{}");
    return (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };

  class Missing extends Error {} // data, whose file it names

  // A file of data is a script, since a page that is a file itself may fetch nothing else.
  const files = new Map(); // name -> its data, on their way or there
  const lost = new Set(); // names of those that did not come
  function dataOf({ file, name }) {
    if (!files.has(name)) {
      const script = Object.assign(document.createElement("script"), { src: file });
      files.set(name, new Promise((resolve, reject) => {
        let there = false;
        const come = ({ detail }) => {
          if (detail.name !== name) return;
          there = true;
          resolve(detail.data);
        };
        const gone = () => {
          removeEventListener("explorer-data", come);
          script.remove();
          if (there) return;
          lost.add(name);
          reject(new Missing(file));
        };
        addEventListener("explorer-data", come);
        script.onload = script.onerror = gone;
      }));
      document.head.append(script);
    }
    return files.get(name);
  }

  async function show(place, record, again) {
    const focused = place.contains(document.activeElement); // the reader has asked for it
    const text = place.closest(".explorer-waits");
    try {
      const data = await Promise.all((record.apart ?? []).map(dataOf));
      const { _esm, _css, ...state } = Object.assign({}, record.state, ...data);
      const address = URL.createObjectURL(new Blob([_esm], { type: "text/javascript" }));
      const loaded = await import(address);
      URL.revokeObjectURL(address);
      const widget = typeof loaded.default === "function" ? await loaded.default() : loaded.default;
      const model = new Model(state);
      if (_css && ![...document.querySelectorAll("style[data-explorer]")].some((one) => one.textContent === _css)) {
        const style = Object.assign(document.createElement("style"), { textContent: _css });
        style.dataset.explorer = "";
        document.head.append(style);
      }
      await widget.initialize?.({ model });
      await widget.render({ model, el: place });
      text?.classList.remove("explorer-waits");
    } catch (error) {
      place.replaceChildren(paragraph(say("This explorer could not start ({reason}).", { reason: error.message })));
      if (error instanceof Missing) offer(place, focused, again);
      console.error(error);
    }
  }

  const paragraph = (text) => Object.assign(document.createElement("p"), { role: "status", textContent: text });

  // Data that did not come may come when they are asked for once more: by the reader, or because the line is back.
  function offer(place, focused, again) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: say("Try again") });
    const ask = () => {
      removeEventListener("online", ask);
      place.tabIndex = -1; // keeps the focus, which the button had
      if (place.contains(document.activeElement)) place.focus({ preventScroll: true });
      place.replaceChildren(paragraph(say("The data of this explorer are being loaded.")));
      again();
    };
    button.addEventListener("click", ask);
    addEventListener("online", ask);
    place.append(button);
    if (focused) button.focus({ preventScroll: true });
  }

  // One after the other, so that none holds up the page for longer than itself: those in view first, further ones when
  // there is nothing else to do. Data are asked for when their explorer comes near the view, and it waits for its turn until
  // they have come: on a slow line it holds up no other.
  function inTurn(all) {
    const idle = (next) => (globalThis.requestIdleCallback ? requestIdleCallback(next, { timeout: 1000 }) : setTimeout(next, 50));
    const nearest = ([, one]) => (one.near ? 0 : 1);
    const waiting = new Map(all.map(({ place, record }) => [place, { record, near: false, asked: !record.apart, ready: !record.apart }]));
    const enqueue = (place, record) => { // anew, and with it what did not come
      for (const { name } of record.apart) if (lost.delete(name)) files.delete(name);
      waiting.set(place, { record, near: true, asked: false, ready: false });
      approach(waiting.get(place));
    };
    let busy = false;
    const next = async () => {
      const ready = [...waiting].filter(([, one]) => one.ready).sort((one, other) => nearest(one) - nearest(other));
      if (busy || !ready.length) return;
      busy = true;
      const [place, { record, near }] = ready[0];
      await new Promise((turn) => (near ? setTimeout(turn) : idle(turn)));
      watch.unobserve(place);
      waiting.delete(place);
      await show(place, record, () => enqueue(place, record));
      busy = false;
      next();
    };
    const approach = (one) => {
      one.near = true;
      if (one.asked) return;
      one.asked = true;
      Promise.allSettled(one.record.apart.map(dataOf)).then(() => { // data that are missing, too: `show` says so
        one.ready = true;
        next();
      });
    };
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const one = waiting.get(target);
        if (one && isIntersecting) approach(one);
        else if (one) one.near = false;
      }
      next();
    }, { rootMargin: `${NEAR}px` });
    for (const place of waiting.keys()) watch.observe(place);
    // Paper has no view to come near to.
    addEventListener("beforeprint", () => {
      for (const one of waiting.values()) approach(one);
      next();
    });
  }

  function start() {
    const entry = { ...arrival, ...history.state };
    if (arrival && JSON.stringify(entry) !== JSON.stringify(history.state))
      try { history.replaceState(entry, ""); } catch { /* not allowed here */ }
    const records = {}, all = [];
    for (const script of document.querySelectorAll(STATE)) {
      const { state, shared = {} } = JSON.parse(script.textContent);
      // The book's pages have what all modules and styles begin with once: see said_once in book/_ext/coursebook.py.
      for (const record of Object.values(state))
        if ("_esm" in record.state) for (const [name, start] of Object.entries(shared)) record.state[name] = start + record.state[name];
      Object.assign(records, state);
    }
    for (const script of document.querySelectorAll(VIEW)) {
      const record = records[JSON.parse(script.textContent).model_id];
      if (!record?.state?._esm || script.dataset.shown) continue; // this file may be on a page twice
      script.dataset.shown = "yes";
      const place = Object.assign(document.createElement("div"), { className: "explorer-place" });
      script.after(place);
      place.closest(".cell_output")?.classList.add("explorer-waits"); // until then its text stands in for it
      all.push({ place, record });
    }
    inTurn(all);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
