/** The part of a recording that a caller asks for → one that lies within it. */
import { Failure } from '../failure.ts';
import type { ByteRange } from './archive.ts';

/** Cut to the end; all of it where none is asked for. @throws Failure `range-not-satisfiable` where it begins behind the end */
export function clipRange(range: ByteRange | undefined, sizeBytes: number): ByteRange {
  const { start, end } = range ?? { start: 0, end: sizeBytes - 1 };
  if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || start > end || start >= sizeBytes) {
    throw new Failure('range-not-satisfiable', `The recording has ${String(sizeBytes)} bytes: ask for a range inside.`);
  }
  return { start, end: Math.min(end, sizeBytes - 1) };
}
