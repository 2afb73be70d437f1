/** A level that changes now and then → FLAC of nothing but that level, which an encoder multiplies sound by (RFC 9639). */
import { OPUS_RATE, samplesToNs } from './opus.ts';
import type { AudioTrack, Packet } from './packet.ts';

/** Full scale stands for so many decibels, so that gains up to there fit; below -48 dB it is exact to 0.03 dB. */
export const LEVEL_SCALE_DB = 48;

/** Of 24 bit. */
const FULL_SCALE = 2 ** 23 - 1;

/** ffmpeg reads no more than 31 bits of where a block begins, and makes no use of it. */
const NUMBERS = 2 ** 31;

/** A block's length has 16 bits (§9.1.6). */
const MAX_BLOCK_SAMPLES = 65_535;

/** @throws RangeError for other than the one or two channels that are told */
export function levelTrack(channels: number): AudioTrack {
  return {
    kind: 'audio',
    codecId: 'A_FLAC',
    codecPrivate: streamInfo(channels),
    channels,
    sampleRate: OPUS_RATE,
    codecDelayNs: 0,
    seekPreRollNs: 0,
  };
}

/** `fLaC`, and STREAMINFO as the last metadata block (§8.2): blocks of any length, all else not known beforehand. */
function streamInfo(channels: number): Buffer {
  const bytes = Buffer.alloc(42);
  bytes.write('fLaC\x80\0\0\x22', 'latin1');
  bytes.writeUInt16BE(16, 8);
  bytes.writeUInt16BE(MAX_BLOCK_SAMPLES, 10);
  bytes.writeUInt32BE(OPUS_RATE * 2 ** 12 + (channels - 1) * 2 ** 9 + 23 * 2 ** 4, 18);
  return bytes;
}

export interface LevelSpan {
  /** On the time line, in samples. */
  readonly start: number;
  readonly samples: number;
  /** Decibels, up to {@link LEVEL_SCALE_DB}. */
  readonly gainDb: number;
}

/** Packets of `track` that tell one level for so long. */
export function* levelPackets(
  { start, samples, gainDb }: LevelSpan,
  { track, channels }: { readonly track: number; readonly channels: number },
): Generator<Packet, void, void> {
  const value = Math.round(FULL_SCALE * 10 ** ((gainDb - LEVEL_SCALE_DB) / 20));
  for (let at = 0; at < samples; at += MAX_BLOCK_SAMPLES) {
    const length = Math.min(MAX_BLOCK_SAMPLES, samples - at);
    yield {
      track,
      timeNs: samplesToNs(start + at),
      data: frame({ start: start + at, samples: length, value, channels }),
      keyframe: true,
      durationNs: samplesToNs(length),
      discardPaddingNs: undefined,
    };
  }
}

interface LevelFrame {
  readonly start: number;
  readonly samples: number;
  readonly value: number;
  readonly channels: number;
}

/** §9: 48 kHz, 24 bit, a block of its own length, and of each channel one constant subframe. */
function frame({ start, samples, value, channels }: LevelFrame): Buffer {
  const head = [
    0xff,
    0xf9,
    0x7a,
    ((channels - 1) << 4) | 0x0c,
    ...codedNumber(start % NUMBERS),
    (samples - 1) >> 8,
    (samples - 1) & 0xff,
  ];
  const constant = [0, value >> 16, (value >> 8) & 0xff, value & 0xff];
  const body = Array.from({ length: channels }, () => constant).flat();
  const bytes = [...head, crc(head, CRC_8), ...body];
  const check = crc(bytes, CRC_16);
  return Buffer.from([...bytes, check >> 8, check & 0xff]);
}

/** A number of up to 36 bits, coded as UTF-8 codes characters (§9.1.5). */
function codedNumber(value: number): readonly number[] {
  if (value < 0x80) return [value];
  let more = 1;
  while (value >= 2 ** (5 * more + 6)) more += 1;
  const rest = Array.from({ length: more }, (_, index) => 0x80 | (Math.floor(value / 64 ** (more - 1 - index)) & 0x3f));
  const first = (0xff00 >> (more + 1)) & 0xff;
  return [first | Math.floor(value / 64 ** more), ...rest];
}

const CRC_8 = { bits: 8, polynomial: 0x07 };
const CRC_16 = { bits: 16, polynomial: 0x8005 };

/** §9.1.8 and §9.3: most significant bit first, from zero. */
function crc(
  bytes: readonly number[],
  { bits, polynomial }: { readonly bits: number; readonly polynomial: number },
): number {
  const top = 1 << (bits - 1);
  const mask = (1 << bits) - 1;
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte << (bits - 8);
    for (let bit = 0; bit < 8; bit += 1) sum = ((sum << 1) ^ ((sum & top) === 0 ? 0 : polynomial)) & mask;
  }
  return sum;
}
