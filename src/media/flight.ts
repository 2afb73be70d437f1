/** Lets any number of readers share one making of a recording's WebM: one download, one encoder. */
import { Failure } from '../failure.ts';
import { release } from '../memory.ts';
import type { Webm } from './webm/webm.ts';

export interface Flights<T extends Webm> {
  /**
   * A view of the WebM being made for `key`, from its first cluster; `make` is called only when nobody makes it yet or
   * what is already made no longer fits into `keepBytes`. The making stops when the last reader has left.
   * The returned view must be read or its `clusters` returned; `signal` also leaves. A cluster is the reader's until it asks
   * for the next: then it may be empty (memory.ts).
   */
  join(key: string, make: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** Thrown to a reader that fell further behind the fastest one than a making keeps. */
export class Lagged extends Failure {
  constructor() {
    super('busy', 'The listener fell too far behind the others; ask again.');
  }
}

/** `keepBytes` bounds what one making keeps for late and slow readers. The fastest reader sets the pace and nobody holds it up. */
export function createFlights<T extends Webm>(keepBytes: number): Flights<T> {
  const flights = new Map<string, Flight<T>>();
  return {
    async join(key, make, signal) {
      signal.throwIfAborted();
      let flight = flights.get(key);
      if (flight === undefined || !flight.joinable) {
        flight = new Flight(make, keepBytes, () => {
          if (flights.get(key) === flight) flights.delete(key);
        });
        flights.set(key, flight);
      }
      return flight.board(signal);
    },
  };
}

/** One making and its readers. */
class Flight<T extends Webm> {
  readonly #stop = new AbortController();
  readonly #webm: Promise<T>;
  readonly #keepBytes: number;
  readonly #ended: () => void;
  readonly #readers = new Set<Reader>();
  /** Clusters from number `#first` on. */
  #kept: Buffer[] = [];
  #first = 0;
  #keptBytes = 0;
  #iterator: AsyncIterator<Buffer> | undefined;
  #pulling: Promise<void> | undefined;
  #end: { readonly failure: Failure | undefined } | undefined;

  constructor(make: (signal: AbortSignal) => Promise<T>, keepBytes: number, ended: () => void) {
    this.#keepBytes = keepBytes;
    this.#ended = ended;
    this.#webm = make(this.#stop.signal);
    // Every reader sees it; the flight must not be joined any more.
    this.#webm.catch((error: unknown) => this.#finish(Failure.from(error)));
  }

  /** Whether a new reader would still get everything from the first cluster. */
  get joinable(): boolean {
    return this.#first === 0 && !this.#stop.signal.aborted && this.#end?.failure === undefined;
  }

  async board(signal: AbortSignal): Promise<T> {
    const reader: Reader = { next: 0 };
    this.#readers.add(reader);
    const leave = (): void => this.#leave(reader);
    signal.addEventListener('abort', leave, { once: true });
    try {
      const webm = await unlessAborted(this.#webm, signal);
      return { ...webm, clusters: this.#read(reader, signal) };
    } catch (error) {
      signal.removeEventListener('abort', leave);
      leave();
      throw error;
    }
  }

  async *#read(reader: Reader, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    try {
      for (;;) {
        signal.throwIfAborted();
        if (reader.next < this.#first) throw new Lagged();
        const cluster = this.#kept[reader.next - this.#first];
        if (cluster !== undefined) {
          reader.next += 1;
          yield cluster;
        } else if (this.#end !== undefined) {
          if (this.#end.failure !== undefined) throw this.#end.failure;
          reader.next = Infinity;
          return;
        } else {
          this.#pulling ??= this.#pull().finally(() => (this.#pulling = undefined));
          await unlessAborted(this.#pulling, signal);
        }
      }
    } finally {
      this.#leave(reader);
    }
  }

  async #pull(): Promise<void> {
    try {
      this.#iterator ??= (await this.#webm).clusters[Symbol.asyncIterator]();
      const step = await this.#iterator.next();
      if (step.done === true) return this.#finish(undefined);
      this.#kept.push(step.value);
      this.#keptBytes += step.value.length;
      this.#drop();
    } catch (error) {
      this.#finish(Failure.from(error));
    }
  }

  /** Within the bound everything is kept for late readers; beyond it only what the fastest has yet to read, and the bound. */
  #drop(): void {
    while (this.#keptBytes > this.#keepBytes && this.#kept.length > 1) {
      const cluster = this.#kept.shift();
      if (cluster === undefined) return;
      this.#first += 1;
      this.#keptBytes -= cluster.length;
      if (![...this.#readers].some(({ next }) => next === this.#first)) release(cluster);
    }
  }

  #leave(reader: Reader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0) return;
    // Whoever leaves early may still hold one.
    if (reader.next === Infinity) for (const cluster of this.#kept.splice(0)) release(cluster);
    this.#stop.abort();
    this.#ended();
    void this.#iterator?.return?.().catch(() => undefined);
  }

  #finish(failure: Failure | undefined): void {
    this.#end = { failure };
    if (failure !== undefined) this.#ended();
  }
}

interface Reader {
  /** Number of the cluster it reads next: the one before is in its hands. Infinite when it has read them all. */
  next: number;
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
