// A network in a few lines: its interpreter, as in architecture.py, the ledger, the drawing and the chart.

const ACTIVATIONS = { relu: "ReLU", relu6: "ReLU6", tanh: "Tanh", sigmoid: "Sigmoid", silu: "SiLU" };

// What limits and channels are called where it is no word of the language.
const NAMES = [mark("channels"), mark("side"), mark("features"), mark("input"), mark("output")];

class Mistake extends Error {
  constructor(line, reason) {
    super(say("Line {line}: {reason}", { line, reason }));
    Object.assign(this, { line, reason });
  }
}

// Some languages put a reason as a question.
const closed = (text) => (/[.?!]$/.test(text) ? text : `${text}.`);

function interpret(text, { usage, limits, image: standard, layers: mostLayers, macs: mostMacs, deepest, longest }) {
  const vocabulary = Object.keys(usage);

  function distance(one, other) { // letters to add, drop or change
    const a = [...one], b = [...other];
    let row = [...Array(b.length + 1).keys()];
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
      row = next;
    }
    return row[b.length];
  }
  function nearest(word) {
    const best = vocabulary.reduce((found, one) => (distance(word, one) < distance(word, found) ? one : found));
    return distance(word, best) <= Math.min(2, [...word].length - 1) ? say("perhaps you mean {word}", { word: best }) : say("the words are {words}", { words: vocabulary.join(", ") });
  }
  function number(line, name, token) {
    const [least, most] = limits[name];
    if (!/^[0-9]{1,6}$/.test(token) || Number(token) < least || Number(token) > most)
      throw new Mistake(line, say("{name} is {token}; expected a whole number from {least} to {most}", { name: say(name), token, least, most }));
    return Number(token);
  }

  // Lines

  // As in architecture.py: what a copied text may have for a blank, and what cannot be seen at all.
  const blanks = /[\t\v\f\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g, unseen = /[\u200b-\u200d\u2060\ufeff]/g;

  function read() {
    const flat = [];
    text.replace(unseen, "").replace(blanks, "\t").split("\n").forEach((written, index) => {
      let content = written.split("#")[0].trimEnd();
      if (!content.trim()) return;
      const indent = content.length - content.replace(/^ +/, "").length;
      content = content.slice(indent).toLowerCase().replaceAll("×", "x");
      if (/^\s/.test(content)) throw new Mistake(index + 1, say("indent with spaces, not with tabs"));
      content = content.replace(/([0-9])\s*x\s*(?=[0-9])/g, "$1x");
      flat.push([index + 1, indent, content.split(/\s+/)]);
    });
    let image = standard;
    if (flat.length && flat[0][2][0] === "image") {
      const [line, indent, tokens] = flat.shift(), sizes = tokens.length === 2 ? tokens[1].split("x") : [];
      if (sizes.length !== 3) throw new Mistake(line, say("an image has channels, height and width, such as image 3x32x32"));
      if (indent) throw new Mistake(line, say("the image is not indented"));
      image = ["channels", "side", "side"].map((name, i) => number(line, name, sizes[i]));
    }
    const [lines, rest] = gather(flat, 0, flat.length ? flat[0][1] : 0);
    if (rest < flat.length) throw new Mistake(flat[rest][0], say("this line stands further left than the first one"));
    if (!lines.length) throw new Mistake(1, say("write a layer, such as conv 16 3x3"));
    return [image, lines];
  }
  function gather(flat, at, indent, level = 0) {
    const lines = [];
    while (at < flat.length && flat[at][1] >= indent) {
      const [line, depth, [word, ...tokens]] = flat[at];
      if (depth > indent) throw new Mistake(line, say("only lines under block or repeat are indented, all by the same number of spaces"));
      if (!vocabulary.includes(word)) throw new Mistake(line, say("\"{word}\" is no layer; {hint}", { word, hint: nearest(word) }));
      if (word === "image") throw new Mistake(line, say("the image comes first, and once"));
      at += 1;
      let inside = [];
      if (word === "block" || word === "repeat") {
        if (at === flat.length || flat[at][1] <= indent) throw new Mistake(line, say("{word} needs indented lines below it", { word }));
        if (level === deepest) throw new Mistake(line, say("blocks and repeats stand in one another at most {deepest} deep", { deepest }));
        [inside, at] = gather(flat, at, flat[at][1], level + 1);
        if (at < flat.length && flat[at][1] > indent) throw new Mistake(flat[at][0], say("this line fits under no block and no repeat above it"));
      }
      lines.push({ line, word, tokens, inside });
    }
    return [lines, at];
  }
  function kinds(word) {
    if (word === "conv") return ["kernel", "stride", "pad", "groups", "depthwise", "bias"];
    if (word === "separable") return ["kernel", "stride"];
    return word === "maxpool" || word === "avgpool" ? ["kernel", "stride", "pad", "ceil"] : [];
  }
  function understand({ line, word, tokens: given }) {
    const tokens = [...given], settings = {}, may = kinds(word), pools = word === "maxpool" || word === "avgpool";
    const take = (name) => {
      if (!tokens.length) throw new Mistake(line, say("{name} needs a number, such as {usage}", { name: say(name), usage: usage[word] }));
      return number(line, name, tokens.shift());
    };
    if (["conv", "separable", "linear"].includes(word)) {
      const what = word === "linear" ? "features" : "channels";
      if (!tokens.length) throw new Mistake(line, say("{word} needs its number of {what}, such as {usage}", { word, what: say(what), usage: usage[word] }));
      settings.out = take(what);
    }
    if (word === "repeat") settings.out = take("repeat");
    if (word === "conv" || word === "separable" || pools) {
      if (tokens.length && /^[0-9x]+$/.test(tokens[0])) {
        const sides = tokens.shift().split("x").map((side) => number(line, "kernel", side));
        if (sides.length > 2 || (pools && new Set(sides).size > 1)) throw new Mistake(line, say("the kernel is not understood; write it as in {usage}", { usage: usage[word] }));
        settings.kernel = [sides[0], sides.at(-1)];
      } else if (pools) throw new Mistake(line, say("{word} needs its kernel, such as {usage}", { word, usage: usage[word] }));
    }
    while (tokens.length) {
      const token = tokens.shift();
      if (token.startsWith("/") && may.includes("kernel")) settings.stride = number(line, "stride", token.slice(1));
      else if (["stride", "pad", "groups"].includes(token) && may.includes(token)) settings[token] = take(token);
      else if (["bias", "depthwise", "ceil"].includes(token) && may.includes(token)) settings[token] = true;
      else if (token === "no" && tokens[0] === "bias" && may.includes("bias")) {
        tokens.shift();
        settings.bias = false;
      } else throw new Mistake(line, say("\"{token}\" is not understood here; write it as in {usage}", { token, usage: usage[word] }));
    }
    return settings;
  }

  // Layers. `x` is what has come so far: channels, grid (null after flatten), and what a number of it sees.

  const rows = [], arcs = [];
  let counted = 0;
  const flat = (x) => x.channels * (x.grid ? x.grid[0] * x.grid[1] : 1);
  const named = (x) => [x.channels, ...(x.grid ?? [])].join(" x ");
  const count = (line, layers = 1) => {
    counted += layers;
    if (counted > mostLayers) throw new Mistake(line, say("these are more than {most} layers; repeat fewer", { most: mostLayers }));
  };
  const write = (line, kind, x, more = {}) => {
    const output = x.grid ? [x.channels, ...x.grid] : [x.channels];
    rows.push({ line, kind, output, parameters: 0, macs: 0, detail: "", ...more,
      activations: more.activations ?? flat(x), field: fieldOf(x.sight), jump: jumpOf(x.sight) });
    return x;
  };
  // Of each side the intervals that a number sees, [low, high] at place 0, further by `jump` at each place, by nothing
  // where there is one place: several where paths of a block do not look at the same pixels. Once every place sees all
  // of a side it stays so: `whole`. `pace` is the jump that the axis had when it got one place. As casestudies/costs/sight.py.
  const merged = (terms) => terms.reduce((found, term) => {
    const other = found.find((each) => each.jump === term.jump);
    if (!other) return [...found, term];
    const both = { jump: term.jump, low: Math.min(other.low, term.low), high: Math.max(other.high, term.high) };
    return found.map((each) => each === other ? both : each);
  }, []);
  const common = (jumps) => jumps.every((jump) => jump === jumps[0]) ? jumps[0] : null;
  const known = (axis, i) => {
    const all = axis.whole === null ? axis.terms.find(({ low, high, jump }) => !jump && low <= 0 && high >= image[i + 1] - 1) : null;
    return all ? { ...axis, whole: all.high - all.low + 1 } : axis;
  };
  const through = (sight, kernel, stride, pad, grid) => ({ ...sight, grid, axes: sight.axes.map((axis, i) => {
    const stopped = [];
    const terms = axis.terms.map(({ low, high, jump }) => {
      if (!jump) return { low, high, jump };
      if (grid[i] === 1) stopped.push(jump * stride[i]);
      return { low: low - pad[i] * jump, high: high + (kernel[i] - 1 - pad[i]) * jump, jump: grid[i] === 1 ? 0 : jump * stride[i] };
    });
    return known({ ...axis, terms: merged(terms), pace: stopped.length ? common(stopped) : axis.pace }, i);
  }) });
  const everything = (sight) => through(sight, sight.grid, sight.grid, [0, 0], [1, 1]);
  const most = (found) => found.includes(null) ? null : Math.max(...found);
  const fieldOf = (sight) => most(sight.axes.map(({ terms, whole }) => whole ?? (terms.length === 1 ? terms[0].high - terms[0].low + 1 : null)));
  const jumpOf = (sight) => most(sight.axes.map(({ terms, pace }) => {
    const jumps = terms.map((term) => term.jump).filter(Boolean);
    return jumps.length ? common(jumps) : pace;
  }));
  const deeper = (sight) => ({ ...sight, depth: sight.depth + 1 });
  const side = (size, kernel, stride, pad, ceil) => {
    const room = size + 2 * pad - kernel;
    let steps = ceil ? Math.ceil(room / stride) : Math.floor(room / stride);
    if (ceil && steps * stride >= size + pad) steps -= 1; // this window would see nothing but the right padding
    return steps + 1;
  };

  function slide(line, x, kernel, stride, pad, ceil) {
    const [height, width] = x.grid;
    if (height + 2 * pad[0] < kernel[0] || width + 2 * pad[1] < kernel[1])
      throw new Mistake(line, say("a window of {window} does not fit into the {height} x {width} grid that is left; pad it, or take a larger image", { window: kernel.join(" x "), height, width }));
    return [side(height, kernel[0], stride, pad[0], ceil), side(width, kernel[1], stride, pad[1], ceil)];
  }
  function conv(line, settings, x) {
    const kernel = settings.kernel ?? [3, 3], stride = settings.stride ?? 1;
    const pad = settings.pad == null ? kernel.map((k) => (k - 1) >> 1) : [settings.pad, settings.pad];
    const groups = settings.depthwise ? x.channels : settings.groups ?? 1, out = settings.out;
    for (const [name, channels] of [["input", x.channels], ["output", out]])
      if (channels % groups) throw new Mistake(line, say("{groups} groups do not divide the {channels} {name} channels", { groups, channels, name: say(name) }));
    const grid = slide(line, x, kernel, stride, pad);
    const weights = (kernel[0] * kernel[1] * x.channels / groups) * out;
    const window = `${kernel.join(" × ")}${stride > 1 ? ` / ${stride}` : ""}`;
    const detail = groups === 1 ? window : groups === x.channels ? say("{kernel}, depthwise", { kernel: window }) : say("{kernel}, {groups} groups", { kernel: window, groups });
    const role = groups > 1 && groups === x.channels ? "depthwise" : kernel[0] * kernel[1] === 1 ? "pointwise" : "conv";
    return write(line, "Conv2d", { channels: out, grid, sight: deeper(through(x.sight, kernel, [stride, stride], pad, grid)) },
      { parameters: weights + (settings.bias ? out : 0), macs: weights * grid[0] * grid[1], detail, role });
  }
  const norm = (line, x) => write(line, x.grid ? "BatchNorm2d" : "BatchNorm1d", x, { parameters: 2 * x.channels });

  function layer(item, following, x) {
    const settings = understand(item), { line, word } = item;
    count(line);
    if (ACTIVATIONS[word]) return write(line, ACTIVATIONS[word], x);
    if (word === "dropout") return write(line, "Dropout", x, { activations: 0 });
    if (word === "norm") return norm(line, x);
    if (word === "linear") {
      const features = flat(x), { out } = settings;
      if (x.grid) x = write(line, "Flatten", { channels: features, grid: null, sight: x.sight }, { activations: 0 });
      return write(line, "Linear", { channels: out, grid: null, sight: deeper(everything(x.sight)) },
        { parameters: out * (features + 1), macs: out * features, role: "linear" });
    }
    if (!x.grid) throw new Mistake(line, say("{word} needs a grid, and after linear or flatten there is none", { word }));
    if (word === "flatten") return write(line, "Flatten", { channels: flat(x), grid: null, sight: x.sight }, { activations: 0 });
    if (word === "lrn") return write(line, "LocalResponseNorm", x);
    if (word === "global") return write(line, "AdaptiveAvgPool2d", { channels: x.channels, grid: [1, 1], sight: everything(x.sight) }, { role: "pool" });
    if (word === "conv") return conv(line, { ...settings, bias: settings.bias ?? following !== "norm" }, x);
    if (word === "separable") {
      count(line, 5);
      const relu = (one) => write(line, "ReLU", norm(line, one));
      const middle = relu(conv(line, { ...settings, out: x.channels, depthwise: true }, x));
      return relu(conv(line, { out: settings.out, kernel: [1, 1] }, middle));
    }
    if (word === "block") return block(item, x);
    const [kernel] = settings.kernel, stride = settings.stride ?? kernel, pad = settings.pad ?? 0;
    if (pad > kernel >> 1) throw new Mistake(line, say("pad is {pad}; for a pool of {kernel} at most {most}", { pad, kernel, most: kernel >> 1 }));
    const grid = slide(line, x, [kernel, kernel], stride, [pad, pad], settings.ceil);
    return write(line, word === "maxpool" ? "MaxPool2d" : "AvgPool2d", { channels: x.channels, grid, sight: through(x.sight, [kernel, kernel], [stride, stride], [pad, pad], grid) },
      { detail: `${square(kernel)}${stride === kernel ? "" : ` / ${stride}`}`, role: "pool" });
  }
  function block(item, x) {
    const { line } = item, from = rows.length;
    const branch = sequence(item.inside, x);
    if (!branch.grid) throw new Mistake(line, say("the lines of a block must leave a grid, to which its input can be added"));
    let carried = x;
    const to = rows.length;
    if (named(branch) !== named(x)) {
      count(line, 2);
      const strides = [...Array(Math.max(...x.grid)).keys()].map((i) => i + 1);
      const stride = strides.find((s) => x.grid.every((size, i) => side(size, 1, s, 0) === branch.grid[i]));
      if (!stride) throw new Mistake(line, say("{before} comes in and {after} comes out; no stride of a 1 x 1 shortcut makes that, so pad the lines of the block", { before: named(x), after: named(branch) }));
      carried = norm(line, conv(line, { out: branch.channels, kernel: [1, 1], stride, bias: false }, x));
      for (let i = to; i < rows.length; i++) rows[i].shortcut = true;
    }
    const [a, b] = [branch.sight, carried.sight];
    const axes = a.axes.map((one, i) => {
      const other = b.axes[i], wholes = [one.whole, other.whole].filter((whole) => whole !== null);
      return known({ terms: merged([...one.terms, ...other.terms]), whole: wholes.length ? Math.max(...wholes) : null, pace: common([one.pace, other.pace]) }, i);
    });
    const sight = { ...a, axes, depth: Math.max(a.depth, b.depth) };
    arcs.push({ from, to, projected: carried !== x });
    return write(line, "add", { channels: branch.channels, grid: branch.grid, sight });
  }
  function sequence(lines, x) {
    lines.forEach((item, index) => {
      const following = lines[index + 1]?.word ?? "", times = item.word === "repeat" ? understand(item).out : 1;
      for (let turn = 0; turn < times; turn++) x = item.word === "repeat" ? sequence(item.inside, x) : layer(item, following, x);
    });
    return x;
  }

  const letters = text.length > longest ? [...text].length : text.length; // as Python counts them
  if (letters > longest) throw new Mistake(1, say("the text has {letters} letters; expected at most {most}: use repeat", { letters: grouped(letters), most: grouped(longest) }));
  const [image, lines] = read();
  const end = sequence(lines, { channels: image[0], grid: image.slice(1), sight: {
    axes: [0, 1].map((i) => known({ terms: [{ low: 0, high: 0, jump: image[i + 1] === 1 ? 0 : 1 }], whole: null, pace: 1 }, i)), grid: image.slice(1), depth: 0 } });
  const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
  const macs = sum("macs");
  if (macs > mostMacs) {
    const largest = rows.reduce((best, row) => (row.macs > best.macs ? row : best));
    throw new Mistake(largest.line, say("this network needs more than a thousand million million MACs"));
  }
  return { image, rows, arcs, macs, parameters: sum("parameters"), activations: sum("activations"), depth: end.sight.depth };
}

// The network of a text, or the mistake in it.
function reader() {
  return ({ text, language }) => {
    try { return { text, found: interpret(text, language) }; } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      return { text, mistake: { line: error.line, reason: error.reason } };
    }
  };
}

// What the interpreter uses. In a worker it says nothing itself: what it would say is said here, in the page's language.
const WORDLESS = [`const ACTIVATIONS = ${JSON.stringify(ACTIVATIONS)}, square = ${square}, grouped = ${grouped};`,
  "const say = (text, values = {}) => ({ text, values });",
  "class Mistake extends Error { constructor(line, reason) { super(); Object.assign(this, { line, reason }); } }", interpret];
const voiced = (one) => one?.values ? say(one.text, Object.fromEntries(Object.entries(one.values).map(([name, value]) => [name, voiced(value)]))) : one;

// About as many layers as a text describes: its lines, as often as they are repeated.
function expected(text) {
  let layers = 0;
  const outer = []; // the repeats and blocks that a line may stand in: how far each is indented, and how often it comes
  for (const line of text.split("\n")) {
    const [, indent, times] = line.match(/^( *)(?:repeat\s+([0-9]{1,2})\b)?/i);
    while (outer.length && outer.at(-1)[0] >= indent.length) outer.pop();
    layers += outer.at(-1)?.[1] ?? 1;
    if (times) outer.push([indent.length, (outer.at(-1)?.[1] ?? 1) * Number(times)]);
    if (layers > 10_000) break;
  }
  return layers;
}

// Reads texts, the short ones at once, the long ones in a worker: for these `late` is true until `again` is called. The
// editor and the figures ask for the same text.
const AT_ONCE = { letters: 2_000, layers: 150 };
function reading(language, again) {
  const now = reader();
  let asked = null, answer = {}, work = null;
  const came = ({ text, found, mistake }) => {
    if (text !== asked) return;
    found?.rows.forEach((row) => { row.detail = voiced(row.detail); });
    answer = { found, mistake: mistake && new Mistake(mistake.line, voiced(mistake.reason)) };
    again();
  };
  const of = (text) => {
    if (text === asked) return answer;
    asked = text;
    const fits = text.length <= 2 * language.longest && [...text].length <= language.longest; // if not, that is soon said
    const long = fits && (text.length > AT_ONCE.letters || expected(text) > AT_ONCE.layers);
    if (!long) {
      const { found, mistake } = now({ text, language });
      return (answer = { found, mistake: mistake && new Mistake(mistake.line, mistake.reason) });
    }
    work ??= inWorker(reader, [...WORDLESS, reader], came);
    work.ask({ text, language });
    return (answer = { late: true });
  };
  return { of, stop: () => work?.stop() };
}

// With two decimals, and below a tenth with two digits that count: 1.00, 0.25, 0.0023.
function sized(value) {
  let digits = 2;
  while (value > 0 && value * 10 ** (digits - 1) < 1) digits++;
  return fixed(value, digits);
}

const apart = (one, other) => Math.abs(Math.log(one) - Math.log(other));

function sentence(found, networks) {
  const said = [say("{layers} with weights on the longest path, {parameters}, {macs}, {memory} MB written in fp32.",
    { layers: plural(found.depth, "layer"), parameters: plural(found.parameters, "parameter"), macs: plural(found.macs, "MAC"), memory: sized((4 * found.activations) / 1e6) })];
  const { field } = found.rows.at(-1);
  said.push(field === null ? say("What a number of the last layer sees has no single size.")
    : say("A number of the last layer sees {field} × {field} of the image.", { field: grouped(field) }));
  if (!found.macs) return [...said, say("Without weights it has no place in the chart.")].join(" ");
  const far = (one) => apart(one.macs, found.macs) + apart(one.parameters, found.parameters);
  const near = networks.reduce((best, one) => (far(one) < far(best) ? one : best));
  return [...said, say("Nearest in the chart: {name}; yours has {parameters} times its parameters and {macs} times its MACs.",
    { name: near.name, parameters: sized(found.parameters / near.parameters), macs: sized(found.macs / near.macs) })].join(" ");
}

// Bars of a drawing: { x, y, wide, tall, fill, opacity, round, title }. Many, too thin to be pointed at, are one path a
// colour, since each node that is made takes its time.
function bars(all) {
  if (all.length <= AT_ONCE.layers) return all.map(({ x, y, wide, tall, fill, opacity, round, title }) =>
    shape("rect", { x, y, width: wide, height: tall, rx: round, fill, opacity }, title ? shape("title", {}, title()) : null));
  const paths = {};
  for (const { x, y, wide, tall, fill, opacity } of all) (paths[`${fill} ${opacity ?? 1}`] ??= []).push(`M${x} ${y}h${wide}v${tall}h${-wide}z`);
  return Object.entries(paths).map(([look, made]) => shape("path", { d: made.join(""), fill: look.split(" ")[0], opacity: look.split(" ")[1] }));
}

// The layers in a row, as high as their grid; shortcuts above, and below where the parameters and the work are.
function strip(width, { rows, arcs }) {
  const drawn = rows.map((row, index) => ({ ...row, index })).filter((row) => row.role);
  const left = 82, pitch = Math.min(30, (width - left - 4) / Math.max(1, drawn.length)), wide = Math.max(0.6, pitch - Math.min(3, pitch * 0.25));
  const x = new Map(drawn.map((row, i) => [row.index, left + i * pitch]));
  const largest = Math.max(...rows.map((row) => Math.max(row.output[1] ?? 1, row.output[2] ?? 1)));
  const high = 96, top = arcs.length ? 34 : 10, base = top + high, share = 34, nodes = []; // shortcuts need room above
  const named = (name, most, middle) => [text(0, middle, name), text(0, middle + 15, `≤ ${short(most)}`, { class: "soft", style: "font-size:11px" })];
  const level = (row) => 8 + (high - 8) * (Math.log(1 + Math.max(row.output[1] ?? 1, row.output[2] ?? 1)) / Math.log(1 + largest));
  const colour = (row) => `var(--x-${row.role})`;
  nodes.push(...named(say("grid"), largest, base - high / 2), shape("path", { class: "axis", d: `M${left - 4} ${base}H${width}` }));
  nodes.push(...bars(drawn.map((row) => ({ x: x.get(row.index), y: base - level(row), wide, tall: level(row), round: Math.min(2, wide / 3), fill: colour(row), opacity: row.shortcut ? 0.5 : 1,
    title: () => say("line {line}: {layer} → {output}", { line: row.line, layer: `${row.kind} ${row.detail}`, output: row.output.join(" × ") }) }))));
  for (const { from, to } of arcs) {
    const inside = drawn.filter((row) => row.index >= from && row.index < to);
    if (!inside.length) continue;
    const a = x.get(inside[0].index) - 1, b = x.get(inside.at(-1).index) + wide + 1, y = base - Math.max(...inside.map(level)) - 3;
    nodes.push(shape("path", { d: `M${a} ${y}C${a} ${y - 24} ${b} ${y - 24} ${b} ${y}`, fill: "none", stroke: "var(--x-skip)", "stroke-width": Math.min(2.2, Math.max(0.8, pitch / 5)) }));
  }
  [[say("parameters"), "parameters"], [say("MACs"), "macs"]].forEach(([name, key], part) => {
    const floor = base + (part + 1) * (share + 12), most = Math.max(1, ...drawn.map((row) => row[key]));
    nodes.push(...named(name, most, floor - share / 2), shape("path", { class: "axis", d: `M${left - 4} ${floor}H${width}` }));
    const tall = (row) => (share * row[key]) / most;
    nodes.push(...bars(drawn.filter(tall).map((row) => ({ x: x.get(row.index), y: floor - tall(row), wide, tall: tall(row), fill: colour(row) }))));
  });
  const [colours, end] = legend(width, width < 480 ? 0 : left, base + 2 * (share + 12) + 22, roles(drawn));
  return picture(width, end + 12, say("The {layers} convolutions, pools and linear layers in a row, as high as their grid, with {shortcuts}; below them their parameters and MACs.",
    { layers: drawn.length, shortcuts: plural(arcs.length, "shortcut") }), nodes, colours);
}

function chart(width, found, networks) {
  const height = Math.round(Math.min(380, Math.max(280, width * 0.55))), left = 54, right = 14, top = 28, bottom = height - 42;
  const own = found.macs ? [{ name: say("your network"), mine: true, parameters: found.parameters, macs: found.macs }] : [];
  const all = [...networks, ...own];
  const across = axis(all.map((one) => one.macs), left, width - right, true), up = axis(all.map((one) => one.parameters), bottom, top, true);
  const every = (scale, room) => { // where they are too close, the powers of ten, and then every other one
    const tight = (ticks) => ticks.length > 1 && (ticks.length - 1) * room >= Math.abs(scale(ticks.at(-1)) - scale(ticks[0]));
    let { ticks } = scale;
    if (tight(ticks)) ticks = ticks.filter((value) => Number.isInteger(Math.log10(value)));
    while (tight(ticks)) ticks = ticks.filter((_, i) => i % 2 === 0);
    return ticks;
  };
  const nodes = [
    ...every(across, 46).flatMap((value) => [shape("path", { class: "axis", d: `M${across(value)} ${top}V${bottom}` }), text(across(value), bottom + 16, short(value), { "text-anchor": "middle", class: "soft" })]),
    ...up.ticks.flatMap((value) => [shape("path", { class: "axis", d: `M${left} ${up(value)}H${width - right}` }), text(left - 6, up(value) + 4, short(value), { "text-anchor": "end", class: "soft" })]),
    text(width - right, height - 6, say("MACs"), { "text-anchor": "end" }), text(0, 13, say("parameters")),
  ];
  const taken = all.map((one) => [across(one.macs) - 7, up(one.parameters) - 7, across(one.macs) + 7, up(one.parameters) + 7]);
  const label = (one) => {
    const mine = Boolean(one.mine), wide = labelWidth(one.name, mine), cx = across(one.macs), cy = up(one.parameters);
    const near = [[12, 4, "start"], [-12, 4, "end"], [0, -12, "middle"], [0, 21, "middle"]];
    for (const [dx, dy, anchor] of mine ? [...near, ...further()] : near) {
      const lx = cx + dx, ly = cy + dy, from = anchor === "start" ? lx : anchor === "end" ? lx - wide : lx - wide / 2, box = [from, ly - 11, from + wide, ly + 3];
      if (box[0] < left || box[2] > width || box[1] < top - 12 || box[3] > bottom + 2) continue;
      if (!taken.every((other) => apartFrom(box, other))) continue;
      taken.push(box);
      return [leadTo(cx, cy, dx, dy), text(lx, ly, one.name, { "text-anchor": anchor, class: mine ? "x-label" : "soft", style: mine ? "font-weight:700" : "font-size:12px" })];
    }
    return [];
  };
  const labels = [...own, ...networks].flatMap(label);
  const dots = networks.map((one) => shape("circle", { cx: across(one.macs), cy: up(one.parameters), r: 5, fill: familyColour(one) },
    shape("title", {}, say("{name}: {macs} MACs, {parameters} parameters", { name: one.name, macs: grouped(one.macs), parameters: grouped(one.parameters) }))));
  const mine = own.map((one) => shape("path", { d: `M${across(one.macs)} ${up(one.parameters) - 9}l9 9l-9 9l-9 -9z`, fill: "var(--x-accent)", stroke: "var(--x-ink)", "stroke-width": 2 }));
  const [colours, end] = legend(width, 0, height + 14, families(networks));
  return picture(width, end + 8, say(own.length ? mark("Chart of parameters against MACs: {count} networks of the course, and yours as a diamond.")
    : mark("Chart of parameters against MACs: {count} networks of the course."), { count: networks.length }), nodes, dots, mine, labels.filter(Boolean), colours);
}

const PREFIX = "#network=";
// The network in an address, as programs on its way may leave it: some write its sign of equality as %3D, and then what
// follows twice over, or its name large. Null where there is none; an error where it was damaged.
const HELD = /^#network(=|%3D)/i;
function networkIn(hash) {
  const [start, sign] = hash.match(HELD) ?? [];
  if (!start) return null;
  const once = decodeURIComponent(hash.slice(start.length));
  return plainly(sign !== "=" && !/\s/.test(once) && /%[0-9A-F]{2}/i.test(once) ? decodeURIComponent(once) : once);
}
// A text as an editor has it: each line ends alike.
const plainly = (text) => text.replace(/\r\n?/g, "\n");
// Half of a letter that takes two, such as an emoji cut in two, has no place in an address: a sign stands for it.
const sound = (text) => text.replace(/[\ud800-\udfff]/gu, "\ufffd");

// Puts a place of this page into its address, without a new entry in the browser's history, and says whether it stands
// there now. Browsers refuse that with an error, or without a word where a page has asked too often, and may still let
// the page go to that place. A frame without an address of its own has none to change.
function addressed(fragment, state) {
  const wanted = `${location.href.split("#")[0]}${fragment}`;
  try { history.replaceState(state, "", wanted); } catch { /* see below */ }
  if (location.href !== wanted && fragment) location.replace(wanted);
  return location.href === wanted;
}
const NO_NETWORK = "#network"; // where the address cannot lose its place: one that is not on the page, which stays put

// What readers write stays with this tab, as drafts: { number, text }, the latest last. An entry of the browser's history
// names the one it shows, so that the way back leads to the text that stood there. The tab's storage has the texts, and
// where a browser gives none, the entry itself. Scripts of a page may empty its entry: then the latest draft is shown.
const DRAFTS = 20;
function drafts(key, longest) {
  let all = [];
  const usable = (one) => typeof one?.number === "number" && typeof one.text === "string"; // others may have written there
  try {
    const found = JSON.parse(sessionStorage.getItem(key));
    if (Array.isArray(found)) all = found.filter(usable);
  } catch { /* nothing is stored here */ }
  const of = (number) => all.find((one) => one.number === number);
  return {
    named: () => { // by the present entry
      const entry = history.state?.[key];
      return usable(entry) ? of(entry.number) ?? entry : null;
    },
    latest: () => all.at(-1) ?? null,
    // Has the present entry name a draft; `alone`, its address is to hold no network. Says whether that is so.
    name: (draft, alone) => {
      const short = [...draft.text].length <= longest; // an entry takes no more
      const state = { ...history.state, [key]: short ? draft : { ...draft, text: "" } };
      if (alone && HELD.test(location.hash)) return addressed("", state) || addressed(NO_NETWORK, state);
      try { history.replaceState(state, ""); } catch { /* not allowed here */ }
      return true;
    },
    store: (draft) => {
      all = [...all.filter((one) => one.number !== draft.number), draft].slice(-DRAFTS);
      try { sessionStorage.setItem(key, JSON.stringify(all)); } catch { /* not allowed here, or full */ }
    },
  };
}

function editor(model, read, place) {
  const language = model.get("language"), begin = model.get("text"), id = `network-${Date.now().toString(36)}-${++explorerCount}`;
  const area = element("textarea", { id, class: "x-code", "data-key": "text", spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off",
    rows: 16, "aria-describedby": `${id}-note`, oninput: () => save(area.value), onchange: () => area.value !== model.get("text") && save(area.value), onscroll: () => scroll(), onkeydown: (event) => { enter(event); undo(event); } });
  const numbers = element("span", { class: "x-numbers" }), wrong = element("span", { class: "x-wrong", hidden: true });
  const gutter = element("div", { class: "x-gutter", "aria-hidden": "true" }, numbers, wrong), stripe = element("div", { class: "x-stripe", "aria-hidden": "true", hidden: true });
  // A sentence stands behind the words of its line, which are there once more, unseen, as wide as they are. Where it does
  // not fit there, it stands below. Sizes are told after each layout: to ask would be another one.
  const ahead = element("span", { class: "x-ahead" }), reason = element("span", {});
  stripe.append(ahead, reason);
  const note = element("p", { class: "x-note x-hidden", id: `${id}-note` });
  const fit = () => {
    const { offsetLeft, offsetWidth } = reason;
    const fits = !note.textContent || (offsetLeft >= aside && offsetLeft + offsetWidth <= stripe.clientWidth);
    note.classList.toggle("x-hidden", fits);
    reason.style.visibility = fits ? "" : "hidden";
  };
  const sizes = new ResizeObserver(fit);
  for (const node of [stripe, ahead, reason]) sizes.observe(node);
  const save = (value) => {
    model.set("text", value);
    if ([...value].length <= language.longest) model.save_changes(); // Python takes no longer one
  };
  // The Korean edition of a page has the same drafts: its reader comes from here.
  const page = location.pathname.replace(/\/ko(?=\/[^/]*$)/, "");
  const written = drafts(`casestudies.network ${page} ${place}`, language.longest);
  // The draft that is being written: none yet where the address or the page has given the text.
  let draft = null, waits = 0, before = 0, stuck = false, arriving = false, lines = 0;
  const keep = () => { // at once, and then not too often: browsers refuse that
    if (arriving) return;
    clearTimeout(waits);
    const pause = draft && (stuck || !shared()) ? before + 350 - Date.now() : 0; // a draft begins, or the address is untrue
    if (pause > 0) waits = setTimeout(write, pause);
    else write();
  };
  const write = () => {
    before = Date.now();
    draft = { number: draft?.number ?? Date.now(), text: model.get("text") };
    written.store(draft);
    const was = shared() || stuck; // the address no longer says what stands here, and is to say nothing
    stuck = !written.name(draft, true);
    if (was) tell(stuck ? say("The address of this page still holds another network: this browser does not let the page change it now.") : "");
    here = spot();
    waits = stuck ? setTimeout(write, 3000) : 0; // what was asked too often may be asked again later
  };
  const leave = () => waits && write();
  // Thousands of numbers beside thousands of lines would take their time: only those around what is in view are there.
  const AROUND = 60;
  let top = 0, aside = 0, high = 0;
  const scroll = () => {
    top = area.scrollTop;
    aside = area.scrollLeft;
    stripe.style.right = `${-aside}px`;
    if (!stripe.hidden) requestAnimationFrame(fit); // to the left, nothing has another size
    high ||= parseFloat(getComputedStyle(area).lineHeight);
    number();
  };
  const number = () => { // reads nothing from the page, which would have to be laid out for it
    gutter.style.transform = `translateY(${-top}px)`;
    stripe.style.transform = `translate(${-aside}px, ${-top}px)`;
    const first = high ? Math.max(0, Math.floor(top / high / AROUND - 1) * AROUND) : 0, end = Math.min(lines, first + 4 * AROUND);
    const shown = `${first} ${end}`;
    if (numbers.dataset.shown === shown) return;
    numbers.dataset.shown = shown;
    numbers.style.marginTop = `calc(${first} * 1.45em)`;
    numbers.textContent = [...Array(Math.max(0, end - first)).keys()].map((i) => first + i + 1).join("\n");
  };
  // A box that scrolls shows paper a part of its lines: these are all of them, as long as the page is printed.
  const paper = element("div", { class: "x-printed" });
  const print = () => {
    const value = model.get("text"), { mistake } = read(value), all = value.split("\n"), wide = String(all.length).length;
    paper.replaceChildren(...all.map((line, i) => element("div", {}, element("span", { style: `min-width: ${wide}ch` }, String(i + 1)), element("span", {}, line),
      mistake?.line === i + 1 ? element("em", {}, `← ${mistake.reason}`) : null)));
  };
  const printed = () => paper.replaceChildren();
  // An example takes the place of what stood there: if that was the reader's own, it can be brought back.
  const given = new Set([begin, model.get("start"), ...Object.values(model.get("course"))].map(plainly));
  let own = null;
  const back = element("button", { type: "button", hidden: true, onclick: () => {
    const text = own;
    own = null;
    save(text);
    area.focus({ preventScroll: true }); // this button has gone
  } }, say("bring my text back"));
  const undo = (event) => { // the browser's own forgets what was before an example
    if (own === null || !given.has(area.value) || event.shiftKey || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    back.click();
  };
  const enter = (event) => { // a new line is indented as the one before, and more under block and repeat
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.altKey) return;
    const before = area.value.slice(0, area.selectionStart), line = before.slice(before.lastIndexOf("\n") + 1);
    const indent = line.match(/^ */)[0] + (/^ *(block|repeat)\b/.test(line) ? "  " : "");
    if (!indent) return; // the browser's own new line is quicker, and can be undone
    event.preventDefault();
    if (document.execCommand("insertText", false, `\n${indent}`)) return; // it can be undone, and is an input as any other
    area.setRangeText(`\n${indent}`, area.selectionStart, area.selectionEnd, "end");
    save(area.value);
  };
  // The link to what stands here, wherever it may be put: the address, the clipboard, or else these lines.
  const share = element("button", { type: "button", hidden: !isStatic(), onclick: () => {
    const text = sound(plainly(model.get("text")));
    const fragment = `${PREFIX}${encodeURIComponent(text)}`, link = `${location.href.split("#")[0]}${fragment}`;
    if (!/^(https?|file):/.test(link)) return tell(say("This page has no address of its own, so there is no link to your network."));
    clearTimeout(waits);
    if (waits) write();
    const there = addressed(fragment, history.state) && window === window.top; // the address of a frame is not seen
    [stuck, here] = [shared() && decoded() !== text, spot()];
    if (!stuck) {
      clearTimeout(waits);
      waits = 0;
    }
    if (link.startsWith("file:")) tell(say("This page is a file: the link to your network works on this computer only."), !there && link);
    else if (there) tell(say("The address of this page now holds your network."));
    else tell(say("This page may not change its address; open or copy this link:"), link);
    navigator.clipboard?.writeText(link).then(() => {
      if (!link.startsWith("file:")) tell(say("The address of your network is copied: whoever opens it sees your network here."));
    }, () => {});
  } }, say("share it by its address"));
  const told = element("span", { class: "x-caption", role: "status" });
  const tell = (text, link) => told.replaceChildren(text, ...(link ? [" ", element("a", { href: link, target: "_blank", rel: "noopener" }, say("your network"))] : []));
  const known = element("details", {}, element("summary", {}, say("The language")),
    element("p", {}, say("One layer a line; what follows the first number may be left out. A convolution is padded so that only its stride changes the grid, unless pad says otherwise, and it has a bias unless a norm follows. block adds its input to what the indented lines make of it, and projects it where the shapes differ; repeat writes the indented lines several times. After # comes a comment.")),
    element("ul", { class: "x-words" }, ...Object.values(language.usage).map((line) => element("li", {}, element("code", {}, line)))));
  const show = () => {
    const value = model.get("text"), shows = plainly(value);
    if (area.value !== shows) {
      if (arriving) own = null;
      else if (area.value && !given.has(area.value)) own = area.value;
      area.value = shows;
    }
    back.hidden = own === null || own === area.value;
    const { mistake } = read(value);
    lines = Math.min(value.split("\n").length, language.longest);
    numbers.style.minWidth = `calc(${String(lines).length}ch + 0.4rem)`;
    area.setAttribute("aria-invalid", String(Boolean(mistake)));
    note.textContent = mistake ? closed(mistake.message) : "";
    stripe.hidden = wrong.hidden = !mistake;
    if (mistake) { // the sentence stands on its line, behind the words, where there is room
      const words = value.split("\n")[mistake.line - 1] ?? "";
      stripe.style.top = wrong.style.top = `calc(0.5rem + ${mistake.line - 1} * 1.45em)`;
      wrong.textContent = String(mistake.line);
      ahead.textContent = `${words}  `;
      reason.textContent = `← ${mistake.reason}`;
    } else note.classList.add("x-hidden");
    number();
  };
  const root = element("div", { class: "x-wide" }, element("label", { for: id }, say("Your network, one layer a line")),
    element("div", { class: "x-editor" }, gutter, element("div", { class: "x-lines" }, stripe, area)), paper, note,
    element("div", { class: "x-presets" }, share, back, told), known);
  const shared = () => HELD.test(location.hash);
  const decoded = () => { // null, if the address was damaged
    try { return networkIn(location.hash); } catch { return null; }
  };
  const comeUp = (node = root, block = "start") => requestAnimationFrame(() => node.scrollIntoView({ block }));
  const spot = () => `${location.hash} ${written.named()?.number}`;
  const begins = (text) => {
    arriving = true;
    try { save(text); } finally { arriving = false; }
  };
  let here = null;
  // The text of the present entry of the history: of its address, else of the draft that it names. An entry without
  // either is another section of the page, where the same text goes on; or the way here led out of the address.
  const open = () => {
    if (here === spot()) return; // one step back is told twice
    const first = here === null, left = HELD.test(here ?? "");
    if (waits) { // the entry that was left names this draft already
      clearTimeout(waits);
      waits = 0;
      written.store({ ...draft, text: model.get("text") });
    }
    tell("");
    [stuck, here] = [false, spot()];
    if (shared()) {
      const text = decoded();
      if (text !== null) {
        draft = null;
        begins(text);
        comeUp();
        return;
      }
      comeUp(told, "center"); // below the editor, which is higher than a low window
      tell(say("The address of this page is damaged: the network in it cannot be read."));
    }
    const named = written.named(), next = named ?? (first || left || shared() ? written.latest() : draft);
    draft = next;
    if (named || first || left || shared()) begins(next?.text ?? begin);
    if (next && !named) {
      written.name(next);
      here = spot();
    }
  };
  addEventListener("beforeprint", print);
  addEventListener("afterprint", printed);
  if (isStatic()) {
    for (const event of ["hashchange", "popstate"]) addEventListener(event, open);
    addEventListener("pagehide", leave);
    open();
    model.on("change:text", keep);
  }
  return { key: "text", root, show, stop: () => {
    clearTimeout(waits);
    model.off("change:text", keep);
    sizes.disconnect();
    removeEventListener("beforeprint", print);
    removeEventListener("afterprint", printed);
    for (const event of ["hashchange", "popstate"]) removeEventListener(event, open);
    removeEventListener("pagehide", leave);
  } };
}

export default {
  render: speaking(({ model, el }) => {
    let last = { sentence: "" }, redraw = () => {};
    const reads = reading(model.get("language"), () => redraw());
    const stop = explorer(model, el, {
      title: say("Your own network"),
      hint: say("Write a network, or change one of the course. Everything below follows while you type."),
      presets: [[say("a small residual one"), { text: model.get("start") }], ...Object.entries(model.get("course")).map(([name, text]) => [name, { text }])],
      keys: ["networks"],
      controls: [() => editor(model, reads.of, placeOf(el))],
      update({ text, networks }, _, again) {
        redraw = again;
        const { found, mistake, late } = reads.of(text);
        if (late) return { ...last, busy: true };
        if (mistake) return (last = { sentence: closed(mistake.message), impossible: true });
        return (last = {
          sentence: sentence(found, networks),
          draw: (width) => [strip(width, found), chart(width, found, networks)],
          table: {
            caption: say("The ledger, in the order of use; memory is what a layer writes, in bytes of fp32"),
            head: [say("Line"), say("Layer"), say("Output"), say("Parameters"), say("MACs"), say("Memory"), say("Sees")],
            rows: found.rows.map((row) => [String(row.line), { name: row.kind, more: row.detail }, row.output.join(" × "), row.parameters, row.macs, 4 * row.activations, row.field]),
            foot: ["", say("total"), "", found.parameters, found.macs, 4 * found.activations, ""],
          },
        });
      },
    });
    return () => { stop(); reads.stop(); };
  }),
};
