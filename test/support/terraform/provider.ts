/**
 * Provider schemas → a provider that Terraform itself talks to (plugin protocol 6 over gRPC): it knows names
 * and types and nothing else, which is what `terraform validate` and `terraform test` with mocks need. Nothing is
 * downloaded: TF_REATTACH_PROVIDERS makes Terraform connect to a server that already runs.
 * https://github.com/hashicorp/terraform/tree/main/docs/plugin-protocol
 */
import { once } from 'node:events';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Block, NestedBlock } from './schema.ts';

export interface ProviderSchema {
  readonly resource?: Readonly<Record<string, Block>>;
  readonly data?: Readonly<Record<string, Block>>;
  readonly ephemeral?: Readonly<Record<string, Block>>;
  /** What every ephemeral resource opens with. */
  readonly opened?: unknown;
}

export interface ProviderServer {
  /** Value of TF_REATTACH_PROVIDERS. */
  readonly reattach: string;
  close(): Promise<void>;
}

/** `schemas` by address: `registry.terraform.io/hashicorp/google`. */
export async function serveProviders(schemas: Readonly<Record<string, ProviderSchema>>): Promise<ProviderServer> {
  const servers = await Promise.all(Object.values(schemas).map(serve));
  const entries = Object.keys(schemas).map((address, index) => [address, reattachTo(servers[index]?.port ?? 0)]);
  return {
    reattach: JSON.stringify(Object.fromEntries(entries)),
    close: async () => {
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

/** `Test`: the process is ours and is not ended by Terraform. */
function reattachTo(port: number): object {
  const Addr = { Network: 'tcp', String: `127.0.0.1:${String(port)}` };
  return { Protocol: 'grpc', ProtocolVersion: 6, Pid: process.pid, Test: true, Addr };
}

async function serve(schema: ProviderSchema): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => answer(stream, headers[':path'] ?? '', schema));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: async () => {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Answers of the procedures that are called; an empty message where there is nothing to say. */
function answer(stream: ServerHttp2Stream, path: string, schema: ProviderSchema): void {
  stream.on('error', () => undefined);
  stream.resume();
  const [, service, procedure = ''] = path.split('/');
  if (service !== 'tfplugin6.Provider') return trailers(stream, UNIMPLEMENTED);
  if (procedure === 'GetProviderSchema') return reply(stream, encodeProvider(schema));
  if (procedure === 'OpenEphemeralResource') {
    const json = field(2, Buffer.from(JSON.stringify(schema.opened ?? {})));
    return reply(stream, field(3, json));
  }
  if (EMPTY_ANSWERS.test(procedure)) return reply(stream, Buffer.alloc(0));
  return trailers(stream, UNIMPLEMENTED);
}

const EMPTY_ANSWERS = /^(Validate\w+Config|ConfigureProvider|CloseEphemeralResource|StopProvider)$/;
/** https://grpc.io/docs/guides/status-codes/ */
const UNIMPLEMENTED = 12;
const HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

function trailers(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ...HEADERS, 'grpc-status': String(status) }, { endStream: true });
}

/** One uncompressed message: a byte for compression, four for its length. */
function reply(stream: ServerHttp2Stream, message: Buffer): void {
  stream.respond(HEADERS, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
}

// Protocol Buffers: field numbers as in tfplugin6.proto.

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

function field(number: number, content: Buffer | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function numeric(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

function encodeProvider({ resource = {}, data = {}, ephemeral = {} }: ProviderSchema): Buffer {
  const map = (number: number, types: Readonly<Record<string, Block>>): Buffer[] =>
    Object.entries(types).map(([type, block]) =>
      field(number, Buffer.concat([field(1, type), field(2, field(2, encodeBlock(block)))])),
    );
  return Buffer.concat([
    field(
      1,
      field(2, encodeBlock({ attributes: { project: 'optional string', region: 'optional string' }, blocks: {} })),
    ),
    ...map(2, resource),
    ...map(3, data),
    ...map(8, ephemeral),
  ]);
}

function encodeBlock({ attributes, blocks }: Block): Buffer {
  return Buffer.concat([
    ...Object.entries(attributes).map(([name, text]) => field(2, encodeAttribute(name, text))),
    ...Object.entries(blocks).map(([name, block]) => field(3, encodeNested(name, block))),
  ]);
}

const TYPES: Readonly<Record<string, unknown>> = {
  string: 'string',
  number: 'number',
  boolean: 'bool',
  stringMap: ['map', 'string'],
  stringList: ['list', 'string'],
  stringSet: ['set', 'string'],
  numberList: ['list', 'number'],
  list: ['list', 'string'],
  any: ['map', 'string'],
};

/** What may be written may also be filled in by the provider, but for write-only arguments (`_wo`). */
function encodeAttribute(name: string, text: string): Buffer {
  const [use = '', type = ''] = text.split(' ');
  const writeOnly = name.endsWith('_wo');
  return Buffer.concat([
    field(1, name),
    field(2, JSON.stringify(TYPES[type] ?? 'string')),
    numeric(4, use === 'required' ? 1 : 0),
    numeric(5, use === 'optional' ? 1 : 0),
    numeric(6, use === 'required' || writeOnly ? 0 : 1),
    numeric(11, writeOnly ? 1 : 0),
  ]);
}

const NESTING = { struct: 1, list: 2, set: 3 } as const;

function encodeNested(name: string, block: NestedBlock): Buffer {
  const atLeast = block.use === 'required' && block.nesting !== 'struct' ? 1 : 0;
  return Buffer.concat([
    field(1, name),
    field(2, encodeBlock(block)),
    numeric(3, NESTING[block.nesting]),
    numeric(4, atLeast),
  ]);
}
