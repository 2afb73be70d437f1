/** What folder and bucket do alike, over their small objects: the listing, and the reasons why something is not there. */
import { isId, type Recording, spellingsOf } from '../recording.ts';
import type { ListQuery, Page } from './archive.ts';
import { requireNotErased } from './erased.ts';
import { listArchive } from './listing.ts';
import type { FailureRecord, WaitingRecord } from './manifest.ts';
import { RECORDINGS, type Subject } from './names.ts';
import { ObjectNotes, type Notes } from './notes.ts';
import type { Objects } from './objects.ts';
import { Reasons } from './reasons.ts';

export abstract class ObjectArchive {
  readonly notes: Notes;
  protected readonly objects: Objects;
  protected readonly reasons: Reasons;

  constructor(objects: Objects) {
    this.objects = objects;
    this.notes = new ObjectNotes(objects);
    this.reasons = new Reasons(objects);
  }

  list(query: ListQuery, signal: AbortSignal): Promise<Page> {
    return listArchive(query, { objects: this.objects, reasons: this.reasons }, signal);
  }

  /** A GUID may lie there in capitals, too. */
  async *recordingsOf(conversationId: string, signal: AbortSignal): AsyncGenerator<Recording> {
    for (const { recordingId: spelled } of spellingsOf({ recordingId: conversationId, conversationId: undefined })) {
      for await (const child of this.objects.children({ folder: `${RECORDINGS}${spelled}/` }, signal)) {
        const recordingId = child.replace(/\/$/, '');
        if (child.endsWith('/') && isId(recordingId)) yield { recordingId, conversationId: spelled };
      }
    }
  }

  async flag(recording: Recording, held: boolean, signal: AbortSignal): Promise<boolean> {
    let isThere = false;
    for (const spelling of spellingsOf(recording)) if (await this.flagAs(spelling, held, signal)) isThere = true;
    return isThere;
  }

  recordFailure(subject: Subject, record: FailureRecord, signal: AbortSignal): Promise<void> {
    return this.reasons.recordFailure(subject, record, signal);
  }

  removeFailure(subject: Subject, signal: AbortSignal): Promise<void> {
    return this.reasons.remove('failures', subject, signal);
  }

  failureOf(subject: Subject, signal: AbortSignal): Promise<FailureRecord | undefined> {
    return this.reasons.failureOf(subject, signal);
  }

  recordWaiting(subject: Subject, record: WaitingRecord, signal: AbortSignal): Promise<void> {
    return this.reasons.recordWaiting(subject, record, signal);
  }

  removeWaiting(subject: Subject, signal: AbortSignal): Promise<void> {
    return this.reasons.remove('waiting', subject, signal);
  }

  waitingOf(subject: Subject, signal: AbortSignal): Promise<WaitingRecord | undefined> {
    return this.reasons.waitingOf(subject, signal);
  }

  async sweep(olderThanMs: number, signal: AbortSignal): Promise<number> {
    const staged = await this.sweepStaging(olderThanMs, signal);
    return staged + (await this.reasons.tidy(signal));
  }

  /** What was erased is told apart from what never was. @throws Failure `erased` */
  protected async notFound(recording: Recording, signal: AbortSignal): Promise<undefined> {
    await requireNotErased(recording, this.objects, signal);
    return undefined;
  }

  /** Of one spelling; see {@link Archive.flag}. */
  protected abstract flagAs(recording: Recording, held: boolean, signal: AbortSignal): Promise<boolean>;

  /** How many were removed. */
  protected abstract sweepStaging(olderThanMs: number, signal: AbortSignal): Promise<number>;
}
