/** Lets any number of readers share one making of a recording's WebM: one download, one encoder. */
import { createHash } from 'node:crypto';
import { Failure } from '../failure.ts';
import { release } from '../memory.ts';
import { unlessAborted } from '../waiting.ts';
import type { Webm } from './webm/webm.ts';

/** WebM on its way to a listener. Its `body` must be read or its iterator returned, or the signal aborted. */
export interface LiveWebm {
  readonly contentType: string;
  readonly body: AsyncIterable<Buffer>;
}

/** Thrown to a reader that fell further behind the fastest one than a making keeps. */
export class Lagged extends Failure {
  constructor() {
    super('busy', 'The listener fell too far behind the others; ask again.');
  }
}

type Make<T> = (signal: AbortSignal) => Promise<T>;

/** The fastest reader sets the pace and nobody holds it up. */
export class Flights<T extends Webm> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #keepBytes: number;

  /** `keepBytes` bounds what one making keeps for late and slow readers. */
  constructor(keepBytes: number) {
    this.#keepBytes = keepBytes;
  }

  /**
   * A view of the WebM being made for `key`, from its first cluster; `make` is called only when nobody makes it yet or
   * what is already made no longer fits into `keepBytes`. The making stops when the last reader has left.
   * The returned view must be read or its `clusters` returned; `signal` also leaves. A cluster is the reader's until it asks
   * for the next: then it may be empty (memory.ts).
   */
  async join(key: string, make: Make<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    let flight = this.#flights.get(key);
    if (flight === undefined || !flight.joinable) {
      flight = new Flight(make, this.#keepBytes, () => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
      });
      this.#flights.set(key, flight);
    }
    return flight.board(signal);
  }

  /**
   * The same as a live stream. Resolves with its first bytes, head and first Cluster: only then is it certain that there is
   * something to play. A listener left behind by faster ones goes on with a making of its own, proven to begin with the
   * same bytes.
   */
  async listen(key: string, make: Make<T>, signal: AbortSignal): Promise<LiveWebm> {
    const webm = await this.join(key, make, signal);
    const body = follow(webm, () => make(signal));
    const first = await body.next();
    return { contentType: webm.contentType, body: beginningWith(first, body) };
  }
}

async function* follow(webm: Webm, again: () => Promise<Webm>): AsyncGenerator<Buffer, void, void> {
  const heard = createHash('sha256');
  let heardBytes = 0;
  try {
    for await (const cluster of webm.clusters) {
      // A copy: a listener may still hold one when it asks for the next.
      yield Buffer.concat(heardBytes === 0 ? [webm.liveHead, cluster] : [cluster]);
      heard.update(cluster);
      heardBytes += cluster.length;
    }
  } catch (error) {
    if (!(error instanceof Lagged)) throw error;
    const own = await again();
    if (heardBytes === 0) yield* follow(own, again);
    else yield* after(own.clusters, heardBytes, heard.digest('hex'));
  }
}

/** What comes after the first `sizeBytes`, once those have proven to be the same as before. */
async function* after(
  clusters: AsyncIterable<Buffer>,
  sizeBytes: number,
  sha256: string,
): AsyncGenerator<Buffer, void, void> {
  const hash = createHash('sha256');
  let skipped = 0;
  for await (const cluster of clusters) {
    if (skipped === sizeBytes) {
      yield cluster;
      continue;
    }
    hash.update(cluster);
    skipped += cluster.length;
    if (skipped > sizeBytes || (skipped === sizeBytes && hash.digest('hex') !== sha256)) throw new Lagged();
  }
  // Shorter than what was heard: not the same, whatever its own completeness says.
  if (skipped < sizeBytes) throw new Lagged();
}

async function* beginningWith(
  first: IteratorResult<Buffer, void>,
  rest: AsyncGenerator<Buffer, void, void>,
): AsyncGenerator<Buffer, void, void> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
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
