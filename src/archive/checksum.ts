/** Bytes, chunk by chunk, → the size and checksums an archive states of an object. */
import { createHash } from 'node:crypto';
import type { Stored } from './archive.ts';

/** Castagnoli's polynomial 0x1EDC6F41, bits reversed (RFC 3720 appendix B.4). */
const POLYNOMIAL = 0x82f63b78;

/** 16 tables of 256: `TABLES[256 * n + byte]` is the remainder of `byte` followed by n zero bytes. */
const TABLES = createTables();

/** CRC32C of a stream: `value` is unsigned and may be read at any time. */
export interface Crc32c {
  readonly value: number;
  update(chunk: Uint8Array): void;
}

export function createCrc32c(): Crc32c {
  let value = 0;
  return {
    get value() {
      return value;
    },
    update(chunk) {
      value = crc32c(chunk, value);
    },
  };
}

/** CRC32C of `bytes`, going on from `before`, the CRC32C of what came earlier. About 1 GiB/s on one core: 16 bytes a step. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = view.byteLength - (view.byteLength % 16);
  let crc = ~before;
  for (let at = 0; at < whole; at += 16) {
    crc =
      fourBytes(crc ^ view.getInt32(at, true), 3072) ^
      fourBytes(view.getInt32(at + 4, true), 2048) ^
      fourBytes(view.getInt32(at + 8, true), 1024) ^
      fourBytes(view.getInt32(at + 12, true), 0);
  }
  for (let at = whole; at < view.byteLength; at += 1) crc = remainder((crc ^ view.getUint8(at)) & 255) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** CRC32C of A followed by B, from the CRC32C of each and the length of B in bytes (at most 2^53 - 1). */
export function combineCrc32c(a: number, b: number, lengthB: number): number {
  let shift = 1 << 31; // x^0: in reversed bits the highest bit is the lowest power
  let power = 1 << 23; // x^8: one byte
  for (let left = lengthB; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) shift = multiply(shift, power);
    power = multiply(power, power);
  }
  return (multiply(shift, a) ^ b) >>> 0;
}

/** Base64 of the four bytes, highest first, as Cloud Storage states it (https://cloud.google.com/storage/docs/data-validation). */
export function encodeCrc32c(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString('base64');
}

/** Everything a manifest states of an object's bytes, counted in one pass. */
export interface Checksum {
  update(chunk: Uint8Array): void;
  /** What was counted so far. */
  stored(): Stored;
}

export function createChecksum(): Checksum {
  const sha256 = createHash('sha256');
  const crc = createCrc32c();
  let sizeBytes = 0;
  return {
    update(chunk) {
      sha256.update(chunk);
      crc.update(chunk);
      sizeBytes += chunk.length;
    },
    stored: () => ({ sizeBytes, sha256: sha256.copy().digest('hex'), crc32c: encodeCrc32c(crc.value) }),
  };
}

/** The remainder of four bytes, the lowest first, of which the last is followed by as many bytes as `table` stands for. */
function fourBytes(word: number, table: number): number {
  return (
    remainder(table + 768 + (word & 255)) ^
    remainder(table + 512 + ((word >>> 8) & 255)) ^
    remainder(table + 256 + ((word >>> 16) & 255)) ^
    remainder(table + (word >>> 24))
  );
}

function remainder(index: number): number {
  return TABLES[index] ?? 0;
}

function createTables(): Int32Array {
  const tables = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = byX(crc);
    tables[byte] = crc;
  }
  for (let index = 256; index < tables.length; index += 1) {
    const shorter = tables[index - 256] ?? 0;
    tables[index] = (shorter >>> 8) ^ (tables[shorter & 255] ?? 0);
  }
  return tables;
}

/** The product of two polynomials over GF(2), modulo Castagnoli's. */
function multiply(a: number, b: number): number {
  let product = 0;
  let term = b;
  for (let bit = 31; bit >= 0; bit -= 1) {
    if ((a >>> bit) & 1) product ^= term;
    term = byX(term);
  }
  return product;
}

function byX(polynomial: number): number {
  return polynomial & 1 ? (polynomial >>> 1) ^ POLYNOMIAL : polynomial >>> 1;
}
