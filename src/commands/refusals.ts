/** How one request after the other ended → what that says of the others. */
import type { Failure } from '../failure.ts';

const OF_ONE: ReadonlySet<string> = new Set(['not-found', 'gone', 'forbidden', 'bad-request', 'upstream-error']);

/** Whether it says nothing of what else is asked for: it is gone, not shown, or answered oddly. */
export function isOfOne({ code }: Failure): boolean {
  return OF_ONE.has(code);
}

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
