/** Status, direction and length of a row → words of its own; and what is asked of them → expressions over such words. */
import { STATUSES, type Status } from '../archive/archive.ts';

/** No typed word can hold it, and FTS5's `ascii` tokenizer takes it for a letter, as those of words.ts. */
const FACT = '¬';
/** Each is 2^½ times as long as the one before; the last one, of two days and more, has no end. */
const LENGTHS = 36;

export interface Facts {
  readonly status: Status;
  readonly direction: 'inbound' | 'outbound' | null;
  readonly durationMs: number | null;
}

export interface FactsAsked {
  readonly status?: Status | undefined;
  readonly direction?: 'inbound' | 'outbound' | undefined;
  readonly minDurationMs?: number | undefined;
}

export function factWords({ status, direction, durationMs }: Facts): string {
  const words = [statusWord(status)];
  if (direction !== null) words.push(directionWord(direction));
  if (durationMs !== null) words.push(lengthWord(lengthClassOf(durationMs)));
  return words.join(' ');
}

/** All of them have to hold. Of the shortest length found some are too short: whoever asks looks at the duration. */
export function factsExpressions({ status, direction, minDurationMs }: FactsAsked): readonly string[] {
  const all = status === undefined ? [] : [factTerm(statusWord(status))];
  if (direction !== undefined) all.push(factTerm(directionWord(direction)));
  if (minDurationMs !== undefined) {
    const first = lengthClassOf(minDurationMs);
    const long = Array.from({ length: LENGTHS - first }, (_, more) => factTerm(lengthWord(first + more)));
    all.push(`(${long.join(' OR ')})`);
  }
  return all;
}

/** Conversations without recordings are found only when asked for. */
export const NO_RECORDINGS = factTerm(statusWord('no-recordings'));
export const HAS_RECORDINGS = `(${STATUSES.filter((status) => status !== 'no-recordings')
  .map((status) => factTerm(statusWord(status)))
  .join(' OR ')})`;

function lengthClassOf(durationMs: number): number {
  const length = Math.floor(Math.log2(Math.max(durationMs, 0) / 1000 + 1) * 2);
  return Math.min(length, LENGTHS - 1);
}

function statusWord(status: Status): string {
  return `${FACT}s${String(STATUSES.indexOf(status))}`;
}

function directionWord(direction: 'inbound' | 'outbound'): string {
  return FACT + direction;
}

function lengthWord(length: number): string {
  return `${FACT}l${String(length)}`;
}

function factTerm(word: string): string {
  return `"${word}"`;
}
