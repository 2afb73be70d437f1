/** Turns bytes that nobody needs any more into free memory at once, instead of whenever the garbage collector gets round to it. */

/** Less is not worth the while, and often shares its memory with others. */
const WORTH_BYTES = 16 * 1024;

/**
 * For bytes that the caller alone holds: afterwards they are empty, for everybody. What is only a part of its memory is left
 * alone. V8 counts such memory without collecting for it alone: an hour of WAV took a third more CPU and 40 MB without this.
 */
export function release(bytes: Buffer): void {
  const { buffer } = bytes;
  if (bytes.length < WORTH_BYTES || bytes.length < buffer.byteLength || !(buffer instanceof ArrayBuffer)) return;
  buffer.transfer(0);
}
