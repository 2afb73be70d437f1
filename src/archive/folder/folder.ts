/** Turns a local folder into an archive: one file system, renames that never replace, fsync before anything is said to be done. */
import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { syncFolder } from '../../durable.ts';
import { Failure, systemCode } from '../../failure.ts';
import { pathOf, type Recording } from '../../recording.ts';
import type { Archive, ByteRange, Deposit, Link, LinkVerifier, ListQuery, Page } from '../archive.ts';
import { ifThere, makeFolder, onFolder, sameFileSystem, writeNewFile } from './durable.ts';
import { FolderDeposit } from './deposit.ts';
import { entryPath } from './entry.ts';
import { listFolder } from './listing.ts';
import { keepLinkKey, signPath, verifyPath } from './link.ts';
import { FolderNotes } from './notes.ts';
import { clipRange } from '../byte-range.ts';
import { recordingOf, type FailureRecord, type Manifest, type WaitingRecord } from '../manifest.ts';
import { removeOldNoRecordings } from '../no-recordings.ts';
import { subjectKey, type ReasonKind, type Subject } from '../names.ts';
import { isOf, parseFailureRecord, parseManifest, parseWaitingRecord } from '../records.ts';

export interface FolderArchiveOptions {
  readonly path: string;
  /** The first signs links, all verify them; where there is none, link.key beside the folder is made and used. */
  readonly linkKeys: readonly string[];
  /** What links start with, without a slash at its end. */
  readonly publicUrl: string;
  /** Clusters held in memory before they go to a staging file; 8 MiB unless told. */
  readonly holdBackBytes?: number;
}

/** Younger names may have been made by a process that died before its fsync. */
const SETTLED_MS = 60_000;

export function openFolderArchive(options: FolderArchiveOptions): FolderArchive {
  return new FolderArchive(options);
}

/** The archive of the embedded mode. Any number of processes may work on one folder. */
export class FolderArchive implements Archive, LinkVerifier {
  readonly #root: string;
  readonly #options: FolderArchiveOptions;
  readonly notes: FolderNotes;
  readonly #live = new Set<string>();
  #linkKeys: readonly string[];

  constructor(options: FolderArchiveOptions) {
    this.#root = resolve(options.path);
    this.notes = new FolderNotes(this.#root);
    this.#options = options;
    this.#linkKeys = options.linkKeys;
  }

  /** @throws Failure `conflict` where what lies there is not what its manifest says */
  find(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const folder = this.#folderOf(recording);
      const text = await ifThere(readFile(join(folder, 'manifest.json'), 'utf8'));
      if (text === undefined) return undefined;
      const manifest = parseManifest(text);
      const webm = await ifThere(stat(join(folder, 'recording.webm')));
      if (webm?.size !== manifest.webm.sizeBytes || !isOf(manifest, recording)) throw notAsStated();
      await this.#settle(folder);
      return manifest;
    });
  }

  begin(recording: Recording, signal: AbortSignal): Promise<Deposit> {
    return onFolder(async () => {
      signal.throwIfAborted();
      for (const name of ['recordings', 'failures', 'waiting', 'staging']) await this.#have(name);
      const holdBackBytes = this.#options.holdBackBytes ?? 8 * 1024 * 1024;
      const find = this.find.bind(this);
      return new FolderDeposit(recording, { root: this.#root, holdBackBytes, live: this.#live, find }, signal);
    });
  }

  read(manifest: Manifest, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const { start, end } = clipRange(range, manifest.webm.sizeBytes);
      const file = await ifThere(open(join(this.#folderOf(recordingOf(manifest)), 'recording.webm')));
      if (file === undefined) throw notArchived();
      return addAbortSignal(signal, file.createReadStream({ start, end }));
    });
  }

  async link(manifest: Manifest, lifetimeS: number, signal: AbortSignal): Promise<Link> {
    signal.throwIfAborted();
    const expires = Math.floor(Date.now() / 1000) + lifetimeS;
    return {
      url: `${this.#options.publicUrl}${signPath(recordingOf(manifest), expires, this.#keys())}`,
      expiresAt: new Date(expires * 1000).toISOString(),
    };
  }

  /** The recording that `path` (`/media/…`, as the request names it) and `query` give access to. @throws Failure `forbidden` */
  verifyLink(path: string, query: URLSearchParams): Recording {
    return verifyPath(path, query, this.#keys());
  }

  list(query: ListQuery, signal: AbortSignal): Promise<Page> {
    return onFolder(() => listFolder(this.#root, query, signal));
  }

  async recordFailure(subject: Subject, record: FailureRecord, signal: AbortSignal): Promise<void> {
    await this.#replace('failures', subject, { record, signal });
    await this.removeWaiting(subject, signal);
  }

  removeFailure(subject: Subject, signal: AbortSignal): Promise<void> {
    return this.#remove('failures', subject, signal);
  }

  failureOf(subject: Subject, signal: AbortSignal): Promise<FailureRecord | undefined> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const text = await ifThere(readFile(this.#recordPath('failures', subject), 'utf8'));
      return text === undefined ? undefined : parseFailureRecord(text);
    });
  }

  recordWaiting(subject: Subject, record: WaitingRecord, signal: AbortSignal): Promise<void> {
    return this.#replace('waiting', subject, { record, signal });
  }

  removeWaiting(subject: Subject, signal: AbortSignal): Promise<void> {
    return this.#remove('waiting', subject, signal);
  }

  waitingOf(subject: Subject, signal: AbortSignal): Promise<WaitingRecord | undefined> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const text = await ifThere(readFile(this.#recordPath('waiting', subject), 'utf8'));
      return text === undefined ? undefined : parseWaitingRecord(text);
    });
  }

  async sweep(olderThanMs: number, signal: AbortSignal): Promise<number> {
    return (await this.#sweepStaging(olderThanMs, signal)) + (await removeOldNoRecordings(this, signal));
  }

  #sweepStaging(olderThanMs: number, signal: AbortSignal): Promise<number> {
    return onFolder(async () => {
      const staging = join(this.#root, 'staging');
      let removed = 0;
      for (const name of (await ifThere(readdir(staging))) ?? []) {
        signal.throwIfAborted();
        const age = Date.now() - ((await newestChange(join(staging, name))) ?? Infinity);
        if (age >= olderThanMs && !this.#live.has(name) && (await discard(join(staging, name)))) removed += 1;
      }
      return removed;
    });
  }

  check(signal: AbortSignal): Promise<void> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const folders = ['recordings', 'failures', 'waiting', 'staging'];
      for (const name of folders) await this.#have(name);
      await sameFileSystem(this.#root, folders);
      const probe = join(this.#root, 'staging', `probe.${randomBytes(8).toString('hex')}`);
      try {
        await writeNewFile(probe, 'probe\n');
        if ((await readFile(probe, 'utf8')) !== 'probe\n') throw notAsStated();
      } finally {
        await rm(probe, { force: true });
      }
    });
  }

  async close(): Promise<void> {
    // Every deposit and stream closes its own files; nothing is kept open between them.
  }

  #folderOf(recording: Recording): string {
    return join(this.#root, 'recordings', pathOf(recording));
  }

  #recordPath(folder: ReasonKind, subject: Subject): string {
    return entryPath(join(this.#root, folder), subjectKey(subject), '.json');
  }

  #replace(
    folder: ReasonKind,
    subject: Subject,
    { record, signal }: { readonly record: FailureRecord | WaitingRecord; readonly signal: AbortSignal },
  ): Promise<void> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const path = this.#recordPath(folder, subject);
      for (const name of [relative(this.#root, dirname(path)), 'staging']) await this.#have(name);
      const staged = join(this.#root, 'staging', `${folder}.${randomBytes(8).toString('hex')}`);
      try {
        await writeNewFile(staged, `${JSON.stringify(record, null, 2)}\n`);
        await rename(staged, path);
      } catch (error) {
        await rm(staged, { force: true }).catch(() => undefined);
        throw error;
      }
      await syncFolder(dirname(path));
    });
  }

  #remove(folder: ReasonKind, subject: Subject, signal: AbortSignal): Promise<void> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const path = this.#recordPath(folder, subject);
      if ((await ifThere(stat(path))) === undefined) return;
      await rm(path, { force: true });
      await syncFolder(dirname(path));
    });
  }

  async #have(name: string): Promise<void> {
    const path = join(this.#root, name);
    if ((await ifThere(stat(path))) === undefined) await makeFolder(path);
  }

  /** Work is acknowledged on what `find` says: a rename seen before its fsync must be made durable first. */
  async #settle(folder: string): Promise<void> {
    if (Date.now() - (await stat(folder)).ctimeMs > SETTLED_MS) return;
    await syncFolder(dirname(folder));
    await syncFolder(join(this.#root, 'recordings'));
  }

  #keys(): readonly string[] {
    if (this.#linkKeys.length === 0) this.#linkKeys = [keepLinkKey(join(dirname(this.#root), 'link.key'))];
    return this.#linkKeys;
  }
}

/** When anything in a staging entry was last written, in ms since 1970; undefined where it is gone. */
async function newestChange(path: string): Promise<number | undefined> {
  const own = await ifThere(stat(path));
  if (own === undefined) return undefined;
  const inside = own.isDirectory() ? ((await ifThere(readdir(path))) ?? []) : [];
  const times = await Promise.all(inside.map((name) => ifThere(stat(join(path, name)))));
  return Math.max(own.mtimeMs, ...times.map((entry) => entry?.mtimeMs ?? 0));
}

/**
 * Takes an entry away in one step before it is removed bit by bit: a deposit of another process that was only slow
 * then finds nothing to rename into place, never half of it. false where it was gone already.
 */
async function discard(path: string): Promise<boolean> {
  const away = join(dirname(path), `swept.${randomBytes(8).toString('hex')}`);
  try {
    await rename(path, away);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
  await rm(away, { recursive: true, force: true });
  return true;
}

function notArchived(): Failure {
  return new Failure('not-found', 'This recording is not in the archive: see /recordings/C/R for why.');
}

function notAsStated(): Failure {
  return new Failure(
    'conflict',
    'What lies in the archive folder (ARCHIVE_URL) is not what its manifest says: restore recording.webm from a copy, or move the folder out of recordings/ and replay the recording.',
  );
}
