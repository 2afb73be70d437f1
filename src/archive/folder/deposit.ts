/** Clusters, originals and a head → one recording of an archive folder: staged and fsynced, then renamed into place whole. */
import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure, systemCode } from '../../failure.ts';
import { keyOf, pathOf, type Recording } from '../../recording.ts';
import { allOver } from '../../waiting.ts';
import { abandoned, committedOnce, type Deposit, type OriginalSink, type Sink, type Stored } from '../archive.ts';
import { combineCrc32c, crc32c, createChecksum, createCrc32c, encodeCrc32c, type Checksum } from '../checksum.ts';
import { requireNotErased } from '../erased.ts';
import { HeldBack, PIECE_BYTES } from '../held-back.ts';
import type { Manifest } from '../manifest.ts';
import { dayName, LEVELS_FILE, RECORDINGS, STAGING, stagingName } from '../names.ts';
import type { Objects } from '../objects.ts';
import type { Reasons } from '../reasons.ts';
import { dayOf, originalName } from '../records.ts';
import { requireProof } from '../verify.ts';
import { folderFailure, ifThere, onFolder } from './failure.ts';
import type { FolderFiles } from './files.ts';
import { haveFolders } from './probe.ts';

/** The key is in a staging name for whoever looks there; what makes it unique follows behind the dot. */
const LONGEST_PREFIX = 200;

/** Written at once. */
const SMALL_BYTES = 256 * 1024;

/** At who was first, before what lies there is taken for a folder without a manifest. */
const LOOKS = 3;

export function stagedPrefix(recording: Recording): string {
  return `${keyOf(recording).slice(0, LONGEST_PREFIX)}.`;
}

export interface FolderDepositNeeds {
  readonly files: FolderFiles;
  readonly objects: Objects;
  readonly reasons: Reasons;
  /** Clusters up to here stay in memory, beyond it all of them are in a staging file. */
  readonly holdBackBytes: number;
  /** Names under staging/ that this process is still writing: the sweep leaves them alone. */
  readonly live: Set<string>;
  /** What lies under recordings/ already. */
  readonly find: (recording: Recording, signal: AbortSignal) => Promise<Manifest | undefined>;
}

interface WrittenFile {
  readonly file: FileHandle;
  readonly checksum: Checksum;
}

interface WrittenWebm {
  readonly file: FileHandle;
  readonly stored: Stored;
}

/** Writes nothing at all until it has to: a held-back WebM touches the disk only in `commit`. */
export class FolderDeposit implements Deposit {
  readonly clusters: Sink = { write: (chunk) => this.#work(() => this.#writeCluster(chunk)) };
  readonly #recording: Recording;
  readonly #needs: FolderDepositNeeds;
  readonly #signal: AbortSignal;
  readonly #name: string;
  readonly #originals = new Map<string, WrittenFile>();
  readonly #crc = createCrc32c();
  readonly #held = new HeldBack();
  #levels: { readonly bytes: Uint8Array; readonly onLost: (reason: unknown) => void } | undefined;
  #sizeBytes = 0;
  #body: FileHandle | undefined;
  #webm: FileHandle | undefined;
  #made: Promise<unknown> | undefined;
  #committing: Promise<Manifest> | undefined;
  /** Why nothing more is taken. */
  #ended: (() => Failure) | undefined;

  constructor(recording: Recording, needs: FolderDepositNeeds, signal: AbortSignal) {
    this.#recording = recording;
    this.#needs = needs;
    this.#signal = signal;
    this.#name = `${stagedPrefix(recording)}${randomBytes(8).toString('hex')}`;
    needs.live.add(this.#name);
  }

  original(index: number, count: number, extension: string, _contentType: string): Promise<OriginalSink> {
    return this.#work(async () => {
      const name = originalName(index, count, extension);
      const file = await this.#open(name);
      const original = { file, checksum: createChecksum() };
      this.#originals.set(name, original);
      return { name, write: (chunk) => this.#work(() => appendChunk(original, chunk)) };
    });
  }

  keepLevels(bytes: Uint8Array, onLost: (reason: unknown) => void): void {
    this.#levels = { bytes, onLost };
  }

  commit(
    head: Buffer,
    contentType: 'audio/webm' | 'video/webm',
    describe: (stored: Stored) => Manifest,
  ): Promise<Manifest> {
    const committing = this.#work(async () => {
      const webm = await this.#writeWebm(head);
      const manifest = requireProof(describe(webm.stored), {
        recording: this.#recording,
        contentType,
        stored: webm.stored,
        originals: this.#originals,
      });
      const { files } = this.#needs;
      const text = `${JSON.stringify(manifest, null, 2)}\n`;
      // Side by side: the file system writes its journal once for all of them.
      await allOver([
        this.#closeWebm(webm),
        ...[...this.#originals.values()].map(closeOriginal),
        this.#writeLevels(),
        files.write(this.#staged('manifest.json'), text),
      ]);
      await files.sync(this.#staged());
      this.#signal.throwIfAborted();
      await requireNotErased(this.#recording, this.#needs.objects, this.#signal);
      const committed = await this.#publish(manifest);
      // In its place: nothing is staged any more.
      if (committed === manifest) this.#made = undefined;
      this.#ended = committedOnce;
      return committed;
    });
    this.#committing ??= committing;
    return committing;
  }

  /**
   * Removes what was staged; what cannot be removed now, the sweep removes later. Waits for a commit that is under way
   * (`return deposit.commit(…)` disposes before it ends): a folder must not lose its files while it is renamed.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#committing?.catch(ignore);
    this.#ended ??= abandoned;
    await this.#made?.catch(ignore);
    for (const file of this.#openFiles()) await file.close().catch(ignore);
    if (this.#made !== undefined) {
      await rm(this.#needs.files.path(this.#staged()), { recursive: true, force: true }).catch(ignore);
    }
    this.#needs.live.delete(this.#name);
  }

  /** The first error ends the deposit: after a write or an fsync that failed nothing of it may become visible. */
  async #work<T>(work: () => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) throw this.#ended();
    this.#signal.throwIfAborted();
    try {
      return await onFolder(work);
    } catch (thrown) {
      const failure = Failure.from(thrown);
      this.#ended ??= () => failure;
      throw thrown;
    }
  }

  async #writeCluster(chunk: Buffer): Promise<void> {
    this.#crc.update(chunk);
    this.#sizeBytes += chunk.length;
    this.#held.add(chunk);
    const bound = this.#body === undefined ? this.#needs.holdBackBytes : PIECE_BYTES;
    if (this.#held.sizeBytes > bound) await this.#spill();
  }

  async #spill(): Promise<void> {
    this.#body ??= await this.#open('clusters');
    for (const piece of this.#held.pieces()) await this.#body.writeFile(piece);
    this.#held.empty();
  }

  /** Counts while it writes; staged clusters are counted as they are read back, and must be what was written. */
  async #writeWebm(head: Buffer): Promise<WrittenWebm> {
    const file = await this.#open('recording.webm');
    this.#webm = file;
    const checksum = createChecksum();
    if (this.#body !== undefined) await this.#spill();
    for (const piece of fewer([head, ...this.#held.pieces()])) await appendChunk({ file, checksum }, piece);
    this.#held.empty();
    if (this.#body !== undefined) await this.#copyBody(this.#body, { file, checksum });
    const stored = checksum.stored();
    const crc32cWritten = encodeCrc32c(combineCrc32c(crc32c(head), this.#crc.value, this.#sizeBytes));
    if (stored.crc32c !== crc32cWritten || stored.sizeBytes !== head.length + this.#sizeBytes)
      throw brokenDisk({ stored, crc32cWritten });
    return { file, stored };
  }

  async #closeWebm({ file, stored }: WrittenWebm): Promise<void> {
    await file.sync();
    const { size } = await file.stat();
    if (size !== stored.sizeBytes) throw brokenDisk({ stored, size });
    await file.close();
  }

  async #copyBody(body: FileHandle, to: WrittenFile): Promise<void> {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; ;) {
      this.#signal.throwIfAborted();
      const { bytesRead } = await body.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) break;
      await appendChunk(to, buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    this.#body = undefined;
    await body.close();
    await rm(this.#needs.files.path(this.#staged('clusters')));
  }

  /** The recording is whole without them. */
  async #writeLevels(): Promise<void> {
    if (this.#levels === undefined) return;
    const { files } = this.#needs;
    const name = this.#staged(LEVELS_FILE);
    try {
      await files.write(name, this.#levels.bytes);
    } catch (error) {
      await rm(files.path(name), { force: true }).catch(ignore);
      this.#levels.onLost(folderFailure(error));
    }
  }

  /** One rename shows everything at once, and never replaces a folder that holds something. */
  async #publish(manifest: Manifest): Promise<Manifest> {
    const { files, reasons } = this.#needs;
    const name = `${RECORDINGS}${pathOf(this.#recording)}`;
    // A day entry without a manifest is ignored, a manifest without one would not be listed: so it comes first.
    const day = dayName(dayOf(manifest), this.#recording);
    await allOver([files.have(day), files.makeFolder(dirname(name))]);
    const there = await this.#place(name, manifest);
    const looks = there === manifest ? [this.#takeBackIfErased(name)] : [];
    await allOver([...looks, files.sync(dirname(name)), files.sync(STAGING)]);
    await reasons.forget(this.#recording);
    return there;
  }

  /**
   * Ours, or that of whoever was first: its day entry was made before it, as ours is. An erasure may take that one away, and a hold
   * bring it back, between the rename and the look.
   */
  async #place(name: string, manifest: Manifest): Promise<Manifest> {
    for (let look = 0; look < LOOKS; look += 1) {
      if (await this.#rename(name)) return manifest;
      const there = await this.#needs.find(this.#recording, this.#signal);
      if (there !== undefined) return there;
    }
    throw new Failure(
      'conflict',
      'A folder without a manifest lies where this recording belongs, which this service never makes: move it out of recordings/ and replay the recording.',
    );
  }

  /**
   * An erasure writes its mark before it looks for what to remove: whoever is later of the two sees the other. Its place may be durable
   * by then: so is that it was left.
   */
  async #takeBackIfErased(name: string): Promise<void> {
    try {
      await requireNotErased(this.#recording, this.#needs.objects, this.#signal);
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.code !== 'erased') throw thrown;
      const { files } = this.#needs;
      await ifThere(rename(files.path(name), files.path(this.#staged())));
      await allOver([ifThere(files.sync(dirname(name))), files.sync(STAGING)]);
      throw thrown;
    }
  }

  /** false where something lies there already: file systems say so in many ways. */
  async #rename(name: string): Promise<boolean> {
    const { files } = this.#needs;
    try {
      await rename(files.path(this.#staged()), files.path(name));
      return true;
    } catch (error) {
      if (await files.isThere(name)) return false;
      throw error;
    }
  }

  async #open(name: string): Promise<FileHandle> {
    const { files } = this.#needs;
    this.#made ??= files.makeStaging(this.#staged()).catch(async (error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
      await haveFolders(files);
      await files.makeStaging(this.#staged());
    });
    await this.#made;
    const file = await files.create(this.#staged(name));
    if (this.#ended === undefined) return file;
    // While it was opened: nobody else would close it.
    await file.close();
    throw this.#ended();
  }

  /** Its folder under staging/, and what lies there. */
  #staged(file?: string): string {
    return stagingName(file === undefined ? this.#name : `${this.#name}/${file}`);
  }

  #openFiles(): readonly FileHandle[] {
    const originals = [...this.#originals.values()].map((original) => original.file);
    return [this.#body, this.#webm, ...originals].filter((file) => file !== undefined);
  }
}

async function appendChunk({ file, checksum }: WrittenFile, chunk: Buffer): Promise<void> {
  checksum.update(chunk);
  await file.writeFile(chunk);
}

/** What is small is joined: to copy it costs less than another write. */
function fewer(pieces: readonly Buffer[]): readonly Buffer[] {
  const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return sizeBytes > SMALL_BYTES ? pieces : [Buffer.concat(pieces, sizeBytes)];
}

async function closeOriginal({ file }: WrittenFile): Promise<void> {
  await file.sync();
  await file.close();
}

function brokenDisk(facts: Readonly<Record<string, unknown>>): Failure {
  return new Failure(
    'archive-unavailable',
    'The disk of the archive folder (ARCHIVE_URL) gave back other bytes than were written: check it (dmesg, smartctl) before trusting it again.',
    { facts },
  );
}

function ignore(): undefined {
  return undefined;
}
