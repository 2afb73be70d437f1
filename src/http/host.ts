/** The host that a request was meant for → let through, or a 421, where no key protects what it asks for. */
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import { isLoopback } from '../loopback.ts';

/**
 * A web page can have its own name resolve to 127.0.0.1 and then reads whatever answers there without a key (DNS rebinding):
 * so only this machine's own names are answered, and the host of `publicUrl`.
 * @throws Failure with status 421 (RFC 9110 §15.5.20)
 */
export function requireOwnHost(publicUrl?: string): RequestHandler {
  const publicHost = URL.parse(publicUrl ?? '')?.hostname;
  const isOwn = (host: string): boolean => host === publicHost || isLoopback(host.replace(/^\[(.*)\]$/, '$1'));
  return (req, _res, next) => {
    const host = URL.parse(`http://${req.headers.host ?? ''}`)?.hostname.replace(/\.$/, '');
    if (host !== undefined && isOwn(host)) return next();
    throw new Failure(
      'bad-request',
      'Without authentication only requests to localhost, a loopback address or the host of PUBLIC_URL are answered.',
      { status: 421 },
    );
  };
}
