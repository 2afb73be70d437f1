/** Turns "Genesys does not know this recording" into a short memory, so that asking for it again costs no call. */
import type { Failure } from '../failure.ts';
import { keyOf, type Recording } from '../recording.ts';

const REMEMBERED_MS = 30_000;
const MAX_REMEMBERED = 1_000;

export class Absences {
  readonly #known = new Map<string, { readonly failure: Failure; readonly until: number }>();

  note(recording: Recording, failure: Failure): void {
    const key = keyOf(recording);
    this.#known.delete(key);
    this.#known.set(key, { failure, until: performance.now() + REMEMBERED_MS });
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
