/** Turns a recording into a signed, expiring path under /media, and such a path back into the recording. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolderNow } from '../../durable.ts';
import { Failure, systemCode } from '../../failure.ts';
import { parseId, pathOf, type Recording } from '../../recording.ts';

const PATH = /^\/media\/([0-9A-Za-z_-]{1,128})\/([0-9A-Za-z_-]{1,128})$/;

/**
 * `/media/{C|_}/{R}?expires=UNIX&signature=…`: HMAC-SHA256 by the first key, base64url. A bearer secret, never logged.
 * `expires` in whole seconds since 1970.
 */
export function signPath(recording: Recording, expires: number, keys: readonly string[]): string {
  const [key] = keys;
  if (key === undefined) throw new Failure('misconfigured', 'No key signs links: set LINK_KEYS.');
  const path = `/media/${pathOf(recording)}`;
  return `${path}?expires=${String(expires)}&signature=${sign(path, expires, key)}`;
}

/** The recording a path was signed for, by any of `keys`. @throws Failure `forbidden` where it was not, or has expired */
export function verifyPath(path: string, query: URLSearchParams, keys: readonly string[]): Recording {
  const [, conversation, recordingId] = PATH.exec(path) ?? [];
  const expires = single(query, 'expires');
  const signature = single(query, 'signature');
  if (conversation === undefined || recordingId === undefined || !/^\d{1,12}$/.test(expires)) throw refused();
  const given = Buffer.from(signature);
  let known = false;
  for (const key of keys) {
    const wanted = Buffer.from(sign(path, Number(expires), key));
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) known = true;
  }
  if (!known || String(Number(expires)) !== expires) throw refused();
  if (Number(expires) * 1000 <= Date.now()) {
    throw new Failure('forbidden', 'This link has expired: ask for a new one at /recordings/C/R/link.');
  }
  return {
    recordingId: parseId(recordingId, 'recordingId'),
    conversationId: conversation === '_' ? undefined : conversation,
  };
}

/** The method is not signed: a player asks with HEAD and GET alike. */
function sign(path: string, expires: number, key: string): string {
  return createHmac('sha256', key)
    .update(`${path}\n${String(expires)}`)
    .digest('base64url');
}

function single(query: URLSearchParams, name: string): string {
  const [value, ...more] = query.getAll(name);
  if (value === undefined || more.length > 0) throw refused();
  return value;
}

function refused(): Failure {
  return new Failure(
    'forbidden',
    'This link was not signed by this service: ask for a new one at /recordings/C/R/link.',
  );
}

/**
 * The key kept at `path` (mode 0600), made on first use. Whoever is first, all processes read the same key;
 * a crash leaves either a whole key or none. @throws Failure `misconfigured` naming LINK_KEYS
 */
export function keepLinkKey(path: string): string {
  try {
    return readKey(path) ?? makeKey(path);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(
      'misconfigured',
      'The key that signs links, link.key beside the archive folder (ARCHIVE_URL), cannot be read or made: mend its permissions, or set LINK_KEYS.',
      { cause, facts: { path } },
    );
  }
}

function readKey(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (/^[A-Za-z0-9_-]{43,}$/.test(text)) return text;
  throw new Failure(
    'misconfigured',
    'link.key beside the archive folder (ARCHIVE_URL) holds no key: remove it and a new one is made (links signed before stop working), or set LINK_KEYS.',
    { facts: { path } },
  );
}

/** link(2) does not replace: of several processes that start at once, one key stays. */
function makeKey(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  writeFileSync(draft, `${randomBytes(32).toString('base64url')}\n`, { flag: 'wx', mode: 0o600, flush: true });
  try {
    linkSync(draft, path);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
  syncFolderNow(dirname(path));
  const key = readKey(path);
  if (key === undefined) throw new Error('link.key vanished while it was made');
  return key;
}
