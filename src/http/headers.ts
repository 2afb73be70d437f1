/** Node's header record → single texts. */
import type { IncomingHttpHeaders } from 'node:http';

/** One header by its lower-case name. Node joins a repeated one with ", ", which no value here survives. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The token of `Authorization: Bearer TOKEN` (RFC 6750 2.1). */
export function bearerOf(headers: IncomingHttpHeaders): string | undefined {
  return /^Bearer +([^\s,]+)$/i.exec(headers.authorization ?? '')?.[1];
}

/** The password of `Authorization: Basic …` (RFC 7617); the user name is not looked at. */
export function basicPasswordOf(headers: IncomingHttpHeaders): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(headers.authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? undefined : pair.slice(colon + 1);
}
