/** One recording's media files → its WebM: peek ▸ sniff ▸ plan ▸ packets ▸ one writer, and the proof that nothing is missing. */
import type { SourceFacts } from '../archive/manifest.ts';
import { Failure } from '../failure.ts';
import type { Download, MediaFile } from '../media-file.ts';
import type { Encoders } from './encoder/encoders.ts';
import type { Ffmpeg } from './encoder/check.ts';
import { encode } from './encoder/encode.ts';
import type { EncoderOrder } from './encoder/process.ts';
import { joinMono } from './ogg/join.ts';
import { streamableMp4 } from './mp4.ts';
import { readOggOpus } from './ogg/ogg-opus.ts';
import type { FileStream, Packet, PacketStream } from './packet.ts';
import { formatOf, planWebm, type Plan } from './plan.ts';
import { requireQuick } from './quick.ts';
import type { Slots } from './encoder/slots.ts';
import { createSourceMeter, type SourceMeter } from './source-meter.ts';
import { sniff, SNIFF_BYTES, type Media, type Sniffed } from './sniff.ts';
import { readWebm } from './webm/reader.ts';
import { createWebmWriter, type WebmWriter } from './webm/writer.ts';
import type { Webm, WebmResult } from './webm/webm.ts';

export interface MediaTools {
  readonly ffmpeg: Ffmpeg;
  readonly slots: Slots;
  /** Where encoders come from; each is new by default. */
  readonly encoders?: Encoders;
  /** Longer media is refused. */
  readonly maxDurationMs: number;
  /** Of each encoder; one where absent. */
  readonly threads?: number;
}

export interface Making {
  readonly files: readonly MediaFile[];
  /** What Genesys says of its media. */
  readonly durationMs: number | undefined;
  /** `encode`: not by a way without decoding, after that turned out not to fit. */
  readonly ways: 'any' | 'encode';
  /** Waits for an encoder as long as it takes; otherwise Failure `busy` where too many wait already. */
  readonly patient: boolean;
  /** Only what a push has time for: else Failure `TooLong`, before anything is made. */
  readonly quick?: boolean;
}

export interface MadeWebm extends Webm {
  /** Only after `clusters` ended normally. */
  sources(): readonly SourceFacts[];
}

/** Thrown by `clusters` when only the media's middle shows that it has to be encoded: make it again with `ways: 'encode'`. */
export class Unfit extends Failure {
  constructor(cause: Failure) {
    super('unsupported-media', cause.message, { cause });
  }
}

/** @throws Failure where the media cannot become WebM; nothing is left open then. Else `clusters` must be read or left, or `signal` aborted. */
export async function makeWebm(making: Making, tools: MediaTools, signal: AbortSignal): Promise<MadeWebm> {
  try {
    return await begin(making, tools, signal);
  } catch (error) {
    if (!(error instanceof Unfit) || making.ways === 'encode') throw error;
    return begin({ ...making, ways: 'encode' }, tools, signal);
  }
}

async function begin(making: Making, tools: MediaTools, signal: AbortSignal): Promise<MadeWebm> {
  const reading = new AbortController();
  const letGo = (): void => reading.abort(new Failure('stopped', 'The media was left before its end.'));
  const inputs = await openInputs(making.files, AbortSignal.any([signal, reading.signal]));
  try {
    const plan = planWebm(
      inputs.map(({ sniffed }) => sniffed),
      making.ways === 'any',
    );
    if (making.quick === true) requireQuick({ plan, sizeBytes: totalBytes(inputs), durationMs: making.durationMs });
    const stream = await openStream(plan, { inputs, tools, patient: making.patient, letGo }, signal);
    return assemble(stream, { inputs, making, tools });
  } catch (error) {
    letGo();
    await Promise.allSettled(inputs.map((input) => input.close()));
    throw error;
  }
}

// ── the files ───────────────────────────────────────────────────────────────────────────────────────────────────

/** One media file: its beginning, which said what it is, and its bytes. */
interface Input {
  readonly channel: string;
  readonly download: Download;
  readonly sniffed: Sniffed;
  /** All of it, once; what is encoded passes a meter. */
  bytes(meter?: SourceMeter): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

function totalBytes(inputs: readonly Input[]): number | undefined {
  const sizes = inputs.map(({ download }) => download.sizeBytes);
  return sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

/** All or nothing: where one file cannot be had, the others are let go. */
async function openInputs(files: readonly MediaFile[], signal: AbortSignal): Promise<readonly Input[]> {
  const opened = await Promise.allSettled(files.map((file) => openInput(file, signal)));
  const inputs = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = opened.find((result) => result.status === 'rejected');
  if (failed === undefined) return inputs;
  await Promise.allSettled(inputs.map((input) => input.close()));
  throw failed.reason;
}

async function openInput(file: MediaFile, signal: AbortSignal): Promise<Input> {
  const download = await file.open(signal);
  const iterator = download[Symbol.asyncIterator]();
  const head = await peek(iterator);
  const sniffed = sniff(head.subarray(0, SNIFF_BYTES));
  return {
    channel: file.channel,
    download,
    sniffed,
    bytes: (meter) => resume(head, iterator, meter),
    close: async () => void (await iterator.return?.()),
  };
}

/** The first bytes: no more chunks than it takes to know what the file is. */
async function peek(iterator: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < SNIFF_BYTES) {
    const step = await iterator.next();
    if (step.done === true) break;
    head = head.length === 0 ? step.value : Buffer.concat([head, step.value]);
  }
  return head;
}

async function* resume(
  head: Buffer,
  iterator: AsyncIterator<Buffer>,
  meter: SourceMeter | undefined,
): AsyncGenerator<Buffer, void, void> {
  try {
    for (let chunk = head; ;) {
      meter?.push(chunk);
      yield chunk;
      const step = await iterator.next();
      if (step.done === true) return;
      chunk = step.value;
    }
  } finally {
    await iterator.return?.();
  }
}

// ── packets ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface Opened {
  readonly inputs: readonly Input[];
  readonly tools: MediaTools;
  readonly patient: boolean;
  /** Ends the downloads, whatever they wait for. */
  readonly letGo: () => void;
}

interface Stream extends PacketStream {
  readonly way: Webm['way'];
  readonly why: string;
  readonly encoder: string | undefined;
  /** After `packets` ended: how long the sources play, where they tell. */
  expectedMs(): number | undefined;
  /** After `packets` ended: whether a source of a kind that marks its end does not, so that it may have been cut there. */
  lacksEndMark(): boolean;
}

async function openStream(plan: Plan, opened: Opened, signal: AbortSignal): Promise<Stream> {
  if (plan.way === 'encode') return encodeAll(plan, opened, signal);
  const file = await unlessUnfit(readAsIs(plan.way, opened.inputs));
  const { tracks, durationMs } = file;
  const packets = { [Symbol.asyncIterator]: () => fitting(file.packets) };
  const way = plan.way === 'join' ? 'join' : 'rewrap';
  return {
    tracks,
    durationMs,
    packets,
    way,
    why: plan.why,
    encoder: undefined,
    expectedMs: () => durationMs,
    lacksEndMark: () => !file.hasEndMark && durationMs === undefined,
  };
}

async function encodeAll(plan: Plan, opened: Opened, signal: AbortSignal): Promise<Stream> {
  const { inputs, tools, patient, letGo } = opened;
  const sources = await Promise.all(inputs.map((input, index) => streamable(input, plan.media[index], signal)));
  const meters = sources.map(({ meter }) => meter);
  const slot = await tools.slots.acquire({ bounded: !patient }, signal);
  try {
    // Who is not patient is a listener, and seldom the last one.
    const listened = !patient;
    const { maxDurationMs, threads } = tools;
    const job = {
      media: plan.media,
      sources: sources.map(({ bytes }) => leavable(bytes, letGo)),
      maxDurationMs,
      listened,
      threads,
    };
    const { ffmpeg, encoders } = tools;
    const start = encoders && { start: (order: EncoderOrder) => encoders.start(order) };
    const encoded = await encode(job, { ffmpeg, ...start }, signal);
    // A listener that leaves before reading anything aborts the signal: then nobody comes to the end of the packets.
    const packets = encoded.packets[Symbol.asyncIterator]();
    const leave = async (): Promise<void> => {
      await packets.return?.();
      slot[Symbol.dispose]();
    };
    signal.addEventListener('abort', () => void leave(), { once: true });
    const held = { [Symbol.asyncIterator]: () => holding(slot, { [Symbol.asyncIterator]: () => packets }) };
    return {
      ...encoded,
      packets: plan.media.some(({ kind }) => kind === 'flac') ? seamless(held) : held,
      why: [plan.why, ...sources.flatMap(({ note }) => note ?? [])].join('; '),
      durationMs: longest(meters.map((meter) => meter?.declaredMs())),
      expectedMs: () => longest(meters.map((meter) => meter?.durationOf())),
      lacksEndMark: () => meters.some((meter) => meter?.lacksEndMark()),
    };
  } catch (error) {
    slot[Symbol.dispose]();
    throw error;
  }
}

interface EncoderSource {
  /** As the encoder can read it from a pipe. */
  readonly bytes: AsyncIterable<Buffer>;
  readonly note?: string | undefined;
  /** Duration as the header says it, and as counted at the end. */
  readonly meter: SourceMeter | undefined;
}

async function streamable(input: Input, media: Media | undefined, signal: AbortSignal): Promise<EncoderSource> {
  const meter = media && createSourceMeter(media.kind);
  const bytes = input.bytes(meter);
  if (media?.kind !== 'mp4') return { bytes, meter };
  const { sizeBytes, readRange } = input.download;
  return { ...(await streamableMp4({ bytes, sizeBytes, readRange }, signal)), meter };
}

/** What is left while a chunk is awaited ends at once: the `return` of a generator alone would wait for that chunk. */
function leavable(bytes: AsyncIterable<Buffer>, letGo: () => void): AsyncIterable<Buffer> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = bytes[Symbol.asyncIterator]();
      return {
        next: () => iterator.next(),
        async return() {
          letGo();
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

/** More than what rounding times to milliseconds can make. */
const JUMP_NS = 10_000_000;

/** Frames of FLAC that are lost, or damaged beyond recognition, are passed over; the times of those behind show it. */
async function* seamless(packets: AsyncIterable<readonly Packet[]>): AsyncGenerator<readonly Packet[], void, void> {
  let endNs: number | undefined;
  for await (const batch of packets) {
    for (const { timeNs, durationNs } of batch) {
      const jumpNs = timeNs - (endNs ?? timeNs);
      if (Math.abs(jumpNs) > JUMP_NS) {
        const [by, at] = [jumpNs, timeNs].map((ns) => (ns / 1e9).toFixed(2));
        throw new Failure(
          'unreadable-media',
          `The media is damaged: its sound jumps by ${by ?? ''} s at ${at ?? ''} s.`,
        );
      }
      endNs = timeNs + (durationNs ?? 0);
    }
    yield batch;
  }
}

async function* holding(
  slot: Disposable,
  packets: AsyncIterable<readonly Packet[]>,
): AsyncGenerator<readonly Packet[], void, void> {
  using _held = slot;
  yield* packets;
}

/** undefined unless every one is known: the longest of some may not be the longest of all. */
function longest(durations: readonly (number | undefined)[]): number | undefined {
  return durations.reduce((most, ms) => (most === undefined || ms === undefined ? undefined : Math.max(most, ms)));
}

async function readAsIs(way: 'rewrap-ogg' | 'rewrap-webm' | 'join', inputs: readonly Input[]): Promise<FileStream> {
  const [first, second] = inputs;
  if (first === undefined) throw new Failure('internal', 'A way of making WebM was planned for no file.');
  if (way === 'rewrap-webm') return readWebm(first.bytes());
  if (way === 'rewrap-ogg' || second === undefined) return readOggOpus(first.bytes());
  const [left, right] = await Promise.all([readOggOpus(first.bytes()), readOggOpus(second.bytes())]);
  return joinMono(left, right);
}

async function* fitting(packets: AsyncIterable<readonly Packet[]>): AsyncGenerator<readonly Packet[], void, void> {
  try {
    yield* packets;
  } catch (error) {
    throw unfitOr(error);
  }
}

async function unlessUnfit<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw unfitOr(error);
  }
}

/** What a fast way does not support, an encoder may. */
function unfitOr(error: unknown): unknown {
  return error instanceof Failure && error.code === 'unsupported-media' ? new Unfit(error) : error;
}

// ── the WebM ────────────────────────────────────────────────────────────────────────────────────────────────────

interface Parts {
  readonly inputs: readonly Input[];
  readonly making: Making;
  readonly tools: MediaTools;
}

function assemble(stream: Stream, parts: Parts): MadeWebm {
  const { inputs, making, tools } = parts;
  const announcedMs = stream.durationMs ?? making.durationMs;
  const writer = createWebmWriter(stream.tracks, { durationMs: announcedMs });
  const isVideo = stream.tracks.some((track) => track.kind === 'video');
  let result: WebmResult | undefined;

  /** The last Clusters are withheld until everything agrees. */
  async function* clusters(): AsyncGenerator<Buffer, void, void> {
    for await (const batch of stream.packets) {
      yield* writer.add(batch);
      if (writer.durationMs > tools.maxDurationMs) throw tooLong(tools.maxDurationMs);
    }
    const last = writer.end();
    requireEnd(stream, parts, { playsMs: writer.durationMs, isVideo });
    requireAgreement(writer, { sourceMs: stream.expectedMs(), genesysMs: making.durationMs, isVideo });
    yield* last;
    const note = endProofOf(stream, parts) === 'download' ? { note: 'it ends without its end mark' } : {};
    result = { ...writer.result(isVideo ? stream.expectedMs() : undefined), ...note };
  }

  return {
    contentType: isVideo ? 'video/webm' : 'audio/webm',
    way: stream.way,
    why: stream.why,
    encoder: stream.encoder,
    liveHead: writer.liveHead,
    clusters: { [Symbol.asyncIterator]: clusters },
    result: () => {
      if (result === undefined) throw new Failure('internal', 'The result was asked for before the WebM was complete.');
      return result;
    },
    sources: () => inputs.map(factsOf),
  };
}

function factsOf({ channel, download, sniffed }: Input): SourceFacts {
  return { channel, contentType: formatOf(sniffed).mediaType, ...download.received() };
}

function tooLong(maxDurationMs: number): Failure {
  return new Failure(
    'media-too-large',
    `The media plays longer than the ${String(maxDurationMs / 1000)} s that MAX_DURATION_S allows.`,
  );
}

/** By what is known that the media did not end early; the first of these that there is. */
type EndProof =
  /** Its own end mark, the duration in its header, or what was counted while it was encoded. */
  | 'source'
  /** The duration that Genesys says. */
  | 'genesys'
  /** The announced size of the download: it is all that there is, whoever wrote it. */
  | 'download'
  | 'nothing';

/** After `packets` ended. */
function endProofOf(stream: Stream, { inputs, making }: Parts): EndProof {
  if (!stream.lacksEndMark()) return 'source';
  if (making.durationMs !== undefined) return 'genesys';
  return totalBytes(inputs) === undefined ? 'nothing' : 'download';
}

/** Where only Genesys' duration stands for the end mark. */
const UNMARKED_SLACK_MS = 1_000;

/** @throws Failure `incomplete` where a file may have been cut, between two pages or two elements */
function requireEnd(
  stream: Stream,
  parts: Parts,
  { playsMs, isVideo }: { readonly playsMs: number; readonly isVideo: boolean },
): void {
  const proof = endProofOf(stream, parts);
  if (proof === 'nothing') {
    const text =
      'The media ends without its end mark, and nothing else tells how long it should be; nothing was stored.';
    throw new Failure('incomplete', text);
  }
  if (proof !== 'genesys') return;
  const lateMs = playsMs - (parts.making.durationMs ?? 0);
  if (isNear(lateMs, { slackMs: UNMARKED_SLACK_MS, shortMs: isVideo ? LAST_PICTURE_MS : 0 })) return;
  const away = `${(Math.abs(lateMs) / 1000).toFixed(2)} s ${lateMs < 0 ? 'before' : 'after'} Genesys says`;
  throw new Failure('incomplete', `The media ends without its end mark, ${away}; nothing was stored.`);
}

interface Expected {
  /** Counted on the source's own bytes. */
  readonly sourceMs: number | undefined;
  readonly genesysMs: number | undefined;
  readonly isVideo: boolean;
}

/** A picture that does not change is not repeated for so long, at most. */
const LAST_PICTURE_MS = 5_000;

/**
 * An encoder that leaves out what it cannot read still ends with code 0: only the duration shows it.
 * @throws Failure `incomplete` (another attempt may get the whole) where what came out and what went in disagree
 */
function requireAgreement(writer: WebmWriter, { sourceMs, genesysMs, isVideo }: Expected): void {
  if (writer.packets === 0) throw new Failure('unreadable-media', 'The media holds no sound and no picture.');
  const shortMs = isVideo ? LAST_PICTURE_MS : 0;
  if (sourceMs !== undefined)
    requireNear(writer.durationMs, sourceMs, {
      slackMs: Math.max(500, Math.min(sourceMs / 200, 2_000)),
      shortMs,
      who: 'its source',
    });
  if (genesysMs !== undefined)
    requireNear(writer.durationMs, genesysMs, { slackMs: Math.max(3_000, genesysMs / 50), shortMs, who: 'Genesys' });
}

interface Slack {
  readonly slackMs: number;
  readonly shortMs: number;
}

function isNear(differenceMs: number, { slackMs, shortMs }: Slack): boolean {
  return differenceMs <= slackMs && differenceMs >= -(slackMs + shortMs);
}

function requireNear(actualMs: number, expectedMs: number, { who, ...slack }: Slack & { readonly who: string }): void {
  if (isNear(actualMs - expectedMs, slack)) return;
  const [actual, expected] = [actualMs, expectedMs].map((ms) => (ms / 1000).toFixed(2));
  throw new Failure(
    'incomplete',
    `The WebM plays ${actual ?? ''} s, but by ${who} it should be ${expected ?? ''} s; nothing was stored.`,
  );
}
