/** The bytes of an Opus frame → its symbols, one after the other, as far as somebody asks (RFC 6716 §4.1). */

/** A range that is no larger has to be widened by a byte. */
const BOTTOM = 2 ** 23;

/** Of 32768, what each of the sixteen steps up and down has at least (RFC 6716 §4.3.2.1). */
const NAMED_STEPS = 16;

const NOTHING = new Uint8Array();

/**
 * One for all frames: `begin` starts anew. It never fails and never loops: behind the end of the bytes come zeros, and each
 * symbol takes a bounded number of steps, whatever the bytes are.
 */
export class RangeDecoder {
  #bytes: Uint8Array = NOTHING;
  #start = 0;
  #end = 0;
  /** The next byte, and the one behind the next that is read from the end. */
  #at = 0;
  #back = 0;
  #range = 0;
  #value = 0;
  #last = 0;
  #bits = 0;
  #rawWindow = 0;
  #rawBits = 0;

  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#at = start;
    this.#back = end;
    this.#bits = 9;
    this.#range = 128;
    this.#last = this.#next();
    this.#value = 127 - (this.#last >> 1);
    this.#rawWindow = 0;
    this.#rawBits = 0;
    this.#widen();
  }

  /** Bits that what was read so far takes, rounded up (§4.1.6.1). */
  get tell(): number {
    return this.#bits - 32 + Math.clz32(this.#range);
  }

  /** Whether what has a probability of 1 in 2^`power` is so (§4.1.3.2). */
  bit(power: number): boolean {
    const share = this.#range >>> power;
    const isSet = this.#value < share;
    if (!isSet) this.#value -= share;
    this.#range = isSet ? share : this.#range - share;
    this.#widen();
    return isSet;
  }

  /** The symbol of a table of inverse cumulative probabilities, in 2^`power`, whose last is 0 (§4.1.3.3). */
  symbol(inverse: Uint8Array, power = 8): number {
    const unit = this.#range >>> power;
    let symbol = 0;
    let above = this.#range;
    let edge = unit * (inverse[0] ?? 0);
    while (this.#value < edge) {
      symbol += 1;
      above = edge;
      edge = unit * (inverse[symbol] ?? 0);
    }
    this.#value -= edge;
    this.#range = above - edge;
    this.#widen();
    return symbol;
  }

  /** One of `count` that are all as likely, 256 at most (§4.1.5). */
  uniform(count: number): number {
    const unit = Math.floor(this.#range / count);
    const found = count - Math.min(((this.#value / unit) | 0) + 1, count);
    const edge = unit * (count - found - 1);
    this.#keep(edge, found === 0 ? this.#range - edge : unit);
    return found;
  }

  /**
   * A step of energy: none in `none` of 32768, each further one as likely as `decay` in 16384 of the one before (§4.3.2.1). Nearly
   * all that is read of a frame is this, so it divides nothing until it has to.
   */
  laplace(none: number, decay: number): number {
    const unit = this.#range >>> 15;
    const value = this.#value;
    let edge = unit * (32768 - none);
    if (value >= edge) {
      this.#keep(edge, this.#range - edge);
      return 0;
    }
    let steps = 1;
    let low = none;
    let width = (((32768 - 2 * NAMED_STEPS - none) * (16384 - decay)) >> 15) + 1;
    while (width > 1 && value < unit * (32768 - low - 2 * width)) {
      width *= 2;
      low += width;
      width = (((width - 2) * decay) >> 15) + 1;
      steps += 1;
    }
    if (width <= 1) {
      const at = 32768 - Math.min(((value / unit) | 0) + 1, 32768);
      const more = (at - low) >> 1;
      steps += more;
      low += 2 * more;
    }
    edge = unit * (32768 - low - width);
    if (value >= edge) {
      this.#keep(edge, unit * width);
      return -steps;
    }
    const high = Math.min(low + 2 * width, 32768);
    edge = unit * (32768 - high);
    this.#keep(edge, unit * (high - low - width));
    return steps;
  }

  /** So many bits, 16 at most, of those that lie at the end of the frame, its last byte first (§4.1.4). */
  raw(count: number): number {
    while (this.#rawBits < count) {
      this.#rawWindow |= this.#previous() << this.#rawBits;
      this.#rawBits += 8;
    }
    const found = this.#rawWindow & ((1 << count) - 1);
    this.#rawWindow >>>= count;
    this.#rawBits -= count;
    this.#bits += count;
    return found;
  }

  /** Keeps `size` of the range, from `edge` on. */
  #keep(edge: number, size: number): void {
    this.#value -= edge;
    this.#range = size;
    this.#widen();
  }

  #widen(): void {
    while (this.#range <= BOTTOM) {
      const before = this.#last;
      this.#last = this.#next();
      this.#bits += 8;
      this.#range *= 256;
      const bits = ((before << 8) | this.#last) >> 1;
      this.#value = ((this.#value << 8) + (255 & ~bits)) & 0x7fff_ffff;
    }
  }

  #next(): number {
    if (this.#at >= this.#end) return 0;
    const byte = this.#bytes[this.#at] ?? 0;
    this.#at += 1;
    return byte;
  }

  #previous(): number {
    if (this.#back <= this.#start) return 0;
    this.#back -= 1;
    return this.#bytes[this.#back] ?? 0;
  }
}
