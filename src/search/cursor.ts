/** The place of a page's last row ↔ the cursor that the next page is asked for with. */
import { Failure } from '../failure.ts';
import { placesOf } from './place.ts';
import type { SearchQuery } from './search.ts';

export function encodePlace(place: number): string {
  return place.toString(36);
}

/** The places that the page may be taken from: the query's days, behind its cursor. @throws Failure `bad-request` */
export function placesAsked({ from, to, cursor }: SearchQuery): { readonly first: number; readonly last: number } {
  const { first, last } = placesOf(from, to);
  return { first, last: cursor === undefined ? last : Math.min(last, decodePlace(cursor) - 1) };
}

function decodePlace(cursor: string): number {
  const place = /^[0-9a-z]{1,11}$/.test(cursor) ? Number.parseInt(cursor, 36) : NaN;
  if (Number.isSafeInteger(place)) return place;
  throw new Failure('bad-request', 'cursor: expected the cursor of an earlier page, unchanged.');
}
