/** Makings that only listeners wait for → one of them at a time is let on, each in a turn of the event loop of its own: what is archived waits for one, however many listen. */
import { setImmediate } from 'node:timers/promises';

export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves in the turn after that of whoever asked before. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => setImmediate());
    return this.#last;
  }
}
