/** Days of `index/`, and the marks of what was erased → what of them this file does not know yet. */
import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../clock.ts';
import { listIndexFiles, readIndexDay } from '../archive/day-index.ts';
import { inBatches } from '../archive/in-batches.ts';
import type { IndexRow } from '../archive/index-row.ts';
import { subjectOfKey } from '../archive/names.ts';
import type { Notes } from '../archive/notes.ts';

export interface ChangedDaysNeeds {
  /** Has a table `file` of what was read (index-database.ts). */
  readonly database: DatabaseSync;
  readonly notes: Notes;
  readonly clock: Clock;
}

/** How long a day, and the marks of what was erased, are believed to be as they were. */
const FRESH_FOR_MS = 2_000;
const DAYS_AT_ONCE = 8;
const ERASED = 'erased/';

export class ChangedDays {
  readonly #needs: ChangedDaysNeeds;
  readonly #checkedAtMs = new Map<string, number>();
  readonly #erased = new Set<string>();

  constructor(needs: ChangedDaysNeeds) {
    this.#needs = needs;
  }

  /** Its own mark, or that of its conversation. */
  isErased(key: string): boolean {
    return this.#erased.has(key) || this.#erased.has(`${subjectOfKey(key)?.conversationId ?? ''}._`);
  }

  /** Keys whose marks were not there before; `{conversationId}._` for a conversation with all that is in it. */
  async newlyErased(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#isFresh(ERASED)) return [];
    const found: string[] = [];
    for await (const { name } of this.#needs.notes.list(ERASED, signal)) {
      const key = name.slice(ERASED.length).replace(/\.json$/, '');
      if (!this.#erased.has(key)) found.push(key);
    }
    for (const key of found) this.#erased.add(key);
    return found;
  }

  /** The rows of each day that has changed; it counts as read once the next one is asked for. */
  async *rows(days: readonly string[], signal: AbortSignal): AsyncGenerator<Iterable<IndexRow>> {
    const { notes } = this.#needs;
    for await (const some of inBatches(
      days.filter((day) => !this.#isFresh(day)),
      DAYS_AT_ONCE,
    )) {
      const stamps = await Promise.all(some.map((day) => this.#stampOf(day, signal)));
      for (const [index, day] of some.entries()) {
        const stamp = stamps[index] ?? '';
        if (stamp === this.#knownStamp(day)) continue;
        yield (await readIndexDay(day, notes, signal)).values();
        this.#remember(day, stamp);
      }
    }
  }

  /** True once for each time that it is not; whoever asks looks then. */
  #isFresh(what: string): boolean {
    const now = this.#needs.clock.now();
    if (now - (this.#checkedAtMs.get(what) ?? -Infinity) < FRESH_FOR_MS) return true;
    this.#checkedAtMs.set(what, now);
    return false;
  }

  async #stampOf(day: string, signal: AbortSignal): Promise<string> {
    const parts: string[] = [];
    for await (const { name, sizeBytes, writtenAt } of listIndexFiles(day, this.#needs.notes, signal))
      parts.push(`${name} ${String(sizeBytes)} ${writtenAt}`);
    return parts.join('\n');
  }

  #knownStamp(day: string): string {
    const known = this.#needs.database.prepare('SELECT stamp FROM file WHERE name = ?').get(day)?.['stamp'];
    return typeof known === 'string' ? known : '';
  }

  #remember(day: string, stamp: string): void {
    this.#needs.database.prepare('INSERT OR REPLACE INTO file (name, stamp) VALUES (?, ?)').run(day, stamp);
  }
}
