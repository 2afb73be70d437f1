/** A recording and whom it is for → a signed, expiring path under /media, and such a path → both again. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Failure } from '../../failure.ts';
import { parseStoredId, pathOf, type Recording } from '../../recording.ts';
import type { LinkHolder, VerifiedLink } from '../archive.ts';
import { openHolder, sealHolder } from './link-holder.ts';

const PATH = /^\/media\/([0-9A-Za-z_-]{1,128})\/([0-9A-Za-z_-]{1,128})$/;

export interface LinkGrant {
  readonly recording: Recording;
  /** Whole seconds since 1970. */
  readonly expires: number;
  readonly givenTo: LinkHolder | undefined;
}

/**
 * `/media/{C|_}/{R}?expires=UNIX[&to=…]&signature=…`: HMAC-SHA256 by the first key, base64url, over all of it. `to` is whom it was
 * given to, sealed. A bearer secret, never logged.
 */
export function signPath({ recording, expires, givenTo }: LinkGrant, keys: readonly string[]): string {
  const [key] = keys;
  if (key === undefined) throw new Failure('misconfigured', 'No key signs links: set LINK_KEYS.');
  const path = `/media/${pathOf(recording)}`;
  const to = givenTo === undefined ? undefined : sealHolder(givenTo, key);
  const signature = hmacOf({ path, expires: String(expires), to }, key);
  return `${path}?expires=${String(expires)}${to === undefined ? '' : `&to=${to}`}&signature=${signature}`;
}

/** Clocks of several instances differ. */
const TOLERANCE_S = 60;

export interface LinkRules {
  readonly keys: readonly string[];
  /** What ends later was signed while a clock was ahead, or for longer than it may be now. */
  readonly lifetimeS: number;
}

/**
 * The recording a path was signed for, by any of the keys, and whom it was given to; earlier versions did not say that.
 * @throws Failure `forbidden` where it was not signed, or has expired
 */
export function verifyPath(path: string, query: URLSearchParams, { keys, lifetimeS }: LinkRules): VerifiedLink {
  const [, conversation, recordingId] = PATH.exec(path) ?? [];
  const expires = onlyOf(query, 'expires');
  const to = query.has('to') ? onlyOf(query, 'to') : undefined;
  if (conversation === undefined || recordingId === undefined || !/^[1-9]\d{0,11}$/.test(expires))
    throw notSignedHere();
  if (to !== undefined && !/^[\w-]+$/.test(to)) throw notSignedHere();
  const key = keyThatSigned({ path, expires, to }, onlyOf(query, 'signature'), keys);
  if (key === undefined) throw notSignedHere();
  const leftS = Number(expires) - Date.now() / 1000;
  if (leftS <= 0 || leftS > lifetimeS + TOLERANCE_S) {
    throw new Failure('forbidden', 'This link has expired: ask for a new one at /recordings/C/R/link.');
  }
  const recording = {
    recordingId: parseStoredId(recordingId, 'recordingId'),
    conversationId: conversation === '_' ? undefined : conversation,
  };
  return { recording, givenTo: to === undefined ? undefined : openHolder(to, key) };
}

/** As it stands in the link. */
interface SignedText {
  readonly path: string;
  readonly expires: string;
  readonly to: string | undefined;
}

/** Each key is tried, in the same time whether an earlier one fits. */
function keyThatSigned(parts: SignedText, signature: string, keys: readonly string[]): string | undefined {
  const given = Buffer.from(signature);
  return keys
    .filter((key) => {
      const wanted = Buffer.from(hmacOf(parts, key));
      return given.length === wanted.length && timingSafeEqual(given, wanted);
    })
    .at(0);
}

/** The method is not signed: a player asks with HEAD and GET alike. No part holds a line break. */
function hmacOf({ path, expires, to }: SignedText, key: string): string {
  const text = [path, expires, ...(to === undefined ? [] : [to])].join('\n');
  return createHmac('sha256', key).update(text).digest('base64url');
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
