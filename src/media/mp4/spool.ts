/** Files without a name on disk, each filled once and read again: bounded together, and gone when they are closed or the service is. */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { SPOOLS } from '../../bounds.ts';
import { Failure } from '../../failure.ts';
import { closing } from '../look-ahead.ts';
import type { Purpose } from '../purpose.ts';
import { unreadableMp4 } from './box.ts';

const CHUNK_BYTES = 256 * 1024;

export interface SpoolsOptions {
  /** On disk at most, in all spools that the archive waits for. */
  readonly archivingBytes?: number;
  /** The same, in all that listeners alone wait for. */
  readonly listeningBytes?: number;
}

/** What listeners ask for takes nothing from what is archived: each has a bound of its own. */
export class Spools {
  readonly #archivingBytes: number;
  readonly #listeningBytes: number;
  readonly #open = new Set<Spool>();

  constructor({ archivingBytes = SPOOLS.archivingBytes, listeningBytes = SPOOLS.listeningBytes }: SpoolsOptions = {}) {
    this.#archivingBytes = archivingBytes;
    this.#listeningBytes = listeningBytes;
  }

  get heldBytes(): number {
    return [...this.#open].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** Its name is gone before anything is in it. */
  async open(purpose: Purpose): Promise<Spool> {
    const path = join(tmpdir(), `archiver-spool-${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    const spool: Spool = new Spool(file, {
      purpose,
      grown: () => this.#requireRoom(spool),
      closed: () => this.#open.delete(spool),
    });
    this.#open.add(spool);
    return spool;
  }

  #requireRoom({ purpose: { archiving }, sizeBytes }: Spool): void {
    const alike = [...this.#open].filter(({ purpose }) => purpose.archiving === archiving);
    const heldBytes = alike.reduce((sum, spool) => sum + spool.sizeBytes, 0);
    if (archiving && sizeBytes > this.#archivingBytes) throw spoolTooLarge(this.#archivingBytes);
    if (heldBytes > (archiving ? this.#archivingBytes : this.#listeningBytes)) throw full();
  }
}

interface SpoolNeeds {
  readonly purpose: Purpose;
  /** @throws Failure where it may not be so large */
  readonly grown: () => void;
  readonly closed: () => void;
}

export class Spool {
  readonly purpose: Purpose;
  sizeBytes = 0;
  readonly #file: FileHandle;
  readonly #needs: SpoolNeeds;

  constructor(file: FileHandle, needs: SpoolNeeds) {
    this.#file = file;
    this.#needs = needs;
    this.purpose = needs.purpose;
  }

  /** @throws Failure `media-too-large`, `busy` where too much is spooled already, or what the source throws */
  async fill(source: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of source) {
      this.sizeBytes += chunk.length;
      this.#needs.grown();
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

  async close(): Promise<void> {
    this.#needs.closed();
    await this.#file.close();
  }
}

function spoolTooLarge(mostBytes: number): Failure {
  const text = `The MP4 has its index at the end, its source has no ranges, and it is larger than the ${String(mostBytes)} bytes that may be spooled.`;
  return new Failure('media-too-large', text);
}

function full(): Failure {
  const text =
    'The MP4 has its index at the end, its source has no ranges, and no more may be spooled now; try again later.';
  return new Failure('busy', text, { afterMs: SPOOLS.retryAfterMs });
}
