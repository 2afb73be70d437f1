/** Bytes and texts → files of a folder that somebody is given: each whole or not there, closed to others, with a list of their SHA-256. */
import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Calls and names are personal data. */
export const FOLDER_MODE = 0o700;
export const FILE_MODE = 0o600;

export interface CaseFile {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface CaseBytes {
  readonly source: Readable;
  /** What they have to be, where somebody has said so. */
  readonly stated?: CaseFile;
}

/** Where what a case needs is put. Names have slashes, and no part of one is anybody's but ours; each is put there once. */
export interface CasePlace extends AsyncDisposable {
  /** The folder or file that is made. */
  readonly root: string;
  /** What to open, in words. */
  readonly opens: string;
  readonly files: ReadonlyMap<string, CaseFile>;
  text(name: string, text: string): Promise<void>;
  /** False where the bytes are not those that are stated: then it is not there, and whatever bore that name before stays. */
  copy(name: string, bytes: CaseBytes, signal: AbortSignal): Promise<boolean>;
  /** Last of all: the sums of everything. Names of what an earlier export left there, and this one did not put there. */
  finish(): Promise<readonly string[]>;
}

/** What lies there of that name is replaced: a run that was stopped is run again. */
export class CaseFolder implements CasePlace {
  readonly root: string;
  readonly opens: string;
  readonly #written = new Map<string, CaseFile>();

  constructor(root: string) {
    this.root = root;
    this.opens = `${root}/index.html`;
  }

  get files(): ReadonlyMap<string, CaseFile> {
    return this.#written;
  }

  async text(name: string, text: string): Promise<void> {
    await this.copy(name, { source: Readable.from([Buffer.from(text)]) }, new AbortController().signal);
  }

  async copy(name: string, { source, stated }: CaseBytes, signal: AbortSignal): Promise<boolean> {
    const path = join(this.root, name);
    const draft = `${path}.part`;
    await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
    signal.throwIfAborted();
    try {
      const counted = new CountedBytes();
      await pipeline(source, counted, createWriteStream(draft, { mode: FILE_MODE, flush: true }), { signal });
      const written = counted.written();
      if (!areStated(written, stated)) return false;
      await rename(draft, path);
      this.#written.set(name, written);
      return true;
    } finally {
      await rm(draft, { force: true });
    }
  }

  async finish(): Promise<readonly string[]> {
    await writeWhole(join(this.root, 'SHA256SUMS'), sumsOf(this.#written));
    const there = await Promise.all(OURS.map((folder) => filesBelow(this.root, folder)));
    return there.flat().filter((name) => !this.#written.has(name));
  }

  /** What is whole stays, whatever became of the rest. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }
}

/** What lies below them was put there by an export; whatever else lies in the folder is none of ours. */
const OURS = ['recordings', 'conversations', 'certificates'];

async function filesBelow(root: string, folder: string): Promise<readonly string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .toSorted();
}

/** A text under its name at once, or not at all; what bore that name before is replaced. */
export async function writeWhole(path: string, text: string, mode = FILE_MODE): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.part`;
  try {
    await writeFile(draft, text, { mode, flush: true });
    await rename(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Whatever they are, where nothing is stated. */
export function areStated({ sizeBytes, sha256 }: CaseFile, stated: CaseFile | undefined): boolean {
  return stated === undefined || (sha256 === stated.sha256 && sizeBytes === stated.sizeBytes);
}

/** As `sha256sum -c` reads it. */
export function sumsOf(files: ReadonlyMap<string, CaseFile>): string {
  const lines = [...files].map(([name, { sha256 }]) => `${sha256}  ${name}\n`);
  return lines.toSorted().join('');
}

/** Bytes as they are, counted as they pass. */
export class CountedBytes extends Transform {
  readonly #hash = createHash('sha256');
  #sizeBytes = 0;

  written(): CaseFile {
    return { sizeBytes: this.#sizeBytes, sha256: this.#hash.copy().digest('hex') };
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: (error: null, chunk: Buffer) => void): void {
    this.#hash.update(chunk);
    this.#sizeBytes += chunk.length;
    done(null, chunk);
  }
}
