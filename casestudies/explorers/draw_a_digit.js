// A trained LeNet-5 computes in the page: draw a digit, see every map, and take one number apart.

const T = tensors(), LAYER_WORDS = [mark("image"), mark("output")]; // the other layers have names
const LETTERS = "abcdefghijklmnopq", MOST = 16, SIDE = 32, INNER = 24, GRID = 8;
// layer: channels, side, what makes a number, its kernel; the layer before; receptive field, jump; columns of its picture
const LAYERS = {
  C1: { maps: 6, side: 28, kind: "conv", kernel: 5, before: "image", field: 5, jump: 1, columns: 6 },
  S2: { maps: 6, side: 14, kind: "average", kernel: 2, before: "C1", field: 6, jump: 2, columns: 6 },
  C3: { maps: 16, side: 10, kind: "conv", kernel: 5, before: "S2", field: 14, jump: 2, columns: 8 },
  S4: { maps: 16, side: 5, kind: "average", kernel: 2, before: "C3", field: 16, jump: 4, columns: 8 },
  C5: { maps: 120, side: 1, kind: "conv", kernel: 5, before: "S4", field: SIDE, jump: 0, columns: 40 },
  F6: { maps: 84, side: 1, kind: "linear", kernel: 1, before: "C5", field: SIDE, jump: 0, columns: 42 },
  output: { maps: 10, side: 1, kind: "linear", kernel: 1, before: "F6", field: SIDE, jump: 0, columns: 10 },
};
const MAKES = { C1: mark("convolution 5 × 5, tanh"), S2: mark("average 2 × 2"), C3: mark("convolution 5 × 5, tanh"), S4: mark("average 2 × 2"),
  C5: mark("convolution 5 × 5, tanh"), F6: mark("linear, tanh"), output: mark("linear: the logits") };

// 64 letters -> the network's image: enlarged to 24 x 24 as torch does it (bilinear, corners not aligned), a margin of
// four, normalised as the data are.
function prepare(pixels, [mean, deviation]) {
  const levels = [...pixels].map((letter) => LETTERS.indexOf(letter));
  const image = new Float64Array(SIDE * SIDE).fill(-mean / deviation), margin = (SIDE - INNER) / 2;
  const sources = [...Array(INNER).keys()].map((i) => {
    const at = Math.max(0, ((i + 0.5) * GRID) / INNER - 0.5), low = Math.floor(at);
    return [low, Math.min(low + 1, GRID - 1), at - low];
  });
  sources.forEach(([top, bottom, down], i) => sources.forEach(([left, right, across], j) => {
    const row = (y) => levels[y * GRID + left] * (1 - across) + levels[y * GRID + right] * across;
    image[(i + margin) * SIDE + j + margin] = (row(top) * (1 - down) + row(bottom) * down - mean) / deviation;
  }));
  return T.tensor([1, 1, SIDE, SIDE], image);
}

function compute(image, [w1, b1, w3, b3, w5, b5, w6, b6, w7, b7]) {
  const squash = (z) => T.activation(z, "tanh"), half = (x) => T.averagePool(x, { kernel: 2 });
  const C1 = squash(T.conv2d(image, w1, b1)), S2 = half(C1);
  const C3 = squash(T.conv2d(S2, w3, b3)), S4 = half(C3);
  const C5 = squash(T.conv2d(S4, w5, b5)), F6 = squash(T.linear(T.flatten(C5), w6, b6));
  const output = T.linear(F6, w7, b7);
  return { image, C1, S2, C3, S4, C5, F6, output, shares: T.softmax(output).data };
}

// The chosen number: what it sees, the weights, their products, in the order of the weights.
function apart(s, found, weights) {
  const layer = LAYERS[s.layer], { side, kernel, kind, before } = layer;
  const channel = Math.min(s.map, layer.maps - 1), row = Math.min(s.row, side - 1), column = Math.min(s.column, side - 1);
  const below = found[before], height = LAYERS[before]?.side ?? SIDE;
  const value = found[s.layer].data[(channel * side + row) * side + column];
  if (kind === "average") {
    const seen = [0, 1, 2, 3].map((k) => below.data[(channel * height + 2 * row + (k >> 1)) * height + 2 * column + (k & 1)]);
    return { ...layer, channel, row, column, value, inputs: 1, first: channel, seen, weights: [0.25, 0.25, 0.25, 0.25], products: seen.map((one) => one / 4), bias: null, sum: value };
  }
  const which = ["C1", "C3", "C5", "F6", "output"].indexOf(s.layer);
  const { data } = weights[2 * which], bias = weights[2 * which + 1].data[channel];
  const inputs = kind === "conv" ? below.shape[1] : 1, size = kind === "conv" ? kernel * kernel : below.data.length;
  const own = [...data.subarray(channel * inputs * size, (channel + 1) * inputs * size)];
  const seen = kind === "linear" ? [...below.data] : own.map((_, k) => {
    const c = Math.floor(k / size), u = Math.floor((k % size) / kernel), v = k % kernel;
    return below.data[(c * height + row + u) * height + column + v];
  });
  const products = own.map((weight, k) => weight * seen[k]);
  return { ...layer, channel, row, column, value, inputs, first: 0, seen, weights: own, products, bias, sum: products.reduce((a, b) => a + b, 0) + bias };
}

function sentence(s, found, one) {
  const order = [...found.shares.keys()].sort((a, b) => found.shares[b] - found.shares[a] || a - b);
  const share = (digit) => `${digit} (${fixed(100 * found.shares[digit], 1)} %)`;
  const empty = /^a*$/.test(s.pixels);
  const read = say(empty ? mark("Nothing is drawn yet, and still a network must answer: {first}, then {second}.") : mark("The network reads {first}, then {second}."),
    { first: share(order[0]), second: share(order[1]) });
  const sees = say(one.side > 1 ? mark("{layer}, map {map}, row {row}, column {column}: sees {field} of the image;") : mark("{layer}, map {map}: sees {field} of the image;"),
    { layer: say(s.layer), map: one.channel, row: one.row, column: one.column, field: square(one.field) });
  const made = one.kind === "average" ? mark("the average of 4 numbers is {value}.")
    : s.layer === "output" ? mark("{products} and a bias sum to {sum}.") : mark("{products} and a bias sum to {sum}, and tanh turns that into {value}.");
  return `${read} ${sees} ${say(made, { value: fixed(one.value, 4), sum: fixed(one.sum, 4), products: plural(one.products.length, "product") })}`;
}

// What is drawn, as 8 x 8 levels: fitted to the grid as the digits of the data were, ink counted in each square.
const fine = 8; // points a square and side
function levelsOf(strokes, board) {
  const points = strokes.flat(), xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const room = GRID * fine, thick = room * 0.1;
  const scale = (room - thick) / Math.max(right - left, bottom - top, 0.3); // a dot stays a dot
  const x = (value) => (value - (left + right) / 2) * scale + room / 2, y = (value) => (value - (top + bottom) / 2) * scale + room / 2;
  board.clearRect(0, 0, room, room);
  Object.assign(board, { lineWidth: thick, lineCap: "round", lineJoin: "round", strokeStyle: "#000" });
  for (const stroke of strokes) {
    board.beginPath();
    stroke.forEach(([a, b], i) => (i ? board.lineTo(x(a), y(b)) : board.moveTo(x(a), y(b))));
    if (stroke.length === 1) board.lineTo(x(stroke[0][0]) + 0.01, y(stroke[0][1]));
    board.stroke();
  }
  const { data } = board.getImageData(0, 0, room, room);
  let said = "";
  for (let i = 0; i < GRID; i++)
    for (let j = 0; j < GRID; j++) {
      let ink = 0;
      for (let u = 0; u < fine; u++) for (let v = 0; v < fine; v++) ink += data[4 * ((i * fine + u) * room + j * fine + v) + 3];
      said += LETTERS[Math.round((MOST * ink) / (255 * fine * fine))];
    }
  return said;
}

// A reader's own picture, RGBA, as 8 x 8 levels: casestudies/explorers/draw_a_digit.py does the same, number for number
// (`levels_of`). Null where there is no ink.
const LEAST = 32, LONGEST = 96; // of 255: a weaker difference from the paper is no ink; pixels of the longer side
function levelsOfPicture(data, width, height) {
  const { ink, top, left, rows, columns } = inkOf(data, width, height), side = Math.max(rows, columns), room = GRID * fine;
  if (!side) return null;
  // The longer side of the ink fills the grid, the other one is centred: as it was done with the digits of the data.
  const source = (u, start, size) => Math.floor((room * (2 * start + size - side) + (2 * u + 1) * side) / (2 * room));
  const inside = (x, y) => x >= left && x < left + columns && y >= top && y < top + rows;
  const counts = new Int32Array(GRID * GRID);
  for (let u = 0; u < room; u++)
    for (let v = 0; v < room; v++) {
      const y = source(u, top, rows), x = source(v, left, columns);
      if (inside(x, y)) counts[Math.floor(u / fine) * GRID + Math.floor(v / fine)] += ink[y * width + x];
    }
  return [...counts].map((count) => LETTERS[Math.round((MOST * count) / (fine * fine))]).join("");
}

// Where the ink is: the paper is taken away, with its shadows, what is left is divided in two, and specks go.
function inkOf(data, width, height) {
  const grey = new Uint8ClampedArray(width * height);
  for (let k = 0; k < grey.length; k++) {
    const [r, g, b, opaque] = data.subarray(4 * k, 4 * k + 4), light = Math.floor((299 * r + 587 * g + 114 * b + 500) / 1000);
    grey[k] = Math.floor((light * opaque + 255 * (255 - opaque) + 127) / 255); // on white
  }
  const counts = histogram(grey);
  let median = 0, seen = 0, bent = 0; // which way pixels leave the median: dark ink on paper, or chalk
  while (2 * (seen += counts[median]) <= grey.length) median++;
  for (const value of grey) bent += value - median;
  if (bent > 0) for (let k = 0; k < grey.length; k++) grey[k] = 255 - grey[k];
  // The paper behind the ink: the lightest around each place, then the darkest of those. A shadow stays in it.
  const reach = Math.max(1, Math.floor(Math.min(width, height) / 6)), paper = windowed(windowed(grey, width, height, reach, Math.max), width, height, reach, Math.min);
  const strength = paper.map((value, k) => value - grey[k]), strongest = strength.reduce((a, b) => Math.max(a, b), 0);
  if (strongest < LEAST) return { rows: 0, columns: 0 };
  const least = Math.max(between(strength), Math.floor(strongest / 3));
  return framed(withoutSpecks(strength.map((value) => Number(value > least)), width, height), width, height);
}

function histogram(values) {
  const counts = new Int32Array(256);
  for (const value of values) counts[value]++;
  return counts;
}

// The level that divides the values best (Otsu's): what lies above it and what does not are farthest apart.
function between(values) {
  const counts = histogram(values), all = counts.reduce((sum, count, level) => sum + count * level, 0);
  let below = 0, sum = 0, best = -1, found = 0;
  for (let level = 0; level < 255; level++) {
    below += counts[level];
    sum += counts[level] * level;
    if (!below || below === values.length) continue;
    const apart = (all * below - sum * values.length) ** 2 / (below * (values.length - below));
    if (apart > best) [best, found] = [apart, level];
  }
  return found;
}

// The most, or the least, in a square window around each place; a row at a time, then a column at a time.
function windowed(values, width, height, reach, choose) {
  const along = (from, length, step, lines, stride) => {
    const to = new Uint8ClampedArray(from.length);
    for (let line = 0; line < lines; line++)
      for (let i = 0; i < length; i++) {
        let found = from[line * stride + i * step];
        for (let j = Math.max(0, i - reach); j <= Math.min(length - 1, i + reach); j++) found = choose(found, from[line * stride + j * step]);
        to[line * stride + i * step] = found;
      }
    return to;
  };
  return along(along(values, width, 1, height, width), height, width, width, 1);
}

// Pieces that hang together. A piece at the edge is the table or a shadow where another one is not at the edge; of the
// others, what has less than a twentieth of the largest is a speck.
function withoutSpecks(ink, width, height) {
  const piece = new Int32Array(ink.length), pieces = [];
  for (let start = 0; start < ink.length; start++) {
    if (!ink[start] || piece[start]) continue;
    const one = { size: 0, edge: false }, open = [start];
    pieces.push(one);
    piece[start] = pieces.length;
    while (open.length) {
      const k = open.pop(), y = Math.floor(k / width), x = k % width;
      one.size++;
      one.edge ||= !x || !y || x === width - 1 || y === height - 1;
      for (let i = Math.max(0, y - 1); i <= Math.min(height - 1, y + 1); i++)
        for (let j = Math.max(0, x - 1); j <= Math.min(width - 1, x + 1); j++) {
          const next = i * width + j;
          if (!ink[next] || piece[next]) continue;
          piece[next] = pieces.length;
          open.push(next);
        }
    }
  }
  const inner = pieces.some((one) => !one.edge && 20 * one.size >= 4 * Math.max(width, height));
  const stays = pieces.filter((one) => !(inner && one.edge)), largest = Math.max(0, ...stays.map(({ size }) => size));
  return ink.map((is, k) => Number(is && stays.includes(pieces[piece[k] - 1]) && 20 * pieces[piece[k] - 1].size >= largest));
}

// With the box of what is left.
function framed(ink, width, height) {
  const rows = [...Array(height).keys()].filter((y) => ink.subarray(y * width, (y + 1) * width).includes(1));
  const columns = [...Array(width).keys()].filter((x) => rows.some((y) => ink[y * width + x]));
  return { ink, top: rows[0], left: columns[0], rows: rows.at(-1) - rows[0] + 1 || 0, columns: columns.at(-1) - columns[0] + 1 || 0 };
}

// Works in a worker: to decode and to shrink a photograph takes half a second. The file goes nowhere: the browser decodes
// it here. A file -> { levels, null where there is no ink }, or { unread: true }.
function pictureReader() {
  const board = (width, height) => globalThis.document ? Object.assign(document.createElement("canvas"), { width, height })
    : new OffscreenCanvas(width, height); // a worker that has none fails at once, and the page does its work
  board(1, 1);
  return async ({ file, turn }) => {
    try {
      const picture = await createImageBitmap(file), scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
      const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
      const context = board(width, height).getContext("2d", { willReadFrequently: true });
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, 0, 0, width, height);
      picture.close();
      return { turn, levels: levelsOfPicture(context.getImageData(0, 0, width, height).data, width, height) };
    } catch {
      return { turn, unread: true };
    }
  };
}
// The functions and the declarations that it uses.
const READS = [`const LETTERS = "${LETTERS}", MOST = ${MOST}, GRID = ${GRID}, fine = ${fine}, LEAST = ${LEAST}, LONGEST = ${LONGEST};`,
  levelsOfPicture, inkOf, histogram, between, windowed, withoutSpecks, framed];

// The pad: a pointer draws strokes; keys move from square to square and change the ink in it.
function pad(model) {
  const canvas = element("canvas", { class: "x-pad", width: 256, height: 256, tabindex: "0", role: "application", "data-pad": "",
    "aria-label": say("Drawing of 8 × 8 squares: the arrow keys move, the space bar changes the ink, Delete clears") });
  const said = element("span", { class: "x-hidden", role: "status", "aria-live": "polite" });
  const board = Object.assign(document.createElement("canvas"), { width: GRID * fine, height: GRID * fine }).getContext("2d", { willReadFrequently: true });
  let strokes = [], made = null, cursor = null, frame = 0, turn = {}, asked = 0, reader = null, pen = null;
  const wipe = () => [strokes, pen] = [[], null]; // with the stroke that is being drawn
  const put = (pixels) => {
    asked++;
    note.textContent = "";
    model.set("pixels", pixels);
    model.save_changes();
  };
  const paint = () => {
    const context = canvas.getContext("2d"), [, , paper, ink] = tints(canvas), pixels = model.get("pixels");
    const colour = ([r, g, b], strength = 1) => `rgb(${r} ${g} ${b} / ${strength})`;
    context.fillStyle = colour(paper);
    context.fillRect(0, 0, 256, 256);
    if (pixels === made && strokes.length) { // the reader's own hand
      Object.assign(context, { lineWidth: 20, lineCap: "round", lineJoin: "round", strokeStyle: colour(ink) });
      for (const stroke of strokes) {
        context.beginPath();
        stroke.forEach(([a, b], i) => (i ? context.lineTo(a * 256, b * 256) : context.moveTo(a * 256, b * 256)));
        if (stroke.length === 1) context.lineTo(stroke[0][0] * 256 + 0.1, stroke[0][1] * 256);
        context.stroke();
      }
    } else [...pixels].forEach((letter, k) => {
      context.fillStyle = colour(ink, LETTERS.indexOf(letter) / MOST);
      context.fillRect((k % GRID) * 32, Math.floor(k / GRID) * 32, 32, 32);
    });
    if (cursor != null && document.activeElement === canvas) {
      Object.assign(context, { lineWidth: 4, strokeStyle: getComputedStyle(canvas).getPropertyValue("--x-plain") });
      context.strokeRect((cursor % GRID) * 32 + 2, Math.floor(cursor / GRID) * 32 + 2, 28, 28);
    }
  };
  const read = () => { // once a frame, however many points came
    frame = 0;
    made = levelsOf(strokes, board);
    if (made === model.get("pixels")) paint();
    else put(made);
  };
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event])
      strokes.at(-1).push([(one.clientX - box.left) / box.width, (one.clientY - box.top) / box.height]);
    frame ||= requestAnimationFrame(read);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || pen !== null) return; // a menu, or a second finger, whose points would mix with the first one's
    pen = event.pointerId;
    if (model.get("pixels") !== made) strokes = []; // begins anew on somebody else's digit
    cursor = null;
    strokes.push([]);
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  });
  canvas.addEventListener("pointermove", (event) => { if (event.pointerId === pen) follow(event); });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"])
    canvas.addEventListener(kind, (event) => { if (event.pointerId === pen) pen = null; });
  canvas.addEventListener("focus", () => { if (!canvas.matches(":active")) cursor ??= 0; paint(); });
  canvas.addEventListener("blur", paint);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const clears = event.key === "Delete" || event.key === "Backspace";
    if (!step && !clears && event.key !== " ") return;
    event.preventDefault();
    cursor ??= 0;
    if (clears) put("a".repeat(64));
    else if (step) {
      const [i, j] = [Math.floor(cursor / GRID) + step[0], (cursor % GRID) + step[1]];
      if (Math.min(i, j) >= 0 && Math.max(i, j) < GRID) cursor = i * GRID + j;
    } else {
      const pixels = [...model.get("pixels")];
      pixels[cursor] = LETTERS[{ a: 8, i: 16 }[pixels[cursor]] ?? 0];
      put(pixels.join(""));
    }
    said.textContent = clears ? say("empty") : say("row {row}, column {column}: ink {ink} of 16",
      { row: Math.floor(cursor / GRID), column: cursor % GRID, ink: LETTERS.indexOf(model.get("pixels")[cursor]) });
    paint();
  });
  const samples = model.get("samples").map((all, digit) => element("button", { type: "button", "aria-label": say("A {digit} of the data", { digit }),
    onclick: () => {
      put(all[(turn[digit] = ((turn[digit] ?? -1) + 1) % all.length)]);
    } }, String(digit)));
  const clear = element("button", { type: "button", onclick: () => { wipe(); put("a".repeat(64)); } }, say("clear"));
  const note = element("p", { class: "x-note", role: "status", "data-note": "" });
  // Of pictures that come while one is read the last one counts, and none where the reader has drawn since.
  const came = ({ turn, levels, unread }) => {
    if (turn !== asked) return;
    note.textContent = unread ? say("The browser cannot read this file as a picture: choose a photograph or a drawing (PNG, JPEG, WebP).")
      : levels ? "" : say("There is no ink in this picture: it needs one digit, dark on light or light on dark.");
    if (!levels) return;
    wipe();
    cursor = null;
    put(levels);
  };
  const take = (file) => {
    reader ??= inWorker(pictureReader, READS, came);
    reader.ask({ file, turn: ++asked });
  };
  const file = element("input", { type: "file", accept: "image/*", hidden: true, "data-picture": "", "aria-label": say("a picture of your own"),
    onchange: () => { if (file.files.length) take(file.files[0]); file.value = ""; } });
  const own = element("button", { type: "button", onclick: () => file.click() }, say("a picture of your own"));
  // A picture that is dropped or pasted comes as a file; anything else is left to the page.
  const brought = (list) => [...(list?.files ?? [])].at(0);
  const accept = (event, list) => {
    const picture = brought(list);
    if (!picture) return;
    event.preventDefault();
    event.stopPropagation();
    take(picture);
  };
  const field = element("input", { type: "hidden", "data-key": "pixels", onchange: () => put(field.value) });
  const stopTheme = onTheme(paint), stop = () => { stopTheme(); reader?.stop(); };
  const root = element("div", { class: "x-wide x-drawing" },
    element("div", { class: "x-board" }, canvas, said, field),
    element("div", {}, element("p", { class: "x-caption" }, say("Draw on the square with a finger, a pen, the mouse or the keys,")),
      element("div", { class: "x-presets" }, clear),
      element("p", { class: "x-caption" }, say("or take a test digit of the data (again for another one):")),
      element("div", { class: "x-presets x-digits" }, ...samples),
      element("p", { class: "x-caption" }, say("or bring a photograph of a digit (choose it, drop it here, or paste it). It stays in this browser:")),
      element("div", { class: "x-presets" }, own, file), note));
  root.addEventListener("paste", (event) => accept(event, event.clipboardData));
  root.addEventListener("drop", (event) => accept(event, event.dataTransfer));
  root.addEventListener("dragover", (event) => { if ([...event.dataTransfer.types].includes("Files")) event.preventDefault(); });
  return { key: "pixels", root, show: () => { field.value = model.get("pixels"); paint(); }, stop };
}

// The window slides over its map, number by number, by itself or a step at a time: slowly along the first row, then fast.
// Who wants no motion gets the steps only.
const SLOW = 300, FAST = 24, WHOLE = 9000; // milliseconds: a step in the first row, the shortest step, about a whole map
function walk(model) {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let at = null, timer = 0, moving = false, redraw = () => {};
  const pause = () => {
    clearTimeout(timer);
    timer = 0;
    model.save_changes();
  };
  const step = () => {
    const layer = model.get("layer"), { side } = LAYERS[layer], next = at ? at.row * side + at.column + 1 : 0;
    if (next >= side * side) {
      at = null;
      pause();
      return redraw();
    }
    at = { layer, map: model.get("map"), row: Math.floor(next / side), column: next % side };
    if (timer) timer = setTimeout(step, at.row ? Math.max(FAST, WHOLE / (side * side)) : SLOW);
    moving = true; // the place is two numbers, and is not left between them
    const here = ["row", "column"].every((key) => model.get(key) === at[key]);
    for (const key of ["row", "column"]) model.set(key, at[key]);
    moving = false;
    if (here) redraw(); // nothing has changed that would
  };
  const toggle = () => {
    if (timer) pause();
    else {
      timer = -1;
      step();
    }
    redraw();
  };
  const play = element("button", { type: "button", "data-walk": "play", onclick: toggle });
  const once = element("button", { type: "button", "data-walk": "step", onclick: () => { step(); model.save_changes(); } }, say("one step"));
  const show = () => {
    play.textContent = timer ? say("pause") : say("slide the window");
    play.hidden = still.matches;
    once.disabled = Boolean(timer);
  };
  const changed = () => {
    if (still.matches && timer) pause();
    show();
  };
  still.addEventListener("change", changed);
  return {
    // Where the window has come to; null where the reader has gone elsewhere.
    follow(s, again) {
      redraw = again;
      if (at && !moving && ["layer", "map", "row", "column"].some((key) => s[key] !== at[key])) {
        at = null;
        pause();
        show();
      }
      return { place: at, plays: Boolean(timer) };
    },
    control: () => ({ key: "row", when: (s) => LAYERS[s.layer].side > 1, show,
      root: element("div", { class: "x-presets x-walk", role: "group", "aria-label": say("The window on its way over the map") }, play, once),
      stop: () => {
        clearTimeout(timer);
        still.removeEventListener("change", changed);
      } }),
  };
}

// From the logits to the shares of the answer, a step at a time.
const STEPS = [
  [mark("logits"), mark("The last layer gives ten numbers, the logits. The {digit} has the largest: {logit}.")],
  [mark("exponentials"), mark("The exponential makes each of them positive, and the larger ones much larger: e to the {logit} is {power}.")],
  [mark("sum"), mark("The ten exponentials sum to {sum}.")],
  [mark("shares"), mark("Each divided by the sum is its share: {power} / {sum} is {share} for the {digit}. The shares sum to 100 %.")],
];
function softmaxSteps() {
  const said = element("p", { class: "x-caption", role: "status" }), table = tabulator(), figures = element("div", { class: "x-softmax" }, table.root);
  let step = 0, last = null;
  const buttons = STEPS.map(([name], index) => element("button", { type: "button", "data-step": String(index),
    onclick: () => { step = index; show(last); } }, `${index + 1}. ${say(name)}`));
  const root = element("details", { ontoggle: () => show(last) }, element("summary", {}, say("From logits to shares: softmax, step by step")),
    element("div", { class: "x-presets", role: "group", "aria-label": say("Steps") }, ...buttons), said, figures);
  function show(found) {
    last = found;
    if (!root.open || !found) return;
    const logits = [...found.output.data], powers = logits.map(Math.exp), sum = powers.reduce((a, b) => a + b, 0), shares = [...found.shares];
    const best = shares.indexOf(Math.max(...shares)), percent = (share) => `${fixed(100 * share, 2)} %`;
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(index === step)));
    const now = say(STEPS[step][1], { digit: best, logit: fixed(logits[best], 4), power: fixed(powers[best], 4), sum: fixed(sum, 4), share: percent(shares[best]) });
    if (said.textContent !== now) said.replaceChildren(...whole(now));
    const values = step === 0 ? logits : step < 3 ? powers : shares, most = Math.max(...values.map(Math.abs));
    const bar = (value) => element("span", { class: "x-share", "aria-hidden": "true",
      style: `--tint:var(${value < 0 ? "--x-plain" : "--x-conv"});--share:${(100 * Math.abs(value)) / most}%` });
    const columns = [say("logit"), say("exponential"), say("share")].slice(0, step < 1 ? 1 : step < 3 ? 2 : 3);
    table.show({ head: [say("Digit"), ...columns, ""],
      rows: logits.map((logit, digit) => ({ class: digit === best ? "x-now" : null,
        cells: [String(digit), ...[fixed(logit, 4), fixed(powers[digit], 4), percent(shares[digit])].slice(0, columns.length), bar(values[digit])] })),
      foot: step < 2 ? null : [say("sum"), "", fixed(sum, 4), ...(step === 3 ? [percent(1)] : []), ""] });
  }
  return { root, show };
}

function view(model, el, weights) {
  const canvases = {}, overlays = {}, frames = {};
  const point = (name) => (event) => { // to the number under the pointer
    const { side, columns, maps } = LAYERS[name], gap = side > 1 ? 1 : 0, canvas = canvases[name], box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width), y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
    const map = Math.floor(y / (side + gap)) * columns + Math.floor(x / (side + gap));
    if (x < 0 || y < 0 || x >= canvas.width || map < 0 || map >= maps) return;
    const place = { layer: name, map, row: Math.min(y % (side + gap), side - 1), column: Math.min(x % (side + gap), side - 1) };
    together(() => { for (const [key, value] of Object.entries(place)) model.set(key, value); });
    model.save_changes();
  };
  const layers = ["image", ...Object.keys(LAYERS)].map((name) => {
    const canvas = (canvases[name] = element("canvas", { class: "x-maps", role: "img" }));
    const overlay = (overlays[name] = shape("svg", { class: "x-over", "aria-hidden": "true" }));
    const frame = (frames[name] = element("div", { class: "x-frame" }, canvas, overlay));
    if (name !== "image") for (const kind of ["pointermove", "pointerdown"]) frame.addEventListener(kind, (event) => {
      if (kind === "pointerdown" || event.pointerType === "mouse") point(name)(event);
    });
    return element("div", { class: "x-layer" },
      element("div", { class: "x-caption" }, element("b", {}, say(name)), name === "image" ? " 32 × 32" : ` ${LAYERS[name].maps}${LAYERS[name].side > 1 ? ` × ${square(LAYERS[name].side)}` : ""}: ${say(MAKES[name])}`), frame);
  });
  const bars = element("div"), detail = element("div", { class: "x-detail" }), steps = softmaxSteps();
  const root = element("div", { class: "x-lenet" }, element("div", { class: "x-top" }, layers[0], bars), ...layers.slice(1), steps.root, detail);
  let chosen = null; // the input map whose products are drawn: by default the one that counts most

  function draw(width, s, found, one, place) {
    const colours = tints(root), [, , , ink] = colours;
    const low = Math.min(...found.image.data), high = Math.max(low + 1e-9, ...found.image.data);
    montage(canvases.image, found.image.data.map((value) => (value - low) / (high - low)), 1, SIDE, 1, colours, { ink: true, most: 1 });
    frames.image.style.width = `${Math.min(200, Math.floor(width * 0.42))}px`;
    canvases.image.setAttribute("aria-label", say("The image that the network gets, 32 × 32 pixels"));
    for (const [name, { maps, side, columns }] of Object.entries(LAYERS)) {
      montage(canvases[name], found[name].data, maps, side, columns, colours, { most: name === "output" ? undefined : 1 });
      const across = canvases[name].width, scale = name === "output" ? 26 : side > 10 ? 4 : side > 1 ? 6 : 12;
      frames[name].style.width = `${Math.min(width, across * scale)}px`;
      canvases[name].setAttribute("aria-label", say("{layer}: {maps} maps of {side} numbers; the chosen one is map {map} of {chosen}",
        { layer: say(name), maps, side: square(side), map: one.channel, chosen: say(s.layer) }));
    }
    outline(s, one);
    if (place) cover(place);
    steps.show(found);
    const rest = Math.max(width - Math.min(200, Math.floor(width * 0.42)) - 16, 120);
    bars.replaceChildren(answer(rest, found.shares));
    detail.replaceChildren(...products(width, s, one, colours));
    return root;
  }

  const box = (name, x, y, side, attributes) => {
    const { width, height } = canvases[name];
    overlays[name].setAttribute("viewBox", `0 0 ${width} ${height}`);
    overlays[name].append(shape("rect", { x, y, width: side, height: side, fill: "none", "vector-effect": "non-scaling-stroke", ...attributes }));
  };
  function outline(s, one) {
    for (const overlay of Object.values(overlays)) overlay.replaceChildren();
    const strong = { stroke: "var(--x-skip)", "stroke-width": 3 }, fine = { stroke: "var(--x-skip)", "stroke-width": 1.5 };
    const at = (name, map, row, column, side, look) => {
      const layer = LAYERS[name], pitch = layer.side + (layer.side > 1 ? 1 : 0);
      box(name, (map % layer.columns) * pitch + column, Math.floor(map / layer.columns) * pitch + row, side, look);
    };
    at(s.layer, one.channel, one.row, one.column, 1, strong);
    if (one.before !== "image" && one.kind === "conv") for (let map = 0; map < one.inputs; map++) at(one.before, map, one.row, one.column, 5, fine);
    if (one.kind === "average") at(one.before, one.channel, 2 * one.row, 2 * one.column, 2, fine);
    box("image", one.column * one.jump, one.row * one.jump, one.field, strong);
  }

  // What the window has not made yet.
  function cover({ layer, map, row, column }) {
    const { side, columns } = LAYERS[layer], x = (map % columns) * (side + 1), y = Math.floor(map / columns) * (side + 1);
    for (const [left, top, width, height] of [[column + 1, row, side - column - 1, 1], [0, row + 1, side, side - row - 1]])
      if (width && height) overlays[layer].append(shape("rect", { class: "x-cover", x: x + left, y: y + top, width, height, fill: "var(--x-paper)", opacity: 0.85 }));
  }

  function answer(width, shares) {
    const line = 19, best = shares.indexOf(Math.max(...shares)), room = width - 78;
    return picture(width, 10 * line + 2, say("The answer: {shares}.", { shares: [...shares].map((share, digit) => `${digit} ${fixed(100 * share, 1)} %`).join(", ") }),
      [...shares].flatMap((share, digit) => [
        text(4, digit * line + 14, String(digit), { style: digit === best ? "font-weight:700" : "" }),
        shape("rect", { x: 20, y: digit * line + 3, width: Math.max(1, share * room), height: line - 6, rx: 2, fill: digit === best ? "var(--x-residual)" : "var(--x-soft)" }),
        text(26 + share * room, digit * line + 14, `${fixed(100 * share, 1)} %`, { class: digit === best ? "" : "soft" })]));
  }

  // Of one input map: what is seen, times the weights, makes the products.
  function products(width, s, one, colours) {
    const { kernel, kind } = one, side = kind === "linear" ? 0 : kernel;
    const nodes = [element("p", { class: "x-caption" }, say(kind === "average" ? mark("The four numbers of {before}, map {map}, each times ¼:")
      : kind === "linear" ? mark("All {count} numbers of {before}, times the weights; the colour says the sign, the table has the figures:")
        : mark("What map {map} of {layer} makes of the window (sum of each input map; choose one):"),
    { before: say(one.before), map: one.channel, count: one.products.length, layer: say(s.layer) }))];
    if (kind === "linear") {
      const columns = one.products.length === 120 ? 40 : 42;
      for (const [name, values] of [[say("numbers"), one.seen], [say("weights"), one.weights], [say("products"), one.products]]) {
        const canvas = element("canvas", { class: "x-maps", role: "img", "aria-label": say("The {count} {kind}; the table below has the products", { count: values.length, kind: name }) });
        montage(canvas, values, values.length, 1, columns, colours);
        canvas.style.width = `${Math.min(width, canvas.width * 12)}px`;
        nodes.push(element("div", { class: "x-layer" }, element("div", { class: "x-caption" }, name), canvas));
      }
      return nodes;
    }
    const size = side * side, sums = [...Array(one.inputs).keys()].map((c) => one.products.slice(c * size, (c + 1) * size).reduce((a, b) => a + b, 0));
    const largest = sums.reduce((best, sum, c) => (Math.abs(sum) > Math.abs(sums[best]) ? c : best), 0);
    const now = chosen != null && chosen < one.inputs ? chosen : largest;
    if (one.inputs > 1) nodes.push(element("div", { class: "x-presets", role: "group", "aria-label": say("Input maps") },
      ...sums.map((sum, c) => element("button", { type: "button", "data-point": `input-${c}`, "aria-pressed": String(c === now),
        onclick: () => { chosen = c; el.querySelector(".x-detail").replaceChildren(...products(width, s, one, tints(root))); el.querySelector(`[data-point="input-${c}"]`).focus(); } },
        `${say(one.before)} ${c}: ${fixed(sum, 3)}`))));
    const part = (values) => values.slice(now * size, (now + 1) * size);
    const row = width >= 520; // three grids beside each other, or one below the other
    const cell = Math.min(42, Math.floor(row ? (width - 60) / (3 * side) : Math.min(width - 8, 220) / side));
    const grid = (name, values) => numbersIn(name, values, side, cell);
    const below = one.before === "image" ? say("the image") : say("{layer}, map {map}", { layer: one.before, map: kind === "average" ? one.channel : now });
    nodes.push(element("div", { class: "x-grids" }, grid(below, part(one.seen)),
      grid(kind === "average" ? say("× a quarter each") : say("× weights"), part(one.weights)), grid(say("= products"), part(one.products))));
    return nodes;
  }
  return { draw };
}

function table(s, one) {
  const { kind, kernel } = one, four = (value) => fixed(value, 4);
  const per = kind === "linear" ? (one.products.length === 120 ? 10 : 12) : kernel;
  const rows = [];
  for (let k = 0; k < one.products.length; k += per) {
    const map = kind === "conv" ? Math.floor(k / (kernel * kernel)) : one.channel, u = Math.floor((k % (kernel * kernel)) / kernel);
    const name = say(kind === "linear" ? mark("{layer} {first} to {last}") : one.before === "image" ? mark("{layer}, row {row}") : mark("{layer}, map {map}, row {row}"),
      { layer: say(one.before), first: k, last: k + per - 1, map, row: (kind === "average" ? 2 : 1) * one.row + u });
    rows.push([name, ...one.products.slice(k, k + per).map(four)]);
  }
  const last = kind === "average" ? say("their sum") : say("bias {bias}; sum", { bias: four(one.bias) });
  return { caption: say("The products, one for each weight"), head: ["", ...Array(per).fill("").map((_, i) => String(i))], rows,
    foot: [last, four(one.sum), ...Array(per - 1).fill("")] };
}

export default {
  render: speaking(({ model, el }) => {
    const weights = T.cut(T.halves(model.get("weights")), model.get("shapes"));
    const shown = view(model, el, weights), sliding = walk(model);
    let last = null, found = null;
    const place = (key, label, most) => ({ key, label, min: 0, max: 119, limit: (s) => most(LAYERS[s.layer]) - 1, when: (s) => most(LAYERS[s.layer]) > 1 });
    return explorer(model, el, {
      title: say("Draw a digit"),
      hint: say("LeNet-5, as this page has trained it, computes here and now. Draw; then point at any number in its maps, and see what it is made of."),
      keys: ["scale"],
      controls: [
        pad,
        { key: "layer", label: say("Layer"), options: Object.keys(LAYERS).map((name) => [name, say(name)]),
          also: (name) => { const middle = Math.floor(LAYERS[name].side / 2); return { map: 0, row: middle, column: middle }; } },
        place("map", say("Map"), (layer) => layer.maps), place("row", say("Row"), (layer) => layer.side), place("column", say("Column"), (layer) => layer.side),
        sliding.control,
      ],
      update(s, _, redraw) {
        if (s.pixels !== last) [last, found] = [s.pixels, compute(prepare(s.pixels, s.scale), weights)];
        const one = apart(s, found, weights), now = found, { place, plays } = sliding.follow(s, redraw);
        return { sentence: sentence(s, now, one), quiet: plays, draw: (width) => shown.draw(width, s, now, one, place), table: table(s, one) };
      },
    });
  }),
};
