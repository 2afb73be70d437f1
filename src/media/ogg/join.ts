/** Two mono Opus streams → one stereo stream without decoding: channel 0 left, channel 1 right (RFC 7845 §5.1.1.2). */
import { Failure } from '../../failure.ts';
import {
  isNoFrameSize,
  isOneFrame,
  isValidPacket,
  OPUS_RATE,
  type OpusHead,
  samplesToNs,
  SELF_DELIMITING_BYTES,
  writeLength,
  writeSelfDelimited,
} from '../opus.ts';
import { lostLike, silenceLike } from '../opus-silence.ts';
import type { FileStream, Packet } from '../packet.ts';
import { viewOf } from './ogg.ts';
import { type OggOpus, opusTrack } from './ogg-opus.ts';
import type { OpusRun } from './opus-run.ts';

/** What is filled with silence at once, so that filling an hour does not hold an hour. */
const MAX_BATCH = 512;

/** Packets are laid into whole slots: so far from its true place a packet may come to lie, 20 ms. */
const MAX_SHIFT = OPUS_RATE / 50;

/** Where Genesys does not say how long the recording is: channels further apart did not count from the same moment. */
const MAX_APART = 12 * 3600 * OPUS_RATE;

/**
 * Joins each pair of packets into one of mapping family 1 with two streams, none coupled, so that each channel is decoded from
 * the very bytes it was recorded in. The channel that ends first, begins later or has a hole is filled with silence; what is no
 * whole number of packets late comes up to half a packet early or late. Channels whose first positions lie further apart than
 * the recording is long (`lengthMs`, as Genesys says) did not count from the same moment: they begin together.
 * Both streams are closed when the result fails, ends or is left.
 * @throws Failure `unsupported-media` for what cannot be joined exactly (stereo input, unequal packet durations or gains, shifts
 * of more than 20 ms): an encoder has to be asked. All of it is known before the first packet is handed out, except for packets
 * that are invalid, of another duration or too far from a slot later on, and for chained streams.
 */
export async function joinMono(left: OggOpus, right: OggOpus, lengthMs?: number): Promise<FileStream> {
  const pair = [new Channel(left), new Channel(right)] as const;
  try {
    requireAlike(left.head, right.head);
    for (const channel of pair) await channel.fill();
    const slotSamples = pair[0].packetSamples ?? pair[1].packetSamples ?? 0;
    const origins = originsOf(left, right, lengthMs);
    const preSkip = bestPreSkip(origins, slotSamples);
    for (const side of [0, 1] as const) pair[side].align(slotSamples, placeOf(origins[side], preSkip, slotSamples));
    return {
      tracks: [opusTrack(joinedHead(left.head, preSkip))],
      durationMs: undefined,
      statedMs: undefined,
      packets: new Joined(pair, slotSamples),
      get hasEndMark() {
        return left.hasEndMark && right.hasEndMark;
      },
    };
  } catch (error) {
    await closeBoth(pair);
    throw error;
  }
}

function requireAlike(left: OpusHead, right: OpusHead): void {
  for (const head of [left, right]) {
    const isMono = head.channels === 1 && head.streams === 1 && head.coupled === 0 && head.mapping[0] === 0;
    if (!isMono) throw unjoinable('a channel is not mono');
  }
  if (left.outputGain !== right.outputGain) throw unjoinable('the channels have different gains');
}

function joinedHead({ inputSampleRate, outputGain }: OpusHead, preSkip: number): OpusHead {
  const shape = { channels: 2, mappingFamily: 1, streams: 2, coupled: 0, mapping: [0, 1] };
  return { ...shape, preSkip, inputSampleRate, outputGain };
}

/** Where a channel begins, in samples: how much later than the other, and how much in front of that is not heard. */
interface ChannelOrigin {
  readonly start: number;
  readonly preSkip: number;
}

function originsOf(
  left: OggOpus,
  right: OggOpus,
  lengthMs: number | undefined,
): readonly [ChannelOrigin, ChannelOrigin] {
  const first = Math.min(left.startSamples, right.startSamples);
  const apart = Math.max(left.startSamples, right.startSamples) - first;
  const isApart = apart > (lengthMs === undefined ? MAX_APART : (lengthMs * OPUS_RATE) / 1000);
  const originOf = ({ startSamples, head }: OggOpus): ChannelOrigin => ({
    start: isApart ? 0 : startSamples - first,
    preSkip: head.preSkip,
  });
  return [originOf(left), originOf(right)];
}

/**
 * Of the joined stream. A pre-skip below the longest may bring the channels nearer to their places; the channel that then
 * begins with what its own would have left out is late by as much.
 */
function bestPreSkip(origins: readonly ChannelOrigin[], slotSamples: number): number {
  const longest = Math.max(...origins.map(({ preSkip }) => preSkip));
  if (slotSamples === 0) return longest;
  const exact = origins.map(({ start, preSkip }) => longest - ((start - preSkip + longest) % slotSamples));
  const shiftOf = (preSkip: number): number =>
    Math.max(...origins.map((origin) => placeOf(origin, preSkip, slotSamples).shift));
  return exact.reduce((best, each) => (each >= 0 && shiftOf(each) < shiftOf(best) ? each : best), longest);
}

interface Place {
  /** Where the channel's first packet should lie, in samples. */
  readonly delay: number;
  /** The first slot that it may take: none of what is heard of it lies before the beginning. */
  readonly firstSlot: number;
  readonly shift: number;
}

function placeOf(origin: ChannelOrigin, preSkip: number, slotSamples: number): Place {
  const early = preSkip - origin.preSkip;
  const delay = origin.start + early;
  const firstSlot = Math.max(0, Math.ceil(early / slotSamples));
  const slot = Math.max(firstSlot, Math.round(delay / slotSamples));
  return { delay, firstSlot, shift: Math.abs(slot * slotSamples - delay) };
}

function unjoinable(why: string): Failure {
  return new Failure('unsupported-media', `The two channels cannot be joined without decoding: ${why}.`);
}

type Pair = readonly [Channel, Channel];

async function closeBoth(pair: Pair): Promise<void> {
  await Promise.allSettled(pair.map((channel) => channel.close()));
}

/** Where a packet lies. */
interface PacketPlace {
  memory: DataView;
  start: number;
  end: number;
}

const EMPTY = Buffer.alloc(0);

function memoryOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}

function bytesAt({ memory, start, end }: PacketPlace): Uint8Array {
  return new Uint8Array(memory.buffer, memory.byteOffset + start, end - start);
}

/** One channel: its packets, each in a slot of the time line that both share. */
class Channel {
  /** Where its sound ends on the time line, in samples. */
  endSample = 0;
  readonly #iterator: AsyncIterator<readonly OpusRun[]>;
  #runs: readonly OpusRun[] = [];
  #nextRun = 0;
  /** The run and in it the packet that is next. */
  #run: OpusRun | undefined;
  #memory = memoryOf(EMPTY);
  #index = 0;
  #isOver = false;
  #slotSamples = 0;
  /** Samples from its own times to those of both. */
  #delay = 0;
  /** The packet that was taken last; one for all, as there are so many. */
  readonly #last: PacketPlace = { memory: memoryOf(EMPTY), start: 0, end: 0 };
  #lastSlot = -1;

  constructor(stream: OggOpus) {
    this.#iterator = stream.runs;
  }

  /** Whether it can tell what belongs into the next slot. */
  get isReady(): boolean {
    return this.#isOver || this.#run !== undefined;
  }

  get hasEnded(): boolean {
    return this.#isOver && this.#run === undefined;
  }

  /** Duration of the packet that is next; undefined at the end. */
  get packetSamples(): number | undefined {
    return this.#run?.samples[this.#index];
  }

  async fill(): Promise<void> {
    while (!this.isReady) {
      const step = await this.#iterator.next();
      this.#isOver = step.done === true;
      this.#runs = step.done === true ? [] : step.value;
      this.#nextRun = 0;
      this.#findHeard();
    }
  }

  /** Lays the channel on the time line. @throws Failure `unsupported-media` where its slots are of another length. */
  align(slotSamples: number, { delay, firstSlot }: Place): void {
    if ((this.packetSamples ?? slotSamples) !== slotSamples) throw unjoinable('their packets differ in length');
    this.#slotSamples = slotSamples;
    this.#delay = delay;
    this.#lastSlot = firstSlot - 1;
  }

  /**
   * The packet for a slot: its own, or one that fills the slot, in the shape of the other's where it has none to take after. Only
   * until the next one is taken.
   */
  take(slot: number, other: Channel): PacketPlace {
    const run = this.#run;
    if (run === undefined || this.#slotOf(run) > slot) return this.#filling(other);
    const index = this.#index;
    if (run.samples[index] !== this.#slotSamples) throw unjoinable('their packets differ in length');
    this.endSample = (slot + 1) * this.#slotSamples - run.muteOf(index);
    const last = this.#last;
    last.memory = this.#memory;
    last.start = run.edges[index] ?? 0;
    last.end = run.edges[index + 1] ?? 0;
    this.#lastSlot = slot;
    this.#index += 1;
    this.#findHeard();
    return last;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  /** Passes packets that only prepare the decoder, in chained streams: here they would be heard. */
  #findHeard(): void {
    for (;;) {
      const run = this.#run;
      if (run !== undefined && this.#index < run.length) {
        if (!run.isMute(this.#index)) return;
        this.#index += 1;
      } else {
        this.#run = this.#runs[this.#nextRun];
        if (this.#run === undefined) return;
        this.#memory = memoryOf(this.#run.bytes);
        this.#nextRun += 1;
        this.#index = 0;
      }
    }
  }

  /** The slot nearest to the next packet, or the next one where it overlaps with the packet before (of a chained stream). */
  #slotOf(run: OpusRun): number {
    const place = (run.starts[this.#index] ?? 0) + this.#delay;
    const slot = Math.max(Math.round(place / this.#slotSamples), this.#lastSlot + 1);
    if (Math.abs(slot * this.#slotSamples - place) > MAX_SHIFT) throw unjoinable('a packet is too far from its place');
    return slot;
  }

  /** Before the first packet "lost" ones: they sound of nothing and leave the decoder as new. Later ones have to be silence. */
  #filling(other: Channel): PacketPlace {
    const last = this.#taken;
    const bytes = last === undefined ? lostLike(this.#next ?? other.sample) : silenceLike(last);
    if (bytes === undefined) throw unjoinable('a packet is invalid');
    return { memory: memoryOf(bytes), start: 0, end: bytes.length };
  }

  get #next(): Uint8Array | undefined {
    return this.#run && viewOf(this.#run, this.#index);
  }

  get #taken(): Uint8Array | undefined {
    return this.#last.end === 0 ? undefined : bytesAt(this.#last);
  }

  /** The packet that is next, or was last: what the other channel takes after where it has none at all. */
  get sample(): Uint8Array {
    return this.#next ?? this.#taken ?? EMPTY;
  }
}

/** Both channels, slot by slot. */
class Joined implements AsyncIterableIterator<readonly Packet[]> {
  readonly #pair: Pair;
  readonly #slotSamples: number;
  readonly #slab = new Slab();
  #slot = 0;
  #isOver = false;
  /** Held back: only the very last packet is trimmed. */
  #held: Packet | undefined;

  constructor(pair: Pair, slotSamples: number) {
    this.#pair = pair;
    this.#slotSamples = slotSamples;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<readonly Packet[]>> {
    try {
      while (!this.#isOver) {
        for (const channel of this.#pair) await channel.fill();
        const batch = this.#joinReady();
        if (batch.length > 0) return { done: false, value: batch };
      }
      return { done: true, value: undefined };
    } catch (error) {
      await this.return();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<readonly Packet[]>> {
    this.#isOver = true;
    await closeBoth(this.#pair);
    return { done: true, value: undefined };
  }

  #joinReady(): Packet[] {
    const [left, right] = this.#pair;
    const batch: Packet[] = [];
    while (batch.length < MAX_BATCH && left.isReady && right.isReady) {
      if (left.hasEnded && right.hasEnded) {
        this.#isOver = true;
        if (this.#held !== undefined) batch.push(this.#trimmed(this.#held));
        return batch;
      }
      if (this.#held !== undefined) batch.push(this.#held);
      this.#held = this.#packet(left.take(this.#slot, right), right.take(this.#slot, left));
      this.#slot += 1;
    }
    return batch;
  }

  #packet(left: PacketPlace, right: PacketPlace): Packet {
    return {
      track: 0,
      timeNs: samplesToNs(this.#slot * this.#slotSamples),
      data: this.#slab.join(left, right),
      keyframe: true,
      durationNs: samplesToNs(this.#slotSamples),
      discardPaddingNs: undefined,
    };
  }

  /** The sound ends where the longer channel does. */
  #trimmed(packet: Packet): Packet {
    const end = Math.max(this.#pair[0].endSample, this.#pair[1].endSample);
    const trim = this.#slot * this.#slotSamples - end;
    return trim > 0 ? { ...packet, discardPaddingNs: samplesToNs(trim) } : packet;
  }
}

/** Joined packets are written one behind the other into slabs: one allocation for hundreds of them. */
const SLAB_BYTES = 65_536;

class Slab {
  #bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #memory = memoryOf(this.#bytes);
  #used = 0;

  /** All streams of a packet but the last are self-delimited (RFC 6716 appendix B). */
  join(left: PacketPlace, right: PacketPlace): Uint8Array {
    this.#makeRoom(left.end - left.start + SELF_DELIMITING_BYTES + right.end - right.start);
    const start = this.#used;
    this.#addDelimited(left);
    // A decoder would drop the packets of both channels: an encoder can conceal the one.
    if (!isOneFrameAt(right) && !isValidPacket(bytesAt(right))) throw unjoinable('a packet is invalid');
    this.#add(right);
    return new Uint8Array(this.#bytes.buffer, start, this.#used - start);
  }

  #makeRoom(sizeBytes: number): void {
    if (this.#used + sizeBytes <= this.#bytes.length) return;
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(sizeBytes, SLAB_BYTES));
    this.#memory = memoryOf(this.#bytes);
    this.#used = 0;
  }

  #addDelimited(place: PacketPlace): void {
    const { memory, start, end } = place;
    if (isOneFrameAt(place)) {
      this.#bytes[this.#used] = memory.getUint8(start);
      this.#used = writeLength(this.#bytes, this.#used + 1, end - start - 1);
      return this.#add({ memory, start: start + 1, end });
    }
    const at = writeSelfDelimited(this.#bytes, this.#used, bytesAt(place));
    if (at === undefined) throw unjoinable('a packet is invalid');
    this.#used = at;
  }

  /** By eights: of so few bytes, a view would take as long to make as they to copy. */
  #add({ memory, start, end }: PacketPlace): void {
    const target = this.#memory;
    const shift = this.#used - start;
    let at = start;
    for (; at + 8 <= end; at += 8) target.setBigInt64(at + shift, memory.getBigInt64(at, true), true);
    for (; at < end; at += 1) target.setUint8(at + shift, memory.getUint8(at));
    this.#used = end + shift;
  }
}

/** Most packets hold one frame, and there is nothing to take apart. */
function isOneFrameAt({ memory, start, end }: PacketPlace): boolean {
  return isOneFrame(memory.getUint8(start)) && !isNoFrameSize(end - start - 1);
}
