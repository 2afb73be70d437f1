/** Turns one request into one answer of JSON: capped, in bounded time, never following a redirect. */
import { type Dispatcher, request } from 'undici';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { networkFailure } from '../network-failure.ts';
import { openOutbound } from '../outbound.ts';

export interface Exchange {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed JSON; undefined where the body was empty, or is no JSON and the status is an error anyway. */
  readonly body: unknown;
}

const MAX_BODY_BYTES = 4 * 1024 * 1024;
const DEADLINE_MS = 30_000;

/** Connections to the login and API hosts, as many as there are calls: what waits for one could not be held back any more. These hosts are the operator's own configuration: no allow-list applies. */
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
 * Any status is an answer.
 * @throws Failure `upstream-unavailable` or `upstream-timeout` (network), `upstream-error` (an answer that is not what
 * Genesys sends), `misconfigured` (a certificate that cannot be trusted). Rejects with the signal's reason when it aborts.
 */
export async function exchange(asked: Exchange, agent: Dispatcher, signal: AbortSignal): Promise<Answer> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  try {
    const answer = await request(asked.url, {
      dispatcher: agent,
      method: asked.method,
      headers: { accept: 'application/json', 'accept-encoding': 'identity', ...asked.headers },
      body: asked.body ?? null,
      signal: AbortSignal.any([signal, deadline]),
    });
    const text = await readText(answer, asked.url);
    return { status: answer.statusCode, headers: answer.headers, body: parseJson(text, answer.statusCode, asked.url) };
  } catch (thrown) {
    signal.throwIfAborted();
    throw networkFailure(thrown, { name: asked.url.host, broken: 'upstream-unavailable' }) ?? thrown;
  }
}

/** Iterating destroys the body, and with it the connection, wherever the loop is left early. */
async function readText(answer: Dispatcher.ResponseData, url: URL): Promise<string> {
  const encoding = String(answer.headers['content-encoding'] ?? 'identity');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw notGenesys(url, 'more than 4 MiB of JSON');
    chunks.push(chunk);
  }
  if (encoding.toLowerCase() !== 'identity') throw notGenesys(url, 'an encoded body that was not asked for');
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string, status: number, url: URL): unknown {
  if (text.trim() === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    if (status >= 300) return undefined;
    // Without its cause: a SyntaxError quotes the body, which may hold a token.
    throw notGenesys(url, 'something other than JSON');
  }
}

function notGenesys(url: URL, what: string, cause?: unknown): Failure {
  return new Failure(
    'upstream-error',
    `${url.host} answered with ${what}: check GENESYS_REGION, GENESYS_LOGIN_URL, GENESYS_API_URL and any proxy.`,
    { cause, facts: { host: url.host, path: url.pathname } },
  );
}
