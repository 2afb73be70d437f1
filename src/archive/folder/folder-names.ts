/** The names in a folder, in order and a few at a time; remembered while the folder does not change, as long as they are not too many. */
import { opendir, stat } from 'node:fs/promises';
import { compareTexts } from '../page.ts';
import { Smallest } from '../smallest.ts';
import { ifThere } from './failure.ts';
import { isCutFolder, type FolderFiles } from './files.ts';

/** Names read in one go; each go allocates for as many. */
const READ_AT_ONCE = 1024;
/** First and largest number of names put in order at once. */
const FIRST_BATCH = 256;
const LARGEST_BATCH = 16_384;
/** Names remembered of one folder, and of all: about 100 bytes each. */
const MOST_OF_ONE = 50_000;
const MOST_OF_ALL = 200_000;
/** A folder's time may tell of nothing within the same tick of its file system: only one that has been still for so long counts. */
const STILL_MS = 3_000;
/** However still it seems: a file server's clock is not ours. */
const REMEMBERED_MS = 60_000;

interface RememberedFolder {
  readonly names: readonly string[];
  /** What changes with the folder. */
  readonly stamp: string;
  readonly until: number;
}

export class FolderNames {
  readonly #files: FolderFiles;
  readonly #remembered = new Map<string, RememberedFolder>();
  #count = 0;

  constructor(files: FolderFiles) {
    this.#files = files;
  }

  /** Names behind `after`; those of folders end in a slash. None where there is no such folder. */
  async *after(folder: string, after: string, signal: AbortSignal): AsyncGenerator<string> {
    for (let last = after, size = FIRST_BATCH; ; size = Math.min(LARGEST_BATCH, size * 8)) {
      const batch = await this.#next({ folder, after: last, size }, signal);
      yield* batch;
      if (batch.length < size) return;
      last = batch.at(-1) ?? last;
    }
  }

  async #next(asked: { folder: string; after: string; size: number }, signal: AbortSignal): Promise<readonly string[]> {
    const first = new Smallest(asked.size, compareTexts);
    const known = await this.#recall(asked.folder);
    if (known !== undefined) for (const name of known) if (name > asked.after) first.add(name);
    if (known === undefined) {
      for await (const name of this.#read(asked.folder, signal)) if (name > asked.after) first.add(name);
    }
    return first.take();
  }

  async #recall(folder: string): Promise<readonly string[] | undefined> {
    const known = this.#remembered.get(folder);
    if (known === undefined) return undefined;
    if (Date.now() < known.until && (await stampOf(this.#files.path(folder)))?.text === known.stamp) return known.names;
    this.#forget(folder);
    return undefined;
  }

  /** In the order the file system gives them. */
  async *#read(folder: string, signal: AbortSignal): AsyncGenerator<string> {
    const path = this.#files.path(folder);
    const before = await stampOf(path);
    const names: string[] = [];
    for await (const name of this.#entries(folder, signal)) {
      if (names.length < MOST_OF_ONE) names.push(name);
      yield name;
    }
    const isStill = before !== undefined && Date.now() - before.changedMs > STILL_MS;
    if (isStill && names.length < MOST_OF_ONE) this.#remember(folder, { names, stamp: before.text });
  }

  async *#entries(folder: string, signal: AbortSignal): AsyncGenerator<string> {
    const entries = await ifThere(opendir(this.#files.path(folder), { bufferSize: READ_AT_ONCE }));
    if (entries === undefined) return;
    for await (const entry of entries) {
      signal.throwIfAborted();
      if (!entry.isDirectory()) yield entry.name;
      else if (!isCutFolder(entry.name)) yield `${entry.name}/`;
      else for await (const rest of this.#entries(`${folder}${entry.name}/`, signal)) yield entry.name + rest;
    }
  }

  #remember(folder: string, { names, stamp }: Pick<RememberedFolder, 'names' | 'stamp'>): void {
    this.#forget(folder);
    this.#remembered.set(folder, { names, stamp, until: Date.now() + REMEMBERED_MS });
    this.#count += names.length;
    while (this.#count > MOST_OF_ALL) this.#forget(this.#remembered.keys().next().value ?? '');
  }

  #forget(folder: string): void {
    this.#count -= this.#remembered.get(folder)?.names.length ?? 0;
    this.#remembered.delete(folder);
  }
}

async function stampOf(path: string): Promise<{ readonly text: string; readonly changedMs: number } | undefined> {
  const found = await ifThere(stat(path, { bigint: true }));
  if (found === undefined) return undefined;
  const text = `${String(found.dev)} ${String(found.ino)} ${String(found.mtimeNs)} ${String(found.ctimeNs)}`;
  return { text, changedMs: Number(found.ctimeMs) };
}
