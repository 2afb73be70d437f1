/** A clock that stands still until a test moves it. */
import type { Clock } from '../../src/clock.ts';

interface Alarm {
  readonly at: number;
  readonly call: () => void;
}

export class FakeClock implements Clock {
  readonly #alarms = new Set<Alarm>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  after(ms: number, call: () => void): Disposable {
    const alarm = { at: this.#now + ms, call };
    this.#alarms.add(alarm);
    return { [Symbol.dispose]: () => this.#alarms.delete(alarm) };
  }

  /** How many wait for a moment to come. */
  get alarms(): number {
    return this.#alarms.size;
  }

  /** Calls whatever is due by then, in order. */
  advance(ms: number): void {
    this.#now += ms;
    const due = [...this.#alarms].filter(({ at }) => at <= this.#now).toSorted((a, b) => a.at - b.at);
    for (const alarm of due) if (this.#alarms.delete(alarm)) alarm.call();
  }
}
