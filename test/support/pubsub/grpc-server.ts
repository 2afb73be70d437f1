/** A port of the loopback → a gRPC server that gives every call the answer a test has chosen. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';

export interface GrpcAnswer {
  /** https://grpc.io/docs/guides/status-codes/ */
  readonly status: number;
  /** The encoded reply, where the status is 0. */
  readonly message?: Buffer;
}

export interface GrpcServer {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** `google.pubsub.v1.Publisher/Publish` and so on, in order. */
  readonly calls: readonly string[];
  /** The first request of each call of this name, without its framing. */
  requests(call: string): Promise<readonly Buffer[]>;
  /** Resolves once the client has called off a call of this name. */
  cancelled(call: string): Promise<void>;
  close(): Promise<void>;
}

/** `undefined` leaves the call without an answer. */
export async function startGrpcServer(answer: (call: string) => GrpcAnswer | undefined): Promise<GrpcServer> {
  const calls: string[] = [];
  const requests: { readonly call: string; readonly first: Promise<Buffer> }[] = [];
  const calledOff = new EventEmitter();
  const cancelled = new Set<string>();
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const call = (headers[':path'] ?? '').slice(1);
    calls.push(call);
    stream.once('aborted', () => {
      cancelled.add(call);
      calledOff.emit(call);
    });
    requests.push({
      call,
      first: once(stream, 'data').then(([chunk]: Buffer[]) => chunk?.subarray(5) ?? Buffer.alloc(0)),
    });
    const given = answer(call);
    if (given !== undefined) reply(stream, given);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    host: `127.0.0.1:${String(address.port)}`,
    calls,
    requests: (name) => Promise.all(requests.filter(({ call }) => call === name).map(({ first }) => first)),
    async cancelled(call) {
      if (!cancelled.has(call)) await once(calledOff, call);
    },
    async close() {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
function reply(stream: ServerHttp2Stream, { status, message }: GrpcAnswer): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }));
  if (message === undefined) return void stream.end();
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
}

/** A protobuf message whose field 1 is a repeated string: TestIamPermissionsResponse, PublishResponse. */
export function encodeStrings(values: readonly string[]): Buffer {
  return Buffer.concat(values.flatMap((value) => [Buffer.from([0x0a, Buffer.byteLength(value)]), Buffer.from(value)]));
}

/** The numbers of a protobuf message by field (varints only); other fields are passed over. https://protobuf.dev/programming-guides/encoding/ */
export function decodeNumbers(message: Buffer): ReadonlyMap<number, number> {
  const numbers = new Map<number, number>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const value = varint();
    if (tag % 8 === 0) numbers.set(Math.floor(tag / 8), value);
    else at += value;
  }
  return numbers;
}
