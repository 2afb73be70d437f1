/** The beginning of a CELT frame → how loud it is, by the coarse energy of its bands (RFC 6716 §4.3.2.1). */
import type { RangeDecoder } from './range-decoder.ts';

const BANDS = 21;

/** Bands of each audio bandwidth: narrow, wide, super-wide, full (RFC 6716 §4.3, table 55; medium is never CELT). */
const BANDS_OF: readonly number[] = [13, 17, 19, 21];

/** Edges of the bands in steps of 200 Hz (xiph/opus celt/modes.c, eband5ms). */
const EDGES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 34, 40, 48, 60, 78, 100];

/** Mean energy of each band, in steps of 1/16 of 6 dB (xiph/opus celt/quant_bands.c, eMeans). */
const MEANS = [103, 100, 92, 85, 81, 77, 72, 70, 78, 75, 73, 71, 78, 74, 69, 72, 70, 74, 76, 71, 60];

/** How far a band follows itself in the frame before, and the band below it in the same frame, by frame length (quant_bands.c). */
const FOLLOWS_TIME: readonly number[] = [29440, 26112, 21248, 16384].map((each) => each / 32768);
const FOLLOWS_BAND: readonly number[] = [30147, 22282, 12124, 6554].map((each) => each / 32768);
const FOLLOWS_BAND_ALONE = 4915 / 32768;

const TAPSET = Uint8Array.of(2, 1, 0);
const SMALL_STEP = Uint8Array.of(2, 1, 0);

/** Probability of no step and its decay by band, for each frame length: after another frame, and alone (quant_bands.c, e_prob_model). */
const MODELS: readonly Uint8Array[] = [
  [
    72, 127, 65, 129, 66, 128, 65, 128, 64, 128, 62, 128, 64, 128, 64, 128, 92, 78, 92, 79, 92, 78, 90, 79, 116, 41,
    115, 40, 114, 40, 132, 26, 132, 26, 145, 17, 161, 12, 176, 10, 177, 11,
  ],
  [
    24, 179, 48, 138, 54, 135, 54, 132, 53, 134, 56, 133, 55, 132, 55, 132, 61, 114, 70, 96, 74, 88, 75, 88, 87, 74, 89,
    66, 91, 67, 100, 59, 108, 50, 120, 40, 122, 37, 97, 43, 78, 50,
  ],
  [
    83, 78, 84, 81, 88, 75, 86, 74, 87, 71, 90, 73, 93, 74, 93, 74, 109, 40, 114, 36, 117, 34, 117, 34, 143, 17, 145,
    18, 146, 19, 162, 12, 165, 10, 178, 7, 189, 6, 190, 8, 177, 9,
  ],
  [
    23, 178, 54, 115, 63, 102, 66, 98, 69, 99, 74, 89, 71, 91, 73, 91, 78, 89, 86, 80, 92, 66, 93, 64, 102, 59, 103, 60,
    104, 60, 117, 52, 123, 44, 138, 35, 133, 31, 97, 38, 77, 45,
  ],
  [
    61, 90, 93, 60, 105, 42, 107, 41, 110, 45, 116, 38, 113, 38, 112, 38, 124, 26, 132, 27, 136, 19, 140, 20, 155, 14,
    159, 16, 158, 18, 170, 13, 177, 10, 187, 8, 192, 6, 175, 9, 159, 10,
  ],
  [
    21, 178, 59, 110, 71, 86, 75, 85, 84, 83, 91, 66, 88, 73, 87, 72, 92, 75, 98, 72, 105, 58, 107, 54, 115, 52, 114,
    55, 112, 56, 129, 51, 132, 40, 150, 33, 140, 29, 98, 35, 77, 42,
  ],
  [
    42, 121, 96, 66, 108, 43, 111, 40, 117, 44, 123, 32, 120, 36, 119, 33, 127, 33, 134, 34, 139, 21, 147, 23, 152, 20,
    158, 25, 154, 26, 166, 21, 173, 16, 184, 13, 184, 10, 150, 13, 139, 15,
  ],
  [
    22, 178, 63, 114, 74, 82, 84, 83, 92, 82, 103, 62, 96, 72, 96, 67, 101, 73, 107, 72, 113, 55, 118, 52, 125, 52, 118,
    52, 117, 55, 135, 49, 137, 39, 157, 32, 145, 29, 97, 33, 77, 40,
  ],
].map((model) => Uint8Array.from(model));

/** No band is quieter or louder, in steps of 6 dB, and the next frame starts from no less than this (quant_bands.c). */
const MAX_ENERGY = 28;
const LEAST_BEFORE = -9;

/** What an energy stands for, squared, in sixteenths of a step from the quietest on. */
const POWERS = Float64Array.from({ length: 2 * 16 * MAX_ENERGY + 1 }, (_, index) => 4 ** (index / 16 - MAX_ENERGY));

/** Full scale, fitted against what libopus decodes. */
const FULL_SCALE_DB = -90;

/** Mean square of a band whose energy is 0, full scale being 1, after the de-emphasis (celt/modes.c, preemph). */
const WEIGHTS = Float64Array.from(MEANS, (mean, band) => {
  const hertz = ((EDGES[band] ?? 0) + (EDGES[band + 1] ?? 0)) * 100;
  const emphasis = 1 + 0.85 ** 2 - 1.7 * Math.cos((2 * Math.PI * hertz) / 48_000);
  return (4 ** (mean / 16) / emphasis) * 10 ** (FULL_SCALE_DB / 10);
});

export interface CeltFrame {
  /** Of the whole frame. */
  bits: number;
  isStereo: boolean;
  /** 0 to 3, as a configuration number counts them: narrow, wide, super-wide, full; 2.5, 5, 10, 20 ms. */
  bandwidth: number;
  length: number;
}

/** One for all frames of a stream: bands follow those of the frame before. What it found lies in its field. */
export class CeltEnergy {
  /** Mean square of each channel, full scale being 1. */
  readonly power = new Float64Array(2);
  readonly #bands = new Float64Array(2 * BANDS);
  #wasStereo = false;

  reset(): void {
    this.#bands.fill(0);
    this.power.fill(0);
  }

  read(decoder: RangeDecoder, frame: Readonly<CeltFrame>): void {
    const { bits, isStereo, length } = frame;
    if (!isStereo && this.#wasStereo) this.#mixDown();
    this.#wasStereo = isStereo;
    if (decoder.tell >= bits || (decoder.tell === 1 && decoder.bit(15))) return this.#silence();
    if (decoder.tell + 16 <= bits) passPostFilter(decoder, bits);
    // Whether short blocks follow.
    if (length > 0 && decoder.tell + 3 <= bits) decoder.bit(3);
    const isAlone = decoder.tell + 3 <= bits && decoder.bit(3);
    this.#readChannels(decoder, frame, isAlone);
  }

  #silence(): void {
    this.#bands.fill(-MAX_ENERGY);
    this.power.fill(0);
  }

  /** What was stereo goes on as mono from the louder of both. */
  #mixDown(): void {
    for (let band = 0; band < BANDS; band += 1)
      this.#bands[band] = Math.max(this.#bands[band] ?? 0, this.#bands[BANDS + band] ?? 0);
  }

  #readChannels(decoder: RangeDecoder, frame: Readonly<CeltFrame>, isAlone: boolean): void {
    const { bits, isStereo, bandwidth, length } = frame;
    const model = MODELS[length * 2 + (isAlone ? 1 : 0)] ?? NOTHING;
    const time = isAlone ? 0 : (FOLLOWS_TIME[length] ?? 0);
    const below = 1 - (isAlone ? FOLLOWS_BAND_ALONE : (FOLLOWS_BAND[length] ?? 0));
    const bands = this.#bands;
    const count = BANDS_OF[bandwidth] ?? BANDS;
    const channels = isStereo ? 2 : 1;
    const [lower, power] = [LOWER, this.power];
    lower.fill(0);
    power.fill(0);
    for (let band = 0; band < count; band += 1) {
      const none = (model[2 * band] ?? 0) << 7;
      const decay = (model[2 * band + 1] ?? 0) << 6;
      for (let channel = 0; channel < channels; channel += 1) {
        const at = channel * BANDS + band;
        const step = energyStep(decoder, bits, none, decay);
        const predicted = time * Math.max(LEAST_BEFORE, bands[at] ?? 0) + (lower[channel] ?? 0);
        const energy = Math.min(Math.max(predicted + step, -MAX_ENERGY), MAX_ENERGY);
        bands[at] = energy;
        lower[channel] = (lower[channel] ?? 0) + step * below;
        power[channel] = (power[channel] ?? 0) + (WEIGHTS[band] ?? 0) * powerOf(energy);
      }
    }
    if (isStereo) return;
    bands.copyWithin(BANDS, 0, BANDS);
    power[1] = power[0] ?? 0;
  }
}

/** Of each channel, what the bands below add to a band. */
const LOWER = new Float64Array(2);
const NOTHING = new Uint8Array();

/** What is left of the frame decides how a step is written. */
function energyStep(decoder: RangeDecoder, bits: number, none: number, decay: number): number {
  const left = bits - decoder.tell;
  if (left >= 15) return decoder.laplace(none, decay);
  if (left >= 2) {
    const symbol = decoder.symbol(SMALL_STEP, 2);
    return (symbol >> 1) ^ -(symbol & 1);
  }
  return left >= 1 && !decoder.bit(1) ? 0 : -1;
}

function powerOf(energy: number): number {
  return POWERS[(energy * 16 + 16 * MAX_ENERGY + 0.5) | 0] ?? 0;
}

/** Period, gain and taps of the filter for pitch (§4.3.7.1). */
function passPostFilter(decoder: RangeDecoder, bits: number): void {
  if (!decoder.bit(1)) return;
  decoder.raw(4 + decoder.uniform(6));
  decoder.raw(3);
  if (decoder.tell + 2 <= bits) decoder.symbol(TAPSET, 2);
}
