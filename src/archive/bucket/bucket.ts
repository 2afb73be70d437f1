/** Turns a Cloud Storage bucket into an archive: every object appears whole, checked and once, and nothing is ever replaced. */
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Failure } from '../../failure.ts';
import type { Recording } from '../../recording.ts';
import type { Archive, ByteRange, Deposit, Link, ListQuery, Page } from '../archive.ts';
import { createGoogleAuth, createTokenSource } from './auth.ts';
import { BucketClient, type RetryPolicy } from './client.ts';
import { completeRecording, isOf, removeAll, type BucketParts } from './commit.ts';
import { BucketDeposit } from './deposit.ts';
import { BucketLayout, parseWebmMetadata } from './layout.ts';
import { BucketLibrary } from './library.ts';
import { LinkCache } from './links.ts';
import { listBucket } from './listing.ts';
import { downloadStream, readText } from './download.ts';
import { insertObject } from './insert.ts';
import { recordingOf, type FailureRecord, type Manifest, type WaitingRecord } from '../manifest.ts';
import { removeOldNoRecordings } from '../no-recordings.ts';
import { parseFailureRecord, parseManifest, parseWaitingRecord, type FailureSubject } from '../records.ts';

export interface BucketArchiveOptions {
  readonly bucket: string;
  /** Names begin with it; empty for the whole bucket. */
  readonly prefix: string;
  /** Another server than Google's; requests then carry no token, unless told. */
  readonly apiEndpoint?: string | undefined;
  readonly sendTokens?: boolean | undefined;
  /** Clusters held in memory before they go to a staging object; 8 MiB unless told. */
  readonly holdBackBytes?: number | undefined;
  /** For a deployable that may only read (playback): nothing is completed, `check` writes nothing. */
  readonly readOnly?: boolean | undefined;
  /** Where links are signed without a key; the IAM Credentials API unless told. */
  readonly signingEndpoint?: string | undefined;
  /**
   * `https://host` where the bucket is served under a host of its own (a load balancer with the bucket as its backend), which
   * then has no bucket in its paths; storage.googleapis.com unless told.
   */
  readonly linkHost?: string | undefined;
  readonly retry?: RetryPolicy | undefined;
}

interface KeptRecord {
  readonly record: FailureRecord | WaitingRecord;
  readonly metadata: Readonly<Record<string, string>>;
}

const HOLD_BACK_BYTES = 8 * 1024 * 1024;

export function openBucketArchive(options: BucketArchiveOptions): BucketArchive {
  return new BucketArchive(options);
}

/**
 * Needs roles/storage.objectCreator and objectViewer on the bucket, and objectUser under staging/, failures/ and waiting/;
 * for reading alone objectViewer, and roles/iam.serviceAccountTokenCreator on itself for links.
 */
export class BucketArchive implements Archive {
  readonly #options: BucketArchiveOptions;
  readonly #parts: BucketParts;
  readonly #live = new Set<string>();
  readonly #links: LinkCache;

  constructor(options: BucketArchiveOptions) {
    const { bucket, apiEndpoint, retry } = options;
    const auth = createGoogleAuth();
    const sendTokens = options.sendTokens ?? apiEndpoint === undefined;
    const tokens = sendTokens ? createTokenSource(auth) : undefined;
    this.#options = options;
    this.#parts = {
      client: new BucketClient({ bucket, apiEndpoint, tokens, retry }),
      library: new BucketLibrary({ ...options, auth, tokens }),
      layout: new BucketLayout(options.prefix),
    };
    this.#links = new LinkCache(this.#parts);
  }

  /** @throws Failure `conflict` where what lies there is not what its manifest says */
  async find(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    const { client, library, layout } = this.#parts;
    const [text, object] = await Promise.all([
      readText(layout.manifest(recording), client, signal),
      library.stat(layout.webm(recording), signal),
    ]);
    if (text !== undefined) {
      const manifest = parseManifest(text);
      const { sizeBytes, crc32c } = manifest.webm;
      if (isOf(manifest, recording) && object?.sizeBytes === sizeBytes && object.crc32c === crc32c) return manifest;
      throw damaged();
    }
    // A crash came between the two: what is left to do follows from the WebM. One that is not ours is no recording.
    if (object === undefined || this.#options.readOnly === true || parseWebmMetadata(object) === undefined)
      return undefined;
    return completeRecording({ recording, object }, this.#parts, signal);
  }

  async begin(recording: Recording, signal: AbortSignal): Promise<Deposit> {
    signal.throwIfAborted();
    const holdBackBytes = this.#options.holdBackBytes ?? HOLD_BACK_BYTES;
    return new BucketDeposit(recording, { parts: this.#parts, holdBackBytes, live: this.#live }, signal);
  }

  async read(manifest: Manifest, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable> {
    const asked = range === undefined ? undefined : within(range, manifest.webm.sizeBytes);
    const name = this.#parts.layout.webm(recordingOf(manifest));
    return downloadStream({ name, range: asked }, this.#parts.client, signal);
  }

  /** Lives longer than asked where the recording is longer: see {@link LinkCache}. */
  async link(manifest: Manifest, lifetimeS: number, signal: AbortSignal): Promise<Link> {
    return this.#links.get({ manifest, lifetimeS }, signal);
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page> {
    return listBucket(query, this.#parts, signal);
  }

  async recordFailure(subject: FailureSubject, record: FailureRecord, signal: AbortSignal): Promise<void> {
    const metadata = { failedAt: record.failedAt, status: record.status };
    await this.#replace(this.#parts.layout.record('failures', subject), { record, metadata }, signal);
    await this.removeWaiting(subject, signal);
  }

  /** What a retention policy keeps, stays. */
  async removeFailure(subject: FailureSubject, signal: AbortSignal): Promise<void> {
    await this.#parts.library.remove(this.#parts.layout.record('failures', subject), signal);
  }

  async failureOf(subject: FailureSubject, signal: AbortSignal): Promise<FailureRecord | undefined> {
    const text = await readText(this.#parts.layout.record('failures', subject), this.#parts.client, signal);
    return text === undefined ? undefined : parseFailureRecord(text);
  }

  async recordWaiting(subject: FailureSubject, record: WaitingRecord, signal: AbortSignal): Promise<void> {
    const metadata = { since: record.since, status: 'waiting' };
    await this.#replace(this.#parts.layout.record('waiting', subject), { record, metadata }, signal);
  }

  async removeWaiting(subject: FailureSubject, signal: AbortSignal): Promise<void> {
    await this.#parts.library.remove(this.#parts.layout.record('waiting', subject), signal);
  }

  async waitingOf(subject: FailureSubject, signal: AbortSignal): Promise<WaitingRecord | undefined> {
    const text = await readText(this.#parts.layout.record('waiting', subject), this.#parts.client, signal);
    return text === undefined ? undefined : parseWaitingRecord(text);
  }

  async sweep(olderThanMs: number, signal: AbortSignal): Promise<number> {
    return (await this.#sweepStaging(olderThanMs, signal)) + (await removeOldNoRecordings(this, signal));
  }

  async #sweepStaging(olderThanMs: number, signal: AbortSignal): Promise<number> {
    const { library, layout } = this.#parts;
    const prefix = layout.staging();
    let removed = 0;
    for await (const { objects } of library.list({ prefix }, signal)) {
      for (const { name, createdAt, generation } of objects) {
        const [deposit = ''] = name.slice(prefix.length).split('/');
        const old = Date.now() - Date.parse(createdAt) >= olderThanMs;
        if (old && !this.#live.has(deposit) && (await library.remove(name, signal, generation))) removed += 1;
      }
    }
    return removed;
  }

  /** @throws Failure `misconfigured` naming the role, the bucket or the setting to change */
  async check(signal: AbortSignal): Promise<void> {
    const { client, library, layout } = this.#parts;
    const names = library.list({ prefix: layout.recordings(), pageSize: 1 }, signal);
    await names.next();
    if (this.#options.readOnly === true) {
      await readText(layout.staging('probe'), client, signal);
      return;
    }
    const name = layout.staging(`probe.${randomBytes(8).toString('hex')}`);
    await insertObject({ object: { name, contentType: 'text/plain' }, parts: [Buffer.from(name)] }, client, signal);
    try {
      if ((await readText(name, client, signal)) !== name) throw damaged();
      await library.remove(name, signal);
    } catch (thrown) {
      await removeAll([name], this.#parts);
      throw thrown;
    }
  }

  async close(): Promise<void> {
    await this.#parts.client.close();
  }

  /** Metadata repeats what a listing sorts by. A retention policy may keep an earlier record: it then stays. */
  async #replace(name: string, kept: KeptRecord, signal: AbortSignal): Promise<void> {
    const object = { name, contentType: 'application/json; charset=utf-8', metadata: kept.metadata };
    const parts = [Buffer.from(`${JSON.stringify(kept.record, null, 2)}\n`)];
    try {
      await insertObject({ object, parts, replace: true }, this.#parts.client, signal);
    } catch (thrown) {
      const reason = thrown instanceof Failure ? thrown.facts['reason'] : undefined;
      if (reason !== 'retentionPolicyNotMet') throw thrown;
    }
  }
}

function within(range: ByteRange, sizeBytes: number): ByteRange {
  const { start, end } = range;
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || start > end || start >= sizeBytes) {
    throw new Failure('range-not-satisfiable', `The recording has ${String(sizeBytes)} bytes: ask for a range inside.`);
  }
  return { start, end: Math.min(end, sizeBytes - 1) };
}

function damaged(): Failure {
  return new Failure(
    'conflict',
    'What lies in the bucket (ARCHIVE_URL) is not what its manifest says: restore recording.webm (soft delete or versions keep it), or move the recording out of recordings/ and replay it.',
  );
}
