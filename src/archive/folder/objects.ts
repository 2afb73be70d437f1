/** The small objects of an archive folder: files that appear whole, by a link or a rename, and durable. */
import {
  requireName,
  type Children,
  type Generation,
  type Objects,
  type Removal,
  type StoredObject,
} from '../objects.ts';
import { onFolder } from './failure.ts';
import type { FolderFiles } from './files.ts';
import { FolderNames } from './folder-names.ts';

export class FolderObjects implements Objects {
  readonly #files: FolderFiles;
  readonly #names: FolderNames;

  constructor(files: FolderFiles) {
    this.#files = files;
    this.#names = new FolderNames(files);
  }

  get(name: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#named(name, signal, () => this.#files.readText(name));
  }

  getBytes(name: string, signal: AbortSignal): Promise<Buffer | undefined> {
    return this.#named(name, signal, () => this.#files.readBytes(name));
  }

  put(name: string, content: string | Uint8Array, signal: AbortSignal): Promise<boolean> {
    return this.#named(name, signal, () => this.#files.put(name, content));
  }

  replace(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    return this.#named(name, signal, async () => {
      await this.#files.replace(name, text);
      return true;
    });
  }

  remove(name: string, signal: AbortSignal): Promise<Removal> {
    return this.#named(name, signal, async () => ((await this.#files.remove(name)) ? 'removed' : 'absent'));
  }

  mark(name: string, signal: AbortSignal): Promise<void> {
    return this.#named(name, signal, () => this.#files.mark(name));
  }

  unmark(name: string, signal: AbortSignal): Promise<void> {
    return this.#named(name, signal, () => this.#files.unmark(name));
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const child of this.children({ folder }, signal)) {
      const name = folder + child;
      if (!name.startsWith(prefix)) continue;
      if (name.endsWith('/')) {
        yield* this.list(name, signal);
        continue;
      }
      const facts = await onFolder(() => this.#files.ownFacts(name));
      if (facts !== undefined) yield { name, sizeBytes: facts.sizeBytes, writtenAt: facts.changedAt.toISOString() };
    }
  }

  async *generations(target: string, signal: AbortSignal): AsyncGenerator<Generation> {
    for await (const { name, sizeBytes } of this.#among(target, signal))
      yield { name, sizeBytes, isLive: true, isHeld: /^recordings\/.*\/held$/.test(name), retainedUntil: undefined };
  }

  async purge(target: string, which: 'all' | 'old', signal: AbortSignal): Promise<readonly string[]> {
    if (which === 'all') for await (const { name } of this.#among(target, signal)) await this.remove(name, signal);
    return [];
  }

  async recoverableUntil(): Promise<undefined> {
    // A file system keeps nothing of what was removed, as far as it says.
  }

  async *children(asked: Children, signal: AbortSignal): AsyncGenerator<string> {
    const names = this.#names.in(asked, signal);
    try {
      for (;;) {
        const next = await onFolder(() => names.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await names.return(undefined);
    }
  }

  /** One file is asked for itself: its folder may hold millions. */
  async *#among(
    target: string,
    signal: AbortSignal,
  ): AsyncGenerator<{ readonly name: string; readonly sizeBytes: number }> {
    if (/[/.]$/.test(target)) return yield* this.list(target, signal);
    const facts = await this.#named(target, signal, () => this.#files.ownFacts(target));
    if (facts !== undefined) yield { name: target, sizeBytes: facts.sizeBytes };
  }

  async #named<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    requireName(name);
    return onFolder(work);
  }
}
