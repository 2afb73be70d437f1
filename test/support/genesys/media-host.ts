/** A script of answers → a media host on loopback that misbehaves on the wire exactly as told, request by request. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { S3_STATUS } from './faults.ts';

export interface SeenRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly socket: Socket;
  /** From `performance.now()`. */
  readonly atMs: number;
}

/** Answers one request; throwing is a defect of the test. */
export type Answer = (request: SeenRequest) => void;

export interface MediaHost {
  readonly origin: string;
  readonly port: number;
  readonly requests: readonly SeenRequest[];
  readonly connections: number;
  url(path?: string): URL;
  /** Told answers are used up first, in order; then `usual`, for ever. */
  tell(...answers: readonly Answer[]): void;
  /** How many told answers nobody asked for: a fault that never fired proves nothing. */
  untold(): number;
  close(): Promise<void>;
}

export async function createMediaHost(usual: Answer, server: Server = createServer()): Promise<MediaHost> {
  const requests: SeenRequest[] = [];
  const told: Answer[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on(server.listenerCount('tlsClientError') > 0 ? 'secureConnection' : 'connection', (socket: Socket) => {
    connections++;
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
    let head = '';
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      for (let end = head.indexOf('\r\n\r\n'); end !== -1; end = head.indexOf('\r\n\r\n')) {
        const request = parseHead(head.slice(0, end), socket);
        head = head.slice(end + 4);
        requests.push(request);
        (told.shift() ?? usual)(request);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  const origin = `http://127.0.0.1:${String(port)}`;
  return {
    origin,
    port,
    requests,
    get connections() {
      return connections;
    },
    url: (path = '/media?X-Amz-Signature=canary-signature') => new URL(path, origin),
    tell: (...answers) => void told.push(...answers),
    untold: () => told.length,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server does not listen on a port.');
  return address.port;
}

function parseHead(head: string, socket: Socket): SeenRequest {
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { path: first.split(' ')[1] ?? '', headers, socket, atMs: performance.now() };
}

export interface Told {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** How the end of the body is told; `length` by default. */
  readonly framing?: 'length' | 'chunked' | 'close';
  /** A Content-Length that is not true. */
  readonly declaredBytes?: number;
  /** Sends only so much of the body (and no terminator), then does what `end` says. */
  readonly cutAt?: number;
  readonly end?: 'keep' | 'fin' | 'reset';
}

/** One answer as told, whatever was asked for. */
export function answer(told: Told): Answer {
  return ({ socket }) => {
    const body = told.body ?? Buffer.alloc(0);
    const sent = body.subarray(0, told.cutAt ?? body.length);
    const framing = told.framing ?? 'length';
    const headers = {
      ...(framing === 'length' ? { 'Content-Length': String(told.declaredBytes ?? body.length) } : {}),
      ...(framing === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : {}),
      ...told.headers,
    };
    socket.write(headOf(told.status ?? 200, headers));
    if (framing === 'chunked') {
      if (sent.length > 0) socket.write(`${sent.length.toString(16)}\r\n`);
      socket.write(sent);
      if (sent.length > 0) socket.write('\r\n');
      if (told.cutAt === undefined) socket.write('0\r\n\r\n');
    } else socket.write(sent);
    finish(socket, told.end ?? 'keep');
  };
}

/** An error as Amazon S3 words it. */
export function s3Error(code: string, status = S3_STATUS.get(code) ?? 400): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>canary-message</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>`;
  return answer({ status, headers: { 'Content-Type': 'application/xml' }, body: Buffer.from(body) });
}

/** A host as S3 is: strong ETag, ranges, If-Match. */
export function serving(body: Buffer, etag = '"v1"', headers: Readonly<Record<string, string>> = {}): Answer {
  return (request) => {
    const common = { ETag: etag, 'Accept-Ranges': 'bytes', 'Content-Type': 'audio/ogg; codecs=opus', ...headers };
    const match = request.headers['if-match'];
    if (match !== undefined && match !== etag) return answer({ status: 412 })(request);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers['range'] ?? '');
    if (range === null) return answer({ headers: common, body })(request);
    const start = Number(range[1]);
    const end = range[2] === '' ? body.length - 1 : Math.min(Number(range[2]), body.length - 1);
    if (start > end) return answer({ status: 416 })(request);
    const contentRange = { 'Content-Range': `bytes ${String(start)}-${String(end)}/${String(body.length)}` };
    answer({ status: 206, headers: { ...common, ...contentRange }, body: body.subarray(start, end + 1) })(request);
  };
}

/** Sends `body` in pieces of `pieceBytes`, one every `everyMs`, until it is over or the socket is. */
export function trickling(told: Told, pieceBytes: number, everyMs: number): Answer {
  return (request) => {
    const body = told.body ?? Buffer.alloc(0);
    answer({ ...told, cutAt: 0, end: 'keep' })(request);
    let at = 0;
    const timer = setInterval(() => {
      request.socket.write(body.subarray(at, (at += pieceBytes)));
      if (at >= body.length) clearInterval(timer);
    }, everyMs);
    request.socket.on('close', () => clearInterval(timer));
  };
}

/** Chunks for ever, as fast as they are taken. */
export function endless(headers: Readonly<Record<string, string>> = {}): Answer {
  return ({ socket }) => {
    const piece = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 7), Buffer.from('\r\n')]);
    const more = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.write(headOf(200, { 'Transfer-Encoding': 'chunked', ...headers }));
    socket.on('drain', more);
    more();
  };
}

function headOf(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${String(status)} Told\r\n${lines.join('')}\r\n`;
}

/** A reset is sent only once the bytes before it have left: it would overtake them otherwise. */
function finish(socket: Socket, how: 'keep' | 'fin' | 'reset'): void {
  if (how === 'fin') socket.end();
  if (how === 'reset') socket.write('', () => socket.resetAndDestroy());
}
