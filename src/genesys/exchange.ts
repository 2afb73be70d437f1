/** One request → one answer of JSON: capped, in bounded time, never following a redirect. */
import { type Dispatcher, request } from 'undici';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { isCompressed } from '../content-coding.ts';
import { isRedirect, networkFailure, proxyRefusal } from '../network-failure.ts';
import { openOutbound } from '../outbound.ts';
import { Deadline } from '../waiting.ts';
import { readAnswerWithin } from '../within-size.ts';

export interface JsonRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The longest answer; 4 MiB by default. */
  readonly maxAnswerBytes?: number | undefined;
}

export interface JsonAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** When it was asked and told, milliseconds of `Date.now()`. */
  readonly askedMs: number;
  readonly toldMs: number;
  /** Parsed JSON; undefined where the body was empty, or is no JSON and the status alone says enough (408, 429, 5xx). */
  readonly body: unknown;
}

const MIB = 1024 * 1024;
const MAX_ANSWER_BYTES = 4 * MIB;
const EXCHANGE_WITHIN_MS = 30_000;

/**
 * Connections to the login and API hosts, as many as there are calls: what waits for one could not be held back any more.
 * These hosts are the operator's own configuration: no allow-list applies.
 */
export function createAgent(proxies?: Proxies): Dispatcher {
  const limits = {
    connectTimeoutMs: 5_000,
    headersTimeoutMs: 15_000,
    bodyTimeoutMs: 15_000,
    maxHeaderBytes: 16_384,
    keepAliveMs: 10_000,
  };
  return openOutbound(limits, proxies);
}

/**
 * Whatever the other side itself says is an answer; what stands in its way (a proxy, a login page, a portal) is not.
 * @throws Failure `upstream-unavailable` or `upstream-timeout` (network), `upstream-error` (a redirect, a page, anything
 * Genesys does not send), `misconfigured` (a certificate that cannot be trusted). Rejects with the signal's reason when it aborts.
 */
export async function exchange(asked: JsonRequest, agent: Dispatcher, signal: AbortSignal): Promise<JsonAnswer> {
  using deadline = new Deadline(EXCHANGE_WITHIN_MS, { signal });
  const askedMs = Date.now();
  try {
    const response = await request(asked.url, {
      dispatcher: agent,
      method: asked.method,
      headers: { accept: 'application/json', 'accept-encoding': 'identity', ...asked.headers },
      body: asked.body ?? null,
      signal: deadline.signal,
    });
    const toldMs = Date.now();
    return { ...(await readJsonAnswer(response, asked)), askedMs, toldMs };
  } catch (thrown) {
    signal.throwIfAborted();
    throw networkFailure(thrown, { name: asked.url.host, broken: 'upstream-unavailable' }) ?? thrown;
  }
}

async function readJsonAnswer(
  response: Dispatcher.ResponseData,
  asked: JsonRequest,
): Promise<Omit<JsonAnswer, 'askedMs' | 'toldMs'>> {
  const { statusCode: status, headers } = response;
  const { url } = asked;
  const text = await readBodyText(response, asked);
  if (isRedirect(status)) throw redirected(headers['location'], url);
  if (status === 407)
    throw new Failure('upstream-unavailable', proxyRefusal(407, url.host), { facts: factsOfUrl(url) });
  return { status, headers, body: parseBody(text, status, url) };
}

async function readBodyText(
  { body, headers }: Dispatcher.ResponseData,
  { url, maxAnswerBytes = MAX_ANSWER_BYTES }: JsonRequest,
): Promise<string> {
  const tooLong = (): Failure => notGenesys(url, `more than ${String(maxAnswerBytes / MIB)} MiB of JSON`);
  const text = await readAnswerWithin(body, maxAnswerBytes, tooLong);
  if (isCompressed(headers)) throw notGenesys(url, 'a compressed body that was not asked for');
  return text.replace(/^\uFEFF/, '').trim();
}

/** A page behind a 404 or 403 is not Genesys' word on a recording: only its own may end or stop anything. */
function parseBody(text: string, status: number, url: URL): unknown {
  if (text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    if (status === 408 || status === 429 || status >= 500) return undefined;
    // Without its cause: a SyntaxError quotes the body, which may hold a token.
    const what = text.startsWith('<') ? 'a web page' : 'something other than JSON';
    throw notGenesys(url, status < 300 ? what : `${what} (status ${String(status)})`);
  }
}

function redirected(location: string | string[] | undefined, url: URL): Failure {
  const target = typeof location === 'string' && URL.canParse(location, url.href) ? new URL(location, url) : undefined;
  const to = target === undefined ? 'to nowhere' : `to ${target.protocol}//${target.host}`;
  return new Failure(
    'upstream-error',
    `${url.host} redirects ${to} instead of answering; it was not followed. A login page or proxy stands in the way, or ${OUR_URLS} names another host.`,
    { facts: factsOfUrl(url) },
  );
}

const OUR_URLS = 'GENESYS_REGION, GENESYS_LOGIN_URL or GENESYS_API_URL';

function notGenesys(url: URL, what: string): Failure {
  return new Failure(
    'upstream-error',
    `${url.host} answered with ${what}: a proxy or login page stands in the way, or ${OUR_URLS} names another host.`,
    { facts: factsOfUrl(url) },
  );
}

function factsOfUrl(url: URL): { readonly host: string; readonly path: string } {
  return { host: url.host, path: url.pathname };
}
