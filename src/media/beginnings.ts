/** Where files of one recording begin on their own clocks → what of each clock is the recording's beginning, and how far they are apart. */
import type { Contents } from './source/contents.ts';

/** Where Genesys does not say how long the recording is: files further apart did not count from the same moment. */
const MOST_APART_S = 3600;

export interface Beginning {
  /** Seconds on the file's own clock that are the recording's beginning. */
  readonly zeroS: number;
  /** Seconds by which the file begins later than the recording. */
  readonly lateS: number;
}

/**
 * The earliest file begins the recording. A file without times begins at 0 of its clock. Files whose beginnings lie further
 * apart than the recording is long did not count from the same moment: each begins with the recording.
 */
export function beginningsOf(
  files: readonly (Contents | undefined)[],
  genesysMs: number | undefined,
): readonly Beginning[] {
  const starts = files.map((contents) => (contents?.isTimed === true ? contents.startS : 0));
  const first = Math.min(...starts);
  const isApart = Math.max(...starts) - first > (genesysMs === undefined ? MOST_APART_S : genesysMs / 1000);
  return starts.map((start) => (isApart ? { zeroS: start, lateS: 0 } : { zeroS: first, lateS: start - first }));
}
