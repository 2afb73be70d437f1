/** The beginning of a CELT frame → how loud it is, by the coarse energy of its bands (RFC 6716 §4.3.2.1). */
import type { RangeDecoder } from './range-decoder.ts';

/**
 * The lowest bands, up to 4 kHz, which every bandwidth has: what is above them adds little to how loud speech is, and comes behind
 * them, so that it need not be read.
 */
const BANDS = 13;

/** Edges of the bands in steps of 200 Hz (xiph/opus celt/modes.c, eband5ms). */
const EDGES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20];

/** Mean energy of each band, in sixteenths of 6 dB (xiph/opus celt/quant_bands.c, eMeans). */
const MEANS = [103, 100, 92, 85, 81, 77, 72, 70, 78, 75, 73, 71, 78];

/** Energies are whole numbers: so many make one step of 6 dB. */
const STEP_BITS = 10;
const STEP = 1 << STEP_BITS;

/**
 * In 32768: how far a band follows itself in the frame before, and how much of each step the bands above it follow, by frame length
 * (quant_bands.c, pred_coef and beta_coef).
 */
const FOLLOWS_TIME: readonly number[] = [29_440, 26_112, 21_248, 16_384];
const LEAVES_BAND: readonly number[] = [30_147, 22_282, 12_124, 6_554];
const LEAVES_BAND_ALONE = 4_915;

const TAPSET = Uint8Array.of(2, 1, 0);
const SMALL_STEP = Uint8Array.of(2, 1, 0);

/** Probability of no step and its decay by band, for each frame length: after another frame, and alone (quant_bands.c, e_prob_model). */
const MODELS: readonly Uint8Array[] = [
  [72, 127, 65, 129, 66, 128, 65, 128, 64, 128, 62, 128, 64, 128, 64, 128, 92, 78, 92, 79, 92, 78, 90, 79, 116, 41],
  [24, 179, 48, 138, 54, 135, 54, 132, 53, 134, 56, 133, 55, 132, 55, 132, 61, 114, 70, 96, 74, 88, 75, 88, 87, 74],
  [83, 78, 84, 81, 88, 75, 86, 74, 87, 71, 90, 73, 93, 74, 93, 74, 109, 40, 114, 36, 117, 34, 117, 34, 143, 17],
  [23, 178, 54, 115, 63, 102, 66, 98, 69, 99, 74, 89, 71, 91, 73, 91, 78, 89, 86, 80, 92, 66, 93, 64, 102, 59],
  [61, 90, 93, 60, 105, 42, 107, 41, 110, 45, 116, 38, 113, 38, 112, 38, 124, 26, 132, 27, 136, 19, 140, 20, 155, 14],
  [21, 178, 59, 110, 71, 86, 75, 85, 84, 83, 91, 66, 88, 73, 87, 72, 92, 75, 98, 72, 105, 58, 107, 54, 115, 52],
  [42, 121, 96, 66, 108, 43, 111, 40, 117, 44, 123, 32, 120, 36, 119, 33, 127, 33, 134, 34, 139, 21, 147, 23, 152, 20],
  [22, 178, 63, 114, 74, 82, 84, 83, 92, 82, 103, 62, 96, 72, 96, 67, 101, 73, 107, 72, 113, 55, 118, 52, 125, 52],
].map((model) => Uint8Array.from(model));

/** No band is quieter or louder, and the next frame starts from no less than this (quant_bands.c). */
const MAX_ENERGY = 28 * STEP;
const LEAST_BEFORE = -9 * STEP;

/** What an energy stands for, squared, in sixteenths of a step from the quietest on. */
const POWER_BITS = STEP_BITS - 4;
const POWERS = Float64Array.from(
  { length: ((2 * MAX_ENERGY) >> POWER_BITS) + 1 },
  (_, index) => 4 ** (index / 16 - 28),
);

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
  /** 0 to 3, as a configuration number counts them: 2.5, 5, 10, 20 ms. */
  length: number;
}

/** One for all frames of a stream: bands follow those of the frame before. What was read lies in the fields. */
export class CeltEnergy {
  readonly left = new ChannelEnergy();
  readonly right = new ChannelEnergy();
  #wasStereo = false;

  reset(): void {
    this.left.reset(0);
    this.right.reset(0);
  }

  read(decoder: RangeDecoder, frame: Readonly<CeltFrame>): void {
    const { bits, isStereo, length } = frame;
    if (!isStereo && this.#wasStereo) this.left.mixWith(this.right);
    this.#wasStereo = isStereo;
    if (decoder.tell >= bits || (decoder.tell === 1 && decoder.bit(15))) return this.#silence();
    if (decoder.tell + 16 <= bits) passPostFilter(decoder, bits);
    // Whether short blocks follow.
    if (length > 0 && decoder.tell + 3 <= bits) decoder.bit(3);
    const isAlone = decoder.tell + 3 <= bits && decoder.bit(3);
    this.#readBands(decoder, frame, isAlone);
  }

  #silence(): void {
    this.left.reset(-MAX_ENERGY);
    this.right.reset(-MAX_ENERGY);
  }

  #readBands(decoder: RangeDecoder, { bits, isStereo, length }: Readonly<CeltFrame>, isAlone: boolean): void {
    const { left, right } = this;
    const model = MODELS[length * 2 + (isAlone ? 1 : 0)] ?? NOTHING;
    const time = isAlone ? 0 : (FOLLOWS_TIME[length] ?? 0);
    const band = 32_768 - (isAlone ? LEAVES_BAND_ALONE : (LEAVES_BAND[length] ?? 0));
    left.begin(time, band);
    right.begin(time, band);
    for (let index = 0; index < BANDS; index += 1) {
      const none = (model[2 * index] ?? 0) << 7;
      const decay = (model[2 * index + 1] ?? 0) << 6;
      left.take(index, energyStep(decoder, bits, none, decay));
      if (isStereo) right.take(index, energyStep(decoder, bits, none, decay));
    }
    if (!isStereo) right.follow(left);
  }
}

/** The bands of one channel. */
class ChannelEnergy {
  /** Mean square of the frame, full scale being 1. */
  power = 0;
  readonly #bands = new Int32Array(BANDS);
  /** What the bands below add to the next one. */
  #lower = 0;
  #time = 0;
  #band = 0;

  reset(energy: number): void {
    this.#bands.fill(energy);
    this.power = 0;
  }

  begin(time: number, band: number): void {
    this.#time = time;
    this.#band = band;
    this.#lower = 0;
    this.power = 0;
  }

  take(index: number, steps: number): void {
    const before = Math.max(LEAST_BEFORE, this.#bands[index] ?? 0);
    const predicted = ((this.#time * before) >> 15) + this.#lower;
    const energy = Math.min(Math.max(predicted + steps * STEP, -MAX_ENERGY), MAX_ENERGY);
    this.#bands[index] = energy;
    this.#lower += (steps * this.#band) >> (15 - STEP_BITS);
    this.power += (WEIGHTS[index] ?? 0) * (POWERS[(energy + MAX_ENERGY) >> POWER_BITS] ?? 0);
  }

  /** What was stereo goes on as mono from the louder of both. */
  mixWith(other: ChannelEnergy): void {
    for (const [index, energy] of other.#bands.entries())
      this.#bands[index] = Math.max(this.#bands[index] ?? 0, energy);
  }

  follow(other: ChannelEnergy): void {
    this.#bands.set(other.#bands);
    this.power = other.power;
  }
}

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

/** Period, gain and taps of the filter for pitch (§4.3.7.1). */
function passPostFilter(decoder: RangeDecoder, bits: number): void {
  if (!decoder.bit(1)) return;
  decoder.raw(4 + decoder.uniform(6));
  decoder.raw(3);
  if (decoder.tell + 2 <= bits) decoder.symbol(TAPSET, 2);
}
