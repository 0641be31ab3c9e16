// Brings the book's explorers to life in a static page: no kernel, no network.
//
// The page carries the state of each widget, its ES module (`_esm`) and style (`_css`) included, as JSON written by
// the notebook's execution. What JupyterLab's widget manager would do with it is done here, for our own anywidgets.
(() => {
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

  async function show(script, record) {
    if (script.dataset.shown) return; // this file may be on a page twice
    script.dataset.shown = "yes";
    const place = document.createElement("div");
    place.className = "explorer-place";
    script.after(place);
    try {
      const { _esm, _css, ...state } = record.state;
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
    } catch (error) {
      const korean = document.documentElement.lang === "ko";
      place.textContent = korean
        ? `탐색기를 시작하지 못했습니다(${error.message}).`
        : `This explorer could not start (${error.message}).`;
      console.error(error);
    }
  }

  function start() {
    const records = {};
    for (const script of document.querySelectorAll(STATE)) {
      const { state, shared = {} } = JSON.parse(script.textContent);
      // The book's pages have what all modules and styles begin with once: see said_once in book/_ext/coursebook.py.
      for (const record of Object.values(state))
        if ("_esm" in record.state) for (const [name, start] of Object.entries(shared)) record.state[name] = start + record.state[name];
      Object.assign(records, state);
    }
    for (const script of document.querySelectorAll(VIEW)) {
      const record = records[JSON.parse(script.textContent).model_id];
      if (record?.state?._esm) show(script, record);
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
