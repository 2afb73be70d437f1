/** A file → a lock that one process of several holds at a time, and that the kernel takes back from one that is killed. */
import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../failure.ts';

const PATIENCE_MS = 5_000;
const RETRY_MS = 2;

/**
 * Node has no flock(2), and lock files outlive their owner. SQLite's write lock (https://sqlite.org/lockingv3.html) is a lock of
 * the system: taken without writing a byte, given back at any end.
 */
export class FolderLock {
  readonly #path: string;
  #database: DatabaseSync | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws Failure `archive-unavailable` after 5 s */
  async acquire(): Promise<Disposable> {
    const database = (this.#database ??= this.#open());
    const end = performance.now() + PATIENCE_MS;
    while (!tryLock(database)) {
      if (performance.now() > end)
        throw new Failure(
          'archive-unavailable',
          `Another process holds ${this.#path}: see which one writes to this archive.`,
        );
      await delay(RETRY_MS);
    }
    return { [Symbol.dispose]: () => database.exec('ROLLBACK') };
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  #open(): DatabaseSync {
    const database = new DatabaseSync(this.#path);
    try {
      chmodSync(this.#path, 0o640);
      database.exec('PRAGMA busy_timeout = 0');
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }
}

function tryLock(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN IMMEDIATE');
    return true;
  } catch (error) {
    if (error instanceof Error && /locked|busy/i.test(error.message)) return false;
    throw error;
  }
}
