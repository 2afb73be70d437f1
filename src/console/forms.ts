/** A POST → the fields of a form, where a page of ours sent it; a browser says so, and no page can say it falsely. */
import type { IncomingMessage } from 'node:http';
import { Failure } from '../failure.ts';
import { readBody } from '../http/body.ts';
import { headerOf } from '../http/headers.ts';

const FORM_BYTES = 65_536;

/** Looks at where it comes from before it reads it. @throws Failure with status 403, 413 or 415 */
export async function readForm(req: IncomingMessage, publicUrl: string | undefined): Promise<URLSearchParams> {
  requireSameOrigin(req, publicUrl);
  const [type = ''] = (req.headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/x-www-form-urlencoded')
    throw new Failure('unsupported-type', 'Content-Type: expected application/x-www-form-urlencoded.');
  return new URLSearchParams((await readBody(req, FORM_BYTES)).toString('utf8'));
}

/**
 * `Sec-Fetch-Site: same-origin` (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header), or from a browser that does not
 * send it an Origin equal to the address of the request.
 */
function requireSameOrigin(req: IncomingMessage, publicUrl: string | undefined): void {
  const site = headerOf(req.headers, 'sec-fetch-site');
  if (site === 'same-origin') return;
  const origin = headerOf(req.headers, 'origin');
  const own = URL.parse(publicUrl ?? `http://${req.headers.host ?? ''}`)?.origin;
  if (site === undefined && origin !== undefined && origin === own) return;
  throw new Failure('bad-request', 'This can only be done from a page of the console itself.', { status: 403 });
}

/** Where to go after signing in: a page of ours, whatever stands in the address; else the start. */
export function returnPath(to: string | null): string {
  const url = URL.parse(to ?? '', 'http://localhost');
  if (url === null || url.origin !== 'http://localhost') return '/console/';
  const path = `${url.pathname}${url.search}${url.hash}`;
  return path.startsWith('/console/') && !path.startsWith('/console/sign-') ? path : '/console/';
}
