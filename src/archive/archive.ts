/** The contract every archive keeps (test/archive/suite.ts): layout as in README "What lies in the archive". */
import type { Readable } from 'node:stream';
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import type { FailureRecord, Manifest, WaitingRecord } from './manifest.ts';
import type { Notes } from './notes.ts';
import type { Subject } from './names.ts';
import type { Shelf } from './shelf.ts';
import type { Erasure, Remains, Removable } from './remains.ts';

/** Size and checksums of what was stored, counted while it was written. */
export interface Stored {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly crc32c: string;
}

/**
 * Bytes go in one after the other; `write` resolves when more may come (back-pressure). From then on `chunk` is the caller's
 * again: what has to be kept longer was copied.
 */
export interface Sink {
  write(chunk: Buffer): Promise<void>;
}

export interface OriginalSink extends Sink {
  /** Name the object will have once committed: `original[.N].{ext}`. */
  readonly name: string;
}

/**
 * One recording being written. Nothing under recordings/ is visible before `commit`, and after it everything is.
 * Disposing without commit leaves nothing behind but, at worst, staging objects that the sweep removes.
 */
export interface Deposit extends AsyncDisposable {
  /** The WebM's Clusters, in order, without its head: held back in memory up to a bound, beyond it in staging/. */
  readonly clusters: Sink;
  /** Opens a bit-exact copy of source file `index` (of `count`); `extension` without dot. */
  original(index: number, count: number, extension: string, contentType: string): Promise<OriginalSink>;
  /**
   * Laid beside the WebM by the commit, in front of the manifest: `levels.bin`. What goes wrong with it costs only itself; then it
   * is not there, and `onLost` is told why.
   */
  keepLevels(bytes: Uint8Array, onLost: (reason: unknown) => void): void;
  /**
   * Puts `head` (EBML header, Segment, SeekHead, Info, Tracks, Cues) in front of the clusters, verifies what was stored,
   * makes the object visible in one atomic step, then the day entry, then the manifest; removes a failure record.
   * Where another worker was first: compares, and returns the manifest that lies there.
   * @throws Failure `archive-unavailable` | `misconfigured` | `conflict` | `erased`; never leaves a partial object.
   */
  commit(
    head: Buffer,
    contentType: 'audio/webm' | 'video/webm',
    describe: (stored: Stored) => Manifest,
  ): Promise<Manifest>;
}

/** What is asked of a deposit after its commit. */
export function committedOnce(): Failure {
  return new Failure('internal', 'A deposit can be committed only once.');
}

/** What is asked of a deposit that was let go. */
export function abandoned(): Failure {
  return new Failure('internal', 'The deposit was abandoned before this.');
}

export interface ByteRange {
  /** First byte. */
  readonly start: number;
  /** Last byte, inclusive. */
  readonly end: number;
}

export interface Link {
  readonly url: string;
  /** ISO 8601, UTC. */
  readonly expiresAt: string;
}

export interface ListQuery {
  /** UTC days, `yyyy-mm-dd`, both inclusive. */
  readonly from?: string;
  readonly to?: string;
  readonly conversationId?: string;
  readonly status?: Status;
  /** Opaque; from the previous page. */
  readonly cursor?: string;
  readonly limit: number;
}

export const STATUSES = ['archived', 'waiting', 'failed', 'no-media', 'no-recordings'] as const;

export type Status = (typeof STATUSES)[number];

export type Entry =
  | { readonly status: 'archived'; readonly recording: Recording; readonly manifest: Manifest }
  | {
      readonly status: FailureRecord['status'];
      readonly recording: Subject;
      readonly failure: FailureRecord;
    }
  | { readonly status: 'waiting'; readonly recording: Subject; readonly waiting: WaitingRecord };

export interface DatedRecording {
  readonly recording: Recording;
  /** UTC, `yyyy-mm-dd`. */
  readonly day: string;
}

export interface Page {
  readonly entries: readonly Entry[];
  readonly cursor: string | undefined;
}

/** What a link is signed for. */
export interface LinkTerms {
  /** Seconds, at least. */
  readonly lifetimeS: number;
  /** Whom it was given to, and in which request: signed with it, so that whoever puts its use on record names them. */
  readonly who?: string;
  readonly requestId?: string;
}

/** As the audit names them. */
export interface LinkHolder {
  readonly who: string;
  /** Of the record that it was given out. */
  readonly requestId: string | undefined;
}

export interface VerifiedLink {
  readonly recording: Recording;
  /** undefined in links of earlier versions. */
  readonly givenTo: LinkHolder | undefined;
}

/** What an archive that serves its own links can say of one. */
export interface LinkVerifier {
  /** `path` is `/media/{C|_}/{R}`. @throws Failure `forbidden` where the signature is wrong or the link has expired. */
  verifyLink(path: string, query: URLSearchParams): VerifiedLink;
}

export interface Archive {
  /** The small texts beside recordings. */
  readonly notes: Notes;
  /**
   * The manifest, only where the recording is complete. Rebuilds one that a crash lost from the object itself.
   * @throws Failure `erased` where it is gone on purpose; `conflict` where what lies there is not what its manifest says
   */
  find(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined>;
  /**
   * As `find`, for whoever gives it out: what is marked as erased is erased, whatever of it still lies there. Asks beside it for the
   * marks, which archiving, that gives out nothing, does without.
   */
  findUnerased(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined>;
  begin(recording: Recording, signal: AbortSignal): Promise<Deposit>;
  /** Of a conversation, every recording of which anything lies under recordings/, whole or not; as it is spelled there. */
  recordingsOf(conversationId: string, signal: AbortSignal): AsyncIterable<Recording>;
  /**
   * Forbids the removal of what lies there of a recording, or allows it again: a temporary hold on each of its objects in a
   * bucket, a file named `held` beside them in a folder. False where nothing lies there: then nothing is held.
   */
  flag(recording: Recording, held: boolean, signal: AbortSignal): Promise<boolean>;
  /** Until when a lock, or a retention policy of the store, keeps the WebM that `find` found; ISO 8601, UTC; undefined where none does. Asks once. */
  retainedUntil(manifest: Manifest, signal: AbortSignal): Promise<string | undefined>;
  /** What of a recording or a conversation lies there; `days` as for `erase`. Of the index nothing is counted. */
  remains(removable: Removable, signal: AbortSignal): Promise<Remains>;
  /**
   * Removes it for good, with every old version, whatever speaks of it included: only behind its mark under erased/, or somebody
   * makes it again. `days` are those that `remains` told of. Its lines of the index are taken out elsewhere.
   * @throws Failure `misconfigured` where the account may not delete; `conflict` where something stays: then run it again
   */
  erase(removable: Removable, signal: AbortSignal): Promise<Erasure>;
  /** Old versions of the index of these days are removed for good: lines that were taken out of it are still in them. */
  forgetOldIndex(days: Iterable<string>, signal: AbortSignal): Promise<void>;
  /** Every recording that is listed on a day `before` this one, or on any; the oldest first. It may be gone since. */
  dated(before: string | undefined, signal: AbortSignal): AsyncIterable<DatedRecording>;
  /** The bytes of the WebM that `find` found, whole or a range; nothing is asked twice. @throws Failure `not-found`, also midway, `range-not-satisfiable` */
  read(manifest: Manifest, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable>;
  /** The bytes of a file that the manifest names beside the WebM, whole. @throws Failure `not-found`, also midway */
  original(manifest: Manifest, name: string, signal: AbortSignal): Promise<Readable>;
  /** `levels.bin` of what `find` found (src/levels.ts); undefined where there is none. */
  levels(manifest: Manifest, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Creates it; false where there is one already, which stays as it is. @throws Failure `erased` where its recording is gone meanwhile */
  putLevels(manifest: Manifest, bytes: Uint8Array, signal: AbortSignal): Promise<boolean>;
  /** A signed, expiring URL that plays what `find` found in a browser: a bearer secret, never logged. */
  link(manifest: Manifest, terms: LinkTerms, signal: AbortSignal): Promise<Link>;
  /**
   * Newest day first; failures by the day they were recorded on, what waits by the day it began to. `no-recordings` is shown
   * only where the query asks for that status. Of what is archived neither a failure nor a wait is shown.
   */
  list(query: ListQuery, signal: AbortSignal): Promise<Page>;
  /** What lies under recordings/, in parts that may be walked side by side, each in the order of names; no media is read. */
  shelves(signal: AbortSignal): readonly AsyncIterable<Shelf>[];
  /** What lies under recordings/ of one recording; undefined where nothing does. */
  shelfOf(recording: Recording, signal: AbortSignal): Promise<Shelf | undefined>;
  /** The days under days/, in order. */
  daysListed(signal: AbortSignal): AsyncIterable<string>;
  /** The days under proofs/, in order. */
  daysProven(signal: AbortSignal): AsyncIterable<string>;
  /** What manifest.json says, byte for byte; undefined where there is none. Nothing is rebuilt. */
  manifestText(recording: Recording, signal: AbortSignal): Promise<string | undefined>;
  /** The keys that a day lists, in order: whether their recordings are there, each has to be asked. */
  keysListed(day: string, signal: AbortSignal): AsyncIterable<string>;
  /**
   * Overwrites an earlier record of the same recording (or conversation, where `recordingId` is undefined); what was given
   * up waits no more.
   */
  recordFailure(subject: Subject, record: FailureRecord, signal: AbortSignal): Promise<void>;
  /** Of a recording the commit removes it; of a conversation, whoever found out its recordings after all. Gone is as good. */
  removeFailure(subject: Subject, signal: AbortSignal): Promise<void>;
  failureOf(recording: Subject, signal: AbortSignal): Promise<FailureRecord | undefined>;
  /** Overwrites an earlier record. Where a retention policy of the bucket forbids that, the earlier one stays. */
  recordWaiting(subject: Subject, record: WaitingRecord, signal: AbortSignal): Promise<void>;
  /** Gone is as good. The commit of a recording and the record of its failure do it by themselves. */
  removeWaiting(subject: Subject, signal: AbortSignal): Promise<void>;
  waitingOf(subject: Subject, signal: AbortSignal): Promise<WaitingRecord | undefined>;
  /** Removes staging objects older than `olderThanMs` and `no-recordings` older than 30 days; how many. */
  sweep(olderThanMs: number, signal: AbortSignal): Promise<number>;
  /** Writes, reads and removes a probe under staging/. @throws Failure saying which permission or folder to mend. */
  check(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
