/** Inputs that WebM cannot hold → packets that it can, by an encoder in a slot: held until the last packet, or the first reason to stop. */
import { Failure } from '../failure.ts';
import { reasonOf, Scope } from '../waiting.ts';
import { decoderSlackMs } from './decoder-slack.ts';
import type { Ffmpeg } from './encoder/check.ts';
import { encode } from './encoder/encode.ts';
import type { Encoders } from './encoder/encoders.ts';
import type { EncoderOrder, EncoderProcess } from './encoder/process.ts';
import type { Slots } from './encoder/slots.ts';
import { type MediaInput, totalBytes } from './input.ts';
import type { Packet, SourceStream } from './packet.ts';
import type { Plan } from './plan.ts';
import { type OpenSource, openSource } from './open-source.ts';
import { type Beginning, beginningsOf } from './beginnings.ts';
import type { Lengths } from './source/tally.ts';
import type { Spool, Spools } from './mp4/spool.ts';
import type { Purpose } from './purpose.ts';

export interface MakingNeeds {
  readonly ffmpeg: Ffmpeg;
  readonly slots: Slots;
  readonly spools: Spools;
  /** Where encoders come from. */
  readonly encoders: Pick<Encoders, 'start'>;
  /** Longer media is refused. */
  readonly maxDurationMs: number;
  /** Of each encoder. */
  readonly threads: number;
}

export interface EncodingNeeds {
  readonly inputs: readonly MediaInput[];
  readonly tools: MakingNeeds;
  readonly purpose: Purpose;
  /** What Genesys says of its media. */
  readonly genesysMs: number | undefined;
  /** Ends the downloads, whatever they wait for. */
  readonly letGo: () => void;
}

/**
 * The slot comes first: whatever is read, held or laid on disk for an encoder is bounded by the number of slots.
 * `packets` must be read or left, or `signal` aborted.
 * @throws Failure, so do the packets; the slot is free then. `busy` where a listener has to wait too long, or to make room
 */
export async function openEncoded(plan: Plan, needs: EncodingNeeds, signal: AbortSignal): Promise<SourceStream> {
  const { tools, purpose, letGo } = needs;
  const slot = await tools.slots.acquire(purpose, signal);
  const { signal: stop } = new Scope(signal, purpose.yielded);
  purpose.yielded.addEventListener('abort', letGo, { once: true });
  try {
    return await encodeIn(slot, { ...needs, plan }, stop);
  } catch (error) {
    slot[Symbol.dispose]();
    // What was let go for it says less than the reason does.
    throw stop.aborted ? reasonOf(stop) : error;
  }
}

async function encodeIn(
  slot: Disposable,
  needs: EncodingNeeds & { readonly plan: Plan },
  signal: AbortSignal,
): Promise<SourceStream> {
  const { plan, tools, purpose, letGo, genesysMs } = needs;
  const sources = await openSources(plan, needs, signal);
  const beginnings = beginningsOf(
    sources.map(({ contents }) => contents),
    genesysMs,
  );
  const { ffmpeg, encoders, maxDurationMs, threads } = tools;
  const job = {
    media: sources.map(({ media, contents }, index) => ({ ...media, contents, zeroS: beginnings[index]?.zeroS })),
    sources: sources.map(({ bytes }) => leavable(bytes, letGo)),
    announcedMs: longest(sources.map(({ figures }) => figures.declaredMs)) ?? genesysMs,
    sizeBytes: totalBytes(needs.inputs),
    maxDurationMs,
    // A listener is seldom the last one.
    listened: !purpose.archiving,
    threads,
  };
  const start = (order: EncoderOrder): Promise<EncoderProcess> => encoders.start(order);
  const encoded = await encode(job, { ffmpeg, start }, signal);
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
    why: [plan.why, ...notesOf(sources, beginnings)].join('; '),
    durationMs: longest(lengthsOf(sources, beginnings, ({ figures }) => figures.declaredMs)),
    expectedMs: () => longest(lengthsOf(sources, beginnings, ({ figures }) => overallMs(figures.lengths))),
    isStated: false,
    isSized: () => !sources.some(({ figures }) => figures.lacksEndMark),
    countedMs: () => ({
      soundMs: longest(lengthsOf(sources, beginnings, ({ figures }) => figures.lengths.soundMs)),
      picturesMs: longest(sources.map(({ figures }) => figures.lengths.picturesMs)),
      repeatsFromMs: longest(sources.map(({ figures }) => figures.lengths.repeatsFromMs)),
    }),
    soundSlackMs: decoderSlackMs(sources.map(({ contents }) => contents)),
    lacksEndMark: () => sources.some(({ figures }) => figures.lacksEndMark),
    notes: () => sources.flatMap(({ figures }) => figures.notes),
  };
}

function openSources(plan: Plan, needs: EncodingNeeds, signal: AbortSignal): Promise<readonly OpenSource[]> {
  const { inputs, genesysMs, tools, purpose } = needs;
  const openSpool = (): Promise<Spool> => tools.spools.open(purpose);
  const isAlone = plan.media.length === 1;
  const opened = plan.media.flatMap((media, index) => {
    const input = inputs[index];
    return input === undefined ? [] : [openSource(input, { media, genesysMs, isAlone, openSpool }, signal)];
  });
  return Promise.all(opened);
}

/** Milliseconds from the recording's beginning to the end of each source. */
function lengthsOf(
  sources: readonly OpenSource[],
  beginnings: readonly Beginning[],
  lengthOf: (source: OpenSource) => number | undefined,
): readonly (number | undefined)[] {
  return sources.map((source, index) => {
    const ms = lengthOf(source);
    return ms === undefined ? undefined : ms + (beginnings[index]?.lateS ?? 0) * 1000;
  });
}

/** For the manifest: how the sources were read, and what of them is not in the WebM or not where it was. */
function notesOf(sources: readonly OpenSource[], beginnings: readonly Beginning[]): readonly string[] {
  const late = beginnings.flatMap(({ lateS }, index) =>
    lateS < 0.001 ? [] : [`file ${String(index + 1)} begins ${lateS.toFixed(3)} s later`],
  );
  const left = sources.flatMap(({ contents }) => (contents?.pictures ?? []).slice(sources.length > 1 ? 0 : 1));
  const pictures = left.length === 0 ? [] : [`pictures left out: ${left.join(', ')}`];
  return [...sources.flatMap(({ note }) => note ?? []), ...late, ...pictures];
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

const overallMs = ({ soundMs, picturesMs }: Lengths): number | undefined =>
  soundMs === undefined && picturesMs === undefined ? undefined : Math.max(soundMs ?? 0, picturesMs ?? 0);

/** undefined unless every one is known: the longest of some may not be the longest of all. */
function longest(durations: readonly (number | undefined)[]): number | undefined {
  return durations.reduce((most, ms) => (most === undefined || ms === undefined ? undefined : Math.max(most, ms)));
}
