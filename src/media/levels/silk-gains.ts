/** The beginning of a SILK frame → how loud it is and whether somebody speaks (RFC 6716 §4.2.3 to §4.2.7.4). */
import type { RangeDecoder } from './range-decoder.ts';

/** Inverse cumulative probabilities of 256 (RFC 6716 §4.2.4 to §4.2.7.4; xiph/opus silk/tables_other.c, silk/tables_gain.c). */
const REDUNDANT_OF_2 = Uint8Array.of(203, 150, 0);
const REDUNDANT_OF_3 = Uint8Array.of(215, 195, 166, 125, 110, 82, 0);
const STEREO_JOINT = Uint8Array.from([
  249, 247, 246, 245, 244, 234, 210, 202, 201, 200, 197, 174, 82, 59, 56, 55, 54, 46, 22, 12, 11, 10, 9, 7, 0,
]);
const STEREO_THIRDS = Uint8Array.of(171, 85, 0);
const STEREO_FIFTHS = Uint8Array.of(205, 154, 102, 51, 0);
const MID_ONLY = Uint8Array.of(64, 0);
const TYPE_SILENT = Uint8Array.of(230, 0);
const TYPE_ACTIVE = Uint8Array.of(232, 158, 10, 0);
const GAIN_HIGH: readonly Uint8Array[] = [
  Uint8Array.of(224, 112, 44, 15, 3, 2, 1, 0),
  Uint8Array.of(254, 237, 192, 132, 70, 23, 4, 0),
  Uint8Array.of(255, 252, 226, 155, 61, 11, 2, 0),
];
const GAIN_LOW = Uint8Array.of(224, 192, 160, 128, 96, 64, 32, 0);
const GAIN_STEP = Uint8Array.from([
  250, 245, 234, 203, 71, 50, 42, 38, 35, 33, 31, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13,
  12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
]);

/** Gains have 64 steps of 1.369 dB; between two frames they fall by 16 at most (§4.2.7.4). */
const MAX_GAIN = 63;
const MAX_FALL = 16;
const STEP_DB = 1.369;
const LARGE_STEP = 8;
const FIRST_GAIN = 10;

/**
 * What a frame of silence, of unvoiced and of voiced speech sounds like at a gain of 40 dB, and what a dB more adds: prediction
 * makes up for the rest. Fitted against what libopus decodes; dB below full scale, root mean square.
 */
const LOUDNESS: readonly (readonly [number, number])[] = [
  [-48, 1],
  [-40, 0.9],
  [-22.5, 0.75],
];

/** Mean square by type and gain, full scale being 1. */
const POWERS: readonly Float64Array[] = LOUDNESS.map(([at40Db, slope]) =>
  Float64Array.from({ length: MAX_GAIN + 1 }, (_, gain) => 10 ** ((at40Db + slope * (gain * STEP_DB - 40)) / 10)),
);

/** What a frame is taken for that says nothing but that nobody speaks: 70 dB below full scale. */
export const QUIET_POWER = 1e-7;

/** A redundant frame is coarser than the one it stands for: its gain is higher by some steps, by so much in power. Fitted. */
const REDUNDANT_FACTOR = 0.25;

/** One for all frames of a stream: each tells its gain by that of the one before. What was read lies in the fields. */
export class SilkGains {
  /**
   * Mean square, full scale being 1; of the first 20 ms of longer frames, and of the middle where there are two channels. Behind
   * redundant frames its own is not reached: then it is that of the frame before, which the redundant one repeats.
   */
  power = 0;
  /** By 20 ms, the first in the lowest bit: somebody speaks, on either channel. */
  voice = 0;
  #gain = FIRST_GAIN;

  reset(): void {
    this.#gain = FIRST_GAIN;
    this.power = 0;
  }

  /** `lengthMs` 10, 20, 40 or 60. */
  read(decoder: RangeDecoder, lengthMs: number, isStereo: boolean): void {
    const frames = Math.max(1, lengthMs / 20);
    const subframes = lengthMs === 10 ? 2 : 4;
    const mid = readVoices(decoder, frames);
    const side = isStereo ? readVoices(decoder, frames) : 0;
    const redundant = 1 << frames;
    this.voice = (mid | side) & (redundant - 1);
    if (((mid | side) & redundant) !== 0) {
      for (const flags of [mid, side]) if ((flags & redundant) !== 0) passRedundantFlags(decoder, frames);
      if (isStereo) passStereo(decoder, (side & redundant) === 0);
      return this.#readRedundant(decoder, subframes);
    }
    if (isStereo) passStereo(decoder, (side & 1) === 0);
    this.#readGains(decoder, (mid & 1) === 1, subframes);
  }

  #readRedundant(decoder: RangeDecoder, subframes: number): void {
    this.#gain = 0;
    this.#readGains(decoder, true, subframes);
    this.power = (this.voice & 1) === 0 ? QUIET_POWER : this.power * REDUNDANT_FACTOR;
    // Where the frame's own gain ends is not known.
    this.#gain = 0;
  }

  #readGains(decoder: RangeDecoder, isActive: boolean, subframes: number): void {
    const type = isActive ? (decoder.symbol(TYPE_ACTIVE) + 2) >> 1 : decoder.symbol(TYPE_SILENT) >> 1;
    const powers = POWERS[type] ?? NOTHING;
    const high = decoder.symbol(GAIN_HIGH[type] ?? GAIN_LOW);
    this.#gain = Math.max(high * 8 + decoder.symbol(GAIN_LOW), this.#gain - MAX_FALL);
    let sum = powers[this.#gain] ?? 0;
    for (let subframe = 1; subframe < subframes; subframe += 1) {
      this.#step(decoder.symbol(GAIN_STEP) - 4);
      sum += powers[this.#gain] ?? 0;
    }
    this.power = sum / subframes;
  }

  /** Beyond a threshold a step counts twice, so that the loudest is within reach. */
  #step(step: number): void {
    const threshold = LARGE_STEP + this.#gain;
    const gain = this.#gain + (step > threshold ? 2 * step - threshold : step);
    this.#gain = Math.min(Math.max(gain, 0), MAX_GAIN);
  }
}

const NOTHING = new Float64Array();

/** Voice by frame, and in the bit above those whether redundant frames follow (§4.2.3). */
function readVoices(decoder: RangeDecoder, frames: number): number {
  let flags = 0;
  for (let frame = 0; frame <= frames; frame += 1) if (decoder.bit(1)) flags |= 1 << frame;
  return flags;
}

/** Which of several frames have a redundant one (§4.2.4). */
function passRedundantFlags(decoder: RangeDecoder, frames: number): void {
  if (frames > 1) decoder.symbol(frames === 2 ? REDUNDANT_OF_2 : REDUNDANT_OF_3);
}

/** How the sides are predicted, and whether there are any (§4.2.7.1, §4.2.7.2). */
function passStereo(decoder: RangeDecoder, maySkipSide: boolean): void {
  decoder.symbol(STEREO_JOINT);
  for (let side = 0; side < 2; side += 1) {
    decoder.symbol(STEREO_THIRDS);
    decoder.symbol(STEREO_FIFTHS);
  }
  if (maySkipSide) decoder.symbol(MID_ONLY);
}
