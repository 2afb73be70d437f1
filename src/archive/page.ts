/** A listing's order (newest day first, then by key) → pages and cursors that stay true whatever is added meanwhile. */
import { Failure } from '../failure.ts';
import { isDay } from '../instant.ts';
import type { Archive, Entry, ListQuery, Page, Status } from './archive.ts';

/** Where an entry stands in a listing: its UTC day, and its key as under days/, failures/ or waiting/. */
export interface Position {
  readonly day: string;
  readonly key: string;
}

export interface PlacedEntry {
  readonly position: Position;
  readonly entry: Entry;
}

/** Newest day first, then by key: an order that entries keep. */
export function comparePositions(a: Position, b: Position): number {
  return compareTexts(b.day, a.day) || compareTexts(a.key, b.key);
}

export function compareEntries(a: PlacedEntry, b: PlacedEntry): number {
  return comparePositions(a.position, b.position);
}

/** By code unit, as Cloud Storage lists names; `localeCompare` would differ from machine to machine. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Whether a listing for `query` may still show what stands at `position`. */
export function onPage(query: ListQuery, after: Position | undefined, position: Position): boolean {
  if (!isAsked(query, position.day)) return false;
  return after === undefined || comparePositions(position, after) > 0;
}

/** Whether a listing for `query` shows that day. */
export function isAsked(query: ListQuery, day: string): boolean {
  return day >= (query.from ?? day) && day <= (query.to ?? day);
}

/** Whether a listing for `query` shows entries of this status. Nobody looks for conversations without a recording unless told. */
export function asksFor(query: ListQuery, status: Status): boolean {
  return query.status === undefined ? status !== 'no-recordings' : query.status === status;
}

/** All that a listing has, in its order; in the memory of one page (`limit`), whatever there is. */
export async function* listedEntries(
  query: Omit<ListQuery, 'cursor'>,
  archive: Pick<Archive, 'list'>,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  for (let cursor: string | undefined; ;) {
    const page = await archive.list({ ...query, ...(cursor === undefined ? {} : { cursor }) }, signal);
    yield* page.entries;
    if (page.cursor === undefined) return;
    cursor = page.cursor;
  }
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

/** The first `limit` of entries in order, of which one more says that there is another page. */
export function cutPage(placed: readonly PlacedEntry[], limit: number): Page {
  const page = placed.slice(0, limit);
  const last = placed.length > limit ? page.at(-1) : undefined;
  return {
    entries: page.map(({ entry }) => entry),
    cursor:
      last === undefined ? undefined : Buffer.from(`${last.position.day}/${last.position.key}`).toString('base64url'),
  };
}
