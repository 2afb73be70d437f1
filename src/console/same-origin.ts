/** A request that changes something → let through where a page of ours sent it; a browser says so, and no page can say it falsely. */
import type { IncomingMessage } from 'node:http';
import { Failure } from '../failure.ts';
import { headerOf } from '../http/headers.ts';

/**
 * `Sec-Fetch-Site: same-origin` (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header), or from a browser that does not
 * send it an Origin equal to the address of the request. @throws Failure with status 403
 */
export function requireSameOrigin(req: IncomingMessage, publicUrl: string | undefined): void {
  const site = headerOf(req.headers, 'sec-fetch-site');
  if (site === 'same-origin') return;
  const origin = headerOf(req.headers, 'origin');
  const own = URL.parse(publicUrl ?? `http://${req.headers.host ?? ''}`)?.origin;
  if (site === undefined && origin !== undefined && origin === own) return;
  throw new Failure('bad-request', 'This can only be done from a page of the console itself.', { status: 403 });
}
