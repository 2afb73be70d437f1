/** Opus packets as they lie in a page → packets that each stand alone, for whoever needs them so. */
import { samplesToNs } from '../opus.ts';
import type { Packet } from '../packet.ts';
import { type LacedPackets, viewOf } from './ogg.ts';

/** A packet, and the gain of the link that it came from, in 1/256 dB (RFC 7845 §5.1). */
export interface OpusPacket extends Packet {
  readonly gain: number;
}

/**
 * Packets one behind the other, each at its place on the time line: numbers have the index of their packet. `edges` and `samples`
 * go on behind the last one where the page does.
 */
export class OpusRun implements LacedPackets {
  readonly bytes: Uint8Array;
  readonly edges: readonly number[];
  /** How many samples each lasts. */
  readonly samples: readonly number[];
  /** When each begins. */
  readonly starts: number[] = [];
  /** Of hardly any. */
  readonly #mutes: number[] = [];
  readonly gain: number;

  constructor({ bytes, edges }: LacedPackets, samples: readonly number[], gain: number) {
    this.bytes = bytes;
    this.edges = edges;
    this.samples = samples;
    this.gain = gain;
  }

  get length(): number {
    return this.starts.length;
  }

  /** Places the next packet. */
  place(start: number, mute: number): void {
    if (mute !== 0) this.#mutes[this.starts.length] = mute;
    this.starts.push(start);
  }

  /** The last packet, in a run of its own: this one loses it. */
  takeLast(): OpusRun {
    const start = this.starts.pop() ?? 0;
    const index = this.length;
    const edges = this.edges.slice(index, index + 2);
    const last = new OpusRun({ bytes: this.bytes, edges }, this.samples.slice(index, index + 1), this.gain);
    last.place(start, this.muteOf(index));
    return last;
  }

  /** Samples at its end that must not be heard; less than 0 for some at its beginning. */
  muteOf(index: number): number {
    return this.#mutes[index] ?? 0;
  }

  /** At least so many samples of the first packet must not be heard. */
  muteFirst(samples: number): void {
    this.#mutes[0] = Math.max(samples, this.muteOf(0));
  }

  /** Whether it only prepares a decoder, and is not heard at all. */
  isMute(index: number): boolean {
    const mute = this.muteOf(index);
    return mute > 0 && mute >= (this.samples[index] ?? 0);
  }

  packet(index: number): OpusPacket {
    const mute = this.muteOf(index);
    return {
      track: 0,
      timeNs: samplesToNs(this.starts[index] ?? 0),
      data: viewOf(this, index),
      keyframe: true,
      durationNs: samplesToNs(this.samples[index] ?? 0),
      discardPaddingNs: mute === 0 ? undefined : samplesToNs(mute),
      gain: this.gain,
    };
  }
}

/** The packets of runs, one behind the other. */
export function packetsOf(runs: readonly OpusRun[]): readonly OpusPacket[] {
  const packets: OpusPacket[] = [];
  for (const run of runs) for (let index = 0; index < run.length; index += 1) packets.push(run.packet(index));
  return packets;
}
