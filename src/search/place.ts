/** A row's moment and key → its number, which is its place among all rows: by the second, voice before screen, then by a hash. */
import { crc32 } from 'node:zlib';
import type { IndexRow } from '../archive/index-row.ts';

/** Rows of one second; all of a number stays below 2^53. */
const SLOTS = 2 ** 21;
/** The year 2106: later moments are clocks gone wrong, or another calendar, and share the last second. */
const LAST_SECOND = 2 ** 32 - 1;
const DAY_S = 24 * 3_600;

/** The first place that is tried for a row; where another one has it, the next ones are. The voice of a call comes before its screens. */
export function rowPlace(startedAtMs: number, { key, medium }: Pick<IndexRow, 'key' | 'medium'>): number {
  const half = SLOTS / 2;
  return secondOf(startedAtMs / 1000) * SLOTS + (medium === 'video' ? 0 : half) + (hashOfKey(key) % half);
}

/** Spreads keys, and finds them again: two may share one. */
export function hashOfKey(key: string): number {
  return crc32(key);
}

/** The places of UTC days, both inclusive. */
export function placesOf(from: string, to: string): { readonly first: number; readonly last: number } {
  const first = secondOf(Date.parse(from) / 1000) * SLOTS;
  const last = (secondOf(Date.parse(to) / 1000 + DAY_S - 1) + 1) * SLOTS - 1;
  return { first, last };
}

function secondOf(seconds: number): number {
  return Math.min(Math.max(Math.floor(seconds), 0), LAST_SECOND);
}
