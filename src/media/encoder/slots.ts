/** Turns a number of encoders into permissions to run one: first come, first served, and a bounded queue. */
import { Failure } from '../../failure.ts';

export interface Slots {
  readonly running: number;
  readonly waiting: number;
  /**
   * Waits for its turn; disposing gives the slot to the next, once. `bounded`: not if `maxWaiting` already wait.
   * @throws Failure `busy` with `afterMs`; the signal's reason as `stopped`
   */
  acquire(options: { readonly bounded: boolean }, signal: AbortSignal): Promise<Disposable>;
}

/** What a refused listener is told to wait: about what a short call takes to convert. */
const BUSY_MS = 5000;

export function createSlots(slots: number, maxWaiting: number): Slots {
  const waiting = new Set<() => void>();
  let running = 0;

  /** A slot that becomes free goes to the one that waits longest, without being free in between. */
  function release(): void {
    const [next] = waiting;
    if (next === undefined) {
      running -= 1;
      return;
    }
    waiting.delete(next);
    next();
  }

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = (): void => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        waiting.delete(take);
        reject(stopped(signal));
      };
      waiting.add(take);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  return {
    get running() {
      return running;
    },
    get waiting() {
      return waiting.size;
    },
    async acquire({ bounded }, signal) {
      if (signal.aborted) throw stopped(signal);
      if (running < slots) running += 1;
      else if (bounded && waiting.size >= maxWaiting) {
        throw new Failure('busy', 'All encoders are busy; try again in a few seconds.', { afterMs: BUSY_MS });
      } else await turn(signal);
      return once(release);
    },
  };
}

function once(release: () => void): Disposable {
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held) release();
      held = false;
    },
  };
}

function stopped(signal: AbortSignal): Failure {
  const reason: unknown = signal.reason;
  if (reason instanceof Failure) return reason;
  return new Failure('stopped', 'The work was stopped while it waited for an encoder.', { cause: reason });
}
