/** Days, one after the other, of which one may have something that Genesys cannot tell → the others all the same. */
import { Failure } from '../failure.ts';

/** What Genesys answers, or does not, may be because of this day alone. */
const PERHAPS_OF_THIS_DAY: ReadonlySet<string> = new Set([
  'bad-request',
  'upstream-error',
  'upstream-unavailable',
  'upstream-timeout',
]);

export class DayTroubles {
  readonly #onTrouble: (day: string, because: Failure) => void;
  #first: Failure | undefined;
  #wasLastInTrouble = false;

  constructor(onTrouble: (day: string, because: Failure) => void) {
    this.#onTrouble = onTrouble;
  }

  /** What was stopped ends well. @throws what two days in a row end with, or no day can be to blame for */
  async around(day: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work();
      this.#wasLastInTrouble = false;
    } catch (thrown) {
      if (signal.aborted) return;
      if (!(thrown instanceof Failure) || !PERHAPS_OF_THIS_DAY.has(thrown.code) || this.#wasLastInTrouble) throw thrown;
      this.#first ??= thrown;
      this.#wasLastInTrouble = true;
      this.#onTrouble(day, thrown);
    }
  }

  /** What the first day ended with that was passed over. */
  get first(): Failure | undefined {
    return this.#first;
  }
}
