/** The head of a request (RFC 9112) → one that everything behind this may rely on, or a refusal. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';

/**
 * An absolute target becomes its path, and its host the request's: that is whom the client means, whatever Host says.
 * `routes` never see a target that no URL can be made of, nor what somebody in front may have read in another way.
 */
export function withPlainHead(routes: RequestListener): RequestListener {
  return (req, res) => {
    const refusal = headRefusal(req);
    if (refusal === undefined) return routes(req, res);
    const [status, message] = refusal;
    const requestId = randomUUID();
    const body = JSON.stringify({ error: { code: 'bad-request', message, requestId } });
    const headers = {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      'X-Request-Id': requestId,
      Connection: 'close',
    };
    res.writeHead(status, headers).end(body);
  };
}

type HeadRefusal = readonly [status: number, message: string];

/** What says who asks whom for what, and in which form: Node takes the first of several, others the last. */
const ALONE: ReadonlyMap<string, string> = new Map([
  ['host', 'Host'],
  ['authorization', 'Authorization'],
  ['content-type', 'Content-Type'],
]);

function headRefusal(req: IncomingMessage): HeadRefusal | undefined {
  // Node's parser takes HTTP/0.9 and HTTP/2.0 in a request line for HTTP/1.1.
  if (req.httpVersionMajor !== 1) return [505, 'HTTP/1.1 and HTTP/1.0 are spoken here.'];
  const repeated = repeatedOf(req.rawHeaders);
  if (repeated !== undefined) return [400, `The request has more than one ${repeated}.`];
  if (!isPlainlyFramed(req)) return [400, 'Transfer-Encoding: expected chunked and nothing else, in HTTP/1.1.'];
  if (!isExpectation(req.headers.expect)) return [417, 'Expect: only 100-continue can be expected.'];
  if (!namesHost(req)) return [400, 'Host: expected a name or an address, with or without a port.'];
  if (!takeTarget(req)) return [400, 'The target of the request is neither a path nor an http URL.'];
  return undefined;
}

function repeatedOf(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = ALONE.get(rawHeaders[at]?.toLowerCase() ?? '');
    if (name !== undefined && seen.has(name)) return name;
    if (name !== undefined) seen.add(name);
  }
  return undefined;
}

/** Node decodes chunks alone, and lets pass what else was done to a body (§6.1); HTTP/1.0 has no chunks. */
function isPlainlyFramed({ headers, httpVersionMinor }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  return coding === undefined || (httpVersionMinor > 0 && coding.trim().toLowerCase() === 'chunked');
}

/** RFC 9110 §10.1.1; as Node finds it, which has said 100 by now. */
function isExpectation(expected: string | undefined): boolean {
  return expected === undefined || /(?:^|\W)100-continue(?:$|\W)/i.test(expected);
}

const HOST = /^(?:\[[\da-f:.]+\]|[\w.~%!$&'()*+,;=-]+)(?::\d*)?$/i;

/** §3.2; HTTP/1.0 has no Host, and of who has none it may be empty. */
function namesHost({ headers: { host }, httpVersionMinor }: IncomingMessage): boolean {
  if (host === undefined) return httpVersionMinor === 0;
  return host === '' || (HOST.test(host) && URL.canParse(`http://${host}`));
}

/** §3.2.2; a user name in it is an error (RFC 9110 §4.2.4). */
function takeTarget(req: IncomingMessage): boolean {
  const { url = '' } = req;
  if (url.startsWith('/')) return URL.canParse(url, 'http://localhost');
  const target = /^https?:\/\/[^/?#]/i.test(url) ? URL.parse(url) : null;
  if (target === null || target.username !== '' || target.password !== '') return false;
  req.url = `${target.pathname}${target.search}`;
  req.headers.host = target.host;
  return true;
}
