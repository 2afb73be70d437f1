/** A file without a name on disk, filled once and read again: bounded, and gone when it is closed or the service is. */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { Failure } from '../../failure.ts';
import { closing } from '../look-ahead.ts';
import { unreadableMp4 } from './box.ts';

/** What is put on disk, at most, where the index is last and the source has no ranges. */
const MAX_SPOOL_BYTES = 1024 ** 3;
const CHUNK_BYTES = 256 * 1024;

/** Its name is gone before anything is in it. */
export async function openSpool(): Promise<Spool> {
  const path = join(tmpdir(), `archiver-spool-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return new Spool(file);
}

export class Spool {
  sizeBytes = 0;
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @throws Failure `media-too-large`, or what the source throws */
  async fill(source: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of source) {
      this.sizeBytes += chunk.length;
      if (this.sizeBytes > MAX_SPOOL_BYTES) throw tooLarge();
      await this.#file.appendFile(chunk);
    }
  }

  /** Bytes `start` to `end` inclusive. */
  async read(start: number, end: number): Promise<Buffer> {
    const bytes = Buffer.alloc(end - start + 1);
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, start);
    if (bytesRead < bytes.length) throw unreadableMp4(start, 'it ends before its index');
    return bytes;
  }

  /** Everything once; closes the spool at its end, and where it is left. */
  all(): AsyncIterableIterator<Buffer> {
    return closing(this.#chunks(), () => this.close());
  }

  async *#chunks(): AsyncGenerator<Buffer, void, void> {
    for (let at = 0; at < this.sizeBytes; at += CHUNK_BYTES)
      yield await this.read(at, Math.min(at + CHUNK_BYTES, this.sizeBytes) - 1);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function tooLarge(): Failure {
  const text = `The MP4 has its index at the end, its source has no ranges, and it is larger than the ${String(MAX_SPOOL_BYTES)} bytes that may be spooled.`;
  return new Failure('media-too-large', text);
}
