// What a convolution costs: standard, with a 1 × 1 bottleneck, or depthwise separable.

const KINDS = [["standard", mark("standard")], ["bottleneck", mark("bottleneck")], ["separable", mark("depthwise separable")]];
const CHANNELS = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];

function impossible({ kind, in_channels, out_channels, kernel, grid, padding, groups }) {
  const padded = grid + (padding === "same" ? kernel - 1 : 0);
  if (kernel > padded)
    return say("The {kernel} kernel does not fit into the {grid} grid. Take a smaller kernel, a larger grid, or padding.",
      { kernel: square(kernel), grid: square(grid) });
  if (kind === "standard")
    for (const [count, name] of [[in_channels, noun("input channel")], [out_channels, noun("output channel")]])
      if (count % groups)
        return say("{groups} groups do not divide the {channels}: each group would get {share} of them. Take a divisor of {count}.",
          { groups, channels: plural(count, name), share: fixed(count / groups, 2), count: grouped(count) });
  return null;
}

// The layers of one kind: [name, role, kernel, groups, in, out, input grid, output grid]
function layers(kind, s) {
  const out = Math.floor((s.grid + (s.padding === "same" ? s.kernel - 1 : 0) - s.kernel) / s.stride) + 1;
  const layer = (name, role, kernel, groups, from, to, before, after) => {
    const weights = kernel * kernel * (from / groups) * to;
    return { name, role, kernel, groups, from, to, before, after,
      parameters: weights + (s.bias ? to : 0), macs: weights * after * after,
      formula: `${square(kernel)} × ${grouped(from / groups)} × ${grouped(to)} × ${square(after)}` };
  };
  const k = square(s.kernel);
  if (kind === "bottleneck")
    return [layer(say("1 × 1, reduce"), "pointwise", 1, 1, s.in_channels, s.reduced, s.grid, s.grid),
      layer(k, "conv", s.kernel, 1, s.reduced, s.out_channels, s.grid, out)];
  if (kind === "separable")
    return [layer(say("{kernel}, depthwise", { kernel: k }), "depthwise", s.kernel, s.in_channels, s.in_channels, s.in_channels, s.grid, out),
      layer(say("1 × 1, pointwise"), "pointwise", 1, 1, s.in_channels, s.out_channels, out, out)];
  const name = s.groups > 1 ? say("{kernel}, {groups} groups", { kernel: k, groups: s.groups }) : k;
  return [layer(name, "conv", s.kernel, s.groups, s.in_channels, s.out_channels, s.grid, out)];
}

const total = (list, what) => list.reduce((sum, layer) => sum + layer[what], 0);

function update(s) {
  const problem = impossible(s);
  if (problem) return { sentence: problem, impossible: true };
  const chosen = layers(s.kind, s);
  const parameters = total(chosen, "parameters"), macs = total(chosen, "macs");
  const baseline = total(layers("standard", { ...s, groups: 1 }), "macs");
  const out = chosen.at(-1).after;
  const name = s.kind === "standard" && s.groups > 1 ? mark("grouped") : Object.fromEntries(KINDS)[s.kind], ratio = macs / baseline;
  const becomes = say("{grid} × {inputs} becomes {out} × {outputs}.",
    { grid: square(s.grid), inputs: grouped(s.in_channels), out: square(out), outputs: grouped(s.out_channels) });
  const costs = name === "standard" ? mark("The {name} convolution has {parameters} and takes {macs}.")
    : ratio < 1 ? mark("The {name} convolution has {parameters} and takes {macs}: {ratio} of the standard convolution's {baseline}, {times} times fewer.")
      : mark("The {name} convolution has {parameters} and takes {macs}: {ratio} of the standard convolution's {baseline}.");
  const sentence = `${becomes} ${say(costs, { name: say(name), parameters: plural(parameters, "parameter"), macs: plural(macs, "MAC"),
    ratio: fixed(ratio, 3), baseline: grouped(baseline), times: fixed(1 / ratio, 1) })}`;
  return {
    sentence,
    draw: (width) => [volumes(width, s, chosen), ...places(width, s, chosen.find((layer) => layer.after !== layer.before) ?? chosen.find((layer) => layer.kernel > 1) ?? chosen[0]), bars(width, s)],
    table: {
      head: [say("Layer"), say("Parameters"), say("MACs"), say("Output"), say("MACs = k × k × inputs × outputs × grid")],
      rows: chosen.map((layer) =>
        [layer.name, layer.parameters, layer.macs, `${square(layer.after)} × ${grouped(layer.to)}`, layer.formula]),
      foot: [say("Sum"), parameters, macs, "", ""],
    },
  };
}

// The tensors as boxes (side: grid, depth: channels, both on a logarithmic scale) and in each the part of it that
// one number of the next tensor is computed from.
function volumes(width, s, chosen) {
  const boxes = [[s.grid, s.in_channels], ...chosen.map((layer) => [layer.after, layer.to])];
  const slot = width / boxes.length, room = Math.min(slot * 0.9, 200);
  const side = (grid) => room * (0.14 + 0.36 * Math.log(1 + grid) / Math.log(513));
  const depth = (channels) => room * (0.05 + 0.4 * Math.log(1 + channels) / Math.log(2049));
  const top = Math.max(...boxes.map(([grid, channels]) => side(grid) + 0.45 * depth(channels)));
  // Sizes and names that are too wide to stand side by side stand below each other.
  const sizes = boxes.map(([grid, channels]) => `${square(grid)} × ${grouped(channels)}`), wider = (all, bold) => all.some((one) => labelWidth(one, bold) > slot - 6);
  const low = wider(sizes) ? 16 : 0, lower = wider(chosen.map(({ name }) => name), true) ? 16 : 0;
  const height = top + 46 + low + lower * (chosen.length - 1), base = top + 4;
  const nodes = [];
  const box = (x, y, a, d, style) => { // front face a × a with its lower left corner at (x, y), d deep
    const e = d * 0.6, f = d * 0.45;
    const face = (points) => shape("polygon", { points: points.map((p) => p.join(",")).join(" "), ...style });
    return [face([[x, y - a], [x + e, y - a - f], [x + a + e, y - a - f], [x + a, y - a]]),
      face([[x + a, y], [x + a + e, y - f], [x + a + e, y - a - f], [x + a, y - a]]),
      face([[x, y], [x + a, y], [x + a, y - a], [x, y - a]])];
  };
  boxes.forEach(([grid, channels], index) => {
    const a = side(grid), d = depth(channels), x = slot * (index + 0.5) - (a + d * 0.6) / 2;
    const shell = { fill: "var(--x-ink)", "fill-opacity": 0.07, stroke: "var(--x-soft)", "stroke-width": 1 };
    nodes.push(...box(x, base, a, d, shell));
    const next = chosen[index];
    if (next) {
      const part = Math.min(1, next.kernel / grid), b = Math.max(a * part, 3), share = 1 / next.groups;
      const deep = Math.max(d * share, 2.5), colour = `var(--x-${next.role})`;
      nodes.push(...box(x + (a - b) * 0.35, base - (a - b) * 0.5, b, deep,
        { fill: colour, "fill-opacity": 0.75, stroke: colour, "stroke-width": 1 }));
      const middle = slot * (index + 1);
      if (lower && index) nodes.push(shape("path", { d: `M${middle} ${base - side(1) + 10}V${base + low + 22 + lower * index}`, stroke: colour, "stroke-dasharray": "2 3" }));
      nodes.push(text(middle, base + 34 + low + lower * index, next.name, { "text-anchor": "middle", style: `fill:${colour};font-weight:600` }),
        shape("path", { d: `M${middle - 13} ${base - side(1)}h22m-7 -6l7 6l-7 6`, fill: "none", stroke: colour, "stroke-width": 2.5 }));
    }
    const size = sizes[index], half = labelWidth(size) / 2 + 2, centre = slot * (index + 0.5);
    nodes.push(text(Math.max(half, Math.min(width - half, centre)), base + 17 + low * (index % 2), size, { "text-anchor": "middle" }));
  });
  return picture(width, height, say("The tensors as boxes; coloured, the part that one output number is computed from."), nodes);
}

// A row of a small grid from the side, its padding dashed, and below it the window at each of its places.
const MOST_CELLS = 24;
function places(width, { grid, padding, stride }, { kernel, after, role }) {
  const pad = padding === "same" ? (kernel - 1) / 2 : 0, cells = [...Array(grid + 2 * pad).keys()].map((i) => i - pad);
  if (cells.length > MOST_CELLS) return [];
  const unit = Math.min(24, (width - 8) / cells.length), left = (width - unit * cells.length) / 2, x = (cell) => left + (cell + pad) * unit;
  const windows = [...Array(after).keys()].map((place) => place * stride - pad);
  const read = (cell) => windows.some((from) => from <= cell && cell < from + kernel);
  const inside = cells.filter((cell) => cell >= 0 && cell < grid), unread = inside.filter((cell) => !read(cell)).length;
  const nodes = cells.map((cell) => shape("rect", { x: x(cell) + 1, y: 22, width: unit - 2, height: 14, rx: 2, stroke: "var(--x-soft)",
    ...(inside.includes(cell) ? { fill: "var(--x-soft)", "fill-opacity": read(cell) ? 0.35 : 0 } : { fill: "none", "stroke-dasharray": "3 2" }) }));
  const bars = windows.map((from, i) => shape("rect", { x: x(from) + 1, y: 42 + 8 * i, width: kernel * unit - 2, height: 5, rx: 2, fill: `var(--x-${role})` }));
  const said = [say("One row, from the side; places of the window: {count}", { count: after }), ...(unread ? [say("empty: never read ({count})", { count: unread })] : [])];
  // Where it is narrow, the caption has two lines, and all below it moves down.
  const words = said[0].split(" "), half = words.findIndex((_, i) => words.slice(0, i + 1).join(" ").length >= said[0].length / 2);
  const head = labelWidth(said[0]) <= width ? [said[0]] : [words.slice(0, half).join(" "), words.slice(half).join(" ")], down = 16 * (head.length - 1);
  const line = (one, y) => text(width / 2, y, one, { "text-anchor": "middle", class: "soft" });
  return [picture(width, 46 + 8 * after + 18 * (said.length - 1) + down, `${said.join("; ")}.`, head.map((one, i) => line(one, 13 + 16 * i)),
    shape("g", { transform: `translate(0 ${down})` }, nodes, bars, said.slice(1).map((one) => line(one, 58 + 8 * after))))];
}

function bars(width, s) {
  const row = (label, kind, groups, chosen) => {
    const list = layers(kind, { ...s, groups });
    return { label: say(label), list, macs: total(list, "macs"), chosen };
  };
  const inGroups = s.kind === "standard" && s.groups > 1; // which is compared with the standard one
  const rows = [...(inGroups ? [row("grouped", "standard", s.groups, true)] : []), ...KINDS.map(([kind, label]) => row(label, kind, 1, kind === s.kind && !inGroups))];
  const most = Math.max(...rows.map((row) => row.macs)), narrow = width < 480;
  const left = narrow ? 0 : 165, right = 74, line = narrow ? 44 : 34;
  const nodes = rows.flatMap(({ label, list, macs, chosen }, index) => {
    const y = index * line + (narrow ? 20 : 4);
    let x = left;
    const segments = list.map((layer) => {
      const w = (layer.macs / most) * (width - left - right);
      const rect = shape("rect", { x, y, width: Math.max(w, 1), height: 20, fill: `var(--x-${layer.role})` },
        shape("title", {}, say("{name}: {macs} MACs", { name: layer.name, macs: grouped(layer.macs) })));
      x += w;
      return rect;
    });
    return [text(narrow ? 0 : left - 10, narrow ? y - 5 : y + 15, label,
      { "text-anchor": narrow ? "start" : "end", style: chosen ? "font-weight:650" : "" }),
    ...segments, chosen ? shape("rect", { x: left, y, width: x - left, height: 20, fill: "none", stroke: "var(--x-ink)", "stroke-width": 2 }) : null, text(x + 8, y + 15, short(macs), { class: chosen ? "" : "soft" })];
  });
  const label = say("MACs of the {count} kinds: {macs}.", { count: rows.length, macs: rows.map((row) => `${row.label} ${grouped(row.macs)}`).join(", ") });
  return picture(width, rows.length * line + 4, label, nodes);
}

export default {
  render: speaking(({ model, el }) => {
    return explorer(model, el, {
      title: say("What does a convolution cost?"),
      hint: say("Change the shapes and watch where the multiply-adds go."),
      presets: [
        [say("Inception’s 5 × 5"), { kind: "bottleneck", in_channels: 192, out_channels: 32, kernel: 5, grid: 28, stride: 1, padding: "same", groups: 1, reduced: 16 }],
        [say("6 × 6 × 3 by hand"), { kind: "separable", in_channels: 3, out_channels: 5, kernel: 3, grid: 6, stride: 1, padding: "none", groups: 1, reduced: 1 }],
        [say("A MobileNet layer"), { kind: "separable", in_channels: 512, out_channels: 512, kernel: 3, grid: 14, stride: 1, padding: "same", groups: 1, reduced: 128 }],
        [say("AlexNet’s two towers"), { kind: "standard", in_channels: 96, out_channels: 256, kernel: 5, grid: 27, stride: 1, padding: "same", groups: 2, reduced: 32 }],
      ],
      controls: [
        { key: "kind", label: say("Convolution"), options: KINDS.map(([kind, name]) => [kind, say(name)]) },
        { key: "grid", label: say("Grid"), min: 1, max: 512 },
        { key: "kernel", label: say("Kernel"), min: 1, max: 11, step: 2 },
        { key: "in_channels", label: say("Input channels"), min: 1, max: 2048, steps: CHANNELS },
        { key: "out_channels", label: say("Output channels"), min: 1, max: 2048, steps: CHANNELS },
        { key: "stride", label: say("Stride"), min: 1, max: 4 },
        { key: "reduced", label: say("Bottleneck"), min: 1, max: 2048, steps: CHANNELS, when: (s) => s.kind === "bottleneck" },
        { key: "groups", label: say("Groups"), min: 1, max: 2048, steps: CHANNELS, when: (s) => s.kind === "standard" },
        { key: "padding", label: say("Padding"), kind: "select", options: [["same", say("same: (k − 1) / 2")], ["none", say("none")]] },
        { key: "bias", label: say("Count biases"), kind: "check" },
      ],
      update,
    });
  }),
};
