/** Days of the index, as their files lie in the archive → tables in memory, loaded when they are asked for and as many as fit. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { listIndexFiles, readIndexDay } from '../archive/day-index.ts';
import { inBatches } from '../archive/in-batches.ts';
import type { Notes } from '../archive/notes.ts';
import { Failure } from '../failure.ts';
import { unlessAborted } from '../waiting.ts';
import { openIndexInMemory } from './index-database.ts';
import { RowTable } from './row-table.ts';

export interface LoadedDay {
  readonly table: RowTable;
  readonly rows: number;
  /** When the newest of its files was written; undefined where it has none. */
  readonly writtenAt: string | undefined;
}

export interface LoadedDaysNeeds {
  readonly notes: Notes;
  readonly clock: Clock;
  /** Rows held; beyond that the days that were not asked for the longest are let go. */
  readonly mostRows: number;
}

interface DayUse {
  readonly freshForMs: number;
  readonly signal: AbortSignal;
}

interface HeldDay extends LoadedDay {
  /** Names, sizes and times of its files. */
  readonly stamp: string;
  readonly close: () => void;
  readonly checkedAtMs: number;
}

/** Whoever asked first may have left: a load goes on for who comes next. */
const LOAD_WITHIN_MS = 60_000;
/** Rows between which others have their turn. */
const ROWS_AT_ONCE = 500;

export class LoadedDays {
  readonly #needs: LoadedDaysNeeds;
  /** In the order they were asked for. */
  readonly #held = new Map<string, HeldDay>();
  readonly #loading = new Map<string, Promise<HeldDay>>();
  #isClosed = false;

  constructor(needs: LoadedDaysNeeds) {
    this.#needs = needs;
  }

  get rows(): number {
    return [...this.#held.values()].reduce((sum, { rows }) => sum + rows, 0);
  }

  /** What `use` makes of a day as it was at most `freshForMs` ago. It is let go at any later time: `use` keeps nothing of it. */
  async use<T>(day: string, { freshForMs, signal }: DayUse, use: (loaded: LoadedDay) => T): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      const held = this.#held.get(day);
      const isFresh = held !== undefined && this.#needs.clock.now() - held.checkedAtMs < freshForMs;
      const found = isFresh ? held : await unlessAborted(this.#loadOnce(day), signal);
      // Between its load and this turn another search may have taken its room.
      if (this.#held.get(day) !== found) continue;
      this.#touch(day, found);
      return use(found);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const day of this.#held.keys()) this.#letGo(day);
  }

  #touch(day: string, found: HeldDay): void {
    this.#held.delete(day);
    this.#held.set(day, found);
    for (const oldest of this.#held.keys()) {
      if (this.rows <= this.#needs.mostRows || oldest === day) break;
      this.#letGo(oldest);
    }
  }

  #letGo(day: string): void {
    this.#held.get(day)?.close();
    this.#held.delete(day);
  }

  #loadOnce(day: string): Promise<HeldDay> {
    const running = this.#loading.get(day);
    if (running !== undefined) return running;
    const loading = this.#load(day, AbortSignal.timeout(LOAD_WITHIN_MS)).finally(() => this.#loading.delete(day));
    this.#loading.set(day, loading);
    loading.catch(() => undefined);
    return loading;
  }

  async #load(day: string, signal: AbortSignal): Promise<HeldDay> {
    const { notes, clock } = this.#needs;
    const checkedAtMs = clock.now();
    const { stamp, writtenAt } = await dayStamp(day, notes, signal);
    const before = this.#held.get(day);
    const current =
      before?.stamp === stamp
        ? { ...before, checkedAtMs }
        : { ...(await this.#read(day, signal)), stamp, writtenAt, checkedAtMs };
    if (before !== undefined && before.table !== current.table) this.#letGo(day);
    if (this.#isClosed) throw new Failure('stopped', 'The search was closed.');
    this.#held.set(day, current);
    return current;
  }

  async #read(day: string, signal: AbortSignal): Promise<Pick<HeldDay, 'table' | 'rows' | 'close'>> {
    const found = await readIndexDay(day, this.#needs.notes, signal);
    const database = openIndexInMemory();
    const table = new RowTable(database);
    for await (const rows of inBatches(found.values(), ROWS_AT_ONCE)) {
      table.load(rows);
      await nextTurn();
    }
    return { table, rows: found.size, close: () => database.close() };
  }
}

async function dayStamp(day: string, notes: Notes, signal: AbortSignal): Promise<Pick<HeldDay, 'stamp' | 'writtenAt'>> {
  const parts: string[] = [];
  let writtenAt: string | undefined;
  for await (const file of listIndexFiles(day, notes, signal)) {
    parts.push(`${file.name} ${String(file.sizeBytes)} ${file.writtenAt}`);
    if (writtenAt === undefined || file.writtenAt > writtenAt) ({ writtenAt } = file);
  }
  return { stamp: parts.join('\n'), writtenAt };
}
