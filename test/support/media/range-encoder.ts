/** Symbols → the bytes of an Opus frame (RFC 6716 §5.1), in exact numbers of any length, so that nothing ever carries. */

/** Of 32768, what each of the first sixteen steps of energy has at least. */
const NAMED_STEPS = 16;

export class RangeEncoder {
  #low = 0n;
  #range = 2 ** 31;
  #shifts = 0;

  bit(isSet: boolean, power: number): this {
    const share = Math.floor(this.#range / 2 ** power);
    return isSet ? this.#keep(this.#range - share, share) : this.#keep(0, this.#range - share);
  }

  symbol(symbol: number, inverse: readonly number[], power = 8): this {
    const above = symbol === 0 ? 2 ** power : (inverse[symbol - 1] ?? 0);
    return this.#take(2 ** power - above, 2 ** power - (inverse[symbol] ?? 0), 2 ** power);
  }

  uniform(value: number, count: number): this {
    return this.#take(value, value + 1, count);
  }

  /** As libopus does it (celt/laplace.c, ec_laplace_encode): steps beyond what the range holds are cut. Returns what was written. */
  laplace(wanted: number, none: number, decay: number): number {
    if (wanted === 0) {
      this.#take(0, none, 32768);
      return 0;
    }
    const size = Math.abs(wanted);
    let low = none;
    let width = Math.floor(((32768 - 2 * NAMED_STEPS - none) * (16384 - decay)) / 32768);
    let steps = 1;
    for (; width > 0 && steps < size; steps += 1) {
      low += 2 * width + 2;
      width = Math.floor((2 * width * decay) / 32768);
    }
    if (width === 0) {
      const sign = wanted < 0 ? 1 : 0;
      const most = Math.floor((32768 - low + sign) / 2);
      const more = Math.min(size - steps, most - 1);
      low += 2 * more + 1 - sign;
      this.#take(low, low + Math.min(1, 32768 - low), 32768);
      return (steps + more) * Math.sign(wanted);
    }
    width += 1;
    if (wanted > 0) low += width;
    this.#take(low, low + width, 32768);
    return wanted;
  }

  bytes(): Uint8Array {
    // Any number of the range will do; the first has 31 bits.
    const value = (this.#low + BigInt(Math.floor(this.#range / 2))) << 1n;
    return Uint8Array.from({ length: 4 + this.#shifts }, (_, index) =>
      Number((value >> BigInt(8 * (3 + this.#shifts - index))) & 255n),
    );
  }

  #take(low: number, high: number, total: number): this {
    const unit = Math.floor(this.#range / total);
    if (low === 0) return this.#keep(0, this.#range - unit * (total - high));
    return this.#keep(this.#range - unit * (total - low), unit * (high - low));
  }

  #keep(from: number, size: number): this {
    this.#low += BigInt(from);
    this.#range = size;
    while (this.#range <= 2 ** 23) {
      this.#range *= 256;
      this.#low <<= 8n;
      this.#shifts += 1;
    }
    return this;
  }
}
