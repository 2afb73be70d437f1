/**
 * A day as it was compared with Genesys, or as it lies in the archive → its lines of the index, put together anew; and details of
 * conversations that nobody kept, since analytics tells them anyway.
 */
import type { Archive, Entry } from '../archive/archive.ts';
import { addIndexLines, DayCompaction, forgetErased, hasParts } from '../archive/day-index.ts';
import { type ConversationDetails, detailsName, encodeDetails, parseDetails, readDetails } from '../archive/details.ts';
import { areErased } from '../archive/erased.ts';
import {
  archivedRow,
  datedRow,
  failedRow,
  findingRow,
  indexDayOf,
  type IndexRow,
  rowOfEntry,
  waitingRow,
} from '../archive/index-row.ts';
import { type Manifest, recordingOf } from '../archive/manifest.ts';
import { subjectOfKey } from '../archive/names.ts';
import type { Notes } from '../archive/notes.ts';
import type { SeenSubject } from './day.ts';
import { Failure } from '../failure.ts';
import type { CountedConversation } from '../genesys/census.ts';
import type { Recording } from '../recording.ts';

export interface IndexDaysNeeds {
  readonly archive: Pick<Archive, 'find' | 'failureOf' | 'waitingOf' | 'notes'>;
  /** Whether details that are missing are kept. */
  readonly keepsDetails: boolean;
  readonly version: string;
  /** Told once for a day whose lines could not be put together. */
  readonly onTrouble: (error: unknown) => void;
}

/** The lines of one day while it is looked at; `end` makes them count. */
export interface DayLines {
  seen(conversation: CountedConversation, seen: readonly SeenSubject[], signal: AbortSignal): Promise<void>;
  end(signal: AbortSignal): Promise<void>;
}

export class IndexDays {
  readonly #needs: IndexDaysNeeds;

  constructor(needs: IndexDaysNeeds) {
    this.#needs = needs;
  }

  /** For whoever compares the day with Genesys, and goes on without the index where it cannot be written. */
  async begin(day: string, signal: AbortSignal): Promise<DayLines> {
    const elsewhere = new LinesElsewhere(this.#needs.archive.notes);
    const effort = new BestEffort(this.#needs.onTrouble);
    const compaction = await effort.of(() => this.#compaction(day, elsewhere, signal), signal);
    return {
      seen: async (conversation, seen, stop) => {
        await effort.of(async () => {
          const details = await this.#detailsOf(conversation, seen, stop);
          for (const subject of seen) await compaction?.add(rowOfSeen(subject, { conversation, details }), stop);
        }, stop);
      },
      end: async (stop) => {
        await effort.of(() => compaction?.end(stop), stop);
        await effort.of(() => elsewhere.write(stop), stop);
      },
    };
  }

  /** For a day that nobody compares with Genesys: what workers have written of it since is put together with the rest. */
  async gather(day: string, signal: AbortSignal): Promise<void> {
    const effort = new BestEffort(this.#needs.onTrouble);
    const isScattered = await effort.of(() => hasParts(day, this.#needs.archive.notes, signal), signal);
    if (isScattered !== true) return;
    const lines = await this.begin(day, signal);
    await lines.end(signal);
  }

  /**
   * Lines of what the archive lists, day after day, whatever there was before; Genesys is not asked. Told of each day with how many
   * lines it has. @throws Failure
   */
  async rebuild(
    entries: AsyncIterable<Entry>,
    onDay: (day: string, lines: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const elsewhere = new LinesElsewhere(this.#needs.archive.notes);
    let current: { readonly day: string; readonly compaction: DayCompaction } | undefined;
    const endOne = async (): Promise<void> => {
      if (current !== undefined) onDay(current.day, await current.compaction.end(signal));
    };
    for await (const entry of entries) {
      const listed = indexDayOf(rowOfEntry(entry, undefined));
      if (current?.day !== listed) {
        await endOne();
        current = { day: listed, compaction: await this.#compaction(listed, elsewhere, signal) };
      }
      const { conversationId } = entry.recording;
      const row = rowOfEntry(
        entry,
        conversationId === undefined ? undefined : await this.#kept(conversationId, signal),
      );
      if (indexDayOf(row) === listed) await current.compaction.add(row, signal);
      else elsewhere.add(row);
    }
    await endOne();
    await elsewhere.write(signal);
  }

  #compaction(day: string, elsewhere: LinesElsewhere, signal: AbortSignal): Promise<DayCompaction> {
    const { notes } = this.#needs.archive;
    const refresh = async (row: IndexRow, stop: AbortSignal): Promise<IndexRow | undefined> => {
      const found = await this.#rowNow(row, stop);
      // When its conversation started is not forgotten with its details.
      const now =
        found === undefined
          ? undefined
          : { ...found, conversationStart: found.conversationStart ?? row.conversationStart };
      if (now?.status !== 'archived' || indexDayOf(now) === day || now.conversationStart === null) return now;
      elsewhere.add(now);
      return undefined;
    };
    return DayCompaction.begin(day, { notes, refresh }, signal);
  }

  /** What the archive says now of a line that nobody has just looked at; undefined where it has nothing any more. */
  async #rowNow(row: IndexRow, signal: AbortSignal): Promise<IndexRow | undefined> {
    const subject = subjectOfKey(row.key);
    if (subject === undefined) return undefined;
    const { archive } = this.#needs;
    const { recordingId, conversationId } = subject;
    const details = conversationId === undefined ? undefined : await this.#kept(conversationId, signal);
    if (recordingId !== undefined) {
      const recording = { recordingId, conversationId };
      const manifest = await findOrWhyNot(recording, archive, signal);
      if (manifest === 'erased') return undefined;
      // What is damaged is for `verify` to say.
      if (manifest === 'conflict') return row;
      if (manifest !== undefined) return archivedRow(manifest, details);
      const failure = await archive.failureOf(recording, signal);
      if (failure !== undefined) return failedRow(failure, details);
    }
    const waiting = await archive.waitingOf(subject, signal);
    return waiting === undefined ? undefined : waitingRow(waiting, { at: new Date(waiting.since), details });
  }

  #kept(conversationId: string, signal: AbortSignal): Promise<ConversationDetails | undefined> {
    if (!this.#needs.keepsDetails) return Promise.resolve(undefined);
    return readDetails(conversationId, this.#needs.archive.notes, signal);
  }

  /** What is kept; where nothing is and something of it is archived, what analytics has just answered. */
  async #detailsOf(
    conversation: CountedConversation,
    seen: readonly SeenSubject[],
    signal: AbortSignal,
  ): Promise<ConversationDetails | undefined> {
    const { conversationId, endedAt, answer } = conversation;
    const { archive, keepsDetails, version } = this.#needs;
    const kept = await this.#kept(conversationId, signal);
    const archived = seen.flatMap(({ manifest }) => (manifest === undefined ? [] : [recordingOf(manifest)]));
    const isKept = kept !== undefined && (kept.endedAt !== null || endedAt === undefined);
    if (!keepsDetails || isKept || archived.length === 0) return kept;
    if (await areErased(archived, archive.notes, signal)) return undefined;
    const text = encodeDetails(answer, { conversationId, at: new Date(), service: version });
    await archive.notes.replace(detailsName(conversationId), text, signal);
    if (!(await areErased(archived, archive.notes, signal))) return parseDetails(text);
    await archive.notes.remove(detailsName(conversationId), signal);
    return undefined;
  }
}

/** Steps of one piece of work that may fail as a whole: after the first that does, none is taken any more. */
class BestEffort {
  readonly #onTrouble: (error: unknown) => void;
  #isOver = false;

  constructor(onTrouble: (error: unknown) => void) {
    this.#onTrouble = onTrouble;
  }

  async of<T>(step: () => T | Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    if (this.#isOver) return undefined;
    try {
      return await step();
    } catch (error) {
      signal.throwIfAborted();
      this.#isOver = true;
      this.#onTrouble(error);
      return undefined;
    }
  }
}

/** Lines that belong to another day than the one they were found on: few, since calls over midnight are. */
class LinesElsewhere {
  readonly #notes: Notes;
  readonly #rows = new Map<string, IndexRow[]>();

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  add(row: IndexRow): void {
    const day = indexDayOf(row);
    this.#rows.set(day, [...(this.#rows.get(day) ?? []), row]);
  }

  async write(signal: AbortSignal): Promise<void> {
    const notes = this.#notes;
    for (const [day, rows] of this.#rows) {
      await addIndexLines(rows, { day, notes }, signal);
      await forgetErased(rows, { days: [day], notes }, signal);
    }
    this.#rows.clear();
  }
}

async function findOrWhyNot(
  recording: Recording,
  archive: Pick<Archive, 'find'>,
  signal: AbortSignal,
): Promise<Manifest | 'erased' | 'conflict' | undefined> {
  try {
    return await archive.find(recording, signal);
  } catch (thrown) {
    if (thrown instanceof Failure && (thrown.code === 'erased' || thrown.code === 'conflict')) return thrown.code;
    throw thrown;
  }
}

interface SeenConversation {
  readonly conversation: CountedConversation;
  readonly details: ConversationDetails | undefined;
}

/** Of what is not there Genesys' word is as old as the conversation: whatever a worker has written since is newer. */
function rowOfSeen({ key, manifest, found }: SeenSubject, { conversation, details }: SeenConversation): IndexRow {
  if (manifest !== undefined) return datedRow(archivedRow(manifest, details), conversation);
  const { startedAt, endedAt = startedAt } = conversation;
  const { state = 'missing', code, reason = '' } = found ?? {};
  const subject = subjectOfKey(key) ?? { conversationId: conversation.conversationId, recordingId: undefined };
  const row = findingRow(subject, {
    at: endedAt,
    status: STATUS_OF[state],
    code: code ?? CODE_OF[state],
    reason,
    details,
  });
  return datedRow(row, conversation);
}

const STATUS_OF = {
  failed: 'failed',
  lost: 'failed',
  unlisted: 'no-recordings',
  waiting: 'waiting',
  'stored-away': 'waiting',
  missing: 'waiting',
} as const;

/** Where the finding has none. */
const CODE_OF = {
  failed: 'internal',
  lost: 'gone',
  unlisted: 'no-recordings',
  waiting: 'not-ready',
  'stored-away': 'needs-restore',
  missing: 'not-ready',
} as const;
