/**
 * Why a recording is not in the archive (failures/), or not yet (waiting/): one record each by its key, and empty marks by which a
 * listing finds it:
 *
 *   failures/{key}.json   listing/{status}/{yyyy-mm-dd}/{key}   listing/of/failures/{conversationId}/{recordingId}
 *   waiting/{key}.json    listing/waiting/{yyyy-mm-dd}/{key}    listing/of/waiting/{conversationId}/{recordingId}
 *
 * The record is what counts. A mark without its record is ignored; a record without its marks, as a crash or an older version
 * leaves it, gets them from {@link Reasons.tidy}. Until that was through once, a listing reads every record.
 */
import { isDay } from '../instant.ts';
import { recordingOfKey, type Recording } from '../recording.ts';
import type { Entry, Status } from './archive.ts';
import { inBatches } from './in-batches.ts';
import type { FailureRecord, WaitingRecord } from './manifest.ts';
import {
  canonicalSubject,
  manifestName,
  reasonName,
  subjectKey,
  subjectOfKey,
  type ReasonKind,
  type Subject,
} from './names.ts';
import { ownAmong, writtenAt, type Objects, type StoredObject } from './objects.ts';
import { parseFailureRecord, parseWaitingRecord, isUnreadable, subjectOf, unreadableRecord } from './records.ts';
import { Deadline } from '../waiting.ts';

export type ReasonStatus = Exclude<Status, 'archived'>;

const KINDS = ['failures', 'waiting'] as const satisfies readonly ReasonKind[];
const KIND_OF: Readonly<Record<ReasonStatus, ReasonKind>> = {
  failed: 'failures',
  'no-media': 'failures',
  'no-recordings': 'failures',
  waiting: 'waiting',
};
const STATUSES_OF: Readonly<Record<ReasonKind, readonly ReasonStatus[]>> = {
  failures: ['failed', 'no-media', 'no-recordings'],
  waiting: ['waiting'],
};
const FORGET_TIMEOUT_MS = 5_000;
/** Records marked at once. */
const WIDTH = 16;
/** Nothing waits for more than a week: of days further back a mark is left to the next tidying. */
const DAYS_UNMARKED = 8;
/** Genesys lists a late recording within days; a month later nobody looks for one. */
const NO_RECORDINGS_DAYS = 30;
const DAY_MS = 24 * 3_600_000;
/** However many processes sweep, one of them tidies in so long a time. */
const TIDY_EVERY_MS = 3_000_000;
/** A younger mark may be ahead of its record. */
const MARK_SETTLED_MS = 600_000;

/** Where a record is marked, and what it says. */
export interface PlacedReason {
  readonly status: ReasonStatus;
  /** UTC, `yyyy-mm-dd`: of the failure, or of the moment it began to wait. */
  readonly day: string;
  readonly entry: Entry;
}

export class Reasons {
  readonly #objects: Objects;
  /** Once tidied, always: from then on every record has its marks. */
  readonly #marked = new Set<ReasonKind>();
  readonly #tidiedHere = new Set<ReasonKind>();

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /** What was given up waits no more. */
  async recordFailure(subject: Subject, record: FailureRecord, signal: AbortSignal): Promise<void> {
    await this.#keep(placedFailure(record), { subject, record }, signal);
    await this.remove('waiting', subject, signal);
  }

  /** What is tried again is not given up. */
  async recordWaiting(subject: Subject, record: WaitingRecord, signal: AbortSignal): Promise<void> {
    await this.#keep(placedWaiting(record), { subject, record }, signal);
    await this.remove('failures', subject, signal);
  }

  async failureOf(subject: Subject, signal: AbortSignal): Promise<FailureRecord | undefined> {
    const text = await this.#objects.get(reasonName('failures', subject), signal);
    return text === undefined ? undefined : parseFailureRecord(text);
  }

  async waitingOf(subject: Subject, signal: AbortSignal): Promise<WaitingRecord | undefined> {
    const text = await this.#objects.get(reasonName('waiting', subject), signal);
    return text === undefined ? undefined : parseWaitingRecord(text);
  }

  /** Gone is as good. Where nothing was, and mostly nothing is, one request tells. */
  async remove(kind: ReasonKind, subject: Subject, signal: AbortSignal): Promise<void> {
    if ((await this.#objects.remove(reasonName(kind, subject), signal)) !== 'removed') return;
    const key = subjectKey(subject);
    const marks = [...conversationMark(kind, subject)];
    for (const status of STATUSES_OF[kind]) {
      const days = await this.days(status, signal);
      marks.push(...days.slice(-DAYS_UNMARKED).map((day) => dayMark(status, day, key)));
    }
    await Promise.all(marks.map((mark) => this.#objects.unmark(mark, signal)));
  }

  /** Best effort, once a recording is archived: what stays is ruled out by the manifest. */
  async forget(recording: Recording): Promise<void> {
    using deadline = new Deadline(FORGET_TIMEOUT_MS);
    await Promise.allSettled(KINDS.map((kind) => this.remove(kind, recording, deadline.signal)));
  }

  /** Whether every record of this status has its marks. */
  async isMarked(status: ReasonStatus, signal: AbortSignal): Promise<boolean> {
    const kind = KIND_OF[status];
    if (!this.#marked.has(kind) && (await this.#objects.get(tidied(kind), signal)) !== undefined)
      this.#marked.add(kind);
    return this.#marked.has(kind);
  }

  /** Days with marks of this status, the oldest first. */
  async days(status: ReasonStatus, signal: AbortSignal): Promise<readonly string[]> {
    const days: string[] = [];
    for await (const name of this.#objects.children({ folder: folderOf(status) }, signal)) {
      if (name.endsWith('/') && isDay(name.slice(0, -1))) days.push(name.slice(0, -1));
    }
    return days;
  }

  /** Keys of the records of one conversation. */
  async *keysOf(kind: ReasonKind, conversationId: string, signal: AbortSignal): AsyncGenerator<string> {
    yield subjectKey({ recordingId: undefined, conversationId });
    const [status] = STATUSES_OF[kind];
    if (status === undefined || (await this.isMarked(status, signal))) {
      const folder = `${ofConversations(kind)}${conversationId}/`;
      for await (const name of this.#objects.children({ folder }, signal)) yield `${conversationId}.${name}`;
      return;
    }
    for await (const key of this.keys(kind, signal)) {
      if (key.startsWith(`${conversationId}.`) && !key.endsWith('._')) yield key;
    }
  }

  /** Keys of all records, marked or not. */
  async *keys(kind: ReasonKind, signal: AbortSignal): AsyncGenerator<string> {
    for await (const name of this.#objects.children({ folder: `${kind}/` }, signal)) {
      const key = name.endsWith('.json') ? name.slice(0, -'.json'.length) : '';
      if (subjectOfKey(key) !== undefined) yield key;
    }
  }

  /** undefined where there is no record, or its recording is archived: the record then no longer holds. */
  async read(kind: ReasonKind, key: string, signal: AbortSignal): Promise<PlacedReason | undefined> {
    const [found, isArchived] = await Promise.all([
      this.#read(kind, key, signal),
      this.#isArchived(recordingOfKey(key), signal),
    ]);
    return isArchived ? undefined : found;
  }

  /** Under the ids of a record that are in capitals, from before they were read without case, or under those of today. */
  async #isArchived(recording: Recording | undefined, signal: AbortSignal): Promise<boolean> {
    if (recording === undefined) return false;
    const names = new Set(
      [recording, recordingOfKey(subjectKey(canonicalSubject(recording))) ?? recording].map(manifestName),
    );
    for (const name of names) if (await this.#isThere(name, signal)) return true;
    return false;
  }

  /** Every record gets its marks, and every mark its record or an end; how many `no-recordings` were too old to keep. */
  async tidy(signal: AbortSignal): Promise<number> {
    for (const kind of KINDS) {
      if (await this.#wasTidied(kind, signal)) continue;
      const records = await this.#tidy(kind, signal);
      // An archive without any needs no word about them, and whoever writes the first one marks it.
      if (records > 0) await this.#objects.replace(tidied(kind), '{"version":1}\n', signal);
      this.#tidiedHere.add(kind);
      this.#marked.add(kind);
    }
    return this.#removeOld(signal);
  }

  /** The marks come first: a record without them would not be listed. */
  async #keep(place: PlacedReason, kept: KeptReason, signal: AbortSignal): Promise<void> {
    const kind = KIND_OF[place.status];
    const key = subjectKey(kept.subject);
    const name = reasonName(kind, kept.subject);
    const before = await this.#read(kind, key, signal);
    await this.#mark(place, key, signal);
    const isReplaced = await this.#objects.replace(name, `${JSON.stringify(kept.record, null, 2)}\n`, signal);
    if (before === undefined || !isReplaced || (before.status === place.status && before.day === place.day)) return;
    await this.#objects.unmark(dayMark(before.status, before.day, key), signal);
  }

  async #mark({ status, day }: PlacedReason, key: string, signal: AbortSignal): Promise<void> {
    const subject = subjectOfKey(key);
    const ofConversation = subject === undefined ? [] : conversationMark(KIND_OF[status], subject);
    const marks = [dayMark(status, day, key), ...ofConversation];
    await Promise.all(marks.map((mark) => this.#objects.mark(mark, signal)));
  }

  /** What cannot be read is shown as failed since it was last written, rather than hidden. */
  async #read(kind: ReasonKind, key: string, signal: AbortSignal): Promise<PlacedReason | undefined> {
    const name = `${kind}/${key}.json`;
    try {
      const text = await this.#objects.get(name, signal);
      if (text === undefined) return undefined;
      return kind === 'failures' ? placedFailure(parseFailureRecord(text)) : placedWaiting(parseWaitingRecord(text));
    } catch (thrown) {
      const subject = subjectOfKey(key);
      if (!isUnreadable(thrown) || subject === undefined) throw thrown;
      return placedFailure(unreadableRecord(subject, thrown, await writtenAt(name, this.#objects, signal)));
    }
  }

  /** Also where it cannot be read. */
  async #isThere(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#objects.get(name, signal)) !== undefined;
    } catch (thrown) {
      if (isUnreadable(thrown)) return true;
      throw thrown;
    }
  }

  /** Marks may have been lost before this process began: so its first tidying is always done. */
  async #wasTidied(kind: ReasonKind, signal: AbortSignal): Promise<boolean> {
    if (!this.#tidiedHere.has(kind)) return false;
    for await (const { name, writtenAt: at } of this.#objects.list(tidied(kind), signal)) {
      if (name === tidied(kind)) return Math.abs(Date.now() - Date.parse(at)) < TIDY_EVERY_MS;
    }
    return false;
  }

  /** How many records there are; holds their keys in memory, about 100 bytes each. */
  async #tidy(kind: ReasonKind, signal: AbortSignal): Promise<number> {
    const marks = new Map<string, number>();
    for await (const key of this.keys(kind, signal)) marks.set(key, 0);
    for (const status of STATUSES_OF[kind]) {
      for await (const mark of ownAmong(this.#objects.list(folderOf(status), signal))) {
        const key = mark.name.slice(folderOf(status).length + 'yyyy-mm-dd/'.length);
        const known = marks.get(key);
        if (known === undefined) await this.#removeStray(kind, { ...mark, key }, signal);
        else marks.set(key, known + 1);
      }
    }
    for await (const mark of ownAmong(this.#objects.list(ofConversations(kind), signal))) {
      const key = mark.name.slice(ofConversations(kind).length).replace('/', '.');
      if (!marks.has(key)) await this.#removeStray(kind, { ...mark, key }, signal);
    }
    for (const key of await this.#outdated(kind, [...marks.keys()], signal)) marks.delete(key);
    const wrong = [...marks].filter(([, count]) => count !== 1);
    for await (const batch of inBatches(wrong, WIDTH)) {
      await Promise.all(batch.map(([key, count]) => this.#markAnew({ kind, key, isDouble: count > 1 }, signal)));
    }
    return marks.size;
  }

  /** Records under ids in capitals end where the recording is archived under its ids of today, or has a record there. */
  async #outdated(kind: ReasonKind, keys: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const known = new Set(keys);
    const removed: string[] = [];
    for (const key of keys) {
      const [subject, recording] = [subjectOfKey(key), recordingOfKey(key)];
      const today = subject === undefined ? key : subjectKey(canonicalSubject(subject));
      if (subject === undefined || today === key) continue;
      if (!known.has(today) && !(await this.#isArchived(recording, signal))) continue;
      await this.remove(kind, subject, signal);
      removed.push(key);
    }
    return removed;
  }

  async #removeStray(kind: ReasonKind, mark: Mark, signal: AbortSignal): Promise<void> {
    if (Date.now() - Date.parse(mark.writtenAt) < MARK_SETTLED_MS) return;
    if (await this.#isThere(`${kind}/${mark.key}.json`, signal)) return;
    await this.#objects.unmark(mark.name, signal);
  }

  async #markAnew({ kind, key, isDouble }: WrongMark, signal: AbortSignal): Promise<void> {
    const place = await this.#read(kind, key, signal);
    if (place === undefined) return;
    await this.#mark(place, key, signal);
    if (!isDouble) return;
    for (const status of STATUSES_OF[kind]) {
      for (const day of await this.days(status, signal)) {
        if (status !== place.status || day !== place.day) await this.#objects.unmark(dayMark(status, day, key), signal);
      }
    }
  }

  async #removeOld(signal: AbortSignal): Promise<number> {
    const last = new Date(Date.now() - NO_RECORDINGS_DAYS * DAY_MS).toISOString().slice(0, 10);
    const days = (await this.days('no-recordings', signal)).filter((day) => day < last);
    let removed = 0;
    for (const day of days) {
      for await (const key of this.#objects.children({ folder: `${folderOf('no-recordings')}${day}/` }, signal)) {
        if (await this.#removeOldRecord(day, key, signal)) removed += 1;
      }
    }
    return removed;
  }

  /** false where the record was written again on a later day. */
  async #removeOldRecord(day: string, key: string, signal: AbortSignal): Promise<boolean> {
    const place = await this.#read('failures', key, signal);
    const isOld = place?.status === 'no-recordings' && place.day === day;
    if (isOld && (await this.#objects.remove(`failures/${key}.json`, signal)) === 'kept') return false;
    await this.#objects.unmark(dayMark('no-recordings', day, key), signal);
    return isOld;
  }
}

interface KeptReason {
  readonly subject: Subject;
  readonly record: FailureRecord | WaitingRecord;
}

interface Mark extends StoredObject {
  readonly key: string;
}

interface WrongMark {
  readonly kind: ReasonKind;
  readonly key: string;
  /** It has one on several days, of which one is right. */
  readonly isDouble: boolean;
}

/** Holds the marks of one status, day by day. */
export function folderOf(status: ReasonStatus): string {
  return `listing/${status}/`;
}

export function kindOf(status: ReasonStatus): ReasonKind {
  return KIND_OF[status];
}

function dayMark(status: ReasonStatus, day: string, key: string): string {
  return `${folderOf(status)}${day}/${key}`;
}

function ofConversations(kind: ReasonKind): string {
  return `listing/of/${kind}/`;
}

/** A conversation's own record is found by its key alone. */
function conversationMark(kind: ReasonKind, { recordingId, conversationId }: Subject): readonly string[] {
  if (recordingId === undefined || conversationId === undefined) return [];
  return [`${ofConversations(kind)}${conversationId}/${recordingId}`];
}

/** Lies there once every record of this kind has its marks. */
function tidied(kind: ReasonKind): string {
  return `listing/tidied/${kind}`;
}

function placedFailure(failure: FailureRecord): PlacedReason {
  const { status } = failure;
  return { status, day: failure.failedAt.slice(0, 10), entry: { status, recording: subjectOf(failure), failure } };
}

function placedWaiting(waiting: WaitingRecord): PlacedReason {
  const entry = { status: 'waiting', recording: subjectOf(waiting), waiting } as const;
  return { status: 'waiting', day: waiting.since.slice(0, 10), entry };
}
