/** Compares sound that was made with sound that was meant: when it is heard, and how loud. */

const RATE = 48_000;

/** Loudness of a stretch in dB; -200 for digital silence. */
export function levelDb(sound: Float32Array, gain = 1): number {
  let sum = 0;
  for (const sample of sound) sum += sample * sample;
  const mean = sum / Math.max(1, sound.length);
  return mean === 0 ? -200 : 10 * Math.log10(mean) + 20 * Math.log10(gain);
}

/** For finding out how late something is, 6 kHz is enough. */
const STEP = 8;

/** Milliseconds by which `made` is later than `meant`, within 80 ms: where the two agree best. */
export function delayMs(made: Float32Array, meant: Float32Array, start: number): number {
  const wanted = thinned(meant);
  const reach = (0.08 * RATE) / STEP;
  const heard = thinned(made.subarray(Math.max(0, start - reach * STEP), start + meant.length + reach * STEP));
  const lead = Math.round(Math.min(start, reach * STEP) / STEP);
  const match = agreement(wanted, heard, reach);
  let best = { lag: 0, match: -Infinity };
  for (let lag = -reach; lag <= reach; lag += 1) {
    const here = match.at(lead + lag) ?? 0;
    if (here > best.match) best = { lag, match: here };
  }
  return (best.lag * STEP * 1000) / RATE;
}

/** How well `heard` agrees with `wanted` that many samples later (from the end: earlier, up to `reach`), by their spectra. */
function agreement(wanted: Float32Array, heard: Float32Array, reach: number): Float64Array {
  let size = 1024;
  while (size < Math.max(wanted.length, heard.length) + 2 * reach) size *= 2;
  // Both are real: one transform holds both spectra.
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  re.set(heard);
  im.set(wanted);
  transform(re, im);
  const [productRe, productIm] = [new Float64Array(size), new Float64Array(size)];
  for (let k = 0; k < size; k += 1) {
    const mirror = (size - k) % size;
    const [a, b, c, d] = [re[k] ?? 0, im[k] ?? 0, re[mirror] ?? 0, im[mirror] ?? 0];
    const [heardRe, heardIm, wantedRe, wantedIm] = [(a + c) / 2, (b - d) / 2, (b + d) / 2, (c - a) / 2];
    productRe[k] = heardRe * wantedRe + heardIm * wantedIm;
    // Conjugated, so that a transform forward goes back.
    productIm[k] = heardRe * wantedIm - heardIm * wantedRe;
  }
  transform(productRe, productIm);
  return productRe;
}

/** Fourier's, in place; the length is a power of two. */
function transform(re: Float64Array, im: Float64Array): void {
  const size = re.length;
  const [cos, sin] = [new Float64Array(size / 2), new Float64Array(size / 2)];
  for (let j = 0; j < size / 2; j += 1) {
    cos[j] = Math.cos((2 * Math.PI * j) / size);
    sin[j] = -Math.sin((2 * Math.PI * j) / size);
  }
  reverse(re);
  reverse(im);
  for (let half = 1; half < size; half *= 2) {
    const step = size / (2 * half);
    for (let block = 0; block < size; block += 2 * half) {
      for (let i = block, angle = 0; i < block + half; i += 1, angle += step) {
        const [x, y, c, s] = [re[i + half] ?? 0, im[i + half] ?? 0, cos[angle] ?? 0, sin[angle] ?? 0];
        const [turnedRe, turnedIm] = [x * c - y * s, x * s + y * c];
        re[i + half] = (re[i] ?? 0) - turnedRe;
        im[i + half] = (im[i] ?? 0) - turnedIm;
        re[i] = (re[i] ?? 0) + turnedRe;
        im[i] = (im[i] ?? 0) + turnedIm;
      }
    }
  }
}

/** Puts each value where the mirrored bits of its index say. */
function reverse(values: Float64Array): void {
  const size = values.length;
  for (let i = 1, j = 0; i < size; i += 1) {
    let bit = size >> 1;
    for (; (j & bit) > 0; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [values[i], values[j]] = [values[j] ?? 0, values[i] ?? 0];
  }
}

function thinned(sound: Float32Array): Float32Array {
  const out = new Float32Array(Math.floor(sound.length / STEP));
  for (let i = 0; i < out.length; i += 1) {
    let sum = 0;
    for (let j = 0; j < STEP; j += 1) sum += sound[i * STEP + j] ?? 0;
    out[i] = sum;
  }
  return out;
}
