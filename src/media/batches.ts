/** Turns chunks of bytes into batches of what a parser finds in them, after its head was read. */

/** A parser that is given its input in pieces. Both methods throw a Failure for input that is damaged or ends too early. */
export interface Parser<T> {
  push(chunk: Buffer): readonly T[];
  end(): readonly T[];
}

/**
 * Reads until `ready`, then hands over the rest, what was found on the way included. One batch per chunk at most, none empty.
 * The source is closed when the parser fails, when it ends and when the returned iterator is left.
 */
export async function openBatches<T>(
  bytes: AsyncIterable<Buffer>,
  parser: Parser<T>,
  ready: () => boolean,
): Promise<AsyncIterableIterator<readonly T[]>> {
  const batches = new Batches(bytes[Symbol.asyncIterator](), parser);
  while (!ready() && (await batches.read()));
  return batches;
}

class Batches<T> implements AsyncIterableIterator<readonly T[]> {
  readonly #source: AsyncIterator<Buffer>;
  readonly #parser: Parser<T>;
  #found: T[] = [];
  #ended = false;

  constructor(source: AsyncIterator<Buffer>, parser: Parser<T>) {
    this.#source = source;
    this.#parser = parser;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** One more chunk through the parser; false once there is no more. */
  async read(): Promise<boolean> {
    if (this.#ended) return false;
    const step = await this.#source.next();
    if (step.done === true) {
      this.#ended = true;
      this.#keep(this.#parser.end());
      return false;
    }
    try {
      this.#keep(this.#parser.push(step.value));
      return true;
    } catch (error) {
      await this.return();
      throw error;
    }
  }

  async next(): Promise<IteratorResult<readonly T[]>> {
    while (this.#found.length === 0 && (await this.read()));
    if (this.#found.length === 0) return { done: true, value: undefined };
    const value = this.#found;
    this.#found = [];
    return { done: false, value };
  }

  async return(): Promise<IteratorResult<readonly T[]>> {
    const wasEnded = this.#ended;
    this.#ended = true;
    this.#found = [];
    if (!wasEnded) await this.#source.return?.();
    return { done: true, value: undefined };
  }

  #keep(found: readonly T[]): void {
    if (this.#found.length === 0) this.#found = [...found];
    else for (const item of found) this.#found.push(item);
  }
}
