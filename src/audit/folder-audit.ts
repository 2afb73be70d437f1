/**
 * The audit in a folder archive: `audit/{yyyy-mm-dd}.ndjson`, each line with the hash of the line before, over all days and all
 * processes that write there. Records that arrive together share one fsync.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DISK } from '../bounds.ts';
import { syncFolder } from '../durable.ts';
import { Failure, systemCode } from '../failure.ts';
import { isDay } from '../instant.ts';
import { reasonOf, unlessAborted } from '../waiting.ts';
import {
  type Audit,
  type AuditDay,
  type AuditDays,
  type AuditEntry,
  type AuditProof,
  type AuditQuery,
  type AuditRecord,
  encodeRecord,
  FIRST,
  hashOf,
  matchesQuery,
  parseAuditRecord,
} from './audit.ts';
import { ChainCheck } from './chain.ts';
import { FolderLock } from './folder-lock.ts';

export interface FolderAuditOptions {
  /** The archive's folder. */
  readonly root: string;
  /** Wall clock; its day names the file, but never an older one than the newest there is. */
  readonly now?: () => Date;
}

/** A record is at most some kilobytes; a line that is longer is not ours. */
const TAIL_BYTES = 256 * 1024;

/** Behind so many files in a row that hold no record of an earlier day, none holds one of the days before them. */
const REGULAR_FILES = 2;

interface Pending {
  readonly entry: AuditEntry;
  readonly settle: (failure?: unknown) => void;
}

/** The end of the chain as it was when this process last looked. */
interface ChainEnd {
  readonly day: string;
  readonly sizeBytes: number;
  readonly previous: string;
  readonly sequence: number;
  /** The last line has no end: a crash cut it. */
  readonly isTorn: boolean;
}

export class FolderAudit implements Audit {
  readonly #folder: string;
  readonly #now: () => Date;
  readonly #lock: FolderLock;
  #waiting: Pending[] = [];
  #writing: Promise<void> | undefined;
  #tail: ChainEnd | undefined;
  #closed = false;

  constructor({ root, now = () => new Date() }: FolderAuditOptions) {
    this.#folder = join(root, 'audit');
    this.#now = now;
    this.#lock = new FolderLock(join(this.#folder, '.lock'));
  }

  async record(entry: AuditEntry, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw reasonOf(signal);
    if (this.#closed || this.#waiting.length >= DISK.auditRecords)
      throw unavailable('it is closed, or too much waits for the disk');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ entry, settle: (failure) => (failure === undefined ? resolve() : reject(failure)) });
    this.#writing ??= this.#drain();
    await unlessAborted(promise, signal);
  }

  /** A clock that was set back wrote into the file of a later day until it had come so far: records are found by their own time. */
  async *read(query: AuditQuery, signal: AbortSignal): AsyncGenerator<AuditRecord> {
    let regular = 0;
    for (const day of await this.#days()) {
      if (day < query.from || (day > query.to && regular >= REGULAR_FILES)) continue;
      let isRegular = true;
      for await (const line of this.#lines(day, signal)) {
        const record = parseAuditRecord(line);
        if (record === undefined) continue;
        isRegular &&= ownDayOf(record) >= day;
        if (isAskedFor(record, query)) yield record;
      }
      if (day > query.to) regular = isRegular ? regular + 1 : 0;
    }
  }

  async verify(signal: AbortSignal): Promise<AuditProof> {
    const check = new ChainCheck();
    for (const day of await this.#days()) {
      let number = 0;
      for await (const line of this.#lines(day, signal)) check.add(line, `${day} line ${String((number += 1))}`);
    }
    return { findings: check.end(), records: check.records };
  }

  async *days({ from = '', to, sealed }: AuditDays, signal: AbortSignal): AsyncGenerator<AuditDay> {
    for (const day of await this.#days()) {
      if (day < from || day > to) continue;
      const hash = createHash('sha256');
      const hashed = sealed?.get(day) ?? Infinity;
      let records = 0;
      for await (const line of this.#lines(day, signal)) {
        if (records < hashed) hash.update(`${line}\n`);
        records += 1;
      }
      yield { day, records, sha256: hash.digest('hex') };
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    this.#lock.close();
  }

  /** Whatever waits goes out together, until nothing waits. */
  async #drain(): Promise<void> {
    // Let all that came in this turn of the event loop share the first fsync.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const failure = await this.#append(batch).then(() => undefined, unavailableFor);
      for (const { settle } of batch) settle(failure);
    }
    this.#writing = undefined;
  }

  async #append(batch: readonly Pending[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o750 });
    using _held = await this.#lock.acquire();
    const tail = await this.#currentTail();
    const at = this.#now().toISOString();
    const day = tail === undefined || at.slice(0, 10) > tail.day ? at.slice(0, 10) : tail.day;
    const isNew = day !== tail?.day;
    let { previous, sequence } = tail ?? { previous: FIRST, sequence: 0 };
    let text = !isNew && tail.isTorn ? '\n' : '';
    for (const { entry } of batch) {
      const line = encodeRecord(entry, { at, chain: 'folder', sequence: (sequence += 1), previous });
      previous = hashOf(line);
      text += `${line}\n`;
    }
    // Forgotten until it is certain: what failed midway is looked at again.
    this.#tail = undefined;
    const sizeBytes = await this.#write(day, text);
    if (isNew) await syncFolder(this.#folder);
    this.#tail = { day, sizeBytes, previous, sequence, isTorn: false };
  }

  async #write(day: string, text: string): Promise<number> {
    await using file = await open(this.#path(day), 'a', 0o640);
    await file.writeFile(text);
    await file.datasync();
    return (await file.stat()).size;
  }

  /** Ours where nobody else has written since; else read from the newest file. */
  async #currentTail(): Promise<ChainEnd | undefined> {
    const day = (await this.#days()).at(-1);
    if (day === undefined) return undefined;
    await using file = await open(this.#path(day), 'r');
    const { size } = await file.stat();
    if (this.#tail?.day === day && this.#tail.sizeBytes === size) return this.#tail;
    return this.#readTail(day, { file, size });
  }

  async #readTail(
    day: string,
    { file, size }: { readonly file: FileHandle; readonly size: number },
  ): Promise<ChainEnd> {
    const length = Math.min(size, TAIL_BYTES);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const text = buffer.toString('utf8');
    const isTorn = text !== '' && !text.endsWith('\n');
    const lines = text.split('\n').filter((line) => line !== '');
    const sequence = lines.map(parseAuditRecord).findLast((record) => record !== undefined)?.sequence;
    const last = lines.at(-1);
    if (last === undefined || (sequence === undefined && size > 0))
      return this.#tailBefore(day, { size, last, isTorn });
    return { day, sizeBytes: size, previous: hashOf(last), sequence: sequence ?? 0, isTorn };
  }

  /** A day whose first line was cut, or that is empty: the chain goes on from the day before. */
  async #tailBefore(
    day: string,
    { size, last, isTorn }: { readonly size: number; readonly last: string | undefined; readonly isTorn: boolean },
  ): Promise<ChainEnd> {
    let [previous, sequence] = [FIRST, 0];
    for (const earlier of (await this.#days()).filter((other) => other < day)) {
      for await (const line of this.#lines(earlier, new AbortController().signal)) {
        previous = hashOf(line);
        sequence = parseAuditRecord(line)?.sequence ?? sequence;
      }
    }
    return { day, sizeBytes: size, previous: last === undefined ? previous : hashOf(last), sequence, isTorn };
  }

  async #days(): Promise<readonly string[]> {
    try {
      const names = await readdir(this.#folder);
      return names
        .filter((name) => name.endsWith('.ndjson'))
        .map((name) => name.slice(0, -'.ndjson'.length))
        .filter(isDay)
        .toSorted();
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }

  async *#lines(day: string, signal: AbortSignal): AsyncGenerator<string> {
    const input = createReadStream(this.#path(day), { encoding: 'utf8', signal });
    try {
      for await (const line of createInterface({ input, crlfDelay: Infinity })) if (line !== '') yield line;
    } finally {
      // Whoever stops reading lets go of the lines alone.
      input.destroy();
    }
  }

  #path(day: string): string {
    return join(this.#folder, `${day}.ndjson`);
  }
}

function ownDayOf({ at }: AuditRecord): string {
  return at.slice(0, 10);
}

function isAskedFor(record: AuditRecord, query: AuditQuery): boolean {
  const day = ownDayOf(record);
  return day >= query.from && day <= query.to && matchesQuery(record, query);
}

function unavailableFor(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  return unavailable(systemCode(thrown) ?? 'an unexpected error', thrown);
}

function unavailable(reason: string, cause?: unknown): Failure {
  const text = `The audit cannot be written (${reason}): nothing is played or changed before it can. Free space or mend audit/ in ARCHIVE_URL.`;
  return new Failure('archive-unavailable', text, { cause });
}
