/** Bytes and texts → one zip file that somebody is given: whole or not there, closed to others, with a list of their SHA-256. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { syncFolder } from '../durable.ts';
import {
  areStated,
  type CaseBytes,
  type CaseFile,
  type CasePlace,
  CountedBytes,
  FILE_MODE,
  FOLDER_MODE,
  sumsOf,
} from './case-folder.ts';
import { ZipFile } from './zip-file.ts';

/** Under a name of its own until it is whole: a run that is killed leaves nothing that opens as a zip file. */
export class CaseZip implements CasePlace {
  readonly root: string;
  readonly opens: string;
  readonly #draft: string;
  readonly #written = new Map<string, CaseFile>();
  readonly #now: () => Date;
  #open: { readonly handle: FileHandle; readonly zip: ZipFile } | undefined;

  constructor(path: string, now: () => Date) {
    this.root = path;
    this.opens = `index.html of ${path}, once it is unpacked`;
    this.#draft = `${path}.${randomBytes(6).toString('hex')}.part`;
    this.#now = now;
  }

  get files(): ReadonlyMap<string, CaseFile> {
    return this.#written;
  }

  async text(name: string, text: string): Promise<void> {
    await this.copy(name, { source: Readable.from([Buffer.from(text)]) }, new AbortController().signal);
  }

  async copy(name: string, { source, stated }: CaseBytes, signal: AbortSignal): Promise<boolean> {
    const { zip } = await this.#opened();
    signal.throwIfAborted();
    const counted = new CountedBytes();
    // What fails is heard where the bytes are read.
    await zip.add(
      name,
      pipeline(source, counted, () => undefined),
      signal,
    );
    const written = counted.written();
    if (!areStated(written, stated)) {
      await zip.takeBack();
      return false;
    }
    this.#written.set(name, written);
    return true;
  }

  async finish(): Promise<readonly string[]> {
    const { handle, zip } = await this.#opened();
    const sums = Readable.from([Buffer.from(sumsOf(this.#written))]);
    await zip.add('SHA256SUMS', sums, new AbortController().signal);
    await zip.finish();
    await handle.close();
    await rename(this.#draft, this.root);
    this.#open = undefined;
    await syncFolder(dirname(this.root));
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#open === undefined) return;
    await this.#open.handle.close();
    await rm(this.#draft, { force: true });
  }

  async #opened(): Promise<{ readonly handle: FileHandle; readonly zip: ZipFile }> {
    if (this.#open !== undefined) return this.#open;
    await mkdir(dirname(this.root), { recursive: true, mode: FOLDER_MODE });
    const handle = await open(this.#draft, 'wx', FILE_MODE);
    this.#open = { handle, zip: new ZipFile(handle, { at: this.#now() }) };
    return this.#open;
  }
}
