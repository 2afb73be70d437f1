/** A subscription that may end → one that lasts until a signal aborts. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Subscribed } from './library.ts';

export interface Staying {
  readonly open: () => Subscribed;
  /** The stream ended by itself: leases are not kept any more. */
  readonly onLost: () => void;
}

/** The stream mends itself after an outage; it ends for what an operator has to change, who may take hours. */
const REOPEN_AFTER_MS = 5_000;

/** Until `signal` aborts and the last subscription has closed. */
export async function staySubscribed({ open, onLost }: Staying, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const subscribed = open();
    const over = new AbortController();
    const aborted = once(signal, 'abort', { signal: over.signal }).catch(() => undefined);
    await Promise.race([subscribed.ended, aborted]);
    over.abort();
    if (signal.aborted) return subscribed.close();
    onLost();
    await delay(REOPEN_AFTER_MS, undefined, { signal }).catch(() => undefined);
  }
}
