/** Turns entries in any order into one listing (newest day first, then by key) and the listing into pages. */
import { Failure } from '../failure.ts';
import type { Entry, ListQuery, Page, Status } from './archive.ts';
import { isDay } from '../instant.ts';

/** Where an entry stands in a listing: its UTC day, and its key as under days/ or failures/. */
export interface Position {
  readonly day: string;
  readonly key: string;
}

export interface Placed {
  readonly position: Position;
  readonly entry: Entry;
}

/** Newest day first, then by key: an order that entries keep, whatever is added meanwhile. */
export function comparePositions(a: Position, b: Position): number {
  return compareTexts(b.day, a.day) || compareTexts(a.key, b.key);
}

export function comparePlaced(a: Placed, b: Placed): number {
  return comparePositions(a.position, b.position);
}

/** By code unit, as Cloud Storage lists names; `localeCompare` would differ from machine to machine. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Whether a listing for `query` may still show what stands at `position`. */
export function onPage(query: ListQuery, after: Position | undefined, position: Position): boolean {
  if (query.from !== undefined && position.day < query.from) return false;
  if (query.to !== undefined && position.day > query.to) return false;
  return after === undefined || comparePositions(position, after) > 0;
}

/** Whether a listing for `query` shows entries of this status. Nobody looks for conversations without a recording unless told. */
export function asksFor(query: ListQuery, status: Status): boolean {
  return query.status === undefined ? status !== 'no-recordings' : query.status === status;
}

/** The place a cursor stands for. @throws Failure `bad-request` */
export function parseCursor(cursor: string | undefined): Position | undefined {
  if (cursor === undefined) return undefined;
  const [day, key, ...more] = Buffer.from(cursor, 'base64url').toString('utf8').split('/');
  if (day === undefined || !isDay(day) || key === undefined || !/^[0-9A-Za-z_.-]+$/.test(key) || more.length > 0) {
    throw new Failure('bad-request', 'cursor: expected the cursor of an earlier page, unchanged.');
  }
  return { day, key };
}

/** @throws Failure `bad-request` naming the field */
export function checkQuery(query: ListQuery): void {
  for (const field of ['from', 'to'] as const) {
    const day = query[field];
    if (day !== undefined && !isDay(day)) throw new Failure('bad-request', `${field}: expected a day, yyyy-mm-dd.`);
  }
  if (!Number.isInteger(query.limit) || query.limit < 1) {
    throw new Failure('bad-request', 'limit: expected a whole number from 1.');
  }
}

/** The first `limit` of two ordered sequences; holds no more than a page of them. */
export async function cutPage(
  limit: number,
  archived: AsyncIterable<Placed>,
  failed: readonly Placed[],
): Promise<Page> {
  const placed: Placed[] = [];
  for await (const next of merge(archived, failed)) {
    placed.push(next);
    if (placed.length > limit) break;
  }
  const page = placed.slice(0, limit);
  const last = placed.length > limit ? page.at(-1) : undefined;
  return {
    entries: page.map((one) => one.entry),
    cursor:
      last === undefined ? undefined : Buffer.from(`${last.position.day}/${last.position.key}`).toString('base64url'),
  };
}

async function* merge(archived: AsyncIterable<Placed>, failed: readonly Placed[]): AsyncGenerator<Placed> {
  const left = [...failed];
  for await (const next of archived) {
    while (left[0] !== undefined && comparePlaced(left[0], next) < 0) {
      yield left[0];
      left.shift();
    }
    yield next;
  }
  yield* left;
}

/** The `count` first of `items` in the order of `compare`, holding a few times as many at most. */
export async function firstOf<T>(
  items: AsyncIterable<T>,
  count: number,
  compare: (a: T, b: T) => number,
): Promise<T[]> {
  let kept: T[] = [];
  for await (const item of items) {
    kept.push(item);
    if (kept.length >= 4 * count + 64) kept = kept.toSorted(compare).slice(0, count);
  }
  return kept.toSorted(compare).slice(0, count);
}
