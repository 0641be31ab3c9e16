// The small core that lets networks compute in the page: typed arrays, no framework. Its tests compare it with torch.
//
// A tensor is { shape, data }: shape (N, C, H, W) or (N, features), data a Float32Array or a Float64Array. Results have
// the kind of array of their input; sums are always kept in double precision. Everything is inside one function, so
// that its own text can be sent to a worker: see worker.js.

function tensors() {
  const count = (shape) => shape.reduce((product, side) => product * side, 1);
  const tensor = (shape, data) => {
    if (count(shape) !== data.length) throw Error(`shape is ${shape.join(" x ")}, but there are ${data.length} numbers`);
    return { shape, data };
  };
  const like = (x, shape) => ({ shape, data: new x.data.constructor(count(shape)) });
  const wide = (x) => (x.data instanceof Float64Array ? x.data : (x.wide ??= Float64Array.from(x.data))); // weights, once

  // Places of a window along one side; the same formula as casestudies.costs.conv_output_size.
  function places(size, kernel, stride, padding) {
    const room = size + 2 * padding - kernel;
    if (room < 0) throw Error(`a window of ${kernel} does not fit into ${size} + 2 x ${padding} pixels`);
    return Math.floor(room / stride) + 1;
  }

  // The windows of one image and one group as rows (P, K): what a convolution multiplies its weights with.
  function windows(x, n, first, channels, [kh, kw], stride, padding, [rows, columns], into) {
    const [, all, height, width] = x.shape, K = channels * kh * kw;
    if (padding) into.fill(0);
    for (let i = 0, p = 0; i < rows; i++)
      for (let j = 0; j < columns; j++, p++)
        for (let c = 0; c < channels; c++) {
          const plane = (n * all + first + c) * height * width;
          for (let u = 0; u < kh; u++) {
            const y = i * stride - padding + u;
            if (y < 0 || y >= height) continue;
            const from = plane + y * width + j * stride - padding, to = p * K + (c * kh + u) * kw;
            const least = Math.max(0, padding - j * stride), most = Math.min(kw, width + padding - j * stride);
            for (let v = least; v < most; v++) into[to + v] = x.data[from + v];
          }
        }
    return into;
  }

  // weight (C_out, C_in / groups, kh, kw), bias (C_out) or null
  function conv2d(x, weight, bias = null, { stride = 1, padding = 0, groups = 1 } = {}) {
    const [N, C, height, width] = x.shape, [out, per, kh, kw] = weight.shape;
    if (per * groups !== C) throw Error(`the convolution expects ${per * groups} channels and receives ${C}`);
    const rows = places(height, kh, stride, padding), columns = places(width, kw, stride, padding);
    const P = rows * columns, K = per * kh * kw, w = wide(weight), b = bias && bias.data;
    const result = like(x, [N, out, rows, columns]), z = result.data, each = out / groups;
    const a = new Float64Array(P * K);
    for (let n = 0; n < N; n++)
      for (let g = 0; g < groups; g++) {
        windows(x, n, g * per, per, [kh, kw], stride, padding, [rows, columns], a);
        for (let o = 0; o < each; o++) {
          const unit = g * each + o, start = unit * K, to = (n * out + unit) * P, add = b ? b[unit] : 0;
          let p = 0;
          for (; p + 3 < P; p += 4) { // four places at a time: each weight is read once for them
            let s0 = add, s1 = add, s2 = add, s3 = add;
            const a0 = p * K, a1 = a0 + K, a2 = a1 + K, a3 = a2 + K;
            for (let k = 0; k < K; k++) {
              const weighs = w[start + k];
              s0 += weighs * a[a0 + k];
              s1 += weighs * a[a1 + k];
              s2 += weighs * a[a2 + k];
              s3 += weighs * a[a3 + k];
            }
            z[to + p] = s0;
            z[to + p + 1] = s1;
            z[to + p + 2] = s2;
            z[to + p + 3] = s3;
          }
          for (; p < P; p++) {
            let sum = add;
            for (let k = 0, from = p * K; k < K; k++) sum += w[start + k] * a[from + k];
            z[to + p] = sum;
          }
        }
      }
    return result;
  }

  // weight (out, in), bias (out) or null
  function linear(x, weight, bias = null) {
    const [N, features] = x.shape, [out, expected] = weight.shape;
    if (features !== expected) throw Error(`the linear layer expects ${expected} features and receives ${features}`);
    const w = wide(weight), result = like(x, [N, out]);
    for (let n = 0; n < N; n++)
      for (let o = 0; o < out; o++) {
        let sum = bias ? bias.data[o] : 0;
        for (let k = 0, from = n * features, start = o * features; k < features; k++) sum += w[start + k] * x.data[from + k];
        result.data[n * out + o] = sum;
      }
    return result;
  }

  // As in torch: the padding of a maximum is never the largest, that of an average counts as zeros.
  function pool(x, { kernel, stride = kernel, padding = 0 }, maximum) {
    const [N, C, height, width] = x.shape;
    const rows = places(height, kernel, stride, padding), columns = places(width, kernel, stride, padding);
    const result = like(x, [N, C, rows, columns]);
    for (let plane = 0, to = 0; plane < N * C; plane++)
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++, to++) {
          const top = i * stride - padding, left = j * stride - padding;
          let value = maximum ? -Infinity : 0;
          for (let y = Math.max(0, top); y < Math.min(height, top + kernel); y++)
            for (let at = Math.max(0, left); at < Math.min(width, left + kernel); at++) {
              const one = x.data[(plane * height + y) * width + at];
              value = maximum ? (one > value || one !== one ? one : value) : value + one;
            }
          result.data[to] = maximum ? value : value / (kernel * kernel);
        }
    return result;
  }
  const maxPool = (x, window) => pool(x, window, true);
  const averagePool = (x, window) => pool(x, window, false);

  function globalAverage(x) { // (N, C, H, W) -> (N, C)
    const [N, C, height, width] = x.shape, result = like(x, [N, C]), area = height * width;
    for (let plane = 0; plane < N * C; plane++) {
      let sum = 0;
      for (let i = 0; i < area; i++) sum += x.data[plane * area + i];
      result.data[plane] = sum / area;
    }
    return result;
  }

  // Mean and variance of each channel over the batch and the grid; `unbiased` is what torch stores, the other
  // variance what it divides by while it trains.
  function moments(x) {
    const [N, C, ...grid] = x.shape, area = count(grid), total = N * area;
    const mean = new Float64Array(C), variance = new Float64Array(C);
    for (let c = 0; c < C; c++) {
      let sum = 0, squares = 0;
      for (let n = 0; n < N; n++) for (let i = 0, from = (n * C + c) * area; i < area; i++) sum += x.data[from + i];
      mean[c] = sum / total;
      for (let n = 0; n < N; n++)
        for (let i = 0, from = (n * C + c) * area; i < area; i++) squares += (x.data[from + i] - mean[c]) ** 2;
      variance[c] = squares / total;
    }
    return { mean, variance, unbiased: variance.map((value) => value * total / (total - 1)) };
  }

  function batchNorm(x, { gamma, beta, mean, variance, eps = 1e-5 }) {
    const [N, C, ...grid] = x.shape, area = count(grid), result = like(x, x.shape);
    for (let c = 0; c < C; c++) {
      const scale = gamma[c] / Math.sqrt(variance[c] + eps), shift = beta[c] - mean[c] * scale;
      for (let n = 0; n < N; n++)
        for (let i = 0, at = (n * C + c) * area; i < area; i++, at++) result.data[at] = x.data[at] * scale + shift;
    }
    return result;
  }

  const ACTIVATIONS = {
    relu: (z) => (z > 0 ? z : z !== z ? z : 0), // NaN stays NaN, as in torch
    relu6: (z) => (z > 6 ? 6 : z > 0 ? z : z !== z ? z : 0),
    tanh: Math.tanh,
    sigmoid: (z) => 1 / (1 + Math.exp(-z)),
    silu: (z) => z / (1 + Math.exp(-z)),
  };
  const activation = (x, name) => ({ shape: x.shape, data: x.data.map(ACTIVATIONS[name]) });

  function softmax(x) { // (N, features): each row on its own
    const [N, features] = x.shape, result = like(x, x.shape);
    for (let n = 0; n < N; n++) {
      const row = Float64Array.from(x.data.subarray(n * features, (n + 1) * features)), most = Math.max(...row);
      const powers = row.map((value) => Math.exp(value - most)), sum = powers.reduce((a, b) => a + b, 0);
      result.data.set(powers.map((value) => value / sum), n * features);
    }
    return result;
  }

  function add(a, b, scale = 1) { // a + scale * b: what a shortcut does, whole or weakened
    if (a.shape.join() !== b.shape.join())
      throw Error(`${a.shape.join(" x ")} and ${b.shape.join(" x ")} cannot be added`);
    const result = like(a, a.shape);
    for (let i = 0; i < a.data.length; i++) result.data[i] = a.data[i] + scale * b.data[i];
    return result;
  }

  function padShortcut(x, channels, stride) { // option A: every `stride`-th pixel, then channels of zeros
    const [N, C, height, width] = x.shape;
    const rows = Math.ceil(height / stride), columns = Math.ceil(width / stride);
    const result = like(x, [N, channels, rows, columns]);
    for (let n = 0; n < N; n++)
      for (let c = 0; c < C; c++)
        for (let i = 0; i < rows; i++)
          for (let j = 0; j < columns; j++)
            result.data[((n * channels + c) * rows + i) * columns + j] =
              x.data[((n * C + c) * height + i * stride) * width + j * stride];
    return result;
  }

  const flatten = (x) => ({ shape: [x.shape[0], count(x.shape.slice(1))], data: x.data });

  // Half-precision numbers, as `torch.Tensor.half` rounds them, from base64 (little endian).
  function halves(text, Kind = Float64Array) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const words = new Uint16Array(bytes.buffer);
    return Kind.from(words, (word) => {
      const sign = word >> 15 ? -1 : 1, exponent = (word >> 10) & 31, fraction = word & 1023;
      if (exponent === 31) return fraction ? NaN : sign * Infinity;
      return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
    });
  }

  // Cuts one array into tensors of the given shapes, in order.
  function cut(data, shapes) {
    const needed = shapes.reduce((sum, shape) => sum + count(shape), 0);
    if (needed !== data.length) throw Error(`the shapes need ${needed} numbers, and there are ${data.length}`);
    let from = 0;
    return shapes.map((shape) => tensor(shape, data.slice(from, (from += count(shape)))));
  }

  return { tensor, places, conv2d, linear, maxPool, averagePool, globalAverage, moments, batchNorm, activation, softmax,
    add, padShortcut, flatten, halves, cut };
}
