/** Cookies of a request → one by its name, and the cookie of ours that no other site, script or plain line can have. */
import type { IncomingMessage } from 'node:http';

/** The first of that name; undefined where there is none. */
export function cookieOf({ headers }: Pick<IncomingMessage, 'headers'>, name: string): string | undefined {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

export interface CookieOptions {
  /** Over plain http on loopback: browsers keep no Secure cookie there, and refuse the prefix without it. */
  readonly isPlain: boolean;
  readonly maxAgeS: number;
}

/** `__Host-`: only this host, only by https, for all its paths (RFC 6265bis §4.1.3.2). */
export function cookieName(name: string, isPlain: boolean): string {
  return isPlain ? name : `__Host-${name}`;
}

/** Lax: a link from elsewhere finds its reader signed in, and a form from elsewhere nobody. */
export function cookieText(name: string, value: string, { isPlain, maxAgeS }: CookieOptions): string {
  const secure = isPlain ? '' : '; Secure';
  return `${cookieName(name, isPlain)}=${value}; Path=/; HttpOnly; SameSite=Lax${secure}; Max-Age=${String(maxAgeS)}`;
}
