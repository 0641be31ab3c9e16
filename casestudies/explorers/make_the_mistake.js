// A classic mistake of the chapter, switched on: the block's drawing, its figures, and what training makes of it.

const RIGHT = "none", DECIMALS = 4, LEAST = 0.8; // a drawing is not made smaller than can be read: it scrolls
// "BasicBlock(64, 64) on 64×56×56", as Python says it.
const calledOn = ({ call }) => {
  const [block, image] = call.split(" on ");
  return say("{block} on {image}", { block, image });
};
const MEASURES = { test_error: mark("test error"), train_error: mark("training error") };

const counted = (right, wrong, name) => right === wrong ? plural(wrong, name)
  : say("{count} instead of {right}", { count: plural(wrong, name), right: grouped(right) });
function rangeText(last) {
  const [mean, least, most] = last.map((value) => fixed(100 * value, 1));
  return say("{mean} % ({least} to {most})", { mean, least, most });
}

function training({ mistake, measure, curves, words: subject }) {
  const now = curves[mistake], right = curves[RIGHT], trained = say(subject.trained), why = told(now.why);
  if (now.stopped === now.runs) return say("{network} cannot be trained: {why}", { network: trained, why });
  const last = now[measure].at(-1), best = right[measure].at(-1);
  let said = say("{network}, trained on the digits for {epochs}, has a {measure} of {range} over {seeds}",
    { network: trained, epochs: plural(now[measure].length, "epoch"), measure: say(MEASURES[measure]), range: rangeText(last), seeds: plural(now.runs - now.stopped, "seed") });
  if (now.stopped) said += say("; {runs} stopped: {why}", { runs: plural(now.stopped, "run"), why });
  if (mistake === RIGHT) return `${said}.`;
  said += say("; without the mistake {range}.", { range: rangeText(best) });
  if (last[1] <= best[2] && best[1] <= last[2]) said += ` ${say("The seeds alone make as much difference: the end of this curve does not show the mistake.")}`;
  return said;
}

function sentence(s, one) {
  const label = told(one.label), said = `${label[0].toUpperCase()}${label.slice(1)}. ${told(one.text)} `, { figures, right } = one, block = say(s.words.noun);
  if (figures.error) return said + say("The {block} does not run: {why}", { block, why: told(figures.error) });
  const costs = say("The {block} has {parameters} and {macs}.", { block,
    parameters: counted(right.parameters, figures.parameters, noun("parameter")), macs: counted(right.macs, figures.macs, noun("MAC")) });
  return `${said}${costs} ${training(s)}`;
}

const FIGURES = [
  [mark("Parameters"), (one) => grouped(one.parameters)],
  [mark("MACs"), (one) => grouped(one.macs)],
  [mark("Output"), (one) => one.shape.join(" × ")],
  [mark("Mean"), (one) => fixed(one.mean, DECIMALS)],
  [mark("Deviation"), (one) => fixed(one.deviation, DECIMALS)],
  [mark("Least"), (one) => fixed(one.least, DECIMALS)],
  [mark("Zeros"), (one) => `${fixed(100 * one.zeros, 1)} %`],
  [mark("Gradient"), (one) => fixed(one.gradient, DECIMALS)],
];

// A drawing comes as SVG from Python, whose `figures.draw` made it of the block itself.
function side(caption, svg, room) {
  const drawing = document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true);
  const places = document.createTreeWalker(drawing, NodeFilter.SHOW_TEXT);
  while (places.nextNode()) places.currentNode.data = told(places.currentNode.data);
  for (const node of [drawing, ...drawing.querySelectorAll("[aria-label]")])
    if (node.hasAttribute("aria-label")) node.setAttribute("aria-label", told(node.getAttribute("aria-label")));
  const natural = drawing.viewBox.baseVal.width, width = Math.max(Math.min(natural, room), LEAST * natural);
  drawing.setAttribute("style", `width:${Math.floor(width)}px;max-width:none;height:auto`);
  const scrolls = width > room ? { tabindex: "0", role: "region", "aria-label": say("{caption}: drawing", { caption }) } : {};
  // The layers' column, on which the first text is centred, is not in the middle: the name goes over it.
  const texts = [...drawing.querySelectorAll("text")], middle = texts[0].getAttribute("x"), box = Number(drawing.querySelector("rect")?.getAttribute("width"));
  for (const one of texts) // in another language it may be wider than its box
    if (box && one.getAttribute("x") === middle) one.style.fontSize = `${Math.min(parseFloat(one.style.fontSize) || 13, (13 * (box - 14)) / labelWidth(one.textContent))}px`;
  const shown = Math.min(width, room), off = (2 * Number(middle) * width) / natural - shown;
  // But where that column is at the edge or beyond, and the drawing scrolls, the name keeps room for itself.
  const aside = `min(${(Math.abs(off) / shown * 100).toFixed(2)}%, 100% - ${(labelWidth(caption) / 11).toFixed(1)}em)`;
  return element("div", { class: "x-side" }, element("div", { class: "x-name", style: `padding-${off > 0 ? "left" : "right"}:max(0px, ${aside})` }, caption),
    element("div", { class: "x-scroll", ...scrolls }, drawing));
}
const widthOf = (svg) => Number(svg.match(/viewBox="0 0 (\d+)/)[1]);

function blocks(width, { drawings }, one) {
  const right = drawings[one.expected], wrong = drawings[one.drawing];
  if (one.id === RIGHT || !wrong) return element("div", { class: "x-sides" }, side(say("right"), right, width));
  const both = widthOf(right) + widthOf(wrong) + 24 <= width; // where there is no room for both, the reader switches
  return element("div", { class: "x-sides" }, both ? side(say("right"), right, width) : null, side(say("with the mistake"), wrong, width));
}

function chart(width, { mistake, measure, curves }) {
  const drawn = [[RIGHT, say("right"), "--x-conv", null], [mistake, say("mistake"), "--x-wrong", "7 4"]].filter(([id], i) => (i === 0 || id !== RIGHT) && curves[id][measure].length);
  const height = Math.round(Math.min(250, Math.max(190, width * 0.36))), left = 40, right = 66, top = 26, bottom = height - 36;
  const epochs = Math.max(...drawn.map(([id]) => curves[id][measure].length));
  const y = axis([0, ...drawn.flatMap(([id]) => curves[id][measure].map((value) => 100 * value[2]))], bottom, top);
  const x = (i) => left + (i / Math.max(1, epochs - 1)) * (width - left - right);
  const nodes = [text(0, 13, `${say(MEASURES[measure])} (%)`),
    ...y.ticks.filter((value) => value >= 0).flatMap((value) => [shape("path", { class: "axis", d: `M${left} ${y(value)}H${width - right}` }),
      text(left - 6, y(value) + 4, String(value), { "text-anchor": "end", class: "soft" })]),
    ...[...Array(epochs).keys()].map((i) => text(x(i), bottom + 16, String(i + 1), { "text-anchor": "middle", class: "soft" })),
    text(width - right, bottom + 33, say("epoch"), { "text-anchor": "end", class: "soft" })];
  const ends = drawn.map(([id]) => y(100 * curves[id][measure].at(-1)[0]));
  if (ends.length === 2 && Math.abs(ends[0] - ends[1]) < 15) { // labels beside, not over, each other
    const middle = (ends[0] + ends[1]) / 2, lower = ends[0] > ends[1] ? 0 : 1;
    ends[lower] = Math.min(middle + 8, bottom);
    ends[1 - lower] = ends[lower] - 16;
  }
  drawn.forEach(([id, name, colour, dashes], i) => {
    const values = curves[id][measure], point = (index) => (value, epoch) => `${x(epoch).toFixed(1)},${y(100 * value[index]).toFixed(1)}`;
    nodes.push(shape("path", { d: `M${values.map(point(2)).join("L")}L${values.map(point(1)).reverse().join("L")}Z`, fill: `var(${colour})`, opacity: 0.15 }),
      shape("path", { d: `M${values.map(point(0)).join("L")}`, fill: "none", stroke: `var(${colour})`, "stroke-width": 2.2, "stroke-linejoin": "round", "stroke-dasharray": dashes }),
      text(x(values.length - 1) + 8, ends[i] + 4, name, { style: `fill:var(${colour});font-weight:600` }));
  });
  const said = drawn.map(([id, name]) => say("{name}, {first} per cent at first and {last} at the end",
    { name, first: fixed(100 * curves[id][measure][0][0], 1), last: fixed(100 * curves[id][measure].at(-1)[0], 1) }));
  return picture(width, height, say("{measure} on the digits by epoch: {curves}.", { measure: say(MEASURES[measure]), curves: said.join("; ") }), nodes);
}

function source({ part }, one) {
  if (one.id === RIGHT) return null;
  const pieces = say("The checks call it {id} of {part}.").split(/\{(id|part)\}/).map((piece, i) => (i % 2 ? element("code", {}, { id: one.id, part }[piece]) : piece));
  return element("p", { class: "x-why x-wrong" }, ...pieces,
    ...(isStatic() ? [" ", element("a", { href: one.see }, say("Where the chapter has it"))] : []));
}

export default {
  render: speaking(({ model, el }) => {
    const switches = model.get("switches");
    return explorer(model, el, {
      title: say("Make the mistake"),
      hint: say("{call}, and the mistakes that people make in it. Switch one on.", { call: calledOn(switches[0]) }),
      keys: ["switches", "drawings", "curves", "part", "words"],
      controls: [
        { key: "mistake", label: say("Mistake"), options: switches.map((one) => [one.id, told(one.label)]) },
        { key: "measure", label: say("Curve"), options: Object.entries(MEASURES).map(([key, name]) => [key, say(name)]) },
      ],
      update(s) {
        const one = s.switches.find(({ id }) => id === s.mistake);
        const cell = (figures, write) => (figures.error ? "–" : write(figures));
        return {
          sentence: sentence(s, one),
          draw: (width) => [source(s, one), blocks(width, s, one), chart(width, s)].filter(Boolean),
          table: {
            caption: say("{call}, fresh: its output for standard normal numbers, and the gradient at its input where it is 1 at the output", { call: calledOn(one) }),
            head: one.id === RIGHT ? [say("Figure"), say("Right")] : [say("Figure"), say("Right"), say("Wrong")],
            rows: FIGURES.map(([name, write]) => [say(name), cell(one.right, write), ...(one.id === RIGHT ? [] : [cell(one.figures, write)])]),
          },
        };
      },
    });
  }),
};
