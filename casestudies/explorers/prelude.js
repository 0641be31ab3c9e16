// Shared by all explorers: put in front of each one's module, so that every widget is one self-contained ES module.
// `explorer` builds controls from a description, keeps them and the model in step, and redraws on every change.

const element = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

// What an explorer says goes through `say`, whose texts are the messages of a catalogue: `book/_ext/catalogues.py` reads
// them here. `mark` is for a text that is said later, `noun` for one that `plural` counts. The words of another language
// come with the page, or with the kernel's model; what has none is English.
let words = {};
const mark = (text) => text, noun = (text) => text;
const say = (text, values = {}) => filled(words[text] ?? text, values, text in words);

// A renderer that speaks the language of the page or of the kernel.
const speaking = (render) => (view) => {
  const page = document.getElementById("explorer-words");
  words = view.model.get("messages") ?? (page ? JSON.parse(page.textContent) : {});
  // A notebook that is stored, as in the book's cache, has its keys sorted: `orders` has them as they were.
  for (const [path, keys] of Object.entries(view.model.get("orders") ?? {})) {
    const object = path.split("/").slice(1).reduce((found, key) => found?.[key], view.model.get(path.split("/")[0]));
    if (object && keys.every((key) => key in object)) for (const key of keys) {
      const value = object[key];
      delete object[key];
      object[key] = value;
    }
  }
  return render(view);
};

// The same as in casestudies/language.py: values in their places, and behind them the particle that fits.
const PARTICLES = [["은", "는"], ["이", "가"], ["을", "를"], ["과", "와"], ["으로", "로"], ["이라", "라"]];
const BOTH = { "은(는)": 0, "는(은)": 0, "이(가)": 1, "가(이)": 1, "을(를)": 2, "를(을)": 2, "과(와)": 3, "와(과)": 3, "(으)로": 4, "으로(로)": 4, "(이)라": 5 };
const AFTER = /(은\(는\)|는\(은\)|이\(가\)|가\(이\)|을\(를\)|를\(을\)|과\(와\)|와\(과\)|\(으\)로|으로\(로\)|\(이\)라|(?:은|는|이|가|을|를|과|와|으로|로)(?![가-힣]))?/;
function filled(text, values, translated) {
  const place = new RegExp(`\\{(\\w+)\\}${translated ? AFTER.source : "()"}`, "g");
  return text.replace(place, (whole, name, particle = "") =>
    name in values ? `${values[name]}${particle && fitting(String(values[name]), particle)}` : whole);
}
function fitting(value, particle) {
  const pair = PARTICLES[BOTH[particle] ?? PARTICLES.findIndex((both) => both.includes(particle))];
  const [closed, liquid] = ending(value);
  return closed && !(liquid && pair[1] === "로") ? pair[0] : pair[1];
}
// Whether what is read last ends in a consonant, and whether that is ㄹ.
function ending(value) {
  const said = value.replace(/\s*\([^()]*\)\s*$/, "").replace(/[\s"'”’)\]}»*`]+$/, ""), last = said.at(-1) ?? "";
  if (/[가-힣]/.test(last)) return [(last.charCodeAt(0) - 0xac00) % 28 > 0, (last.charCodeAt(0) - 0xac00) % 28 === 8];
  if (/[0-9]/.test(last)) return ["013678".includes(last), "178".includes(last)];
  if (/[A-Z]/.test(last) && !/[a-z][A-Z]$/.test(said)) return ["LMNR".includes(last), "LR".includes(last)];
  if (/[A-Za-z]/.test(last)) return ["bcgklmnpt".includes(last.toLowerCase()), last.toLowerCase() === "l"];
  return [last === "²" || last === "³", false];
}

// A text that was computed elsewhere, with numbers in it: its message has {1}, {2} in their places.
function told(text) {
  const core = text.trim().replace(/\s+/g, " ");
  if (words[core]) return text.replace(text.trim(), words[core]);
  const numbers = [], names = [...core.matchAll(NAMED)].map((one) => [one.index, one.index + one[0].length]);
  const key = core.replace(NUMBER, (number, ...rest) => {
    const at = rest.find((one) => typeof one === "number");
    return names.some(([from, to]) => from <= at && at < to) ? number : `{${numbers.push(number)}}`;
  });
  return words[key] ? text.replace(text.trim(), () => filled(words[key], Object.fromEntries(numbers.map((one, i) => [i + 1, one])), true)) : text;
}
const NAMED = /(?<![\w.])(?=[\w.+/-]*[A-Za-z])(?=[\w.+/-]*\d)[A-Za-z0-9](?:[\w.+/-]*[\w+])?/g;
const NUMBER = /(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?/g;

// As toLocaleString("en-US"), which takes a frame when it is called first.
const grouped = (number) => {
  const [whole, rest] = String(typeof number === "bigint" ? number : Number(number.toFixed(3))).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
};
// Three significant digits, for labels: 120,422,400 -> "120 M".
function short(number) {
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]])
    if (number >= size) return `${Number((number / size).toPrecision(3))} ${unit}`;
  return String(Number(number.toPrecision(3)));
}
const fixed = (number, digits) => number.toFixed(digits).replace(/^-(0\.?0*)$/, "$1"); // 0.000, never -0.000
const square = (size) => `${size} × ${size}`;
// A text as nodes: a number keeps its unit beside it where the line breaks, and a name its number; powers are raised.
const MEASURED = /((?:\d[\d.,]* )?× \d[\d.,]*(?: × \d[\d.,]*)*|\d[\d.,]* (?:%|[kMGT]?B(?![A-Za-z])|[kMGT](?![A-Za-z]))|\p{L}+-\d+|\^φ)/u;
const whole = (text) => text.split(MEASURED).map((part, i) => i % 2 === 0 ? part
  : part === "^φ" ? [element("span", { class: "x-hidden" }, "^"), element("sup", {}, "φ")] : element("span", { class: "x-whole" }, part)).flat();
// The same with its `words of a program` as code.
const coded = (text) => text.split("`").flatMap((part, i) => (i % 2 ? element("code", {}, part) : whole(part)));
const plural = (count, name) => {
  const many = `{count} ${name}s`;
  return say(many in words || Number(count) !== 1 ? many : `{count} ${name}`, { count: grouped(count) });
};

let explorerCount = 0; // makes ids unique on a page with several explorers

function fieldset(label, choices, wide) {
  return element("fieldset", { class: wide ? "x-choice x-wide" : "x-choice" },
    element("legend", {}, label), element("div", { class: "x-options" }, ...choices));
}

function control(model, spec, problem) {
  const { key, label, options, min, step = 1, steps } = spec;
  let { max } = spec; // `limit` can lower it as other settings change
  const id = `explorer-${Date.now().toString(36)}-${++explorerCount}`;
  const save = (value) => { // `also`: what else a choice settles
    together(() => { for (const [name, chosen] of Object.entries({ [key]: value, ...spec.also?.(value) })) model.set(name, chosen); });
    model.save_changes();
  };
  if (spec.many) { // any number of choices, kept as a list
    const boxes = spec.many.map(([value, text]) =>
      element("label", { class: "x-radio" },
        element("input", { type: "checkbox", value, "data-key": key,
          onchange: () => save(spec.many.map(([one]) => one).filter((_, i) => boxes[i].firstChild.checked)) }),
        element("span", {}, text)));
    const show = () => boxes.forEach((box, i) => (box.firstChild.checked = model.get(key).includes(spec.many[i][0])));
    return { root: fieldset(label, boxes, true), show };
  }
  if (options && spec.kind !== "select") {
    const radios = options.map(([value, text]) =>
      element("label", { class: "x-radio" },
        element("input", { type: "radio", name: id, value, "data-key": key, onchange: () => save(value) }), element("span", {}, text)));
    const long = options.length > 2 || options.map(([, text]) => text).join("").length > 20; // too long for half a row
    const root = fieldset(label, radios, long);
    const show = () => radios.forEach((radio) => (radio.firstChild.checked = radio.firstChild.value === model.get(key)));
    return { root, show };
  }
  if (options) {
    const choices = options.map(([value, text]) => element("option", { value }, text));
    const select = element("select", { id, "data-key": key, onchange: () => save(select.value) }, ...choices);
    return {
      root: element("div", { class: options.some(([, text]) => text.length > 24) ? "x-control x-wide" : "x-control" }, element("label", { for: id }, label), select),
      show: () => (select.value = model.get(key)),
    };
  }
  if (spec.kind === "check") {
    const box = element("input", { type: "checkbox", id, "data-key": key, onchange: () => save(box.checked) });
    return {
      root: element("div", { class: "x-check" }, box, element("label", { for: id }, label)),
      show: () => (box.checked = model.get(key)),
    };
  }
  // A number: a slider to play with and a box to type into. `steps` spaces the slider's stops unevenly.
  const slider = element("input", {
    type: "range", id: `${id}-slider`, "aria-label": label, "data-slider": key,
    min: steps ? 0 : min, max: steps ? steps.length - 1 : max, step: steps ? 1 : step,
    oninput: () => save(steps ? steps[slider.value] : Number(slider.value)),
  });
  const fits = (value) => box.value !== "" && value >= min && value <= max && (step % 1 !== 0 || (value - min) % step === 0);
  const expected = step % 1 ? mark("{label}: a number from {least} to {most}.")
    : step === 2 ? mark("{label}: an odd number from {least} to {most}.") : mark("{label}: a whole number from {least} to {most}.");
  const typed = () => {
    const value = Number(box.value);
    const ok = fits(value);
    problem(key, ok ? null : say(expected, { label, least: grouped(min), most: grouped(max) }));
    if (ok) save(value);
  };
  const settle = () => { // leaving a box with an impossible entry puts the last possible one back
    box.value = model.get(key);
    problem(key, null);
  };
  const box = element("input", {
    type: "number", id, "data-key": key, min, max, step: step % 1 ? "any" : step, inputmode: step % 1 ? "decimal" : "numeric",
    oninput: typed, onchange: settle, onblur: settle,
  });
  const nearest = (value) =>
    steps.reduce((best, stop, i) => (Math.abs(stop - value) < Math.abs(steps[best] - value) ? i : best), 0);
  const show = (state) => {
    if (spec.limit && state) slider.max = box.max = max = spec.limit(state);
    const value = model.get(key);
    const typing = document.activeElement === box && !fits(Number(box.value));
    if (!typing && (box.value === "" || Number(box.value) !== value)) box.value = value; // never write over what is being typed
    box.setAttribute("aria-invalid", String(typing));
    slider.value = steps ? nearest(value) : value;
    slider.setAttribute("aria-valuetext", String(value));
  };
  return { root: element("div", { class: "x-control" }, element("label", { for: id }, label), slider, box), show };
}

// A region's name, once on the page: of two explorers of one kind the second has a number.
function landmark(name) {
  const taken = [...document.querySelectorAll(".explorer [role=region]")].map((one) => one.getAttribute("aria-label"));
  let count = 1;
  while (taken.includes(count > 1 ? `${name} (${count})` : name)) count++;
  return count > 1 ? `${name} (${count})` : name;
}

// Settings that change together: what shows them is redrawn once, and says what it says once.
let held = 0;
const waiting = new Set();
function together(change) {
  held++;
  try { change(); } finally {
    held--;
    if (!held) {
      const all = [...waiting];
      waiting.clear();
      for (const redraw of all) redraw();
    }
  }
}

// Tells a box that scrolls up and down whether there is more above and below what it shows, for a shadow on that side.
// Its size and its content's are told after each layout: to ask would be another one.
function edges(box, content) {
  const look = () => {
    box.classList.toggle("x-above", box.scrollTop > 1);
    box.classList.toggle("x-below", box.scrollTop + box.clientHeight < box.scrollHeight - 1);
  };
  const observer = new ResizeObserver(look);
  for (const node of [box, content]) observer.observe(node);
  box.addEventListener("scroll", look, { passive: true });
  return () => observer.disconnect();
}

// spec: title, hint, keys (what is read from the model), controls, presets [[name, settings]], and
// update(state, model, redraw) -> { sentence, impossible, draw(width) -> node, table: { head, rows, foot }, hint }; `busy` says
// that the figures are on their way: `redraw` is called when they have come; `quiet`, that they change by themselves.
function explorer(model, el, spec) {
  const problems = new Map();
  const note = (key, text) => {
    if (!text && !problems.has(key)) return;
    if (text) problems.set(key, text);
    else problems.delete(key);
    redraw();
  };
  // A control is a description, or a function that builds its own { key, root, show }.
  const controls = spec.controls.map((item) =>
    typeof item === "function" ? item(model) : { ...item, ...control(model, item, note) });
  const presets = (spec.presets ?? []).map(([name, settings]) =>
    element("button", { type: "button", onclick: () => {
      problems.clear();
      together(() => { for (const [key, value] of Object.entries(settings)) model.set(key, value); });
      model.save_changes();
    } }, name));
  const stage = element("div", { class: "x-stage" });
  const result = element("p", { class: "x-result", role: "status", "aria-live": "polite" });
  const table = element("div", { class: "x-table", tabindex: "0", role: "region", "aria-label": landmark(say("{title}: figures", { title: spec.title })) });
  const caption = element("p", { class: "x-caption" }), hint = spec.hint ? element("p", { class: "x-hint" }, ...whole(spec.hint)) : null;
  // JupyterLab listens on the document and would take plain keys, arrows above all, for commands of its own.
  const keep = (event) => {
    if (!(event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape")) event.stopPropagation();
  };
  const root = element("div", { class: "explorer", role: "group", "aria-label": spec.title, onkeydown: keep },
    element("p", { class: "x-title" }, spec.title),
    hint,
    presets.length ? element("div", { class: "x-presets", role: "group", "aria-label": say("Examples") }, ...presets) : null,
    element("div", { class: "x-controls" }, ...controls.map((item) => item.root)),
    result, stage, caption, table);
  el.replaceChildren(root);

  const keys = [...new Set([...controls.map((item) => item.key), ...(spec.keys ?? [])])];
  const figures = tabulator((unfinished) => table.setAttribute("aria-busy", String(unfinished)));
  let drawn = null, frame = 0, room = 0; // as wide as the stage was last: to ask would have the page laid out
  const paint = () => {
    frame = 0;
    const width = Math.floor(room || stage.clientWidth || 640);
    const point = document.activeElement?.closest?.("[data-point]");
    const focused = stage.contains(point) ? point.dataset.point : null; // drawn anew, it keeps the focus
    const nodes = drawn?.draw ? [drawn.draw(Math.max(width, 240))].flat() : [];
    // A drawing that keeps its nodes keeps the pointer and the focus in them, too.
    if (nodes.length !== stage.children.length || nodes.some((node, i) => node !== stage.children[i])) stage.replaceChildren(...nodes);
    if (focused) stage.querySelector(`[data-point="${focused}"]`)?.focus({ preventScroll: true });
  };
  function redraw() {
    if (held) return waiting.add(redraw);
    const state = Object.fromEntries(keys.map((key) => [key, model.get(key)]));
    (spec.presets ?? []).forEach(([, settings], i) => { // the example in use
      const now = Object.entries(settings).every(([key, value]) => JSON.stringify(model.get(key)) === JSON.stringify(value));
      if (now) presets[i].setAttribute("aria-current", "true");
      else presets[i].removeAttribute("aria-current");
    });
    for (const item of controls) {
      item.show(state);
      if (item.when) item.root.hidden = !item.when(state);
    }
    const problem = [...problems.values()][0];
    drawn = problem ? { sentence: problem, impossible: true } : spec.update(state, model, redraw);
    if (result.textContent !== drawn.sentence) result.replaceChildren(...whole(drawn.sentence));
    if (drawn.hint && hint.textContent !== drawn.hint) hint.replaceChildren(...whole(drawn.hint));
    root.classList.toggle("x-impossible", Boolean(drawn.impossible));
    root.setAttribute("aria-busy", String(Boolean(drawn.busy)));
    result.setAttribute("aria-live", drawn.quiet ? "off" : "polite"); // what changes by itself is not read aloud
    if (drawn.table) figures.show(drawn.table);
    if (drawn.table && !table.firstChild) table.append(figures.root);
    caption.replaceChildren(...whole(drawn.table?.caption ?? ""));
    table.hidden = !drawn.table;
    caption.hidden = !caption.textContent;
    frame ||= requestAnimationFrame(paint); // the drawing once a frame, however many settings changed
  }
  for (const key of keys) model.on(`change:${key}`, redraw);
  redraw();
  paint();
  const observer = new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === room) return; // higher or lower by what was painted just now
    room = contentRect.width;
    paint();
  });
  observer.observe(stage);
  const stopEdges = edges(table, figures.root);
  const stopTheme = onTheme(() => (frame ||= requestAnimationFrame(paint)));
  addEventListener("beforeprint", paint); // a dark page has turned light for it, and there is no frame before
  return () => {
    observer.disconnect();
    stopEdges();
    stopTheme();
    removeEventListener("beforeprint", paint);
    for (const item of controls) item.stop?.();
    figures.stop();
    cancelAnimationFrame(frame);
    for (const key of keys) model.off(`change:${key}`, redraw);
  };
}

// A table whose rows are made anew only where they have changed. It may have hundreds of them: what is not ready within
// half a frame follows in further tasks, and `tell` says whether something is still to come. A cell is a number, a text,
// nodes, or { name, more }: a text with a small one behind it. A column of figures, the first one aside, stands to the
// right, so that their points lie below each other, however they come.
const PATIENCE = 6; // milliseconds
const FIGURE = /^(?:[\d.,]+ → )?-?\d[\d.,]*(?: × [\d.,]+)*(?: ?(?:%|[kMGT]?B|[kMGT]))?$/;
const figured = (cell) => typeof cell === "number" || (typeof cell === "string" && FIGURE.test(cell));
function columnsOfFigures(rows, count) {
  const some = rows.slice(0, 50).map((row) => row.cells ?? row);
  return [...Array(count).keys()].map((column) => {
    const said = some.map((row) => row[column]).filter((cell) => cell !== "" && cell !== "–");
    return column > 0 && said.filter(figured).length > said.length / 2;
  });
}
function tabulator(tell = () => {}) {
  const head = element("thead"), body = element("tbody"), foot = element("tfoot"), keys = [], ends = {};
  let waits = 0, numeric = [];
  const parts = (cell) => typeof cell === "number" ? [grouped(cell)] : typeof cell === "string" ? whole(cell)
    : cell?.more != null ? [cell.name, cell.more ? element("small", {}, cell.more) : null] : [cell].flat();
  const cells = (tag, row) => row.map((cell, column) =>
    cell === "" ? element("td") : element(tag === "td" && column === 0 ? "th" : tag, // nothing is the heading of nothing
      { scope: tag === "th" ? "col" : column === 0 ? "row" : null, class: [numeric[column] && "x-number", cell?.length > (tag === "th" ? 16 : 24) && !(numeric[column] && tag === "td") && "x-long"].filter(Boolean).join(" ") || null }, ...parts(cell)));
  const keyOf = (row) => JSON.stringify(row, (_, value) => value?.outerHTML ?? value);
  const line = (row, index, more) => {
    const key = keyOf(row);
    if (keys[index] === key) return;
    keys[index] = key;
    const made = element("tr", { class: row.class }, ...cells("td", row.cells ?? row));
    if (index < body.children.length) body.children[index].replaceWith(made);
    else more.append(made);
  };
  const end = (part, row) => {
    const key = keyOf([row, numeric]);
    if (ends[part.tagName] === key) return;
    ends[part.tagName] = key;
    part.replaceChildren(...(row ? [element("tr", {}, ...cells(part === head ? "th" : "td", row))] : []));
  };
  function show(table) {
    clearTimeout(waits);
    const { rows } = table;
    const before = String(numeric);
    numeric = columnsOfFigures(rows, table.head.length);
    if (String(numeric) !== before) keys.fill(null);
    end(head, table.head);
    end(foot, table.foot);
    while (body.children.length > rows.length) body.lastChild.remove();
    keys.length = body.children.length;
    const more = document.createDocumentFragment(); // each time that rows come, the whole table is laid out anew
    let next = 0;
    const go = () => {
      const first = next === 0, until = performance.now() + PATIENCE;
      while (next < rows.length && (next % 8 || performance.now() < until)) line(rows[next], next++, more);
      waits = next < rows.length ? setTimeout(go) : 0;
      if (first || !waits) body.append(more);
      tell(Boolean(waits));
    };
    go();
  }
  return { root: element("table", {}, head, body, foot), show, stop: () => clearTimeout(waits) };
}

const picture = (width, height, label, ...children) =>
  shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...children);
const text = (x, y, content, attributes = {}) => shape("text", { x, y, ...attributes }, content);
// About how wide a label is, in 12 or (bold) 13 pixels: letters of Hangul are as wide as they are high.
const labelWidth = (name, bold) => [...name].reduce((sum, letter) => sum + (/[\u1100-\u11ff\u3130-\u318f가-힣]/.test(letter) ? 13 : bold ? 8.5 : 7), 0);
// The lines of a label: two of about the same width where one might not have the room, should a reader space its letters.
function inLines(name, room) {
  const all = name.split(" ");
  if (1.35 * labelWidth(name) <= room || all.length < 2) return [name];
  const ways = all.slice(1).map((_, i) => [all.slice(0, i + 1).join(" "), all.slice(i + 1).join(" ")]);
  const longest = (lines) => Math.max(...lines.map((line) => labelWidth(line)));
  return ways.reduce((best, way) => (longest(way) < longest(best) ? way : best));
}
// A legend: names behind samples of their colours, from `left` on and in further lines where there is no room. What has
// dashes (none: null) is a line, and told from others by them, too. Gives its nodes, and where its last line stands.
function legend(width, left, y, items) {
  let x = left;
  const nodes = items.flatMap(([name, colour, dashes, thick = 2.2]) => {
    const sample = dashes === undefined ? 12 : 26, wide = sample + 6 + labelWidth(name, true); // with room for readers who space letters
    if (x > left && x + wide > width) [x, y] = [left, y + 18];
    const at = x;
    x += wide + 12;
    return [dashes === undefined ? shape("rect", { class: "x-sample", x: at, y: y - 10, width: 12, height: 12, fill: colour })
      : shape("path", { class: "x-sample", d: `M${at} ${y - 4}h26`, fill: "none", stroke: colour, "stroke-width": thick, "stroke-dasharray": dashes }),
    text(at + sample + 6, y, name)];
  });
  return [nodes, y];
}
// The colours have names: those of layers, and where a colour has a meaning in the course, the networks that share it.
const ROLES = { conv: mark("convolution"), depthwise: mark("depthwise"), pointwise: mark("pointwise"), linear: mark("linear"), pool: mark("pool") };
const roles = (rows) => Object.keys(ROLES).filter((role) => rows.some((row) => row.role === role)).map((role) => [say(ROLES[role]), `var(--x-${role})`]);
const FAMILY_ROLES = { "LeNet-5": "norm", AlexNet: "linear", VGG: "plain", NiN: "pointwise", GoogLeNet: "activation", ResNet: "residual",
  MobileNetV1: "depthwise", MobileNetV2: "depthwise", EfficientNet: "skip" };
const familyColour = ({ family }) => `var(--x-${FAMILY_ROLES[family] ?? "soft"})`;
function families(networks) {
  const found = {};
  for (const one of networks) (found[familyColour(one)] ??= new Set()).add(one.family);
  return Object.entries(found).map(([colour, names]) => [[...names].join(", "), colour]);
}
// Whether a box [left, top, right, bottom] is at least a few pixels from another one, beside it.
const apartFrom = (box, other) => box[2] + 4 < other[0] || box[0] - 4 > other[2] || box[3] < other[1] || box[1] > other[3];

// Where the name of the one dot that counts finds no place among others, it goes to the nearest free one, as
// [across, down, anchor] from its dot, on a line from there.
const further = () => [...Array(16).keys()].flatMap((ring) => [...Array(16).keys()].map((turn) => {
  const angle = (turn * Math.PI) / 8, dx = Math.cos(angle), far = 20 + 10 * ring;
  return [far * dx, far * Math.sin(angle) + 4, dx > 0.1 ? "start" : dx < -0.1 ? "end" : "middle"];
}));
const leadTo = (cx, cy, dx, dy) => (Math.hypot(dx, dy - 4) > 22 ? shape("path", { class: "x-lead", d: `M${cx} ${cy}L${cx + dx} ${cy + dy - 4}` }) : null);

// A square of numbers, side x side, in cells that many pixels wide; the sign is the colour, the size its strength.
function numbersIn(name, values, side, cell, digits = 2) {
  const most = Math.max(1e-9, ...values.map(Math.abs)), wide = side * cell;
  return picture(Math.max(wide, labelWidth(name)) + 4, wide + 24, `${name}: ${values.map((value) => fixed(value, digits)).join(", ")}`, text(2, 14, name, { class: "soft" }),
    values.flatMap((value, k) => {
      const x = 2 + (k % side) * cell, y = 22 + Math.floor(k / side) * cell;
      return [shape("rect", { x, y, width: cell - 1, height: cell - 1, fill: value > 0 ? "var(--x-conv)" : "var(--x-plain)", opacity: (0.38 * Math.abs(value)) / most }),
        text(x + cell / 2, y + cell / 2 + 4, fixed(value, digits), { "text-anchor": "middle", style: `font-size:${cell < 36 ? 10 : 11.5}px` })];
    }));
}

// In the book there is no kernel; the page's own script shows the explorers.
const isStatic = () => Boolean(document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]'));

// Which of the page's explorers one is, from 0: what a browser keeps for it is kept under that number.
const placeOf = (el) => [...document.querySelectorAll(".explorer-place")].indexOf(el);

// Calls back when the page turns dark or light: what is painted on a canvas does not follow by itself.
function onTheme(callback) {
  const observer = new MutationObserver(callback);
  const attributeFilter = ["data-theme", "theme", "data-jp-theme-light", "class"];
  for (const node of [document.documentElement, document.body]) observer.observe(node, { attributeFilter });
  return () => observer.disconnect();
}

// The colours of a picture of numbers as (r, g, b): positive, negative, nothing. Taken from the page's theme, of which a
// node that is not in the page yet knows nothing: an explorer that is there has the same.
function tints(node) {
  const style = getComputedStyle(node.isConnected ? node : document.querySelector(".explorer") ?? node), probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  return ["--x-conv", "--x-plain", "--x-paper", "--x-ink"].map((name) => {
    probe.fillStyle = style.getPropertyValue(name).trim() || "#888888";
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  });
}

// Maps of numbers (maps, side, side) side by side, one pixel a number and one between maps; the sign is the colour, the
// size its strength. `ink` paints numbers from 0 to 1 as ink on paper.
function montage(canvas, numbers, maps, side, columns, colours, { ink = false, most } = {}) {
  const rows = Math.ceil(maps / columns), gap = side > 1 ? 1 : 0;
  const width = columns * (side + gap) - gap, height = rows * (side + gap) - gap;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  const [positive, negative, paper, black] = colours;
  let largest = most ?? 1e-9;
  if (most == null) for (const value of numbers) largest = Math.max(largest, Math.abs(value));
  for (let map = 0; map < maps; map++)
    for (let i = 0; i < side; i++)
      for (let j = 0; j < side; j++) {
        const value = numbers[(map * side + i) * side + j], strength = Math.min(1, Math.abs(value) / largest);
        const tint = ink ? black : value > 0 ? positive : negative;
        const at = 4 * ((Math.floor(map / columns) * (side + gap) + i) * width + (map % columns) * (side + gap) + j);
        for (let k = 0; k < 3; k++) picture.data[at + k] = paper[k] + (tint[k] - paper[k]) * strength;
        picture.data[at + 3] = 255;
      }
  context.putImageData(picture, 0, 0);
}

// A scale from data to pixels, with its ticks: round numbers, or powers of ten and their halves where it is logarithmic.
function axis(values, from, to, logarithmic = false) {
  const least = Math.min(...values), most = Math.max(...values);
  const map = logarithmic ? Math.log10 : (value) => value;
  const gap = (map(most) - map(least)) * 0.07 || 0.5;
  const low = map(least) - gap, high = map(most) + gap;
  const scale = (value) => from + (map(value) - low) / (high - low) * (to - from);
  scale.ticks = [];
  if (logarithmic) {
    const stops = high - low > 2.2 ? [1] : high - low > 0.9 ? [1, 3] : [1, 2, 3, 5];
    for (let power = Math.floor(low); power <= high; power++)
      for (const stop of stops) scale.ticks.push(stop * 10 ** power);
  } else {
    const rough = (high - low) / 5, size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((one) => one * size >= rough) * size;
    for (let i = Math.ceil(low / step); i * step <= high; i++) scale.ticks.push(Number((i * step).toPrecision(12)));
  }
  scale.ticks = scale.ticks.filter((value) => map(value) >= low && map(value) <= high);
  return scale;
}
