/** So many at once, and so many of one key: whoever is one too many is told when to come back. */
import { Failure } from '../failure.ts';

export interface TurnstileOptions {
  readonly all: number;
  readonly perKey: number;
  /** What one too many is told to wait. */
  readonly retryAfterMs: number;
  /** Of what there are too many: "listeners". */
  readonly what: string;
}

export class Turnstile {
  readonly #options: TurnstileOptions;
  readonly #byKey = new Map<string, number>();
  #inside = 0;

  constructor(options: TurnstileOptions) {
    this.#options = options;
  }

  get inside(): number {
    return this.#inside;
  }

  /** Disposing lets it out again, once. @throws Failure `busy` */
  enter(key: string): Disposable {
    const { all, perKey, what, retryAfterMs } = this.#options;
    const ofKey = this.#byKey.get(key) ?? 0;
    if (this.#inside >= all)
      throw new Failure('busy', `Too many ${what} at once; try again.`, { afterMs: retryAfterMs });
    if (ofKey >= perKey)
      throw new Failure('busy', `Too many ${what} with one key; try again.`, { afterMs: retryAfterMs });
    this.#inside += 1;
    this.#byKey.set(key, ofKey + 1);
    let inside = true;
    return {
      [Symbol.dispose]: () => {
        if (inside) this.#leave(key);
        inside = false;
      },
    };
  }

  #leave(key: string): void {
    this.#inside -= 1;
    const left = (this.#byKey.get(key) ?? 1) - 1;
    if (left === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, left);
  }
}
