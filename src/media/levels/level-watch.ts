/** The packets of a recording, as they pass → the levels of its sound. */
import { encodeLevels, type LevelFacts, levelFactsOf, type Levels, LEVELS_PER_S } from '../../levels.ts';
import {
  frameSamples,
  nsToSamples,
  type OpusFraming,
  type OpusHead,
  parseOpusHead,
  parsePacket,
  parseSelfDelimited,
} from '../opus.ts';
import type { Packet, Track } from '../packet.ts';
import { Lane } from './lane.ts';
import { OpusLevel } from './opus-level.ts';
import { QUIET_POWER } from './silk-gains.ts';

/** More channels are no call: nothing is drawn of them. */
const MAX_LANES = 2;

export interface MeasuredLevels {
  readonly facts: LevelFacts;
  /** `levels.bin`. */
  readonly bytes: Uint8Array;
}

/**
 * Watches packets as they pass, and never gets in their way: a fault in it costs the levels and nothing else. Of the first track
 * that sounds, which is the one that players play, and of Opus alone.
 */
export class LevelWatch {
  #meter: LevelMeter | undefined;
  #fault: unknown;

  constructor(tracks: readonly Track[]) {
    this.#unlessFaulty(() => {
      this.#meter = meterOf(tracks);
    });
  }

  /** Why there are none, where there should be. */
  get fault(): unknown {
    return this.#fault;
  }

  add(packets: readonly Packet[]): void {
    if (this.#meter !== undefined) this.#unlessFaulty(() => this.#meter?.add(packets));
  }

  /** After the last packet, of a recording that plays for so long; undefined where nothing can be told. */
  levels(durationMs: number): MeasuredLevels | undefined {
    return this.#unlessFaulty(() => {
      const levels = this.#meter?.levels(durationMs);
      return levels && { facts: levelFactsOf(levels), bytes: encodeLevels(levels) };
    });
  }

  #unlessFaulty<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#fault = error;
      this.#meter = undefined;
      return undefined;
    }
  }
}

function meterOf(tracks: readonly Track[]): LevelMeter | undefined {
  const index = tracks.findIndex(({ kind }) => kind === 'audio');
  const track = tracks[index];
  if (track?.kind !== 'audio' || track.codecId !== 'A_OPUS' || track.codecPrivate === undefined) return undefined;
  const head = parseOpusHead(track.codecPrivate);
  return head === undefined || head.channels > MAX_LANES ? undefined : new LevelMeter(index, head);
}

/** Where a channel of the output comes from (RFC 7845 §5.1.1). */
interface ChannelSource {
  readonly stream: number;
  readonly isRight: boolean;
}

/** A voice is told of so many samples: 20 ms. */
const VOICE_SAMPLES = 960;

class LevelMeter {
  readonly #track: number;
  readonly #preSkip: number;
  readonly #streams: readonly StreamMeter[];
  readonly #lanes: readonly Lane[];

  constructor(track: number, head: OpusHead) {
    this.#track = track;
    this.#preSkip = head.preSkip;
    const sources = head.mapping.map((index) => channelSourceOf(index, head));
    this.#lanes = sources.map(() => new Lane());
    this.#streams = Array.from({ length: head.streams }, (_, stream) => {
      const mine = this.#lanes.flatMap((lane, index) =>
        sources[index]?.stream === stream ? [{ lane, isRight: sources[index].isRight }] : [],
      );
      return new StreamMeter(mine);
    });
  }

  /** @throws RangeError where the sound lasts longer than a day */
  add(packets: readonly Packet[]): void {
    for (const packet of packets) if (packet.track === this.#track) this.#read(packet);
  }

  /** After the last packet; the recording plays for so long. */
  levels(durationMs: number): Levels {
    const tenths = Math.ceil((durationMs * LEVELS_PER_S) / 1000 - 0.001);
    return { channels: this.#lanes.map((lane) => lane.levels(Math.max(0, tenths))) };
  }

  #read({ data, timeNs }: Packet): void {
    const sample = nsToSamples(timeNs) - this.#preSkip;
    const last = this.#streams.length - 1;
    let at = 0;
    // What is invalid is not heard: a decoder would leave it out as well.
    for (let index = 0; index <= last && at >= 0; index += 1)
      at = this.#streams[index]?.read(data, { at, sample, isLast: index === last }) ?? -1;
  }
}

function channelSourceOf(index: number, { coupled }: OpusHead): ChannelSource {
  if (index === 255) return { stream: -1, isRight: false };
  if (index < 2 * coupled) return { stream: index >> 1, isRight: index % 2 === 1 };
  return { stream: index - coupled, isRight: false };
}

interface StreamLane {
  readonly lane: Lane;
  readonly isRight: boolean;
}

interface StreamPart {
  readonly at: number;
  /** When it begins to play. */
  readonly sample: number;
  readonly isLast: boolean;
}

/** One of the streams that a packet holds one behind the other. */
class StreamMeter {
  readonly #lanes: readonly StreamLane[];
  readonly #level = new OpusLevel();
  readonly #heard = { power: 0, isVoice: false };

  constructor(lanes: readonly StreamLane[]) {
    this.#lanes = lanes;
  }

  /**
   * Its part of a packet. All streams but the last tell their own length (RFC 6716 appendix B).
   * Returns the offset behind it, -1 where it is invalid.
   */
  read(data: Buffer, { at, sample, isLast }: StreamPart): number {
    const rest = at === 0 ? data : data.subarray(at);
    if (isLast) {
      const framing = parsePacket(rest);
      if (framing !== undefined) this.#readFrames(rest, framing, sample);
      return framing === undefined ? -1 : data.length;
    }
    const packet = parseSelfDelimited(rest);
    if (packet !== undefined) this.#readFrames(rest, packet.framing, sample);
    return packet === undefined ? -1 : at + packet.sizeBytes;
  }

  #readFrames(bytes: Uint8Array, { toc, sizes, start }: OpusFraming, sample: number): void {
    const samples = frameSamples(toc);
    let at = start;
    let from = sample;
    this.#level.begin(toc);
    for (const size of sizes) {
      this.#level.read(bytes, at, at + size);
      this.#hear(from, samples);
      at += size;
      from += samples;
    }
  }

  /** Long frames tell of every 20 ms whether there is a voice. */
  #hear(sample: number, samples: number): void {
    const { voice } = this.#level;
    const heard = this.#heard;
    for (const { lane, isRight } of this.#lanes) {
      const power = isRight ? this.#level.right : this.#level.left;
      for (let part = 0; part * VOICE_SAMPLES < samples; part += 1) {
        heard.isVoice = (voice & (1 << part)) !== 0;
        heard.power = part === 0 || heard.isVoice ? power : Math.min(power, QUIET_POWER);
        lane.add(sample + part * VOICE_SAMPLES, Math.min(VOICE_SAMPLES, samples), heard);
      }
    }
  }
}
