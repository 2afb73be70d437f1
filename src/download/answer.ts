/** Turns one request for media into one checked answer: allowed hops only, bytes as they are, and a body whose end can be proved. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { request } from 'undici';
import type { Dispatcher } from 'undici';
import { Failure } from '../failure.ts';
import type { FailureCode } from '../failure.ts';
import { networkFailure } from '../network-failure.ts';
import { READ_BYTES } from './body.ts';
import type { Hosts } from './hosts.ts';
import { parseRetryAfter } from '../waiting.ts';

/** Where media lies right now. Both parts are secrets: the URL is signed, the headers may hold a token. */
export interface MediaLocation {
  readonly url: URL;
  /** Sent to the origin of `url` only; a redirect to another origin goes without them. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Bytes `start` to `end` inclusive (to the last one without `end`) of exactly the version `etag` names. */
export interface MediaRange {
  readonly start: number;
  readonly end?: number;
  readonly etag: string;
}

export interface MediaRequest {
  readonly location: MediaLocation;
  readonly range: MediaRange | undefined;
}

export interface MediaAnswer {
  /** Ends normally only when Content-Length or the last chunk proved the end. Must be read to its end or discarded. */
  readonly body: Readable;
  /** 206: the body is exactly the range that was asked for. */
  readonly partial: boolean;
  /** Offset in the media of the body's first byte. */
  readonly start: number;
  /** Size of the whole media; undefined when chunked. */
  readonly totalBytes: number | undefined;
  /** Strong validators only (RFC 9110 §8.8.1): a weak one does not promise equal bytes. */
  readonly etag: string | undefined;
  /** Lower case, without parameters; empty where there is none. */
  readonly contentType: string;
  readonly acceptsRanges: boolean;
}

/** One try broke and another may go on; `failure` is what to say when none does. */
export class Interruption extends Error {
  readonly failure: Failure;
  /** The location has had its day: only a new one may help. */
  readonly stale: boolean;

  constructor(failure: Failure, stale = false) {
    super(failure.message, { cause: failure });
    this.name = 'Interruption';
    this.failure = failure;
    this.stale = stale;
  }
}

const MAX_HOPS = 2;

/**
 * Answers 200 with the whole media, or 206 with exactly the range that was asked for. Undefined where the range is not to be
 * had (ignored conditions, another version, another extent): the media has to be read from its start.
 * @throws Interruption where another try may help, Failure where it will not
 */
export async function requestMedia(
  asked: MediaRequest,
  through: { readonly hosts: Hosts; readonly dispatcher: Dispatcher },
  signal: AbortSignal,
): Promise<MediaAnswer | undefined> {
  const { response, host } = await follow(asked, through, signal);
  try {
    if (asked.range !== undefined && [412, 416].includes(response.statusCode)) return unusable(response);
    checkStatus(response, host);
    return readAnswer(response, asked.range) ?? unusable(response);
  } catch (thrown) {
    discard(response.body);
    throw thrown;
  }
}

/** Lets go of a body nobody will read; its connection ends with it. */
export function discard(body: Readable): void {
  body.on('error', () => {}).destroy();
}

function unusable(response: Dispatcher.ResponseData): undefined {
  discard(response.body);
}

async function follow(
  asked: MediaRequest,
  through: { readonly hosts: Hosts; readonly dispatcher: Dispatcher },
  signal: AbortSignal,
): Promise<{ response: Dispatcher.ResponseData; host: string }> {
  let { url, headers } = asked.location;
  for (let hops = 0; ; hops++) {
    through.hosts.checkMedia(url);
    const response = await request(url, {
      dispatcher: through.dispatcher,
      headers: { ...headers, 'accept-encoding': 'identity', ...rangeHeaders(asked.range) },
      highWaterMark: READ_BYTES,
      signal,
    });
    const target = redirectOf(response, url);
    if (target === undefined) return { response, host: url.host };
    discard(response.body);
    if (hops >= MAX_HOPS) {
      throw new Failure('host-refused', 'The media host redirected too often; its answers were not followed further.');
    }
    if (target.origin !== url.origin) headers = {};
    url = target;
  }
}

/** RFC 9110 §13.1.1: with If-Match a changed file answers 412; where it is ignored, the validator of the 206 tells. */
function rangeHeaders(range: MediaRange | undefined): Record<string, string> {
  if (range === undefined) return {};
  return {
    range: `bytes=${String(range.start)}-${range.end === undefined ? '' : String(range.end)}`,
    'if-match': range.etag,
  };
}

function redirectOf(response: Dispatcher.ResponseData, from: URL): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(response.statusCode)) return undefined;
  const target = single(response.headers, 'location');
  if (target !== undefined && URL.canParse(target, from.href)) return new URL(target, from);
  discard(response.body);
  throw new Failure('upstream-error', 'The media host redirected to nowhere.');
}

function checkStatus(response: Dispatcher.ResponseData, host: string): void {
  const { statusCode: status } = response;
  if (status === 200 || status === 206) return;
  const afterMs = parseRetryAfter(response.headers['retry-after'], new Date());
  const because = { facts: { host, upstreamStatus: status }, ...(afterMs === undefined ? {} : { afterMs }) };
  if (status === 202) throw new Failure('not-ready', 'Genesys is still preparing the media; ask again later.', because);
  if (status === 404 || status === 410) {
    throw new Failure('gone', `The media is no longer where Genesys said it lies (${String(status)}).`, because);
  }
  if (status === 401 || status === 403) {
    const text = `The media host refused each fresh media URL (${String(status)}); check the clock of this machine and the permissions of the OAuth client.`;
    throw new Interruption(new Failure('forbidden', text, because), true);
  }
  const failure = new Failure(codeOf(status), `The media host answered ${String(status)}; try again later.`, because);
  // S3 answers 400 (ExpiredToken) where the credentials behind a signed URL have expired before the URL has.
  if (status === 400) throw new Interruption(failure, true);
  throw status >= 500 || status === 408 || status === 429 ? new Interruption(failure) : failure;
}

function codeOf(status: number): FailureCode {
  if (status === 429) return 'rate-limited';
  if (status === 503) return 'upstream-unavailable';
  return status === 408 || status === 504 ? 'upstream-timeout' : 'upstream-error';
}

function readAnswer(response: Dispatcher.ResponseData, range: MediaRange | undefined): MediaAnswer | undefined {
  const { headers, body } = response;
  const lengthBytes = provenLength(headers);
  refuseEncoding(headers);
  const etag = strongEtag(headers);
  const about = {
    body,
    etag,
    contentType: (single(headers, 'content-type') ?? '').split(';', 1).join('').trim().toLowerCase(),
    acceptsRanges: single(headers, 'accept-ranges')?.toLowerCase() === 'bytes',
  };
  if (response.statusCode === 200) return { ...about, partial: false, start: 0, totalBytes: lengthBytes };
  if (range === undefined)
    throw new Failure('upstream-error', 'The media host sent a part although the whole was asked for.');
  const extent = parseContentRange(single(headers, 'content-range'));
  if (extent === undefined || etag !== range.etag || extent.start !== range.start) return undefined;
  if (extent.end !== (range.end ?? extent.totalBytes - 1)) return undefined;
  if (lengthBytes !== undefined && lengthBytes !== extent.end - extent.start + 1) return undefined;
  return { ...about, partial: true, start: extent.start, totalBytes: extent.totalBytes };
}

/** RFC 9112 §6.3: what is delimited by closing the connection ends well wherever it is cut. */
function provenLength(headers: IncomingHttpHeaders): number | undefined {
  const coding = single(headers, 'transfer-encoding')?.toLowerCase();
  if (coding === 'chunked') return undefined;
  const length = single(headers, 'content-length');
  if (coding === undefined && length !== undefined && /^\d{1,15}$/.test(length)) return Number(length);
  throw new Failure(
    'upstream-error',
    'The media host sent neither Content-Length nor chunks, so nobody could tell whether all of it arrived.',
  );
}

/** Inflated bytes have no provable end, and ranges would count other bytes. */
function refuseEncoding(headers: IncomingHttpHeaders): void {
  const encoding = single(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return;
  throw new Failure('upstream-error', 'The media host compressed the media although it was asked not to.');
}

function strongEtag(headers: IncomingHttpHeaders): string | undefined {
  const etag = single(headers, 'etag');
  return etag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(etag) ? etag : undefined;
}

function parseContentRange(
  value: string | undefined,
): { readonly start: number; readonly end: number; readonly totalBytes: number } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(value ?? '');
  if (match === null) return undefined;
  const [start, end, totalBytes] = match.slice(1).map(Number);
  if (start === undefined || end === undefined || totalBytes === undefined) return undefined;
  return start <= end && end < totalBytes ? { start, end, totalBytes } : undefined;
}

/** Where a header came twice, neither is believed. */
function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

const MEDIA_HOST = { name: 'the media host', broken: 'incomplete' } as const;

/** What broke, as an Interruption (another try may help) or a Failure (it will not); `thrown` is kept as the cause. */
export function breakOf(thrown: unknown): Interruption | Failure {
  if (thrown instanceof Interruption || thrown instanceof Failure) return thrown;
  const failure = networkFailure(thrown, MEDIA_HOST) ?? Failure.from(thrown);
  return PASSING.has(failure.code) ? new Interruption(failure) : failure;
}

const PASSING: ReadonlySet<FailureCode> = new Set(['upstream-timeout', 'upstream-unavailable', 'incomplete']);
