// Questions whose wrong answers are known mistakes; what a reader chose stays in the reader's own browser.

const KEY = "casestudies.questions", RIGHT = "right";

// question -> { first, now }: the first and the latest choice. A browser that keeps nothing, or no more, keeps it until
// the page goes.
let unkept = {}, refused = false, allowed = null;
// A browser may forbid to store anything: then book/_ext/storage.js lends its pages a storage that goes with them. It is
// tried once, since other tabs hear of each try.
const keeps = () => {
  try {
    if (allowed === null) {
      allowed = false;
      localStorage.setItem(`${KEY}?`, "");
      localStorage.removeItem(`${KEY}?`);
      allowed = !localStorage.lent;
    }
  } catch { /* not here */ }
  return allowed && !refused;
};
function kept() {
  if (refused) return unkept;
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return found && typeof found === "object" && !Array.isArray(found) ? found : {}; // others may have written there
  } catch { return unkept; }
}
function keep(record) {
  unkept = record;
  try {
    if (Object.keys(record).length) localStorage.setItem(KEY, JSON.stringify(record));
    else localStorage.removeItem(KEY);
    refused = false;
  } catch { refused = true; }
  dispatchEvent(new Event("casestudies-answers"));
}

// What may be chosen: what a browser has kept may be of another edition, or from anybody.
const idsOf = (one) => one.choices.map((choice) => choice.mistake || RIGHT);

function card(model, one, index) {
  const id = `question-${Date.now().toString(36)}-${++explorerCount}`;
  const why = element("p", { class: "x-why", role: "status", hidden: true });
  const choose = (value) => {
    model.set("chosen", { ...model.get("chosen"), [one.name]: value });
    model.save_changes();
    const record = kept(), name = `${one.chapter}/${one.name}`;
    const first = idsOf(one).includes(record[name]?.first) ? record[name].first : value;
    keep({ ...record, [name]: { first, now: value } });
  };
  const inputs = one.choices.map((choice) => element("label", { class: "x-answer" },
    element("input", { type: "radio", name: id, value: choice.mistake || RIGHT, "data-key": one.name, onchange: () => choose(choice.mistake || RIGHT) }),
    element("span", {}, ...whole(told(choice.text)))));
  const root = element("fieldset", { class: "x-question x-wide" }, element("legend", {}, ...whole(`${index + 1}. ${say(one.stem)}`)),
    element("div", { class: "x-answers" }, ...inputs), why);
  const show = () => {
    const value = model.get("chosen")[one.name];
    for (const label of inputs) {
      label.firstChild.checked = label.firstChild.value === value;
      label.classList.toggle("x-good", label.firstChild.checked && value === RIGHT);
      label.classList.toggle("x-bad", label.firstChild.checked && value !== RIGHT);
    }
    const mistake = one.choices.find((choice) => choice.mistake === value), said = value === RIGHT ? say("Right.") : mistake ? `${say("Not this one.")} ${say(mistake.why)}` : "";
    why.hidden = !said;
    why.classList.toggle("x-wrong", Boolean(mistake));
    if (why.dataset.said !== said) {
      why.dataset.said = said;
      why.replaceChildren(...coded(said), ...(mistake && isStatic() ? [" ", element("a", { href: one.see }, say("Read it again"))] : []));
    }
  };
  return { key: "chosen", root, show };
}

function cards(model, el) {
  const names = new Set(model.get("questions").map((one) => one.name)), chapter = model.get("chapter");
  const restore = () => { // from this browser; with a kernel, Python's state is what counts
    const record = kept(), chosen = {};
    for (const one of model.get("questions")) {
      const now = record[`${chapter}/${one.name}`]?.now;
      if (idsOf(one).includes(now)) chosen[one.name] = now;
    }
    model.set("chosen", chosen);
  };
  const again = () => {
    model.set("chosen", {});
    model.save_changes();
    keep(Object.fromEntries(Object.entries(kept()).filter(([id]) => !(id.startsWith(`${chapter}/`) && names.has(id.slice(chapter.length + 1))))));
  };
  if (isStatic()) {
    restore();
    addEventListener("casestudies-answers", restore);
    addEventListener("storage", restore);
  }
  const hint = () => say(keeps() ? mark("Each wrong answer is a mistake that people make. Your answers stay in this browser.")
    : mark("Each wrong answer is a mistake that people make. This browser stores nothing: your answers stay until you leave this page."));
  const stop = explorer(model, el, {
    title: say("Questions"),
    hint: hint(),
    keys: ["questions"],
    controls: [...model.get("questions").map((one, index) => () => card(model, one, index)),
      () => ({ key: "chosen", show: () => {}, root: element("div", { class: "x-wide" }, element("button", { type: "button", onclick: again }, say("start again"))) })],
    update({ questions, chosen }) {
      const answers = Object.values(chosen);
      return { hint: hint(), sentence: say("{answered} of {questions} answered, {right} of them correctly.",
        { answered: answers.length, questions: plural(questions.length, "question"), right: answers.filter((one) => one === RIGHT).length }) };
    },
  });
  return () => {
    stop();
    removeEventListener("casestudies-answers", restore);
    removeEventListener("storage", restore);
  };
}

function progress(model, el) {
  const offered = new Map(Object.entries(model.get("chapters")).flatMap(([chapter, all]) => Object.entries(all).map(([name, ids]) => [`${chapter}/${name}`, ids])));
  const count = (all, record, test) => all.filter((id) => offered.get(id).includes(record[id]?.now) && test(record[id])).length;
  let turn = 0;
  const refresh = () => { // the figures are the browser's, not the model's
    el.firstChild && model.set("view", `progress ${++turn}`);
  };
  const hint = () => say(keeps() ? mark("What this browser keeps of your answers. Nothing of it leaves your computer.")
    : mark("This browser stores nothing: your answers go when you leave the page on which you gave them."));
  const stop = explorer(model, el, {
    title: say("Your answers"),
    hint: hint(),
    keys: ["view"],
    controls: [() => ({ key: "chapters", show: () => {}, root: element("div", { class: "x-wide" },
      element("button", { type: "button", onclick: () => keep({}) }, say("forget all my answers"))) })],
    update({ chapters }) {
      const record = kept(), all = [...offered.keys()];
      const answered = count(all, record, () => true);
      const row = (label, ids) => [label, ids.length, count(ids, record, () => true), count(ids, record, (one) => one.first === RIGHT), count(ids, record, (one) => one.now === RIGHT)];
      const link = (chapter) => (isStatic() ? element("a", { href: `${chapter}.html#check-yourself` }, chapter) : chapter);
      return {
        hint: hint(),
        sentence: answered
          ? say("{answered} of {all} questions answered, {right} of them correctly on the first try.",
            { answered, all: all.length, right: count(all, record, (one) => one.first === RIGHT) })
          : say("None of the {all} questions has been answered in this browser, or it keeps nothing.", { all: all.length }),
        table: { head: [say("Chapter"), say("Questions"), say("Answered"), say("Right at once"), say("Right by now")],
          rows: Object.keys(chapters).map((chapter) => row(link(chapter), all.filter((id) => id.startsWith(`${chapter}/`)))), foot: row(say("all"), all) },
      };
    },
  });
  addEventListener("casestudies-answers", refresh);
  addEventListener("storage", refresh);
  return () => {
    stop();
    removeEventListener("casestudies-answers", refresh);
    removeEventListener("storage", refresh);
  };
}

export default {
  render: speaking(({ model, el }) => (model.get("view") === "questions" ? cards : progress)(model, el)),
};
