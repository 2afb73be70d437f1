/** Stillness that lasts too long → a call. */

export class Watchdog {
  readonly #timer: NodeJS.Timeout;

  /** After `stallMs` without {@link touch}, calls `bark` if `isStuck` says that somebody is to blame; else waits on. */
  constructor(stallMs: number, isStuck: () => boolean, bark: () => void) {
    this.#timer = setTimeout(() => {
      if (isStuck()) bark();
      else this.#timer.refresh();
    }, stallMs);
  }

  /** Something moved, or somebody else is now to blame. */
  touch(): void {
    this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
