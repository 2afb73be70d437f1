/** What was given back to the queue, by five minutes → the times in which something else was out of order, and what. */
import { BEAT_MS, type PulseBeat } from '../pulse.ts';

/** What a wait is for → what the other side does meanwhile. What is not here is ordinary, or is one recording's own. */
export const OUT_OF_ORDER: ReadonlyMap<string, string> = new Map([
  ['upstream-unavailable', 'Genesys is down or not reached'],
  ['upstream-timeout', 'Genesys does not answer'],
  ['upstream-error', 'Genesys answers with errors'],
  ['rate-limited', 'Genesys asks for patience'],
  ['unauthorized', 'Genesys refuses the client'],
  ['archive-unavailable', 'the archive cannot be written'],
  ['queue-unavailable', 'the queue does not answer'],
]);

export interface Disturbance {
  readonly code: string;
  readonly words: string;
  /** Of the first and the last five minutes that are part of it; ISO 8601, UTC. */
  readonly from: string;
  readonly to: string;
}

/** One 503 among many calls is none. */
const LEAST = 3;
const LEAST_SHARE = 0.2;
/** Work that waits comes back after a while: within so long it is the same disturbance. */
const SAME_MS = 2 * BEAT_MS;
const MOST = 6;

/** Oldest first; the newest of many. */
export function disturbancesIn(beats: readonly PulseBeat[]): readonly Disturbance[] {
  const found = [...OUT_OF_ORDER].flatMap(([code, words]) =>
    stretchesOf(beats.filter((beat) => isDisturbed(beat, code)).map(({ at }) => at)).map((times) => ({
      code,
      words,
      ...times,
    })),
  );
  return found.toSorted((a, b) => (a.from < b.from ? -1 : 1)).slice(-MOST);
}

/** Where nothing came, one is enough. */
function isDisturbed({ archived, postponed }: PulseBeat, code: string): boolean {
  const count = postponed[code] ?? 0;
  if (archived === 0) return count > 0;
  return count >= LEAST && count >= LEAST_SHARE * (archived + count);
}

function stretchesOf(instants: readonly string[]): readonly Pick<Disturbance, 'from' | 'to'>[] {
  const stretches: { from: string; to: string }[] = [];
  for (const at of instants) {
    const last = stretches.at(-1);
    if (last !== undefined && Date.parse(at) - Date.parse(last.to) <= SAME_MS) last.to = at;
    else stretches.push({ from: at, to: at });
  }
  return stretches;
}
