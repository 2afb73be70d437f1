/** A place where media lies → its bytes, once, in order, to a proven end: resumed where they break off, bounded in every way. */
import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { readChunks } from './body.ts';
import { Endurance, type EnduranceLimits } from './endurance.ts';
import type { Download } from '../media-file.ts';
import { CONNECT_TIMEOUT_MS, createHosts, type HostsOptions } from './hosts.ts';
import { discardBody, type Due, Interruption, type MediaAnswer, refusePage } from './answer.ts';
import { MediaSource, type Locate, type SourceLimits } from './source.ts';
import type { Backoff } from '../waiting.ts';

export interface Downloader {
  /**
   * Starts a download and returns with its first answer; the body waits until iteration starts. `locate` is called for the
   * first location, and again (at most twice without progress) when the host refuses it. `signal` rules the whole download,
   * not only its start.
   * @throws Failure `forbidden`, `gone`, `not-ready`, `host-refused`, `media-too-large`, `unreadable-media` (empty),
   *   `misconfigured` (TLS), `rate-limited`, `incomplete`, `upstream-…`
   */
  open(locate: Locate, signal: AbortSignal): Promise<Download>;
  /** Of a report or a transcript, for which only a web page can be mistaken. */
  openText(locate: Locate, signal: AbortSignal): Promise<Download>;
  /** Breaks off what is still running. */
  close(): Promise<void>;
}

export interface DownloadOptions extends HostsOptions {
  /** A proxy judges the addresses it connects to: the check of addresses here then covers direct hosts alone. */
  readonly proxies?: Proxies | undefined;
  /** Silence of the media host before its connection is given up; 30 s. */
  readonly idleMs?: number;
  /** 15 s. */
  readonly headersTimeoutMs?: number;
  /** The least a media host has to send while it is waited for; 4 kB/s over 60 s. Waiting for our own consumer does not count. */
  readonly slowest?: LeastRate;
  /** Between tries that named no Retry-After; 0.25 s doubling to 1 s. */
  readonly backoff?: Backoff;
  /** How long Retry-After is waited for here before the work is given back; 1 s. */
  readonly patienceMs?: number;
}

interface LeastRate {
  readonly bytesPerSecond: number;
  readonly overMs: number;
}

interface DownloadLimits extends SourceLimits, EnduranceLimits {
  readonly maxBytes: number;
  readonly slowest: LeastRate;
}

/** The longest part `readRange` holds in memory. */
const MAX_RANGE_BYTES = 64 * 1024 ** 2;

export function createDownloader(
  config: Pick<GenesysConfig, 'apiUrl' | 'mediaHosts' | 'maxMediaBytes'>,
  options: DownloadOptions = {},
): Downloader {
  const limits: DownloadLimits = {
    maxBytes: config.maxMediaBytes,
    hosts: createHosts(config, options),
    proxies: options.proxies,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    idleMs: options.idleMs ?? 30_000,
    headersTimeoutMs: options.headersTimeoutMs ?? 15_000,
    slowest: options.slowest ?? { bytesPerSecond: 4_000, overMs: 60_000 },
    backoff: options.backoff ?? { baseMs: 250, capMs: 1_000 },
    patienceMs: options.patienceMs ?? 1_000,
  };
  const running = new Set<MediaSource>();
  let stopped = false;
  const begin = async (locate: Locate, due: Due, signal: AbortSignal): Promise<Download> => {
    if (stopped) throw stopping();
    const source = new MediaSource(locate, limits, signal);
    running.add(source);
    void source.closed.then(() => running.delete(source));
    return start(source, due, limits);
  };
  return {
    open: (locate, signal) => begin(locate, 'media', signal),
    openText: (locate, signal) => begin(locate, 'text', signal),
    async close() {
      stopped = true;
      await Promise.all([...running].map((source) => source.close(stopping())));
    },
  };
}

async function start(source: MediaSource, due: Due, limits: DownloadLimits): Promise<Download> {
  try {
    const endurance = new Endurance(limits);
    const answer = await endurance.through(() => source.whole(), source.signal);
    if (answer.totalBytes === 0) throw empty(answer.etag);
    if (answer.totalBytes !== undefined && answer.totalBytes > limits.maxBytes) throw mediaTooLarge(limits.maxBytes);
    return new MediaDownload(answer, { source, due, endurance, limits });
  } catch (thrown) {
    await source.close(thrown);
    throw thrown;
  }
}

/** One for all: it comes with every recording, and nobody is told of it. */
const READ_TO_ITS_END = new Failure('stopped', 'The media has been read to its end.');

interface MediaDownloadNeeds {
  readonly source: MediaSource;
  readonly due: Due;
  readonly endurance: Endurance;
  readonly limits: DownloadLimits;
}

class MediaDownload implements Download {
  readonly contentType: string;
  readonly isCalledCompressed: boolean;
  readonly sizeBytes: number | undefined;
  readonly readRange: Download['readRange'];
  readonly #source: MediaSource;
  readonly #due: Due;
  readonly #endurance: Endurance;
  readonly #limits: DownloadLimits;
  readonly #hash = createHash('sha256');
  readonly #untouched: NodeJS.Timeout;
  #body: Readable | undefined;
  #chunks: AsyncIterator<Buffer> | undefined;
  #etag: string | undefined;
  #totalBytes: number | undefined;
  #deliveredBytes = 0;
  #rangedBytes = 0;
  /** What is left to read a second time where a host cannot resume, and its hash: it has to be what was delivered. */
  #again: { leftBytes: number; readonly hash: Hash } | undefined;
  #restarted = false;
  #iterated = false;
  #left = false;
  #received: { readonly sizeBytes: number; readonly sha256: string } | undefined;

  constructor(answer: MediaAnswer, needs: MediaDownloadNeeds) {
    this.#source = needs.source;
    this.#due = needs.due;
    this.#endurance = needs.endurance;
    this.#limits = needs.limits;
    this.contentType = answer.contentType;
    this.isCalledCompressed = answer.isCalledCompressed;
    this.sizeBytes = answer.totalBytes;
    this.readRange =
      answer.acceptsRanges && answer.etag !== undefined
        ? (start, end, signal) => this.#readRange({ start, end }, signal)
        : undefined;
    this.#take(answer);
    // Whoever never starts to read holds no connection for long: reading, if it comes, asks again.
    this.#untouched = setTimeout(() => this.#drop(), this.#limits.idleMs).unref();
    this.#source.signal.addEventListener('abort', () => clearTimeout(this.#untouched), { once: true });
  }

  received(): { readonly sizeBytes: number; readonly sha256: string } {
    if (this.#received === undefined) throw new Failure('internal', 'The media has not been read to its end.');
    return this.#received;
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    if (this.#iterated) throw new Failure('internal', 'The media can be read only once.');
    this.#iterated = true;
    clearTimeout(this.#untouched);
    return {
      next: () => this.#next(),
      return: async () => {
        this.#left = true;
        await this.#source.close(new Failure('stopped', 'The download was left before its end.'));
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#left || this.#received !== undefined) return { done: true, value: undefined };
    try {
      const chunk = await this.#endurance.through(() => this.#step(), this.#source.signal);
      if (chunk !== undefined) return { done: false, value: chunk };
      this.#received = { sizeBytes: this.#deliveredBytes, sha256: this.#hash.digest('hex') };
      await this.#source.close(READ_TO_ITS_END);
      return { done: true, value: undefined };
    } catch (thrown) {
      await this.#source.close(thrown);
      throw thrown;
    }
  }

  /** The next new bytes, or undefined at the proven end. */
  async #step(): Promise<Buffer | undefined> {
    if (this.#body === undefined) await this.#resume();
    for (;;) {
      const chunk = await this.#pull();
      if (chunk === undefined) return this.#prove();
      const fresh = this.#afresh(chunk);
      if (fresh.length > 0) return fresh;
    }
  }

  async #pull(): Promise<Buffer | undefined> {
    try {
      const result = await this.#chunks?.next();
      return result === undefined || result.done === true ? undefined : result.value;
    } catch (thrown) {
      this.#drop();
      throw thrown;
    }
  }

  async #resume(): Promise<void> {
    const [start, etag] = [this.#deliveredBytes, this.#etag];
    const rest = start > 0 && etag !== undefined ? await this.#source.rest({ start, etag }) : undefined;
    this.#take(rest ?? (await this.#source.whole()));
  }

  #take(answer: MediaAnswer): void {
    if (this.#contradicts(answer)) {
      discardBody(answer.body);
      throw changed();
    }
    this.#body = answer.body;
    this.#chunks = paced(answer.body, this.#limits.slowest);
    this.#etag = answer.etag;
    this.#totalBytes ??= answer.totalBytes;
    this.#restarted = answer.start < this.#deliveredBytes;
    this.#again = this.#restarted ? { leftBytes: this.#deliveredBytes, hash: createHash('sha256') } : undefined;
  }

  /** Another size is another file; so is another version once a part of the former was read aside. */
  #contradicts(answer: MediaAnswer): boolean {
    const otherSize =
      this.#totalBytes !== undefined && answer.totalBytes !== undefined && answer.totalBytes !== this.#totalBytes;
    return otherSize || (this.#rangedBytes > 0 && answer.etag !== this.#etag);
  }

  #drop(): void {
    if (this.#body !== undefined) discardBody(this.#body);
    this.#body = undefined;
    this.#chunks = undefined;
  }

  /** Takes off what was delivered before, after proving that it is the same. */
  #afresh(chunk: Buffer): Buffer {
    const again = this.#again;
    if (again === undefined) return this.#deliver(chunk);
    const seen = chunk.subarray(0, again.leftBytes);
    again.hash.update(seen);
    again.leftBytes -= seen.length;
    if (again.leftBytes > 0) return Buffer.alloc(0);
    if (!again.hash.digest().equals(this.#hash.copy().digest())) throw changed();
    this.#again = undefined;
    return this.#deliver(chunk.subarray(seen.length));
  }

  #deliver(chunk: Buffer): Buffer {
    if (this.#deliveredBytes === 0) refusePage(chunk, this.contentType, this.#due);
    this.#hash.update(chunk);
    this.#deliveredBytes += chunk.length;
    this.#capBytes();
    if (!this.#restarted) this.#endurance.progressed(chunk.length);
    return chunk;
  }

  #capBytes(): void {
    if (this.#deliveredBytes + this.#rangedBytes > this.#limits.maxBytes) throw mediaTooLarge(this.#limits.maxBytes);
  }

  async #prove(): Promise<undefined> {
    this.#drop();
    if (this.#again !== undefined) throw changed();
    if (this.#totalBytes !== undefined && this.#deliveredBytes !== this.#totalBytes) throw changed();
    if (this.#deliveredBytes === 0) throw empty(this.#etag);
    if (await this.#source.hasSurplus())
      throw new Failure('incomplete', 'The media host sent more bytes than it announced.', { sort: 'surroundings' });
  }

  async #readRange(extent: { readonly start: number; readonly end: number }, signal: AbortSignal): Promise<Buffer> {
    if (this.#received !== undefined)
      throw new Failure('internal', 'A part of the media was asked for after all of it had been read.');
    const lengthBytes = extent.end - extent.start + 1;
    if (!Number.isSafeInteger(lengthBytes) || extent.start < 0 || lengthBytes < 1 || lengthBytes > MAX_RANGE_BYTES)
      throw new Failure('unreadable-media', 'The media asks to be read at a place that cannot be.');
    if (this.#totalBytes !== undefined && extent.end >= this.#totalBytes)
      throw new Failure('unreadable-media', 'The media refers to bytes beyond its end.');
    const either = AbortSignal.any([this.#source.signal, signal]);
    return new Endurance(this.#limits).through(() => this.#readPart(extent, either), either);
  }

  async #readPart(extent: { readonly start: number; readonly end: number }, signal: AbortSignal): Promise<Buffer> {
    const etag = this.#etag;
    const answer = etag === undefined ? undefined : await this.#source.part({ ...extent, etag }, signal);
    if (answer === undefined) throw changed();
    try {
      if (!answer.partial || this.#contradicts(answer)) throw changed();
      return await this.#collect(
        paced(answer.body, this.#limits.slowest),
        Buffer.allocUnsafe(extent.end - extent.start + 1),
      );
    } finally {
      discardBody(answer.body);
    }
  }

  async #collect(chunks: AsyncIterable<Buffer>, part: Buffer): Promise<Buffer> {
    let filledBytes = 0;
    for await (const chunk of chunks) {
      this.#rangedBytes += chunk.length;
      this.#capBytes();
      if (chunk.length > part.length - filledBytes) throw changed();
      filledBytes += chunk.copy(part, filledBytes);
    }
    if (filledBytes < part.length) throw changed();
    return part;
  }
}

/** Breaks off a body that trickles. Only the time spent waiting for the network counts, not what the consumer takes its time for. */
async function* paced(body: Readable, slowest: LeastRate): AsyncGenerator<Buffer, undefined> {
  let waitedMs = 0;
  let bytes = 0;
  let since = performance.now();
  for await (const chunk of readChunks(body)) {
    waitedMs += performance.now() - since;
    bytes += chunk.length;
    if (waitedMs >= slowest.overMs) {
      if (bytes * 1_000 < slowest.bytesPerSecond * waitedMs) throw new Interruption(tooSlow());
      waitedMs = 0;
      bytes = 0;
    }
    yield chunk;
    since = performance.now();
  }
}

function stopping(): Failure {
  return new Failure('stopped', 'The downloads were stopped.');
}

/** A file of 0 bytes has a version as any other; nothing at all is what gateways and filters answer in its place. */
function empty(etag: string | undefined): Failure {
  return etag === undefined
    ? new Failure(
        'upstream-error',
        'Nothing came where media is due: a proxy or web filter stands before the media host.',
      )
    : new Failure('unreadable-media', 'The media is empty: the media host sent 0 bytes.', { retry: 'again' });
}

function mediaTooLarge(maxBytes: number): Failure {
  return new Failure(
    'media-too-large',
    `The media is larger than ${String(maxBytes)} bytes; raise MAX_MEDIA_BYTES if it is meant to be archived.`,
  );
}

function changed(): Failure {
  return new Failure('incomplete', 'The media changed while it was being read; read it again from its start.', {
    sort: 'surroundings',
  });
}

function tooSlow(): Failure {
  return new Failure('upstream-timeout', 'The media host sends too slowly to ever finish; try again later.');
}
