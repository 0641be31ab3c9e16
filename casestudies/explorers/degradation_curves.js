// Recorded runs of plain and residual networks: what depth does to them, epoch by epoch.

const FAMILIES = { both: [false, true], plain: [false], residual: [true] };
const FAMILY_NAMES = { both: mark("both"), plain: mark("plain"), residual: mark("residual") };
const DASHES = [null, "7 4", "2 3", "9 3 2 3", "1 5"]; // by depth, the deepest drawn through

const named = (curve) => say(curve.residual ? mark("residual-{depth}") : mark("plain-{depth}"), { depth: curve.depth });
const at = (curve, { measure, epoch }) => curve[measure][Math.min(epoch, curve[measure].length) - 1];

function chosen(s) {
  return s.curves.filter((curve) =>
    curve.data === s.data && s.depths.includes(curve.depth) && FAMILIES[s.family].includes(curve.residual))
    .sort((a, b) => a.residual - b.residual || a.depth - b.depth);
}

function sentence(s, curves) {
  const data = told(s.names[s.data] ?? s.data);
  if (!curves.length) return say("There is no such run on {data}: choose another depth.", { data });
  const [name, unit, factor, decimals] = s.measures[s.measure];
  const epochs = Math.max(...curves.map((curve) => curve[s.measure].length));
  const read = curves.map((curve) => `${named(curve)} ${fixed(factor * at(curve, s)[0], decimals)}${unit ? ` ${unit}` : ""}`);
  let said = say("{data}, {measure} after {epochs}: {figures}.",
    { data, measure: say(name), epochs: plural(Math.min(s.epoch, epochs), "epoch"), figures: read.join(", ") });
  for (const residual of [false, true]) {
    const mine = curves.filter((curve) => curve.residual === residual);
    if (mine.length < 2 || s.measure === "gradient_norm") continue;
    const shallow = at(mine[0], s)[0], deep = at(mine.at(-1), s)[0];
    const change = deep > shallow ? mark("From {shallow} to {deep} it rises.") : deep < shallow ? mark("From {shallow} to {deep} it falls.")
      : mark("From {shallow} to {deep} it stays the same.");
    said += ` ${say(change, { shallow: named(mine[0]), deep: named(mine.at(-1)) })}`;
  }
  return said;
}

function chart(width, s, curves) {
  const [name, unit, factor] = s.measures[s.measure];
  const height = Math.round(Math.min(380, Math.max(270, width * 0.5)));
  const left = 46, right = 12, top = 26, bottom = height - 34;
  const epochs = Math.max(...curves.map((curve) => curve[s.measure].length));
  const y = axis([0, ...curves.flatMap((curve) => curve[s.measure].map((value) => factor * value[2]))], bottom, top);
  const x = (epoch) => left + (epochs > 1 ? (epoch - 1) / (epochs - 1) : 0.5) * (width - left - right);
  const depths = [...new Set(s.curves.filter((curve) => curve.data === s.data).map((curve) => curve.depth))].sort((a, b) => b - a);
  const nodes = [text(0, 13, unit ? `${say(name)} (${unit})` : say(name)),
    ...y.ticks.filter((value) => value >= 0).flatMap((value) => [shape("path", { class: "axis", d: `M${left} ${y(value)}H${width - right}` }),
      text(left - 6, y(value) + 4, String(value), { "text-anchor": "end", class: "soft" })])];
  const step = [1, 2, 5, 10, 20, 25, 50, 100].find((size) => epochs / size <= 8) ?? 200;
  for (let epoch = step === 1 ? 1 : step; epoch <= epochs; epoch += step)
    nodes.push(text(x(epoch), bottom + 16, String(epoch), { "text-anchor": "middle", class: "soft" }));
  nodes.push(text(width - right, bottom + 31, say("epoch"), { "text-anchor": "end", class: "soft" }));
  const now = Math.min(s.epoch, epochs);
  nodes.push(shape("path", { d: `M${x(now)} ${top}V${bottom}`, stroke: "var(--x-soft)", "stroke-dasharray": "3 3" }));
  const point = (value, i) => `${x(i + 1).toFixed(1)},${y(factor * value).toFixed(1)}`;
  const colourOf = (curve) => `var(--x-${curve.residual ? "residual" : "plain"})`, dashesOf = (curve) => DASHES[depths.indexOf(curve.depth) % DASHES.length];
  const thickOf = (curve) => (curve.residual ? 3.4 : 1.4); // of one depth, they would be told apart by colour alone
  for (const curve of curves) {
    const values = curve[s.measure], colour = colourOf(curve);
    if (curve.seeds > 1)
      nodes.push(shape("path", { d: `M${values.map((v, i) => point(v[2], i)).join("L")}L${values.map((v, i) => point(v[1], i)).reverse().join("L")}Z`,
        fill: colour, opacity: 0.15 }));
    nodes.push(shape("path", { d: `M${values.map((v, i) => point(v[0], i)).join("L")}`, fill: "none", stroke: colour, "stroke-width": thickOf(curve),
      "stroke-linejoin": "round", "stroke-dasharray": dashesOf(curve) }),
    shape("circle", { cx: x(Math.min(now, values.length)), cy: y(factor * at(curve, s)[0]), r: 4.5, fill: colour, stroke: "var(--x-paper)" }));
  }
  // Most end at nearly the same place: their names have no room there.
  const [names, end] = legend(width, 0, height + 14, curves.map((curve) => [named(curve), colourOf(curve), dashesOf(curve), thickOf(curve)]));
  return picture(width, end + 8, say("{measure} by epoch; the table below has the figures of epoch {epoch}.", { measure: say(name), epoch: now }), nodes, names);
}

export default {
  render: speaking(({ model, el }) => {
    const curves = model.get("curves"), names = model.get("names"), measures = model.get("measures");
    const data = [...new Set(curves.map((curve) => curve.data))];
    const depths = [...new Set(curves.map((curve) => curve.depth))].sort((a, b) => a - b);
    const epochs = (name) => Math.max(...curves.filter((curve) => curve.data === name).map((curve) => curve.train_error.length));
    return explorer(model, el, {
      title: say("Does depth help?"),
      hint: say("Plain and residual networks with the same layers, trained alike. Read the curves at any epoch."),
      keys: ["curves", "names", "measures", ...(data.length > 1 ? [] : ["data"])], // with one data set there is no control for it
      controls: [
        ...(data.length > 1 ? [{ key: "data", label: say("Data"), options: data.map((name) => [name, told(names[name] ?? name)]), also: (name) => ({ epoch: epochs(name) }) }] : []),
        { key: "family", label: say("Networks"), options: Object.keys(FAMILIES).map((name) => [name, say(FAMILY_NAMES[name])]) },
        { key: "depths", label: say("Layers"), many: depths.map((depth) => [depth, String(depth)]) },
        { key: "measure", label: say("Show"), kind: "select", options: Object.entries(measures).map(([key, [name]]) => [key, say(name)]) },
        { key: "epoch", label: say("Epoch"), min: 1, max: Math.max(...data.map(epochs)), limit: (s) => epochs(s.data) },
      ],
      update(s) {
        const shown = chosen(s);
        if (!shown.length) return { sentence: sentence(s, shown), impossible: true };
        const [, unit, factor, decimals] = s.measures[s.measure];
        const figure = (value) => fixed(factor * value, decimals) + (unit ? ` ${unit}` : "");
        return {
          sentence: sentence(s, shown),
          draw: (width) => chart(width, s, shown),
          table: {
            head: [say("Network"), say("Runs"), say("Mean"), say("Lowest run"), say("Highest run")],
            rows: shown.map((curve) => [named(curve), curve.seeds, ...at(curve, s).map(figure)]),
          },
        };
      },
    });
  }),
};
