/** The bytes of HTTP → what the JSON API means by them, and objects → answers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Fault } from './faults.ts';
import { digestOf, GcsError, type Resource, retainedUntil, type SoftDeleted, type StoredObject } from './store.ts';

export interface Context {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  readonly query: URLSearchParams;
  /** Of the answer with media. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Range {
  readonly start: number | undefined;
  readonly total: number | undefined;
}

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) if (Buffer.isBuffer(part)) parts.push(part);
  return Buffer.concat(parts);
}

/** `bytes 0-99/*`, `bytes 0-99/100`, `bytes * /*`, `bytes * /100`; and the library's open `bytes 0-* /*`. */
export function parseContentRange(header: string | undefined, length: number): Range {
  const match = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(header ?? 'bytes 0-*/*');
  if (match === null) throw new GcsError(400, 'invalid', `Invalid Content-Range: ${String(header)}`);
  const start = match[1] === undefined ? undefined : Number(match[1]);
  const open = match[2] === '*';
  if (start !== undefined && !open && Number(match[2]) - start + 1 !== length) {
    throw new GcsError(400, 'invalid', 'The body is not as long as its Content-Range says.');
  }
  const ends = open ? (start ?? 0) + length : undefined;
  return { start, total: match[3] === '*' ? ends : Number(match[3]) };
}

/** What of a body reaches the disk. */
export function limited(body: Buffer, start: number, fault: Fault | undefined): Buffer {
  if (fault?.kind === 'keep') return body.subarray(0, fault.bytes);
  if (fault !== undefined && 'afterBytes' in fault && fault.afterBytes !== undefined) {
    return body.subarray(0, Math.max(0, fault.afterBytes - start));
  }
  return body;
}

export function damage(body: Buffer, fault: Fault | undefined): Buffer {
  if (fault?.kind !== 'damage-body' && fault?.kind !== 'corrupt') return body;
  const damaged = Buffer.from(body);
  const middle = Math.floor(damaged.length / 2);
  damaged[middle] = (damaged[middle] ?? 0) ^ 1;
  return damaged;
}

/** Custom metadata and checksum may come with the last request. https://cloud.google.com/storage/docs/performing-resumable-uploads */
export function finalResource(resource: Resource, { headers }: IncomingMessage): Resource {
  const claimed = /crc32c=([^,\s]+)/.exec(String(headers['x-goog-hash'] ?? ''))?.[1];
  const metadata = Object.entries(headers).flatMap(([name, value]): [string, string][] => {
    return name.startsWith('x-goog-meta-') ? [[name.slice('x-goog-meta-'.length), String(value)]] : [];
  });
  return {
    ...resource,
    crc32c: claimed ?? resource.crc32c,
    metadata: { ...resource.metadata, ...Object.fromEntries(metadata) },
  };
}

export function parseMultipart(
  request: IncomingMessage,
  body: Buffer,
): { json: Readonly<Record<string, unknown>>; media: Buffer; mediaType: string | undefined } {
  const boundary = /boundary="?([^";]+)"?/.exec(request.headers['content-type'] ?? '')?.[1];
  if (boundary === undefined) throw new GcsError(400, 'required', 'A multipart upload needs a boundary.');
  const delimiter = Buffer.from(`--${boundary}`);
  const first = body.indexOf(delimiter);
  const second = body.indexOf(delimiter, first + delimiter.length);
  const last = body.lastIndexOf(delimiter);
  if (first < 0 || second < 0 || last <= second) throw new GcsError(400, 'invalid', 'The multipart body is not whole.');
  const resource = splitPart(body.subarray(first + delimiter.length, second));
  const media = splitPart(body.subarray(second + delimiter.length, last));
  return { json: parseJson(resource.content), media: media.content, mediaType: media.type };
}

/** A part's header and content, without the line ends around it. */
function splitPart(part: Buffer): { type: string | undefined; content: Buffer } {
  const gap = part.indexOf('\r\n\r\n');
  const type = /content-type:\s*([^\r\n]+)/i.exec(part.subarray(0, gap).toString('latin1'))?.[1];
  return { type, content: part.subarray(gap + 4, part.length - 2) };
}

export function parseResource(json: Readonly<Record<string, unknown>>, mediaType?: unknown): Resource {
  const text = (name: string): string | undefined => (typeof json[name] === 'string' ? json[name] : undefined);
  const metadata = Object.entries(record(json['metadata'])).map(([name, value]): [string, string] => [
    name,
    String(value),
  ]);
  const size = metadata.flat().join('').length;
  if (size > 8192) throw new GcsError(400, 'invalid', 'The custom metadata is larger than 8 KiB.');
  return {
    contentType: text('contentType') ?? (typeof mediaType === 'string' ? mediaType : undefined),
    cacheControl: text('cacheControl'),
    metadata: Object.fromEntries(metadata),
    crc32c: text('crc32c'),
    retention: json['retention'],
  };
}

export function resourceOf(object: StoredObject | SoftDeleted, bucket: string): Readonly<Record<string, unknown>> {
  const until = retainedUntil(object);
  const composed = object.componentCount !== undefined;
  return {
    kind: 'storage#object',
    id: `${bucket}/${object.name}/${object.generation}`,
    name: object.name,
    bucket,
    generation: object.generation,
    metageneration: String(object.metageneration),
    size: String(object.sizeBytes),
    crc32c: object.crc32c,
    ...(composed ? { componentCount: object.componentCount } : { md5Hash: digestOf(object, 'md5').toString('base64') }),
    contentType: object.contentType,
    ...(object.cacheControl === undefined ? {} : { cacheControl: object.cacheControl }),
    metadata: object.metadata,
    timeCreated: object.timeCreated,
    ...(object.temporaryHold ? { temporaryHold: true } : {}),
    ...(object.timeDeleted === undefined ? {} : { timeDeleted: object.timeDeleted }),
    ...(object.retention === undefined ? {} : { retention: object.retention }),
    ...(until === undefined ? {} : { retentionExpirationTime: until }),
    ...('hardDeleteTime' in object
      ? { softDeleteTime: object.softDeleteTime, hardDeleteTime: object.hardDeleteTime }
      : {}),
    updated: object.timeCreated,
    etag: object.generation,
  };
}

export async function sendMedia(context: Context, object: StoredObject, fault: Fault | undefined): Promise<void> {
  const { request, response } = context;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = Math.min(object.sizeBytes - 1, range?.[2] === undefined || range[2] === '' ? Infinity : Number(range[2]));
  if (range !== null && start >= object.sizeBytes)
    throw new GcsError(416, 'requestedRangeNotSatisfiable', 'Out of range.');
  response.writeHead(range === null ? 200 : 206, {
    'content-type': object.contentType,
    'content-length': String(end - start + 1),
    'accept-ranges': 'bytes',
    etag: `"${object.generation}"`,
    'x-goog-generation': object.generation,
    'x-goog-hash': `crc32c=${object.crc32c}`,
    ...(object.cacheControl === undefined ? {} : { 'cache-control': object.cacheControl }),
    ...(range === null ? {} : { 'content-range': `bytes ${String(start)}-${String(end)}/${String(object.sizeBytes)}` }),
    ...context.headers,
  });
  const whole = end - start + 1;
  const cut = fault?.kind === 'reset' || fault?.kind === 'stall' ? (fault.afterBytes ?? 0) : whole;
  const limit = Math.min(whole, cut);
  await pipeline(Readable.from(piecesOf(object, { start, limit, fault })), response, { end: limit === whole });
  // The bytes so far arrive, the promised rest never does.
  if (limit < whole && fault?.kind === 'reset') request.socket.destroySoon();
}

interface Piece {
  readonly start: number;
  readonly limit: number;
  readonly fault: Fault | undefined;
}

function* piecesOf(object: StoredObject, { start, limit, fault }: Piece): Generator<Buffer> {
  let at = 0;
  let left = limit;
  for (const part of object.parts) {
    const from = Math.max(0, start - at);
    const piece = part.subarray(from, from + left);
    at += part.length;
    if (piece.length === 0) continue;
    left -= piece.length;
    yield damage(piece, fault);
  }
}

/** `versions=true` or `softDeleted=true`: each of these generations, by name and then by age. */
export function listGenerations(
  generations: readonly (StoredObject | SoftDeleted)[],
  query: URLSearchParams,
): Readonly<Record<string, unknown>> {
  const prefix = query.get('prefix') ?? '';
  const after = Buffer.from(query.get('pageToken') ?? '', 'base64url').toString('utf8');
  const left = generations
    .filter(({ name }) => name.startsWith(prefix))
    .map((object): [string, StoredObject] => [placeOf(object), object])
    .filter(([place]) => place > after)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const most = Number(query.get('maxResults') ?? 1000);
  const last = left.length > most ? left[most - 1]?.[0] : undefined;
  return {
    kind: 'storage#objects',
    items: left.slice(0, most).map(([, object]) => resourceOf(object, '')),
    ...(last === undefined ? {} : { nextPageToken: Buffer.from(last).toString('base64url') }),
  };
}

function placeOf({ name, generation }: StoredObject): string {
  return `${name}\0${generation.padStart(20, '0')}`;
}

/** Names in order, however many: none of them need be held. */
export interface OrderedNames {
  /** The first that is not below `text`. */
  from(text: string): string | undefined;
}

/** The same of names that are held. */
export function orderedNames(names: Iterable<string>): OrderedNames {
  const sorted = [...names].toSorted();
  return { from: (text) => sorted[firstAt(sorted.length, (at) => (sorted[at] ?? '') >= text)] };
}

/** The first index below `length` for which it holds, or `length`: from there on it holds for all. */
export function firstAt(length: number, holds: (at: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Two as one. */
export function bothNames(one: OrderedNames, other: OrderedNames): OrderedNames {
  return {
    from(text) {
      const [a, b] = [one.from(text), other.from(text)];
      return a === undefined || (b !== undefined && b < a) ? b : a;
    },
  };
}

/** A little more than every name that begins with it. */
function behind(prefix: string): string {
  return `${prefix}\uffff`;
}

export function listPage(
  names: OrderedNames,
  objectOf: (name: string) => StoredObject | undefined,
  query: URLSearchParams,
): Readonly<Record<string, unknown>> {
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter');
  const from = query.get('startOffset') ?? '';
  const to = query.get('endOffset');
  const after = Buffer.from(query.get('pageToken') ?? '', 'base64url').toString('utf8');
  const most = Math.min(1000, Number(query.get('maxResults') ?? 1000));
  const items: unknown[] = [];
  const prefixes = new Set<string>();
  let last = '';
  const start = [prefix, from, after].toSorted().at(-1) ?? '';
  for (let name = names.from(start); name?.startsWith(prefix) === true;) {
    if (to !== null && name >= to) break;
    const cut = delimiter === null ? -1 : name.indexOf(delimiter, prefix.length);
    const entry = cut < 0 ? name : name.slice(0, cut + 1);
    const next = cut < 0 ? `${name}\0` : behind(entry);
    if (entry <= after) {
      name = names.from(next);
      continue;
    }
    if (items.length + prefixes.size === most)
      return {
        kind: 'storage#objects',
        items,
        prefixes: [...prefixes],
        nextPageToken: Buffer.from(last).toString('base64url'),
      };
    last = entry;
    const object = cut < 0 ? objectOf(name) : undefined;
    if (cut >= 0) prefixes.add(entry);
    else if (object !== undefined) items.push(resourceOf(object, ''));
    name = names.from(next);
  }
  return {
    kind: 'storage#objects',
    ...(items.length === 0 ? {} : { items }),
    ...(prefixes.size === 0 ? {} : { prefixes: [...prefixes] }),
  };
}

export function returned({
  status,
  waitS,
}: {
  readonly status: number;
  readonly waitS?: string | undefined;
}): GcsError {
  const reasons: Readonly<Record<number, string>> = {
    401: 'authError',
    403: 'forbidden',
    404: 'notFound',
    412: 'conditionNotMet',
    429: 'rateLimitExceeded',
  };
  return new GcsError(status, reasons[status] ?? 'backendError', `Ordered by the test: ${String(status)}`, waitS);
}

export function sendError(response: ServerResponse, error: GcsError): void {
  if (response.headersSent) return void response.destroy();
  const { status, reason, message, waitS } = error;
  const body = JSON.stringify({ error: { code: status, message, errors: [{ domain: 'global', reason, message }] } });
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      ...(waitS === undefined ? {} : { 'retry-after': waitS }),
    })
    .end(body);
}

export function sendJson(response: ServerResponse, value: unknown): void {
  const body = JSON.stringify(value);
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) })
    .end(body);
}

export function parseJson(body: Buffer): Readonly<Record<string, unknown>> {
  return record(JSON.parse(body.toString('utf8')));
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
