/** Untrusted JSON → typed fields, with an error that names the field, or, where nobody needs it, without the field. */
import { Failure } from './failure.ts';
import { isDay, isInstant } from './instant.ts';

/** What a text says as JSON; undefined where it is none, or there is no text. */
export function jsonIn(text: string | undefined): unknown {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return value;
  } catch {
    return undefined;
  }
}

/** The fields of one object. `x(name)` gives undefined where there is no such x; `requireX(name)` throws Failure `bad-request` naming the field. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #at: string;

  /** `at` is the name of the object in messages, e.g. `events[3]`; empty for the top level. @throws Failure `bad-request` */
  static of(value: unknown, at: string): Fields {
    const fields = Fields.in(value, at);
    if (fields === undefined) throw expected(at, 'an object');
    return fields;
  }

  /** undefined where the value is no object. */
  static in(value: unknown, at = ''): Fields | undefined {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return new Fields(new Map<string, unknown>(Object.entries(value)), at);
  }

  private constructor(values: ReadonlyMap<string, unknown>, at: string) {
    this.#values = values;
    this.#at = at;
  }

  names(): readonly string[] {
    return [...this.#values.keys()];
  }

  /** As it stands there; `undefined` where it does not. JSON's `null` stays. */
  raw(name: string): unknown {
    return this.#values.get(name);
  }

  /** `at.name`, as messages name it. */
  nameOf(name: string): string {
    return this.#at === '' ? name : `${this.#at}.${name}`;
  }

  text(name: string): string | undefined {
    const value = this.raw(name);
    return typeof value === 'string' ? value : undefined;
  }

  /** Finite; never made of a text. */
  number(name: string): number | undefined {
    const value = this.raw(name);
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  }

  boolean(name: string): boolean | undefined {
    const value = this.raw(name);
    return typeof value === 'boolean' ? value : undefined;
  }

  /** RFC 3339 in UTC or with an offset, of years 0 to 9999; a date beyond that is none. */
  instant(name: string): Date | undefined {
    const value = this.text(name);
    return value !== undefined && isInstant(value) ? new Date(value) : undefined;
  }

  fields(name: string): Fields | undefined {
    return Fields.in(this.raw(name), this.nameOf(name));
  }

  array(name: string): readonly unknown[] | undefined {
    const value = this.raw(name);
    return Array.isArray(value) ? value : undefined;
  }

  requireText(name: string, pattern?: RegExp): string {
    const value = this.text(name);
    if (value === undefined) throw this.#expected(name, 'a string');
    if (pattern !== undefined && !pattern.test(value)) throw this.#expected(name, `text like ${pattern.source}`);
    return value;
  }

  /** Not negative. */
  requireNumber(name: string): number {
    const value = this.number(name);
    if (value === undefined || value < 0) throw this.#expected(name, 'a number from 0');
    return value;
  }

  requireCount(name: string): number {
    const value = this.requireNumber(name);
    if (!Number.isSafeInteger(value)) throw this.#expected(name, 'a whole number');
    return value;
  }

  /** As text: what was read is written again as it was. */
  requireInstant(name: string): string {
    const value = this.text(name);
    if (value === undefined || !isInstant(value)) throw this.#expected(name, 'a date such as 2026-08-05T12:00:00Z');
    return value;
  }

  requireDay(name: string): string {
    const value = this.text(name);
    if (value === undefined || !isDay(value)) throw this.#expected(name, 'a day such as 2026-08-05');
    return value;
  }

  requireChoice<const T extends string>(name: string, choices: readonly T[]): T {
    const value = this.raw(name);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.#expected(name, choices.join(' or '));
    return found;
  }

  requireFields(name: string): Fields {
    return Fields.of(this.raw(name), this.nameOf(name));
  }

  requireArray(name: string): readonly unknown[] {
    const value = this.array(name);
    if (value === undefined) throw this.#expected(name, 'an array');
    return value;
  }

  #expected(name: string, what: string): Failure {
    return expected(this.nameOf(name), what);
  }
}

function expected(field: string, what: string): Failure {
  return new Failure('bad-request', `${field === '' ? 'The top level' : field}: expected ${what}.`);
}
