/** Turns an MP4 as it streams in into one that can be read from a pipe: its index (moov) in front of its media (mdat). */
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { Failure } from '../failure.ts';
import { Backlog } from './backlog.ts';

/** The index of 12 h of screen is a few MB. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
/** Boxes in front of the media: ftyp, free, uuid … */
const MAX_FRONT_BYTES = 1024 * 1024;
const MAX_TRAILING_BOXES = 64;
/** Up to the duration of a movie header of either version. */
const MOVIE_HEADER_BYTES = 48;
/** What is put on disk, at most, where the index is last and the source has no ranges. */
const MAX_SPOOL_BYTES = 1024 ** 3;
const SPOOL_CHUNK_BYTES = 256 * 1024;

export interface Mp4Source {
  readonly bytes: AsyncIterable<Buffer>;
  /** Of the whole file, where it is known beforehand. */
  readonly sizeBytes: number | undefined;
  /** Bytes `start` to `end` inclusive, read ahead of `bytes`; undefined where the source has no ranges. */
  readonly readRange: ((start: number, end: number, signal: AbortSignal) => Promise<Buffer>) | undefined;
}

export interface StreamableMp4 {
  readonly bytes: AsyncIterable<Buffer>;
  /** From the movie header (ISO/IEC 14496-12 §8.2.2), milliseconds; undefined where it says none (fragmented). */
  readonly durationMs: number | undefined;
  /** Said in the manifest where it is not the plain way. */
  readonly note: string | undefined;
}

/**
 * Reads up to the index. All of `source.bytes` is still read to its end, so that size and checksum are those of the whole file.
 * @throws Failure `unreadable-media` with the byte offset, `media-too-large`, or what the source throws
 */
export async function streamableMp4(source: Mp4Source, signal: AbortSignal): Promise<StreamableMp4> {
  const input = new Input(source.bytes[Symbol.asyncIterator]());
  try {
    const front = await readFront(input);
    if (front.next.type !== 'mdat') {
      const durationMs = front.next.type === 'moov' ? await peekDuration(front, input) : undefined;
      return { bytes: input.all(), durationMs, note: undefined };
    }
    if (source.readRange === undefined) return await spooled(front, input);
    return await readAhead(front, input, {
      readRange: source.readRange,
      sizeBytes: source.sizeBytes ?? Infinity,
      signal,
    });
  } catch (error) {
    await input.close();
    throw error;
  }
}

/** A box (ISO/IEC 14496-12 §4.2): `end` is undefined where it reaches to the end of the file. */
interface Box {
  readonly type: string;
  readonly start: number;
  readonly headBytes: number;
  readonly end: number | undefined;
}

interface Front {
  /** Bytes of the boxes before `next`. */
  readonly sizeBytes: number;
  /** The first box that decides: moov, moof or mdat. */
  readonly next: Box;
}

const DECIDING = new Set(['moov', 'moof', 'mdat']);

async function readFront(input: Input): Promise<Front> {
  let at = 0;
  for (;;) {
    const head = await input.peek(at, 16);
    const box = parseBox(head, at);
    if (box === undefined) throw unreadable(at, 'it ends before its index');
    if (DECIDING.has(box.type)) return { sizeBytes: at, next: box };
    if (box.end === undefined || box.end > MAX_FRONT_BYTES)
      throw unreadable(at, `a "${box.type}" box of this size stands before the media`);
    at = box.end;
  }
}

/** The movie header is the index's first box wherever it was written by anything known. */
async function peekDuration({ next }: Front, input: Input): Promise<number | undefined> {
  const beginning = await input.peek(next.start + next.headBytes, MOVIE_HEADER_BYTES);
  return movieDurationMs(beginning);
}

interface Ranged {
  readonly readRange: NonNullable<Mp4Source['readRange']>;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
}

/** The index is fetched by range from behind the media, while the main stream waits at the front of it. */
async function readAhead(front: Front, input: Input, ranged: Ranged): Promise<StreamableMp4> {
  const { box, bytes: moov } = await findIndex(front.next, ranged);
  const index = movedIndex(moov, front.sizeBytes);
  const bytes = input.all({ at: front.sizeBytes, insert: index.bytes, hide: { start: box.start, bytes: moov } });
  return { bytes, durationMs: index.durationMs, note: 'its index is at the end and was read ahead by range' };
}

async function findIndex(media: Box, ranged: Ranged): Promise<{ box: Box; bytes: Buffer }> {
  let at = media.end;
  for (let boxes = 0; boxes < MAX_TRAILING_BOXES && at !== undefined && at + 8 <= ranged.sizeBytes; boxes += 1) {
    const box = await boxAt(at, ranged);
    if (box.type === 'moov') return { box, bytes: await indexAt(box, ranged) };
    at = box.end;
  }
  throw unreadable(media.start, 'no index was found behind its media');
}

/** Read in two steps: a box without content has only 8 bytes, and the file may end with it. */
async function boxAt(at: number, { readRange, signal }: Ranged): Promise<Box> {
  const head = await readRange(at, at + 7, signal);
  const wide =
    head.length === 8 && head.readUInt32BE(0) === 1 ? await readRange(at + 8, at + 15, signal) : Buffer.alloc(0);
  const box = parseBox(Buffer.concat([head, wide]), at);
  if (box === undefined) throw unreadable(at, 'it ends before its index');
  return box;
}

async function indexAt(box: Box, { readRange, sizeBytes, signal }: Ranged): Promise<Buffer> {
  const end = box.end ?? sizeBytes;
  if (end > sizeBytes) throw unreadable(box.start, 'it ends within its index');
  if (end - box.start > MAX_INDEX_BYTES) throw unreadable(box.start, 'its index is larger than any real one');
  const bytes = await readRange(box.start, end - 1, signal);
  if (bytes.length < end - box.start) throw unreadable(box.start, 'it ends within its index');
  return bytes;
}

/** Where the source has no ranges the media goes to disk until the index has come: bounded, and without a name from the start. */
async function spooled(front: Front, input: Input): Promise<StreamableMp4> {
  const spool = await openSpool();
  try {
    const { moov, sizeBytes } = await fillSpool(spool, front, input);
    const index = movedIndex(moov.bytes, front.sizeBytes);
    const bytes = replay(spool, { front: front.sizeBytes, index: index.bytes, sizeBytes, moov });
    return {
      bytes,
      durationMs: index.durationMs,
      note: 'its index is at the end and its source has no ranges: spooled to disk',
    };
  } catch (error) {
    await spool.close();
    throw error;
  }
}

async function openSpool(): Promise<FileHandle> {
  const path = join(tmpdir(), `archiver-spool-${randomUUID()}`);
  const spool = await open(path, 'wx+', 0o600);
  await unlink(path);
  return spool;
}

interface SpooledIndex {
  readonly start: number;
  readonly bytes: Buffer;
}

async function fillSpool(
  spool: FileHandle,
  front: Front,
  input: Input,
): Promise<{ moov: SpooledIndex; sizeBytes: number }> {
  let sizeBytes = 0;
  for await (const chunk of input.all()) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_SPOOL_BYTES) {
      throw new Failure(
        'media-too-large',
        `The MP4 has its index at the end, its source has no ranges, and it is larger than the ${String(MAX_SPOOL_BYTES)} bytes that may be spooled.`,
      );
    }
    await spool.appendFile(chunk);
  }
  const readRange = async (start: number, end: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(end - start + 1);
    const { bytesRead } = await spool.read(bytes, 0, bytes.length, start);
    if (bytesRead < bytes.length) throw unreadable(start, 'it ends before its index');
    return bytes;
  };
  const { box, bytes } = await findIndex(front.next, { readRange, sizeBytes, signal: AbortSignal.timeout(60_000) });
  return { moov: { start: box.start, bytes }, sizeBytes };
}

interface Replay {
  readonly front: number;
  readonly index: Buffer;
  readonly sizeBytes: number;
  readonly moov: SpooledIndex;
}

async function* replay(
  spool: FileHandle,
  { front, index, sizeBytes, moov }: Replay,
): AsyncGenerator<Buffer, void, void> {
  try {
    const stream = spool.createReadStream({
      start: 0,
      end: sizeBytes - 1,
      highWaterMark: SPOOL_CHUNK_BYTES,
      autoClose: false,
    });
    const input = new Input(stream[Symbol.asyncIterator]());
    yield* input.all({ at: front, insert: index, hide: moov });
  } finally {
    await spool.close();
  }
}

// ── the index ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The moov box as it must read when it stands in front of the media: every chunk lies further back by its own length. */
function movedIndex(moov: Buffer, insertedAt: number): { bytes: Buffer; durationMs: number | undefined } {
  const bytes = Buffer.from(moov);
  const head = parseBox(bytes, 0);
  if (head === undefined) throw unreadable(insertedAt, 'its index is damaged');
  shiftChunks(bytes.subarray(head.headBytes), moov.length);
  return { bytes, durationMs: movieDurationMs(bytes.subarray(head.headBytes)) };
}

const CONTAINERS = new Set(['trak', 'mdia', 'minf', 'stbl']);

/** Adds `shift` to every chunk offset (stco, co64: ISO/IEC 14496-12 §8.7.5), in place. */
function shiftChunks(content: Buffer, shift: number): void {
  for (const { type, body } of boxesOf(content)) {
    if (CONTAINERS.has(type)) shiftChunks(body, shift);
    if (type === 'stco') shiftTable(body, 4, shift);
    if (type === 'co64') shiftTable(body, 8, shift);
    if (type === 'cmov')
      throw new Failure('unsupported-media', 'The MP4 has a compressed index, which is not supported.');
  }
}

function shiftTable(body: Buffer, width: 4 | 8, shift: number): void {
  const count = body.length >= 8 ? body.readUInt32BE(4) : 0;
  if (8 + count * width > body.length) throw unreadable(0, 'a chunk table is longer than its box');
  for (let at = 8; at < 8 + count * width; at += width) {
    if (width === 8) body.writeBigUInt64BE(BigInt.asUintN(64, body.readBigUInt64BE(at) + BigInt(shift)), at);
    else if (body.readUInt32BE(at) + shift > 0xffff_ffff)
      throw new Failure('unsupported-media', 'The MP4 addresses its media with 32 bits although it is larger.');
    else body.writeUInt32BE(body.readUInt32BE(at) + shift, at);
  }
}

/** mvhd: duration in units of its timescale, version 0 with 32 bits, version 1 with 64. All ones means unknown. */
function movieDurationMs(content: Buffer): number | undefined {
  const first = parseBox(content, 0);
  if (first?.type !== 'mvhd' || content.length < MOVIE_HEADER_BYTES) return undefined;
  const mvhd = content.subarray(first.headBytes);
  const wide = mvhd[0] === 1;
  const scale = mvhd.readUInt32BE(wide ? 20 : 12);
  const units = wide ? Number(mvhd.readBigUInt64BE(24)) : mvhd.readUInt32BE(16);
  const unknown = units === 0 || (!wide && units === 0xffff_ffff) || units > 2 ** 53;
  return scale === 0 || unknown ? undefined : (units / scale) * 1000;
}

function boxesOf(content: Buffer): { type: string; body: Buffer }[] {
  const boxes = [];
  for (let at = 0; at + 8 <= content.length;) {
    const box = parseBox(content.subarray(at, at + 16), 0);
    if (box === undefined) throw unreadable(at, 'its index is damaged');
    const end = at + (box.end ?? content.length - at);
    if (end > content.length) throw unreadable(at, 'its index is damaged');
    boxes.push({ type: box.type, body: content.subarray(at + box.headBytes, end) });
    at = end;
  }
  return boxes;
}

/** undefined where there are not even 8 bytes. @throws Failure where the size cannot be */
function parseBox(head: Buffer, start: number): Box | undefined {
  if (head.length < 8) return undefined;
  const type = head.toString('latin1', 4, 8);
  const size = head.readUInt32BE(0);
  if (size === 0) return { type, start, headBytes: 8, end: undefined };
  const wide = size === 1;
  if (wide && head.length < 16) return undefined;
  const length = wide ? Number(head.readBigUInt64BE(8)) : size;
  if (length < (wide ? 16 : 8) || length > Number.MAX_SAFE_INTEGER - start)
    throw unreadable(start, 'a box has an impossible size');
  return { type, start, headBytes: wide ? 16 : 8, end: start + length };
}

function unreadable(offset: number, why: string): Failure {
  return new Failure('unreadable-media', `The MP4 cannot be read: ${why} (byte ${String(offset)}).`);
}

// ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Rearrangement {
  /** Offset in the source before which `insert` goes. */
  readonly at: number;
  readonly insert: Buffer;
  /** The index where it stood: must be the bytes that were read ahead, and becomes a box to be skipped. */
  readonly hide: { readonly start: number; readonly bytes: Buffer };
}

/** The source's bytes: a beginning that may be looked at, then everything once. */
class Input {
  readonly #source: AsyncIterator<Buffer>;
  readonly #backlog = new Backlog();
  #ended = false;

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  /** Up to `length` bytes at `offset`, fewer only at the end of the source. */
  async peek(offset: number, length: number): Promise<Buffer> {
    while (!this.#ended && this.#backlog.length < offset + length) await this.#more();
    return this.#backlog.bytes().subarray(offset, offset + length);
  }

  async #more(): Promise<void> {
    const step = await this.#source.next();
    if (step.done === true) this.#ended = true;
    else this.#backlog.add(step.value);
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async *all(change?: Rearrangement): AsyncGenerator<Buffer, void, void> {
    try {
      let at = 0;
      for await (const chunk of this.#chunks()) {
        if (change === undefined) yield chunk;
        else yield* rearranged(chunk, at, change);
        at += chunk.length;
      }
    } finally {
      await this.close();
    }
  }

  async *#chunks(): AsyncGenerator<Buffer, void, void> {
    if (this.#backlog.length > 0) {
      const begun = this.#backlog.bytes();
      this.#backlog.consume(begun.length);
      yield begun;
    }
    while (!this.#ended) {
      const step = await this.#source.next();
      if (step.done === true) this.#ended = true;
      else yield step.value;
    }
  }
}

function* rearranged(chunk: Buffer, at: number, change: Rearrangement): Generator<Buffer, void, void> {
  const bytes = hidden(chunk, at, change.hide);
  const cut = change.at - at;
  const isHere = cut >= 0 && cut < bytes.length;
  if (isHere) yield* [bytes.subarray(0, cut), change.insert, bytes.subarray(cut)];
  else yield bytes;
}

/** The chunk with the old index's type turned into `free`, after comparing what of it lies in this chunk. */
function hidden(chunk: Buffer, at: number, hide: Rearrangement['hide']): Buffer {
  const from = Math.max(at, hide.start);
  const to = Math.min(at + chunk.length, hide.start + hide.bytes.length);
  if (from >= to) return chunk;
  const copy = Buffer.from(chunk);
  if (!copy.subarray(from - at, to - at).equals(hide.bytes.subarray(from - hide.start, to - hide.start))) {
    throw new Failure('incomplete', 'The media changed while it was read; it is fetched again.');
  }
  for (const [index, letter] of [...Buffer.from('free')].entries()) {
    const position = hide.start + 4 + index - at;
    if (position >= 0 && position < copy.length) copy[position] = letter;
  }
  return copy;
}
