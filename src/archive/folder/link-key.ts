/** The key that signs links where none is configured: made on first use, the same for all processes, kept with the archive. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { syncFolderNow } from '../../durable.ts';
import { Failure, systemCode } from '../../failure.ts';

/** A key that another process is just making is waited for so long. */
const MAKING_MS = 2_000;

/**
 * The key at `{folder}/link.key` (mode 0600), where it is kept as long as the archive is. A key beside the folder, as earlier
 * versions made it, is taken over: links it signed stay good. A crash leaves either a whole key or none.
 * @throws Failure `misconfigured` naming LINK_KEYS
 */
export function keepLinkKey(folder: string): string {
  const path = join(folder, 'link.key');
  const earlier = join(dirname(folder), 'link.key');
  try {
    const known = readKey(path);
    if (known !== undefined) return known;
    const old = readKey(earlier);
    return makeKey(path, old ?? randomBytes(32).toString('base64url'), old);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(
      'misconfigured',
      'The key that signs links, link.key in the archive folder (ARCHIVE_URL), cannot be read or made: mend its permissions, or set LINK_KEYS.',
      { cause, facts: { path } },
    );
  }
}

/** undefined where there is none, or an empty file that is not filled yet. */
function readKey(path: string): string | undefined {
  let text: string;
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (!fstatSync(file).isFile()) throw noKey(path);
      text = readFileSync(file, 'utf8');
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    if (systemCode(error) === 'ELOOP') throw noKey(path);
    throw error;
  }
  if (text === '') return undefined;
  if (/^[A-Za-z0-9_-]{43,}$/.test(text.trim())) return text.trim();
  throw noKey(path);
}

function noKey(path: string): Failure {
  return new Failure(
    'misconfigured',
    'link.key of the archive folder (ARCHIVE_URL) holds no key: remove it and a new one is made (links signed before stop working), or set LINK_KEYS.',
    { facts: { path } },
  );
}

/** `fallback` is what stays good where nothing may be written. */
function makeKey(path: string, key: string, fallback: string | undefined): string {
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    writeFileSync(draft, `${key}\n`, { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    if (fallback !== undefined) return fallback;
    throw error;
  }
  try {
    placeKey(draft, path);
  } finally {
    removeDraft(draft);
  }
  syncFolderNow(dirname(path));
  const kept = readKey(path);
  if (kept === undefined) throw new Error('link.key vanished while it was made');
  return kept;
}

/** Of several processes that start at once one key stays: link(2) does not replace. */
function placeKey(draft: string, path: string): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') awaitKey(draft, path);
    else placeWithoutLinks(draft, path);
  }
}

/** Where there are no hard links, an empty file keeps others away until it is filled in one step. */
function placeWithoutLinks(draft: string, path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    renameSync(draft, path);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    awaitKey(draft, path);
  }
}

/** One that stays empty was left by a process that died. */
function awaitKey(draft: string, path: string): void {
  const until = performance.now() + MAKING_MS;
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  while (readKey(path) === undefined && performance.now() < until) Atomics.wait(nothing, 0, 0, 20);
  if (readKey(path) === undefined) renameSync(draft, path);
}

function removeDraft(draft: string): void {
  try {
    unlinkSync(draft);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
