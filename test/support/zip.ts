/** A zip file → its entries, read as strictly as the strictest reader: from the directory, held against every local header, without gaps. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

export interface ReadEntry {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Whether its size or place is said by Zip64. */
  readonly isZip64: boolean;
}

/** @throws where anything is not as APPNOTE 6.3.10 has it, stored and without descriptors */
export async function readZip(path: string): Promise<readonly ReadEntry[]> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const tail = await bytesAt(file, size - 22, 22);
  assert.equal(tail.readUInt32LE(0), 0x06054b50, 'the end of the directory, and no comment behind it');
  assert.deepEqual([tail.readUInt16LE(4), tail.readUInt16LE(6), tail.readUInt16LE(20)], [0, 0, 0]);
  assert.equal(tail.readUInt16LE(8), tail.readUInt16LE(10));
  const directory = await directoryIn(file, size, tail);
  const bytes = await bytesAt(file, directory.start, directory.sizeBytes);
  const entries: ReadEntry[] = [];
  let [at, expected] = [0, 0];
  for (let index = 0; index < directory.count; index += 1) {
    const entry = entryAt(bytes, at);
    assert.equal(entry.offset, expected, `${entry.name}: nothing lies between two entries`);
    const read = await readEntry(file, entry);
    expected = read.end;
    at = entry.next;
    entries.push({ name: entry.name, sizeBytes: entry.sizeBytes, sha256: read.sha256, isZip64: entry.isZip64 });
  }
  assert.equal(at, directory.sizeBytes, 'the directory ends with its last entry');
  assert.equal(expected, directory.start, 'nothing lies between the last entry and the directory');
  assert.equal(new Set(entries.map(({ name }) => name)).size, entries.length, 'each name once');
  return entries;
}

interface Directory {
  readonly start: number;
  readonly sizeBytes: number;
  readonly count: number;
}

async function directoryIn(file: FileHandle, size: number, tail: Buffer): Promise<Directory> {
  const [count, sizeBytes, start] = [tail.readUInt16LE(10), tail.readUInt32LE(12), tail.readUInt32LE(16)];
  if (count !== 0xffff && sizeBytes !== 0xffffffff && start !== 0xffffffff) {
    assert.equal(start + sizeBytes, size - 22);
    return { start, sizeBytes, count };
  }
  const locator = await bytesAt(file, size - 22 - 20, 20);
  assert.deepEqual([locator.readUInt32LE(0), locator.readUInt32LE(4), locator.readUInt32LE(16)], [0x07064b50, 0, 1]);
  const at = Number(locator.readBigUInt64LE(8));
  const end = await bytesAt(file, at, 56);
  assert.equal(end.readUInt32LE(0), 0x06064b50);
  assert.equal(at + 12 + Number(end.readBigUInt64LE(4)), size - 22 - 20);
  assert.equal(end.readBigUInt64LE(24), end.readBigUInt64LE(32));
  const large = [40, 48].map((offset) => Number(end.readBigUInt64LE(offset)));
  const [largeBytes = 0, largeStart = 0] = large;
  assert.equal(largeStart + largeBytes, at);
  return { start: largeStart, sizeBytes: largeBytes, count: Number(end.readBigUInt64LE(32)) };
}

interface DirectoryEntry {
  readonly name: string;
  readonly crc: number;
  readonly sizeBytes: number;
  readonly offset: number;
  readonly next: number;
  readonly isZip64: boolean;
}

function entryAt(bytes: Buffer, at: number): DirectoryEntry {
  assert.equal(bytes.readUInt32LE(at), 0x02014b50);
  const [flags, method] = [bytes.readUInt16LE(at + 8), bytes.readUInt16LE(at + 10)];
  assert.deepEqual([flags, method], [0x0800, 0], 'UTF-8, no descriptor, stored');
  assert.equal(bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24), 'stored: both sizes are one');
  assert.equal(bytes.readUInt16LE(at + 32), 0, 'no comment');
  const [nameBytes, extraBytes] = [bytes.readUInt16LE(at + 28), bytes.readUInt16LE(at + 30)];
  const name = bytes.subarray(at + 46, at + 46 + nameBytes).toString();
  const extra = bytes.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes);
  const values = zip64In(extra);
  const sized = bytes.readUInt32LE(at + 24);
  const placed = bytes.readUInt32LE(at + 42);
  const sizeBytes = sized === 0xffffffff ? values.splice(0, 2).at(0) : sized;
  const offset = placed === 0xffffffff ? values.shift() : placed;
  assert.ok(sizeBytes !== undefined && offset !== undefined && values.length === 0, `${name}: its Zip64 field`);
  return {
    name,
    crc: bytes.readUInt32LE(at + 16),
    sizeBytes,
    offset,
    next: at + 46 + nameBytes + extraBytes,
    isZip64: sized === 0xffffffff || placed === 0xffffffff,
  };
}

function zip64In(extra: Buffer): number[] {
  for (let at = 0; at < extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    const length = extra.readUInt16LE(at + 2);
    assert.ok(at + 4 + length <= extra.length, 'an extra field within its bounds');
    if (extra.readUInt16LE(at) !== 1) continue;
    return Array.from({ length: length / 8 }, (_, index) => Number(extra.readBigUInt64LE(at + 4 + 8 * index)));
  }
  return [];
}

const CHUNK = 1 << 20;

async function readEntry(file: FileHandle, entry: DirectoryEntry): Promise<{ sha256: string; end: number }> {
  const header = await bytesAt(file, entry.offset, 30);
  assert.equal(header.readUInt32LE(0), 0x04034b50);
  assert.deepEqual([header.readUInt16LE(6), header.readUInt16LE(8)], [0x0800, 0]);
  assert.equal(header.readUInt32LE(14), entry.crc, `${entry.name}: the local header says another sum`);
  const [nameBytes, extraBytes] = [header.readUInt16LE(26), header.readUInt16LE(28)];
  const names = await bytesAt(file, entry.offset + 30, nameBytes + extraBytes);
  assert.equal(names.subarray(0, nameBytes).toString(), entry.name);
  const sized = header.readUInt32LE(22);
  const values = zip64In(names.subarray(nameBytes));
  assert.deepEqual(
    sized === 0xffffffff ? values : [sized],
    sized === 0xffffffff ? [entry.sizeBytes, entry.sizeBytes] : [entry.sizeBytes],
  );
  const start = entry.offset + 30 + nameBytes + extraBytes;
  const hash = createHash('sha256');
  let crc = 0;
  for (let at = 0; at < entry.sizeBytes; at += CHUNK) {
    const bytes = await bytesAt(file, start + at, Math.min(CHUNK, entry.sizeBytes - at));
    crc = crc32(bytes, crc);
    hash.update(bytes);
  }
  assert.equal(crc, entry.crc, `${entry.name}: its sum`);
  return { sha256: hash.digest('hex'), end: start + entry.sizeBytes };
}

async function bytesAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, position);
  assert.equal(bytesRead, length, `bytes at ${String(position)}`);
  return bytes;
}
