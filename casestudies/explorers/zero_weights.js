// A residual block whose weights are scaled down to zero: how far is its output from its input?

const ACTIVATIONS = { relu: "ReLU", tanh: "tanh" };
const NORMS = { none: mark("no batch norm"), train: mark("batch norm with the batch’s statistics"), eval: mark("batch norm with stored statistics") };
const SHORTCUTS = { identity: mark("identity shortcut"), projection: mark("projection shortcut") };
const KEYS = { none: mark("none"), train: mark("batch statistics"), eval: mark("stored statistics") }, DASHES = { none: null, train: "7 4", eval: "2 3" };
const EPS = 1e-5;

const times = (rows, weights, scale) => // rows (N, in) times the transpose of scale * weights (out, in)
  rows.map((row) => weights.map((unit) => unit.reduce((sum, weight, i) => sum + scale * weight * row[i], 0)));

function batchNorm(rows, gamma, beta, affine, mean, variance) {
  return rows.map((row) => row.map((value, i) =>
    (value - mean[i]) / Math.sqrt(variance[i] + EPS) * affine * gamma[i] + affine * beta[i]));
}

function moments(rows) {
  const mean = rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
  const variance = mean.map((m, i) => rows.reduce((sum, row) => sum + (row[i] - m) ** 2, 0) / rows.length);
  return [mean, variance];
}

function block(s, data) {
  const g = s.activation === "relu" ? (value) => Math.max(value, 0) : Math.tanh;
  const each = (rows) => rows.map((row) => row.map(g));
  const layer = (a, which, affine) => {
    const z = times(a, data[`w${which}`], s.scale);
    if (s.norm === "none") return z.map((row) => row.map((value, i) => value + s.scale * data[`b${which}`][i]));
    const statistics = s.norm === "train" ? moments(z)
      : [data[`mean${which}_${s.activation}`], data[`var${which}_${s.activation}`]];
    return batchNorm(z, data[`gamma${which}`], data[`beta${which}`], affine, ...statistics);
  };
  const a = s.input === "activated" ? each(data.inputs) : data.inputs;
  const residual = layer(each(layer(a, 1, 1)), 2, s.last_norm);
  const carried = s.shortcut === "identity" ? a : times(a, data.projection, 1);
  const after = each(residual.map((row, n) => row.map((value, i) => value + carried[n][i])));
  const difference = Math.max(...after.flatMap((row, n) => row.map((value, i) => Math.abs(value - a[n][i]))));
  return { before: a, residual, after, difference };
}

function sentence(s, difference) {
  const weights = say(s.norm === "none" ? mark("weights × {scale}") : mark("weights × {scale}, last γ and β × {last}"),
    { scale: fixed(s.scale, 2), last: fixed(s.last_norm, 2) });
  const said = `${ACTIVATIONS[s.activation]}, ${say(NORMS[s.norm])}, ${say(SHORTCUTS[s.shortcut])}, ${weights}: `;
  if (difference === 0) return said + say("the block returns its input exactly.");
  return `${said}${say("the output differs from the input by up to {difference}.", { difference: fixed(difference, 4) })} ${reason(s)}`;
}

function reason(s) {
  if (s.norm === "none" ? s.scale === 0 : s.last_norm === 0) {
    if (s.shortcut === "projection") return say("F(a) is 0, but the projection itself changes a.");
    if (s.activation === "tanh") return say("F(a) is 0, but tanh(a) is not a.");
    return say("F(a) is 0, but this input did not come through a ReLU: its negative numbers are cut.");
  }
  if (s.norm === "train")
    return s.scale === 0 ? say("The weights are 0, but β of the last norm is not: F(a) = β.")
      : say("Batch norm divides the scale of the weights out again.");
  return s.norm === "eval" ? say("The stored statistics belong to the whole weights.") : say("F(a) is not 0 yet.");
}

function update(s) {
  const now = block(s, s.data);
  return {
    sentence: sentence(s, now.difference),
    draw: (width) => {
      const wide = width >= 620;
      const part = wide ? Math.floor(width / 2) - 8 : width;
      const nodes = [vectors(part, now), curves(part, s, now.difference)];
      return wide ? element("div", { class: "x-pair" }, ...nodes) : nodes;
    },
    table: {
      caption: say("The first input of the batch, before and after the block"),
      head: ["", ...now.before[0].map((_, i) => `a${"₁₂₃₄₅₆₇₈₉"[i]}`)],
      rows: [[say("input a"), ...now.before[0].map((v) => fixed(v, 3))], ["F(a)", ...now.residual[0].map((v) => fixed(v, 3))],
        [say("output"), ...now.after[0].map((v) => fixed(v, 3))]],
    },
  };
}

function vectors(width, now) {
  const [before, after] = [now.before[0], now.after[0]];
  const key = width < 300 ? 0 : 30, before_after = key + labelWidth(say("one input: ")) + 12;
  const [colours, lowest] = legend(width, before_after, 14, [[say("before"), "var(--x-soft)"], [say("after the block"), "var(--x-residual)"]]);
  const height = 216 + lowest, top = 20 + lowest, bottom = height - 24, left = 30;
  const most = Math.max(2, ...before, ...after), least = Math.min(0, ...before, ...after);
  const y = (value) => top + (most - value) / (most - least) * (bottom - top);
  const slot = (width - left) / before.length, w = Math.min(slot * 0.32, 22);
  const bar = (x, value, attributes) =>
    shape("rect", { x, y: Math.min(y(value), y(0)), width: w, height: Math.max(Math.abs(y(value) - y(0)), 1), ...attributes });
  return picture(width, height, say("The first input of the batch and the block’s output, number by number."),
    text(key, 14, say("one input: "), {}), colours,
    [0, Math.floor(most)].map((tick) => [text(left - 8, y(tick) + 4, String(tick), { "text-anchor": "end", class: "soft" }),
      shape("line", { class: "axis", x1: left, x2: width, y1: y(tick), y2: y(tick) })]).flat(),
    before.flatMap((value, i) => {
      const x = left + slot * (i + 0.5);
      return [bar(x - w - 1, value, { fill: "var(--x-soft)" }),
        bar(x + 1, after[i], { fill: "var(--x-residual)" }),
        text(x, height - 6, `a${"₁₂₃₄₅₆₇₈₉"[i]}`, { "text-anchor": "middle", class: "soft" })];
    }));
}

// The largest difference against the scale of the weights, for the three norms; the chosen one in colour.
function curves(width, s, difference) {
  const look = (norm) => (norm === s.norm ? ["var(--x-residual)", DASHES[norm], 3] : ["var(--x-soft)", DASHES[norm], 1.3]);
  const [samples, lowest] = legend(width, 0, 234, Object.keys(NORMS).map((norm) => [say(KEYS[norm]), ...look(norm)]));
  const height = lowest + 8, top = 34, bottom = 194, left = 30, right = width - 8;
  const scales = [...Array(51).keys()].map((i) => i / 50);
  const lines = Object.keys(NORMS).map((norm) => [norm, scales.map((scale) => block({ ...s, norm, scale }, s.data).difference)]);
  const most = Math.max(0.5, ...lines.flatMap(([, values]) => values)) * 1.05;
  const x = (scale) => left + scale * (right - left), y = (value) => top + (1 - value / most) * (bottom - top);
  const { ticks } = axis([0, most], bottom, top);
  const nodes = lines.sort(([norm]) => (norm === s.norm ? 1 : -1)).map(([norm, values]) => {
    const [stroke, dashes, thick] = look(norm);
    return shape("path", { d: "M" + values.map((value, i) => `${x(scales[i]).toFixed(1)},${y(value).toFixed(1)}`).join("L"),
      fill: "none", stroke, "stroke-width": thick, "stroke-dasharray": dashes });
  });
  return picture(width, height, say("The largest difference against the scale of the weights, without batch norm and with it."),
    text(left, 14, say("largest difference")),
    shape("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
    ticks.filter((tick) => tick >= 0 && tick <= most).map((tick) => [text(left - 6, y(tick) + 4, String(tick), { "text-anchor": "end", class: "soft" }),
      shape("path", { class: "axis", d: `M${left} ${y(tick)}H${right}` })]).flat(),
    text(left, bottom + 16, "× 0", { "text-anchor": "start", class: "soft" }),
    text(right, bottom + 16, "× 1", { "text-anchor": "end", class: "soft" }),
    text((left + right) / 2, bottom + 16, say("← weights"), { "text-anchor": "middle", class: "soft" }),
    samples, nodes, shape("circle", { cx: x(s.scale), cy: y(difference), r: 6, fill: "var(--x-residual)", stroke: "var(--x-paper)", "stroke-width": 2 }));
}

export default {
  render: speaking(({ model, el }) => {
    return explorer(model, el, {
      title: say("Let the weights go to zero"),
      hint: say("output = g(F(a) + a), where F is two layers. Drag the weights to 0: when does the block do nothing?"),
      presets: [
        [say("The argument"), { activation: "relu", norm: "none", scale: 0, shortcut: "identity", input: "activated" }],
        [say("…with tanh"), { activation: "tanh", norm: "none", scale: 0, shortcut: "identity", input: "activated" }],
        [say("…with batch norm"), { activation: "relu", norm: "train", scale: 0.1, last_norm: 1, shortcut: "identity", input: "activated" }],
        ["γ = β = 0", { activation: "relu", norm: "eval", scale: 1, last_norm: 0, shortcut: "identity", input: "activated" }],
        [say("…with a projection"), { activation: "relu", norm: "none", scale: 0, shortcut: "projection", input: "activated" }],
      ],
      keys: ["data"],
      controls: [
        { key: "scale", label: say("Weights ×"), min: 0, max: 1, step: 0.01 },
        { key: "last_norm", label: say("Last γ, β ×"), min: 0, max: 1, step: 0.01, when: (s) => s.norm !== "none" },
        { key: "norm", label: say("Batch norm"), options: Object.entries(KEYS).map(([norm, name]) => [norm, say(name)]) },
        { key: "activation", label: "g", options: Object.entries(ACTIVATIONS) },
        { key: "shortcut", label: say("Shortcut"), options: [["identity", say("identity")], ["projection", say("projection")]] },
        { key: "input", label: say("Input a"), options: [["activated", say("through g")], ["raw", say("raw")]] },
      ],
      update,
    });
  }),
};
