/** A map of names → a real HTTP proxy on loopback: tunnels (CONNECT), plain requests, credentials, and refusals as told. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface ProxyOptions {
  /** Where a name leads on loopback, `api.example:443` → 49152; what is not listed is answered 502. */
  readonly ports: Readonly<Record<string, number>>;
  /** `user:password` that is asked for. */
  readonly credentials?: string;
  /** Answers CONNECT with 405, as proxies that only forward do. */
  readonly tunnels?: boolean;
}

/** What is answered instead: raw bytes, or what happens to the connection. */
export type ProxyFault = { readonly raw: string } | 'fin' | 'reset' | 'silence';

export interface Proxy {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** `CONNECT host:port` and `GET http://…` without queries, in their order. */
  readonly requests: readonly string[];
  /** Every request from now on meets this; undefined ends it. */
  spoil(fault: ProxyFault | undefined): void;
  close(): Promise<void>;
}

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let fault: ProxyFault | undefined;
  const note = (request: IncomingMessage): void =>
    void requests.push(`${request.method ?? ''} ${withoutQuery(request)}`);

  const server = createServer((asked, response) => {
    note(asked);
    if (fault !== undefined) spoil(asked.socket, fault);
    else if (!knows(asked, options)) deny(response);
    else forward(asked, response, options);
  });
  server.on('connect', (asked: IncomingMessage, client: Duplex) => {
    note(asked);
    client.on('error', () => client.destroy());
    const port = options.ports[asked.url ?? ''];
    if (fault !== undefined) spoil(asked.socket, fault);
    else if (!knows(asked, options)) client.end(refusal(407, 'Proxy-Authenticate: Basic realm="proxy"\r\n'));
    else if (options.tunnels === false) client.end(refusal(405));
    else if (port === undefined) client.end(refusal(502));
    else tunnel(client, port, sockets);
  });
  server.on('connection', (socket: Socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The proxy does not listen on a port.');
  return {
    url: `http://127.0.0.1:${String(address.port)}`,
    requests,
    spoil: (next) => (fault = next),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function withoutQuery({ url = '' }: IncomingMessage): string {
  return url.split('?', 1).join('');
}

function knows(asked: IncomingMessage, { credentials }: ProxyOptions): boolean {
  if (credentials === undefined) return true;
  return asked.headers['proxy-authorization'] === `Basic ${Buffer.from(credentials).toString('base64')}`;
}

function spoil(socket: Socket, fault: ProxyFault): void {
  if (fault === 'silence') return;
  if (fault === 'reset') socket.resetAndDestroy();
  else socket.end(fault === 'fin' ? '' : fault.raw);
}

function refusal(status: number, headers = ''): string {
  const page = `<html><title>${String(status)}</title></html>`;
  return `HTTP/1.1 ${String(status)} Refused\r\n${headers}Content-Type: text/html\r\nContent-Length: ${String(page.length)}\r\n\r\n${page}`;
}

function deny(response: ServerResponse): void {
  response.writeHead(407, { 'proxy-authenticate': 'Basic realm="proxy"', 'content-type': 'text/html' });
  response.end('<html><title>407</title></html>'.repeat(1_000));
}

function forward(asked: IncomingMessage, response: ServerResponse, { ports }: ProxyOptions): void {
  const url = new URL(asked.url ?? '');
  const port = ports[`${url.hostname}:${url.port === '' ? '80' : url.port}`];
  if (port === undefined) {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<html><title>502</title></html>');
    return;
  }
  const { 'proxy-authorization': _, ...headers } = asked.headers;
  const options = { host: '127.0.0.1', port, path: url.pathname + url.search, method: asked.method, headers };
  const onwards = request(options, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
    answer.on('aborted', () => response.destroy());
  });
  onwards.on('error', () => response.destroy());
  response.on('close', () => onwards.destroy());
  asked.pipe(onwards);
}

function tunnel(client: Duplex, port: number, sockets: Set<Socket>): void {
  const target = connect(port, '127.0.0.1', () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    target.pipe(client).pipe(target);
  });
  sockets.add(target.on('close', () => sockets.delete(target)));
  target.on('error', () => client.destroy());
  client.on('close', () => target.destroy());
}
