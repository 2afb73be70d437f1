/** How often each key asks → let through, or a 429 that says when to come back. */
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import { ANYBODY, callerOf } from './auth.ts';

export interface RateBounds {
  readonly perSecond: number;
  /** What may come at once, after a while without any. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** One bucket per name, each filled steadily and emptied by requests; as many as there are keys. */
export class KeyRates {
  readonly #bounds: RateBounds;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  /** `now`: milliseconds that only grow. */
  constructor(bounds: RateBounds, now: () => number = () => performance.now()) {
    this.#bounds = bounds;
    this.#now = now;
  }

  /** Milliseconds until the next request may come; 0 where this one may go on. */
  take(name: string): number {
    const { perSecond, burst } = this.#bounds;
    const atMs = this.#now();
    const before = this.#buckets.get(name) ?? { tokens: burst, atMs };
    const tokens = Math.min(burst, before.tokens + ((atMs - before.atMs) * perSecond) / 1000);
    const allowed = tokens >= 1;
    this.#buckets.set(name, { tokens: allowed ? tokens - 1 : tokens, atMs });
    return allowed ? 0 : Math.ceil(((1 - tokens) * 1000) / perSecond);
  }
}

/** Behind requireApiKey; where no key is asked for there is no rate of one. @throws Failure `busy` */
export function limitRate(rates: KeyRates): RequestHandler {
  return (req, _res, next) => {
    const caller = callerOf(req);
    const afterMs = caller === ANYBODY ? 0 : rates.take(caller.name);
    if (afterMs === 0) return next();
    throw new Failure('busy', 'This key asks too often; come back as Retry-After says.', { afterMs });
  };
}
