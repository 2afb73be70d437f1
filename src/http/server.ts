/** An app → a server that nobody can hold open, and that ends in a known time. */
import { randomUUID } from 'node:crypto';
import type { RequestListener, Server, ServerResponse } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CONNECTIONS, ONE_REQUEST } from '../bounds.ts';
import { Failure, systemCode } from '../failure.ts';
import { isUnspecified } from '../loopback.ts';
import { Connections, type ConnectionBounds } from './connections.ts';
import { withPlainHead } from './head.ts';

/** Imported it would load, for a name nobody asks for (WebSocket), all of Node's own undici: 45 ms of CPU at each start. */
const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly limits?: Partial<ServerLimits>;
  /** Which variables named them, for whoever has to change one. */
  readonly variables?: { readonly host: string; readonly port: string };
}

interface ServerLimits extends ConnectionBounds {
  /** To receive a request's head. */
  readonly headersTimeoutMs: number;
  /** To receive a whole request; answers may take as long as they need. */
  readonly requestTimeoutMs: number;
  /** Longer than a load balancer keeps idle connections (60 s), or it sends a request into a closing one. */
  readonly keepAliveTimeoutMs: number;
  readonly checkIntervalMs: number;
}

const LIMITS: ServerLimits = {
  headersTimeoutMs: ONE_REQUEST.headMs,
  requestTimeoutMs: ONE_REQUEST.wholeMs,
  keepAliveTimeoutMs: 65_000,
  checkIntervalMs: 2000,
  maxConnections: CONNECTIONS.all,
  maxPipelined: CONNECTIONS.pipelined,
};

export interface Listener {
  /** `http://HOST:PORT` as bound; of a service that listens everywhere, as this machine calls it. */
  readonly url: string;
  readonly port: number;
  /** Takes no more requests, lets the running ones end for `deadlineMs`, then breaks them. Resolves once all is closed. */
  close(deadlineMs: number): Promise<void>;
}

/** @throws Failure `misconfigured` naming HOST or PORT where the address cannot be had */
export async function listen(routes: RequestListener, options: ListenOptions): Promise<Listener> {
  const limits = { ...LIMITS, ...options.limits };
  const app = withPlainHead(routes);
  const connections = new Connections(limits);
  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      connectionsCheckingInterval: limits.checkIntervalMs,
      maxHeaderSize: ONE_REQUEST.headBytes,
      // A missing one is refused with all other heads.
      requireHostHeader: false,
    },
    (req, res) => connections.take({ req, res, begin: () => app(req, res) }),
  );
  server.on('connection', (socket: Socket) => connections.admit(socket));
  const open = trackAnswers(server);
  server.on('checkExpectation', (req, res) => server.emit('request', req, res));
  server.on('connect', (_req, socket) => refuseRaw('CONNECT', socket, open));
  server.on('clientError', (error: Error & { readonly code?: string }, socket) => {
    const reading = [...open].find((res) => res.socket === socket && awaitsBody(res));
    if (reading !== undefined && error.code !== 'ECONNRESET') reading.req.emit('error', error);
    else refuseRaw(error.code, socket, open);
  });
  await bound(server, options);
  const port = portOf(server);
  return {
    url: `http://${addressName(options.host)}:${String(port)}`,
    port,
    close: (deadlineMs) => closeServer(server, open, deadlineMs),
  };
}

/** Every answer under way. */
function trackAnswers(server: Server): ReadonlySet<ServerResponse> {
  const open = new Set<ServerResponse>();
  server.prependListener('request', (_req, res: ServerResponse) => {
    open.add(res);
    if (!server.listening) res.setHeader('Connection', 'close');
    res.once('close', () => {
      open.delete(res);
      if (!server.listening) server.closeIdleConnections();
    });
  });
  return open;
}

/** Somebody reads the body and will answer for it, in whatever way it ends. */
function awaitsBody({ req, headersSent }: ServerResponse): boolean {
  return !req.complete && !headersSent && req.listenerCount('error') > 0;
}

/** Behind an answer that is under way nothing more can be said on a connection. */
function refuseRaw(code: string | undefined, socket: Duplex, open: ReadonlySet<ServerResponse>): void {
  const answering = [...open].some((res) => res.socket === socket);
  if (!socket.writable || answering || code === 'ECONNRESET') socket.destroy();
  else socket.end(rawRefusal(code));
}

/** What never became a request (or not in time) is answered in the same shape as everything else. */
function rawRefusal(code: string | undefined): string {
  const [status, message] = REFUSALS.get(code ?? '') ?? [400, 'The request is not valid HTTP.'];
  const body = JSON.stringify({ error: { code: 'bad-request', message, requestId: randomUUID() } });
  return [
    `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${String(Buffer.byteLength(body))}`,
    '',
    body,
  ].join('\r\n');
}

const REFUSALS: ReadonlyMap<string, readonly [status: number, message: string]> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', [408, 'The request did not arrive in time.']],
  ['HPE_HEADER_OVERFLOW', [431, `The request's head is larger than ${String(ONE_REQUEST.headBytes)} bytes.`]],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', [413, 'The chunk extensions of the request are too large.']],
  ['CONNECT', [400, 'This is no proxy: ask for a path.']],
]);

function bound(server: Server, options: ListenOptions): Promise<void> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(notBound(error, options));
    server.once('error', refuse);
    server.listen({ host, port }, () => {
      server.removeListener('error', refuse);
      resolve();
    });
  });
}

/** The system's word for why, said as what to change; no stack helps whoever starts the service. */
function notBound(error: Error, { host, port, variables = ADDRESS }: ListenOptions): Failure {
  const code = systemCode(error) ?? error.message;
  const [which, advice] = NOT_BOUND.get(code) ?? ['host', 'choose another one, or mend what the system names'];
  const where = `cannot listen on port ${String(port)} of ${host} (${code})`;
  return new Failure('misconfigured', `${variables[which]}: ${advice}; ${where}.`);
}

const ADDRESS = { host: 'HOST', port: 'PORT' } as const;

const NOT_BOUND: ReadonlyMap<string, readonly [which: 'host' | 'port', advice: string]> = new Map([
  ['EADDRINUSE', ['port', 'another program has it; stop that one, or choose another']],
  ['EACCES', ['port', 'this user may not have it; choose one above 1023']],
  ['EADDRNOTAVAIL', ['host', 'no address of this machine; 0.0.0.0 listens on all it has']],
  ['ENOTFOUND', ['host', 'no resolver knows this name']],
  ['EAI_AGAIN', ['host', 'no resolver answers for this name']],
]);

function addressName(host: string): string {
  if (isUnspecified(host)) return 'localhost';
  return isIPv6(host) ? `[${host}]` : host;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server is not bound to a port.');
  return address.port;
}

async function closeServer(server: Server, open: ReadonlySet<ServerResponse>, deadlineMs: number): Promise<void> {
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  for (const res of open) if (!res.headersSent) res.setHeader('Connection', 'close');
  const timer = setTimeout(() => server.closeAllConnections(), deadlineMs);
  await closed.promise;
  clearTimeout(timer);
}
