/** The frames of one Opus stream → how loud each is and whether somebody speaks, by its first symbols alone (RFC 6716). */
import { CeltEnergy } from './celt-energy.ts';
import { RangeDecoder } from './range-decoder.ts';
import { SilkGains } from './silk-gains.ts';

const SILK_MS = [10, 20, 40, 60];
const ALL = 0b111;

/** What a decoder makes up for a lost frame is quieter by so much than the frame before: 6 dB. */
const FADE = 0.25;

/** Told its frames in order; what was read of the last one lies in the fields. Nothing is decoded, and nothing thrown. */
export class OpusLevel {
  /** Mean square of each channel, full scale being 1. A frame of one channel is on both; of two in SILK, the middle is on both. */
  left = 0;
  right = 0;
  /** By 20 ms, the first in the lowest bit: somebody speaks. All are set where the frame does not say, as CELT does not. */
  voice = 0;
  readonly #decoder = new RangeDecoder();
  readonly #silk = new SilkGains();
  readonly #celt = new CeltEnergy();
  readonly #frame = { bits: 0, isStereo: false, length: 0 };
  #isCelt = false;
  #silkMs = 0;

  /** The first byte of a packet is about all of its frames (§3.1). */
  begin(toc: number): void {
    const config = toc >> 3;
    const isCelt = config >= 16;
    if (isCelt !== this.#isCelt) this.#reset();
    this.#isCelt = isCelt;
    this.#silkMs = config < 12 ? (SILK_MS[config & 3] ?? 0) : (SILK_MS[config & 1] ?? 0);
    this.#frame.isStereo = (toc & 4) !== 0;
    this.#frame.length = config & 3;
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    if (end - start < 2) return this.#fade();
    this.#decoder.begin(bytes, start, end);
    if (this.#isCelt) this.#readCelt((end - start) * 8);
    else this.#readSilk();
  }

  #readCelt(bits: number): void {
    this.#frame.bits = bits;
    this.#celt.read(this.#decoder, this.#frame);
    this.left = this.#celt.left.power;
    this.right = this.#celt.right.power;
    this.voice = ALL;
  }

  #readSilk(): void {
    this.#silk.read(this.#decoder, this.#silkMs, this.#frame.isStereo);
    this.left = this.#silk.power;
    this.right = this.#silk.power;
    this.voice = this.#silk.voice;
  }

  /** A frame that was lost or left out (§3.2.1, R3). */
  #fade(): void {
    this.left *= FADE;
    this.right *= FADE;
    this.voice = 0;
  }

  #reset(): void {
    this.#silk.reset();
    this.#celt.reset();
  }
}
