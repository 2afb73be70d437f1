/** One request for media → one checked answer: allowed hops only, bytes as they are, and a body whose end can be proved. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { request } from 'undici';
import type { Dispatcher } from 'undici';
import { isCompressed } from '../content-coding.ts';
import { Failure, type FailureCode, type FailureOptions } from '../failure.ts';
import { isRedirect, networkFailure, proxyRefusal } from '../network-failure.ts';
import { readChunks } from './body.ts';
import type { Hosts } from './hosts.ts';
import { Deadline, parseRetryAfter } from '../waiting.ts';

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

interface MediaRequest {
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
  /** By its Content-Encoding; the bytes decide. */
  readonly isCalledCompressed: boolean;
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

interface MediaWay {
  readonly hosts: Hosts;
  readonly dispatcher: Dispatcher;
  /** From the request to the answer's own head, whatever comes before it. */
  readonly beginsWithinMs: number;
}

/**
 * Answers 200 with the whole media, or 206 with exactly the range that was asked for. Undefined where the range is not to be
 * had (ignored conditions, another version, another extent): the media has to be read from its start.
 * @throws Interruption where another try may help, Failure where it will not
 */
export async function requestMedia(
  asked: MediaRequest,
  through: MediaWay,
  signal: AbortSignal,
): Promise<MediaAnswer | undefined> {
  const { response, host } = await followRedirects(asked, through, signal);
  try {
    if (asked.range !== undefined && [412, 416].includes(response.statusCode)) return unusable(response);
    await checkStatus(response, host);
    return readMediaAnswer(response, asked.range) ?? unusable(response);
  } catch (thrown) {
    discardBody(response.body);
    throw thrown;
  }
}

/** Lets go of a body nobody will read; its connection ends with it. */
export function discardBody(body: Readable): void {
  body.on('error', () => {}).destroy();
}

function unusable(response: Dispatcher.ResponseData): undefined {
  discardBody(response.body);
}

async function followRedirects(
  asked: MediaRequest,
  through: MediaWay,
  signal: AbortSignal,
): Promise<{ response: Dispatcher.ResponseData; host: string }> {
  let { url, headers } = asked.location;
  for (let hops = 0; ; hops++) {
    through.hosts.checkMedia(url);
    const sent = { ...headers, 'accept-encoding': 'identity', ...rangeHeaders(asked.range) };
    const response = await begin({ url, headers: sent }, through, signal);
    if (!isRedirect(response.statusCode)) return { response, host: url.host };
    discardBody(response.body);
    const target = redirectOf(response.headers, { from: url, hops, hosts: through.hosts });
    if (target.origin !== url.origin) headers = {};
    url = target;
  }
}

/** undici's own clock starts anew with each interim answer (1xx), of which a host may send any number (RFC 9110 §15.2). */
async function begin(
  { url, headers }: MediaLocation,
  { dispatcher, beginsWithinMs }: MediaWay,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const deadline = new Deadline(beginsWithinMs, { signal });
  try {
    const response = await request(url, { dispatcher, headers, signal: deadline.signal });
    deadline.meet();
    response.body.once('close', () => deadline[Symbol.dispose]());
    return response;
  } catch (thrown) {
    deadline[Symbol.dispose]();
    throw thrown;
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

/** @throws Failure `host-refused` naming where it leads to, without its path: a login page or a proxy stands in the way */
function redirectOf(
  headers: IncomingHttpHeaders,
  { from, hops, hosts }: { readonly from: URL; readonly hops: number; readonly hosts: Hosts },
): URL {
  const location = single(headers, 'location');
  if (location === undefined || !URL.canParse(location, from.href))
    throw new Failure('upstream-error', 'The media host redirected to nowhere.');
  const target = new URL(location, from);
  if (hops >= MAX_HOPS)
    throw new Failure('host-refused', 'The media host redirected too often; its answers were not followed further.');
  try {
    hosts.checkMedia(target);
  } catch (cause) {
    const text = `The media host redirects to ${target.protocol}//${target.host}, which is no media host; it was not followed. A login page or proxy may stand in the way; if the host is right, add it to GENESYS_MEDIA_HOSTS.`;
    throw new Failure('host-refused', text, { cause });
  }
  return target;
}

/** @throws Interruption or Failure for all but the media itself; the body is read for S3's own word on it, no further */
async function checkStatus(response: Dispatcher.ResponseData, host: string): Promise<void> {
  const { statusCode: status } = response;
  if (status === 200 || status === 206) return;
  const word = await wordOf(response);
  const afterMs = parseRetryAfter(response.headers['retry-after'], new Date());
  const said = word === '' ? String(status) : `${String(status)} ${word}`;
  const facts = { host, upstreamStatus: status, upstreamCode: word };
  throw statusFailure(status, said, { facts, ...(afterMs === undefined ? {} : { afterMs }) });
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
function statusFailure(status: number, said: string, because: FailureOptions): Interruption | Failure {
  if (status === 202)
    return new Failure('not-ready', 'Genesys is still preparing the media; ask again later.', because);
  if (status === 401 || status === 403)
    return new Interruption(new Failure('forbidden', refusedText(said), because), true);
  if (status === 407)
    return new Interruption(new Failure('upstream-unavailable', proxyRefusal(407, 'the media host'), because));
  // Whether it is gone is for Genesys to say, which is asked for a fresh URL first.
  if (status === 404 || status === 410) {
    const text = `The media host knows nothing of the media (${said}) under a URL that Genesys has just given.`;
    return new Interruption(new Failure('upstream-error', text, because), true);
  }
  const failure = new Failure(codeOfStatus(status), `The media host answered ${said}; try again later.`, because);
  // S3 answers 400 (ExpiredToken) where the credentials behind a signed URL have expired before the URL has.
  if (status === 400) return new Interruption(failure, true);
  return status >= 500 || status === 408 || status === 429 ? new Interruption(failure) : failure;
}

function refusedText(said: string): string {
  const refused = `The media host refused each fresh media URL (${said})`;
  return /RequestTimeTooSkewed|RequestExpired/.test(said)
    ? `${refused}: the clock of this machine is wrong; let it be set by the network (NTP).`
    : `${refused}: check the clock of this machine, whether a web filter or proxy of the network stands before it, and the permissions of the OAuth client.`;
}

const MAX_WORD_BYTES = 4_096;
const WORD_WITHIN_MS = 2_000;

/** The code of an S3 error document, `a web page`, or nothing. Never fails: the status is what counts. */
async function wordOf({ body }: Dispatcher.ResponseData): Promise<string> {
  let text = '';
  const late = setTimeout(() => body.destroy(), WORD_WITHIN_MS);
  try {
    for await (const chunk of readChunks(body)) {
      text += chunk.toString('latin1');
      if (text.length >= MAX_WORD_BYTES) break;
    }
  } catch {
    // What came until then may say it.
  } finally {
    clearTimeout(late);
  }
  const [, code] = /<Code>([A-Za-z.]{1,64})<\/Code>/.exec(text) ?? [];
  return code ?? (isPage(text) ? 'with a web page' : '');
}

function isPage(beginning: string): boolean {
  return /^(?:\xEF\xBB\xBF|\uFEFF)?\s*<(?:!doctype\s+html|html|head|body)\b/i.test(beginning);
}

function codeOfStatus(status: number): FailureCode {
  if (status === 429) return 'rate-limited';
  if (status === 408 || status === 504) return 'upstream-timeout';
  return status >= 500 ? 'upstream-unavailable' : 'upstream-error';
}

function readMediaAnswer(response: Dispatcher.ResponseData, range: MediaRange | undefined): MediaAnswer | undefined {
  const { headers, body } = response;
  const lengthBytes = provenLength(headers);
  const etag = strongEtag(headers);
  const contentType = (single(headers, 'content-type') ?? '').split(';', 1).join('').trim().toLowerCase();
  const about = {
    body,
    etag,
    contentType,
    acceptsRanges: single(headers, 'accept-ranges')?.toLowerCase() === 'bytes',
    isCalledCompressed: isCompressed(headers),
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

/** What is asked for: a document is none of the one, and may be the other. */
export type Due = 'media' | 'text';

/**
 * A login page, a portal or a gateway that answers in the media host's place passes, and is not the recording's fault: by its
 * first bytes, since a label alone proves nothing. @throws Failure `upstream-error`
 */
export function refusePage(beginning: Buffer, contentType: string, due: Due): void {
  const text = beginning.toString('latin1', 0, 512);
  if (!isPage(text) && !(due === 'media' && isDocument(text, contentType))) return;
  const what = isPage(text) || isMarkup(text) ? 'A web page or error document' : 'Text';
  throw new Failure(
    'upstream-error',
    `${what} came where ${due} is due: a proxy, web filter or login page stands before the media host.`,
  );
}

/** No container begins like XML or JSON; other text is none where it is called text. */
function isDocument(text: string, contentType: string): boolean {
  if (!/^[\t\n\r\x20-\x7e\x80-\xff]+$/.test(text)) return false;
  return isMarkup(text) || /^\s*(?:\{\s*["}]|\[\s*[[{"\]])/.test(text) || TEXT_TYPE.test(contentType);
}

function isMarkup(text: string): boolean {
  return /^(?:\xEF\xBB\xBF)?\s*<[!?a-z]/i.test(text);
}

const TEXT_TYPE = /^(?:text\/|application\/(?:(?:[a-z.-]+\+)?(?:json|xml)|javascript)$)/;
