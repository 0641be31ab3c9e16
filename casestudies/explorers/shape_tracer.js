// Any of several networks, an image of any size: shapes and costs layer by layer.

function windowed(side, [, kernel, stride, padding, ceil]) {
  const room = side + 2 * padding - kernel;
  let steps = ceil ? Math.ceil(room / stride) : Math.floor(room / stride);
  if (steps < 0) return null;
  if (ceil && steps * stride >= side + padding) steps -= 1; // this window would see nothing but padding
  return steps + 1;
}

function trace(name, network, size) {
  const sides = [];
  for (const [index, node] of network.grids.entries()) {
    if (node.length < 2) {
      sides.push(node.length ? node[0] : size);
      continue;
    }
    const before = sides[node[0]], side = windowed(before, node);
    if (side === null) {
      const { layer } = network.rows.find((row) => row.grid === index);
      return { problem: say("{name} cannot take {size}: at {layer} the {window} window does not fit into the {grid} grid that is left. Take a larger image.",
        { name, size: square(size), layer, window: square(node[1]), grid: square(before) }) };
    }
    sides.push(side);
  }
  const { head } = network;
  if (head) {
    const side = sides[head.grid], arriving = head.channels * side * side;
    if (arriving !== head.features)
      return { problem: say("{name} cannot take {size}: {layer} expects {features} numbers, and {shape} = {arriving} arrive. Take {native}.",
        { name, size: square(size), layer: head.layer, features: grouped(head.features), shape: `${head.channels} × ${square(side)}`,
          arriving: grouped(arriving), native: square(network.native) }) };
  }
  const rows = network.rows.map((row) => {
    const side = sides[row.grid], area = side * side;
    return { ...row, side, macs: row.macs * area, activations: row.activations * area };
  });
  const rest = { parameters: network.rest.parameters,
    activations: network.rest.activations.reduce((sum, [grid, each]) => sum + each * sides[grid] ** 2, 0) };
  const sum = (what) => rows.reduce((total, row) => total + row[what], 0);
  return { rows, rest, parameters: sum("parameters") + rest.parameters, macs: sum("macs"),
    activations: sum("activations") + rest.activations };
}

// Four small charts over the same layers: the grid gets smaller, the channels more; where are the costs?
function profile(width, { rows }) {
  const measures = [[say("grid"), "side"], [say("channels"), "channels"], [say("activations"), "activations"], [say("MACs"), "macs"], [say("parameters"), "parameters"]];
  const left = 86, step = (width - left) / rows.length, high = 46, line = high + 12;
  const nodes = measures.flatMap(([label, key], index) => {
    const bottom = index * line + high, most = Math.max(...rows.map((row) => row[key]), 1);
    return [text(left - 10, bottom - high / 2 + 1, label, { "text-anchor": "end" }),
      text(left - 10, bottom - high / 2 + 17, `≤ ${short(most)}`, { "text-anchor": "end", class: "soft", style: "font-size:11px" }),
      shape("path", { class: "axis", d: `M${left} ${bottom + 0.5}H${width}` }),
      ...rows.map((row, i) => {
        const tall = row[key] / most * (high - 4);
        return shape("rect", { x: left + i * step, y: bottom - tall, width: Math.max(step * 0.82, 0.8), height: tall, fill: `var(--x-${row.role})` },
          shape("title", {}, `${row.layer}: ${label} ${grouped(row[key])}`));
      })];
  });
  const [colours, y] = legend(width, width < 480 ? 0 : left, measures.length * line + 12, roles(rows));
  return picture(width, y + 8, say("Grid, channels, activations, MACs and parameters, layer by layer; the table has the figures."), nodes, colours);
}

// "Conv2d 3x3/2 depthwise" and "Conv2d 5x5, 2 groups" have words in them.
function named(label) {
  const [, layer, groups] = label.match(/^(.*?)(?: depthwise|, (\d+) groups)$/) ?? [];
  return !layer ? label : groups ? say("{kernel}, {groups} groups", { kernel: layer, groups }) : say("{layer} depthwise", { layer });
}

export default {
  render: speaking(({ model, el }) => {
    const networks = model.get("networks");
    return explorer(model, el, {
      title: say("Send an image through a network"),
      hint: say("Choose a network and the side of its image. Every shape and every cost follows."),
      keys: ["networks"],
      controls: [
        { key: "network", label: say("Network"), kind: "select", options: Object.keys(networks).map((name) => [name, name]),
          also: (name) => ({ size: networks[name].native }) },
        { key: "size", label: say("Image side"), min: 1, max: 600 },
      ],
      update({ network: name, size, networks }) {
        const traced = trace(name, networks[name], size);
        if (traced.problem) return { sentence: traced.problem, impossible: true };
        const { rows, rest, parameters, macs, activations } = traced;
        return {
          sentence: say("{name} on {size}: {parameters} parameters, {macs} MACs, {numbers} written on the way ({memory} MB in fp32).",
            { name, size: square(size), parameters: grouped(parameters), macs: grouped(macs), numbers: plural(activations, "number"), memory: fixed(4 * activations / 1e6, 2) }),
          draw: (width) => profile(width, traced),
          table: {
            head: [say("Layer"), say("Output"), say("Parameters"), say("MACs"), say("Activations"), say("Sees")],
            rows: [...rows.map((row) => [{ name: named(row.label), more: row.layer }, row.role === "linear" ? String(row.channels) : `${row.channels} × ${square(row.side)}`,
              row.parameters, row.macs, row.activations, row.field == null ? say("all") : square(row.field)]),
            [say("norms, activations, sums"), "", rest.parameters, 0, rest.activations, ""]],
            foot: [say("Sum"), "", parameters, macs, activations, ""],
          },
        };
      },
    });
  }),
};
