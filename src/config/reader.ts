/** An environment → typed values by what variables.ts says of each, with every problem noted on the way. */
import { SecretReader } from './secrets.ts';
import { entriesOf, HALF_QUOTED, isHalfQuoted, pairsOf, unquoted, type Environment } from './text.ts';
import { defaultOf, VARIABLES, type ChoiceOf, type Name, type NameOf } from './variables.ts';

/** All problems of an environment, each naming its variable and what to do; never a secret's value. */
export class ConfigProblems extends Error {
  override readonly name = 'ConfigProblems';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${String(problems.length)} problem${problems.length === 1 ? '' : 's'}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    );
    this.problems = problems;
  }
}

/** A value that is wrong is noted and its default given instead: the reading goes on, so that all problems are named at once. */
export class Reader {
  readonly #env: Environment;
  readonly #problems: string[] = [];
  readonly secrets: SecretReader;

  constructor(env: Environment) {
    this.#env = env;
    this.secrets = new SecretReader(env, (who, what) => this.problem(who, what));
  }

  /** `who` is the variable, or several; `what` says what to do. */
  problem(who: string, what: string): void {
    const problem = `${who}: ${what}.`;
    if (!this.#problems.includes(problem)) this.#problems.push(problem);
  }

  /** @throws ConfigProblems where there was any */
  finish(): void {
    if (this.#problems.length > 0) throw new ConfigProblems(this.#problems);
  }

  isSet(name: Name): boolean {
    return this.#raw(name) !== '';
  }

  /** Empty where it is not set and has no default. */
  text(name: NameOf<'text'>): string {
    const text = this.#given(name);
    if (isHalfQuoted(text)) this.problem(name, `it ${HALF_QUOTED}`);
    return text;
  }

  /** Of variables that other programs know in lower case; that one goes first. */
  eitherCase(name: NameOf<'text'>): string {
    const lower = unquoted(this.#env[name.toLowerCase()] ?? '');
    return lower === '' ? this.text(name) : lower;
  }

  list(name: NameOf<'list'>): readonly string[] {
    const entries = entriesOf(this.#given(name));
    for (const [index, entry] of entries.entries())
      if (isHalfQuoted(entry)) this.problem(name, `entry ${String(index + 1)} ${HALF_QUOTED}`);
    return entries;
  }

  isOn(name: NameOf<'switch'>): boolean {
    const text = this.#given(name);
    if (text !== 'yes' && text !== 'no') this.problem(name, 'expected "yes" or "no"');
    return text === 'yes';
  }

  choice<N extends NameOf<'choice'>>(name: N): ChoiceOf<N> {
    const given = this.#given(name);
    if (isChoice(name, given)) return given;
    const { choices, default: preset } = VARIABLES[name];
    this.problem(name, `expected ${choices.map((choice) => `"${choice}"`).join(' or ')}`);
    if (!isChoice(name, preset)) throw new TypeError(`The default of ${name} is none of its choices.`);
    return preset;
  }

  /** A whole number within its bounds; `preset` stands for what is not set where the table computes it. */
  count(name: NameOf<'count'>, preset = Number(defaultOf(name))): number {
    const { min, max } = VARIABLES[name];
    const text = this.isSet(name) ? this.#raw(name) : String(preset);
    const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    if (number >= min && number <= max) return number;
    this.problem(name, `expected a whole number from ${String(min)} to ${String(max)}`);
    return preset;
  }

  /** An http(s) URL without user, query and fragment, and without a slash at its end. */
  url(name: NameOf<'url'>): string | undefined {
    const text = this.#given(name);
    if (text === '') return undefined;
    const url = URL.parse(text);
    if (url !== null && /^https?:$/.test(url.protocol) && isBare(url)) return url.href.replace(/\/+$/, '');
    this.problem(name, 'expected an http or https URL without user, query or fragment');
    return undefined;
  }

  /** `name=value,name=value`, percent-encoded. */
  pairs(name: NameOf<'pairs'>): Readonly<Record<string, string>> {
    return pairsOf(this.#given(name), (what) => this.problem(name, what));
  }

  #given(name: Name): string {
    return this.isSet(name) ? this.#raw(name) : defaultOf(name);
  }

  #raw(name: Name): string {
    return unquoted(this.#env[name] ?? '');
  }
}

function isChoice<N extends NameOf<'choice'>>(name: N, text: string): text is ChoiceOf<N> {
  return VARIABLES[name].choices.some((choice) => choice === text);
}

function isBare(url: URL): boolean {
  return url.username === '' && url.password === '' && url.search === '' && url.hash === '';
}
