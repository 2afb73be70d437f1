/** Turns two mono Opus streams into one stereo stream without decoding: channel 0 left, channel 1 right (RFC 7845 §5.1.1.2). */
import { Failure } from '../../failure.ts';
import { type OggOpus, opusTrack } from './ogg-opus.ts';
import {
  isValidPacket,
  lostLike,
  nsToSamples,
  OPUS_RATE,
  type OpusHead,
  packetSamples,
  samplesToNs,
  SELF_DELIMITING_BYTES,
  silenceLike,
  writeSelfDelimited,
} from '../opus.ts';
import type { FileStream, Packet } from '../packet.ts';

/** What is filled with silence at once, so that filling an hour does not hold an hour. */
const MAX_BATCH = 512;

/** Starts that miss a whole number of packets by less than a millisecond were rounded to one by a program on the way. */
const START_TOLERANCE = 48;

const MAX_APART = 24 * 3600 * OPUS_RATE;

/**
 * Joins each pair of packets into one of mapping family 1 with two streams, none coupled, so that each channel is decoded from
 * the very bytes it was recorded in. The channel that ends first, begins later or has a gap is filled with silence; gaps that
 * are no whole number of packets move what follows by less than half a packet. Both streams are closed when the result fails,
 * ends or is left.
 * @throws Failure `unsupported-media` for what cannot be joined exactly (stereo input; unequal packet durations, gains or, short
 * of whole packets, pre-skips and starts): an encoder has to be asked. All of it is known before the first packet is handed
 * out, except for packets that are invalid or of another duration later on, and for chained streams.
 */
export async function joinMono(left: OggOpus, right: OggOpus): Promise<FileStream> {
  const pair = [new Channel(left), new Channel(right)] as const;
  try {
    const head = joinedHead(left.head, right.head);
    for (const channel of pair) await channel.fill();
    const slotSamples = pair[0].packetSamples ?? pair[1].packetSamples ?? 0;
    const start = Math.min(left.startSamples, right.startSamples);
    for (const channel of pair) channel.align({ slotSamples, start, preSkip: head.preSkip });
    return {
      tracks: [opusTrack(head)],
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

function joinedHead(left: OpusHead, right: OpusHead): OpusHead {
  for (const head of [left, right]) {
    const isMono = head.channels === 1 && head.streams === 1 && head.coupled === 0 && head.mapping[0] === 0;
    if (!isMono) throw unjoinable('a channel is not mono');
  }
  if (left.outputGain !== right.outputGain) throw unjoinable('the channels have different gains');
  return {
    channels: 2,
    preSkip: Math.max(left.preSkip, right.preSkip),
    inputSampleRate: left.inputSampleRate,
    outputGain: left.outputGain,
    mappingFamily: 1,
    streams: 2,
    coupled: 0,
    mapping: [0, 1],
  };
}

function unjoinable(why: string): Failure {
  return new Failure('unsupported-media', `The two channels cannot be joined without decoding: ${why}.`);
}

type Pair = readonly [Channel, Channel];

async function closeBoth(pair: Pair): Promise<void> {
  await Promise.allSettled(pair.map((channel) => channel.close()));
}

interface TimeLine {
  /** Every packet of both channels lasts one slot. */
  readonly slotSamples: number;
  /** Where the earlier channel begins. */
  readonly start: number;
  /** Of the joined stream. */
  readonly preSkip: number;
}

/** One channel: its packets, each in a slot of the time line that both share. */
class Channel {
  /** Where its sound ends on the time line, in samples. */
  endSample = 0;
  readonly #stream: OggOpus;
  readonly #iterator: AsyncIterator<readonly Packet[]>;
  #batch: readonly Packet[] = [];
  #index = 0;
  #isOver = false;
  #slotSamples = 0;
  #delay = 0;
  #last: Buffer | undefined;
  #isTrimmed = false;

  constructor(stream: OggOpus) {
    this.#stream = stream;
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
      this.#batch = step.done === true ? [] : step.value;
      this.#index = 0;
      this.#isOver = step.done === true;
    }
  }

  /** Lays the channel on the time line. @throws Failure `unsupported-media` where it does not fall into whole slots. */
  align({ slotSamples, start, preSkip }: TimeLine): void {
    const { head, startSamples } = this.#stream;
    this.#slotSamples = slotSamples;
    if ((this.packetSamples ?? slotSamples) !== slotSamples) throw unjoinable('their packets differ in length');
    if (slotSamples === 0) return;
    const apart = startSamples - start;
    const slots = Math.round(apart / slotSamples);
    if (apart > MAX_APART) throw unjoinable('they begin more than a day apart');
    if (Math.abs(apart - slots * slotSamples) > START_TOLERANCE)
      throw unjoinable('they begin less than a packet apart');
    if ((preSkip - head.preSkip) % slotSamples !== 0) throw unjoinable('their pre-skips are less than a packet apart');
    this.#delay = slots * slotSamples + preSkip - head.preSkip;
  }

  /** The packet for a slot: its own, or one that fills the slot, in the shape of `other` where it has none to take after. */
  take(slot: number, other: Buffer | undefined): Buffer {
    const packet = this.#batch[this.#index];
    if (packet === undefined || this.#slotOf(packet) > slot) return this.#filling(packet?.data ?? other);
    if (packetSamples(packet.data) !== this.#slotSamples) throw unjoinable('their packets differ in length');
    if (this.#isTrimmed) throw unjoinable('a channel is cut in the middle of a packet');
    const trim = nsToSamples(packet.discardPaddingNs ?? 0);
    this.#isTrimmed = trim > 0;
    this.endSample = (slot + 1) * this.#slotSamples - trim;
    this.#index += 1;
    this.#last = packet.data;
    return packet.data;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  #slotOf(packet: Packet): number {
    return Math.round((nsToSamples(packet.timeNs) + this.#delay) / this.#slotSamples);
  }

  /** Before the first packet "lost" ones: they sound of nothing and leave the decoder as new. Later ones have to be silence. */
  #filling(like: Buffer | undefined): Buffer {
    const filling = this.#last === undefined ? lostLike(like ?? EMPTY) : silenceLike(this.#last);
    if (filling === undefined) throw unjoinable('a packet is invalid');
    return filling;
  }

  /** The packet that is next, or was last: what the other channel takes after where it has none at all. */
  get sample(): Buffer | undefined {
    return this.#batch[this.#index]?.data ?? this.#last;
  }
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

  #packet(left: Buffer, right: Buffer): Packet {
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
  join(left: Buffer, right: Buffer): Buffer {
    const most = left.length + SELF_DELIMITING_BYTES + right.length;
    if (this.#used + most > this.#bytes.length) {
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(most, SLAB_BYTES));
      this.#used = 0;
    }
    const start = this.#used;
    const at = writeSelfDelimited(this.#bytes, start, left);
    // A decoder would drop the packets of both channels: an encoder can conceal the one.
    if (at === undefined || !isValidPacket(right)) throw unjoinable('a packet is invalid');
    this.#used = at + right.copy(this.#bytes, at);
    return this.#bytes.subarray(start, this.#used);
  }
}
