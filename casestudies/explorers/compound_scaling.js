// EfficientNet-B0 scaled by φ and three coefficients, with the real rounding of channels and layers.

function roundChannels(channels, width, divisor = 8) {
  const wanted = channels * width;
  const rounded = Math.max(divisor, Math.floor(Math.floor(wanted + divisor / 2) / divisor) * divisor);
  return rounded < 0.9 * wanted ? rounded + divisor : rounded;
}

function scaled(base, width, depth, resolution) {
  const half = (side) => Math.ceil(side / 2); // odd kernel, padding (k - 1) / 2, stride 2
  const { names } = base, rows = [];
  let side = half(resolution), channels = roundChannels(base.stem, width);
  rows.push({ name: names[0], channels, wanted: base.stem * width, layers: 1, side,
    parameters: 27 * channels + 2 * channels, macs: 27 * channels * side ** 2 });
  base.stages.forEach(([expansion, kernel, wide, repeats, firstStride], index) => {
    const out = roundChannels(wide, width), layers = Math.ceil(repeats * depth);
    let parameters = 0, macs = 0;
    for (let layer = 0; layer < layers; layer++) {
      const hidden = expansion * channels, squeezed = Math.max(1, Math.floor(channels / 4));
      const before = side;
      if (layer === 0 && firstStride === 2) side = half(side);
      const expand = expansion === 1 ? 0 : channels * hidden;
      const depthwise = kernel * kernel * hidden, gate = 2 * hidden * squeezed, project = hidden * out;
      parameters += expand + (expansion === 1 ? 0 : 2 * hidden) + depthwise + 2 * hidden +
        gate + squeezed + hidden + project + 2 * out; // batch norms have 2 a channel, only the gates have biases
      macs += expand * before ** 2 + (depthwise + project) * side ** 2 + gate;
      channels = out;
    }
    rows.push({ name: names[index + 1], channels, wanted: wide * width, layers, asked: repeats * depth, side, parameters, macs });
  });
  const last = roundChannels(base.last, width);
  rows.push({ name: names.at(-2), channels: last, wanted: base.last * width, layers: 1, side,
    parameters: channels * last + 2 * last, macs: channels * last * side ** 2 });
  rows.push({ name: names.at(-1), channels: 1000, layers: 1, side: 1, parameters: 1000 * (last + 1), macs: 1000 * last });
  const sum = (what) => rows.reduce((total, row) => total + row[what], 0);
  return { width, depth, resolution, rows, parameters: sum("parameters"), macs: sum("macs") };
}

function network(s) {
  if (s.coefficients === "formula")
    return scaled(s.base, s.beta ** s.phi, s.alpha ** s.phi, Math.floor(s.base.resolution * s.gamma ** s.phi + 0.5));
  const [width, depth, resolution] = s.base.released[s.coefficients];
  return scaled(s.base, width, depth, resolution);
}

function update(s) {
  const now = network(s), b0 = scaled(s.base, 1, 1, s.base.resolution);
  const side = grouped(now.resolution), formula = s.coefficients === "formula";
  const sentence = say(formula
    ? mark("Depth × {depth}, width × {width}, image {side} × {side}: {parameters} parameters and {macs} MACs, {times} times those of B0; (αβ²γ²)^φ promises {promised}.")
    : mark("Depth × {depth}, width × {width}, image {side} × {side}: {parameters} parameters and {macs} MACs, {times} times those of B0."),
  { depth: fixed(now.depth, 2), width: fixed(now.width, 2), side, parameters: grouped(now.parameters), macs: grouped(now.macs),
    times: fixed(now.macs / b0.macs, 2), promised: fixed((s.alpha * s.beta ** 2 * s.gamma ** 2) ** s.phi, 2) });
  const rounded = (wanted, value) => // 35.2 -> 32, or only the value where nothing was rounded
    wanted == null || Number(wanted.toFixed(2)) === value ? grouped(value) : `${grouped(Number(wanted.toFixed(2)))} → ${grouped(value)}`;
  return {
    sentence,
    draw: (width) => [silhouettes(width, b0, now), growth(width, b0, now)],
    table: {
      head: [say("Stage"), say("Parameters"), say("MACs"), say("Channels"), say("Layers"), say("Grid")],
      rows: now.rows.map((row) =>
        [say(row.name), row.parameters, row.macs, rounded(row.wanted, row.channels), rounded(row.asked, row.layers), square(row.side)]),
      foot: [say("Sum"), now.parameters, now.macs, "", "", ""],
    },
  };
}

// Both networks on one scale: a bar a layer, as high as its channels (square root), beside its image.
function silhouettes(width, b0, now) {
  const sizes = [b0, now].map((net) => net.rows.slice(0, -1).reduce((sum, row) => sum + row.layers, 0));
  const room = Math.min(120, width * 0.22), left = room + 16;
  const side = (net) => room * net.resolution / Math.max(now.resolution, b0.resolution);
  const tall = (channels) => 92 * Math.sqrt(channels / Math.max(now.rows.at(-2).channels, b0.rows.at(-2).channels));
  const step = Math.min((width - left) / Math.max(...sizes), 22);
  const nodes = [];
  let y = 0;
  [[b0, "B0", "soft"], [now, say("scaled"), "residual"]].forEach(([net, name, role]) => {
    const high = Math.max(tall(net.rows.at(-2).channels), side(net)) + 22, bottom = y + high, a = side(net);
    nodes.push(text(0, y + 13, name, { style: "font-weight:650" }),
      shape("rect", { x: 0, y: bottom - a, width: a, height: a, fill: `var(--x-${role})`, opacity: 0.35 }),
      text(Math.max(a, 48) / 2, bottom - a / 2 + 4, square(net.resolution), { "text-anchor": "middle", style: `font-size:${Math.max(8, Math.min(13, a / 6))}px` }));
    let x = left;
    for (const row of net.rows.slice(0, -1))
      for (let layer = 0; layer < row.layers; layer++, x += step)
        nodes.push(shape("rect", { x, y: bottom - tall(row.channels), width: Math.max(step * 0.8, 1), height: tall(row.channels),
          fill: `var(--x-${role})`, opacity: layer === 0 ? 1 : 0.6 }, shape("title", {}, say("{name}: {channels} channels", { name: say(row.name), channels: grouped(row.channels) }))));
    y = bottom + 8;
  });
  return picture(width, y + 4, say("B0 and the scaled network: the image as a square, each layer as a bar as high as its channels."), nodes);
}

function growth(width, b0, now) {
  const rows = [[say("parameters"), now.parameters / b0.parameters, now.parameters], [say("MACs"), now.macs / b0.macs, now.macs]];
  const most = Math.max(1, ...rows.map((row) => row[1])), left = 92, right = 130;
  const x = (value) => left + value / most * (width - left - right);
  return picture(width, 66, say("Parameters and MACs in multiples of B0’s."),
    rows.flatMap(([name, times, value], i) => [
      text(left - 10, 15 + i * 30, name, { "text-anchor": "end" }),
      shape("rect", { x: left, y: i * 30, width: x(times) - left, height: 20, fill: "var(--x-residual)" }),
      text(x(times) + 8, 15 + i * 30, `× ${Number(times.toPrecision(3))} (${short(value)})`)]),
    shape("path", { d: `M${x(1)} 0V52`, stroke: "var(--x-paper)", "stroke-width": 4 }), // or it would be lost on a bar of nearly its colour
    shape("path", { d: `M${x(1)} 0V52`, stroke: "var(--x-ink)", "stroke-width": 1.5, "stroke-dasharray": "3 2" }),
    text(x(1), 64, "B0", { "text-anchor": "middle", class: "soft" }));
}

export default {
  render: speaking(({ model, el }) => {
    const released = Object.keys(model.get("base").released);
    const formula = (s) => s.coefficients === "formula";
    return explorer(model, el, {
      title: say("Scale depth, width and resolution together"),
      hint: say("Depth × α^φ, width × β^φ, resolution × γ^φ. Channels go to multiples of 8, layers up."),
      presets: [
        [say("The paper’s step"), { coefficients: "formula", phi: 1, alpha: 1.2, beta: 1.1, gamma: 1.15 }],
        [say("Depth only"), { coefficients: "formula", phi: 3, alpha: 1.3, beta: 1, gamma: 1 }],
        [say("Width only"), { coefficients: "formula", phi: 3, alpha: 1, beta: 1.3, gamma: 1 }],
        [say("Resolution only"), { coefficients: "formula", phi: 3, alpha: 1, beta: 1, gamma: 1.3 }],
      ],
      keys: ["base"],
      controls: [
        { key: "coefficients", label: say("Coefficients"), kind: "select",
          options: [["formula", say("from the formula")], ...released.map((name) => [name, say("{name}, as released", { name: name.toUpperCase() })])] },
        { key: "phi", label: "φ", min: 0, max: 7, step: 0.1, when: formula },
        { key: "alpha", label: say("α, depth"), min: 1, max: 1.3, step: 0.01, when: formula },
        { key: "beta", label: say("β, width"), min: 1, max: 1.3, step: 0.01, when: formula },
        { key: "gamma", label: say("γ, resolution"), min: 1, max: 1.3, step: 0.01, when: formula },
      ],
      update,
    });
  }),
};
