/** Compares secrets without telling, by the time taken, how much of a guess was right. */
import { hash, timingSafeEqual } from 'node:crypto';
import { Failure } from '../failure.ts';
import { hasEnded, type Key } from '../key.ts';

/** Whether both texts are the same. Both are hashed first: lengths may differ, and only 32 bytes are ever compared. */
export function sameText(presented: string, expected: string): boolean {
  return timingSafeEqual(digest(presented), digest(expected));
}

/** Made of keys once, and made anew when there are others: they may come from a file that changes. */
export class MadeOfKeys<T> {
  readonly #keys: () => readonly Key[];
  readonly #make: (key: Key) => T;
  #made: { readonly of: readonly Key[]; readonly pairs: readonly (readonly [Key, T])[] } | undefined;

  constructor(keys: () => readonly Key[], make: (key: Key) => T) {
    this.#keys = keys;
    this.#make = make;
  }

  get pairs(): readonly (readonly [Key, T])[] {
    const keys = this.#keys();
    if (this.#made?.of !== keys) this.#made = { of: keys, pairs: keys.map((key) => [key, this.#make(key)]) };
    return this.#made.pairs;
  }
}

/** Keys that somebody presents as they are. */
export class KeyRing {
  readonly #digests: MadeOfKeys<Buffer>;

  readonly #now: () => number;

  /** `now`: milliseconds of `Date.now()`. */
  constructor(keys: () => readonly Key[], now: () => number = Date.now) {
    this.#now = now;
    this.#digests = new MadeOfKeys(keys, (key) => digest(key.secret));
  }

  /** Whose it is; compared with every key, whichever matches. @throws Failure `unauthorized` where it has ended */
  find(presented: string): Key | undefined {
    const candidate = digest(presented);
    const matching = this.#digests.pairs.filter(([, known]) => timingSafeEqual(known, candidate)).map(([key]) => key);
    return stillGood(matching, this.#now());
  }
}

/** One of these keys, which all matched, that has not ended; undefined where none matched. @throws Failure `unauthorized` where all have */
export function stillGood(matching: readonly Key[], nowMs: number): Key | undefined {
  const [first] = matching;
  const good = matching.find((key) => !hasEnded(key, nowMs));
  if (first === undefined || good !== undefined) return good;
  throw new Failure('unauthorized', `This key was good until ${first.lastDay ?? ''} (UTC); ask for another one.`);
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
