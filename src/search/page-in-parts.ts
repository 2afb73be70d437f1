/** Tables of rows, from the newest days to the oldest → one page of what is asked for, and how many there are in all. */
import { encodePlace, placesAsked } from './cursor.ts';
import type { PlaceRange, RowTable } from './row-table.ts';
import type { FoundRow, SearchPage, SearchQuery } from './search.ts';

/** More are not counted. */
const MOST_COUNTED = 10_000;

export class PageInParts {
  readonly #query: SearchQuery;
  readonly #asked: PlaceRange;
  readonly #rows: FoundRow[] = [];
  #lastPlace = 0;
  #hasNext = false;
  #found = 0;

  /** @throws Failure `bad-request` where the cursor is none */
  constructor(query: SearchQuery) {
    this.#query = query;
    this.#asked = placesAsked(query);
  }

  /** Whether what comes is only counted. */
  get isFull(): boolean {
    return this.#hasNext;
  }

  /** `range`: what is looked at of the table; older than that of every table before. */
  add(table: RowTable, range: PlaceRange): void {
    const counted = table.ids(this.#query, range, MOST_COUNTED + 1 - this.#found);
    this.#found += counted.length;
    if (this.#hasNext) return;
    const { cursor, limit } = this.#query;
    const wanted = limit + 1 - this.#rows.length;
    const { first, last } = this.#asked;
    const behind = { first: Math.max(range.first, first), last: Math.min(range.last, last) };
    const ids = cursor === undefined ? counted.slice(0, wanted) : table.ids(this.#query, behind, wanted);
    this.#hasNext = ids.length === wanted;
    const shown = this.#hasNext ? ids.slice(0, -1) : ids;
    this.#rows.push(...table.rows(shown));
    this.#lastPlace = shown.at(-1) ?? this.#lastPlace;
  }

  /** `isCut`: there is more that was not looked at. */
  end(isCut: boolean): Omit<SearchPage, 'upTo' | 'backTo'> {
    const isMore = isCut || this.#found > MOST_COUNTED;
    return {
      rows: this.#rows,
      cursor: this.#hasNext ? encodePlace(this.#lastPlace) : undefined,
      found: Math.min(this.#found, MOST_COUNTED),
      isMore,
    };
  }
}
