/** The Date of Genesys' answers (RFC 9110 §6.6.1) → the time there, whatever the clock of this machine says. */
import { clockSkewMs } from '../instant.ts';

/** When it was asked and told, milliseconds of `Date.now()`. */
interface HeardAnswer {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly askedMs: number;
  readonly toldMs: number;
}

export class HeardClock {
  #skewMs: number | undefined;

  /** What a cache on the way had kept says nothing of now. */
  hear({ headers, askedMs, toldMs }: HeardAnswer): void {
    const date = headers['date'];
    const ms = typeof date === 'string' && headers['age'] === undefined ? Date.parse(date) : NaN;
    if (!Number.isNaN(ms) && toldMs >= askedMs) this.#skewMs = clockSkewMs(ms, { askedMs, toldMs });
  }

  /** How far Genesys' clock goes before ours; undefined before it told. */
  get skewMs(): number | undefined {
    return this.#skewMs;
  }

  /** By Genesys' clock as far as it was heard, else by ours. */
  now(): Date {
    return new Date(Date.now() + (this.#skewMs ?? 0));
  }
}
