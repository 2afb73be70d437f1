/** Evaluates the conditions of a request against the entity tag of what lies there (RFC 9110 13). */
import type { IncomingHttpHeaders } from 'node:http';

/** Whether a GET or HEAD is to be answered 304; weak comparison (13.1.2). */
export function notModified(headers: IncomingHttpHeaders, etag: string): boolean {
  const given = headers['if-none-match'];
  if (given === undefined) return false;
  return given.trim() === '*' || given.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** Whether a Range header was meant for these bytes; strong comparison, dates never match (13.1.5). */
export function rangeHolds(headers: IncomingHttpHeaders, etag: string | undefined): boolean {
  const condition = headers['if-range'];
  return typeof condition !== 'string' || (etag !== undefined && condition.trim() === etag);
}
