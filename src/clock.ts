/** Time as it passes: whoever has to wait for it takes it from here, so that a test can let it pass at once. */

export interface Clock {
  /** Milliseconds that only ever grow. */
  now(): number;
  /** Calls once `ms` have passed; disposing forgets it. Keeps no process alive. */
  after(ms: number, call: () => void): Disposable;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
