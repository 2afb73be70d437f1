/** Messages that are about nothing any more → out of the queue file, without a trace of their ids in it. */
import { existsSync } from 'node:fs';
import { changeFailure, openQueueFile } from './file.ts';

/** Whoever else writes the file is waited for. */
const BUSY_MS = 10_000;

/**
 * By keys as messageKey() makes them; how many there were. What a worker has at the moment stays, and ends by itself.
 * @throws Failure `queue-unavailable` saying what to do
 */
export function forgetMessages(path: string, keys: Iterable<string>): number {
  if (!existsSync(path)) return 0;
  const file = openQueueFile(path);
  try {
    const { database } = file;
    database.exec(`PRAGMA busy_timeout = ${String(BUSY_MS)}; PRAGMA secure_delete = ON; BEGIN IMMEDIATE`);
    const remove = database.prepare("DELETE FROM message WHERE key = ? AND state <> 'running'");
    let removed = 0;
    for (const key of keys) removed += Number(remove.run(key).changes);
    // What is still in the WAL is overwritten in the file, and then leaves the WAL.
    database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
    return removed;
  } catch (error) {
    throw changeFailure(error);
  } finally {
    file.close();
  }
}
