/** The beginning of a CELT frame → how loud it is, by the coarse energy of its bands (RFC 6716 §4.3.2.1). */
import type { RangeDecoder } from './range-decoder.ts';

/**
 * The lowest bands, up to 2.4 kHz, where the tones of telephones lie as well: what is above them adds nothing to how well the
 * level goes with that of the decoded speech, and comes behind them, so that it need not be read.
 */
const BANDS = 10;

/** Edges of the bands in steps of 200 Hz (xiph/opus celt/modes.c, eband5ms). */
const EDGES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12];

/** Mean energy of each band, in sixteenths of 6 dB (xiph/opus celt/quant_bands.c, eMeans). */
const MEANS = [103, 100, 92, 85, 81, 77, 72, 70, 78, 75];

/** Energies are whole numbers: so many make one step of 6 dB. */
const STEP_BITS = 10;
const STEP = 1 << STEP_BITS;

const TAPSET = Uint8Array.of(2, 1, 0);
const SMALL_STEP = Uint8Array.of(2, 1, 0);

/** Probability of no step and its decay by band, for each frame length: after another frame, and alone (quant_bands.c, e_prob_model). */
const PROBABILITIES: readonly (readonly number[])[] = [
  [72, 127, 65, 129, 66, 128, 65, 128, 64, 128, 62, 128, 64, 128, 64, 128, 92, 78, 92, 79],
  [24, 179, 48, 138, 54, 135, 54, 132, 53, 134, 56, 133, 55, 132, 55, 132, 61, 114, 70, 96],
  [83, 78, 84, 81, 88, 75, 86, 74, 87, 71, 90, 73, 93, 74, 93, 74, 109, 40, 114, 36],
  [23, 178, 54, 115, 63, 102, 66, 98, 69, 99, 74, 89, 71, 91, 73, 91, 78, 89, 86, 80],
  [61, 90, 93, 60, 105, 42, 107, 41, 110, 45, 116, 38, 113, 38, 112, 38, 124, 26, 132, 27],
  [21, 178, 59, 110, 71, 86, 75, 85, 84, 83, 91, 66, 88, 73, 87, 72, 92, 75, 98, 72],
  [42, 121, 96, 66, 108, 43, 111, 40, 117, 44, 123, 32, 120, 36, 119, 33, 127, 33, 134, 34],
  [22, 178, 63, 114, 74, 82, 84, 83, 92, 82, 103, 62, 96, 72, 96, 67, 101, 73, 107, 72],
];

/** In 32768, by frame length: how far a band follows itself in the frame before, and how little the steps below it (pred_coef, beta_coef). */
const FOLLOWS_TIME: readonly number[] = [29_440, 26_112, 21_248, 16_384];
const LEAVES_BELOW: readonly number[] = [30_147, 22_282, 12_124, 6_554];
const LEAVES_BELOW_ALONE = 4_915;

/** How the energies of a frame are written. */
interface EnergyModel {
  /** Of each step, for {@link RangeDecoder.steps}: of one channel, and of two, whose steps take turns. */
  readonly mono: Int32Array;
  readonly stereo: Int32Array;
  /** In 32768: how much of itself in the frame before a band keeps, and of the steps of the bands below. */
  readonly time: number;
  readonly below: number;
}

/** By frame length, after another frame and alone. */
const MODELS: readonly EnergyModel[] = PROBABILITIES.map((bands, index) => {
  const isAlone = index % 2 === 1;
  const length = index >> 1;
  return {
    mono: stepModel(bands, 1),
    stereo: stepModel(bands, 2),
    time: isAlone ? 0 : (FOLLOWS_TIME[length] ?? 0),
    below: 32_768 - (isAlone ? LEAVES_BELOW_ALONE : (LEAVES_BELOW[length] ?? 0)),
  };
});

function stepModel(bands: readonly number[], channels: number): Int32Array {
  return Int32Array.from({ length: BANDS * channels }, (_, index) => {
    const band = Math.floor(index / channels);
    const none = (bands[2 * band] ?? 0) << 7;
    const decay = (bands[2 * band + 1] ?? 0) << 6;
    return (none << 16) | decay;
  });
}

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
  readonly #steps = new Int32Array(2 * BANDS);
  #wasStereo = false;

  reset(): void {
    this.left.reset(0);
    this.right.reset(0);
  }

  read(decoder: RangeDecoder, { bits, isStereo, length }: Readonly<CeltFrame>): void {
    if (isStereo !== this.#wasStereo) this.#turn(isStereo);
    const tell = decoder.tell;
    if (tell >= bits || (tell === 1 && decoder.bit(15))) return this.#silence();
    if (decoder.tell + 16 <= bits) passPostFilter(decoder, bits);
    // Whether short blocks follow.
    if (length > 0 && decoder.tell + 3 <= bits) decoder.bit(3);
    const isAlone = decoder.tell + 3 <= bits && decoder.bit(3);
    const model = MODELS[2 * length + (isAlone ? 1 : 0)];
    if (model === undefined) return;
    this.#readSteps(decoder, bits, isStereo ? model.stereo : model.mono);
    this.left.follow(this.#steps, isStereo ? EVEN : EACH, model);
    if (isStereo) this.right.follow(this.#steps, ODD, model);
    else this.right.power = this.left.power;
  }

  /** At the end of a frame steps are small, and behind it they go down (quant_bands.c). */
  #readSteps(decoder: RangeDecoder, bits: number, model: Int32Array): void {
    const steps = this.#steps;
    for (let index = decoder.steps(model, bits, steps); index < model.length; index += 1) {
      const left = bits - decoder.tell;
      const symbol = left >= 2 ? decoder.symbol(SMALL_STEP, 2) : left >= 1 && !decoder.bit(1) ? 0 : 1;
      steps[index] = (symbol >> 1) ^ -(symbol & 1);
    }
  }

  /** What was stereo goes on as mono from the louder of both, what was mono as stereo from the same on both. */
  #turn(isStereo: boolean): void {
    this.#wasStereo = isStereo;
    if (isStereo) this.right.takeFrom(this.left);
    else this.left.mixWith(this.right);
  }

  #silence(): void {
    this.left.reset(-MAX_ENERGY);
    this.right.reset(-MAX_ENERGY);
  }
}

/** Which of the steps of a frame are of a channel. */
interface StepTurn {
  readonly first: number;
  readonly stride: number;
}
const EACH: StepTurn = { first: 0, stride: 1 };
const EVEN: StepTurn = { first: 0, stride: 2 };
const ODD: StepTurn = { first: 1, stride: 2 };

/** The bands of one channel. */
class ChannelEnergy {
  /** Mean square of the frame, full scale being 1. */
  power = 0;
  readonly #bands = new Int32Array(BANDS);

  reset(energy: number): void {
    this.#bands.fill(energy);
    this.power = 0;
  }

  /** Goes a frame on by those of its steps that are of this channel. */
  follow(steps: Int32Array, { first, stride }: StepTurn, { time, below }: EnergyModel): void {
    const bands = this.#bands;
    let power = 0;
    // What the bands below add to the next one.
    let lower = 0;
    for (let index = 0; index < BANDS; index += 1) {
      const step = steps[first + index * stride] ?? 0;
      const before = Math.max(bands[index] ?? 0, LEAST_BEFORE);
      const wanted = (Math.imul(time, before) >> 15) + lower + step * STEP;
      const energy = Math.min(Math.max(wanted, -MAX_ENERGY), MAX_ENERGY);
      bands[index] = energy;
      lower += Math.imul(step, below) >> (15 - STEP_BITS);
      power += (WEIGHTS[index] ?? 0) * (POWERS[(energy + MAX_ENERGY) >> POWER_BITS] ?? 0);
    }
    this.power = power;
  }

  mixWith(other: ChannelEnergy): void {
    for (const [index, energy] of other.#bands.entries())
      this.#bands[index] = Math.max(this.#bands[index] ?? 0, energy);
  }

  takeFrom(other: ChannelEnergy): void {
    this.#bands.set(other.#bands);
  }
}

/** Period, gain and taps of the filter for pitch (§4.3.7.1). */
function passPostFilter(decoder: RangeDecoder, bits: number): void {
  if (!decoder.bit(1)) return;
  decoder.raw(4 + decoder.uniform(6));
  decoder.raw(3);
  if (decoder.tell + 2 <= bits) decoder.symbol(TAPSET, 2);
}
