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
  const lead = Math.min(start, reach * STEP) / STEP;
  let best = { lag: 0, match: -Infinity };
  for (let lag = -reach; lag <= reach; lag += 1) {
    let match = 0;
    for (let i = 0; i < wanted.length; i += 1) match += (wanted[i] ?? 0) * (heard[i + Math.round(lead) + lag] ?? 0);
    if (match > best.match) best = { lag, match };
  }
  return (best.lag * STEP * 1000) / RATE;
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
