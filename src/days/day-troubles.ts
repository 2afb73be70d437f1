/** Days, one after the other, of which one may have something that Genesys cannot tell → the others all the same. */
import { Failure } from '../failure.ts';

const ODDLY_ANSWERED: ReadonlySet<string> = new Set([
  'bad-request',
  'not-found',
  'gone',
  'upstream-error',
  'upstream-unavailable',
  'upstream-timeout',
]);

/** What Genesys answers, or does not, may be because of this one day or conversation. */
export function isPerhapsItsOwn({ code }: Failure): boolean {
  return ODDLY_ANSWERED.has(code);
}

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
      if (!(thrown instanceof Failure) || !isPerhapsItsOwn(thrown) || this.#wasLastInTrouble) throw thrown;
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
