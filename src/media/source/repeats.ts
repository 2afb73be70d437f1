/** Pictures of a source, as they pass → since when there were so few that all of them may be repeats, which an encoder leaves out. */

/** So many in a row at most: of duplicates every ninth is kept. */
export const MOST_REPEATS = 8;

/** Those, and the one before them: no earlier ones have to be told of. */
export const LATEST_PICTURES = MOST_REPEATS + 1;

/** When the latest pictures begin, and the one before them; in any unit of time. They come in the order of decoding. */
export class LatestPictures {
  readonly #starts: number[] = [];
  #next = 0;

  begin(start: number): void {
    this.#starts[this.#next] = start;
    this.#next = (this.#next + 1) % LATEST_PICTURES;
  }

  /** The same for a run of them, each as long as the others. */
  beginAll(start: number, count: number, each: number): void {
    for (let index = Math.max(0, count - LATEST_PICTURES); index < count; index += 1) this.begin(start + index * each);
  }

  /** One that begins here is shown, or was itself left out and the one before it shown; undefined before there was any. */
  get since(): number | undefined {
    return this.#starts.length === 0 ? undefined : Math.min(...this.#starts);
  }
}
