/** A page of another origin that plays a link → let in where LINK_ORIGINS names it (https://fetch.spec.whatwg.org/#http-cors-protocol). */
import type { RequestHandler } from 'express';
import { headerOf } from './headers.ts';

/** What a player needs to read of an answer to seek in it. */
const EXPOSED = 'Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag';
const ASKED_WITH = 'Range, If-Range, If-None-Match';
const REMEMBER_S = 3_600;

/** `origins` as browsers write them, `*` for all. A link is the permission: no cookie or key is ever asked for or let through. */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const all = origins.includes('*');
  return (req, res, next) => {
    if (origins.length === 0) return next();
    res.vary('Origin');
    const origin = headerOf(req.headers, 'origin');
    const isAllowed = origin !== undefined && (all || origins.includes(origin));
    if (isAllowed) {
      res.setHeader('Access-Control-Allow-Origin', all ? '*' : origin);
      res.setHeader('Access-Control-Expose-Headers', EXPOSED);
    }
    const isQuestion = req.method === 'OPTIONS' && headerOf(req.headers, 'access-control-request-method') !== undefined;
    if (!isQuestion) return next();
    if (isAllowed) {
      res.setHeader('Access-Control-Allow-Methods', 'GET, HEAD');
      res.setHeader('Access-Control-Allow-Headers', ASKED_WITH);
      res.setHeader('Access-Control-Max-Age', REMEMBER_S);
    }
    res.status(204).end();
  };
}
