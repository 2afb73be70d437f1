/** Chunks of any size → contiguous bytes for a parser whose findings are views of them. */

/** A few seconds of sound: what is found in them keeps no more than that. What is short needs less: the first slab is small. */
const SLAB_BYTES = 64 * 1024;
const FIRST_BYTES = 8 * 1024;

/**
 * Bytes received and not yet consumed, copied one behind the other into memory of their own: the chunks may be given up, and a
 * view of what was consumed stays what it is.
 */
export class KeptBytes {
  /** Absolute offset of the first unconsumed byte. */
  offset = 0;
  #slab = NOTHING;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  add(chunk: Buffer): void {
    if (this.#end + chunk.length > this.#slab.length) this.#beginSlab(chunk.length);
    this.#slab.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Everything held, as one buffer. */
  bytes(): Buffer {
    return this.#slab.subarray(this.#start, this.#end);
  }

  /** Forgets the first `count` bytes; at most `length`. */
  consume(count: number): void {
    this.offset += count;
    this.#start += count;
  }

  /** What is waited for may be many slabs long: room for as much again keeps it from being copied once per chunk. */
  #beginSlab(moreBytes: number): void {
    const held = this.bytes();
    const atLeast = this.#slab.length === 0 ? FIRST_BYTES : SLAB_BYTES;
    const slab = Buffer.allocUnsafeSlow(Math.max(atLeast, 2 * held.length + moreBytes));
    slab.set(held);
    this.#slab = slab;
    this.#start = 0;
    this.#end = held.length;
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
