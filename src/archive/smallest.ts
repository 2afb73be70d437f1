/** Keeps the first few of many things that come in any order, and a few times as many in memory at most. */

export class Smallest<T> {
  readonly #count: number;
  readonly #compare: (a: T, b: T) => number;
  #kept: T[] = [];
  /** Nothing from here on can be among the first. */
  #bound: T | undefined;

  constructor(count: number, compare: (a: T, b: T) => number) {
    this.#count = count;
    this.#compare = compare;
  }

  add(item: T): void {
    if (this.#bound !== undefined && this.#compare(item, this.#bound) >= 0) return;
    this.#kept.push(item);
    if (this.#kept.length >= 4 * this.#count + 64) this.#cut();
  }

  /** In order. */
  take(): readonly T[] {
    this.#cut();
    return this.#kept;
  }

  #cut(): void {
    this.#kept = this.#kept.toSorted(this.#compare).slice(0, this.#count);
    if (this.#kept.length === this.#count) this.#bound = this.#kept.at(-1);
  }
}
