/** An MP4 as it streams in → one that can be read from a pipe: its index (moov) in front of its media (mdat). */
import { Failure } from '../../failure.ts';
import { closing, LookAhead } from '../look-ahead.ts';
import { type Box, type BoxContent, descendantsOf, parseBox, printableType, unreadableMp4 } from './box.ts';
import { MAX_INDEX_BYTES, type Movie, parseMovie } from './movie.ts';
import type { Spool } from './spool.ts';

/** Boxes in front of the media: ftyp, free, uuid … */
const MAX_FRONT_BYTES = 1024 * 1024;
const MAX_TRAILING_BOXES = 64;
/** A file that ends within so many bytes is held as a whole, and asked for nothing a second time. */
const HELD_BYTES = 64 * 1024;

export interface Mp4Source {
  readonly bytes: AsyncIterable<Buffer>;
  /** Of the whole file, where it is known beforehand. */
  readonly sizeBytes: number | undefined;
  /** Bytes `start` to `end` inclusive, read ahead of `bytes`; undefined where the source has no ranges. */
  readonly readRange: ((start: number, end: number, signal: AbortSignal) => Promise<Buffer>) | undefined;
  /** Where the media goes when its index comes last and there are no ranges. */
  readonly openSpool: () => Promise<Spool>;
}

export interface StreamableMp4 {
  readonly bytes: AsyncIterable<Buffer>;
  /** Where it was read ahead; otherwise it stands in front, and is read as it passes. */
  readonly movie: Movie | undefined;
  /** Said in the manifest where it is not the plain way. */
  readonly note: string | undefined;
}

/**
 * Reads up to the index. All of `source.bytes` is still read to its end, so that size and checksum are those of the whole file.
 * @throws Failure `unreadable-media` with the byte offset, `incomplete`, `media-too-large`, or what the source throws
 */
export async function streamableMp4(source: Mp4Source, signal: AbortSignal): Promise<StreamableMp4> {
  const input = new LookAhead(source.bytes[Symbol.asyncIterator]());
  try {
    const front = await readFront(input);
    if (front.next.type === 'moof')
      throw unreadableMp4(front.sizeBytes, 'its fragments have no index ("moov") in front');
    if (front.next.type === 'moov') return { bytes: input.all(), movie: undefined, note: undefined };
    const ranges = await rangesOf(input, source, signal);
    return ranges === undefined
      ? await spooled(front, input, source.openSpool)
      : await readIndexAhead(front, input, ranges);
  } catch (error) {
    await input.close();
    throw error;
  }
}

interface Front {
  /** Bytes of the boxes before `next`. */
  readonly sizeBytes: number;
  /** The first box that decides: moov, moof or mdat. */
  readonly next: Box;
}

const DECIDING = new Set(['moov', 'moof', 'mdat']);

async function readFront(input: LookAhead): Promise<Front> {
  let at = 0;
  for (;;) {
    const box = parseBox(await input.peek(at, 16), at);
    if (box === undefined) throw unreadableMp4(at, 'it ends before its index');
    if (DECIDING.has(box.type)) return { sizeBytes: at, next: box };
    if (box.end === undefined || box.end > MAX_FRONT_BYTES)
      throw unreadableMp4(at, `a "${printableType(box.type)}" box of this size stands before the media`);
    at = box.end;
  }
}

const contentOf = ({ type, start, headBytes }: Box, bytes: Buffer): BoxContent => ({
  type,
  body: bytes.subarray(headBytes),
  offset: start + headBytes,
});

const indexEndsWithin = ({ start }: Box): Failure =>
  new Failure('incomplete', `The MP4 ends within its index ("moov"), which begins at byte ${String(start)}.`);

// ── the index behind the media ──────────────────────────────────────────────────────────────────────────────────

interface Ranges {
  readonly read: (start: number, end: number) => Promise<Buffer>;
  /** Infinity where it is not known beforehand. */
  readonly sizeBytes: number;
  readonly note: string;
}

/** What is there already is not asked for again: of a short file all is, and its source has ended. */
async function rangesOf(input: LookAhead, source: Mp4Source, signal: AbortSignal): Promise<Ranges | undefined> {
  const held = await input.whole(HELD_BYTES);
  const { readRange, sizeBytes = Infinity } = source;
  if (held !== undefined) {
    const read = async (start: number, end: number): Promise<Buffer> => held.subarray(start, end + 1);
    return { read, sizeBytes: held.length, note: 'its index is at the end' };
  }
  if (readRange === undefined) return undefined;
  const note = 'its index is at the end and was read ahead by range';
  return { read: (start, end) => readRange(start, end, signal), sizeBytes, note };
}

/** The index is read from behind the media, while the main stream waits at the front of it. */
async function readIndexAhead(front: Front, input: LookAhead, ranges: Ranges): Promise<StreamableMp4> {
  const { box, bytes: moov } = await findIndex(front.next, ranges);
  const change = { at: front.sizeBytes, insert: movedIndex(box, moov), hide: { start: box.start, bytes: moov } };
  const source = input.all();
  const bytes = closing(rearranged(source, change), async () => void (await source.return?.()));
  return { bytes, movie: parseMovie(contentOf(box, moov)), note: ranges.note };
}

interface FoundIndex {
  readonly box: Box;
  readonly bytes: Buffer;
}

async function findIndex(media: Box, ranges: Ranges): Promise<FoundIndex> {
  if (media.end !== undefined && media.end > ranges.sizeBytes) throw endsBefore(media.end, ranges.sizeBytes);
  let at = media.end;
  for (let boxes = 0; boxes < MAX_TRAILING_BOXES && at !== undefined && at + 8 <= ranges.sizeBytes; boxes += 1) {
    const box = await boxAt(at, ranges);
    if (box.type === 'moov') return { box, bytes: await indexAt(box, ranges) };
    at = box.end;
  }
  throw unreadableMp4(media.start, 'no index ("moov") was found behind its media');
}

function endsBefore(expectedBytes: number, sizeBytes: number): Failure {
  const text = `The MP4 ends at byte ${String(sizeBytes)}, but its media ("mdat") reaches to byte ${String(expectedBytes)}.`;
  return new Failure('incomplete', text);
}

/** Read in two steps: a box without content has only 8 bytes, and the file may end with it. */
async function boxAt(at: number, { read }: Ranges): Promise<Box> {
  const head = await read(at, at + 7);
  const wide = head.length === 8 && head.readUInt32BE(0) === 1 ? await read(at + 8, at + 15) : Buffer.alloc(0);
  const box = parseBox(Buffer.concat([head, wide]), at);
  if (box === undefined) throw unreadableMp4(at, 'it ends before its index');
  return box;
}

async function indexAt(box: Box, { read, sizeBytes }: Ranges): Promise<Buffer> {
  const end = box.end ?? sizeBytes;
  if (end > sizeBytes) throw indexEndsWithin(box);
  if (end - box.start > MAX_INDEX_BYTES) throw unreadableMp4(box.start, 'its index is larger than any real one');
  const bytes = await read(box.start, end - 1);
  if (bytes.length < end - box.start) throw indexEndsWithin(box);
  return bytes;
}

/** Where the source has no ranges the media goes to disk until the index has come. */
async function spooled(front: Front, input: LookAhead, openSpool: Mp4Source['openSpool']): Promise<StreamableMp4> {
  const spool = await openSpool();
  try {
    await spool.fill(input.all());
    const note = 'its index is at the end and its source has no ranges: spooled to disk';
    const ranges: Ranges = { read: (start, end) => spool.read(start, end), sizeBytes: spool.sizeBytes, note };
    return await readIndexAhead(front, new LookAhead(spool.all()), ranges);
  } catch (error) {
    await spool.close();
    throw error;
  }
}

// ── the index, moved ────────────────────────────────────────────────────────────────────────────────────────────

/** The moov box as it must read when it stands in front of the media: every chunk lies further back by its own length. */
function movedIndex(box: Box, moov: Buffer): Buffer {
  const bytes = Buffer.from(moov);
  const content = contentOf(box, bytes);
  for (const table of descendantsOf(content, ['trak', 'mdia', 'minf', 'stbl', 'stco'])) shift(table, 4, moov.length);
  for (const table of descendantsOf(content, ['trak', 'mdia', 'minf', 'stbl', 'co64'])) shift(table, 8, moov.length);
  return bytes;
}

/** Adds `by` to every chunk offset (stco, co64: ISO/IEC 14496-12 §8.7.5), in place. */
function shift({ type, body, offset }: BoxContent, width: 4 | 8, by: number): void {
  const count = body.length >= 8 ? body.readUInt32BE(4) : 0;
  if (8 + count * width > body.length) throw unreadableMp4(offset, `"${type}" is longer than its box`);
  for (let at = 8; at < 8 + count * width; at += width) {
    if (width === 8) body.writeBigUInt64BE(BigInt.asUintN(64, body.readBigUInt64BE(at) + BigInt(by)), at);
    else if (body.readUInt32BE(at) + by > 0xffff_ffff)
      throw new Failure('unsupported-media', 'The MP4 addresses its media with 32 bits although it is larger.');
    else body.writeUInt32BE(body.readUInt32BE(at) + by, at);
  }
}

interface Rearrangement {
  /** Offset in the source before which `insert` goes. */
  readonly at: number;
  readonly insert: Buffer;
  /** The index where it stood: must be the bytes that were read ahead, and becomes a box to be skipped. */
  readonly hide: { readonly start: number; readonly bytes: Buffer };
}

async function* rearranged(
  source: AsyncIterable<Buffer>,
  { at: place, insert, hide }: Rearrangement,
): AsyncGenerator<Buffer, void, void> {
  let at = 0;
  for await (const chunk of source) {
    const bytes = hidden(chunk, at, hide);
    const cut = place - at;
    const isHere = cut >= 0 && cut < bytes.length;
    if (isHere) yield* [bytes.subarray(0, cut), insert, bytes.subarray(cut)];
    else yield bytes;
    at += chunk.length;
  }
}

/** The chunk with the old index's type turned into `free`, after comparing what of it lies in this chunk. */
function hidden(chunk: Buffer, at: number, hide: Rearrangement['hide']): Buffer {
  const from = Math.max(at, hide.start);
  const to = Math.min(at + chunk.length, hide.start + hide.bytes.length);
  if (from >= to) return chunk;
  const copy = Buffer.from(chunk);
  if (!copy.subarray(from - at, to - at).equals(hide.bytes.subarray(from - hide.start, to - hide.start))) {
    throw new Failure('incomplete', 'The media changed while it was read; it is fetched again.', {
      sort: 'surroundings',
    });
  }
  for (const [index, letter] of [...Buffer.from('free')].entries()) {
    const position = hide.start + 4 + index - at;
    if (position >= 0 && position < copy.length) copy[position] = letter;
  }
  return copy;
}
