/** Whatever was thrown → the one shape of error every route answers with. */
import { randomUUID } from 'node:crypto';
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { RangeNotSatisfiable } from './range.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../telemetry/log.ts';
import { headerOf } from './headers.ts';

/** Where a failure says "later" without saying when. */
const RETRY_AFTER_S = 5;

/** `X-Request-Id` of every answer: the caller's own where it is harmless, else a new one. */
export function requestIdFor(req: Request): string {
  const given = headerOf(req.headers, 'x-request-id');
  return given !== undefined && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
}

/** Any thrown value, with what Express itself throws (a path that is not valid percent-encoding) as what it is. */
export function failureOf(thrown: unknown): Failure {
  const status: unknown = thrown instanceof Error && 'status' in thrown ? thrown.status : undefined;
  if (!(thrown instanceof Failure) && status === 400) {
    return new Failure('bad-request', 'The request is malformed; check how its path is encoded.', { cause: thrown });
  }
  return Failure.from(thrown);
}

/** So that nobody takes what has arrived for the whole: over HTTP/1.0, without chunks, an ordinary close would look like success. */
export function breakOff(res: Response): void {
  if (res.req.httpVersionMinor === 0) res.socket?.resetAndDestroy();
  res.destroy();
}

/**
 * `{error: {code, message, requestId}}`, never a stack, under no name of what was to be saved. Once the head is out nothing can be
 * said any more: it is broken off.
 */
export function answerFailure(failure: Failure, req: Request, res: Response): void {
  if (res.headersSent) return breakOff(res);
  if (res.destroyed) return;
  // A body that was not read to its end would be read as the next request.
  if (!req.complete) res.setHeader('Connection', 'close');
  const retryAfterS = retryAfterHeader(failure);
  if (retryAfterS !== undefined) res.setHeader('Retry-After', retryAfterS);
  if (failure.status === 401) res.setHeader('WWW-Authenticate', 'Bearer');
  if (failure instanceof RangeNotSatisfiable) res.setHeader('Content-Range', `bytes */${String(failure.sizeBytes)}`);
  const requestId = res.getHeader('X-Request-Id');
  res.removeHeader('Content-Disposition');
  res.type('json');
  res.status(failure.status).json({ error: { code: failure.code, message: failure.message, requestId } });
}

/** Whole seconds, rounded up: a caller that comes back too early is no caller we want. */
function retryAfterHeader(failure: Failure): number | undefined {
  if (failure.afterMs !== undefined) return Math.max(1, Math.ceil(failure.afterMs / 1000));
  const later = failure.status === 429 || failure.status === 503 || failure.code === 'not-ready';
  return later ? RETRY_AFTER_S : undefined;
}

/** The last error handler. What the caller did wrong is logged at debug only, what we or others did at warn or error. */
export function createErrorAnswers(log: Log): ErrorRequestHandler {
  return (thrown: unknown, req, res, _next) => {
    const failure = failureOf(thrown);
    log[levelOfAnswer(failure, res)]('A request failed.', {
      method: req.method,
      path: pathnameOf(req),
      status: failure.status,
      requestId: res.getHeader('X-Request-Id'),
      error: failure,
    });
    answerFailure(failure, req, res);
  };
}

/** Without its query, which may hold a signature; undefined for a target that has none. */
export function pathnameOf(req: Request): string | undefined {
  return URL.parse(req.originalUrl, 'http://localhost')?.pathname;
}

/** What failed because its caller left is of interest to nobody. */
export function levelOfAnswer(failure: Failure, res: Response): 'error' | 'warn' | 'debug' {
  if (failure.code === 'internal') return 'error';
  return failure.status >= 500 && !res.destroyed ? 'warn' : 'debug';
}

/** The last handler of a path that has other methods. */
export function refuseMethod(allow: string): RequestHandler {
  return (req, res) => {
    res.setHeader('Allow', allow);
    throw new Failure('method-not-allowed', `${req.method} is not possible here; allowed: ${allow}.`);
  };
}

export const refusePath: RequestHandler = () => {
  throw new Failure('not-found', 'There is nothing at this path; the README lists what there is.');
};
