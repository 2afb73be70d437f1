/** A request → whose it is, by the API key it carries, or a 401. */
import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Key } from '../key.ts';
import { KeyRing } from './constant-time.ts';
import { bearerOf, headerOf } from './headers.ts';

export interface ApiAuth {
  readonly required: boolean;
  /** Asked for at each request. */
  readonly keys: readonly Key[];
  /** Requests a second of one key, five times as many at once; 50 unless told. */
  readonly perSecond?: number;
}

/** Whoever a request is answered for: what log and audit call them. */
export interface Caller {
  readonly name: string;
}

/** Where no key is asked for. */
export const ANYBODY: Caller = { name: 'anybody' };

const CALLERS = new WeakMap<IncomingMessage, Caller>();

/** Whose key the request carried; `anybody` where none was asked for. */
export function callerOf(req: IncomingMessage): Caller {
  return CALLERS.get(req) ?? ANYBODY;
}

/** `Authorization: Bearer K` or `X-API-Key: K`; looked at before anything else of the request. */
export function requireApiKey(auth: ApiAuth): RequestHandler {
  const identify = createIdentify(auth);
  return (req, _res, next) => {
    if (auth.required && identify(req) === undefined)
      throw new Failure(
        'unauthorized',
        'An API key is needed: send one of API_KEYS as "Authorization: Bearer KEY" or "X-API-Key: KEY".',
      );
    next();
  };
}

/** Remembers whose key the request carries; undefined where it carries none of ours. @throws Failure `unauthorized` where it has ended */
export function createIdentify(auth: ApiAuth): (req: IncomingMessage) => Caller | undefined {
  const ring = new KeyRing(() => auth.keys);
  return (req) => {
    const presented = headerOf(req.headers, 'x-api-key') ?? bearerOf(req.headers);
    const key = presented === undefined ? undefined : ring.find(presented);
    if (key === undefined) return undefined;
    const caller = { name: key.name };
    CALLERS.set(req, caller);
    return caller;
  };
}
