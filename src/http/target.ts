/** The target of a request (RFC 9112 §3.2) → a path that everything behind this may parse, or a 400. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';

/**
 * An absolute target becomes its path, and its host the request's: that is whom the client means, whatever Host says.
 * `routes` never see a target that no URL can be made of.
 */
export function withTarget(routes: RequestListener): RequestListener {
  return (req, res) => {
    if (takeTarget(req)) return routes(req, res);
    const requestId = randomUUID();
    const message = 'The target of the request is neither a path nor an http URL.';
    const headers = {
      'Content-Type': 'application/json; charset=utf-8',
      'X-Request-Id': requestId,
      Connection: 'close',
    };
    res.writeHead(400, headers).end(JSON.stringify({ error: { code: 'bad-request', message, requestId } }));
  };
}

function takeTarget(req: IncomingMessage): boolean {
  const { url = '' } = req;
  if (url.startsWith('/')) return URL.canParse(url, 'http://localhost');
  const target = /^https?:\/\//i.test(url) ? URL.parse(url) : null;
  if (target === null) return false;
  req.url = `${target.pathname}${target.search}`;
  req.headers.host = target.host;
  return true;
}
