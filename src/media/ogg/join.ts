/** Two mono Opus streams → one stereo stream without decoding: channel 0 left, channel 1 right (RFC 7845 §5.1.1.2). */
import { Failure } from '../../failure.ts';
import {
  isValidPacket,
  nsToSamples,
  OPUS_RATE,
  type OpusHead,
  packetSamples,
  samplesToNs,
  SELF_DELIMITING_BYTES,
  writeSelfDelimited,
} from '../opus.ts';
import { lostLike, silenceLike } from '../opus-silence.ts';
import type { FileStream, Packet } from '../packet.ts';
import { type OggOpus, opusTrack } from './ogg-opus.ts';

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

/** One channel: its packets, each in a slot of the time line that both share. */
class Channel {
  /** Where its sound ends on the time line, in samples. */
  endSample = 0;
  readonly #iterator: AsyncIterator<readonly Packet[]>;
  #batch: readonly Packet[] = [];
  #index = 0;
  #isOver = false;
  #slotSamples = 0;
  /** Samples from its own times to those of both. */
  #delay = 0;
  #last: Uint8Array | undefined;
  #lastSlot = -1;

  constructor(stream: OggOpus) {
    this.#iterator = stream.packets[Symbol.asyncIterator]();
  }

  /** Whether it can tell what belongs into the next slot. */
  get isReady(): boolean {
    return this.#isOver || this.#index < this.#batch.length;
  }

  get hasEnded(): boolean {
    return this.#isOver && this.#index >= this.#batch.length;
  }

  /** Duration of the packet that is next; undefined at the end. */
  get packetSamples(): number | undefined {
    const packet = this.#batch[this.#index];
    return packet === undefined ? undefined : packetSamples(packet.data);
  }

  async fill(): Promise<void> {
    while (!this.isReady) {
      const step = await this.#iterator.next();
      this.#batch = step.done === true ? [] : heard(step.value);
      this.#index = 0;
      this.#isOver = step.done === true;
    }
  }

  /** Lays the channel on the time line. @throws Failure `unsupported-media` where its slots are of another length. */
  align(slotSamples: number, { delay, firstSlot }: Place): void {
    if ((this.packetSamples ?? slotSamples) !== slotSamples) throw unjoinable('their packets differ in length');
    this.#slotSamples = slotSamples;
    this.#delay = delay;
    this.#lastSlot = firstSlot - 1;
  }

  /** The packet for a slot: its own, or one that fills the slot, in the shape of `other` where it has none to take after. */
  take(slot: number, other: Uint8Array | undefined): Uint8Array {
    const packet = this.#batch[this.#index];
    if (packet === undefined || this.#slotOf(packet) > slot) return this.#filling(packet?.data ?? other);
    if (packetSamples(packet.data) !== this.#slotSamples) throw unjoinable('their packets differ in length');
    this.endSample = (slot + 1) * this.#slotSamples - nsToSamples(packet.discardPaddingNs ?? 0);
    this.#index += 1;
    this.#last = packet.data;
    this.#lastSlot = slot;
    return packet.data;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  /** The slot nearest to it, or the next one where it overlaps with the packet before (of a chained stream). */
  #slotOf(packet: Packet): number {
    const place = nsToSamples(packet.timeNs) + this.#delay;
    const slot = Math.max(Math.round(place / this.#slotSamples), this.#lastSlot + 1);
    if (Math.abs(slot * this.#slotSamples - place) > MAX_SHIFT) throw unjoinable('a packet is too far from its place');
    return slot;
  }

  /** Before the first packet "lost" ones: they sound of nothing and leave the decoder as new. Later ones have to be silence. */
  #filling(like: Uint8Array | undefined): Uint8Array {
    const filling = this.#last === undefined ? lostLike(like ?? EMPTY) : silenceLike(this.#last);
    if (filling === undefined) throw unjoinable('a packet is invalid');
    return filling;
  }

  /** The packet that is next, or was last: what the other channel takes after where it has none at all. */
  get sample(): Uint8Array | undefined {
    return this.#batch[this.#index]?.data ?? this.#last;
  }
}

/** Without those that only prepare the decoder, in chained streams: here they would be heard. */
function heard(packets: readonly Packet[]): readonly Packet[] {
  const isMute = ({ durationNs, discardPaddingNs }: Packet): boolean =>
    discardPaddingNs !== undefined && discardPaddingNs >= (durationNs ?? Infinity);
  return packets.some(isMute) ? packets.filter((packet) => !isMute(packet)) : packets;
}

const EMPTY = Buffer.alloc(0);

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
      this.#held = this.#packet(left.take(this.#slot, right.sample), right.take(this.#slot, left.sample));
      this.#slot += 1;
    }
    return batch;
  }

  #packet(left: Uint8Array, right: Uint8Array): Packet {
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
  #used = 0;

  /** All streams of a packet but the last are self-delimited (RFC 6716 appendix B). */
  join(left: Uint8Array, right: Uint8Array): Uint8Array {
    const most = left.length + SELF_DELIMITING_BYTES + right.length;
    if (this.#used + most > this.#bytes.length) {
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(most, SLAB_BYTES));
      this.#used = 0;
    }
    const start = this.#used;
    const at = writeSelfDelimited(this.#bytes, start, left);
    // A decoder would drop the packets of both channels: an encoder can conceal the one.
    if (at === undefined || !isValidPacket(right)) throw unjoinable('a packet is invalid');
    this.#bytes.set(right, at);
    this.#used = at + right.length;
    return new Uint8Array(this.#bytes.buffer, start, this.#used - start);
  }
}
