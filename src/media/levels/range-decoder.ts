/** The bytes of an Opus frame → its symbols, one after the other, as far as somebody asks (RFC 6716 §4.1). */

/** A range that is no larger has to be widened by a byte. */
const BOTTOM = 2 ** 23;

/** Of 32768, what each of the sixteen steps up and down has at least (RFC 6716 §4.3.2.1). */
const NAMED_STEPS = 16;

/** With fewer bits left, steps are written in another way (quant_bands.c). */
const STEP_BITS = 15;

const NOTHING = new Uint8Array();

/**
 * One for all frames: `begin` starts anew. It never fails and never loops: behind the end of the bytes come zeros, and each
 * symbol takes a bounded number of steps, whatever the bytes are.
 *
 * All numbers are signed and of 32 bits, because V8 keeps no others without allocating. The range alone may reach 2^31, where it
 * turns negative: it is shifted by `>>>` and compared after `>>> 0`, and its differences are right as they are.
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
    this.#rawWindow = 0;
    this.#rawBits = 0;
    // The first 31 bits, each of them turned (§4.1.1).
    const front = (this.#next() << 24) | (this.#next() << 16) | (this.#next() << 8);
    this.#last = this.#next();
    this.#value = ~((front | this.#last) >>> 1) & 0x7fff_ffff;
    this.#range = 1 << 31;
    this.#bits = 33;
  }

  /** Bits that what was read so far takes, rounded up (§4.1.6.1). */
  get tell(): number {
    return this.#bits - 32 + Math.clz32(this.#range);
  }

  /** Whether what has a probability of 1 in 2^`power` is so (§4.1.3.2). */
  bit(power: number): boolean {
    const share = this.#range >>> power;
    if (this.#value < share) {
      this.#keep(0, share);
      return true;
    }
    this.#keep(share, (this.#range - share) | 0);
    return false;
  }

  /** The symbol of a table of inverse cumulative probabilities, in 2^`power`, whose last is 0 (§4.1.3.3). */
  symbol(inverse: Uint8Array, power = 8): number {
    const unit = this.#range >>> power;
    const value = this.#value;
    let symbol = 0;
    let above = this.#range;
    let edge = Math.imul(unit, inverse[0] ?? 0);
    while (value < edge) {
      symbol += 1;
      above = edge;
      edge = Math.imul(unit, inverse[symbol] ?? 0);
    }
    this.#keep(edge, (above - edge) | 0);
    return symbol;
  }

  /** One of `count` that are all as likely, 256 at most (§4.1.5). */
  uniform(count: number): number {
    const unit = ((this.#range >>> 0) / count) | 0;
    const found = count - Math.min(((this.#value / unit) | 0) + 1, count);
    const edge = Math.imul(unit, count - found - 1);
    this.#keep(edge, found === 0 ? (this.#range - edge) | 0 : unit);
    return found;
  }

  /**
   * Steps of energy, one by each number of the model, as long as {@link STEP_BITS} of all `bits` are left. The upper half of a
   * number says how likely none is, in 32768, the lower how likely each further one is behind the one before, in 16384
   * (§4.3.2.1). Returns how many were read.
   *
   * Nearly all that is read of a recording is read here. So the state is in variables meanwhile; and since no processor guesses
   * which of the three likely steps comes (none, one down, one up, in this order from the top of the range), they are told apart
   * by masks, which are -1 where the value lies below an edge.
   */
  steps(model: Int32Array, bits: number, found: Int32Array): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at;
    let range = this.#range;
    let value = this.#value;
    let last = this.#last;
    let read = this.#bits;
    let count = 0;
    for (; count < model.length; count += 1) {
      if (bits - read + 32 - Math.clz32(range) < STEP_BITS) break;
      const chances = model[count] ?? 0;
      const none = chances >> 16;
      const decay = chances & 0xffff;
      const unit = range >>> 15;
      const width = Math.imul(unit, firstWidth(none, decay));
      const edge = Math.imul(unit, 32_768 - none);
      if (value < ((edge - 2 * width) | 0)) {
        this.#value = value;
        this.#range = range;
        found[count] = this.#farStep(none, decay);
        value = this.#value;
        range = this.#range;
      } else {
        const isSome = (value - edge) >> 31;
        const isUp = (value - edge + width) >> 31;
        found[count] = isSome - 2 * isUp;
        value = (value - edge + (isSome & width) + (isUp & width)) | 0;
        range = (isSome & width) | (~isSome & (range - edge));
      }
      // As in #widen.
      while (range >>> 0 <= BOTTOM) {
        const before = last;
        last = at < end ? (bytes[at] ?? 0) : 0;
        at += 1;
        read += 8;
        range <<= 8;
        value = ((value << 8) | (255 & ~(((before << 8) | last) >> 1))) & 0x7fff_ffff;
      }
    }
    this.#at = at;
    this.#range = range;
    this.#value = value;
    this.#last = last;
    this.#bits = read;
    return count;
  }

  /** A step of two or more. What is left of the range is not widened. */
  #farStep(none: number, decay: number): number {
    const value = this.#value;
    const unit = this.#range >>> 15;
    let steps = 1;
    let low = none;
    let width = firstWidth(none, decay);
    while (width > 1 && value < Math.imul(unit, 32_768 - low - 2 * width)) {
      low += 2 * width;
      width = (Math.imul(2 * width - 2, decay) >> 15) + 1;
      steps += 1;
    }
    if (width <= 1) {
      const place = 32_768 - Math.min(((value / unit) | 0) + 1, 32_768);
      const more = (place - low) >> 1;
      steps += more;
      low += 2 * more;
    }
    const middle = low + width;
    const isUp = value < Math.imul(unit, 32_768 - middle);
    const high = isUp ? Math.min(middle + width, 32_768) : middle;
    this.#value = value - Math.imul(unit, 32_768 - high);
    this.#range = Math.imul(unit, isUp ? high - middle : width);
    return isUp ? steps : -steps;
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
    this.#value = (this.#value - edge) | 0;
    this.#range = size;
    if (size >>> 0 <= BOTTOM) this.#widen();
  }

  #widen(): void {
    while (this.#range >>> 0 <= BOTTOM) {
      const before = this.#last;
      this.#last = this.#next();
      this.#bits += 8;
      this.#range <<= 8;
      const bits = ((before << 8) | this.#last) >> 1;
      this.#value = ((this.#value << 8) | (255 & ~bits)) & 0x7fff_ffff;
    }
  }

  #next(): number {
    const at = this.#at;
    this.#at = at + 1;
    return at < this.#end ? (this.#bytes[at] ?? 0) : 0;
  }

  #previous(): number {
    if (this.#back <= this.#start) return 0;
    this.#back -= 1;
    return this.#bytes[this.#back] ?? 0;
  }
}

/** How likely one step up is, and as likely one down, in 32768. */
function firstWidth(none: number, decay: number): number {
  return (Math.imul(32_768 - 2 * NAMED_STEPS - none, 16_384 - decay) >> 15) + 1;
}
