// A classic mistake of the chapter, switched on: the block's drawing, its figures, and what training makes of it.

const RIGHT = "none", DECIMALS = 4;
const MEASURES = { test_error: "test error", train_error: "training error" };

const counted = (right, wrong, noun) => plural(wrong, noun) + (right === wrong ? "" : ` instead of ${grouped(right)}`);
function rangeText(last) {
  const [mean, least, most] = last.map((value) => fixed(100 * value, 1));
  return `${mean} % (${least} to ${most})`;
}

function training({ mistake, measure, curves, words }) {
  const now = curves[mistake], right = curves[RIGHT];
  if (now.stopped === now.runs) return `${words.trained} cannot be trained: ${now.why}`;
  const last = now[measure].at(-1), best = right[measure].at(-1);
  let said = `${words.trained}, trained on the digits for ${plural(now[measure].length, "epoch")}, ` +
    `has a ${MEASURES[measure]} of ${rangeText(last)} over ${plural(now.runs - now.stopped, "seed")}`;
  if (now.stopped) said += `; ${plural(now.stopped, "run")} stopped: ${now.why}`;
  if (mistake === RIGHT) return `${said}.`;
  said += `; without the mistake ${rangeText(best)}.`;
  if (last[1] <= best[2] && best[1] <= last[2]) said += " The seeds alone make as much difference: the end of this curve does not show the mistake.";
  return said;
}

function sentence(s, one) {
  const said = `${one.label[0].toUpperCase()}${one.label.slice(1)}. ${one.text} `, { figures, right } = one;
  if (figures.error) return `${said}The ${s.words.noun} does not run: ${figures.error}`;
  return `${said}The ${s.words.noun} has ${counted(right.parameters, figures.parameters, "parameter")} and ` +
    `${counted(right.macs, figures.macs, "MAC")}. ${training(s)}`;
}

const FIGURES = [
  ["Parameters", (one) => grouped(one.parameters)],
  ["MACs", (one) => grouped(one.macs)],
  ["Output", (one) => one.shape.join(" × ")],
  ["Mean", (one) => fixed(one.mean, DECIMALS)],
  ["Deviation", (one) => fixed(one.deviation, DECIMALS)],
  ["Least", (one) => fixed(one.least, DECIMALS)],
  ["Zeros", (one) => `${fixed(100 * one.zeros, 1)} %`],
  ["Gradient", (one) => fixed(one.gradient, DECIMALS)],
];

// A drawing comes as SVG from Python, whose `figures.draw` made it of the block itself.
function side(caption, svg, room) {
  const drawing = document.importNode(new DOMParser().parseFromString(svg, "image/svg+xml").documentElement, true);
  const natural = drawing.viewBox.baseVal.width, width = Math.max(Math.min(natural, room), 0.68 * natural);
  drawing.setAttribute("style", `width:${Math.floor(width)}px;max-width:none;height:auto`);
  const scrolls = width > room ? { tabindex: "0", role: "region", "aria-label": `${caption}: drawing` } : {};
  return element("div", { class: "x-side" }, element("div", { class: "x-name" }, caption), element("div", { class: "x-scroll", ...scrolls }, drawing));
}
const widthOf = (svg) => Number(svg.match(/viewBox="0 0 (\d+)/)[1]);

function blocks(width, { drawings }, one) {
  const right = drawings[one.expected], wrong = drawings[one.drawing];
  if (one.id === RIGHT || !wrong) return element("div", { class: "x-sides" }, side("right", right, width));
  const both = widthOf(right) + widthOf(wrong) + 24 <= width; // where there is no room for both, the reader switches
  return element("div", { class: "x-sides" }, both ? side("right", right, width) : null, side("with the mistake", wrong, width));
}

function chart(width, { mistake, measure, curves }) {
  const drawn = [[RIGHT, "right", "--x-conv", null], [mistake, "mistake", "--x-wrong", "7 4"]].filter(([id], i) => (i === 0 || id !== RIGHT) && curves[id][measure].length);
  const height = Math.round(Math.min(250, Math.max(190, width * 0.36))), left = 40, right = 66, top = 26, bottom = height - 34;
  const epochs = Math.max(...drawn.map(([id]) => curves[id][measure].length));
  const y = axis([0, ...drawn.flatMap(([id]) => curves[id][measure].map((value) => 100 * value[2]))], bottom, top);
  const x = (i) => left + (i / Math.max(1, epochs - 1)) * (width - left - right);
  const nodes = [text(0, 13, `${MEASURES[measure]} (%)`),
    ...y.ticks.filter((value) => value >= 0).flatMap((value) => [shape("path", { class: "axis", d: `M${left} ${y(value)}H${width - right}` }),
      text(left - 6, y(value) + 4, String(value), { "text-anchor": "end", class: "soft" })]),
    ...[...Array(epochs).keys()].map((i) => text(x(i), bottom + 16, String(i + 1), { "text-anchor": "middle", class: "soft" })),
    text(width - right, bottom + 31, "epoch", { "text-anchor": "end", class: "soft" })];
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
  const said = drawn.map(([id, name]) => `${name}, ${fixed(100 * curves[id][measure][0][0], 1)} per cent at first and ${fixed(100 * curves[id][measure].at(-1)[0], 1)} at the end`);
  return picture(width, height, `${MEASURES[measure]} on the digits by epoch: ${said.join("; ")}.`, nodes);
}

function source({ part }, one) {
  if (one.id === RIGHT) return null;
  return element("p", { class: "x-why x-wrong" }, "The checks call it ", element("code", {}, one.id), " of ", element("code", {}, part), ".",
    ...(isStatic() ? [" ", element("a", { href: one.see }, "Where the chapter has it")] : []));
}

export default {
  render({ model, el }) {
    const switches = model.get("switches");
    return explorer(model, el, {
      title: "Make the mistake",
      hint: `${switches[0].call}, and the mistakes that people make in it. Switch one on.`,
      keys: ["switches", "drawings", "curves", "part", "words"],
      controls: [
        { key: "mistake", label: "Mistake", options: switches.map((one) => [one.id, one.label]) },
        { key: "measure", label: "Curve", options: Object.entries(MEASURES) },
      ],
      update(s) {
        const one = s.switches.find(({ id }) => id === s.mistake);
        const cell = (figures, write) => (figures.error ? "–" : write(figures));
        return {
          sentence: sentence(s, one),
          draw: (width) => [source(s, one), blocks(width, s, one), chart(width, s)].filter(Boolean),
          table: {
            caption: `${one.call}, fresh: its output for standard normal numbers, and the gradient at its input where it is 1 at the output`,
            head: one.id === RIGHT ? ["Figure", "Right"] : ["Figure", "Right", "Wrong"],
            rows: FIGURES.map(([name, write]) => [name, cell(one.right, write), ...(one.id === RIGHT ? [] : [cell(one.figures, write)])]),
          },
        };
      },
    });
  },
};
