// Layers stacked by hand, and the part of the image that one output pixel sees through them.

const LARGEST_KERNEL = 15, LARGEST_STRIDE = 8, MOST_LAYERS = 48;

function fields(layers) {
  let seen = 1n, jump = 1n; // exact beyond 2^53, too
  return layers.map(([kernel, stride]) => {
    seen += BigInt(kernel - 1) * jump;
    jump *= BigInt(stride);
    return { kernel, stride, jump, field: seen };
  });
}

function sentence(rows) {
  if (!rows.length) return say("No layer yet: a pixel sees itself.");
  const { field, jump } = rows.at(-1);
  const side = `${grouped(field)} × ${grouped(field)}`;
  let said = say("After {layers} one output pixel sees {side} pixels of the image; its neighbour looks {pixels} further on.",
    { layers: plural(rows.length, "layer"), side, pixels: plural(jump, "pixel") });
  if (rows.length > 1 && jump === 1n) {
    const stack = rows.reduce((sum, row) => sum + row.kernel ** 2, 0);
    said += ` ${say("From C to C channels the stack has {stack} C² weights, one {side} convolution {one} C².", { stack: grouped(stack), side, one: grouped(field ** 2n) })}`;
  }
  return said;
}

// Side view: the output pixel on top, under each layer the pixels that it is computed from, the image at the bottom.
function pyramid(width, rows) {
  const count = rows.length + 1;
  const line = Math.max(14, Math.min(38, 340 / count)), left = 84, right = 10, room = width - left - right;
  const cells = [1]; // from the top: how many pixels of each level the output pixel depends on
  for (const { kernel, stride } of [...rows].reverse()) cells.push((cells.at(-1) - 1) * stride + kernel);
  const jumps = [...rows.map((row) => Number(row.jump)).reverse(), 1];
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
    const name = layer ? square(layer.kernel) + (layer.stride > 1 ? ` / ${layer.stride}` : "") : say("image");
    nodes.push(text(left - 10, y + high / 2 + 4, name, { "text-anchor": "end", style: `font-size:${Math.min(13, line * 0.8)}px` }));
  });
  return picture(width, top(count) + 2, say("Side view of the {layers} layers: {pixels} image pixels lie under one output pixel.", { layers: rows.length, pixels: rows.at(-1)?.field ?? 1 }), nodes);
}

function editor(model) {
  const list = element("ol", { class: "x-layers" }), box = element("div", { class: "x-stack" }, list);
  const add = (kernel, stride) => element("button", { type: "button", onclick: () => save([...model.get("layers"), [kernel, stride]]) },
    `+ ${square(kernel)}${stride > 1 ? ` / ${stride}` : ""}`);
  const adders = [add(3, 1), add(3, 2), add(2, 2), add(5, 1), add(1, 1)];
  const clear = element("button", { type: "button", onclick: () => save([]) }, say("clear"));
  const save = (layers) => {
    model.set("layers", layers);
    model.save_changes();
  };
  const pick = (index, part, most, label) => {
    const options = [...Array(most).keys()].map((i) => element("option", { value: i + 1 }, String(i + 1)));
    return element("select", { "aria-label": say("Layer {number}: {setting}", { number: index + 1, setting: label }), onchange: (event) =>
      save(model.get("layers").map((layer, i) => (i === index ? layer.with(part, Number(event.target.value)) : layer))) }, ...options);
  };
  const line = (index) => element("li", {},
    element("span", { "aria-hidden": "true" }, say("{number}. kernel", { number: index + 1 })), pick(index, 0, LARGEST_KERNEL, say("kernel")),
    element("span", { "aria-hidden": "true" }, say("stride")), pick(index, 1, LARGEST_STRIDE, say("stride")),
    element("button", { type: "button", "aria-label": say("Remove layer {number}", { number: index + 1 }), onclick: () => {
      save(model.get("layers").filter((_, i) => i !== index));
      (list.children[Math.min(index, list.children.length - 1)]?.lastChild ?? adders[0]).focus();
    } }, "×"));
  const show = () => { // lines stay in place while their numbers change, so that the focus does too
    const layers = model.get("layers"), before = document.activeElement;
    while (list.children.length > layers.length) list.lastChild.remove();
    while (list.children.length < layers.length) list.append(line(list.children.length));
    layers.forEach(([kernel, stride], i) => {
      const [first, second] = list.children[i].querySelectorAll("select");
      [first.value, second.value] = [kernel, stride];
    });
    for (const button of adders) button.disabled = layers.length >= MOST_LAYERS;
    clear.disabled = !layers.length;
    // A button that has just ended its own use hands the focus on; else the next Tab would begin at the top of the page.
    if (root.contains(before) && before.disabled) (clear.disabled ? adders[0] : clear).focus();
  };
  const root = element("div", { class: "x-wide", role: "group", "aria-label": say("Layers") },
    element("div", { class: "x-presets x-adders" }, ...adders, clear), box);
  return { key: "layers", root, show, stop: edges(box, list) };
}

export default {
  render: speaking(({ model, el }) => {
    return explorer(model, el, {
      title: say("How much does one pixel see?"),
      hint: say("Stack layers from the image upwards. Each is a convolution or a pooling: kernel / stride."),
      presets: [
        [say("two 3 × 3"), { layers: [[3, 1], [3, 1]] }],
        [say("three 3 × 3"), { layers: [[3, 1], [3, 1], [3, 1]] }],
        ...Object.entries(model.get("networks")).map(([name, layers]) => [name, { layers }]),
      ],
      controls: [editor],
      update({ layers }) {
        const rows = fields(layers);
        return {
          sentence: sentence(rows),
          draw: (width) => pyramid(width, rows),
          table: {
            head: [say("Layer"), say("Kernel"), say("Stride"), say("Jump"), say("Sees")],
            rows: rows.map((row, i) => [String(i + 1), square(row.kernel), row.stride, grouped(row.jump), `${grouped(row.field)} × ${grouped(row.field)}`]),
          },
        };
      },
    });
  }),
};
