/**
 * Lines of the index as they come → a file of this process for each day they belong to, written at most every five minutes. What a
 * crash takes with it is found again when a day is reconciled: nothing waits for the index, and nothing fails for it.
 */
import { randomUUID } from 'node:crypto';
import { SYSTEM_CLOCK, type Clock } from '../clock.ts';
import { forgetErased, keysIn, linesOf, partName } from './day-index.ts';
import { indexDayOf, type IndexRow } from './index-row.ts';
import type { Notes } from './notes.ts';

export interface IndexWriterOptions {
  readonly notes: Notes;
  /** Which of these lines not to write: asked before each file is, since an erasure may have come after they were made. */
  readonly erasedAmong?: (rows: readonly IndexRow[], signal: AbortSignal) => Promise<ReadonlySet<IndexRow>>;
  /** Hears of each line at once. */
  readonly onRow?: (day: string, row: IndexRow) => void;
  /** Told once of each time that lines could not be written; they are written with the next ones. */
  readonly onTrouble: (error: unknown) => void;
  readonly clock?: Clock;
  readonly everyMs?: number;
}

const EVERY_MS = 5 * 60_000;
/** Held at once, about 1 KB each. Of more the oldest are left to the nightly look. */
const MAX_PENDING = 20_000;
/** What is longer is left as it is, and another file begun: each write copies all of it. */
const LONGEST_PART = 8 * 1024 * 1024;

export class IndexWriter implements AsyncDisposable {
  readonly #options: IndexWriterOptions;
  readonly #instance = randomUUID();
  /** How many files of a day are full: the next one's number. */
  readonly #full = new Map<string, number>();
  #pending: { readonly day: string; readonly row: IndexRow }[] = [];
  #timer: Disposable | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: IndexWriterOptions) {
    this.#options = options;
  }

  /** `day` where it is another than the line's own says. */
  note(row: IndexRow, day: string = indexDayOf(row)): void {
    this.#options.onRow?.(day, row);
    this.#pending.push({ day, row });
    if (this.#pending.length > MAX_PENDING) this.#pending.shift();
    this.#schedule();
  }

  /** Writes what there is now. @throws Failure `archive-unavailable` … : the lines are kept for the next time */
  async flush(signal: AbortSignal): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    const days = Map.groupBy(pending, ({ day }) => day);
    const left = new Set(pending);
    try {
      for (const [day, entries] of days) {
        const rows = await this.#kept(
          entries.map(({ row }) => row),
          signal,
        );
        if (rows.length > 0) await this.#append(day, rows, signal);
        for (const entry of entries) left.delete(entry);
      }
    } catch (error) {
      this.#pending = [...left, ...this.#pending].slice(-MAX_PENDING);
      throw error;
    }
  }

  /** Within a few seconds, or not at all. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#rest();
    await this.#writing;
    await this.#flushOrTell(AbortSignal.timeout(LAST_WITHIN_MS));
    this.#rest();
  }

  #rest(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #schedule(): void {
    const { clock = SYSTEM_CLOCK, everyMs = EVERY_MS } = this.#options;
    this.#timer ??= clock.after(everyMs, () => {
      this.#timer = undefined;
      this.#writing = this.#flushOrTell(AbortSignal.timeout(everyMs));
    });
  }

  async #flushOrTell(signal: AbortSignal): Promise<void> {
    try {
      await this.flush(signal);
    } catch (error) {
      this.#options.onTrouble(error);
      this.#schedule();
    }
  }

  async #kept(rows: readonly IndexRow[], signal: AbortSignal): Promise<readonly IndexRow[]> {
    const erased = await this.#options.erasedAmong?.(rows, signal);
    return erased === undefined ? rows : rows.filter((row) => !erased.has(row));
  }

  /** Read before it is written: what was taken out of it by an erasure, or put together by a reconciliation, stays out. */
  async #append(day: string, rows: readonly IndexRow[], signal: AbortSignal): Promise<void> {
    const { notes } = this.#options;
    const name = this.#nameFor(day);
    const before = (await notes.read(name, signal)) ?? '';
    const text = `${before}${linesOf(rows)}`;
    if (text.length > LONGEST_PART) this.#begin(day);
    if (!(await notes.replace(name, text, signal))) {
      // Nothing may be overwritten in this bucket.
      this.#begin(day);
      await notes.create(this.#nameFor(day), linesOf(rows), signal);
      this.#begin(day);
    }
    if (this.#options.erasedAmong === undefined) return;
    // Lines of before that an erasure took out between these two steps, as far as its mark is seen with theirs; to ask for each of
    // them would cost more than all else, and the night takes out the rest.
    await forgetErased(rows, { days: [day], notes, beside: () => keysIn(before) }, signal);
  }

  #nameFor(day: string): string {
    const full = this.#full.get(day) ?? 0;
    return partName(day, full === 0 ? this.#instance : `${this.#instance}-${String(full)}`);
  }

  #begin(day: string): void {
    this.#full.set(day, (this.#full.get(day) ?? 0) + 1);
  }
}

/** A service exits within 8 s, all in all. */
const LAST_WITHIN_MS = 3_000;
