// Layers stacked by hand, and the part of the image that one output pixel sees through them.

const LARGEST_KERNEL = 15, LARGEST_STRIDE = 8, MOST_LAYERS = 48;

function fields(layers) {
  let seen = 1, jump = 1;
  return layers.map(([kernel, stride]) => {
    seen += (kernel - 1) * jump;
    jump *= stride;
    return { kernel, stride, jump, field: seen };
  });
}

function sentence(rows) {
  if (!rows.length) return "No layer yet: a pixel sees itself.";
  const { field, jump } = rows.at(-1);
  const side = `${grouped(field)} × ${grouped(field)}`;
  let said = `After ${plural(rows.length, "layer")} one output pixel sees ${side} pixels of the image; ` +
    `its neighbour looks ${plural(jump, "pixel")} further on.`;
  if (rows.length > 1 && jump === 1) {
    const stack = rows.reduce((sum, row) => sum + row.kernel ** 2, 0);
    said += ` From C to C channels the stack has ${grouped(stack)} C² weights, one ${side} convolution ${grouped(field ** 2)} C².`;
  }
  return said;
}

// Side view: the output pixel on top, under each layer the pixels that it is computed from, the image at the bottom.
function pyramid(width, rows) {
  const count = rows.length + 1;
  const line = Math.max(14, Math.min(38, 340 / count)), left = 84, right = 10, room = width - left - right;
  const cells = [1]; // from the top: how many pixels of each level the output pixel depends on
  for (const { kernel, stride } of [...rows].reverse()) cells.push((cells.at(-1) - 1) * stride + kernel);
  const jumps = [...rows.map((row) => row.jump).reverse(), 1];
  const unit = room / Math.max(...cells.map((n, level) => n * jumps[level]));
  const middle = left + room / 2, high = Math.min(line * 0.62, 20);
  const top = (level) => 4 + level * line;
  const nodes = [];
  cells.forEach((n, level) => {
    const wide = n * jumps[level] * unit, pitch = jumps[level] * unit, x = middle - wide / 2, y = top(level);
    if (level < rows.length) { // the window of the first and of the last pixel, on the level below
      const below = cells[level + 1] * jumps[level + 1] * unit;
      const points = [[x, y + high], [x + wide, y + high], [middle + below / 2, top(level + 1)], [middle - below / 2, top(level + 1)]];
      nodes.push(shape("polygon", { points: points.map((p) => p.map((v) => v.toFixed(1)).join()).join(" "), fill: "var(--x-conv)", opacity: 0.16 }));
    }
    const colour = level === 0 ? "var(--x-plain)" : level === rows.length ? "var(--x-depthwise)" : "var(--x-conv)";
    if (pitch >= 4 && n <= 200)
      for (let i = 0; i < n; i++)
        nodes.push(shape("rect", { x: x + i * pitch + 0.5, y, width: Math.max(pitch - 1, 1), height: high, rx: 2, fill: colour }));
    else nodes.push(shape("rect", { x, y, width: Math.max(wide, 2), height: high, rx: 2, fill: colour }));
    const layer = rows[rows.length - 1 - level];
    const name = layer ? square(layer.kernel) + (layer.stride > 1 ? ` / ${layer.stride}` : "") : "image";
    nodes.push(text(left - 10, y + high / 2 + 4, name, { "text-anchor": "end", style: `font-size:${Math.min(13, line * 0.8)}px` }));
  });
  return picture(width, top(count) + 2, `Side view of the ${rows.length} layers: ${cells.at(-1)} image pixels lie under one output pixel.`, nodes);
}

function editor(model) {
  const list = element("ol", { class: "x-layers" });
  const add = (kernel, stride) => element("button", { type: "button", onclick: () => save([...model.get("layers"), [kernel, stride]]) },
    `+ ${square(kernel)}${stride > 1 ? ` / ${stride}` : ""}`);
  const adders = [add(3, 1), add(3, 2), add(2, 2), add(5, 1), add(1, 1)];
  const clear = element("button", { type: "button", onclick: () => save([]) }, "clear");
  const save = (layers) => {
    model.set("layers", layers);
    model.save_changes();
  };
  const pick = (index, part, most, label) => {
    const options = [...Array(most).keys()].map((i) => element("option", { value: i + 1 }, String(i + 1)));
    return element("select", { "aria-label": `Layer ${index + 1}: ${label}`, onchange: (event) =>
      save(model.get("layers").map((layer, i) => (i === index ? layer.with(part, Number(event.target.value)) : layer))) }, ...options);
  };
  const line = (index) => element("li", {},
    element("span", { "aria-hidden": "true" }, `${index + 1}. kernel`), pick(index, 0, LARGEST_KERNEL, "kernel"),
    element("span", { "aria-hidden": "true" }, "stride"), pick(index, 1, LARGEST_STRIDE, "stride"),
    element("button", { type: "button", "aria-label": `Remove layer ${index + 1}`, onclick: () => {
      save(model.get("layers").filter((_, i) => i !== index));
      (list.children[Math.min(index, list.children.length - 1)]?.lastChild ?? adders[0]).focus();
    } }, "×"));
  const show = () => { // lines stay in place while their numbers change, so that the focus does too
    const layers = model.get("layers");
    while (list.children.length > layers.length) list.lastChild.remove();
    while (list.children.length < layers.length) list.append(line(list.children.length));
    layers.forEach(([kernel, stride], i) => {
      const [first, second] = list.children[i].querySelectorAll("select");
      [first.value, second.value] = [kernel, stride];
    });
    for (const button of adders) button.disabled = layers.length >= MOST_LAYERS;
    clear.disabled = !layers.length;
  };
  const root = element("div", { class: "x-wide", role: "group", "aria-label": "Layers" },
    element("div", { class: "x-presets" }, ...adders, clear), list);
  return { key: "layers", root, show };
}

export default {
  render({ model, el }) {
    return explorer(model, el, {
      title: "How much does one pixel see?",
      hint: "Stack layers from the image upwards. Each is a convolution or a pooling: kernel / stride.",
      presets: [
        ["two 3 × 3", { layers: [[3, 1], [3, 1]] }],
        ["three 3 × 3", { layers: [[3, 1], [3, 1], [3, 1]] }],
        ...Object.entries(model.get("networks")).map(([name, layers]) => [name, { layers }]),
      ],
      controls: [editor],
      update({ layers }) {
        const rows = fields(layers);
        return {
          sentence: sentence(rows),
          draw: (width) => pyramid(width, rows),
          table: {
            head: ["Layer", "Kernel", "Stride", "Jump", "Sees"],
            rows: rows.map((row, i) => [String(i + 1), square(row.kernel), row.stride, row.jump, `${grouped(row.field)} × ${grouped(row.field)}`]),
          },
        };
      },
    });
  },
};
