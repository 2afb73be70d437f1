/** Lets any number of readers share one making of a recording's WebM: one download, one encoder. */
import { FLIGHTS } from '../bounds.ts';
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { Failure } from '../failure.ts';
import { release } from '../memory.ts';
import { unlessAborted } from '../waiting.ts';
import { FlightMemory, type Keeper } from './flight-memory.ts';
import { closing } from './look-ahead.ts';
import { Purpose } from './purpose.ts';
import { Turns } from './turns.ts';
import type { Webm } from './webm/webm.ts';

/** Thrown to a listener that fell further behind than a making keeps. */
export class Lagged extends Failure {
  constructor() {
    super('busy', 'The listener fell too far behind the others; ask again.');
  }
}

/** Made once: a signal without a reason makes one, with its stack, for each recording. */
const LEFT = new Failure('stopped', 'Nobody reads any more what was being made.');

export interface FlightOrder<T> {
  /** Readers with the same key share. */
  readonly key: string;
  readonly reader: 'archiving' | 'listening';
  readonly make: (purpose: Purpose, signal: AbortSignal) => Promise<T>;
}

export interface FlightsOptions {
  /** What all makings keep together. */
  readonly allBytes?: number;
  /** What one making keeps for late listeners, and ahead of slow ones. */
  readonly eachBytes?: number;
  /** Of that together: what a making has in its hands of its source while it reads. */
  readonly readingBytes?: number;
  readonly clock?: Clock;
}

export class Flights<T extends Webm> {
  readonly #flights = new Map<string, Flight<T>>();
  readonly #memory: FlightMemory;
  readonly #turns = new Turns();
  readonly #eachBytes: number;
  readonly #readingBytes: number;
  readonly #clock: Clock;

  constructor({
    allBytes = FLIGHTS.allBytes,
    eachBytes = FLIGHTS.eachBytes,
    readingBytes = FLIGHTS.readingBytes,
    clock = SYSTEM_CLOCK,
  }: FlightsOptions = {}) {
    this.#memory = new FlightMemory(allBytes);
    this.#eachBytes = eachBytes;
    this.#readingBytes = readingBytes;
    this.#clock = clock;
  }

  /** Held now by all makings: what is set aside for reading, and what they made. */
  get heldBytes(): number {
    return this.#memory.heldBytes;
  }

  /**
   * A view of the WebM being made for `order.key`, from its first cluster; `make` is called only when nobody makes it yet or
   * its beginning is no longer kept. The making stops when the last reader has left. The archive sets the pace and misses
   * nothing; where it does not read, the fastest listener does, and `Lagged` is thrown to those who fall behind.
   * The returned view must be read or its `clusters` returned; `signal` also leaves. A cluster is the reader's until it asks
   * for the next: then it may be empty (memory.ts).
   */
  async join(order: FlightOrder<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const flying = this.#flights.get(order.key);
    if (flying === undefined || !flying.isJoinable) return this.#begin(order).board(order.reader, signal);
    try {
      return await flying.board(order.reader, signal);
    } catch (error) {
      // What a listener was refused the archive may yet get.
      if (order.reader === 'listening' || flying.begunFor === 'archiving' || signal.aborted) throw error;
      return this.#begin(order).board(order.reader, signal);
    }
  }

  #begin(order: FlightOrder<T>): Flight<T> {
    const flight: Flight<T> = new Flight(order, {
      memory: this.#memory,
      turns: this.#turns,
      eachBytes: this.#eachBytes,
      readingBytes: this.#readingBytes,
      clock: this.#clock,
      ended: () => {
        if (this.#flights.get(order.key) === flight) this.#flights.delete(order.key);
      },
    });
    this.#flights.set(order.key, flight);
    return flight;
  }
}

interface FlightNeeds {
  readonly memory: FlightMemory;
  /** Of what only listeners wait for. */
  readonly turns: Turns;
  readonly eachBytes: number;
  readonly readingBytes: number;
  readonly clock: Clock;
  /** Nobody may join any more. */
  readonly ended: () => void;
}

interface KeptCluster {
  readonly bytes: Buffer;
  /** Readers that have it and did not ask for the next. */
  hands: number;
  /** It is counted for as long as somebody has it. */
  isDropped: boolean;
  /** Whoever left with it may still look at it. */
  isLeft: boolean;
}

interface FlightReader {
  readonly kind: 'archiving' | 'listening';
  /** Number of the cluster it reads next. */
  next: number;
  /** Of the clusters before that, but for the one in its hands. */
  doneBytes: number;
  /** In its hands: the last before `next`. */
  held: KeptCluster | undefined;
  /** It asked for a cluster that is not there yet. */
  waits: boolean;
}

type FlightPosition = Pick<FlightReader, 'doneBytes'>;

const NOBODY: FlightPosition = { doneBytes: 0 };

function slower<P extends FlightPosition>(a: P, b: P): P {
  return b.doneBytes < a.doneBytes ? b : a;
}

/** One making and its readers. */
class Flight<T extends Webm> implements Keeper {
  readonly begunFor: FlightReader['kind'];
  readonly #needs: FlightNeeds;
  readonly #purpose: Purpose;
  readonly #stop = new AbortController();
  readonly #webm: Promise<T>;
  readonly #readers = new Set<FlightReader>();
  /** Clusters from number `#first` on. */
  readonly #kept: KeptCluster[] = [];
  #first = 0;
  #isReading = false;
  /** Of all clusters made, and of those no longer kept. */
  #madeBytes = 0;
  #droppedBytes = 0;
  /** How long an encoder was kept waiting by its listeners. */
  #restedMs = 0;
  #wantsRoom = false;
  #end: { readonly failure: Failure | undefined } | undefined;
  /** Rings at whatever somebody may wait for. */
  #bell = Promise.withResolvers<void>();

  constructor({ reader, make }: FlightOrder<T>, needs: FlightNeeds) {
    this.begunFor = reader;
    this.#needs = needs;
    this.#purpose = new Purpose(reader);
    this.#needs.memory.add(this);
    this.#webm = this.#begin(make);
    void this.#run();
  }

  async #begin(make: FlightOrder<T>['make']): Promise<T> {
    await this.#turn();
    this.#stop.signal.throwIfAborted();
    this.#isReading = true;
    this.#needs.memory.take(this.#needs.readingBytes);
    return make(this.#purpose, this.#stop.signal);
  }

  /** The archive has every turn of the event loop. */
  async #turn(): Promise<void> {
    if (!this.#purpose.archiving) await this.#needs.turns.next();
  }

  /** Whether a new reader would still get everything from the first cluster. */
  get isJoinable(): boolean {
    const doomed = this.#stop.signal.aborted || this.#purpose.yielded.aborted;
    return this.#first === 0 && !doomed && this.#end?.failure === undefined;
  }

  async board(kind: FlightReader['kind'], signal: AbortSignal): Promise<T> {
    const reader: FlightReader = { kind, next: 0, doneBytes: 0, held: undefined, waits: false };
    this.#readers.add(reader);
    if (kind === 'archiving') this.#purpose.become(kind);
    const leave = (): void => {
      signal.removeEventListener('abort', leave);
      this.#leave(reader);
    };
    signal.addEventListener('abort', leave);
    try {
      const webm = await unlessAborted(this.#webm, signal);
      const clusters = closing(this.#read(reader, leave, signal), async () => leave());
      return { ...webm, clusters };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async *#read(reader: FlightReader, leave: () => void, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    try {
      for (;;) {
        signal.throwIfAborted();
        if (reader.next < this.#first) throw new Lagged();
        const cluster = this.#kept[reader.next - this.#first];
        if (cluster !== undefined) {
          this.#advance(reader, cluster);
          yield cluster.bytes;
          this.#handBack(reader, cluster);
        } else if (this.#end === undefined) {
          await this.#untilMore(reader, signal);
        } else {
          if (this.#end.failure !== undefined) throw this.#end.failure;
          return;
        }
      }
    } finally {
      leave();
    }
  }

  #advance(reader: FlightReader, cluster: KeptCluster): void {
    reader.next += 1;
    reader.held = cluster;
    cluster.hands += 1;
    reader.waits = false;
    if (this.#first > 0) this.dropSpare();
    this.#ring();
  }

  #handBack(reader: FlightReader, cluster: KeptCluster): void {
    if (reader.held === undefined) return;
    reader.held = undefined;
    reader.doneBytes += cluster.bytes.length;
    cluster.hands -= 1;
    this.#free(cluster);
  }

  async #untilMore(reader: FlightReader, signal: AbortSignal): Promise<void> {
    // Only once: otherwise two that wait would wake each other for ever.
    if (!reader.waits) this.#ring();
    reader.waits = true;
    await unlessAborted(this.#bell.promise, signal);
  }

  async #run(): Promise<void> {
    try {
      const webm = await this.#webm;
      for await (const cluster of webm.clusters) {
        this.#keep(cluster);
        await this.#untilWanted(webm);
        await this.#turn();
      }
      this.#finish(undefined);
    } catch (error) {
      this.#finish(Failure.from(error));
    }
  }

  async #untilWanted(webm: T): Promise<void> {
    while (!this.#isWanted(webm)) await this.#rest(webm);
  }

  /** An encoder that only listeners wait for rests for as long as what it made plays, all in all, and a little longer. */
  async #rest(webm: T): Promise<void> {
    const { clock } = this.#needs;
    const paced = webm.encoder !== undefined && !this.#purpose.archiving;
    const leftMs = webm.playsMs() + FLIGHTS.restMs - this.#restedMs;
    const since = clock.now();
    using _alarm = paced ? clock.after(leftMs, () => this.#stop.abort(listenerTooSlow())) : undefined;
    this.#wantsRoom = webm.encoder !== undefined || this.#purpose.archiving;
    await unlessAborted(this.#bell.promise, this.#stop.signal);
    this.#wantsRoom = false;
    if (paced) this.#restedMs += clock.now() - since;
  }

  /** The archive is never kept waiting; an encoder works ahead, so that it is free again soon; anything else is made as it is read. */
  #isWanted(webm: T): boolean {
    const { memory, eachBytes } = this.#needs;
    const end = this.#first + this.#kept.length;
    const waiting = [...this.#readers].filter(({ waits, next }) => waits && next === end);
    const mayWorkAhead = this.#madeBytes - this.#pace().doneBytes < eachBytes;
    if (!this.#purpose.archiving)
      return waiting.length > 0 || (webm.encoder !== undefined && mayWorkAhead && memory.hasRoom);
    const archiverWaits = waiting.some(({ kind }) => kind === 'archiving');
    return mayWorkAhead && (archiverWaits || (waiting.length > 0 && memory.hasRoom));
  }

  /** Whose unread clusters are never dropped: the slowest archiver, or else the fastest listener. */
  #pace(): FlightPosition {
    const archivers = [...this.#readers].filter(({ kind }) => kind === 'archiving');
    if (archivers.length > 0) return archivers.reduce(slower);
    return [...this.#readers].reduce<FlightPosition>((a, b) => (b.doneBytes > a.doneBytes ? b : a), NOBODY);
  }

  #slowest(): FlightPosition {
    return (
      [...this.#readers].reduce<FlightPosition | undefined>(
        (a, b) => (a === undefined ? b : slower(a, b)),
        undefined,
      ) ?? NOBODY
    );
  }

  #keep(cluster: Buffer): void {
    const { memory, eachBytes } = this.#needs;
    this.#kept.push({ bytes: cluster, hands: 0, isDropped: false, isLeft: false });
    this.#madeBytes += cluster.length;
    memory.take(cluster.length);
    const isTooMuch = (): boolean => this.#madeBytes - this.#droppedBytes > eachBytes || memory.isOver;
    while (this.#droppedBytes < this.#pace().doneBytes && isTooMuch()) this.#dropFirst();
    if (this.#first > 0) this.dropSpare();
    this.#ring();
  }

  get spareBytes(): number {
    return Math.max(0, this.#slowest().doneBytes - this.#droppedBytes);
  }

  /** No longer joined by late listeners, it need not keep what all others have had. */
  dropSpare(): void {
    while (this.spareBytes > 0) this.#dropFirst();
  }

  onRoom(): void {
    if (this.#wantsRoom) this.#ring();
  }

  #dropFirst(): void {
    const cluster = this.#kept.shift();
    if (cluster === undefined) return;
    this.#first += 1;
    this.#droppedBytes += cluster.bytes.length;
    cluster.isDropped = true;
    this.#free(cluster);
  }

  /** Once it is neither kept nor in anybody's hands. */
  #free({ bytes, hands, isDropped, isLeft }: KeptCluster): void {
    if (!isDropped || hands > 0) return;
    this.#needs.memory.give(bytes.length);
    if (!isLeft) release(bytes);
  }

  #leave(reader: FlightReader): void {
    if (!this.#readers.delete(reader)) return;
    if (reader.held !== undefined) {
      reader.held.isLeft = true;
      this.#handBack(reader, reader.held);
    }
    if (![...this.#readers].some(({ kind }) => kind === 'archiving')) this.#purpose.become('listening');
    if (this.#readers.size > 0) return this.#ring();
    this.#needs.memory.remove(this);
    while (this.#kept.length > 0) this.#dropFirst();
    this.#endReading();
    this.#stop.abort(LEFT);
    this.#needs.ended();
  }

  #endReading(): void {
    if (this.#isReading) this.#needs.memory.give(this.#needs.readingBytes);
    this.#isReading = false;
  }

  #finish(failure: Failure | undefined): void {
    this.#end = { failure };
    this.#endReading();
    if (failure !== undefined) this.#needs.ended();
    this.#ring();
  }

  #ring(): void {
    this.#bell.resolve();
    this.#bell = Promise.withResolvers();
  }
}

function listenerTooSlow(): Failure {
  const text =
    'The recording was taken more slowly than it plays, while others wait for its encoder; ask again once it is archived.';
  return new Failure('busy', text);
}
