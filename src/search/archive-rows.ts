/** Manifests, details and reasons of an archive → rows of the index, page after page, and how far back they were read. */
import type { DatabaseSync } from 'node:sqlite';
import type { Archive, Entry, ListQuery, Page } from '../archive/archive.ts';
import { readDetails, type ConversationDetails } from '../archive/details.ts';
import { indexDayOf, rowOfEntry, type IndexRow } from '../archive/index-row.ts';

export interface ArchiveRowsNeeds {
  /** Has a table `mark` of how far it was read (index-database.ts). */
  readonly database: DatabaseSync;
  readonly archive: Pick<Archive, 'list' | 'notes'>;
}

const PAGE = 100;
const DAY_MS = 24 * 3_600_000;
const DONE = 'done';
/** Conversations without recordings are listed only when asked for. */
const PASSES = [
  { name: 'rows', query: {} },
  { name: 'no-recordings', query: { status: 'no-recordings' } },
] as const;

export class ArchiveRows {
  readonly #needs: ArchiveRowsNeeds;

  constructor(needs: ArchiveRowsNeeds) {
    this.#needs = needs;
  }

  /** The UTC day that everything was read back to; undefined once all of it was. */
  get backTo(): string | undefined {
    if (this.#mark('rows') === DONE) return undefined;
    return this.#mark('back-to') ?? new Date().toISOString().slice(0, 10);
  }

  /** What was yielded counts as read once more is asked for. */
  async *read(signal: AbortSignal): AsyncGenerator<readonly IndexRow[]> {
    const isNew = this.#mark('rows') === undefined;
    const yesterday = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10);
    if (!isNew) for await (const { rows } of this.#pages({ from: yesterday }, signal)) yield rows;
    for (const { name, query } of PASSES) {
      const cursor = this.#mark(name);
      if (cursor === DONE) continue;
      const start = cursor === undefined ? query : { ...query, cursor };
      for await (const { rows, cursor: next } of this.#pages(start, signal)) {
        yield rows;
        this.#setMark(name, next ?? DONE);
        const last = rows.at(-1);
        if (name === 'rows' && last !== undefined) this.#setMark('back-to', indexDayOf(last));
      }
    }
  }

  async *#pages(
    query: Omit<ListQuery, 'limit'>,
    signal: AbortSignal,
  ): AsyncGenerator<{ readonly rows: readonly IndexRow[]; readonly cursor: string | undefined }> {
    let { cursor } = query;
    do {
      const asked = { ...query, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) };
      const page: Page = await this.#needs.archive.list(asked, signal);
      yield { rows: await this.#rowsOf(page.entries, signal), cursor: page.cursor };
      ({ cursor } = page);
    } while (cursor !== undefined);
  }

  async #rowsOf(entries: readonly Entry[], signal: AbortSignal): Promise<readonly IndexRow[]> {
    const details = new Map<string, Promise<ConversationDetails | undefined>>();
    const detailsOf = (id: string | undefined): Promise<ConversationDetails | undefined> => {
      if (id === undefined) return Promise.resolve(undefined);
      const known = details.get(id) ?? readDetails(id, this.#needs.archive.notes, signal);
      details.set(id, known);
      return known;
    };
    return Promise.all(
      entries.map(async (entry) => rowOfEntry(entry, await detailsOf(entry.recording.conversationId))),
    );
  }

  #mark(name: string): string | undefined {
    const value = this.#needs.database.prepare('SELECT value FROM mark WHERE name = ?').get(name)?.['value'];
    return typeof value === 'string' ? value : undefined;
  }

  #setMark(name: string, value: string): void {
    this.#needs.database.prepare('INSERT OR REPLACE INTO mark (name, value) VALUES (?, ?)').run(name, value);
  }
}
