/** One table per command → its flags out of argv, its help, its shell completion: they cannot differ. */
import { parseArgs } from 'node:util';
import { partOfDay, partText } from '../archive/part.ts';
import { dayAt, FIRST_DAY, isDay } from '../instant.ts';
import { nearestOf } from '../nearest.ts';
import { shellWord } from './report.ts';

/** What a flag takes. A `list` may stand several times. */
export type FlagKind = 'switch' | 'text' | 'list' | 'day' | 'count' | 'share' | 'part';

export interface Flag {
  readonly kind: FlagKind;
  /** How the help names its value, e.g. `DAY`; none for a switch. */
  readonly value?: string;
  readonly meaning: string;
}

/** What an operator can run: everything that is said of it anywhere. */
export interface CommandTable {
  readonly name: string;
  /** Under which heading the table of contents lists it: a task, not a file. */
  readonly task: string;
  readonly does: string;
  /** How the help names what stands without a flag, e.g. `CASE`. */
  readonly argument?: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** A whole line that works. */
  readonly example: string;
}

/** Everyone has these. */
export const COMMON_FLAGS = {
  json: { kind: 'switch', meaning: 'one JSON object a line on stdout, a summary last' },
  quiet: { kind: 'switch', meaning: 'no progress on stderr' },
  help: { kind: 'switch', meaning: 'this text' },
} as const satisfies Record<string, Flag>;

/** A command line that cannot be meant: exit code 2. `message` says what to write instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export class FlagValues {
  readonly #values: ReadonlyMap<string, string | boolean | readonly string[]>;
  /** What stood without a flag. */
  readonly words: readonly string[];

  constructor(values: ReadonlyMap<string, string | boolean | readonly string[]>, words: readonly string[]) {
    this.#values = values;
    this.words = words;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** These of them that were given, to be typed once more. */
  again(...names: readonly string[]): string {
    return names.flatMap((name) => [this.#values.get(name) ?? []].flat().map((value) => typed(name, value))).join(' ');
  }

  isOn(name: string): boolean {
    return this.#values.get(name) === true;
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === 'string' ? value : undefined;
  }

  /** A `count` or a `share`, as a number. */
  number(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : Number(text);
  }

  /** Each value of a `list`; values with commas in them are several. @throws UsageError where commas are all there is */
  list(name: string): readonly string[] {
    const value = this.#values.get(name);
    if (typeof value !== 'object') return [];
    const named = value.flatMap((text) => text.split(',')).filter((text) => text.trim() !== '');
    if (named.length === 0) throw new UsageError(`--${name} ${value.join(' ')}: this names nothing.`);
    return named;
  }
}

/** As a shell takes it. */
function typed(name: string, value: string | boolean): string {
  if (typeof value === 'boolean') return `--${name}`;
  return `--${name} ${shellWord(value)}`;
}

/** @throws UsageError naming the flag, and the nearest one where it is unknown */
export function parseFlags(table: CommandTable, args: readonly string[]): FlagValues {
  const flags = flagsOf(table);
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { kind }]) => [
      name,
      { type: kind === 'switch' ? 'boolean' : 'string', multiple: kind === 'list' } as const,
    ]),
  );
  for (const arg of args) refuseOtherDashes(arg, Object.keys(flags));
  const { tokens } = parseArgs({
    args: withWholeParts(args, flags),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string | boolean | readonly string[]>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (flag === undefined) throw unknownFlag(token.rawName, Object.keys(flags));
    values.set(token.name, takeValue(token.name, { flag, text: token.value, before: values.get(token.name) }));
  }
  const [stray] = table.argument === undefined ? words : [];
  if (stray !== undefined) throw new UsageError(`"${stray}" is not expected here: ${table.name} takes flags only.`);
  return new FlagValues(values, words);
}

/** Word processors make other dashes of two hyphens, and one alone begins no flag here. */
function refuseOtherDashes(arg: string, names: readonly string[]): void {
  const [, name] = /^(?:-|[\u2010-\u2015\u2212]+)([A-Za-z][\w-]+)/.exec(arg) ?? [];
  if (name === undefined) return;
  const nearest = nearestOf(name, names) ?? name;
  throw new UsageError(`${arg} does not begin with two hyphens: did you mean --${nearest}?`);
}

/** A part alone means all of it: `--read` is `--read 1/1`, whatever follows. */
function withWholeParts(args: readonly string[], flags: Readonly<Record<string, Flag>>): string[] {
  return args.map((arg, index) => {
    const isPartAlone =
      arg.startsWith('--') && flags[arg.slice(2)]?.kind === 'part' && (args[index + 1] ?? '-').startsWith('-');
    return isPartAlone ? `${arg}=1/1` : arg;
  });
}

function flagsOf(table: CommandTable): Readonly<Record<string, Flag>> {
  return { ...table.flags, ...COMMON_FLAGS };
}

interface Given {
  readonly flag: Flag;
  readonly text: string | undefined;
  readonly before: string | boolean | readonly string[] | undefined;
}

function takeValue(name: string, { flag, text, before }: Given): string | boolean | readonly string[] {
  if (flag.kind === 'switch') {
    if (text !== undefined) throw new UsageError(`--${name} takes no value.`);
    return true;
  }
  if (text === undefined || text === '')
    throw new UsageError(`--${name} needs a value: --${name} ${flag.value ?? 'VALUE'}.`);
  if (flag.kind === 'list') return [...(typeof before === 'object' ? before : []), text];
  if (before !== undefined) throw new UsageError(`--${name} stands twice: once is enough.`);
  const wanted = wantedOf(flag.kind, text);
  if (wanted !== undefined) throw new UsageError(`--${name} ${text}: expected ${wanted}.`);
  return flag.kind === 'part' ? partOn(dayAt(Date.now()), text) : text;
}

/** `today/t` is another part each day, and each of them once in t days: what a schedule can say. */
export function partOn(day: string, text: string): string {
  const [, count] = /^today\/(\d+)$/.exec(text) ?? [];
  if (count === undefined) return text;
  return partText(partOfDay(day, Number(count)));
}

/** What a text should have been; undefined where it is that. */
function wantedOf(kind: FlagKind, text: string): string | undefined {
  switch (kind) {
    case 'day':
      if (!isDay(text)) return 'a day that exists, such as 2026-11-26';
      // A slip in the year would be half a million days, each looked at and put on record.
      return text >= FIRST_DAY ? undefined : `a day from ${FIRST_DAY} on, such as 2026-11-26`;
    case 'count':
      return /^(0|[1-9]\d{0,8})$/.test(text) ? undefined : 'a whole number';
    case 'share':
      return isShare(text) ? undefined : 'a share above 0 and at most 1, such as 0.5 (0.01 at least)';
    case 'part':
      return isPart(text) ? undefined : 'a part such as 3/30, or today/30';
    case 'switch':
    case 'text':
    case 'list':
      return undefined;
  }
}

/** As people write it, and enough of it to get anywhere. */
function isShare(text: string): boolean {
  return /^\d?\.?\d{1,6}$/.test(text) && Number(text) >= 0.01 && Number(text) <= 1;
}

function isPart(text: string): boolean {
  const [, part, of] = /^([1-9]\d{0,4}|today)\/([1-9]\d{0,4})$/.exec(text) ?? [];
  return part !== undefined && (part === 'today' || Number(part) <= Number(of));
}

function unknownFlag(raw: string, names: readonly string[]): UsageError {
  const nearest = nearestOf(raw.replace(/^-+/, ''), names);
  return new UsageError(
    `${raw} is not a flag of this command${nearest === undefined ? '' : `: did you mean --${nearest}?`}`,
  );
}

/** What `archiver NAME --help` prints. */
export function helpOf(table: CommandTable): string {
  const rows = Object.entries(flagsOf(table)).map(([name, flag]) => [
    `--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`,
    flag.meaning,
  ]);
  const width = Math.max(...rows.map(([flag = '']) => flag.length));
  const lines = rows.map(([flag = '', meaning = '']) => `  ${flag.padEnd(width)}  ${meaning}`);
  const argument = table.argument === undefined ? '' : ` ${table.argument}`;
  return `Usage: archiver ${table.name}${argument} [flags]\n\n${table.does}\n\n${lines.join('\n')}\n\nExample:\n  ${table.example}\n`;
}
