/** What nobody may see (keys, client secrets, headers) → values, out of the environment or of the file that X_FILE names. */
import { parseKey, type Key } from '../key.ts';
import { readSecret, whyUnread, SecretFile, type SecretText } from './secret-file.ts';
import { entriesOf, HALF_QUOTED, isHalfQuoted, unquoted, type Environment } from './text.ts';
import type { SecretName } from './variables.ts';

/** A value that may be another one later: whoever needs it asks each time. */
class Changing<T> {
  #now: T;

  constructor(now: T) {
    this.#now = now;
  }

  get now(): T {
    return this.#now;
  }

  become(value: T): void {
    this.#now = value;
  }
}

/** Our own keys of one variable. */
export interface KeyList {
  readonly name: SecretName;
  readonly keys: Changing<readonly Key[]>;
}

/** `onProblem` is told what is wrong with a text, never what it is. */
type ParseSecret<T> = (text: string, onProblem: (what: string) => void) => T;

export class SecretReader {
  readonly #env: Environment;
  readonly #onProblem: (who: string, what: string) => void;
  readonly #texts = new Set<string>();
  readonly #files: SecretFile[] = [];
  readonly #lists: KeyList[] = [];

  constructor(env: Environment, onProblem: (who: string, what: string) => void) {
    this.#env = env;
    this.#onProblem = onProblem;
  }

  /** Every secret there is or was, also those that a file brings later: no line of the log may hold one. */
  get texts(): ReadonlySet<string> {
    return this.#texts;
  }

  /** Those that stand for variables and may change. */
  get files(): readonly SecretFile[] {
    return this.#files;
  }

  get lists(): readonly KeyList[] {
    return this.#lists;
  }

  isSet(name: SecretName): boolean {
    return unquoted(this.#env[name] ?? '') !== '' || this.#pathOf(name) !== '';
  }

  /** Keys that we give out, each strong enough; comma-separated or one a line. */
  keys(name: SecretName): Changing<readonly Key[]> {
    const keys = this.read(name, (text, onProblem) =>
      this.entries(text, onProblem).map((entry, index) => {
        const key = parseKey(entry, index + 1, onProblem);
        this.conceal(key.secret);
        return key;
      }),
    );
    this.#lists.push({ name, keys });
    return keys;
  }

  entries(text: string, onProblem: (what: string) => void): readonly string[] {
    const entries = entriesOf(text);
    for (const [index, entry] of entries.entries())
      if (isHalfQuoted(entry)) onProblem(`entry ${String(index + 1)} ${HALF_QUOTED}`);
    return entries;
  }

  conceal(...texts: readonly string[]): void {
    for (const text of texts) if (text !== '') this.#texts.add(text);
  }

  /** Parsed now, and again whenever the file changes. A change with problems is not taken: what was there goes on to hold. */
  read<T>(name: SecretName, parse: ParseSecret<T>): Changing<T> {
    const path = this.#pathOf(name);
    const inline = unquoted(this.#env[name] ?? '');
    if (path === '') return new Changing(parse(inline, (what) => this.#onProblem(name, what)));
    const fileName = `${name}_FILE`;
    if (inline !== '') this.#onProblem(`${name} and ${fileName}`, 'set one of them, not both');
    const { text, isRegular } = this.#contents(fileName, path);
    const current = new Changing(parse(text, (what) => this.#onProblem(fileName, what)));
    const take = (changed: string): readonly string[] => {
      const problems: string[] = changed.trim() === '' ? [EMPTY] : [];
      const value = parse(changed, (what) => problems.push(what));
      if (problems.length === 0) current.become(value);
      return problems;
    };
    if (isRegular) this.#files.push(new SecretFile({ name: fileName, path, text, take }));
    return current;
  }

  #pathOf(name: SecretName): string {
    return unquoted(this.#env[`${name}_FILE`] ?? '');
  }

  /** Nothing is said of the path: it may be a secret that went into the wrong variable. */
  #contents(fileName: string, path: string): SecretText {
    try {
      const read = readSecret(path);
      if (read.text.trim() === '') this.#onProblem(fileName, EMPTY);
      return read;
    } catch (error) {
      this.#onProblem(fileName, `the file cannot be read (${whyUnread(error)})`);
      return { text: '', isRegular: false };
    }
  }
}

const EMPTY = 'the file is empty';
