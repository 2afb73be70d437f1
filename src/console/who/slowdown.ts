/** Attempts to sign in that failed, by address → how long that address has to wait: a guess costs more each time, and nobody is shut out for good. */
import type { Response } from 'express';
import { SIGN_INS } from '../../bounds.ts';

/** Forgotten after so long without a failure. */
const REMEMBERED_MS = 900_000;
/** Addresses remembered; beyond that the oldest are forgotten. */
const MOST = 10_000;

interface Tries {
  count: number;
  atMs: number;
}

export class Slowdown {
  readonly #now: () => number;
  readonly #tries = new Map<string, Tries>();

  /** `now`: milliseconds that only grow. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Milliseconds until this address may try again; 0 where it may now. */
  waitMs(address: string): number {
    const tries = this.#of(address);
    if (tries === undefined || tries.count < SIGN_INS.free) return 0;
    const pauseMs = Math.min(SIGN_INS.longestWaitMs, SIGN_INS.firstWaitMs * 2 ** (tries.count - SIGN_INS.free));
    return Math.max(0, tries.atMs + pauseMs - this.#now());
  }

  /** Whole seconds until this address may try again, which the answer says as well (Retry-After); 0 where it may now. */
  holdBack(address: string, res: Response): number {
    const afterS = Math.ceil(this.waitMs(address) / 1000);
    if (afterS > 0) res.setHeader('Retry-After', afterS);
    return afterS;
  }

  failed(address: string): void {
    const count = (this.#of(address)?.count ?? 0) + 1;
    this.#tries.delete(address);
    this.#tries.set(address, { count, atMs: this.#now() });
    const [oldest] = this.#tries.keys();
    if (this.#tries.size > MOST && oldest !== undefined) this.#tries.delete(oldest);
  }

  succeeded(address: string): void {
    this.#tries.delete(address);
  }

  #of(address: string): Tries | undefined {
    const tries = this.#tries.get(address);
    return tries !== undefined && this.#now() - tries.atMs < REMEMBERED_MS ? tries : undefined;
  }
}
