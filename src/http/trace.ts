/** A request's trace headers → the traceparent its messages carry. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { headerOf } from './headers.ts';

/**
 * From `traceparent` (W3C Trace Context), else from `X-Cloud-Trace-Context: TRACE/SPAN;o=1`
 * (https://cloud.google.com/trace/docs/trace-context), else a new one. Always a valid version 00.
 */
export function incomingTraceparent(headers: IncomingHttpHeaders): string {
  return givenTraceparent(headers) ?? fresh();
}

/** The same, but undefined where the caller has no trace: then one may begin here. */
export function givenTraceparent(headers: IncomingHttpHeaders): string | undefined {
  const given = headerOf(headers, 'traceparent');
  if (given !== undefined && isTraceparent(given)) return given;
  return fromCloudTrace(headerOf(headers, 'x-cloud-trace-context'));
}

function isTraceparent(text: string): boolean {
  return /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(text);
}

function fromCloudTrace(text: string | undefined): string | undefined {
  const match = /^([0-9a-f]{32})(?:\/(\d{1,20}))?(?:;o=([01]))?$/i.exec(text ?? '');
  if (match?.[1] === undefined) return undefined;
  const span = BigInt.asUintN(64, BigInt(match[2] ?? '0'));
  const parent = span === 0n ? randomHex().slice(16) : span.toString(16).padStart(16, '0');
  const traceparent = `00-${match[1].toLowerCase()}-${parent}-0${match[3] ?? '0'}`;
  return isTraceparent(traceparent) ? traceparent : undefined;
}

function fresh(): string {
  return `00-${randomHex()}-${randomHex().slice(16)}-00`;
}

/** 32 digits, from the pool that Node fills ahead. */
function randomHex(): string {
  return randomUUID().replaceAll('-', '');
}
