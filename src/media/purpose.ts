/** For whom a WebM is made: what the archive waits for goes first, whoever asked first. It changes as readers join and leave. */
import { ENCODERS } from '../bounds.ts';
import { Failure } from '../failure.ts';

export class Purpose {
  readonly #told = new Set<() => void>();
  readonly #yielding = new AbortController();
  #archiving: boolean;
  #givesWay = false;

  constructor(purpose: 'archiving' | 'listening') {
    this.#archiving = purpose === 'archiving';
  }

  get archiving(): boolean {
    return this.#archiving;
  }

  /** Archived because somebody looked for it, not because it is new: whatever is new goes first, and takes its encoder. */
  get givesWay(): boolean {
    return this.#archiving && this.#givesWay;
  }

  giveWay(): void {
    this.#givesWay = true;
  }

  become(purpose: 'archiving' | 'listening'): void {
    const archiving = purpose === 'archiving';
    if (archiving === this.#archiving) return;
    this.#archiving = archiving;
    for (const tell of this.#told) tell();
  }

  onChange(tell: () => void): Disposable {
    this.#told.add(tell);
    return { [Symbol.dispose]: () => this.#told.delete(tell) };
  }

  /** Aborts, with a Failure `busy`, when what listeners alone wait for, or what gives way, has to make room for the archive. */
  get yielded(): AbortSignal {
    return this.#yielding.signal;
  }

  yield(): void {
    const text = this.givesWay
      ? 'A new recording needs the encoder; this one is tried again later.'
      : 'Archiving needs the encoder that this listener had; try again in a few seconds.';
    this.#yielding.abort(new Failure('busy', text, { afterMs: ENCODERS.retryAfterMs }));
  }
}
