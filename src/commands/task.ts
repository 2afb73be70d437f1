/** One command line → its command run to an end: flags, report, signals and the exit code, the same for all of them. */
import type { Writable } from 'node:stream';
import { ConfigProblems } from '../config/reader.ts';
import { Failure } from '../failure.ts';
import { type CommandTable, type FlagValues, helpOf, parseFlags, UsageError } from './flags.ts';
import { EXIT, type Exit, Report, tameQuote } from './report.ts';

/** What a command is given. */
export interface Task {
  readonly flags: FlagValues;
  readonly report: Report;
  readonly env: NodeJS.ProcessEnv;
  /** Aborts at the first SIGINT or SIGTERM, and when nobody reads the report any more: no new work then. */
  readonly signal: AbortSignal;
  /** What was opened, closed in reverse order at the end. */
  readonly opened: AsyncDisposableStack;
}

/** Reports what it found and resolves with how it ended; a Failure or a UsageError thrown is printed with its next step. */
export type RunTask = (task: Task) => Promise<Exit>;

/** The process a command runs in; a part of it, so that tests can stand in for the terminal. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** Tells of signals until the command has ended. */
  onSignal(listener: (signal: 'SIGINT' | 'SIGTERM') => void): Disposable;
  /** Ends the process at once. */
  exit(code: Exit): void;
}

/** After the first signal what runs gets so long to end; then the process does. */
const GRACE_MS = 5_000;

/** Runs a command as its line says. `load` imports what runs it only where it runs: the help of all of them costs nothing. */
export async function runCommand(
  { table, load }: { readonly table: CommandTable; readonly load: () => Promise<RunTask> },
  args: readonly string[],
  around: Surroundings,
): Promise<Exit> {
  const flags = readFlags(table, args, around);
  if (flags === undefined) return EXIT.usage;
  if (flags.isOn('help')) {
    around.stdout.write(helpOf(table));
    return EXIT.well;
  }
  const report = new Report({
    json: flags.isOn('json'),
    quiet: flags.isOn('quiet'),
    out: around.stdout,
    err: around.stderr,
  });
  using stop = new Stop(around, report);
  const given = { flags, report, env: around.env, signal: stop.signal };
  // Whoever stopped it knows why it fails.
  const exit = await perform(load, given).catch((thrown: unknown) => stop.exit ?? explain(thrown, table, report));
  await report.flushed();
  return stop.exit ?? report.exitOf(exit);
}

async function perform(load: () => Promise<RunTask>, given: Omit<Task, 'opened'>): Promise<Exit> {
  await using opened = new AsyncDisposableStack();
  const run = await load();
  return await run({ ...given, opened });
}

function readFlags(table: CommandTable, args: readonly string[], around: Surroundings): FlagValues | undefined {
  try {
    return parseFlags(table, args);
  } catch (thrown) {
    if (!(thrown instanceof UsageError)) throw thrown;
    around.stderr.write(`${thrown.message}\nAll flags:  archiver ${table.name} --help\n`);
    return undefined;
  }
}

/** What could not run: configuration, an unreachable side, an error of our own. Each says what to do next. */
function explain(thrown: unknown, table: CommandTable, report: Report): Exit {
  if (thrown instanceof UsageError) {
    report.problem(`${thrown.message}\nAll flags:  archiver ${table.name} --help`);
    report.summary({ code: 'usage', reason: thrown.message }, EXIT.usage);
    return EXIT.usage;
  }
  if (thrown instanceof ConfigProblems) {
    report.problem(thrown.message);
    report.summary({ code: 'misconfigured', reason: thrown.message }, EXIT.failed);
    return EXIT.failed;
  }
  const failure = Failure.from(thrown);
  report.problem(`${failure.code}: ${failure.message}`);
  const { said } = failure.facts;
  if (failure.code === 'internal' && typeof said === 'string') report.problem(`The answer was: ${tameQuote(said)}`);
  // Nobody else is told of an error of our own: its stack is what a report of it needs.
  if (failure.code === 'internal' && failure.cause instanceof Error)
    report.problem(failure.cause.stack ?? failure.cause.message);
  report.summary({ code: failure.code, reason: failure.message }, EXIT.failed);
  return EXIT.failed;
}

/** The first signal ends the taking of work, the second the process; the exit code names which it was. */
class Stop implements Disposable {
  readonly #stop = new AbortController();
  readonly #listening: Disposable;
  #exit: Exit | undefined;
  #grace: NodeJS.Timeout | undefined;

  constructor(around: Surroundings, report: Report) {
    this.#listening = around.onSignal((signal) => {
      const exit = signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
      if (this.#exit !== undefined) return around.exit(exit);
      this.#exit = exit;
      report.problem('Stopping: what runs gets 5 s. Run the same line again later: it goes on where this ends.');
      this.#stop.abort(new Failure('stopped', 'The command was stopped by a signal; run it again, it resumes.'));
      this.#grace = setTimeout(() => around.exit(exit), GRACE_MS);
      return undefined;
    });
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Set once a signal came. */
  get exit(): Exit | undefined {
    return this.#exit;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#grace);
    this.#listening[Symbol.dispose]();
  }
}
