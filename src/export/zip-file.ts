/**
 * Streams, one after the other → a zip file of them, stored as they are (APPNOTE 6.3.10). Sizes and sums are put into each local header
 * once they are known, so that readers need no data descriptors; what is larger than 4 GiB, or behind that, is said by Zip64.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';

export interface ZipOptions {
  /** When it was made, as each entry says; two seconds exactly, from 1980 on. */
  readonly at: Date;
  /** From this on a size or an offset is said by Zip64. */
  readonly zip64From?: number;
}

interface ZipEntry {
  readonly name: Buffer;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly crc: number;
}

/** 4.4.8: the value that says "in the Zip64 field". */
const IN_ZIP64 = 0xffffffff;
const MOST_ENTRIES = 0xffff;
const LOCAL_BYTES = 30;
/** Zip64 (4.5.3) with two sizes; where they are small, a field of the same length that means nothing (4.6.10). */
const EXTRA_BYTES = 20;
/** Bit 11: names are UTF-8. */
const FLAGS = 0x0800;
/** Made on Unix, so that modes count. */
const MADE_BY = (3 << 8) | 45;
/** A regular file that nobody else reads. */
const MODE = 0o100600;

export class ZipFile {
  readonly #file: FileHandle;
  readonly #time: number;
  readonly #zip64From: number;
  readonly #entries: ZipEntry[] = [];
  #end = 0;

  constructor(file: FileHandle, { at, zip64From = IN_ZIP64 }: ZipOptions) {
    this.#file = file;
    this.#time = dosTime(at);
    this.#zip64From = zip64From;
  }

  /** Behind what was added before. @throws what `source` fails with; then the file is to be thrown away */
  async add(name: string, source: Readable, signal: AbortSignal): Promise<void> {
    const offset = this.#end;
    const place = { name: Buffer.from(name), offset };
    await this.#append(this.#localHeader({ ...place, sizeBytes: 0, crc: 0 }));
    const start = this.#end;
    let crc = 0;
    try {
      for await (const chunk of source) {
        signal.throwIfAborted();
        const bytes = requireBytes(chunk);
        crc = crc32(bytes, crc);
        await this.#append(bytes);
      }
    } catch (thrown) {
      await this.#cutAt(offset);
      throw thrown;
    }
    const entry = { ...place, sizeBytes: this.#end - start, crc };
    await this.#writeAt(this.#localHeader(entry), offset);
    this.#entries.push(entry);
  }

  /** What was added last was never there. */
  async takeBack(): Promise<void> {
    const entry = this.#entries.pop();
    if (entry === undefined) return;
    await this.#cutAt(entry.offset);
  }

  async #cutAt(offset: number): Promise<void> {
    await this.#file.truncate(offset);
    this.#end = offset;
  }

  /** With its directory it is a zip file, and durable. */
  async finish(): Promise<void> {
    const start = this.#end;
    for (const entry of this.#entries) await this.#append(this.#directoryEntry(entry));
    await this.#append(this.#endOf({ start, sizeBytes: this.#end - start }));
    await this.#file.sync();
  }

  /** 4.3.7 */
  #localHeader({ name, sizeBytes, crc }: ZipEntry): Buffer {
    const isLarge = sizeBytes >= this.#zip64From;
    const header = Buffer.alloc(LOCAL_BYTES);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(isLarge ? 45 : 10, 4);
    header.writeUInt16LE(FLAGS, 6);
    header.writeUInt32LE(this.#time, 10);
    header.writeUInt32LE(crc, 14);
    header.writeUInt32LE(isLarge ? IN_ZIP64 : sizeBytes, 18);
    header.writeUInt32LE(isLarge ? IN_ZIP64 : sizeBytes, 22);
    header.writeUInt16LE(name.length, 26);
    header.writeUInt16LE(EXTRA_BYTES, 28);
    return Buffer.concat([header, name, isLarge ? zip64Field([sizeBytes, sizeBytes]) : growthHint()]);
  }

  /** 4.3.12 */
  #directoryEntry({ name, offset, sizeBytes, crc }: ZipEntry): Buffer {
    const [isLarge, isFar] = [sizeBytes >= this.#zip64From, offset >= this.#zip64From];
    const large = [...(isLarge ? [sizeBytes, sizeBytes] : []), ...(isFar ? [offset] : [])];
    // Where an entry has a field in one place alone, Info-ZIP compares names by the locale, and warns where there is none.
    const extra = large.length === 0 ? growthHint() : zip64Field(large);
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50, 0);
    header.writeUInt16LE(MADE_BY, 4);
    header.writeUInt16LE(large.length === 0 ? 10 : 45, 6);
    header.writeUInt16LE(FLAGS, 8);
    header.writeUInt32LE(this.#time, 12);
    header.writeUInt32LE(crc, 16);
    header.writeUInt32LE(isLarge ? IN_ZIP64 : sizeBytes, 20);
    header.writeUInt32LE(isLarge ? IN_ZIP64 : sizeBytes, 24);
    header.writeUInt16LE(name.length, 28);
    header.writeUInt16LE(extra.length, 30);
    header.writeUInt32LE(MODE * 0x10000, 38);
    header.writeUInt32LE(isFar ? IN_ZIP64 : offset, 42);
    return Buffer.concat([header, name, extra]);
  }

  /** 4.3.16, behind 4.3.14 and 4.3.15 where they are needed. */
  #endOf({ start, sizeBytes }: { readonly start: number; readonly sizeBytes: number }): Buffer {
    const count = this.#entries.length;
    const isLarge = count >= MOST_ENTRIES || start >= this.#zip64From || sizeBytes >= this.#zip64From;
    const end = Buffer.alloc(22);
    end.writeUInt32LE(0x06054b50, 0);
    end.writeUInt16LE(Math.min(count, MOST_ENTRIES), 8);
    end.writeUInt16LE(Math.min(count, MOST_ENTRIES), 10);
    end.writeUInt32LE(isLarge ? IN_ZIP64 : sizeBytes, 12);
    end.writeUInt32LE(isLarge ? IN_ZIP64 : start, 16);
    return isLarge ? Buffer.concat([endOfZip64({ count, start, sizeBytes }), end]) : end;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await this.#writeAt(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** A write may be short. */
  async #writeAt(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }
}

function requireBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new TypeError('A zip file is made of bytes.');
}

/** 4.5.3 */
function zip64Field(values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(0x0001, 0);
  field.writeUInt16LE(8 * values.length, 2);
  for (const [index, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  return field;
}

/** 4.6.10: signature, and that there was no room to grow; the rest is zeros. */
function growthHint(): Buffer {
  const field = Buffer.alloc(EXTRA_BYTES);
  field.writeUInt16LE(0xa220, 0);
  field.writeUInt16LE(EXTRA_BYTES - 4, 2);
  field.writeUInt16LE(0xa028, 4);
  return field;
}

function endOfZip64({
  count,
  start,
  sizeBytes,
}: {
  readonly count: number;
  readonly start: number;
  readonly sizeBytes: number;
}): Buffer {
  const end = Buffer.alloc(56 + 20);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(MADE_BY, 12);
  end.writeUInt16LE(45, 14);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(sizeBytes), 40);
  end.writeBigUInt64LE(BigInt(start), 48);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(start + sizeBytes), 64);
  end.writeUInt32LE(1, 72);
  return end;
}

/** 4.4.6: the time in the lower half, the date in the upper; UTC. */
function dosTime(at: Date): number {
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1);
  const year = Math.min(127, Math.max(0, at.getUTCFullYear() - 1980));
  const date = (year << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate();
  return date * 0x10000 + time;
}
