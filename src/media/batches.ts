/** Chunks of bytes → batches of what a parser finds in them, after its head was read. */
import { setImmediate } from 'node:timers/promises';
import { release } from '../memory.ts';

/** Some seconds of sound: what is found in so much is gone before the garbage collector has to move it. */
const SLICE_BYTES = 16 * 1024;

/** The longest that requests wait for the bytes of one recording to be parsed. */
const TURN_MS = 3;

/** A parser that is given its input in pieces. Both methods throw a Failure for input that is damaged or ends too early. */
export interface Parser<T> {
  /** The chunk is given up afterwards: what is found in it is a copy. */
  push(chunk: Buffer): readonly T[];
  end(): readonly T[];
}

/**
 * Reads until `ready`, then hands over the rest, what was found on the way included. One batch per slice of a chunk at most, none empty.
 * The chunks are given up. The source is closed when the parser fails, when it ends and when the returned iterator is left.
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

/**
 * What `make` makes of each batch, one by one as they are asked for; an error of the batches is thrown as `failed` has it. No
 * generator: one that waits for its reader keeps what it handed on last, as thousands of objects that outlive what V8 takes for
 * young. The source is closed when `make` fails and when the returned iterator is left.
 */
export function eachBatch<T, R>(
  batches: AsyncIterator<T>,
  make: (batch: T) => R,
  failed: (error: unknown) => unknown = (error) => error,
): AsyncIterableIterator<R> {
  const close = async (): Promise<IteratorResult<R>> => {
    await batches.return?.();
    return { done: true, value: undefined };
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const step = await batches.next().catch((error: unknown) => Promise.reject(failed(error)));
      if (step.done === true) return { done: true, value: undefined };
      try {
        return { done: false, value: make(step.value) };
      } catch (error) {
        await close();
        throw error;
      }
    },
    return: close,
  };
}

const NOTHING: Buffer = Buffer.alloc(0);

class Batches<T> implements AsyncIterableIterator<readonly T[]> {
  readonly #source: AsyncIterator<Buffer>;
  readonly #parser: Parser<T>;
  #found: readonly T[] = [];
  #ended = false;
  /** The chunk that is being handed on, and how far it was. */
  #chunk = NOTHING;
  #at = 0;
  #turnedMs = performance.now();

  constructor(source: AsyncIterator<Buffer>, parser: Parser<T>) {
    this.#source = source;
    this.#parser = parser;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** One more slice through the parser; false once there is no more. */
  async read(): Promise<boolean> {
    if (performance.now() - this.#turnedMs > TURN_MS) await this.#giveWay();
    if (this.#ended) return false;
    if (this.#chunk.length === 0) {
      const step = await this.#source.next();
      if (step.done === true) {
        this.#ended = true;
        this.#keep(this.#parser.end());
        return false;
      }
      this.#chunk = step.value;
    }
    try {
      this.#parseSlice();
      return true;
    } catch (error) {
      await this.return();
      throw error;
    }
  }

  #parseSlice(): void {
    const slice = this.#chunk.subarray(this.#at, this.#at + SLICE_BYTES);
    this.#keep(this.#parser.push(slice));
    this.#at += slice.length;
    if (this.#at === this.#chunk.length) this.#leaveChunk();
  }

  #leaveChunk(): void {
    release(this.#chunk);
    this.#chunk = NOTHING;
    this.#at = 0;
  }

  /** Lets everything else that waits run first. */
  async #giveWay(): Promise<void> {
    await setImmediate();
    this.#turnedMs = performance.now();
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
    this.#leaveChunk();
    if (!wasEnded) await this.#source.return?.();
    return { done: true, value: undefined };
  }

  #keep(found: readonly T[]): void {
    this.#found = this.#found.length === 0 ? found : [...this.#found, ...found];
  }
}
