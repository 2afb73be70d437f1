/** The names in a folder, in order and a few at a time; remembered while the folder does not change, as long as they are not too many. */
import type { Dir, Dirent } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import type { Children } from '../objects.ts';
import { compareTexts } from '../page.ts';
import { Smallest } from '../smallest.ts';
import { ifThere } from './failure.ts';
import { isCutFolder, type FolderFiles } from './files.ts';

/** Names read in one go; each go allocates for as many. */
const READ_AT_ONCE = 1024;
/** First number of names put in order at once, where nobody says how many will be taken, and the largest. */
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
  readonly #now: () => number;
  readonly #remembered = new Map<string, RememberedFolder>();
  #count = 0;

  /** `now`: wall clock, ms. */
  constructor(files: FolderFiles, now: () => number = Date.now) {
    this.#files = files;
    this.#now = now;
  }

  /** None where there is no such folder. */
  async *in({ folder, after = '', expected = FIRST_BATCH }: Children, signal: AbortSignal): AsyncGenerator<string> {
    for (let last = after, size = expected; ; size = Math.min(LARGEST_BATCH, size * 8)) {
      const batch = await this.#next({ folder, after: last, size }, signal);
      yield* batch;
      if (batch.length < size) return;
      last = batch.at(-1) ?? last;
    }
  }

  async #next(asked: { folder: string; after: string; size: number }, signal: AbortSignal): Promise<readonly string[]> {
    const first = new Smallest(asked.size, compareTexts);
    const known = await this.#recall(asked.folder);
    for await (const names of known === undefined ? this.#read(asked.folder, signal) : [known])
      for (const name of names) if (name > asked.after) first.add(name);
    return first.take();
  }

  async #recall(folder: string): Promise<readonly string[] | undefined> {
    const known = this.#remembered.get(folder);
    if (known === undefined) return undefined;
    if (this.#now() < known.until && (await stampOf(this.#files.path(folder)))?.text === known.stamp)
      return known.names;
    this.#forget(folder);
    return undefined;
  }

  /** Some at a time, in the order the file system gives them. */
  async *#read(folder: string, signal: AbortSignal): AsyncGenerator<readonly string[]> {
    const before = await stampOf(this.#files.path(folder));
    const isStill = before !== undefined && this.#now() - before.changedMs > STILL_MS;
    const read: (readonly string[])[] = [];
    let count = 0;
    for await (const names of this.#inParts(folder, signal)) {
      count += names.length;
      if (isStill && count < MOST_OF_ONE) read.push(names);
      yield names;
    }
    if (isStill && count < MOST_OF_ONE) this.#remember(folder, { names: read.flat(), stamp: before.text });
  }

  async *#inParts(folder: string, signal: AbortSignal): AsyncGenerator<readonly string[]> {
    await using entries = await ifThere(opendir(this.#files.path(folder), { bufferSize: READ_AT_ONCE }));
    if (entries === undefined) return;
    const cut: string[] = [];
    for (;;) {
      signal.throwIfAborted();
      const part = await nextEntries(entries);
      cut.push(...part.filter(isCut).map(({ name }) => name));
      yield part.filter((entry) => !isCut(entry)).map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
      if (part.length < READ_AT_ONCE) break;
    }
    for (const name of cut)
      for await (const rests of this.#inParts(`${folder}${name}/`, signal)) yield rests.map((rest) => name + rest);
  }

  #remember(folder: string, { names, stamp }: Pick<RememberedFolder, 'names' | 'stamp'>): void {
    this.#forget(folder);
    this.#remembered.set(folder, { names, stamp, until: this.#now() + REMEMBERED_MS });
    this.#count += names.length;
    while (this.#count > MOST_OF_ALL) this.#forget(this.#remembered.keys().next().value ?? '');
  }

  #forget(folder: string): void {
    this.#count -= this.#remembered.get(folder)?.names.length ?? 0;
    this.#remembered.delete(folder);
  }
}

/** Fewer than {@link READ_AT_ONCE} at the end. One by one they cost least this way: `for await` takes twice as long. */
async function nextEntries(entries: Dir): Promise<readonly Dirent[]> {
  const part: Dirent[] = [];
  while (part.length < READ_AT_ONCE) {
    const entry = await entries.read();
    if (entry === null) break;
    part.push(entry);
  }
  return part;
}

function isCut(entry: Dirent): boolean {
  return isCutFolder(entry.name) && entry.isDirectory();
}

async function stampOf(path: string): Promise<{ readonly text: string; readonly changedMs: number } | undefined> {
  const found = await ifThere(stat(path, { bigint: true }));
  if (found === undefined) return undefined;
  const text = `${String(found.dev)} ${String(found.ino)} ${String(found.mtimeNs)} ${String(found.ctimeNs)}`;
  return { text, changedMs: Number(found.ctimeMs) };
}
