/** What a command found → lines for people or for programs on stdout, progress on stderr, and the exit code: the one place that prints. */
import type { Writable } from 'node:stream';

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
  readonly err: Writable & { readonly isTTY?: boolean };
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
}

const TERMINAL_EVERY_MS = 250;
const ELSEWHERE_EVERY_MS = 30_000;

/**
 * A reader that goes away (`| head -1`) ends the printing, not the work: `closed` says so. Progress is one line rewritten four
 * times a second on a terminal, a line every 30 s elsewhere, a JSON line with `--json`.
 */
export class Report {
  readonly #options: ReportOptions;
  readonly #now: () => number;
  #progressAt = -Infinity;
  #drawn = false;
  #closed = false;

  constructor(options: ReportOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    for (const stream of [options.out, options.err]) stream.on('error', (error) => this.#lost(error));
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
    else err.write(terminal ? `\r\u001B[K${text}` : `${text}\n`);
    this.#drawn = terminal;
  }

  /** What went wrong, and what to do: on stderr. */
  problem(text: string): void {
    this.#clear();
    this.#options.err.write(`${text}\n`);
  }

  /** The last line of all. People got theirs by {@link text}. */
  summary(facts: Readonly<Record<string, unknown>>, exit: Exit): void {
    if (this.#options.json) this.#print(JSON.stringify({ type: 'summary', ...facts, exit }));
    this.#clear();
  }

  /** Resolves once everything is with the system. */
  async flushed(): Promise<void> {
    await Promise.all(
      [this.#options.out, this.#options.err].map(
        (stream) =>
          new Promise<void>((resolve) => {
            if (stream.destroyed || stream.writableEnded) resolve();
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

  #lost(error: Error & { readonly code?: string }): void {
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
    this.#closed = true;
  }
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
