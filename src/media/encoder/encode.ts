/** Sources that WebM cannot hold → packets that it can, by one confined ffmpeg per recording. */
import { availableParallelism } from 'node:os';
import type { Writable } from 'node:stream';
import { Failure } from '../../failure.ts';
import { release } from '../../memory.ts';
import { encodeArguments, type EncodePlan, limitsOf } from './arguments.ts';
import type { Ffmpeg } from './check.ts';
import { endedWell, type Ending, endingFailure } from './failure.ts';
import { type EncoderOrder, type EncoderProcess, startEncoder } from './process.ts';
import type { Packet, PacketStream, Track } from '../packet.ts';
import { Watchdog } from './watchdog.ts';
import { readWebm } from '../webm/reader.ts';

export interface EncodeJob extends EncodePlan {
  /**
   * The bytes of each of `media`, in the same order. Their normal end is the proof that they were all. Each chunk is given up.
   * `return` is called also while a chunk is awaited, and has to end the source at once.
   */
  readonly sources: readonly AsyncIterable<Buffer>[];
}

export interface EncodeNeeds {
  readonly ffmpeg: Ffmpeg;
  /** Where an encoder comes from; a new one by default. */
  readonly start?: (order: EncoderOrder) => Promise<EncoderProcess>;
  /** How long an encoder may neither take nor give a byte while both are asked of it; one minute if absent. */
  readonly stallMs?: number;
}

export interface Encoded extends PacketStream {
  readonly way: 'encode-audio' | 'encode-video';
  /** For the manifest. */
  readonly encoder: string;
}

const STALL_MS = 60_000;

/**
 * Resolves once ffmpeg has told what it makes. `packets` must be read to its end or left (`return`), or `signal` aborted:
 * each kills ffmpeg at once and lets go of the sources. They end only after every source came to its end, ffmpeg is gone
 * with code 0, and at least one packet came. Whether those are all, only the durations show: the caller compares them.
 * @throws Failure (so do the packets): the source's own; `unreadable-media`, `unsupported-media`, `encoder-failed`, `misconfigured`, `busy`, `stopped`
 */
export async function encode(job: EncodeJob, parts: EncodeNeeds, signal: AbortSignal): Promise<Encoded> {
  if (signal.aborted) throw encodingStopped(signal);
  const order = {
    args: encodeArguments(job),
    limits: limitsOf(job),
    inputs: job.media.length,
    listened: job.listened === true,
  };
  const start = parts.start ?? ((asked) => startEncoder(parts.ffmpeg, asked));
  const encoding = new Encoding(await start(order), parts.stallMs ?? STALL_MS);
  encoding.begin(job.sources, signal);
  try {
    const stream = await readWebm(encoding.output());
    const isVideo = stream.tracks.some((track) => track.kind === 'video');
    return {
      tracks: stream.tracks,
      durationMs: undefined,
      packets: new Packets(stream, encoding),
      way: isVideo ? 'encode-video' : 'encode-audio',
      encoder: parts.ffmpeg.version,
    };
  } catch (symptom) {
    throw await encoding.causeOf(symptom);
  }
}

function encodingStopped(signal: AbortSignal): Failure {
  const reason: unknown = signal.reason;
  if (reason instanceof Failure) return reason;
  return new Failure('stopped', 'The work was stopped before it ended.', { cause: reason });
}

/** The packets of the encoder's output; their end is held back until everything else has ended well. */
class Packets implements AsyncIterableIterator<readonly Packet[]> {
  readonly #tracks: readonly Track[];
  readonly #batches: AsyncIterator<readonly Packet[]>;
  readonly #encoding: Encoding;
  #any = false;

  constructor({ tracks, packets }: PacketStream, encoding: Encoding) {
    this.#tracks = tracks;
    this.#batches = packets[Symbol.asyncIterator]();
    this.#encoding = encoding;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<readonly Packet[]>> {
    const step = await this.#nextBatch();
    if (step.done !== true) {
      this.#any = true;
      return { done: false, value: step.value.map((packet) => this.#untimed(packet)) };
    }
    await this.#encoding.completed();
    if (!this.#any) throw new Failure('unreadable-media', 'The media holds nothing to play.');
    return step;
  }

  /** How long ffmpeg says that pictures stay is a mean of all: when the last one is over, only the source tells. */
  #untimed(packet: Packet): Packet {
    return this.#tracks[packet.track]?.kind === 'video' ? { ...packet, durationNs: 0 } : packet;
  }

  async #nextBatch(): Promise<IteratorResult<readonly Packet[]>> {
    try {
      return await this.#batches.next();
    } catch (symptom) {
      throw await this.#encoding.causeOf(symptom);
    }
  }

  async return(): Promise<IteratorResult<readonly Packet[]>> {
    await this.#encoding.leave();
    return { done: true, value: undefined };
  }
}

/** One encoder at work: the first reason to stop wins, whatever symptoms follow. */
class Encoding {
  readonly #process: EncoderProcess;
  readonly #watchdog: Watchdog;
  readonly #sources: AsyncIterator<Buffer>[] = [];
  readonly #failed = Promise.withResolvers<void>();
  /** Resolves when nothing is left of the encoder and its exit was judged. */
  readonly #gone: Promise<void>;
  #fed: Promise<unknown> = Promise.resolve();
  #reason: Failure | undefined;
  #completed = false;
  #letGo: () => void = () => undefined;
  /** Sources that were asked for a chunk and have not answered. */
  #asked = 0;
  #beganAtMs = 0;
  #awaitsOutput = false;
  #sawEnd = false;
  #exited = false;

  constructor(process: EncoderProcess, stallMs: number) {
    this.#process = process;
    const isStuck = (): boolean => this.#awaitsOutput && this.#asked === 0;
    this.#watchdog = new Watchdog(stallMs, isStuck, () => void this.#fail(stalled(stallMs)));
    this.#gone = this.#judge(process.ended);
    void this.#afterExit(process.exited);
  }

  begin(sources: readonly AsyncIterable<Buffer>[], signal: AbortSignal): void {
    this.#beganAtMs = performance.now();
    const onAbort = (): void => void this.#fail(encodingStopped(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    this.#letGo = () => signal.removeEventListener('abort', onAbort);
    this.#fed = Promise.all(sources.map((source, index) => this.#feed(source, this.#process.inputs[index])));
    // While it started.
    if (signal.aborted) onAbort();
  }

  /** The output of one that failed is of no use, and unread it would keep the pipe open. */
  async #afterExit(exited: EncoderProcess['exited']): Promise<void> {
    const { ok } = await exited;
    this.#exited = true;
    if (!ok) this.#process.output.destroy();
  }

  async #judge(ended: Promise<Ending>): Promise<void> {
    const ending = await ended;
    if (endedWell(ending)) return;
    this.#fail(this.#hasUsedUpItsTime(ending) ? outOfTime(this.#process.cpuS) : endingFailure(ending));
  }

  /** Who was killed this late may have computed all the time; who was killed earlier has not. */
  #hasUsedUpItsTime({ signal }: Ending): boolean {
    const workedS = (performance.now() - this.#beganAtMs) / 1000;
    return signal === 'SIGXCPU' || (signal === 'SIGKILL' && workedS * availableParallelism() >= this.#process.cpuS);
  }

  /** What the encoder writes, as it comes. */
  async *output(): AsyncGenerator<Buffer, void, void> {
    this.#expectOutput(true);
    for await (const chunk of this.#process.output) {
      this.#expectOutput(false);
      yield chunk;
      this.#expectOutput(true);
    }
    this.#sawEnd = true;
  }

  /** @throws Failure unless the encoder and every source ended well */
  async completed(): Promise<void> {
    await this.#gone;
    await Promise.race([this.#fed, this.#failed.promise]);
    if (this.#reason !== undefined) throw this.#reason;
    this.#completed = true;
    this.#release();
  }

  /** Why it really failed, once nothing is left of it. An output that merely ended too early says less than the exit does. */
  async causeOf(symptom: unknown): Promise<Failure> {
    if (this.#sawEnd || this.#exited) await this.#gone;
    const cause = this.#fail(unexpectedEncoding(symptom));
    await this.#gone;
    return cause;
  }

  async leave(): Promise<void> {
    this.#fail(new Failure('stopped', 'The reader left before the recording ended.'));
    await this.#gone;
  }

  /** Hands a source over, chunk by chunk; to its end also where the encoder needs no more of it, since only that end proves it whole. */
  async #feed(source: AsyncIterable<Buffer>, input: Writable | undefined): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    this.#sources.push(iterator);
    try {
      for (let step = await this.#ask(iterator); step.done !== true; step = await this.#ask(iterator)) {
        await write(input, step.value);
        if (this.#reason !== undefined) return;
        this.#watchdog.touch();
      }
      input?.end();
    } catch (error) {
      this.#fail(Failure.from(error));
    }
  }

  async #ask(iterator: AsyncIterator<Buffer>): Promise<IteratorResult<Buffer>> {
    this.#asked += 1;
    try {
      return await iterator.next();
    } finally {
      this.#asked -= 1;
      this.#watchdog.touch();
    }
  }

  #expectOutput(awaits: boolean): void {
    this.#awaitsOutput = awaits;
    this.#watchdog.touch();
  }

  /** Returns the reason that counts: the first. */
  #fail(reason: Failure): Failure {
    if (this.#completed || this.#reason !== undefined) return this.#reason ?? reason;
    this.#reason = reason;
    this.#failed.resolve();
    this.#process.kill();
    this.#process.output.destroy();
    this.#release();
    for (const source of this.#sources) void source.return?.().catch(() => undefined);
    return reason;
  }

  #release(): void {
    this.#watchdog[Symbol.dispose]();
    this.#letGo();
  }
}

/** The media's own doing: it announces less than it takes, or leads the decoder in circles. A second try tells whether it was chance. */
function outOfTime(cpuS: number): Failure {
  const text = `The encoder used up the ${String(cpuS)} s of CPU that media as long as this announces may take.`;
  return new Failure('encoder-failed', text, { sort: 'recording', retry: 'again' });
}

function stalled(stallMs: number): Failure {
  return new Failure('encoder-failed', `The encoder neither read nor wrote for ${String(stallMs / 1000)} s.`);
}

function unexpectedEncoding(cause: unknown): Failure {
  return new Failure('encoder-failed', 'The encoder wrote something else than the WebM it was asked for.', { cause });
}

/** Resolves when the next chunk may come. What an encoder no longer reads is dropped: its exit says whether that was right. */
function write(input: Writable | undefined, chunk: Buffer): Promise<void> {
  if (input === undefined || !input.writable || input.write(chunk, (error) => void (error || release(chunk))))
    return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      input.off('drain', done).off('close', done);
      resolve();
    };
    input.once('drain', done).once('close', done);
  });
}
