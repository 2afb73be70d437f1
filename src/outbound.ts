/** The limits of a connection → the way out of this service: direct, or through the proxies the environment names. */
import { Agent, type buildConnector, Client, type Dispatcher, EnvHttpProxyAgent, fetch, Pool } from 'undici';
import type { Proxies } from './config/proxies.ts';
import { atArmsLength } from './relay.ts';
import { Deadline } from './waiting.ts';

export interface OutboundOptions {
  readonly connectTimeoutMs: number;
  /** Until an answer begins; also that of a proxy to CONNECT. */
  readonly headersTimeoutMs: number;
  /** Silence within a body. */
  readonly bodyTimeoutMs: number;
  readonly keepAliveMs?: number;
  readonly maxHeaderBytes?: number;
  /** Per origin; requests wait for one another where there is one. */
  readonly connections?: number;
  /** Opens direct connections, where somebody judges addresses; a proxy judges those it opens. */
  readonly connect?: buildConnector.connector;
  /** A connection ended; the error says why. */
  readonly onDisconnect?: (error: Error) => void;
}

/** Reached without any proxy, as curl and Go do not either: nobody means them when they name a proxy. */
const ALWAYS_DIRECT = ['localhost', '127.0.0.1', '[::1]', '169.254.169.254', 'metadata.google.internal'];

/**
 * Follows no redirect. https goes through a tunnel (CONNECT), http is asked of the proxy itself. Entries of NO_PROXY are
 * host names (subdomains included), `*.domain` (subdomains alone), addresses, each with or without a port, or `*`.
 */
export function openOutbound(options: OutboundOptions, proxies: Proxies | undefined): Dispatcher {
  const limits = {
    headersTimeout: options.headersTimeoutMs,
    bodyTimeout: options.bodyTimeoutMs,
    allowH2: false,
    pipelining: 1,
    ...(options.keepAliveMs === undefined ? {} : { keepAliveTimeout: options.keepAliveMs }),
    ...(options.maxHeaderBytes === undefined ? {} : { maxHeaderSize: options.maxHeaderBytes }),
    ...(options.connections === undefined ? {} : { connections: options.connections }),
  };
  // A proxy's own pools are opened with nothing but its connector: the limits are ours to add.
  const openPool = (origin: string | URL, given: object): Client | Pool => {
    const all = { ...limits, ...given };
    // A pool alone takes 16 KB for those that wait.
    const pool = options.connections === 1 ? new Client(origin, all) : new Pool(origin, all);
    return pool.on('disconnect', (_origin: URL, _targets: unknown, error: Error) => options.onDisconnect?.(error));
  };
  const connect = options.connect ?? { timeout: options.connectTimeoutMs, allowH2: false };
  if (proxies === undefined) return new Agent({ ...limits, connect, factory: openPool }).compose(atArmsLength);
  const agent = new EnvHttpProxyAgent({
    ...limits,
    connect,
    connectTimeout: options.connectTimeoutMs,
    factory: openPool,
    clientFactory: (proxy, given) => new Pool(proxy, { ...given, headersTimeout: options.headersTimeoutMs }),
    httpProxy: proxies.http,
    httpsProxy: proxies.https,
    noProxy: directHosts(proxies),
  });
  return agent.compose(atArmsLength);
}

interface SmallRequest {
  readonly method: string;
  readonly headers: Headers | Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Of an answer that is read whole. */
const SMALL_BYTES = 1_048_576;
/** From the question to the last byte, however it drips. */
const SMALL_WITHIN_MS = 30_000;
const SMALL_LIMITS = { connectTimeoutMs: 5_000, headersTimeoutMs: 10_000, bodyTimeoutMs: 10_000 };

/** A fetch for libraries that ask another host by themselves: the same way out, no redirect, small answers read whole. */
export function openSmallFetch(
  proxies: Proxies | undefined,
  withinMs = SMALL_WITHIN_MS,
): (url: string, request: SmallRequest) => Promise<Response> {
  const dispatcher = openOutbound(SMALL_LIMITS, proxies);
  return async (url, { method, headers, body, signal }) => {
    using deadline = new Deadline(withinMs, signal === undefined ? {} : { signal });
    const answer = await fetch(url, {
      method,
      headers: Object.fromEntries(headers instanceof Headers ? headers.entries() : Object.entries(headers)),
      ...(body instanceof URLSearchParams || typeof body === 'string' ? { body: body.toString() } : {}),
      redirect: 'manual',
      dispatcher,
      signal: deadline.signal,
    });
    const text = await smallText(answer.body);
    return new Response(answer.status === 204 || answer.status === 304 ? null : text, {
      status: answer.status,
      headers: [...answer.headers],
    });
  };
}

async function smallText(body: AsyncIterable<unknown> | null): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of body ?? []) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('A body of something else than bytes.');
    sizeBytes += chunk.length;
    if (sizeBytes > SMALL_BYTES) throw new TypeError(`An answer of more than ${String(SMALL_BYTES)} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Google's libraries read the environment by themselves, each another half of it: gaxios the capitals first, grpc-js lower
 * case alone, and both send questions to the metadata server through the proxy. Afterwards all of it says the same.
 */
export function alignProxyVariables(env: NodeJS.ProcessEnv, proxies: Proxies | undefined): void {
  if (proxies === undefined) return;
  const values = { https_proxy: proxies.https, http_proxy: proxies.http, no_proxy: directHosts(proxies) };
  for (const [name, value] of Object.entries(values)) {
    if (value === '') continue;
    env[name] = value;
    env[name.toUpperCase()] = value;
  }
}

function directHosts(proxies: Proxies): string {
  return [proxies.noProxy, ...ALWAYS_DIRECT].filter((entry) => entry !== '').join(',');
}
