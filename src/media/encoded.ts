/** Inputs that WebM cannot hold → packets that it can, by an encoder in a slot: held until the last packet, or the first reason to stop. */
import { Failure } from '../failure.ts';
import type { Ffmpeg } from './encoder/check.ts';
import { encode } from './encoder/encode.ts';
import type { Encoders } from './encoder/encoders.ts';
import type { EncoderOrder } from './encoder/process.ts';
import type { Slots } from './encoder/slots.ts';
import type { MediaInput } from './input.ts';
import { streamableMp4 } from './mp4/stream.ts';
import { isOgg, OggMeter } from './ogg/meter.ts';
import type { Packet, SourceStream } from './packet.ts';
import type { Plan } from './plan.ts';
import type { Media } from './sniff.ts';
import { createSourceMeter, type SourceLength } from './source-meter.ts';

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

export interface EncodingNeeds {
  readonly inputs: readonly MediaInput[];
  readonly tools: MediaTools;
  /** Waits for an encoder as long as it takes; otherwise Failure `busy` where too many wait already. */
  readonly patient: boolean;
  /** Ends the downloads, whatever they wait for. */
  readonly letGo: () => void;
}

/** @throws Failure, so do the packets; the slot is free then. Else `packets` must be read or left, or `signal` aborted. */
export async function openEncoded(plan: Plan, needs: EncodingNeeds, signal: AbortSignal): Promise<SourceStream> {
  const { inputs, tools, patient, letGo } = needs;
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
      isStated: false,
      lacksEndMark: () => meters.some((meter) => meter?.lacksEndMark()),
      isSized: () => true,
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
  readonly meter: SourceLength | undefined;
}

async function streamable(input: MediaInput, media: Media | undefined, signal: AbortSignal): Promise<EncoderSource> {
  if (media === undefined) return { bytes: input.bytes(), meter: undefined };
  const { kind } = media;
  if (isOgg(kind)) {
    const meter = new OggMeter();
    return { bytes: meter.through(input.bytes()), meter };
  }
  const meter = createSourceMeter(kind);
  const bytes = input.bytes(meter);
  if (kind !== 'mp4') return { bytes, meter };
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
