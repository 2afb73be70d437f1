/** Search in a bucket: over the days of `index/` that are asked for, one after the other from the newest, each from memory. */
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { inBatches } from '../archive/in-batches.ts';
import type { Notes } from '../archive/notes.ts';
import { LoadedDays } from './loaded-days.ts';
import { PageInParts } from './page-in-parts.ts';
import { placesOf } from './place.ts';
import { checkSearch, daysOfSearch, type Search, type SearchPage, type SearchQuery } from './search.ts';

export interface DayIndexNeeds {
  readonly notes: Notes;
  /** Wall clock: says which day is today. */
  readonly now?: () => Date;
  readonly clock?: Clock;
}

export interface DayIndexOptions {
  /** Rows held in memory, about 500 bytes each; the days that are just being looked at come on top. */
  readonly mostRows?: number;
  /** How long today's and yesterday's files are believed to be as they were. */
  readonly freshForMs?: number;
}

const MOST_ROWS_HELD = 300_000;
const FRESH_FOR_MS = 10_000;
/** Older days change only where something was fetched late, or erased. */
const OLD_DAYS_FRESH_FOR_MS = 120_000;
const DAY_MS = 24 * 3_600_000;
/** Days loaded side by side. */
const WIDTH = 8;

export class DayIndex implements Search {
  readonly #days: LoadedDays;
  readonly #now: () => Date;
  readonly #mostRows: number;
  readonly #freshForMs: number;

  constructor(
    { notes, now = () => new Date(), clock = SYSTEM_CLOCK }: DayIndexNeeds,
    { mostRows = MOST_ROWS_HELD, freshForMs = FRESH_FOR_MS }: DayIndexOptions = {},
  ) {
    this.#days = new LoadedDays({ notes, clock, mostRows });
    this.#now = now;
    this.#mostRows = mostRows;
    this.#freshForMs = freshForMs;
  }

  /** Rows in memory now. */
  get rows(): number {
    return this.#days.rows;
  }

  async search(query: SearchQuery, signal: AbortSignal): Promise<SearchPage> {
    checkSearch(query);
    const page = new PageInParts(query);
    let [rowsSeen, upTo] = [0, ''];
    for await (const days of inBatches(daysOfSearch(query), WIDTH)) {
      // Once the page is full the rest is only counted: not at the price of the memory that it was found in.
      if (page.isFull && rowsSeen >= this.#mostRows) return { ...page.end(true), ...this.#upTo(query, upTo) };
      await Promise.all(days.map((day) => this.#days.use(day, this.#use(day, signal), () => undefined)));
      for (const day of days)
        await this.#days.use(day, this.#use(day, signal), ({ table, rows, writtenAt = '' }) => {
          page.add(table, placesOf(day, day));
          rowsSeen += rows;
          if (writtenAt > upTo) upTo = writtenAt;
        });
    }
    return { ...page.end(false), ...this.#upTo(query, upTo) };
  }

  async close(): Promise<void> {
    this.#days.close();
  }

  #use(day: string, signal: AbortSignal): { readonly freshForMs: number; readonly signal: AbortSignal } {
    const yesterday = new Date(this.#now().getTime() - DAY_MS).toISOString().slice(0, 10);
    return {
      freshForMs: day >= yesterday ? this.#freshForMs : Math.max(this.#freshForMs, OLD_DAYS_FRESH_FOR_MS),
      signal,
    };
  }

  /** What is archived later than the newest file was written stands in the next one. Of days that are over nothing more comes. */
  #upTo({ to }: SearchQuery, newest: string): Pick<SearchPage, 'upTo' | 'backTo'> {
    const today = this.#now().toISOString().slice(0, 10);
    return { upTo: newest !== '' && to >= today ? newest : undefined, backTo: undefined };
  }
}
