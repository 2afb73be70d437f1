/** `levels.bin` (src/levels.ts) → what a player shows and does with it: lanes, moments, and the silences that can be skipped. */

export interface Stretch {
  /** Seconds, the end exclusive. */
  readonly start: number;
  readonly end: number;
}

export interface VoiceLane {
  /** A byte each tenth of a second: 0 for silence, else a quarter of a decibel each below full scale (255). */
  readonly values: Uint8Array;
  readonly speech: readonly Stretch[];
}

const PER_SECOND = 10;
const HEAD = 20;

/** None where it is no levels.bin; the server has checked it already. */
export function lanesIn(bytes: ArrayBuffer): readonly VoiceLane[] {
  if (bytes.byteLength < HEAD) return [];
  const view = new DataView(bytes);
  const length = view.getUint32(8, true);
  const counts = [view.getUint32(12, true), view.getUint32(16, true)].slice(0, view.getUint8(5));
  const spans = counts.reduce((sum, count) => sum + count, 0);
  if (bytes.byteLength !== HEAD + 8 * spans + counts.length * length) return [];
  let at = HEAD;
  return counts.map((count, index) => {
    const speech = Array.from({ length: count }, (_, span) => ({
      start: view.getUint32(at + 8 * span, true) / PER_SECOND,
      end: view.getUint32(at + 8 * span + 4, true) / PER_SECOND,
    }));
    at += 8 * count;
    return { speech, values: new Uint8Array(bytes, HEAD + 8 * spans + index * length, length) };
  });
}

/** A moment worth going to. */
export interface Moment extends Stretch {
  readonly kind: 'turn' | 'both' | 'silence';
  /** Of a turn: whose. */
  readonly lane: number;
}

/** Shorter ones happen in every conversation. */
const BOTH_S = 0.5;
const LONG_SILENCE_S = 10;
/** Whoever goes on within so long a time has not given his turn away. */
const SAME_TURN_S = 2;

/** Turns, talking at once, and long silences, in the order they come. */
export function momentsOf(lanes: readonly VoiceLane[], duration: number): readonly Moment[] {
  const both = overlaps(lanes).filter(({ start, end }) => end - start >= BOTH_S);
  const silences = silencesOf(lanes, duration).filter(({ start, end }) => end - start >= LONG_SILENCE_S);
  return [
    ...turnsOf(lanes),
    ...both.map((span) => ({ ...span, kind: 'both' as const, lane: -1 })),
    ...silences.map((span) => ({ ...span, kind: 'silence' as const, lane: -1 })),
  ].toSorted((a, b) => a.start - b.start);
}

/** Both lists ascend: one step each, however long the call. */
function overlaps(lanes: readonly VoiceLane[]): readonly Stretch[] {
  const [first = [], second = []] = lanes.map(({ speech }) => speech);
  const both: Stretch[] = [];
  for (let i = 0, j = 0; ;) {
    const [a, b] = [first[i], second[j]];
    if (a === undefined || b === undefined) return both;
    const [start, end] = [Math.max(a.start, b.start), Math.min(a.end, b.end)];
    if (end > start) both.push({ start, end });
    if (a.end < b.end) i += 1;
    else j += 1;
  }
}

/** Where somebody begins who did not speak last, or after a pause. */
function turnsOf(lanes: readonly VoiceLane[]): readonly Moment[] {
  const all = lanes.flatMap(({ speech }, lane) => speech.map((span) => ({ ...span, kind: 'turn' as const, lane })));
  const turns: Moment[] = [];
  let last: Moment | undefined;
  for (const span of all.toSorted((a, b) => a.start - b.start)) {
    if (last?.lane !== span.lane || span.start - last.end > SAME_TURN_S) turns.push(span);
    last = span;
  }
  return turns;
}

/** Where nobody speaks. */
function silencesOf(lanes: readonly VoiceLane[], duration: number): readonly Stretch[] {
  if (lanes.length === 0) return [];
  const silences: Stretch[] = [];
  let heard = 0;
  for (const { start, end } of lanes.flatMap(({ speech }) => speech).toSorted((a, b) => a.start - b.start)) {
    if (start > heard) silences.push({ start: heard, end: start });
    heard = Math.max(heard, end);
  }
  if (duration > heard) silences.push({ start: heard, end: duration });
  return silences;
}

/** Longer ones are skipped, but for what sounds on after a word, and for a breath before the next one. */
const SKIPPED_S = 1.5;
const AFTER_S = 0.2;
const BEFORE_S = 0.3;

/** From where to where one is taken; nowhere where nobody speaks at all: of such a call nothing would be left. */
export function skipsOf(lanes: readonly VoiceLane[], duration: number): readonly Stretch[] {
  if (lanes.every(({ speech }) => speech.length === 0)) return [];
  return silencesOf(lanes, duration)
    .filter(({ start, end }) => end - start > SKIPPED_S)
    .map(({ start, end }) => ({
      start: start === 0 ? 0 : start + AFTER_S,
      // Nothing comes after the last one: there the call is over.
      end: end >= duration ? duration : end - BEFORE_S,
    }));
}

export function lengthOfAll(spans: readonly Stretch[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Who speaks then: indexes of lanes. */
export function speakingAt(lanes: readonly VoiceLane[], at: number): readonly number[] {
  return lanes.flatMap(({ speech }, lane) => (speech.some(({ start, end }) => at >= start && at < end) ? [lane] : []));
}
