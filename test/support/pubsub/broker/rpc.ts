/** A port of the loopback → gRPC calls, each a stream of requests and one of replies (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */
import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';

/** https://grpc.io/docs/guides/status-codes/ */
export const STATUS = {
  ok: 0,
  invalidArgument: 3,
  notFound: 5,
  alreadyExists: 6,
  unimplemented: 12,
  unavailable: 14,
} as const;

/** Ends the call with its status. */
export class RpcError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

const PREFIX_BYTES = 5;

export class RpcCall {
  /** `google.pubsub.v1.Publisher/Publish` and so on. */
  readonly name: string;
  /** Aborts as soon as the client has called it off, or its connection is lost. */
  readonly gone: AbortSignal;
  readonly #stream: ServerHttp2Stream;

  constructor(name: string, stream: ServerHttp2Stream) {
    const gone = new AbortController();
    this.name = name;
    this.gone = gone.signal;
    this.#stream = stream;
    stream.on('error', () => undefined);
    stream.once('close', () => gone.abort());
    stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
  }

  reply(message: Uint8Array): void {
    if (this.#stream.writableEnded || this.#stream.destroyed) return;
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    this.#stream.write(Buffer.concat([prefix, message]));
  }

  end(status: number, text = ''): void {
    if (this.#stream.writableEnded || this.#stream.destroyed) return;
    const trailers = { 'grpc-status': String(status), 'grpc-message': encodeURIComponent(text) };
    this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(trailers));
    this.#stream.end();
  }
}

/** `onRequest` hears every message of every call; what it throws ends the call. */
export async function serveRpc(port: number, onRequest: (call: RpcCall, message: Buffer) => void): Promise<void> {
  const server = createServer();
  server.on('session', (session) => session.on('error', () => undefined));
  server.on('stream', (stream, headers) => {
    const call = new RpcCall((headers[':path'] ?? '').slice(1), stream);
    readMessages(stream, (message) => {
      try {
        onRequest(call, message);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        call.end(error.status, error.message);
      }
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

function readMessages(stream: ServerHttp2Stream, onMessage: (message: Buffer) => void): void {
  let unread = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + unread.readUInt32BE(1);
      if (unread.length < end) return;
      onMessage(unread.subarray(PREFIX_BYTES, end));
      unread = unread.subarray(end);
    }
  });
}
