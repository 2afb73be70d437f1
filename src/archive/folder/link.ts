/** A recording → a signed, expiring path under /media, and such a path → the recording again. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Failure } from '../../failure.ts';
import { parseStoredId, pathOf, type Recording } from '../../recording.ts';

const PATH = /^\/media\/([0-9A-Za-z_-]{1,128})\/([0-9A-Za-z_-]{1,128})$/;

/**
 * `/media/{C|_}/{R}?expires=UNIX&signature=…`: HMAC-SHA256 by the first key, base64url. A bearer secret, never logged.
 * `expires` in whole seconds since 1970.
 */
export function signPath(recording: Recording, expires: number, keys: readonly string[]): string {
  const [key] = keys;
  if (key === undefined) throw new Failure('misconfigured', 'No key signs links: set LINK_KEYS.');
  const path = `/media/${pathOf(recording)}`;
  return `${path}?expires=${String(expires)}&signature=${hmacOf(path, expires, key)}`;
}

/** The recording a path was signed for, by any of `keys`. @throws Failure `forbidden` where it was not, or has expired */
export function verifyPath(path: string, query: URLSearchParams, keys: readonly string[]): Recording {
  const [, conversation, recordingId] = PATH.exec(path) ?? [];
  const expires = onlyOf(query, 'expires');
  const signature = onlyOf(query, 'signature');
  if (conversation === undefined || recordingId === undefined || !/^\d{1,12}$/.test(expires)) throw notSignedHere();
  const given = Buffer.from(signature);
  let known = false;
  for (const key of keys) {
    const wanted = Buffer.from(hmacOf(path, Number(expires), key));
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) known = true;
  }
  if (!known || String(Number(expires)) !== expires) throw notSignedHere();
  if (Number(expires) * 1000 <= Date.now()) {
    throw new Failure('forbidden', 'This link has expired: ask for a new one at /recordings/C/R/link.');
  }
  return {
    recordingId: parseStoredId(recordingId, 'recordingId'),
    conversationId: conversation === '_' ? undefined : conversation,
  };
}

/** The method is not signed: a player asks with HEAD and GET alike. */
function hmacOf(path: string, expires: number, key: string): string {
  return createHmac('sha256', key)
    .update(`${path}\n${String(expires)}`)
    .digest('base64url');
}

function onlyOf(query: URLSearchParams, name: string): string {
  const [value, ...more] = query.getAll(name);
  if (value === undefined || more.length > 0) throw notSignedHere();
  return value;
}

function notSignedHere(): Failure {
  return new Failure(
    'forbidden',
    'This link was not signed by this service: ask for a new one at /recordings/C/R/link.',
  );
}
