/** Starts encoders, some of them before they are needed: ffmpeg takes longer to start than a listener should wait. */
import { type Encoder, type EncoderOrder, type EncoderProcess, startEncoder } from './process.ts';

export interface Encoders {
  /** Where somebody listens, the next one with the same arguments is started ahead. @throws Failure `misconfigured`, `busy` */
  start(order: EncoderOrder): Promise<EncoderProcess>;
  /** Kills all there are, waits until they are gone, and starts none ahead any more. */
  close(): Promise<void>;
}

/** Nobody has listened for so long: the memory of what waits is given back. */
const IDLE_MS = 300_000;

/** At most `slots` processes at any time, those that wait for work included; one waits for each kind of media listened to. */
export function createEncoders(encoder: Encoder, slots: number, idleMs = IDLE_MS): Encoders {
  const spares = new Map<string, Spare>();
  const running = new Set<Promise<EncoderProcess>>();
  let closed = false;

  async function start(order: EncoderOrder): Promise<EncoderProcess> {
    const soon = order.listened === true;
    const key = orderKey(order);
    const starting = take(key).then((spare) => spare ?? startAnew(order));
    running.add(starting);
    try {
      const child = await starting;
      void child.ended.then(() => {
        running.delete(starting);
        if (soon) startAhead(key, order);
      });
      // Not before this one has answered: a start holds everybody up for 3 to 5 ms.
      if (soon) child.output.once('readable', () => startAhead(key, order));
      return child;
    } catch (error) {
      running.delete(starting);
      throw error;
    }
  }

  /** The one that waits, once it has started; undefined where there is none or it did not start. */
  async function take(key: string): Promise<EncoderProcess | undefined> {
    const spare = spares.get(key);
    if (spare === undefined) return undefined;
    spares.delete(key);
    clearTimeout(spare.timer);
    return spare.started;
  }

  /** Work goes first: what waits with other arguments gives way, and is gone before this one begins. */
  async function startAnew(order: EncoderOrder): Promise<EncoderProcess> {
    while (running.size + spares.size > slots) {
      const [oldest] = spares.keys();
      if (oldest === undefined) break;
      await discard(oldest);
    }
    return startEncoder(encoder, order);
  }

  function startAhead(key: string, order: EncoderOrder): void {
    if (closed || spares.has(key) || running.size + spares.size >= slots) return;
    const forget = (): void => {
      clearTimeout(spare.timer);
      if (spares.get(key) === spare) spares.delete(key);
    };
    const spare: Spare = {
      // Who needs one will hear why none starts.
      started: startEncoder(encoder, order).catch(() => undefined),
      timer: setTimeout(() => void discard(key), idleMs).unref(),
    };
    spares.set(key, spare);
    void spare.started.then((child) => (child === undefined ? forget() : void child.exited.then(forget)));
  }

  async function discard(key: string): Promise<void> {
    await end(take(key));
  }

  /** A killed process is still there until it has had its turn. */
  async function end(started: Promise<EncoderProcess | undefined>): Promise<void> {
    const child = await started.catch(() => undefined);
    child?.kill();
    await child?.ended;
  }

  return {
    start,
    async close() {
      closed = true;
      await Promise.all([...spares.keys()].map(discard));
      await Promise.all([...running].map(end));
    },
  };
}

interface Spare {
  readonly started: Promise<EncoderProcess | undefined>;
  readonly timer: NodeJS.Timeout;
}

function orderKey(order: EncoderOrder): string {
  return JSON.stringify([order.args, order.limits, order.inputs]);
}
