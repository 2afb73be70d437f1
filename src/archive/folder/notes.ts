/** Notes in an archive folder: files that appear whole, by a link or a rename, and durable. */
import { randomBytes } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFolder } from '../../durable.ts';
import { systemCode } from '../../failure.ts';
import { type ListedNote, noteName, type Notes } from '../notes.ts';
import { ifThere, makeFolder, onFolder, writeNewFile } from './durable.ts';

/** Bytes of a file name; a longer one is cut behind its first dot, as entries of recordings are. */
const LONGEST_NAME = 255;

export class FolderNotes implements Notes {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  create(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    return this.#place(name, text, async (staged, path) => {
      signal.throwIfAborted();
      return createFrom(staged, path);
    });
  }

  replace(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    return this.#place(name, text, async (staged, path) => {
      signal.throwIfAborted();
      await rename(staged, path);
      return true;
    });
  }

  read(name: string, signal: AbortSignal): Promise<string | undefined> {
    return onFolder(async () => {
      signal.throwIfAborted();
      return ifThere(readFile(this.#path(noteName(name)), 'utf8'));
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ListedNote> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const name of this.#names(folder, signal)) {
      if (!name.startsWith(prefix)) continue;
      const facts = await ifThere(stat(this.#path(name)));
      if (facts !== undefined) yield { name, sizeBytes: facts.size, writtenAt: facts.mtime.toISOString() };
    }
  }

  remove(name: string, signal: AbortSignal): Promise<boolean> {
    return onFolder(async () => {
      signal.throwIfAborted();
      const path = this.#path(noteName(name));
      if ((await ifThere(stat(path))) === undefined) return false;
      await rm(path, { force: true });
      await syncFolder(dirname(path));
      return true;
    });
  }

  #place(name: string, text: string, put: (staged: string, path: string) => Promise<boolean>): Promise<boolean> {
    return onFolder(async () => {
      const path = this.#path(noteName(name));
      for (const folder of [dirname(path), join(this.#root, 'staging')])
        if ((await ifThere(stat(folder))) === undefined) await makeFolder(folder);
      const staged = join(this.#root, 'staging', `note.${randomBytes(8).toString('hex')}`);
      try {
        await writeNewFile(staged, text);
        const isPut = await put(staged, path);
        if (isPut) await syncFolder(dirname(path));
        return isPut;
      } finally {
        await rm(staged, { force: true });
      }
    });
  }

  /** Of all notes below a folder (with a slash at its end), folder by folder. */
  async *#names(folder: string, signal: AbortSignal): AsyncGenerator<string> {
    signal.throwIfAborted();
    const entries = (await ifThere(readdir(this.#path(folder), { withFileTypes: true }))) ?? [];
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      // A folder that ends in a dot is the first half of a name that was cut.
      if (entry.isDirectory())
        yield* this.#names(`${folder}${entry.name}${entry.name.endsWith('.') ? '' : '/'}`, signal);
      else if (entry.isFile()) yield `${folder}${entry.name}`;
    }
  }

  #path(name: string): string {
    const segments = name
      .split('/')
      .flatMap((segment) => (segment.length > LONGEST_NAME - 6 || segment.endsWith('.') ? cut(segment) : [segment]));
    return join(this.#root, ...segments);
  }
}

function cut(segment: string): readonly string[] {
  const at = segment.indexOf('.') + 1;
  return at === 0 || at === segment.length ? [segment] : [segment.slice(0, at), segment.slice(at)];
}

/** link(2) never replaces. Where the file system has no links, an exclusive create of the whole text does not either. */
async function createFrom(staged: string, path: string): Promise<boolean> {
  try {
    await link(staged, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCode(error) ?? '')) throw error;
  }
  const text = await readFile(staged);
  try {
    await using file = await open(path, 'wx', 0o640);
    await file.writeFile(text);
    await file.sync();
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}
