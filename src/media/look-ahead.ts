/** The bytes of a source: a beginning that may be looked at first, then everything once. */
import { Backlog } from './backlog.ts';

export class LookAhead {
  readonly #source: AsyncIterator<Buffer>;
  readonly #backlog = new Backlog();
  #ended = false;

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  /** Up to `length` bytes at `offset`, fewer only where the source ends before. Only before {@link all}. */
  async peek(offset: number, length: number): Promise<Buffer> {
    while (!this.#ended && this.#backlog.length < offset + length) await this.#more();
    return this.#backlog.bytes().subarray(offset, offset + length);
  }

  /** All there is, where the source ends within so many bytes. Only before {@link all}. */
  async whole(withinBytes: number): Promise<Buffer | undefined> {
    await this.peek(0, withinBytes + 1);
    return this.#ended ? this.#backlog.bytes() : undefined;
  }

  async #more(): Promise<void> {
    const step = await this.#source.next();
    if (step.done === true) this.#ended = true;
    else this.#backlog.add(step.value);
  }

  /** From the first byte to the last; leaving it closes the source. */
  all(): AsyncIterableIterator<Buffer> {
    return closing(this.#all(), () => this.close());
  }

  async *#all(): AsyncGenerator<Buffer, void, void> {
    if (this.#backlog.length > 0) {
      const begun = this.#backlog.bytes();
      this.#backlog.consume(begun.length);
      yield begun;
    }
    while (!this.#ended) {
      const step = await this.#source.next();
      if (step.done === true) this.#ended = true;
      else yield step.value;
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

/** What `values` gives; `close` is called at its end and when it is left, also before the first value, where a generator's `finally` never runs. */
export function closing<T>(
  values: AsyncGenerator<T, void, void>,
  close: () => Promise<void>,
): AsyncIterableIterator<T> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const step = await values.next();
      if (step.done === true) await close();
      return step;
    },
    async return() {
      await Promise.all([values.return(), close()]);
      return { done: true, value: undefined };
    },
  };
}
