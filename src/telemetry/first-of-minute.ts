/** What happens again and again for the same reason → the first of each minute, with how many were passed over. */

const MINUTE_MS = 60_000;

interface Seen {
  readonly sinceMs: number;
  passedOver: number;
}

export class FirstOfMinute {
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();

  /** `now`: milliseconds that only grow. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How many of this reason were passed over before; undefined where this one is to be. There are few reasons: each is remembered. */
  take(reason: string): number | undefined {
    const seen = this.#seen.get(reason);
    const now = this.#now();
    if (seen !== undefined && now - seen.sinceMs < MINUTE_MS) {
      seen.passedOver += 1;
      return undefined;
    }
    this.#seen.set(reason, { sinceMs: now, passedOver: 0 });
    return seen?.passedOver ?? 0;
  }
}
