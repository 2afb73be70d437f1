/** A Cloud Storage bucket → an archive: every object appears whole, checked and once, and nothing is ever replaced. */
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { LockConfig } from '../../config/config.ts';
import type { Proxies } from '../../config/proxies.ts';
import { Failure } from '../../failure.ts';
import { keyOf, type Recording } from '../../recording.ts';
import type { Archive, ByteRange, Deposit, Link, LinkTerms } from '../archive.ts';
import { clipRange } from '../byte-range.ts';
import { recordingOf, type Manifest } from '../manifest.ts';
import { besideName, manifestName, RECORDINGS, STAGING, stagingName, webmName } from '../names.ts';
import { ObjectArchive } from '../object-archive.ts';
import { isOf, parseManifest } from '../records.ts';
import { createGoogleAuth, GoogleTokens } from './auth.ts';
import { BucketClient } from './client.ts';
import { completeRecording, type CommitNeeds, placeLevels } from './commit.ts';
import { BucketDeposit } from './deposit.ts';
import { downloadStream, readObject } from './download.ts';
import { insertObject } from './insert.ts';
import { KnownNames } from './known-names.ts';
import { LinkCache } from './links.ts';
import { lastingOf } from './lock.ts';
import {
  flagObject,
  listGenerations,
  listObjects,
  type ObjectGeneration,
  removeAll,
  removeGeneration,
  removeObject,
  statObject,
  type Listing,
} from './metadata.ts';
import { isSame, type ObjectFacts } from './object.ts';
import { BucketObjects } from './objects.ts';
import { SIXTEEN_RANGES, type FoundFile, type NameRange } from '../shelf.ts';
import type { RetryPolicy } from './retry.ts';
import { LinkSigner } from './signer.ts';
import { parseWebmMetadata } from './webm-metadata.ts';

export interface BucketArchiveOptions {
  readonly bucket: string;
  /** Names begin with it; empty for the whole bucket. */
  readonly prefix: string;
  /** Another server than Google's; requests then carry no token, unless told. */
  readonly apiEndpoint?: string | undefined;
  readonly sendTokens?: boolean | undefined;
  /** Clusters held in memory before they go to a staging object; 8 MiB unless told. */
  readonly holdBackBytes?: number | undefined;
  /** Of what is stored of recordings from now on. */
  readonly lock?: LockConfig | undefined;
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
  /** HTTPS_PROXY and its kind, for the archive's own requests; Google's libraries read the environment by themselves. */
  readonly proxies?: Proxies | undefined;
}

const HOLD_BACK_BYTES = 8 * 1024 * 1024;

export function openBucketArchive(options: BucketArchiveOptions): BucketArchive {
  return new BucketArchive(options);
}

/**
 * Needs roles/storage.objectCreator and objectViewer on the bucket, and objectUser under staging/, failures/, waiting/ and listing/;
 * for reading alone objectViewer, and roles/iam.serviceAccountTokenCreator on itself for links; for a lock storage.objects.setRetention
 * under recordings/, in a bucket whose object retention is enabled.
 */
export class BucketArchive extends ObjectArchive implements Archive {
  readonly #options: BucketArchiveOptions;
  readonly #client: BucketClient;
  readonly #live = new Set<string>();
  readonly #links: LinkCache;
  readonly #names: KnownNames;

  constructor(options: BucketArchiveOptions) {
    const auth = createGoogleAuth();
    const sendTokens = options.sendTokens ?? options.apiEndpoint === undefined;
    const client = new BucketClient({ ...options, tokens: sendTokens ? new GoogleTokens(auth) : undefined });
    super(new BucketObjects(client));
    this.#options = options;
    this.#client = client;
    this.#names = new KnownNames(this.objects);
    this.#links = new LinkCache(new LinkSigner({ ...options, auth }), client);
  }

  protected override spellingsOf(recording: Recording): readonly Recording[] {
    return this.#names.spellingsOf(recording);
  }

  /** Whoever may write asks mostly for what is not there, and one request tells; a reader for what is there: two at once. */
  protected async findAs(recording: Recording, signal: AbortSignal): Promise<Manifest | undefined> {
    const isReader = this.#options.readOnly === true;
    const manifestText = (): Promise<string | undefined> => this.objects.get(manifestName(recording), signal);
    const early = isReader ? manifestText() : undefined;
    const [object, earlyText] = await Promise.all([statObject(webmName(recording), this.#client, signal), early]);
    if (object === undefined && earlyText === undefined) return undefined;
    const text = isReader ? earlyText : await manifestText();
    // A manifest that slipped in behind the removal of its WebM is no damage.
    if (text !== undefined && object === undefined) await this.requireNotErased(recording, signal);
    if (text !== undefined) return proven(text, recording, object);
    // A crash came between the two: what is left to do follows from the WebM. One that is not ours is no recording.
    if (object === undefined || isReader || parseWebmMetadata(object) === undefined) return undefined;
    return completeRecording({ recording, object }, this.#commitNeeds(), signal);
  }

  async begin(recording: Recording, signal: AbortSignal): Promise<Deposit> {
    signal.throwIfAborted();
    const holdBackBytes = this.#options.holdBackBytes ?? HOLD_BACK_BYTES;
    const { lock } = this.#options;
    return new BucketDeposit(recording, { ...this.#commitNeeds(), lock, holdBackBytes, live: this.#live }, signal);
  }

  async read(manifest: Manifest, range: ByteRange | undefined, signal: AbortSignal): Promise<Readable> {
    const asked = range === undefined ? undefined : clipRange(range, manifest.webm.sizeBytes);
    return downloadStream({ name: webmName(recordingOf(manifest)), range: asked }, this.#client, signal);
  }

  /** Lives longer than asked where the recording is longer: see {@link LinkCache}. */
  async link(manifest: Manifest, terms: LinkTerms, signal: AbortSignal): Promise<Link> {
    return this.#links.get({ manifest, ...terms }, signal);
  }

  /** The manifest first: it is what a removal begins with, and so decides which of the two was first. */
  protected async flagAs(recording: Recording, held: boolean, signal: AbortSignal): Promise<boolean> {
    const client = this.#client;
    let isThere = await flagObject({ name: manifestName(recording), held }, client, signal);
    for await (const objects of listObjects({ prefix: besideName(recording, '') }, client, signal)) {
      for (const { name } of objects) {
        if (name === manifestName(recording)) continue;
        if (await flagObject({ name, held }, client, signal)) isThere = true;
      }
    }
    return isThere;
  }

  async original(manifest: Manifest, name: string, signal: AbortSignal): Promise<Readable> {
    return downloadStream({ name: besideName(recordingOf(manifest), name) }, this.#client, signal);
  }

  protected override async placeLevels(recording: Recording, bytes: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const client = this.#client;
    const isLocking = this.#options.lock !== undefined;
    const webm = isLocking ? await statObject(webmName(recording), client, signal) : undefined;
    return placeLevels({ recording, bytes, retention: lastingOf(webm?.retention) }, client, signal);
  }

  protected readonly ranges = SIXTEEN_RANGES;

  protected filesIn({ from, to }: NameRange, signal: AbortSignal): AsyncIterable<FoundFile> {
    const end = to === undefined ? {} : { to: RECORDINGS + to };
    return this.#filesOf({ prefix: RECORDINGS, from: RECORDINGS + from, ...end }, signal);
  }

  protected filesBelow(prefix: string, signal: AbortSignal): AsyncIterable<FoundFile> {
    return this.#filesOf({ prefix }, signal);
  }

  async *#filesOf(listing: Listing, signal: AbortSignal): AsyncGenerator<FoundFile> {
    for await (const objects of listObjects(listing, this.#client, signal)) {
      for (const { name, sizeBytes, crc32c, isHeld, metadata, createdAt } of objects)
        yield { name, sizeBytes, crc32c, isHeld, carried: metadata['manifest'], writtenAt: createdAt };
    }
  }

  protected stagedAs(recording: Recording): string {
    return stagingName(`${keyOf(recording)}.`);
  }

  /** The manifest first: where that may not be removed nothing is; once it is gone, no hold comes in time any more. */
  protected async removeMedia(
    recording: Recording,
    isBegun: boolean,
    signal: AbortSignal,
  ): Promise<'removed' | 'kept'> {
    const client = this.#client;
    const found: ObjectGeneration[] = [];
    for await (const one of listGenerations({ prefix: besideName(recording, ''), which: 'versions' }, client, signal))
      found.push(one);
    const inOrder = found.toSorted((a, b) => placeInRemoval(a, recording) - placeInRemoval(b, recording));
    const first = isBegun ? undefined : inOrder.shift();
    if (first !== undefined && (await removeGeneration(first, client, signal)) === 'kept') return 'kept';
    for (const one of inOrder) await this.#removeHeldToo(one, signal);
    return 'removed';
  }

  /** A hold that came too late may have flagged what was left. Whatever still stays, the caller finds. */
  async #removeHeldToo(object: ObjectGeneration, signal: AbortSignal): Promise<void> {
    if ((await removeGeneration(object, this.#client, signal)) !== 'kept' || !object.isLive) return;
    await flagObject({ name: object.name, held: false }, this.#client, signal);
    await removeGeneration(object, this.#client, signal);
  }

  /** Also looks once through a bucket whose names are not known yet. */
  override async sweep(olderThanMs: number, signal: AbortSignal): Promise<number> {
    const removed = await super.sweep(olderThanMs, signal);
    await this.#names.learn(signal);
    return removed;
  }

  protected override requireNotErased(recording: Recording, signal: AbortSignal): Promise<void> {
    return this.#names.requireNotErased(recording, signal);
  }

  protected async sweepStaging(olderThanMs: number, signal: AbortSignal): Promise<number> {
    let removed = 0;
    for await (const objects of listObjects({ prefix: STAGING }, this.#client, signal)) {
      for (const { name, createdAt, generation } of objects) {
        const [deposit = ''] = name.slice(STAGING.length).split('/');
        if (Date.now() - Date.parse(createdAt) < olderThanMs || this.#live.has(deposit)) continue;
        if ((await removeObject({ name, generation }, this.#client, signal)) === 'removed') removed += 1;
      }
    }
    return removed;
  }

  /** @throws Failure `misconfigured` naming the role, the bucket or the setting to change */
  async check(signal: AbortSignal): Promise<void> {
    const client = this.#client;
    await listObjects({ prefix: RECORDINGS, pageSize: 1 }, client, signal).next();
    if (this.#options.readOnly === true) {
      await readObject(stagingName('probe'), client, signal);
      return;
    }
    const name = stagingName(`probe.${randomBytes(8).toString('hex')}`);
    let isThere = false;
    try {
      await insertObject({ object: { name, contentType: 'text/plain' }, parts: [Buffer.from(name)] }, client, signal);
      isThere = true;
      if ((await readObject(name, client, signal)) !== name) throw objectNotAsStated();
      await removeObject({ name }, client, signal);
    } catch (thrown) {
      // Stopped on its way, it may have come there all the same.
      if (isThere || signal.aborted) await removeAll([name], client);
      throw thrown;
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  #commitNeeds(): CommitNeeds {
    return { client: this.#client, reasons: this.reasons, names: this.#names };
  }
}

/** What is live before what is old, the manifest before the WebM, and both before the rest. */
function placeInRemoval({ name, isLive }: ObjectGeneration, recording: Recording): number {
  const order = [manifestName(recording), webmName(recording)].indexOf(name);
  return (isLive ? 0 : 3) + (order === -1 ? 2 : order);
}

/** @throws Failure `conflict` */
function proven(text: string, recording: Recording, object: ObjectFacts | undefined): Manifest {
  const manifest = parseManifest(text);
  if (isOf(manifest, recording) && object !== undefined && isSame(object, manifest.webm)) return manifest;
  throw objectNotAsStated();
}

function objectNotAsStated(): Failure {
  return new Failure(
    'conflict',
    'What lies in the bucket (ARCHIVE_URL) is not what its manifest says: restore recording.webm (soft delete or versions keep it), or move the recording out of recordings/ and replay it.',
  );
}
