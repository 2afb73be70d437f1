/** The packets of a recording, as they pass → the levels of its sound. */
import { encodeLevels, type LevelFacts, levelFactsOf, type Levels, LEVELS_PER_S } from '../../levels.ts';
import {
  frameSamples,
  isNoFrameSize,
  isOneFrame,
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

  /** What is invalid is not heard: a decoder would leave it out as well. */
  #read({ data, timeNs }: Packet): void {
    const sample = nsToSamples(timeNs) - this.#preSkip;
    const last = this.#streams.length - 1;
    let at = 0;
    for (let index = 0; index < last && at >= 0; index += 1)
      at = this.#streams[index]?.readDelimited(data, at, sample) ?? -1;
    if (at >= 0) this.#streams[last]?.read(data, at, sample);
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

/** A frame, and the first byte of the packet that it is in. */
interface FramePlace {
  readonly toc: number;
  readonly start: number;
  readonly size: number;
}

/** A length below this takes one byte (RFC 6716 §3.2.1). */
const TWO_BYTE_LENGTH = 252;

/** One of the streams that a packet holds one behind the other. */
class StreamMeter {
  readonly #lanes: readonly StreamLane[];
  readonly #level = new OpusLevel();
  readonly #heard = { power: 0, isVoice: false };

  constructor(lanes: readonly StreamLane[]) {
    this.#lanes = lanes;
  }

  /** The last part of a packet, from `at` on, which begins to play at `sample`. */
  read(data: Uint8Array, at: number, sample: number): void {
    const toc = data[at] ?? 0;
    const size = data.length - at - 1;
    // Mostly it is one frame, and nothing has to be taken apart.
    if (isOneFrame(toc) && !isNoFrameSize(size)) return this.#readFrame(data, { toc, start: at + 1, size }, sample);
    const rest = data.subarray(at);
    const framing = parsePacket(rest);
    if (framing !== undefined) this.#readFrames(rest, framing, sample);
  }

  /** A part that others follow tells its own length (appendix B). Returns the offset behind it, -1 where it is invalid. */
  readDelimited(data: Uint8Array, at: number, sample: number): number {
    const toc = data[at] ?? 0;
    const size = data[at + 1] ?? 0;
    const end = at + 2 + size;
    if (isOneFrame(toc) && size < TWO_BYTE_LENGTH && end <= data.length) {
      this.#readFrame(data, { toc, start: at + 2, size }, sample);
      return end;
    }
    const rest = data.subarray(at);
    const packet = parseSelfDelimited(rest);
    if (packet === undefined) return -1;
    this.#readFrames(rest, packet.framing, sample);
    return at + packet.sizeBytes;
  }

  #readFrames(bytes: Uint8Array, { toc, sizes, start }: OpusFraming, sample: number): void {
    const samples = frameSamples(toc);
    let at = start;
    let from = sample;
    for (const size of sizes) {
      this.#readFrame(bytes, { toc, start: at, size }, from);
      at += size;
      from += samples;
    }
  }

  #readFrame(bytes: Uint8Array, { toc, start, size }: FramePlace, sample: number): void {
    this.#level.begin(toc);
    this.#level.read(bytes, start, start + size);
    this.#hear(sample, frameSamples(toc));
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
