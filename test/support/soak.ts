/** How many runs a long suite makes: a seeded sample in `npm test`, the full count in `npm run soak` (files named *.soak.test.ts). */
const FULL = process.env['SOAK'] === 'full';

/** The seed of every generated case: another one is tried with `SEED=n`. */
export const SEED = Number(process.env['SEED'] ?? 20_261_128);

export function runs(sample: number, full: number): number {
  return FULL ? full : sample;
}
