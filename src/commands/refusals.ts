/** How one request after the other ended → whether the rest of them need not be sent. */
import type { Failure } from '../failure.ts';

/** A role may lack a permission in one division alone; so many in a row, in whatever order they stand, are no accident. */
const MOST_IN_A_ROW = 32;

export class Refusals {
  #inARow = 0;

  /** undefined: it was taken. True where the next one would be refused as well. */
  isForAll(failure: Failure | undefined): boolean {
    this.#inARow = failure?.code === 'forbidden' ? this.#inARow + 1 : 0;
    return failure?.code === 'misconfigured' || this.#inARow >= MOST_IN_A_ROW;
  }
}
