/** The conditions and the Range of a request → what of a stored recording it is to be answered with (RFC 9110 13 and 14). */
import type { IncomingHttpHeaders } from 'node:http';
import type { ByteRange } from '../archive/archive.ts';
import { Failure } from '../failure.ts';

export class RangeNotSatisfiable extends Failure {
  /** A 416 names it in its Content-Range (RFC 9110 15.5.17). */
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    super('range-not-satisfiable', `The range lies outside the recording, which has ${String(sizeBytes)} bytes.`);
    this.sizeBytes = sizeBytes;
  }
}

/** Whether a GET or HEAD is to be answered 304; weak comparison (13.1.2). */
export function isUnchanged(headers: IncomingHttpHeaders, etag: string): boolean {
  const given = headers['if-none-match'];
  if (given === undefined) return false;
  return given.trim() === '*' || given.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** Whoever goes on with what they have of another object is told so; strong comparison (13.1.1). @throws Failure with status 412 */
export function requireMatch(headers: IncomingHttpHeaders, etag: string): void {
  const given = headers['if-match'];
  if (given === undefined || given.trim() === '*' || given.split(',').some((tag) => tag.trim() === etag)) return;
  throw new Failure('bad-request', 'The recording is another one than If-Match names; ask for it anew.', {
    status: 412,
  });
}

/** The part that a GET asks for; undefined where it is to be answered whole. @throws RangeNotSatisfiable */
export function partAsked(
  headers: IncomingHttpHeaders,
  { etag, sizeBytes }: { readonly etag: string; readonly sizeBytes: number },
): ByteRange | undefined {
  return isMeantFor(headers, etag) ? parseRange(headers.range, sizeBytes) : undefined;
}

/** Whether a Range header was meant for these bytes; strong comparison, dates never match (13.1.5). */
function isMeantFor(headers: IncomingHttpHeaders, etag: string): boolean {
  const condition = headers['if-range'];
  return typeof condition !== 'string' || condition.trim() === etag;
}

/** A list may have blanks and empty elements around its only member (5.6.1.2). */
const ONE_RANGE = /^bytes=[ \t,]*(\d*)-(\d*)[ \t,]*$/i;

/**
 * One byte range (14.1.2), cut to the object. undefined means "answer whole": no header, another unit, several
 * ranges, or nonsense, all of which the RFC lets a server ignore.
 * @throws RangeNotSatisfiable
 */
function parseRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  const match = ONE_RANGE.exec(header ?? '');
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

/** Beyond all sizes it is Infinity. */
function numberOf(digits: string | undefined): number | undefined {
  return digits === undefined || digits === '' ? undefined : Number(digits);
}
