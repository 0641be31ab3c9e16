// EfficientNet-Lite0 on photographs: its maps as levels that the page unpacks when the explorer comes into view.

// base64 of compressed bytes -> the bytes
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// All maps of one photograph: layer -> channels, each with its numbers.
async function mapsOf(photo, layers, sprites) {
  const found = await Promise.all(Object.values(layers).map(async (layer) => {
    const bytes = await inflate(sprites[`${photo}/${layer.name}`]), area = layer.side ** 2;
    const levels = layer.bytes === 2 ? new Uint16Array(bytes.buffer) : bytes;
    return [layer.name, [...Array(levels.length / area).keys()].map((c) => {
      const low = layer.low[c] ?? layer.low[0], step = layer.step[c] ?? layer.step[0];
      return Float64Array.from(levels.subarray(c * area, (c + 1) * area), (level) => low + step * level);
    })];
  }));
  return Object.fromEntries(found);
}

// Single-precision numbers from base64 (little endian).
const singles = (text) => Float64Array.from(new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer));

const sumOf = (values) => {
  let sum = 0;
  for (let k = 0; k < values.length; k++) sum += values[k];
  return sum;
};

// Least, largest, mean and largest size of the numbers of a map, which never change: counted once.
const known = new WeakMap();
function extremes(map) {
  if (!known.has(map)) {
    let least = Infinity, largest = -Infinity;
    for (let k = 0; k < map.length; k++) {
      if (map[k] < least) least = map[k];
      if (map[k] > largest) largest = map[k];
    }
    known.set(map, { least, largest, mean: sumOf(map) / map.length, size: Math.max(1e-9, -least, largest) });
  }
  return known.get(map);
}
const mean = (map) => extremes(map).mean, largest = (map) => extremes(map).largest, least = (map) => extremes(map).least;

// Of a map and of what a stride makes of it: Pearson's correlation over one grid, null where one of the two is constant.
function correlation(x, side, stride, z) {
  const rows = side / stride, pooled = new Float64Array(rows * rows);
  for (let i = 0, k = 0; i < side; i++)
    for (let j = 0; j < side; j++, k++) pooled[Math.floor(i / stride) * rows + Math.floor(j / stride)] += x[k] / stride ** 2;
  const a = mean(pooled), b = mean(z);
  let both = 0, one = 0, other = 0;
  for (let k = 0; k < z.length; k++) {
    both += (pooled[k] - a) * (z[k] - b);
    one += (pooled[k] - a) ** 2;
    other += (z[k] - b) ** 2;
  }
  return one * other < 1e-18 ? null : both / Math.sqrt(one * other);
}

// A depthwise filter at work: the sums of the products, and what norm and ReLU6 make of them.
function filtered(x, side, made, index) {
  const { kernel, stride, before } = made, weights = made.weights[index], sums = new Float64Array(made.side ** 2);
  const wide = Math.max(side + before, (made.side - 1) * stride + kernel), padded = new Float64Array(wide * wide);
  for (let i = 0; i < side; i++) padded.set(x.subarray(i * side, (i + 1) * side), (i + before) * wide + before);
  for (let i = 0, p = 0; i < made.side; i++)
    for (let j = 0; j < made.side; j++, p++) {
      let sum = 0;
      for (let u = 0, k = 0; u < kernel; u++)
        for (let v = 0, at = (i * stride + u) * wide + j * stride; v < kernel; v++, k++) sum += weights[k] * padded[at + v];
      sums[p] = sum;
    }
  const output = sums.map((z) => Math.min(6, Math.max(0, z * made.scale[index] + made.shift[index])));
  const total = sumOf(weights.map(Math.abs));
  const window = (i, j) => weights.map((_, k) => padded[(i * stride + Math.floor(k / kernel)) * wide + j * stride + (k % kernel)]);
  return { weights, sums, output, window, middle: total ? Math.abs(weights[(weights.length - 1) / 2]) / total : 0,
    correlation: correlation(x, side, stride, sums) };
}

// Where the logit of a class comes from: its map, and for each channel weight times mean.
function explained(maps, weights, bias) {
  const map = new Float64Array(maps[0].length);
  maps.forEach((channel, c) => { for (let k = 0; k < map.length; k++) map[k] += weights[c] * channel[k]; });
  const means = maps.map(mean), contributions = means.map((value, c) => weights[c] * value);
  return { map, means, contributions, order: descending(contributions), logit: mean(map) + bias };
}
const descending = (values) => [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);

// Keeps the latest results by their key: a pointer on its way over a map asks for the same ones again and again.
function remembering(count = 24) {
  const known = new Map();
  return (key, make) => {
    if (!known.has(key)) known.set(key, make());
    if (known.size > count) known.delete(known.keys().next().value);
    return known.get(key);
  };
}

// What is shown at the present settings, with all that is computed for it. `ready` has the maps of each photograph.
function compute(s, ready, weights, kept) {
  const maps = ready.get(s.photo), layer = s.layers[s.layer], made = s.depthwise[s.layer], all = maps[s.layer], answer = s.answers[s.photo][s.rank];
  const side = made?.side ?? layer.side, row = Math.min(s.row, side - 1), column = Math.min(s.column, side - 1);
  const index = layer.kept.length ? Math.min(s.channel, layer.kept.length - 1) : s.channel;
  const one = { layer, made, all, answer, side, row, column, index, cell: row * side + column };
  // The map of one channel on every photograph that is unpacked.
  const everywhere = (of) => Object.keys(s.answers).filter((photo) => ready.get(photo)).map((photo) => [photo, of(photo, ready.get(photo)[s.layer])]);
  if (s.part === "stages") return { ...one, map: all[index], photos: everywhere((_, maps) => maps[index]) };
  if (s.part === "filters") {
    const of = (photo, maps) => (c) => kept(`${photo} ${s.layer} ${c}`, () => filtered(maps[c], layer.side, made, c));
    const every = all.map((_, c) => of(s.photo, all)(c));
    return { ...one, every, found: every[index], map: every[index].output, photos: everywhere((photo, maps) => of(photo, maps)(index).output) };
  }
  const w = weights(answer.name), bias = s.biases[answer.name], found = kept(`${s.photo} ${answer.name}`, () => explained(all, w, bias));
  const there = all.map((channel, c) => w[c] * channel[one.cell]), chosen = found.order[index];
  return { ...one, found, there, most: descending(there).slice(0, 3), map: found.map, chosen, bias, photos: everywhere((_, maps) => maps[chosen]) };
}

const sentences = {
  stages(s, { layer, map, index, row, column, cell }) {
    return say("The {photo}, {layer}: {channels} channels of {side}, one number for {jump} pixels. Channel {channel} goes from {least} to {most}, {mean} on average; row {row}, column {column}: {value}.",
      { photo: say(s.photo), layer: told(s.layer), channels: grouped(layer.channels), side: square(layer.side), jump: square(layer.jump), channel: layer.kept[index],
        least: fixed(least(map), 2), most: fixed(largest(map), 2), mean: fixed(mean(map), 2), row, column, value: fixed(map[cell], 2) });
  },
  filters(s, { layer, made, found, index, row, column, cell }) {
    return [
      say("The {photo}, {layer}, channel {channel}: a filter of {kernel}, stride {stride}.",
        { photo: say(s.photo), layer: told(s.layer), channel: layer.kept[index], kernel: square(made.kernel), stride: made.stride }),
      say(found.correlation == null ? mark("Its middle weight is {middle} % of all its weight; here its input or its output is the same everywhere.")
        : mark("Its middle weight is {middle} % of all its weight; its input and its output correlate by {correlation}."),
      { middle: fixed(100 * found.middle, 0), correlation: fixed(found.correlation ?? 0, 2) }),
      say("Row {row}, column {column}: {products} sum to {sum}, and batch norm and ReLU6 make {value} of it.",
        { row, column, products: plural(made.kernel ** 2, "product"), sum: fixed(found.sums[cell], 3), value: fixed(found.output[cell], 3) }),
    ].join(" ");
  },
  classes(s, { answer, found, there, most, bias, chosen, index, row, column, cell }) {
    const hundred = sumOf(found.order.slice(0, 100).map((c) => found.contributions[c]));
    return [
      say("“{name}” for the {photo} ({share} %): the mean of its class map, {mean}, and the bias, {bias}, make the logit, {logit}.",
        { name: answer.name, photo: say(s.photo), share: fixed(100 * answer.share, 1), mean: fixed(mean(found.map), 2), bias: fixed(bias, 2), logit: fixed(found.logit, 2) }),
      say("Of {count} contributions, the 100 largest add up to {hundred}; no. {number}, channel {channel}, gives {value}.",
        { count: grouped(found.order.length), hundred: fixed(hundred, 2), number: index + 1, channel: chosen, value: fixed(found.contributions[chosen], 3) }),
      say("Row {row}, column {column} of the map: {value}, the largest parts from the channels {channels}.",
        { row, column, value: fixed(found.map[cell], 2), channels: most.map((c) => `${c} (${fixed(there[c], 2)})`).join(", ") }),
    ].join(" ");
  },
};

const tables = {
  stages: (s) => ({ caption: say("What goes from stage to stage (zeros: of all channels, on all photographs)"),
    head: [say("Output of"), say("Grid"), say("Channels"), say("Numbers"), say("Zeros")],
    rows: Object.values(s.layers).map(({ name, side, channels, zeros }) => ({ class: name === s.layer ? "x-now" : null,
      cells: [told(name), square(side), channels, channels * side * side, `${fixed(100 * zeros, 1)} %`] })) }),
  filters: (s, { layer, every, index }) => ({ caption: say("Channels of {layer}, from the filter with most of its weight in the middle to the one with least", { layer: told(s.layer) }),
    head: [say("Channel"), say("Middle weight"), say("Correlation"), say("Largest output")],
    rows: every.map((one, c) => ({ class: c === index ? "x-now" : null, cells: [String(layer.kept[c]), `${fixed(100 * one.middle, 0)} %`,
      one.correlation == null ? "–" : fixed(one.correlation, 2), fixed(largest(one.output), 3)] })) }),
  classes(s, { found, bias, index }, weights) {
    const { order, contributions, means, logit } = found, w = weights(s.answers[s.photo][s.rank].name);
    let sum = 0;
    const line = (name, part, value, now = false) => ({ class: now ? "x-now" : null, cells: [name, fixed(value, 3), fixed((sum += value), 3), ...part] });
    const rest = (from, to) => sumOf(order.slice(from, to).map((c) => contributions[c]));
    return { caption: say("What the logit is made of: weight times mean of the channel's map, summed"), head: [say("Channel"), say("Product"), say("Sum so far"), say("Weight"), say("Mean")],
      rows: [...order.slice(0, 8).map((c, i) => line(String(c), [fixed(w[c], 3), fixed(means[c], 3)], contributions[c], i === index)),
        line(say("the next 92"), ["", ""], rest(8, 100)), line(say("the other {count}", { count: grouped(order.length - 100) }), ["", ""], rest(100)), line(say("bias"), ["", ""], bias)],
      foot: [say("logit"), "", fixed(logit, 3), "", ""] };
  },
};

// The map over the photograph: the colour says the sign, what is far from zero covers most.
function veil(canvas, map, side, cover, [positive, negative], most = extremes(map).size) {
  Object.assign(canvas, { width: side, height: side });
  const context = canvas.getContext("2d"), picture = context.createImageData(side, side);
  for (let k = 0, at = 0; k < map.length; k++) {
    const tint = map[k] > 0 ? positive : negative;
    for (let i = 0; i < 3; i++) picture.data[at++] = tint[i];
    picture.data[at++] = 2.55 * cover * Math.abs(map[k]) / most;
  }
  context.putImageData(picture, 0, 0);
}

// A picture that can be pointed at: its canvas, the frame of the chosen cell, and a photograph below where wanted.
function pane(model, name, photograph) {
  const canvas = element("canvas", { class: photograph ? "x-maps x-veil" : "x-maps", role: "img" }), over = shape("svg", { class: "x-over", "aria-hidden": "true" });
  const image = photograph ? element("img", { alt: "" }) : null, caption = element("p", { class: "x-caption" }), side = { now: 1 };
  const frame = element("div", { class: "x-frame", "data-pane": name }, image, canvas, over);
  const choose = (event) => {
    if (!side.now) return;
    const box = frame.getBoundingClientRect();
    const at = (value, from, size) => Math.max(0, Math.min(side.now - 1, Math.floor(((value - from) / size) * side.now)));
    together(() => {
      model.set("row", at(event.clientY, box.top, box.height));
      model.set("column", at(event.clientX, box.left, box.width));
    });
    model.save_changes();
  };
  frame.addEventListener("pointerdown", choose);
  frame.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") choose(event); });
  // The frame of the chosen cell, in cells of the canvas; `places` is the grid that pointing chooses from.
  const mark = (size, row, column, high = 1, places = size) => {
    side.now = places;
    over.setAttribute("viewBox", `0 0 ${size} ${size}`);
    over.replaceChildren(shape("rect", { x: column, y: row, width: high, height: high, fill: "none", stroke: "var(--x-skip)", "stroke-width": 3, "vector-effect": "non-scaling-stroke" }));
  };
  return { root: element("div", { class: "x-pane" }, caption, frame), canvas, image, caption, frame, mark };
}

// Buttons, made once for each of `count`, that hold a canvas each and set one number of the model.
function choices(model, key, label) {
  const root = element("div", { class: "x-thumbs", role: "group", "aria-label": label });
  return { root, of: (count) => {
    while (root.children.length > count) root.lastChild.remove();
    while (root.children.length < count) {
      const value = root.children.length;
      root.append(element("button", { type: "button", class: "x-thumb", "data-point": `${key}-${value}`, onclick: () => {
        model.set(key, value);
        model.save_changes();
      } }));
    }
    return [...root.children];
  } };
}

const number = (key) => (model) => { // set by the pictures below; Python and the tests set it, too
  const field = element("input", { type: "hidden", "data-key": key, onchange: () => { model.set(key, Number(field.value)); model.save_changes(); } });
  return { key, root: field, show: () => (field.value = model.get(key)) };
};

function view(model) {
  const { part, sprites, layers, credits } = Object.fromEntries(["part", "sprites", "layers", "credits"].map((key) => [key, model.get(key)]));
  const over = pane(model, "over", true), panes = { stages: ["map"], filters: ["input", "filter", "output"], classes: ["map", "channel"] }[part]
    .map((name) => pane(model, name, name === "channel"));
  const names = Object.keys(layers);
  const ladder = element("div", { class: "x-thumbs", role: "group", "aria-label": say("Stages") }, ...(part === "stages" ? names.map((name) =>
    element("button", { type: "button", class: "x-thumb", "data-point": name.replace(" ", "-"), onclick: () => {
      const middle = layers[name].side >> 1;
      for (const [key, value] of Object.entries({ layer: name, channel: 0, row: middle, column: middle })) model.set(key, value);
      model.save_changes();
    } }, element("canvas", { class: "x-maps", "aria-hidden": "true" }), element("span", {}, told(name)), element("small", {}, square(layers[name].side)), element("small", {}, say("{channels} ch.", { channels: grouped(layers[name].channels) })))) : []));
  const channels = choices(model, "channel", part === "classes" ? say("Contributions") : say("Channels")), ranks = choices(model, "rank", say("Classes"));
  const products = element("div", { class: "x-grids" });
  const credit = element("p", { class: "x-caption" }), title = (text) => element("p", { class: "x-caption" }, text), same = title("");
  const photos = element("div", { class: "x-thumbs", role: "group", "aria-label": say("The same channel on all photographs") });
  const root = element("div", { class: "x-inside" },
    ...(part === "stages" ? [title(say("One channel of each stage:")), ladder] : []),
    ...(part === "classes" ? [title(say("What the network names, by its logits:")), ranks.root] : []),
    element("div", { class: "x-panes", style: `--panes:${panes.length + 1}` }, over.root, ...panes.map((one) => one.root)), credit,
    ...(part === "filters" ? [title(say("At the marked place of the output:")), products] : []),
    title({ stages: say("Channels of this stage:"), filters: say("Channels of this layer, filter and output:"), classes: say("The channels that contribute most to this class:") }[part]), channels.root, same, photos);
  let painted = "";

  const label = (canvas, text) => canvas.setAttribute("aria-label", text);
  const press = (button, now) => button.setAttribute("aria-pressed", String(now));
  const range = (map) => ({ least: fixed(least(map), 2), most: fixed(largest(map), 2) });
  const bar = (share, role) => element("span", { class: "x-share", style: `--share:${fixed(100 * Math.max(0, share), 1)}%;--tint:var(--x-${role})` });

  return (width, s, one, maps) => {
    const colours = tints(root), { layer, found, row, column, index } = one, side = one.side;
    const best = s.answers[s.photo][0];
    const source = `data:image/jpeg;base64,${sprites[`photo ${s.photo}`]}`;
    credit.textContent = say("Blue is above zero, orange below. Photograph: {credit}. The network's answer: {answer} ({share} %).",
      { credit: told(credits[s.photo]), answer: best.name, share: fixed(100 * best.share, 1) });
    const key = JSON.stringify([s.photo, s.layer, s.rank, index, s.cover, one.photos.length, colours]), fresh = key !== painted;
    painted = key;
    const show = (pane, what, map, size) => {
      if (!fresh) return;
      montage(pane.canvas, map, 1, size, 1, colours);
      pane.caption.replaceChildren(...whole(say("{what}, from {least} to {most}", { what, ...range(map) })));
      label(pane.canvas, say("{what}: {side} numbers from {least} to {most}", { what, side: square(size), ...range(map) }));
    };
    const lay = (pane, what, map) => {
      if (!fresh) return;
      veil(pane.canvas, map, side, s.cover, colours);
      Object.assign(pane.image, { src: source, alt: say("Photograph: {photo}", { photo: say(s.photo) }) });
      pane.caption.textContent = what;
      label(pane.canvas, say("The {side} numbers of {what}, from {least} to {most}", { side: square(side), what, ...range(map) }));
    };
    lay(over, say({ stages: mark("channel {channel} over the photograph"), filters: mark("output over the photograph"), classes: mark("“{name}” over the photograph") }[part],
      { channel: layer.kept[index], name: one.answer.name }), one.map);
    over.mark(side, row, column);
    // What a channel looks for shows in where it speaks: the same one on all photographs, on one scale.
    const own = layer.kept[index] ?? one.chosen;
    same.textContent = say(part === "filters" ? mark("Channel {channel} after its filter on all photographs, on one scale, each with its mean:")
      : mark("Channel {channel} on all photographs, on one scale, each with its mean:"), { channel: own });
    if (fresh) {
      const scale = Math.max(...one.photos.map(([, map]) => extremes(map).size));
      photos.replaceChildren(...one.photos.map(([photo, map]) => {
        const canvas = element("canvas", { class: "x-maps x-veil", "aria-hidden": "true" });
        veil(canvas, map, side, Math.max(s.cover, 60), colours, scale);
        return element("button", { type: "button", class: "x-thumb", "data-point": `photo-${photo}`, "aria-pressed": String(photo === s.photo), onclick: () => {
          model.set("photo", photo);
          model.save_changes();
        } }, element("span", { class: "x-stamp" }, element("img", { src: `data:image/jpeg;base64,${sprites[`photo ${photo}`]}`, alt: "" }), canvas),
          element("span", {}, say(photo)), element("small", {}, fixed(mean(map), 2)));
      }));
    }
    if (part === "stages") {
      show(panes[0], say("channel {channel}, {side}", { channel: layer.kept[index], side: square(side) }), one.map, side);
      panes[0].mark(side, row, column);
      if (fresh) names.forEach((name, i) => {
        const button = ladder.children[i];
        montage(button.firstChild, maps[name][0], 1, layers[name].side, 1, colours);
        press(button, name === s.layer);
      });
    } else if (part === "filters") {
      const { made } = one, [input, filter, output] = panes;
      show(input, say("input, {side}", { side: square(layer.side) }), one.all[index], layer.side);
      show(filter, say("filter, {side}", { side: square(made.kernel) }), found.weights, made.kernel);
      show(output, say("output, {side}", { side: square(side) }), found.output, side);
      filter.mark(made.kernel, 0, 0, made.kernel, 0);
      input.mark(layer.side, row * made.stride - made.before, column * made.stride - made.before, made.kernel, side);
      output.mark(side, row, column);
      const seen = found.window(row, column), beside = width >= 520;
      const cell = Math.min(42, Math.floor(beside ? (width - 60) / (3 * made.kernel) : Math.min(width - 8, 220) / made.kernel));
      products.replaceChildren(numbersIn(say("input"), seen, made.kernel, cell), numbersIn(say("× weights"), found.weights, made.kernel, cell),
        numbersIn(say("= products"), seen.map((value, k) => value * found.weights[k]), made.kernel, cell));
    } else {
      const [map, channel] = panes;
      show(map, say("class map of “{name}”", { name: one.answer.name }), one.map, side);
      map.mark(side, row, column);
      lay(channel, say("channel {channel} over the photograph", { channel: one.chosen }), one.all[one.chosen]);
      channel.mark(side, row, column);
      if (fresh) ranks.of(s.answers[s.photo].length).forEach((button, rank) => {
        const { name, logit, share } = s.answers[s.photo][rank];
        button.classList.add("x-row");
        press(button, rank === s.rank);
        button.replaceChildren(element("span", {}, name), bar(logit / best.logit, "residual"), element("span", { class: "x-number" }, fixed(logit, 2)),
          element("small", { class: "x-number" }, `${fixed(100 * share, 1)} %`));
      });
    }
    if (fresh) channels.of(part === "classes" ? 8 : layer.kept.length).forEach((button, c) => {
      press(button, c === index);
      const canvas = (map, size) => {
        const made = element("canvas", { class: "x-maps", "aria-hidden": "true" });
        montage(made, map, 1, size, 1, colours);
        return made;
      };
      if (part === "stages") button.replaceChildren(canvas(one.all[c], side), element("span", {}, String(layer.kept[c])));
      else if (part === "filters") button.replaceChildren(element("span", { class: "x-two" }, canvas(one.every[c].weights, one.made.kernel), canvas(one.every[c].output, side)), element("span", {}, String(layer.kept[c])));
      else {
        const place = found.order[c], value = found.contributions[place];
        button.classList.add("x-row");
        button.replaceChildren(element("span", {}, say("channel {channel}", { channel: place })), canvas(one.all[place], side), bar(value / found.contributions[found.order[0]], "residual"), element("span", { class: "x-number" }, fixed(value, 3)));
      }
      if (part !== "classes") button.setAttribute("aria-label", say("Channel {channel}", { channel: layer.kept[c] }));
    });
    return root;
  };
}

const HINTS = {
  stages: mark("EfficientNet-Lite0, trained on ImageNet, reads a photograph. From stage to stage its maps get smaller, and there are more of them. Point at a map to read a number."),
  filters: mark("A depthwise layer of EfficientNet-Lite0, trained on ImageNet: each channel has one filter of its own, which computes here and now."),
  classes: mark("EfficientNet-Lite0, trained on ImageNet. Its last layer is applied at every place: a map for each class, whose mean is the logit."),
};

export default {
  render: speaking(({ model, el }) => {
    const part = model.get("part"), layers = model.get("layers"), sprites = model.get("sprites"), answers = model.get("answers");
    const ready = new Map(), show = view(model), decoded = {};
    const weights = (name) => (decoded[name] ??= singles(sprites[`class ${name}`]));
    const kept = remembering(120);
    let seen = false, loading = null, again = () => {}, failed = null, latest = null;
    const load = async (photo) => { // this one first, then the others, each in a turn of its own
      try {
        for (const name of [photo, ...Object.keys(answers)]) {
          if (ready.get(name)) continue;
          ready.set(name, await mapsOf(name, layers, sprites));
          again();
          await new Promise((done) => setTimeout(done));
        }
      } catch (error) {
        failed = say("The maps cannot be unpacked here ({why}).", { why: error.message });
        again();
      }
    };
    const side = (s) => s.depthwise[s.layer]?.side ?? s.layers[s.layer].side, names = Object.keys(layers);
    const place = (key, name) => ({ key, label: name, min: 0, max: 111, limit: (s) => side(s) - 1 });
    const stop = explorer(model, el, {
      title: say("Look inside a trained network"),
      hint: say(HINTS[part]),
      keys: ["part", "layer", "layers", "depthwise", "biases", "answers"],
      controls: [
        { key: "photo", label: say("Photograph"), options: Object.keys(answers).map((name) => [name, say(name)]) },
        ...(names.length > 1 ? [{ key: "layer", label: part === "stages" ? say("Stage") : say("Layer"), options: names.map((name) => [name, name.startsWith("stage ") ? name.replace("stage ", "") : told(name)]),
          also: (name) => { const middle = (model.get("depthwise")[name]?.side ?? layers[name].side) >> 1; return { channel: 0, row: middle, column: middle }; } }] : []),
        number("channel"), number("rank"),
        place("row", say("Row")), place("column", say("Column")),
        { key: "cover", label: say("Overlay, %"), min: 0, max: 100 },
      ],
      update(s, _, redraw) {
        again = redraw;
        if (failed) return { sentence: failed, impossible: true };
        if (seen && !loading) loading = load(s.photo);
        if (!ready.get(s.photo)) {
          return { sentence: say("The maps are unpacked when they come into view."), busy: true, draw: latest };
        }
        const one = compute(s, ready, weights, kept), maps = ready.get(s.photo);
        latest = (width) => show(width, s, one, maps);
        return { sentence: sentences[part](s, one), draw: latest, table: tables[part](s, one, weights) };
      },
    });
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      seen = true;
      again();
    }, { rootMargin: "600px" });
    watch.observe(el);
    return () => { stop(); watch.disconnect(); };
  }),
};
