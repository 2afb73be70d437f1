/** Search in one SQLite file (`var/index.db`): fed with each row as it is made, with `index/`, and once with the whole archive. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Archive } from '../archive/archive.ts';
import { inBatches } from '../archive/in-batches.ts';
import type { IndexRow } from '../archive/index-row.ts';
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { Failure, systemCode } from '../failure.ts';
import { ArchiveRows } from './archive-rows.ts';
import { ChangedDays } from './changed-days.ts';
import { openIndexDatabase } from './index-database.ts';
import { PageInParts } from './page-in-parts.ts';
import { placesOf } from './place.ts';
import { RowTable } from './row-table.ts';
import { checkSearch, daysOfSearch, type Search, type SearchPage, type SearchQuery } from './search.ts';

export interface SqliteSearchNeeds {
  readonly path: string;
  readonly archive: Pick<Archive, 'list' | 'notes'>;
  /** Hears what a search does not fail for: the archive could not be looked at, and what is known is answered with. */
  readonly onTrouble: (error: unknown) => void;
  readonly clock?: Clock;
}

/** Rows between which others have their turn. */
const ROWS_AT_ONCE = 200;
const NOTED_WITHIN_MS = 250;
/** A slow archive keeps nobody from what is known. */
const LOOK_WITHIN_MS = 1_500;

export class SqliteSearch implements Search {
  readonly #database: DatabaseSync;
  readonly #table: RowTable;
  readonly #changes: ChangedDays;
  readonly #source: ArchiveRows;
  readonly #onTrouble: (error: unknown) => void;
  readonly #clock: Clock;
  /** Until when everything was known, where the last look failed; ISO 8601. */
  #upTo: string | undefined;
  #lookedAt = new Date().toISOString();
  /** Made in this process, and not in the file yet: those that come close behind each other are written together. */
  #noted: IndexRow[] = [];
  #noting: Disposable | undefined;

  /** @throws Failure `misconfigured` */
  constructor({ path, archive, onTrouble, clock = SYSTEM_CLOCK }: SqliteSearchNeeds) {
    this.#database = openIndexDatabase(path);
    this.#table = new RowTable(this.#database);
    this.#changes = new ChangedDays({ database: this.#database, notes: archive.notes, clock });
    this.#source = new ArchiveRows({ database: this.#database, archive });
    this.#onTrouble = onTrouble;
    this.#clock = clock;
  }

  get size(): number {
    return this.#table.size;
  }

  async search(query: SearchQuery, signal: AbortSignal): Promise<SearchPage> {
    checkSearch(query);
    await this.#look(daysOfSearch(query), signal);
    signal.throwIfAborted();
    this.#takeNoted();
    try {
      const page = new PageInParts(query);
      page.add(this.#table, placesOf(query.from, query.to));
      return { ...page.end(false), upTo: this.#upTo, backTo: this.#backTo(query) };
    } catch (error) {
      throw asAway(error);
    }
  }

  /** A row as it is made in this process: found at once here, by other processes a little later. What a crash takes with it is read again. */
  note(row: IndexRow): void {
    this.#noted.push(row);
    this.#noting ??= this.#clock.after(NOTED_WITHIN_MS, () => this.#takeNoted());
  }

  /** At once. */
  put(rows: Iterable<IndexRow>): void {
    this.#table.put([...rows].filter(({ key }) => !this.#changes.isErased(key)));
  }

  /**
   * Reads the newest days of the archive, and all others that were never read: what a crash took with it, and what was archived
   * before there was an index. Goes on where it was stopped.
   */
  async fill(signal: AbortSignal): Promise<void> {
    for await (const rows of this.#source.read(signal)) {
      this.put(rows);
      await nextTurn();
    }
  }

  async close(): Promise<void> {
    this.#takeNoted();
    this.#database.close();
  }

  #takeNoted(): void {
    this.#noting?.[Symbol.dispose]();
    this.#noting = undefined;
    const noted = this.#noted;
    this.#noted = [];
    try {
      if (noted.length > 0) this.put(noted);
    } catch (error) {
      this.#onTrouble(error);
    }
  }

  async #look(days: readonly string[], signal: AbortSignal): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<'late'>();
    using _timer = this.#clock.after(LOOK_WITHIN_MS, () => resolve('late'));
    const startedAt = new Date().toISOString();
    const looking = this.#takeChanges(days).then(
      () => 'done' as const,
      (error: unknown) => {
        this.#onTrouble(error);
        return 'failed' as const;
      },
    );
    signal.addEventListener('abort', () => resolve('late'), { once: true });
    const ended = await Promise.race([looking, late]);
    if (ended === 'done') this.#lookedAt = startedAt;
    this.#upTo = ended === 'done' ? undefined : this.#lookedAt;
  }

  async #takeChanges(days: readonly string[]): Promise<void> {
    const signal = AbortSignal.timeout(60_000);
    this.#table.remove(await this.#changes.newlyErased(signal));
    for await (const rows of this.#changes.rows(days, signal)) {
      for await (const some of inBatches(rows, ROWS_AT_ONCE)) {
        this.put(some);
        await nextTurn();
      }
    }
  }

  #backTo({ from }: SearchQuery): string | undefined {
    const { backTo } = this.#source;
    return backTo !== undefined && from < backTo ? backTo : undefined;
  }
}

/** A file that was damaged, locked or taken away while it is open: the archive is as it was, and the file comes again. */
function asAway(error: unknown): unknown {
  if (systemCode(error) !== 'ERR_SQLITE_ERROR') return error;
  const text =
    'The index cannot be read just now. If that stays: stop the service, remove index.db beside the archive (or in it), and start it: it is made anew.';
  return new Failure('archive-unavailable', text, { cause: error });
}

/**
 * Where it can lie, which can be made anew at any time: beside the archive, like the queue, or in it, where nobody may write
 * beside it, since the archive is a volume of its own.
 */
export function indexPlaces(archivePath: string): { readonly beside: string; readonly inside: string } {
  return { beside: join(dirname(archivePath), 'index.db'), inside: join(archivePath, 'index.db') };
}

/** Where it lies, whoever asks; where it is to lie, as far as this process may write. */
export function indexPath(archivePath: string): string {
  const { beside, inside } = indexPlaces(archivePath);
  if (existsSync(inside)) return inside;
  return existsSync(beside) || mayWriteIn(dirname(beside)) ? beside : inside;
}

function mayWriteIn(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Takes rows out of the file, where there is one, so that nothing of them can be read in it any more. */
export function forgetRows(path: string, keys: Iterable<string>): void {
  if (!existsSync(path)) return;
  const database = openIndexDatabase(path);
  try {
    new RowTable(database).remove(keys);
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
}
