/** Things of many days, in any order → per day a sum that is equal for equal sets, so that days are compared in the memory of a few figures each. */
import { createHash } from 'node:crypto';

/** How many there were, and the sum of their hashes modulo 2^128: whoever cannot choose the hashes cannot make two sets equal. */
export interface SetSum {
  readonly count: number;
  readonly sum: bigint;
}

const NOTHING: SetSum = { count: 0, sum: 0n };

export class DaySums {
  readonly #days = new Map<string, SetSum>();

  add(day: string, text: string): void {
    const { count, sum } = this.of(day);
    this.#days.set(day, { count: count + 1, sum: BigInt.asUintN(128, sum + hashNumber(text)) });
  }

  of(day: string): SetSum {
    return this.#days.get(day) ?? NOTHING;
  }

  days(): readonly string[] {
    return [...this.#days.keys()].toSorted();
  }
}

export function isSameSet(a: SetSum, b: SetSum): boolean {
  return a.count === b.count && a.sum === b.sum;
}

function hashNumber(text: string): bigint {
  const hash = createHash('sha256').update(text).digest();
  return (hash.readBigUInt64BE(0) << 64n) | hash.readBigUInt64BE(8);
}
