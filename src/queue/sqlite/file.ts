/** A path → an opened and checked queue file, or a Failure that says what is wrong with it; the one place that opens SQLite. */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fdatasync,
  linkSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { syncFolderNow } from '../../durable.ts';
import { Failure, systemCode } from '../../failure.ts';

/** "GRAQ" at byte 68 of the header tells our file from any other program's (https://www.sqlite.org/fileformat.html). */
const APPLICATION_ID = 0x47524151;
const SCHEMA_VERSION = 1;

/** While opening, another process may be recovering or closing the file; nobody waits for us yet. */
const OPEN_PATIENCE_MS = 4000;
/** Blocks the event loop, so it is short; longer patience is the group commit's, which does not block. */
const BUSY_MS = 100;

/** About 1 GB/s from the page cache, less from disk: larger files are not read whole at start; damage then shows when it is met. */
const QUICK_CHECK_MAX_BYTES = 256 * 1024 * 1024;

/** `due_at`: queued = not before, running = end of the lease. `lost`: deliveries in a row that never came back. All times in ms. */
const SCHEMA = `
  PRAGMA application_id = ${String(APPLICATION_ID)};
  PRAGMA user_version = ${String(SCHEMA_VERSION)};
  PRAGMA journal_mode = WAL;
  CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    traceparent TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'dead')),
    due_at INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    token TEXT,
    rerun_at INTEGER,
    reason TEXT
  ) STRICT;
  CREATE INDEX message_queued ON message (due_at) WHERE state = 'queued';
  CREATE INDEX message_running ON message (due_at) WHERE state = 'running';
  CREATE INDEX message_done ON message (changed_at) WHERE state = 'done';
  CREATE INDEX message_dead ON message (changed_at) WHERE state = 'dead';
  CREATE TABLE proof (id INTEGER PRIMARY KEY CHECK (id = 1), checked_at INTEGER NOT NULL) STRICT;
`;

export interface QueueFile {
  readonly database: DatabaseSync;
  /** Without symbolic links: SQLite keeps its -wal beside this one. */
  readonly path: string;
  /** @throws Failure when the path no longer names the opened file: what is committed now would be gone after a restart. */
  assertInPlace(): void;
  /** Resolves once everything committed is on disk. @throws what {@link isFatal} is true of */
  sync(): Promise<void>;
  /** Folds the WAL into the file, then closes it. */
  close(): void;
}

/**
 * Creates the file only where there is none; an empty, foreign, newer or damaged one is refused and left as it is.
 * @throws Failure `queue-unavailable` saying what to do
 */
export function openQueueFile(path: string): QueueFile {
  try {
    if (!existsSync(path)) createFile(path);
    assertOurs(path);
    const real = realpathSync(path);
    for (const one of [real, `${real}-wal`, `${real}-shm`]) shutOthersOut(one);
    return openOurs(real);
  } catch (error) {
    throw openFailure(path, error);
  }
}

/** Under its final name the file appears whole or not at all, so that an empty one can only be a damaged one. */
function createFile(path: string): void {
  if (existsSync(`${path}-wal`)) {
    // Another process that starts now may have made both since we looked: the file comes before its -wal.
    if (existsSync(path)) return;
    throw fileRefusal(
      path,
      'is missing, but its -wal file is there; put the file back, or move the -wal away to start empty',
    );
  }
  const folder = dirname(path);
  const firstMade = mkdirSync(folder, { recursive: true });
  const fresh = `${path}.${randomUUID()}.new`;
  try {
    writeSchema(fresh);
    linkUnlessThere(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
  syncFolderNow(folder);
  if (firstMade !== undefined) syncFolderNow(dirname(firstMade));
}

/** Whom the service's user shares nothing with has no business here: the file names every call. SQLite gives -wal and -shm the file's own mode. */
const OWN_MODE = 0o600;
/** An operator may have opened it to a group, on purpose. */
const OTHERS = 0o007;

function writeSchema(path: string): void {
  const descriptor = openSync(path, 'wx', OWN_MODE);
  try {
    // Whatever the umask.
    fchmodSync(descriptor, OWN_MODE);
  } finally {
    closeSync(descriptor);
  }
  const database = new DatabaseSync(path);
  try {
    database.exec(SCHEMA);
  } finally {
    database.close();
  }
}

/** Files of version 0.1.0 took their mode from the umask. Whose they are not may not change it, and does not have to. */
function shutOthersOut(path: string): void {
  const there = statSync(path, { throwIfNoEntry: false });
  if (there === undefined || (there.mode & OTHERS) === 0) return;
  try {
    chmodSync(path, there.mode & 0o777 & ~OTHERS);
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
  }
}

function linkUnlessThere(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/** Reads the header without SQLite, which would empty the WAL of a file cut to nothing and write to a foreign one. */
function assertOurs(path: string): void {
  const header = Buffer.alloc(100);
  const descriptor = openSync(path, 'r');
  try {
    if (readSync(descriptor, header) < header.length) throw fileRefusal(path, `is damaged (cut short); ${RECOVER}`);
  } finally {
    closeSync(descriptor);
  }
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') {
    throw fileRefusal(
      path,
      'is no SQLite file, or its header is damaged; restore it, or name another path in QUEUE_URL',
    );
  }
  if (header.readInt32BE(68) !== APPLICATION_ID) {
    throw fileRefusal(path, 'belongs to another program; name another path in QUEUE_URL');
  }
}

const RECOVER =
  'keep a copy of it and of its -wal, then restore a backup, or move both away to start empty (events since then have to be sent again)';

function openOurs(path: string): QueueFile {
  const database = new DatabaseSync(path, { timeout: OPEN_PATIENCE_MS });
  let wal: number | undefined;
  try {
    const opened = statSync(path);
    setUp(database);
    assertVersion(database, path);
    assertIntact(database, path, opened.size);
    database.exec(`PRAGMA busy_timeout = ${String(BUSY_MS)}`);
    // SQLite has made it by now, and keeps it for as long as any process has the file open.
    const log = (wal = openSync(`${path}-wal`, 'r+'));
    return {
      database,
      path,
      assertInPlace: () => {
        const there = statSync(path, { throwIfNoEntry: false });
        if (there?.ino !== opened.ino || there.dev !== opened.dev) throw new Moved();
      },
      sync: () => syncLog(log),
      close: () => {
        closeSync(log);
        closeFolded(database);
      },
    };
  } catch (error) {
    if (wal !== undefined) closeSync(wal);
    database.close();
    throw error;
  }
}

const syncData = promisify(fdatasync);

/** Whatever the disk says: after a failed fsync a second one reports success. */
async function syncLog(descriptor: number): Promise<void> {
  try {
    await syncData(descriptor);
  } catch (error) {
    throw new Unsynced('The WAL of the queue could not be synced.', { cause: error });
  }
}

function closeFolded(database: DatabaseSync): void {
  try {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch {
    // The WAL still holds everything; the next open reads it.
  } finally {
    database.close();
  }
}

/**
 * With NORMAL a commit writes the WAL without waiting for the disk, which would hold up the event loop; the group commit syncs
 * the WAL behind it, off the loop, before anybody is told. Checkpoints sync by themselves what they rely on
 * (https://www.sqlite.org/pragma.html#pragma_synchronous). It belongs to the connection, not to the file: set and read back on every open.
 * Checkpoints are run by the group commit, because the automatic ones hide a failed fsync.
 */
function setUp(database: DatabaseSync): void {
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA fullfsync = ON');
  database.exec(
    'PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 16777216',
  );
  const journal = pragma(database, 'journal_mode');
  const synchronous = pragma(database, 'synchronous');
  if (journal !== 'wal' || synchronous !== 1) {
    throw new Failure(
      'queue-unavailable',
      `The queue file cannot be made durable (journal_mode ${String(journal)}, synchronous ${String(synchronous)}); put it on a local disk.`,
    );
  }
}

function assertVersion(database: DatabaseSync, path: string): void {
  const version = pragma(database, 'user_version');
  if (version === SCHEMA_VERSION) return;
  throw fileRefusal(
    path,
    `has schema version ${String(version)}, this service knows ${String(SCHEMA_VERSION)}; start the version that wrote it, or name another path in QUEUE_URL`,
  );
}

function assertIntact(database: DatabaseSync, path: string, sizeBytes: number): void {
  if (sizeBytes > QUICK_CHECK_MAX_BYTES) return;
  const verdict = pragma(database, 'quick_check(1)');
  if (verdict !== 'ok') throw fileRefusal(path, `is damaged (${String(verdict)}); ${RECOVER}`);
}

function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

function fileRefusal(path: string, what: string): Failure {
  return new Failure('queue-unavailable', `The queue file ${path} ${what}.`);
}

function openFailure(path: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const code = sqliteCode(error);
  if (code === CORRUPT || code === NOTADB)
    return new Failure('queue-unavailable', `The queue file ${path} is damaged; ${RECOVER}.`, { cause: error });
  if (code === BUSY)
    return new Failure('queue-unavailable', `The queue file ${path} is locked by another program; close that.`, {
      cause: error,
    });
  return new Failure(
    'queue-unavailable',
    `The queue file ${path} cannot be opened; check that its folder exists on a local disk with free space and that this user may write there.`,
    { cause: error },
  );
}

/** Primary result codes (https://www.sqlite.org/rescode.html). */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const NOTADB = 26;

/** What a full disk is called where the -shm file cannot grow; it counts as full, since nothing was written. */
const IOERR_SHMSIZE = 4874;

/** The primary result code of an error SQLite threw; undefined for any other. */
function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode === IOERR_SHMSIZE ? FULL : error.errcode & 0xff;
}

class Moved extends Error {}

class Unsynced extends Error {}

/** Another connection holds the write lock: the same change may pass a little later. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === BUSY || code === LOCKED;
}

/** After these nothing this process believes about the file may be trusted: after a failed fsync a second one reports success. */
export function isFatal(error: unknown): boolean {
  if (error instanceof Moved || error instanceof Unsynced) return true;
  const code = sqliteCode(error);
  return code === IOERR || code === CORRUPT || code === NOTADB || code === READONLY;
}

/** What a change that did not happen means to whoever asked for it; public, hence without the path. */
export function changeFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('queue-unavailable', changeMessage(error), { cause: error });
}

function changeMessage(error: unknown): string {
  if (error instanceof Moved)
    return 'The queue file was moved, deleted or replaced while in use; put it back and restart the service.';
  const code = error instanceof Unsynced ? IOERR : sqliteCode(error);
  return CHANGE_MESSAGES.get(code) ?? 'The queue could not store the change; the log has the details.';
}

const LOCKED_MESSAGE =
  'The queue file stayed locked by another program (a backup, a database shell); close that and send the event again.';
const DAMAGED_MESSAGE =
  'The queue file is damaged, so nothing is accepted any more; restart the service and do what it says.';

const CHANGE_MESSAGES: ReadonlyMap<number | undefined, string> = new Map([
  [BUSY, LOCKED_MESSAGE],
  [LOCKED, LOCKED_MESSAGE],
  [FULL, 'The disk of the queue is full; free some space and send the event again.'],
  [
    IOERR,
    'The disk of the queue reported an error, so nothing is accepted any more; check the disk, then restart the service.',
  ],
  [CORRUPT, DAMAGED_MESSAGE],
  [NOTADB, DAMAGED_MESSAGE],
  [READONLY, 'The queue file cannot be written any more; check its disk and permissions, then restart the service.'],
]);
