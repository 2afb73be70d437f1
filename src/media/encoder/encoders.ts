/** Starts encoders, some of them before they are needed: ffmpeg takes longer to start than a listener should wait. */
import { type Encoder, type EncoderOrder, type EncoderProcess, startEncoder } from './process.ts';

/** Nobody has listened for so long: the memory of what waits is given back. */
const IDLE_MS = 300_000;

interface Spare {
  readonly started: Promise<EncoderProcess | undefined>;
  readonly timer: NodeJS.Timeout;
}

/** At most `slots` processes at any time, those that wait for work included; one waits for each kind of media listened to. */
export class Encoders {
  readonly #encoder: Encoder;
  readonly #slots: number;
  readonly #idleMs: number;
  readonly #spares = new Map<string, Spare>();
  readonly #running = new Set<Promise<EncoderProcess>>();
  #closed = false;

  constructor(encoder: Encoder, slots: number, idleMs = IDLE_MS) {
    this.#encoder = encoder;
    this.#slots = slots;
    this.#idleMs = idleMs;
  }

  /** Where somebody listens, the next one with the same arguments is started ahead. @throws Failure `misconfigured`, `busy` */
  async start(order: EncoderOrder): Promise<EncoderProcess> {
    const soon = order.listened === true;
    const key = orderKey(order);
    const starting = this.#take(key).then((spare) => spare ?? this.#startAnew(order));
    this.#running.add(starting);
    try {
      const child = await starting;
      void child.ended.then(() => {
        this.#running.delete(starting);
        if (soon) this.#startAhead(key, order);
      });
      // Not before this one has answered: a start holds everybody up for 3 to 5 ms.
      if (soon) child.output.once('readable', () => this.#startAhead(key, order));
      return child;
    } catch (error) {
      this.#running.delete(starting);
      throw error;
    }
  }

  /** Kills all there are, waits until they are gone, and starts none ahead any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#spares.keys()].map((key) => this.#discard(key)));
    await Promise.all([...this.#running].map(endOnceStarted));
  }

  /** The one that waits, once it has started; undefined where there is none or it did not start. */
  async #take(key: string): Promise<EncoderProcess | undefined> {
    const spare = this.#spares.get(key);
    if (spare === undefined) return undefined;
    this.#spares.delete(key);
    clearTimeout(spare.timer);
    return spare.started;
  }

  /** Work goes first: what waits with other arguments gives way, and is gone before this one begins. */
  async #startAnew(order: EncoderOrder): Promise<EncoderProcess> {
    while (this.#count > this.#slots) {
      const [oldest] = this.#spares.keys();
      if (oldest === undefined) break;
      await this.#discard(oldest);
    }
    return startEncoder(this.#encoder, order);
  }

  #startAhead(key: string, order: EncoderOrder): void {
    if (this.#closed || this.#spares.has(key) || this.#count >= this.#slots) return;
    const forget = (): void => {
      clearTimeout(spare.timer);
      if (this.#spares.get(key) === spare) this.#spares.delete(key);
    };
    const spare: Spare = {
      // Why it does not start is told to the next one that is needed.
      started: startEncoder(this.#encoder, order).catch(() => undefined),
      timer: setTimeout(() => void this.#discard(key), this.#idleMs).unref(),
    };
    this.#spares.set(key, spare);
    void spare.started.then((child) => (child === undefined ? forget() : void child.exited.then(forget)));
  }

  get #count(): number {
    return this.#running.size + this.#spares.size;
  }

  async #discard(key: string): Promise<void> {
    await endOnceStarted(this.#take(key));
  }
}

/** A killed process is still there until it has had its turn. */
async function endOnceStarted(started: Promise<EncoderProcess | undefined>): Promise<void> {
  const child = await started.catch(() => undefined);
  child?.kill();
  await child?.ended;
}

function orderKey(order: EncoderOrder): string {
  return JSON.stringify([order.args, order.limits, order.inputs]);
}
