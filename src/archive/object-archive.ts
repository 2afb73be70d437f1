/** What folder and bucket do alike, over their small objects: the listing, and the reasons why something is not there. */
import { isDay } from '../instant.ts';
import { isId, pathOf, type Recording, recordingOfKey, spellingsOf } from '../recording.ts';
import type { DatedRecording, ListQuery, Page } from './archive.ts';
import { indexFolder } from './day-index.ts';
import { erasedNames, requireNotErased } from './erased.ts';
import { listArchive } from './listing.ts';
import { recordingOf, type FailureRecord, type Manifest, type WaitingRecord } from './manifest.ts';
import { DAYS, ERASED, levelsName, manifestName, RECORDINGS, type Subject, webmName } from './names.ts';
import { ObjectNotes, type Notes } from './notes.ts';
import type { Objects } from './objects.ts';
import { compareTexts } from './page.ts';
import { Reasons } from './reasons.ts';
import { shelvesOf, type FoundFile, type NameRange, type Shelf } from './shelf.ts';
import type { Erasure, Remains, Removable } from './remains.ts';
import { type RemovalPlace, remainsOf, removeForGood } from './removal.ts';

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
    const { objects, reasons } = this;
    return listArchive(query, { objects, reasons, spellingsOf: (recording) => this.spellingsOf(recording) }, signal);
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

  async retainedUntil(manifest: Manifest, signal: AbortSignal): Promise<string | undefined> {
    const name = webmName(recordingOf(manifest));
    for await (const { isLive, retainedUntil } of this.objects.generations(name, signal))
      if (isLive) return retainedUntil;
    return undefined;
  }

  remains(removable: Removable, signal: AbortSignal): Promise<Remains> {
    return remainsOf(removable, this.#removalPlace(), signal);
  }

  erase(removable: Removable, signal: AbortSignal): Promise<Erasure> {
    return removeForGood(removable, this.#removalPlace(), signal);
  }

  async forgetOldIndex(days: Iterable<string>, signal: AbortSignal): Promise<void> {
    for (const day of new Set(days)) await this.objects.purge(indexFolder(day), 'old', signal);
  }

  async *dated(before: string | undefined, signal: AbortSignal): AsyncGenerator<DatedRecording> {
    for await (const child of this.objects.children({ folder: DAYS }, signal)) {
      const day = child.replace(/\/$/, '');
      if (!isDay(day) || (before !== undefined && day >= before)) continue;
      for await (const key of this.objects.children({ folder: `${DAYS}${child}` }, signal)) {
        const recording = recordingOfKey(key);
        if (recording !== undefined) yield { recording, day };
      }
    }
  }

  levels(manifest: Manifest, signal: AbortSignal): Promise<Buffer | undefined> {
    return this.objects.getBytes(levelsName(recordingOf(manifest)), signal);
  }

  /** An erasure that began meanwhile may have looked for what to remove before this lay there. */
  async putLevels(manifest: Manifest, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const recording = recordingOf(manifest);
    const name = levelsName(recording);
    await this.requireNotErased(recording, signal);
    const isNew = await this.placeLevels(recording, bytes, signal);
    try {
      await this.requireNotErased(recording, signal);
    } catch (error) {
      // Where nothing may be removed, verify names it and the next erasure takes it.
      if (isNew) await this.objects.remove(name, signal).catch(() => undefined);
      throw error;
    }
    return isNew;
  }

  /** See {@link Archive.putLevels}. */
  protected placeLevels(recording: Recording, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
    return this.objects.put(levelsName(recording), bytes, signal);
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

  shelves(signal: AbortSignal): readonly AsyncIterable<Shelf>[] {
    const read = (name: string): Promise<string | undefined> => this.objects.get(name, signal);
    return this.ranges.map((range) => {
      const erased = this.objects.children({ folder: ERASED, after: range.from }, signal);
      return shelvesOf({ files: this.filesIn(range, signal), erased, read });
    });
  }

  async shelfOf(recording: Recording, signal: AbortSignal): Promise<Shelf | undefined> {
    const read = (name: string): Promise<string | undefined> => this.objects.get(name, signal);
    const erased = this.#marksOf(recording, signal);
    const files = this.filesBelow(`${RECORDINGS}${pathOf(recording)}/`, signal);
    for await (const shelf of shelvesOf({ files, erased, read })) return shelf;
    return undefined;
  }

  daysListed(signal: AbortSignal): AsyncIterable<string> {
    return this.#daysIn(DAYS, signal);
  }

  daysProven(signal: AbortSignal): AsyncIterable<string> {
    return this.#daysIn('proofs/', signal);
  }

  async *#daysIn(folder: string, signal: AbortSignal): AsyncGenerator<string> {
    for await (const name of this.objects.children({ folder }, signal))
      if (isDay(name.replace(/\/$/, ''))) yield name.replace(/\/$/, '');
  }

  manifestText(recording: Recording, signal: AbortSignal): Promise<string | undefined> {
    return this.objects.get(manifestName(recording), signal);
  }

  keysListed(day: string, signal: AbortSignal): AsyncIterable<string> {
    return this.objects.children({ folder: `${DAYS}${day}/` }, signal);
  }

  /** What is marked under erased/ about it, by its name there, in order. */
  async *#marksOf(recording: Recording, signal: AbortSignal): AsyncGenerator<string> {
    for (const name of erasedNames(recording).toSorted(compareTexts))
      if ((await this.objects.get(name, signal)) !== undefined) yield name.slice(ERASED.length);
  }

  /** What was erased is told apart from what never was. */
  async find(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    const manifest = await this.#lookUp(recording, signal);
    if (manifest === undefined) await this.requireNotErased(recording, signal);
    return manifest;
  }

  async findUnerased(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    const [manifest] = await Promise.all([this.#lookUp(recording, signal), this.requireNotErased(recording, signal)]);
    return manifest;
  }

  /** Under any spelling of its ids, whatever is marked. */
  async #lookUp(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    for (const spelling of this.spellingsOf(recording)) {
      const manifest = await this.findAs(spelling, signal);
      if (manifest !== undefined) return manifest;
    }
    return undefined;
  }

  /** undefined where nothing lies under this very spelling. @throws Failure `conflict` where what lies there is not what its manifest says */
  protected abstract findAs(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined>;

  /** The names that a recording may lie under, its own first. */
  protected spellingsOf(recording: Recording): readonly Recording[] {
    return spellingsOf(recording);
  }

  /** @throws Failure `erased` */
  protected requireNotErased(recording: Recording, signal: AbortSignal): Promise<void> {
    return requireNotErased(recording, this.objects, signal);
  }

  #removalPlace(): RemovalPlace {
    const { objects, notes, reasons } = this;
    const [stagedAs, removeMedia] = [this.stagedAs.bind(this), this.removeMedia.bind(this)];
    return { objects, notes, reasons, stagedAs, removeMedia };
  }

  /** See {@link RemovalPlace.stagedAs}. */
  protected abstract stagedAs(recording: Recording): string;

  /** See {@link RemovalPlace.removeMedia}. */
  protected abstract removeMedia(
    recording: Recording,
    isBegun: boolean,
    signal: AbortSignal,
  ): Promise<'removed' | 'kept'>;

  /** Of one spelling; see {@link Archive.flag}. */
  protected abstract flagAs(recording: Recording, held: boolean, signal: AbortSignal): Promise<boolean>;
  /** Parts of recordings/ that are worth walking side by side. */
  protected abstract readonly ranges: readonly NameRange[];

  /** Everything under recordings/ of conversations in that range, in the order of names. */
  protected abstract filesIn(range: NameRange, signal: AbortSignal): AsyncIterable<FoundFile>;

  /** Everything whose name begins with `prefix`, in order. */
  protected abstract filesBelow(prefix: string, signal: AbortSignal): AsyncIterable<FoundFile>;

  /** How many were removed. */
  protected abstract sweepStaging(olderThanMs: number, signal: AbortSignal): Promise<number>;
}
