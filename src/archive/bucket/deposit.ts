/** Clusters, originals and a head → one recording of a bucket: small ones by one request, large ones composed. */
import { randomBytes } from 'node:crypto';
import type { LockConfig } from '../../config/config.ts';
import { Failure } from '../../failure.ts';
import { release } from '../../memory.ts';
import { keyOf, type Recording } from '../../recording.ts';
import { abandoned, committedOnce, type Deposit, type OriginalSink, type Sink, type Stored } from '../archive.ts';
import { reasonOf } from '../../waiting.ts';
import { completeRecording, type CommitNeeds, type KeptLevels, type ShownWebm } from './commit.ts';
import { removeAll } from './metadata.ts';
import { lockOf } from './lock.ts';
import { encodeMetadata } from './webm-metadata.ts';
import { isSame, type ObjectFacts, type Sent } from './object.ts';
import { combineCrc32c, crc32c, createChecksum, encodeCrc32c, type Checksum } from '../checksum.ts';
import { download } from './download.ts';
import { HeldBack } from '../held-back.ts';
import { composeObject, insertObject, type NewObject, type Placement } from './insert.ts';
import type { Manifest } from '../manifest.ts';
import { stagingName, webmName } from '../names.ts';
import { originalName } from '../records.ts';
import { ObjectWriter } from './upload.ts';
import { requireProof } from '../verify.ts';

export interface BucketDepositNeeds extends CommitNeeds {
  /** Of the WebM, and so of whatever belongs to it; undefined where nothing is locked. */
  readonly lock: LockConfig | undefined;
  /** Clusters up to here stay in memory, beyond it all of them go to a staging object while they are made. */
  readonly holdBackBytes: number;
  /** Names under staging/ that this process is still writing: the sweep leaves them alone. */
  readonly live: Set<string>;
}

interface OriginalUpload {
  readonly writer: ObjectWriter;
  readonly checksum: Checksum;
}

/** What is known of the WebM before it is made visible: its bytes, and how to put them there in one step. */
interface Prepared {
  readonly stored: Stored;
  place(object: NewObject): Promise<Placement>;
}

export class BucketDeposit implements Deposit {
  readonly clusters: Sink = { write: (chunk) => this.#work(() => this.#writeCluster(chunk)) };
  readonly #recording: Recording;
  readonly #needs: BucketDepositNeeds;
  readonly #signal: AbortSignal;
  /** Its folder under staging/. */
  readonly #name: string;
  readonly #originals = new Map<string, OriginalUpload>();
  readonly #held = new HeldBack();
  #levels: KeptLevels | undefined;
  #body: ObjectWriter | undefined;
  /** Why nothing more is taken. */
  #ended: (() => Failure) | undefined;
  /** From the moment the WebM may have appeared, its staged originals belong to whoever completes it. */
  #shown = false;

  constructor(recording: Recording, needs: BucketDepositNeeds, signal: AbortSignal) {
    this.#recording = recording;
    this.#needs = needs;
    this.#signal = signal;
    this.#name = `${keyOf(recording)}.${randomBytes(8).toString('hex')}`;
    needs.live.add(this.#name);
  }

  original(index: number, count: number, extension: string, contentType: string): Promise<OriginalSink> {
    return this.#work(async () => {
      const name = originalName(index, count, extension);
      const original = { writer: this.#writer(name, contentType), checksum: createChecksum() };
      this.#originals.set(name, original);
      return { name, write: (chunk) => this.#work(() => appendOriginal(original, chunk)) };
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
    return this.#work(async () => {
      const prepared = this.#body === undefined ? this.#prepareHeld(head) : await this.#prepareStaged(head, this.#body);
      const manifest = requireProof(describe(prepared.stored), {
        recording: this.#recording,
        contentType,
        stored: prepared.stored,
        originals: this.#originals,
      });
      const staged = this.#originals.size === 0 ? undefined : this.#name;
      for (const { writer } of this.#originals.values()) await stage(writer);
      this.#signal.throwIfAborted();
      const metadata = encodeMetadata({ manifest, staged });
      const name = webmName(this.#recording);
      // Recordings never change: whoever holds a link may keep what it showed, but only for itself.
      const cacheControl = 'private, max-age=3600';
      const { lock } = this.#needs;
      const retention = lock === undefined ? undefined : lockOf(manifest, lock);
      const webm = { name, contentType, metadata, cacheControl, retention };
      await this.#needs.names.requireNotErased(this.#recording, this.#signal);
      this.#shown = true;
      const { object, ours } = await prepared.place(webm);
      // Of another maker's WebM they are not.
      const committed = await this.#complete({ object, levels: ours ? this.#levels : undefined });
      this.#shown = false;
      this.#ended = committedOnce;
      return committed;
    });
  }

  /** Nobody completes what was erased meanwhile: its originals are nobody's then. */
  async #complete(shown: Omit<ShownWebm, 'recording'>): Promise<Manifest> {
    try {
      return await completeRecording({ recording: this.#recording, ...shown }, this.#needs, this.#signal);
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === 'erased') this.#shown = false;
      throw thrown;
    }
  }

  /** Cancels uploads and removes what was staged. What cannot be removed now, the sweep removes later. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= abandoned;
    const writers = [...this.#originals.values()].map((original) => original.writer);
    if (this.#body !== undefined) writers.push(this.#body);
    const originals = this.#shown ? [] : [...this.#originals.keys()];
    const names = [...originals, ...(this.#body === undefined ? [] : ['clusters', 'head'])];
    const staged = names.map((name) => this.#staging(name));
    // At once, because a shutdown has to be through in seconds.
    const cancelled = writers.map((writer) => writer[Symbol.asyncDispose]());
    await Promise.allSettled([...cancelled, removeAll(staged, this.#needs.client)]);
    this.#needs.live.delete(this.#name);
  }

  /** The first error ends the deposit: after it nothing of it may become visible. */
  async #work<T>(work: () => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) throw this.#ended();
    try {
      this.#signal.throwIfAborted();
      return await work();
    } catch (thrown) {
      const failure = this.#signal.aborted ? reasonOf(this.#signal) : Failure.from(thrown);
      this.#ended ??= () => failure;
      throw failure;
    }
  }

  async #writeCluster(chunk: Buffer): Promise<void> {
    if (this.#body === undefined && this.#held.sizeBytes + chunk.length <= this.#needs.holdBackBytes) {
      this.#held.add(chunk);
      return;
    }
    this.#body ??= this.#writer('clusters', 'application/octet-stream');
    for (const early of this.#held.pieces()) await this.#body.write(early);
    this.#held.empty();
    await this.#body.write(chunk);
  }

  /** One checked insert. */
  #prepareHeld(head: Buffer): Prepared {
    const checksum = createChecksum();
    const parts = [head, ...this.#held.pieces()];
    for (const part of parts) checksum.update(part);
    const { client } = this.#needs;
    return {
      stored: checksum.stored(),
      place: (object) => insertObject({ object, parts }, client, this.#signal),
    };
  }

  /** SHA-256 begins with the head, which is known last: so the clusters are read back, and proven, before they show. */
  async #prepareStaged(head: Buffer, body: ObjectWriter): Promise<Prepared> {
    const { client } = this.#needs;
    const clusters = await stage(body);
    const front = { name: this.#staging('head'), contentType: 'application/octet-stream' };
    const { object } = await insertObject({ object: front, parts: [head] }, client, this.#signal);
    const checksum = createChecksum();
    checksum.update(head);
    for await (const bytes of download(clusters, client, this.#signal)) {
      checksum.update(bytes);
      release(bytes);
    }
    const stored = checksum.stored();
    if (!isSame(expectedOf(head, clusters), stored)) throw otherBytes(clusters, stored);
    const sources = [object, clusters];
    return {
      stored,
      place: (webm) => composeObject({ object: webm, sources, expected: stored }, client, this.#signal),
    };
  }

  #writer(name: string, contentType: string): ObjectWriter {
    return new ObjectWriter({ name: this.#staging(name), contentType }, this.#needs.client, this.#signal);
  }

  #staging(name: string): string {
    return stagingName(`${this.#name}/${name}`);
  }
}

async function appendOriginal({ writer, checksum }: OriginalUpload, chunk: Buffer): Promise<void> {
  checksum.update(chunk);
  await writer.write(chunk);
}

/** Its random name is nobody else's: other bytes under it are damage. */
async function stage(writer: ObjectWriter): Promise<ObjectFacts> {
  const { ours, object } = await writer.finish();
  if (ours) return object;
  throw otherBytes(object, writer.sent);
}

/** What head and clusters must make together, from their own checksums. */
function expectedOf(head: Buffer, clusters: ObjectFacts): Sent {
  const crc = Buffer.from(clusters.crc32c, 'base64').readUInt32BE();
  return {
    sizeBytes: head.length + clusters.sizeBytes,
    crc32c: encodeCrc32c(combineCrc32c(crc32c(head), crc, clusters.sizeBytes)),
  };
}

function otherBytes(object: ObjectFacts, sent: Partial<Stored>): Failure {
  return new Failure('incomplete', 'Cloud Storage gave back other bytes than were sent; the work is done again.', {
    sort: 'surroundings',
    facts: { object, sent },
  });
}
