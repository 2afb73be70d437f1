/** What Genesys does not know → a short memory, so that asking for it again costs no call. */
import { CALLS } from '../bounds.ts';
import type { Failure } from '../failure.ts';
import { keyOf, type Recording } from '../recording.ts';

const MAX_REMEMBERED = 1_000;

export class Absences {
  readonly #known = new Map<string, { readonly failure: Failure; readonly until: number }>();

  note(recording: Recording, failure: Failure): void {
    const key = keyOf(recording);
    this.#known.delete(key);
    this.#known.set(key, { failure, until: performance.now() + CALLS.absentMs });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
  }

  forget(recording: Recording): void {
    this.#known.delete(keyOf(recording));
  }

  /** @throws the failure of half a minute ago at most */
  check(recording: Recording): void {
    const absence = this.#known.get(keyOf(recording));
    if (absence === undefined) return;
    if (performance.now() < absence.until) throw absence.failure;
    this.forget(recording);
  }
}
