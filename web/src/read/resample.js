// Resizing as Pillow does it, bit for bit: a window of weights over the source for each target
// pixel (wider when shrinking, which is what keeps fine patterns from aliasing), fixed-point sums,
// one direction after the other, eight bits between the two.

const BITS = 22;
const HALF = 1 << (BITS - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

function cubic(x) {
  const a = -0.5;
  const size = Math.abs(x);
  if (size < 1) return ((a + 2) * size - (a + 3)) * size * size + 1;
  return size < 2 ? (((size - 5) * size + 8) * size - 4) * a : 0;
}

function hamming(x) {
  const size = Math.abs(x);
  if (size === 0) return 1;
  return size < 1 ? sinc(size) * (0.54 + 0.46 * Math.cos(Math.PI * size)) : 0;
}

/** By Pillow's numbers: reach and weight of each filter. */
const FILTERS = {
  1: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
  2: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  3: [2, cubic],
  4: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  5: [1, hamming],
};

/** Pixels {width, height, data: RGB bytes} in another size, by one of Pillow's filters. */
export function resize(image, width, height, filter) {
  if (image.width === width && image.height === height) return image;
  if (filter === 0) return nearest(image, width, height);
  const across = (given) => (given.width === width ? given : alongRows(given, width, FILTERS[filter]));
  const down = (given) => (given.height === height ? given : alongColumns(given, height, FILTERS[filter]));
  // Pillow from 13 on; before, rows always came first, which can differ in the last bits.
  const lower = height < image.height && 2 * (image.width - width) < image.height - height;
  return lower ? across(down(image)) : down(across(image));
}

function nearest(image, width, height) {
  const data = new Uint8Array(width * height * 3);
  const across = middles(image.width, width);
  const down = middles(image.height, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (down[y] * image.width + across[x]) * 3;
      for (let c = 0; c < 3; c++) data[(y * width + x) * 3 + c] = image.data[from + c];
    }
  }
  return { width, height, data };
}

/** The source pixel under the middle of each target pixel, summed up as Pillow does. */
function middles(from, to) {
  const scale = from / to;
  let place = scale * 0.5;
  return Array.from({ length: to }, () => {
    const found = Math.floor(place);
    place += scale;
    return found;
  });
}

/** For each target pixel the first source pixel and the weights, as integers. */
function windows(from, to, [reach, weigh]) {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  const support = reach * wide;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const stop = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: stop - start }, (_, x) => weigh((x + start - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0);
    const fixed = weights.map((weight) => {
      const share = (sum === 0 ? weight : weight / sum) * (1 << BITS);
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return { start, weights: Int32Array.from(fixed) };
  });
}

function clipped(sum) {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function alongRows(image, width, filter) {
  const { height, data } = image;
  const found = new Uint8Array(width * height * 3);
  windows(image.width, width, filter).forEach(({ start, weights }, x) => {
    for (let y = 0; y < height; y++) {
      let [red, green, blue] = [HALF, HALF, HALF];
      let from = (y * image.width + start) * 3;
      for (let k = 0; k < weights.length; k++, from += 3) {
        red += data[from] * weights[k];
        green += data[from + 1] * weights[k];
        blue += data[from + 2] * weights[k];
      }
      const to = (y * width + x) * 3;
      found[to] = clipped(red);
      found[to + 1] = clipped(green);
      found[to + 2] = clipped(blue);
    }
  });
  return { width, height, data: found };
}

function alongColumns(image, height, filter) {
  const { width, data } = image;
  const line = width * 3;
  const found = new Uint8Array(line * height);
  windows(image.height, height, filter).forEach(({ start, weights }, y) => {
    for (let x = 0; x < line; x++) {
      let sum = HALF;
      for (let k = 0; k < weights.length; k++) sum += data[(start + k) * line + x] * weights[k];
      found[y * line + x] = clipped(sum);
    }
  });
  return { width, height, data: found };
}
