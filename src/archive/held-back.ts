/** Chunks → larger pieces that wait in memory: copies, so that whoever wrote them may have their memory back. */
import { release } from '../memory.ts';

/** Written and read back in pieces of about this size: each costs the process the same, however small. */
export const PIECE_BYTES = 1024 * 1024;

export class HeldBack {
  sizeBytes = 0;
  #pieces: Buffer[] = [];

  add(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      const used = this.sizeBytes % PIECE_BYTES;
      const piece = used === 0 ? undefined : this.#pieces.at(-1);
      const copied = chunk.copy(piece ?? this.#begin(), used, at);
      this.sizeBytes += copied;
      at += copied;
    }
  }

  #begin(): Buffer {
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
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
