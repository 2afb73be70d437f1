/** A path → the SQLite file of the index, made anew where it is missing, damaged or of another version: all of it lies in the archive. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '../failure.ts';
import { ROWS_SCHEMA, ROWS_VERSION } from './row-table.ts';

/** "GRAI" at byte 68 of the header tells our file from any other program's (https://www.sqlite.org/fileformat.html). */
const APPLICATION_ID = 0x47524149;
/** Names and numbers of callers: nobody else's business. */
const OWN_MODE = 0o600;
/** Another process may be writing a batch of rows. */
const BUSY_MS = 2_000;

/** Hashes of keys lie anywhere in the file. */
const CACHE_KIB = 8 * 1024;

/** `file`: files of index/ as they were read. `mark`: how far the archive was read. */
const SCHEMA = `
  PRAGMA application_id = ${String(APPLICATION_ID)};
  PRAGMA user_version = ${String(ROWS_VERSION)};
  CREATE TABLE file (name TEXT PRIMARY KEY, stamp TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  ${ROWS_SCHEMA}
`;

/** @throws Failure `misconfigured` where the file belongs to another program, or cannot be made */
export function openIndexDatabase(path: string): DatabaseSync {
  try {
    mkdirSync(dirname(path), { recursive: true });
    return openCurrent(path) ?? openAnew(path);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      'misconfigured',
      `The index ${path} cannot be opened: check that this user may write beside the archive (ARCHIVE_URL), or in it.`,
      {
        cause: error,
      },
    );
  }
}

/** For a test, or for days that are loaded on demand. */
export function openIndexInMemory(): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  database.exec(ROWS_SCHEMA);
  return database;
}

/** undefined where nothing is there that could be used; it may be thrown away then. */
function openCurrent(path: string): DatabaseSync | undefined {
  const database = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    chmodSync(path, OWN_MODE);
    const owner = pragmaOf(database, 'application_id');
    if (owner !== 0 && owner !== APPLICATION_ID)
      throw new Failure('misconfigured', `${path} belongs to another program: move it away.`);
    if (owner === 0 || pragmaOf(database, 'user_version') !== ROWS_VERSION) return closeUnused(database);
    applyPragmas(database);
    return pragmaOf(database, 'quick_check(1)') === 'ok' ? database : closeUnused(database);
  } catch (error) {
    closeUnused(database);
    if (error instanceof Failure) throw error;
    return undefined;
  }
}

function openAnew(path: string): DatabaseSync {
  for (const ending of ['', '-wal', '-shm']) rmSync(path + ending, { force: true });
  const database = new DatabaseSync(path, { timeout: BUSY_MS });
  chmodSync(path, OWN_MODE);
  applyPragmas(database);
  database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`);
  return database;
}

/** A power cut may take the last rows, which come back from the archive; it does not damage the file. What is erased is overwritten. */
function applyPragmas(database: DatabaseSync): void {
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON');
  database.exec(`PRAGMA cache_size = -${String(CACHE_KIB)}`);
}

function closeUnused(database: DatabaseSync): undefined {
  database.close();
  return undefined;
}

function pragmaOf(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}
