/** The target of a request and whom it names (RFC 9112 §3.2) → a path that everything behind this may parse, or a 400. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';

/**
 * An absolute target becomes its path, and its host the request's: that is whom the client means, whatever Host says.
 * `routes` never see a target that no URL can be made of.
 */
export function withTarget(routes: RequestListener): RequestListener {
  return (req, res) => {
    const twoHosts = namesTwoHosts(req);
    if (!twoHosts && takeTarget(req)) return routes(req, res);
    const message = twoHosts ? TWO_HOSTS : NO_TARGET;
    const requestId = randomUUID();
    const headers = {
      'Content-Type': 'application/json; charset=utf-8',
      'X-Request-Id': requestId,
      Connection: 'close',
    };
    res.writeHead(400, headers).end(JSON.stringify({ error: { code: 'bad-request', message, requestId } }));
  };
}

const NO_TARGET = 'The target of the request is neither a path nor an http URL.';
const TWO_HOSTS = 'The request names more than one Host.';

/** Whoever stands in front may believe the other one; Node takes the first. */
function namesTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  const isHost = (text: string, at: number): boolean =>
    at % 2 === 0 && text.length === 4 && text.toLowerCase() === 'host';
  return rawHeaders.filter(isHost).length > 1;
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
