// All networks as dots; any two measures are the axes, and the selected network is described.

function shown(value, key, measures) {
  const [, unit, decimals] = measures[key];
  if (key === "year") return String(value);
  return `${decimals === 0 ? grouped(value) : fixed(value, decimals)} ${unit}`.trim();
}

// A name that may be broken behind its underscores, and nowhere else.
const breakable = (name) => element("span", { translate: "no" }, ...name.split("_").flatMap((part, place) => (place ? ["_", element("wbr"), part] : [part])));

// A network and where it stands on both axes.
const both = (name, one, { x, y, measures }) => say("{network}: {across} {first}, {up} {second}",
  { network: name, across: say(measures[x][0]), first: shown(one[x], x, measures), up: say(measures[y][0]), second: shown(one[y], y, measures) });

function sentence(state) {
  const { x, y, selected, networks, measures } = state;
  const measure = (key) => say(measures[key][0]);
  if (x === y) return say("Both axes show {measure}: choose two different measures.", { measure: measure(x) });
  const one = networks.find((network) => network.name === selected);
  const said = `${selected} (${one.family}, ${one.year})`;
  for (const key of [x, y]) if (one[key] == null) return say("{network}: nothing is known of its {measure}.", { network: said, measure: measure(key) });
  const others = networks.filter((network) => network !== one && network[x] != null && network[y] != null);
  const fewer = (key) => others.filter((network) => network[key] < one[key]).length;
  return [
    `${both(said, one, state)}.`,
    say("Of {others} others, {fewer} are below it in the first and {lower} in the second.", { others: others.length, fewer: fewer(x), lower: fewer(y) }),
    say("Its ledger: {parameters} parameters, {macs} MACs, {memory} of activations, {depth} layers with weights.",
      { parameters: grouped(one.parameters), macs: grouped(one.macs), memory: shown(one.memory, "memory", measures), depth: one.depth }),
  ].join(" ");
}

function chart(width, state, select) {
  const { x, y, selected, networks, measures } = state;
  const title = (key) => say(measures[key][0]) + (measures[key][1] ? ` (${measures[key][1]})` : "");
  const left = 58, right = 16, below = inLines(title(x), width - right), above = inLines(title(y), width), line = 16;
  const top = 10 + line * above.length, height = Math.round(Math.min(430, Math.max(300, width * 0.6))) + top - 26, bottom = height - 42;
  const dots = networks.filter((network) => network[x] != null && network[y] != null);
  const across = axis(dots.map((network) => network[x]), left, width - right, measures[x][3]);
  const up = axis(dots.map((network) => network[y]), bottom, top, measures[y][3]);
  const tick = (key) => (value) => (key === "year" ? String(value) : short(value));
  const nodes = [
    ...across.ticks.flatMap((value) => [shape("path", { class: "axis", d: `M${across(value)} ${top}V${bottom}` }),
      text(across(value), bottom + 16, tick(x)(value), { "text-anchor": "middle", class: "soft" })]),
    ...up.ticks.flatMap((value) => [shape("path", { class: "axis", d: `M${left} ${up(value)}H${width - right}` }),
      text(left - 6, up(value) + 4, tick(y)(value), { "text-anchor": "end", class: "soft" })]),
    ...below.map((words, i) => text(width - right, height - 8 + line * i, words, { "text-anchor": "end" })),
    ...above.map((words, i) => text(0, 13 + line * i, words)),
  ];
  dots.sort((a, b) => a[x] - b[x] || a[y] - b[y]);
  const step = (event, index) => { // the arrows go from dot to dot, as between radio buttons
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    select(dots[(index + by + dots.length) % dots.length].name, true);
  };
  const taken = [];
  const beside = (far) => [[far, 4, "start"], [-far, 4, "end"], [0, -far, "middle"], [0, far + 10, "middle"]];
  const place = (network) => { // a label, where it hides nothing: right, left, above or below its dot
    const now = network.name === selected, near = beside(now ? 14 : 11), wide = labelWidth(network.name, now), cx = across(network[x]), cy = up(network[y]);
    for (const [dx, dy, anchor] of now ? [...near, ...further()] : near) {
      const lx = cx + dx, ly = cy + dy, from = anchor === "start" ? lx : anchor === "end" ? lx - wide : lx - wide / 2;
      const box = [from, ly - 11, from + wide, ly + 3];
      const free = box[0] > left && box[2] < width && box[1] > top - 8 && box[3] < bottom + 2 &&
        taken.every((other) => apartFrom(box, other));
      if (!free) continue;
      taken.push(box);
      return [leadTo(cx, cy, dx, dy), text(lx, ly, network.name, { class: now ? "x-label" : "x-label soft", "text-anchor": anchor, "pointer-events": "none", style: now ? "font-weight:700" : "font-size:12px" })];
    }
    return [];
  };
  for (const network of dots) taken.push([across(network[x]) - 6, up(network[y]) - 6, across(network[x]) + 6, up(network[y]) + 6]);
  const chosen = dots.find((network) => network.name === selected);
  const labels = [...(chosen ? [chosen] : []), ...dots.filter((network) => network !== chosen)].flatMap(place).filter(Boolean);
  const reachable = chosen ? selected : dots[0]?.name;
  const group = shape("g", { role: "radiogroup", "aria-label": say("Networks") }, dots.map((network, index) => {
    const now = network.name === selected, cx = across(network[x]), cy = up(network[y]);
    return shape("g", { class: "x-dot", role: "radio", "aria-checked": String(now), "data-point": network.name,
      tabindex: network.name === reachable ? 0 : -1,
      "aria-label": both(network.name, network, state),
      onpointerenter: () => select(network.name), onclick: () => select(network.name, true),
      onfocus: () => select(network.name), onkeydown: (event) => step(event, index) },
    shape("circle", { cx, cy, r: 13, fill: "transparent" }), // something to hit with a finger
    shape("circle", { class: "x-mark", cx, cy, r: now ? 8 : 5.5, fill: familyColour(network),
      stroke: now ? "var(--x-ink)" : "var(--x-paper)", "stroke-width": now ? 2.5 : 1 }));
  }));
  const [colours, end] = legend(width, 0, height + 14 + line * (below.length - 1), families(dots));
  const svg = picture(width, end + 8, "", ...nodes, ...labels, group, colours);
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", say("Chart of {count} networks: {x} against {y}.", { count: dots.length, x: title(x), y: title(y) }));
  return svg;
}

export default {
  render: speaking(({ model, el }) => {
    const measures = Object.entries(model.get("measures")).map(([key, [name, unit]]) => [key, unit ? `${say(name)} (${unit})` : say(name)]);
    const select = (name, focus) => {
      model.set("selected", name);
      model.save_changes();
      if (focus) requestAnimationFrame(() => el.querySelector(`[data-point="${name}"]`)?.focus());
    };
    return explorer(model, el, {
      title: say("Compare the networks"),
      hint: say("Choose what the axes show; point at a dot, or tab to it and use the arrows."),
      presets: [
        [say("What an error costs"), { x: "macs", y: "error" }],
        [say("Size is not work"), { x: "parameters", y: "macs" }],
        [say("Deeper, smaller"), { x: "depth", y: "parameters" }],
        [say("Through the years"), { x: "year", y: "parameters" }],
        [say("Work per number moved"), { x: "macs", y: "intensity" }],
      ],
      keys: ["networks", "measures"],
      controls: [
        { key: "x", label: say("Across"), kind: "select", options: measures },
        { key: "y", label: say("Up"), kind: "select", options: measures },
        { key: "selected", label: say("Network"), kind: "select", options: model.get("networks").map(({ name }) => [name, name]) },
      ],
      update(state) {
        const { x, y, selected, networks, measures } = state;
        if (x === y) return { sentence: sentence(state), impossible: true };
        const value = (network, key) => (network[key] == null ? "–" : shown(network[key], key, measures));
        const keys = [x, y, ...Object.keys(measures).filter((key) => key !== x && key !== y)];
        const missing = networks.filter((network) => network[x] == null || network[y] == null).map(({ name }) => name);
        return {
          sentence: sentence(state),
          draw: (width) => chart(width, state, select),
          table: {
            caption: (missing.length ? `${say("Not in the chart, for want of a figure: {networks}.", { networks: missing.join(", ") })} ` : "") +
              say("Published errors follow different protocols; torchvision’s follow one."),
            head: [say("Network"), ...keys.map((key) => say(measures[key][0]))],
            rows: networks.map((network) => ({ class: network.name === selected ? "x-now" : null, cells: [
              { name: breakable(network.name), more: square(network.image) },
              ...keys.map((key) => (key === "published" && network.protocol ? { name: value(network, key), more: told(network.protocol) } : value(network, key))),
            ] })),
          },
        };
      },
    });
  }),
};
