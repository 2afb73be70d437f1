/** A key as an operator writes it (`secret`, `name:secret`, `name:secret:2027-01-01`) → who it is, what it is, and until when. */
import { DAY_MS, isDay } from './instant.ts';

/** What somebody proves with that they may do something. */
export interface Key {
  /** What log and audit say; `key-1` by its position where it has none. */
  readonly name: string;
  readonly secret: string;
  /** The last day it is good for, UTC; undefined where it has no end. */
  readonly lastDay: string | undefined;
}

/** Whoever guesses needs 2^128 tries where a secret is random; 16 characters are the least that can hold as much. */
const MIN_CHARACTERS = 16;
const MIN_BYTES = 16;

const NAME = /^[A-Za-z0-9][\w.@-]{0,63}$/;
/** Whatever looks like a date or a time: an end that is misspelt must not become a part of a secret that has none. */
const END = /^(.*):(\d[\d\s.,/TZ+-]*)$/s;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** `position` counts from 1. `onProblem` is told what is wrong with it, never what it is; the key is then not to be used. */
export function parseKey(text: string, position: number, onProblem: (what: string) => void): Key {
  const problem = (what: string): void => onProblem(`entry ${String(position)} ${what}`);
  const colon = text.indexOf(':');
  if (colon < 0) {
    checkStrength(text, problem);
    return { name: `key-${String(position)}`, secret: text, lastDay: undefined };
  }
  const name = text.slice(0, colon);
  const rest = text.slice(colon + 1);
  const [, secret = rest, lastDay] = END.exec(rest) ?? [];
  if (!NAME.test(name)) problem(`has a colon, but no name before it (letters, digits, . _ @ -): expected ${FORM}`);
  else if (lastDay !== undefined && !isDay(lastDay)) problem(`ends on no day: expected ${FORM}`);
  else if (isDay(secret)) problem(`has a name and an end, but no secret: expected ${FORM}`);
  else checkStrength(secret, problem);
  return { name, secret, lastDay };
}

const FORM = 'name:secret or name:secret:2027-01-01';

/** `whsec_` marks base64, of which bytes count; anything else counts by its characters. */
function checkStrength(secret: string, problem: (what: string) => void): void {
  const encoded = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : undefined;
  if (encoded !== undefined && !BASE64.test(encoded)) return problem('is not base64 after whsec_');
  const bytes = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').length;
  if (bytes !== undefined && bytes < MIN_BYTES)
    return problem(`has ${String(8 * bytes)} bits; at least 128 are needed (openssl rand -base64 32)`);
  if (bytes === undefined && secret.length < MIN_CHARACTERS)
    problem(
      `has ${String(secret.length)} character${secret.length === 1 ? '' : 's'}; at least ${String(MIN_CHARACTERS)} are needed (openssl rand -hex 32), and a comma inside a key makes it two`,
    );
}

/** Whether the key's last day is over, by UTC. */
export function hasEnded(key: Pick<Key, 'lastDay'>, nowMs: number): boolean {
  return nowMs >= endOfKey(key);
}

/** The first moment after its last day; milliseconds of `Date.now()`, Infinity where it has no end. */
export function endOfKey({ lastDay }: Pick<Key, 'lastDay'>): number {
  return lastDay === undefined ? Infinity : Date.parse(lastDay) + DAY_MS;
}

/**
 * Keys to make something with that is good for so long, and to understand it by: the first makes it. As they were given, without
 * those that have ended; whose end is near comes behind the others, the nearest last, so that nothing ends with a key that has a
 * successor.
 */
export function keysInUse(keys: readonly Key[], goodForMs: number, nowMs: number): readonly Key[] {
  const left = (key: Key): number => Math.min(endOfKey(key) - nowMs, goodForMs);
  return keys.filter((key) => !hasEnded(key, nowMs)).toSorted((one, other) => left(other) - left(one));
}
