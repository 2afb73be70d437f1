/** Chunks → larger pieces that wait in memory: copies, so that whoever wrote them may have their memory back. */
import { release } from '../memory.ts';

/** Written and read back in pieces of about this size: each costs the process the same, however small. */
export const PIECE_BYTES = 1024 * 1024;

/** Room for what is short; the first piece is as large as the others once it needs to be. */
const FIRST_BYTES = 32 * 1024;

export class HeldBack {
  sizeBytes = 0;
  #pieces: Buffer[] = [];

  add(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      const used = this.sizeBytes % PIECE_BYTES;
      const copied = chunk.copy(this.#room(used, chunk.length - at), used, at);
      this.sizeBytes += copied;
      at += copied;
    }
  }

  /** The last piece, of which `used` bytes are taken, with room for `wanted` more or as many as it may hold. */
  #room(used: number, wanted: number): Buffer {
    const last = used === 0 ? undefined : this.#pieces.at(-1);
    if (last !== undefined && (last.length === PIECE_BYTES || used + wanted <= last.length)) return last;
    const isShort = this.#pieces.length === 0 && wanted <= FIRST_BYTES;
    const piece = Buffer.allocUnsafeSlow(isShort ? FIRST_BYTES : PIECE_BYTES);
    if (last !== undefined) {
      last.copy(piece);
      release(last);
      this.#pieces.pop();
    }
    this.#pieces.push(piece);
    return piece;
  }

  /** All of it in order, until it is emptied. */
  pieces(): readonly Buffer[] {
    return this.#pieces.map((piece, index) => piece.subarray(0, this.sizeBytes - index * PIECE_BYTES));
  }

  /** Only when nobody writes from the pieces any more: their memory is gone at once. */
  empty(): void {
    for (const piece of this.#pieces) release(piece);
    this.#pieces = [];
    this.sizeBytes = 0;
  }
}
