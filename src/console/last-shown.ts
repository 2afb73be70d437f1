/** What a reader was shown of a page → what they are shown while the archive or the index is away: the same, with when that was. */
import { Failure } from '../failure.ts';
import { withPatience } from './patience.ts';
import type { Identity } from './who/identity.ts';

/** Facts of now, or those that were known, and why they are not of now. */
export interface LastFacts<T> {
  /** undefined where this reader was shown none. */
  readonly facts: T | undefined;
  /** When they were looked at; ISO 8601, UTC. */
  readonly at: string;
  /** undefined where they are of now. */
  readonly problem: Failure | undefined;
}

/** What is asked, and by whom. */
export interface AskedFacts {
  /** The same for the same facts: `find?q=…`, the key of a recording. */
  readonly of: string;
  readonly who: Identity;
}

export interface LastShownNeeds {
  /** Wall clock. */
  readonly now: () => Date;
  /** Milliseconds that a look may take. */
  readonly patienceMs: number;
}

interface ShownFacts<T> {
  readonly facts: T;
  readonly at: string;
  readonly sizeBytes: number;
}

/** Of one kind of page, written as JSON; the oldest go first. */
const MOST_BYTES = 4_000_000;
/** What was erased meanwhile by somebody else is not shown for longer; what is older is of little use. */
const KEPT_MS = 3_600_000;

/**
 * Nobody is shown what another one was shown, nor what they may not see any more: it is kept by who they are and what they may.
 * That they saw it is on record already, so that it may be shown while no record can be written.
 */
export class LastShown<T> {
  readonly #needs: LastShownNeeds;
  readonly #mostBytes: number;
  /** In the order they were looked at. */
  readonly #shown = new Map<string, ShownFacts<T>>();
  #bytes = 0;

  constructor(needs: LastShownNeeds, mostBytes = MOST_BYTES) {
    this.#needs = needs;
    this.#mostBytes = mostBytes;
  }

  /** Of all that is kept, written as JSON. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws whatever `work` throws that is no absence of a part, and the reason of `signal` */
  async look(asked: AskedFacts, work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<LastFacts<T>> {
    const key = keyOfAsked(asked);
    const at = this.#needs.now().toISOString();
    try {
      const facts = await withPatience(work, this.#needs.patienceMs, signal);
      this.#keep(key, facts, at);
      return { facts, at, problem: undefined };
    } catch (thrown) {
      signal.throwIfAborted();
      if (!isAway(thrown)) {
        this.#drop(key);
        throw thrown;
      }
      const last = this.#shown.get(key);
      const isOld = last !== undefined && Math.abs(Date.parse(at) - Date.parse(last.at)) > KEPT_MS;
      if (isOld) this.#drop(key);
      return last === undefined || isOld
        ? { facts: undefined, at, problem: thrown }
        : { facts: last.facts, at: last.at, problem: thrown };
    }
  }

  /** All of it: what was erased is nowhere any more. */
  forget(): void {
    this.#shown.clear();
    this.#bytes = 0;
  }

  #keep(key: string, facts: T, at: string): void {
    this.#drop(key);
    const sizeBytes = key.length + JSON.stringify(facts).length;
    if (sizeBytes > this.#mostBytes / 4) return;
    this.#shown.set(key, { facts, at, sizeBytes });
    this.#bytes += sizeBytes;
    for (const oldest of this.#shown.keys()) {
      if (this.#bytes <= this.#mostBytes) break;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#shown.get(key)?.sizeBytes ?? 0;
    this.#shown.delete(key);
  }
}

/** Archive, index, queue or audit cannot be used just now; whatever else is wrong stays so. */
export function isAway(thrown: unknown): thrown is Failure {
  return thrown instanceof Failure && (thrown.status === 503 || thrown.status === 504);
}

function keyOfAsked({ of, who: { id, way, roles, divisions } }: AskedFacts): string {
  const limits = divisions === 'all' ? divisions : [...divisions].toSorted((a, b) => (a < b ? -1 : 1));
  return JSON.stringify([way, id, [...roles].toSorted((a, b) => (a < b ? -1 : 1)), limits, of]);
}
