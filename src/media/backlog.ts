/** Chunks of any size → contiguous bytes for a parser, joined no more often than the parser asks. */

/**
 * Bytes received and not yet consumed. A parser asks for `bytes` only once `length` reaches what it needs to go on, so that
 * what came in many chunks is joined once and not once per chunk.
 */
export class Backlog {
  /** Absolute offset of the first unconsumed byte. */
  offset = 0;
  #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Everything held, as one buffer. */
  bytes(): Buffer {
    const [only] = this.#chunks;
    if (only !== undefined && this.#chunks.length === 1) return only;
    const joined = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = this.#length === 0 ? [] : [joined];
    return joined;
  }

  /** Forgets the first `count` bytes; at most `length`. */
  consume(count: number): void {
    this.offset += count;
    this.#length -= count;
    let left = count;
    while (left > 0) {
      const [first] = this.#chunks;
      if (first === undefined) return;
      if (first.length > left) {
        this.#chunks[0] = first.subarray(left);
        return;
      }
      left -= first.length;
      this.#chunks.shift();
    }
  }
}
