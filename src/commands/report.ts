/** What a command found → lines for people or for programs on stdout, progress on stderr, and the exit code: the one place that prints. */
import type { Writable } from 'node:stream';
import { type Failure, systemCode } from '../failure.ts';

/** How a command ended; anything else is a failure (as documented in README.md beside this file). */
export const EXIT = {
  well: 0,
  failed: 1,
  usage: 2,
  findings: 3,
  refused: 4,
  interrupted: 130,
  terminated: 143,
} as const;

export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** One fact: `text` for people, `type` and the other fields for programs. Fields are only ever added. */
export interface Line {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface ReportOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly out: Writable;
  readonly err: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
}

const TERMINAL_EVERY_MS = 250;
const ELSEWHERE_EVERY_MS = 30_000;

/**
 * A reader that goes away (`| head -1`) ends the printing, not the work: `closed` says so. Progress is one line rewritten four
 * times a second on a terminal, a line every 30 s elsewhere, a JSON line with `--json`. What else keeps the report from being
 * written (a full disk) does not end the work either, but is said, and changes how the command ends: {@link exitOf}.
 */
export class Report {
  readonly #options: ReportOptions;
  readonly #now: () => number;
  #progressAt = -Infinity;
  #drawn = false;
  #closed = false;
  #isWhole = true;
  /** Of what the command was to leave somewhere, the first that it could not. */
  #lacking: Failure | undefined;

  constructor(options: ReportOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    for (const stream of [options.out, options.err]) stream.on('error', (error) => this.#lost(stream, error));
  }

  /** Nobody reads any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** A fact, in both forms. */
  line(text: string, fact: Line): void {
    this.#print(this.#options.json ? JSON.stringify(fact) : text);
  }

  /** For programs only: what people are told later, in another form. */
  fact(fact: Line): void {
    if (this.#options.json) this.#print(JSON.stringify(fact));
  }

  /** For people only: headings, advice, empty lines. */
  text(text: string): void {
    if (!this.#options.json) this.#print(text);
  }

  /** Where the work stands. `text` without line breaks. */
  progress(text: string, facts: Readonly<Record<string, unknown>> = {}): void {
    const { quiet, json, err } = this.#options;
    const terminal = err.isTTY === true && !json;
    const now = this.#now();
    if (quiet || now - this.#progressAt < (terminal ? TERMINAL_EVERY_MS : ELSEWHERE_EVERY_MS)) return;
    this.#progressAt = now;
    if (json) err.write(`${JSON.stringify({ type: 'progress', text, ...facts })}\n`);
    // A line that is broken by the terminal could not be taken back.
    else err.write(terminal ? `\r\u001B[K${text.slice(0, Math.max(1, (err.columns ?? Infinity) - 1))}` : `${text}\n`);
    this.#drawn = terminal;
  }

  /** What went wrong, and what to do: on stderr. */
  problem(text: string): void {
    this.#clear();
    this.#options.err.write(`${text}\n`);
  }

  /** What the command was to leave, and could not: that takes nothing from what it found. */
  lacks(what: string, because: Failure): void {
    this.#lacking ??= because;
    this.problem(`${what}: ${because.message}`);
  }

  /** How it ends that would end with `exit`: nobody learns from half a report, or half of the work, that all is well. */
  exitOf(exit: Exit): Exit {
    return this.#isWhole && this.#lacking === undefined ? exit : EXIT.failed;
  }

  /** The last line of all. People got theirs by {@link text}. */
  summary(facts: Readonly<Record<string, unknown>>, exit: Exit): void {
    const { code, message: reason } = this.#lacking ?? {};
    if (this.#options.json)
      this.#print(JSON.stringify({ type: 'summary', code, reason, ...facts, exit: this.exitOf(exit) }));
    this.#clear();
  }

  /** Resolves once everything is with the system. */
  async flushed(): Promise<void> {
    await Promise.all(
      [this.#options.out, this.#options.err].map(
        (stream) =>
          new Promise<void>((resolve) => {
            // Why it was destroyed is told a little later.
            if (stream.destroyed || stream.writableEnded) setImmediate(resolve);
            else stream.write('', () => resolve());
          }),
      ),
    );
  }

  #print(text: string): void {
    this.#clear();
    if (!this.#closed) this.#options.out.write(`${text}\n`);
  }

  #clear(): void {
    if (this.#drawn) this.#options.err.write('\r\u001B[K');
    this.#drawn = false;
  }

  #lost(stream: Writable, error: unknown): void {
    const code = systemCode(error);
    // What cannot be said beside it takes nothing from the report.
    if (stream !== this.#options.out && code !== 'EPIPE') return;
    const isRead = code !== 'EPIPE' && code !== 'ERR_STREAM_DESTROYED';
    if (isRead && !this.#closed) {
      this.#isWhole = false;
      this.problem(unwritten(code));
    }
    this.#closed = true;
  }
}

/** What is said where stdout takes no more. */
export function unwritten(code: string | undefined): string {
  return `stdout could not be written (${code ?? 'unknown error'}): free space where it goes, and run the same line again.`;
}

/** What somebody else named, on one line: nothing in it commands a terminal, breaks the line or turns it around. */
export function tame(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (unsafe) =>
    Array.from({ length: unsafe.length }, (_, at) => `\\u${unsafe.charCodeAt(at).toString(16).padStart(4, '0')}`).join(
      '',
    ),
  );
}

/** The same of what a person typed, in quotes. */
export function tameQuote(text: string): string {
  return tame(JSON.stringify(text));
}

/** One word to a shell, whatever is in it. */
export function shellWord(text: string): string {
  return /^[\w./:=,@%+-]+$/.test(text) ? text : shellQuote(text);
}

export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Rows with their columns under each other; the last column is as long as it is. */
export function columnsOf(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
