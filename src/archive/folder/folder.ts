/** A local folder → an archive: one file system, renames that never replace, fsync before anything is said to be done. */
import { randomBytes } from 'node:crypto';
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { Failure, systemCode } from '../../failure.ts';
import { pathOf, type Recording } from '../../recording.ts';
import type { Archive, ByteRange, Deposit, Link, LinkTerms, LinkVerifier, VerifiedLink } from '../archive.ts';
import { clipRange } from '../byte-range.ts';
import { requireNotErased } from '../erased.ts';
import { recordingOf, type Manifest } from '../manifest.ts';
import { besideName, heldName, manifestName, RECORDINGS, stagingName, webmName } from '../names.ts';
import { ObjectArchive } from '../object-archive.ts';
import { isOf, parseManifest } from '../records.ts';
import { WHOLE_RANGE, type FoundFile, type NameRange } from '../shelf.ts';
import { FolderDeposit, stagedPrefix } from './deposit.ts';
import { ifThere, onFolder } from './failure.ts';
import { type FileFacts, FolderFiles } from './files.ts';
import { keepLinkKey } from './link-key.ts';
import { signPath, verifyPath } from './link.ts';
import { FolderObjects } from './objects.ts';
import { haveFolders, requireOneFileSystem, tryRenaming, tryWriting } from './probe.ts';

export interface FolderArchiveOptions {
  readonly path: string;
  /**
   * The first signs links, all verify them; where there is none, link.key in the folder is made and used. Asked for at each
   * use: they may come from a file that changes.
   */
  readonly linkKeys: readonly string[];
  /** What none of them outlives; without bound unless told. */
  readonly linkLifetimeS?: number;
  /** What links start with, without a slash at its end. */
  readonly publicUrl: string;
  /** Clusters held in memory before they go to a staging file; 8 MiB unless told. */
  readonly holdBackBytes?: number;
  /** Told once where the file system cannot do what would be better. */
  readonly onNotice?: (message: string) => void;
}

const HOLD_BACK_BYTES = 8 * 1024 * 1024;
/** Younger names may have been made by a process that died before its fsync. */
const SETTLED_MS = 60_000;
const UNSYNCED =
  'The file system of the archive folder (ARCHIVE_URL) cannot make new names durable (fsync of a folder): a power cut may take back the last seconds.';

export function openFolderArchive(options: FolderArchiveOptions): FolderArchive {
  return new FolderArchive(options);
}

/** The archive of the embedded mode. Any number of processes may work on one folder. */
export class FolderArchive extends ObjectArchive implements Archive, LinkVerifier {
  readonly #files: FolderFiles;
  readonly #options: FolderArchiveOptions;
  readonly #live = new Set<string>();
  #ownLinkKey: string | undefined;
  /** What was tried once needs no trying each time it is asked for. */
  #canRename = false;

  constructor(options: FolderArchiveOptions) {
    const files = new FolderFiles(resolve(options.path), () => options.onNotice?.(UNSYNCED));
    super(new FolderObjects(files));
    this.#files = files;
    this.#options = options;
  }

  protected findAs(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const text = await this.#files.readText(manifestName(recording));
      if (text === undefined) return undefined;
      const manifest = parseManifest(text);
      const webm = (await this.#files.facts(webmName(recording))) ?? (await this.#lookAgain(recording, signal));
      if (webm?.sizeBytes !== manifest.webm.sizeBytes || !isOf(manifest, recording)) throw fileNotAsStated();
      await this.#settle(recording);
      return manifest;
    });
  }

  /** Its folder was taken away behind the manifest: by an erasure, or for a moment, where a hold was faster. */
  async #lookAgain(recording: Recording, signal: AbortSignal): Promise<FileFacts | undefined> {
    await requireNotErased(recording, this.objects, signal);
    return this.#files.facts(webmName(recording));
  }

  begin(recording: Recording, signal: AbortSignal): Promise<Deposit> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const needs = {
        files: this.#files,
        objects: this.objects,
        reasons: this.reasons,
        holdBackBytes: this.#options.holdBackBytes ?? HOLD_BACK_BYTES,
        live: this.#live,
        find: this.find.bind(this),
      };
      return new FolderDeposit(recording, needs, signal);
    });
  }

  read(manifest: Manifest, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const { start, end } = clipRange(range, manifest.webm.sizeBytes);
      const stream = await this.#files.stream(webmName(recordingOf(manifest)), { start, end });
      if (stream === undefined) throw notArchived();
      return readable(stream, signal);
    });
  }

  async link(manifest: Manifest, { lifetimeS, who, requestId }: LinkTerms, signal: AbortSignal): Promise<Link> {
    signal.throwIfAborted();
    const expires = Math.floor(Date.now() / 1000) + lifetimeS;
    const givenTo = who === undefined ? undefined : { who, requestId };
    const path = signPath({ recording: recordingOf(manifest), expires, givenTo }, this.#keys());
    return {
      url: `${this.#options.publicUrl}${path}`,
      expiresAt: new Date(expires * 1000).toISOString(),
    };
  }

  /** The recording that `path` (`/media/…`, as the request names it) and `query` give access to. @throws Failure `forbidden` */
  verifyLink(path: string, query: URLSearchParams): VerifiedLink {
    return verifyPath(path, query, { keys: this.#keys(), lifetimeS: this.#options.linkLifetimeS ?? Infinity });
  }

  check(signal: AbortSignal): Promise<void> {
    return onFolder(async () => {
      signal.throwIfAborted();
      await haveFolders(this.#files);
      await requireOneFileSystem(this.#files);
      await tryWriting(this.#files);
      if (!this.#canRename) await tryRenaming(this.#files);
      this.#canRename = true;
    });
  }

  async close(): Promise<void> {
    // Every deposit and stream closes its own files; nothing is kept open between them.
  }

  /** Whoever removes a recording takes its folder away first: a mark that is still there afterwards came in time. */
  protected flagAs(recording: Recording, held: boolean, signal: AbortSignal): Promise<boolean> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const name = heldName(recording);
      if (held) await this.#files.haveInside(name);
      else await this.#files.remove(name);
      return this.#files.isThere(held ? name : dirname(name));
    });
  }

  original(manifest: Manifest, name: string, signal: AbortSignal): Promise<Readable> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const stream = await this.#files.stream(besideName(recordingOf(manifest), name));
      if (stream === undefined) throw notArchived();
      return readable(stream, signal);
    });
  }

  /** One disk is read as fast by one as by many. */
  protected readonly ranges = [WHOLE_RANGE];

  protected filesIn(_whole: NameRange, signal: AbortSignal): AsyncIterable<FoundFile> {
    return this.filesBelow(RECORDINGS, signal);
  }

  protected async *filesBelow(prefix: string, signal: AbortSignal): AsyncGenerator<FoundFile> {
    for await (const { name, sizeBytes, writtenAt } of this.objects.list(prefix, signal))
      yield { name, sizeBytes, writtenAt, crc32c: undefined, isHeld: undefined, carried: undefined };
  }

  protected stagedAs(recording: Recording): string {
    return stagingName(stagedPrefix(recording));
  }

  /** One rename takes all of it away at once; a hold that was faster takes it back. */
  protected removeMedia(recording: Recording, _isBegun: boolean, signal: AbortSignal): Promise<'removed' | 'kept'> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const folder = `${RECORDINGS}${pathOf(recording)}`;
      const away = `${this.stagedAs(recording)}erased-${randomBytes(8).toString('hex')}`;
      await this.#files.haveFolder('staging');
      if (await this.#files.isThere(heldName(recording))) return 'kept';
      const isAway = await ifThere(rename(this.#files.path(folder), this.#files.path(away)).then(() => true));
      if (isAway === true && (await this.#files.isThere(`${away}/held`))) {
        await rename(this.#files.path(away), this.#files.path(folder));
        return 'kept';
      }
      if (isAway === true) await this.#files.syncWithout(dirname(folder));
      await this.#discardAll(this.stagedAs(recording));
      return 'removed';
    });
  }

  /** What is under way of a recording, and what an erasure that was killed had taken away. */
  async #discardAll(prefix: string): Promise<void> {
    const staging = this.#files.path('staging');
    const start = prefix.slice(prefix.lastIndexOf('/') + 1);
    for (const name of (await ifThere(readdir(staging))) ?? [])
      if (name.startsWith(start)) await discardStaged(join(staging, name));
    await this.#files.sync('staging');
  }

  protected sweepStaging(olderThanMs: number, signal: AbortSignal): Promise<number> {
    return onFolder(async () => {
      const staging = this.#files.path('staging');
      let removed = 0;
      for (const name of (await ifThere(readdir(staging))) ?? []) {
        signal.throwIfAborted();
        const age = Date.now() - ((await newestChange(join(staging, name))) ?? Infinity);
        if (age >= olderThanMs && !this.#live.has(name) && (await discardStaged(join(staging, name)))) removed += 1;
      }
      return removed;
    });
  }

  /** Work is acknowledged on what `find` says: a rename seen before its fsync must be made durable first. */
  async #settle(recording: Recording): Promise<void> {
    const folder = `${RECORDINGS}${pathOf(recording)}`;
    const there = await ifThere(lstat(this.#files.path(folder)));
    if (there === undefined || Date.now() - there.ctimeMs > SETTLED_MS) return;
    await this.#files.sync(dirname(folder));
    await this.#files.sync(RECORDINGS);
  }

  #keys(): readonly string[] {
    const { linkKeys } = this.#options;
    if (linkKeys.length > 0) return linkKeys;
    this.#ownLinkKey ??= keepLinkKey(this.#files.root);
    return [this.#ownLinkKey];
  }
}

/** When anything in a staging entry was last written, in ms since 1970; undefined where it is gone. */
async function newestChange(path: string): Promise<number | undefined> {
  const own = await ifThere(lstat(path));
  if (own === undefined) return undefined;
  const inside = own.isDirectory() ? ((await ifThere(readdir(path))) ?? []) : [];
  const times = await Promise.all(inside.map((name) => ifThere(lstat(join(path, name)))));
  return Math.floor(Math.max(own.mtimeMs, ...times.map((entry) => entry?.mtimeMs ?? 0)));
}

/**
 * Takes an entry away in one step before it is removed bit by bit: a deposit of another process that was only slow
 * then finds nothing to rename into place, never half of it. Its new name still begins with the key of its recording, by which an
 * erasure finds what a process that was killed here has left. false where it was gone already.
 */
async function discardStaged(path: string): Promise<boolean> {
  const name = basename(path);
  const away = join(
    dirname(path),
    `${name.slice(0, name.lastIndexOf('.') + 1)}swept-${randomBytes(8).toString('hex')}`,
  );
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

function fileNotAsStated(): Failure {
  return new Failure(
    'conflict',
    'What lies in the archive folder (ARCHIVE_URL) is not what its manifest says: restore recording.webm from a copy, or move the folder out of recordings/ and replay the recording.',
  );
}

/** Whoever reads hears of an error by reading: one that comes before there is a reader ends no process. */
function readable(stream: Readable, signal: AbortSignal): Readable {
  return addAbortSignal(
    signal,
    stream.on('error', () => undefined),
  );
}
