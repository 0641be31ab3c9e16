// A trained plain and a trained residual network compute in the page: blocks go, shortcuts fade, statistics are renewed.

const T = tensors(), LETTERS = "abcdefghijklmnopq", SIDE = 8;
const STAGES = 3, BLOCKS = 3;
const REMOVABLE = [...Array(STAGES).keys()].flatMap((stage) => [...Array(BLOCKS - 1).keys()].map((i) => [stage, i + 1]));
const NETWORK_NAMES = { residual: mark("residual"), plain: mark("plain") };
const STATISTICS = { stored: mark("stored statistics"), recomputed: mark("recomputed statistics") };
const blockName = (index) => REMOVABLE[index].map((part) => part + 1).join(".");

// Works in a worker: see worker.js. The first message brings the networks and the digits, all others only settings.
function evaluator(T) {
  let networks = null, test = null, train = null, labels = null, known = { key: null };
  const EPS = 1e-5;

  // A forward pass. `statistics` are those of each norm, in the order of use; `renew` fills them from this very batch.
  function forward(parts, residual, x, { out, strength, statistics, renew }, each) {
    let at = 0, norm = 0;
    const convNorm = (input, stride, kept) => {
      const [weight, gamma, beta, mean, variance] = parts.slice(at, (at += 5));
      const z = T.conv2d(input, weight, null, { stride, padding: 1 }), index = norm++;
      let use = statistics?.[index] ?? { mean: mean.data, variance: variance.data };
      if (renew) {
        const seen = T.moments(z);
        renew[index] = { mean: seen.mean, variance: seen.unbiased };
        use = seen;
      }
      return T.batchNorm(z, { gamma: gamma.data, beta: beta.data, eps: EPS, ...use });
    };
    const relu = (z) => T.activation(z, "relu");
    x = relu(convNorm(x, 1));
    each?.(x);
    for (let stage = 0; stage < 3; stage++)
      for (let block = 0; block < 3; block++) {
        const stride = stage > 0 && block === 0 ? 2 : 1, index = block ? stage * 2 + block - 1 : -1;
        if (out.includes(index)) {
          at += 10;
          norm += 2;
        } else {
          const z = convNorm(relu(convNorm(x, stride)), 1);
          const carried = stride > 1 ? T.padShortcut(x, z.shape[1], stride) : x;
          x = relu(residual ? T.add(z, carried, stride > 1 ? 1 : strength) : z);
        }
        each?.(x);
      }
    const [weight, bias] = parts.slice(at);
    return T.linear(T.globalAverage(x), weight, bias);
  }
  const largest = (row) => row.reduce((best, value, i) => (value > row[best] ? i : best), 0);

  return (message) => {
    if (message.networks) ({ networks, test, train, labels } = message);
    const { network, out, strength, statistics, digit } = message, residual = network === "residual", parts = networks[network];
    const key = JSON.stringify([network, out, residual ? strength : 1, statistics]);
    if (known.key !== key) {
      const settings = { out, strength, statistics: null };
      if (statistics === "recomputed") {
        const renew = [];
        forward(parts, residual, train, { ...settings, renew });
        settings.statistics = renew;
      }
      const { data } = forward(parts, residual, test, settings);
      const wrong = [...labels].filter((label, i) => largest(data.subarray(10 * i, 10 * i + 10)) !== Number(label)).length;
      known = { key, settings, wrong };
    }
    const area = test.data.length / labels.length, image = T.tensor([1, 1, 8, 8], test.data.slice(digit * area, (digit + 1) * area));
    const maps = [], logits = forward(parts, residual, image, known.settings, (x) => maps.push({ channels: x.shape[1], side: x.shape[2], data: x.data }));
    return { asked: JSON.stringify([key, digit]), wrong: known.wrong, digits: labels.length, shares: T.softmax(logits).data, maps };
  };
}

function decode(text, [mean, deviation]) {
  const data = Float64Array.from(text, (letter) => (LETTERS.indexOf(letter) - mean) / deviation);
  return T.tensor([data.length / (SIDE * SIDE), 1, SIDE, SIDE], data);
}

const settingsOf = (s) => ({ network: s.network, out: [...new Set(s.out)].sort(), strength: s.strength, statistics: s.statistics, digit: s.digit });
const keyOf = ({ network, out, strength, statistics, digit }) => JSON.stringify([JSON.stringify([network, out, network === "residual" ? strength : 1, statistics]), digit]);

function sentence(s, { out }, now, labels) {
  const gone = out.map(blockName);
  const network = say(NETWORK_NAMES[s.network]);
  const parts = [say(!gone.length ? mark("The {network} network with all its blocks") : gone.length > 1 ? mark("The {network} network without blocks {blocks}")
    : mark("The {network} network without block {blocks}"), { network, blocks: gone.join(", ") })];
  if (s.network === "residual" && s.strength < 1) parts.push(say("its shortcuts × {strength}", { strength: fixed(s.strength, 2) }));
  parts.push(say(STATISTICS[s.statistics]));
  const most = Math.max(...now.shares);
  return `${parts.join(", ")}: ${say("{wrong} of {digits} test digits are read wrongly ({share} %).",
    { wrong: now.wrong, digits: now.digits, share: fixed((100 * now.wrong) / now.digits, 1) })} ` +
    say("It reads this {label} as {answer} ({share} %).", { label: labels[s.digit], answer: now.shares.indexOf(most), share: fixed(100 * most, 1) });
}

function view(model) {
  const image = element("canvas", { class: "x-maps", role: "img" }), rows = element("div", { class: "x-blocks" }), bar = element("div");
  const root = element("div", { class: "x-damage" }, bar, element("div", { class: "x-top" }, element("div", { class: "x-digit" }, element("div", { class: "x-caption" }, say("the digit")), image), rows));
  const toggle = (index) => {
    const out = model.get("out");
    model.set("out", out.includes(index) ? out.filter((one) => one !== index) : [...out, index].sort());
    model.save_changes();
  };
  // One row after the stem and after each block.
  const lines = [[say("stem"), -1], ...[...Array(STAGES).keys()].flatMap((stage) => [...Array(BLOCKS).keys()].map((block) => [say("block {name}", { name: `${stage + 1}.${block + 1}` }), block ? stage * 2 + block - 1 : -1]))]
    .map(([name, index]) => {
      const canvas = element("canvas", { class: "x-maps", role: "img" }), label = index < 0 ? element("span", {}, name) : element("button", { type: "button", "data-point": `block-${index}`, onclick: () => toggle(index) }, name);
      const line = element("div", { class: "x-line" }, label, canvas);
      rows.append(line);
      return { name, index, canvas, label, line };
    });
  return (width, s, { out }, now, labels) => {
    const colours = tints(root);
    const start = s.digit * SIDE * SIDE, ink = [...s.pixels.test.slice(start, start + SIDE * SIDE)].map((letter) => LETTERS.indexOf(letter) / 16);
    montage(image, ink, 1, SIDE, 1, colours, { ink: true, most: 1 });
    image.setAttribute("aria-label", say("Test digit {number}, a {label}, 8 × 8 pixels", { number: s.digit, label: labels[s.digit] }));
    lines.forEach(({ name, index, canvas, label, line }, i) => {
      const { channels, side, data } = now.maps[i], gone = out.includes(index);
      montage(canvas, data, channels, side, channels, colours);
      canvas.setAttribute("aria-label", say(gone ? mark("{name} is taken out: what it received goes on") : mark("The {channels} maps of {side} after {name}"), { name, channels, side: square(side) }));
      line.classList.toggle("x-gone", gone);
      if (index >= 0) {
        label.setAttribute("aria-pressed", String(gone));
        label.textContent = gone ? say("out: {name}", { name: blockName(index) }) : name;
      }
    });
    const label = say("test error"), left = labelWidth(label) + 12, room = width - left - 70, share = now.wrong / now.digits, chance = say("guessing: {share} %", { share: 90 });
    bar.replaceChildren(picture(width, 50, say("Error on the test digits: {error} per cent; guessing would have 90.", { error: fixed(100 * share, 1) }),
      text(0, 20, label), shape("rect", { x: left, y: 7, width: room, height: 18, rx: 3, fill: "none", stroke: "var(--x-line)" }),
      shape("rect", { x: left, y: 7, width: Math.max(1.5, share * room), height: 18, rx: 3, fill: `var(--x-${s.network === "plain" ? "plain" : "residual"})` }),
      shape("path", { d: `M${left + 0.9 * room} 3v30`, stroke: "var(--x-ink)", "stroke-dasharray": "3 3" }),
      text(left + 0.9 * room, 46, chance, { "text-anchor": "middle", class: "soft", style: "font-size:12px" }),
      text(width - 4, 20, `${fixed(100 * share, 1)} %`, { "text-anchor": "end", style: "font-weight:700" })));
    return root;
  };
}

export default {
  render: speaking(({ model, el }) => {
    const { test, train, labels, scale } = model.get("pixels"), shapes = model.get("shapes");
    const networks = Object.fromEntries(Object.entries(model.get("weights")).map(([name, text]) => [name, T.cut(T.halves(text), shapes)]));
    const answers = new Map(), show = view(model);
    let again = () => {}, latest = null, asked = null;
    let data = { networks, test: decode(test, scale), train: decode(train, scale), labels }; // goes to the worker once
    const work = inWorker(() => evaluator(tensors()), [tensors, evaluator], (answer) => {
      answers.set(answer.asked, answer);
      if (answers.size > 200) answers.delete(answers.keys().next().value);
      asked = null;
      again();
    });
    const stop = explorer(model, el, {
      title: say("Take blocks out"),
      hint: say("Two trained networks of 20 layers read 355 digits that they have not seen. Click blocks off; no training follows."),
      presets: [
        [say("whole"), { out: [], strength: 1, statistics: "stored" }],
        [say("one block less"), { out: [2], strength: 1, statistics: "stored" }],
        [say("…its statistics renewed"), { out: [2], strength: 1, statistics: "recomputed" }],
        [say("shortcuts at half strength"), { network: "residual", out: [], strength: 0.5, statistics: "stored" }],
      ],
      keys: ["pixels"],
      controls: [
        { key: "network", label: say("Network"), options: Object.entries(NETWORK_NAMES).map(([key, name]) => [key, say(name)]) },
        { key: "statistics", label: say("Batch norm"), options: [["stored", say("stored statistics")], ["recomputed", say("recomputed")]] },
        { key: "out", label: say("Taken out"), many: REMOVABLE.map((_, index) => [index, blockName(index)]) },
        { key: "strength", label: say("Shortcuts ×"), min: 0, max: 1, step: 0.05, when: (s) => s.network === "residual" },
        { key: "digit", label: say("Test digit"), min: 0, max: labels.length - 1 },
      ],
      update(s, _, redraw) {
        again = redraw;
        const settings = settingsOf(s), key = keyOf(settings), now = answers.get(key);
        if (!now) {
          if (asked !== key) work.ask({ ...settings, ...data });
          [asked, data] = [key, null];
          return { sentence: say("Reading the test digits…"), busy: true, draw: latest && ((width) => show(width, ...latest, labels)) };
        }
        latest = [s, settings, now];
        const most = (one) => one.data.reduce((best, value) => Math.max(best, value), 0);
        return {
          sentence: sentence(s, settings, now, labels),
          draw: (width) => show(width, s, settings, now, labels),
          table: { caption: say("What this digit meets"), head: [say("Behind"), say("Maps"), say("Largest number")],
            rows: now.maps.map((one, i) => {
              const stage = Math.floor((i - 1) / BLOCKS), block = (i - 1) % BLOCKS;
              const gone = i > 0 && block > 0 && settings.out.includes(stage * 2 + block - 1);
              return [i ? say(gone ? mark("block {name} (out)") : mark("block {name}"), { name: `${stage + 1}.${block + 1}` }) : say("stem"),
                say("{channels} of {side}", { channels: one.channels, side: square(one.side) }), fixed(most(one), 3)];
            }) },
        };
      },
    });
    return () => { stop(); work.stop(); };
  }),
};
