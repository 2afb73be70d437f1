/** Turns a Range header into the part of an object it asks for. */
import { Failure } from '../failure.ts';
import type { ByteRange } from './archive.ts';

export class RangeNotSatisfiable extends Failure {
  /** A 416 names it in its Content-Range (RFC 9110 15.5.17). */
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    super('range-not-satisfiable', `The range lies outside the recording, which has ${String(sizeBytes)} bytes.`);
    this.sizeBytes = sizeBytes;
  }
}

/**
 * One byte range (RFC 9110 14.1.2), cut to the object. undefined means "answer whole": no header, another unit, several
 * ranges, or nonsense, all of which the RFC lets a server ignore.
 * @throws RangeNotSatisfiable
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.replaceAll(' ', '') ?? '');
  if (match === null) return undefined;
  const [first, last] = [numberOf(match[1]), numberOf(match[2])];
  if (first === undefined) return last === undefined ? undefined : suffix(last, sizeBytes);
  if (last !== undefined && last < first) return undefined;
  if (first >= sizeBytes) throw new RangeNotSatisfiable(sizeBytes);
  return { start: first, end: Math.min(last ?? Infinity, sizeBytes - 1) };
}

function suffix(length: number, sizeBytes: number): ByteRange {
  if (length === 0 || sizeBytes === 0) throw new RangeNotSatisfiable(sizeBytes);
  return { start: Math.max(0, sizeBytes - length), end: sizeBytes - 1 };
}

function numberOf(digits: string | undefined): number | undefined {
  return digits === undefined || digits === '' ? undefined : Number(digits);
}
