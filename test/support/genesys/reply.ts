/** An answer (a status, headers, a body of bytes or of generated media) → HTTP, with the fault it was told to have. */
import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Fault } from './faults.ts';

/** One media file of a simulated recording, from disk, from memory, or made while it is read. */
export type SimulatedFile = {
  /** "0", "1" or "S". */
  readonly channel: string;
  readonly contentType: string;
} & (
  | { readonly path: string | URL }
  | { readonly bytes: Buffer }
  /** Called once per request; without `sizeBytes` it is sent chunked and without ranges. */
  | { readonly stream: () => Readable; readonly sizeBytes?: number }
);

export interface Reply {
  status: number;
  headers: Record<string, string | string[]>;
  /** undefined where only reading to the end tells. */
  sizeBytes: number | undefined;
  open: () => Readable;
}

export function textReply(status: number, contentType: string, text: string): Reply {
  const bytes = Buffer.from(text);
  return {
    status,
    headers: { 'content-type': contentType },
    sizeBytes: bytes.length,
    open: () => Readable.from([bytes]),
  };
}

export function jsonReply(status: number, body: unknown): Reply {
  return body === undefined
    ? { status, headers: {}, sizeBytes: 0, open: () => Readable.from([]) }
    : textReply(status, 'application/json', JSON.stringify(body));
}

/** As Amazon S3 words its errors. */
export function xmlReply(status: number, code: string, message: string): Reply {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>`;
  return textReply(status, 'application/xml', body);
}

export interface MediaOptions {
  /** Whether `Range` is honoured; yes by default. */
  readonly ranges?: boolean;
  /** `strong` by default. */
  readonly etag?: 'strong' | 'weak' | 'none';
  /** Sends without Content-Length. */
  readonly chunked?: boolean;
}

/** A file as S3 serves it: 200, 206, 412 or 416, by Range, If-Match and If-Range. */
export function fileReply(
  file: SimulatedFile,
  version: number,
  request: IncomingMessage,
  options: MediaOptions,
): Reply {
  const size = sizeOf(file);
  const etag = `${options.etag === 'weak' ? 'W/' : ''}"v${String(version)}-${String(size ?? 0)}"`;
  const tagged = options.etag === 'none' ? {} : { etag };
  const headers = { 'content-type': file.contentType, ...tagged, 'last-modified': 'Wed, 05 Aug 2026 09:18:45 GMT' };
  if (size === undefined || options.chunked === true)
    return { status: 200, headers, sizeBytes: undefined, open: () => openFile(file, 0) };
  const whole = { status: 200, headers, sizeBytes: size, open: () => openFile(file, 0) };
  if (options.ranges === false) return whole;
  const match = request.headers['if-match'];
  if (match !== undefined && match !== etag)
    return xmlReply(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold');
  const rangeable = { ...whole, headers: { ...headers, 'accept-ranges': 'bytes' } };
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const ifRange = request.headers['if-range'];
  if (range === null || (ifRange !== undefined && ifRange !== etag)) return rangeable;
  const start = Number(range[1]);
  const end = range[2] === '' ? size - 1 : Math.min(Number(range[2]), size - 1);
  if (start >= size || end < start) return xmlReply(416, 'InvalidRange', 'The requested range is not satisfiable');
  return {
    status: 206,
    headers: { ...rangeable.headers, 'content-range': `bytes ${String(start)}-${String(end)}/${String(size)}` },
    sizeBytes: end - start + 1,
    open: () => openFile(file, start, end),
  };
}

export function sizeOf(file: SimulatedFile): number | undefined {
  if ('bytes' in file) return file.bytes.length;
  return 'path' in file ? statSync(file.path).size : file.sizeBytes;
}

function openFile(file: SimulatedFile, start: number, end = Infinity): Readable {
  if ('path' in file) return createReadStream(file.path, { start, end });
  if ('bytes' in file) return Readable.from(slices(file.bytes.subarray(start, end + 1)));
  return start === 0 && end === Infinity ? file.stream() : Readable.from(cut(file.stream(), start, end));
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

async function* cut(source: Readable, start: number, end: number): AsyncGenerator<Buffer> {
  let at = 0;
  for await (const chunk of buffers(source)) {
    const part = chunk.subarray(Math.max(0, start - at), Math.max(0, end + 1 - at));
    at += chunk.length;
    if (part.length > 0) yield part;
    if (at > end) return;
  }
}

async function* buffers(source: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of source) yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
}

/** Resolves once the answer is out or the connection is gone, never rejects for either. */
export async function send(response: ServerResponse, reply: Reply, fault: Fault | undefined): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.once('error', () => gone.abort());
  try {
    const final = await spoil(reply, fault);
    writeHead(response, final, fault);
    if (response.req.method === 'HEAD') response.end();
    else await writeBody(response, final, { fault, gone: gone.signal });
  } catch (thrown) {
    if (!gone.signal.aborted) throw thrown;
  }
}

async function spoil(reply: Reply, fault: Fault | undefined): Promise<Reply> {
  if (fault === undefined) return reply;
  const changed =
    fault.body === undefined
      ? reply
      : { ...textReply(reply.status, 'application/octet-stream', fault.body), headers: reply.headers };
  const headers = { ...changed.headers };
  if (fault.redirect !== undefined)
    return { ...jsonReply(fault.status ?? 302, undefined), headers: { location: fault.redirect } };
  if (fault.type !== undefined) headers['content-type'] = fault.type;
  if (fault.retryAfter.length > 0) headers['retry-after'] = fault.retryAfter;
  if (fault.hint !== undefined) headers['retry-after'] = fault.hint;
  if (fault.gzip !== true) return { ...changed, headers };
  const zipped = gzipSync(await buffer(changed.open()));
  headers['content-encoding'] = 'gzip';
  return { ...changed, headers, sizeBytes: zipped.length, open: () => Readable.from([zipped]) };
}

function writeHead(response: ServerResponse, reply: Reply, fault: Fault | undefined): void {
  const length = fault?.length;
  const lie = typeof length === 'number' ? length : 0;
  if (length === 'none') response.useChunkedEncodingByDefault = false;
  if (lie !== 0 || length === 'none') response.shouldKeepAlive = false;
  const known = reply.sizeBytes !== undefined && length !== 'none' && length !== 'chunked';
  const size = known ? { 'content-length': String((reply.sizeBytes ?? 0) + lie) } : {};
  response.writeHead(reply.status, { ...reply.headers, ...size });
  response.flushHeaders();
}

interface Ending {
  readonly fault: Fault | undefined;
  readonly gone: AbortSignal;
}

async function writeBody(response: ServerResponse, reply: Reply, { fault, gone }: Ending): Promise<void> {
  const limit = fault?.breakAfterBytes ?? fault?.stallAfterBytes ?? Infinity;
  const written = await writeUpTo(response, reply.open(), { limit, gone });
  if (fault?.breakAfterBytes !== undefined) return drop(response);
  if (fault?.stallAfterBytes !== undefined) {
    await delay(fault.stallMs ?? 2 ** 31 - 1, undefined, { signal: gone });
    await writeUpTo(response, Readable.from(skip(reply.open(), written)), { limit: Infinity, gone });
  }
  response.end();
  // A body shorter than promised ends by the connection's end.
  if (typeof fault?.length === 'number' && fault.length > 0) drop(response);
}

async function writeUpTo(
  response: ServerResponse,
  source: Readable,
  options: { limit: number; gone: AbortSignal },
): Promise<number> {
  let written = 0;
  if (options.limit === 0) return 0;
  for await (const chunk of buffers(source)) {
    const part = chunk.subarray(0, options.limit - written);
    written += part.length;
    if (!response.write(part)) await once(response, 'drain', { signal: options.gone });
    if (written >= options.limit) break;
  }
  return written;
}

function skip(source: Readable, bytes: number): AsyncGenerator<Buffer> {
  return cut(source, bytes, Infinity);
}

/** What was written still arrives; then the connection ends without the end the framing promised. */
function drop(response: ServerResponse): void {
  response.socket?.destroySoon();
}
