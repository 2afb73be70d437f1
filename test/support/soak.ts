/** How many runs a long suite makes: a seeded sample in `npm test`, the full count in `npm run soak` (files named *.soak.test.ts). */
const FULL = process.env['SOAK'] === 'full';

/** The seed of every generated case: another one is tried with `SEED=n`. */
export const SEED = Number(process.env['SEED'] ?? 20_261_128);

export function runs(sample: number, full: number): number {
  return FULL ? full : sample;
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
