/** One look for all who ask at once and soon afterwards: however many pages are open, what is behind them is asked once in a while. */

export class SharedLook<T> {
  readonly #look: () => Promise<T>;
  readonly #freshMs: number;
  #last: { readonly result: Promise<T>; freshUntil: number } | undefined;

  /** `look` has a bound of its own, and never throws. */
  constructor(look: () => Promise<T>, freshMs: number) {
    this.#look = look;
    this.#freshMs = freshMs;
  }

  /** As it was at most `freshMs` ago, or as it is. */
  known(): Promise<T> {
    if (this.#last !== undefined && performance.now() < this.#last.freshUntil) return this.#last.result;
    const last = { result: this.#look(), freshUntil: Infinity };
    void last.result.then(() => (last.freshUntil = performance.now() + this.#freshMs));
    this.#last = last;
    return last.result;
  }
}
