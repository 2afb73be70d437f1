/** A command and an environment → the real process `archiver COMMAND`: started, read, stopped, frozen and killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { unlessAborted } from '../../../src/waiting.ts';
import { type Child, childrenOf, familyOf, untilFrozen } from './children.ts';

export type LogEntry = Readonly<Record<string, unknown>>;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the signal to the exit. */
  readonly ms: number;
}

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** Everything it has written to stdout and stderr. */
  output(): string;
  entries(): readonly LogEntry[];
  /** The first log entry with these fields, from the very start on. Rejects when the service ends or `signal` aborts before. */
  logged(fields: LogEntry, signal: AbortSignal): Promise<LogEntry>;
  /** Its child processes: encoders, or what is around each of them, once it has started. */
  encoders(): readonly Child[];
  /** All that it has started and what these have. */
  family(): readonly Child[];
  /** Stops it where it stands; `thaw` lets it go on. */
  freeze(): Promise<void>;
  thaw(): void;
  /** SIGTERM. */
  stop(): Promise<Ended>;
  /** SIGKILL, while nothing of it moves, so that the family it leaves behind is exactly the one returned. */
  kill(): Promise<readonly Child[]>;
}

const CLI = join(import.meta.dirname, '../../../src/cli.ts');

/**
 * As the first line of src/cli.ts has it, by which everybody starts the service. To let V8 collect its heap sooner as well
 * (`--heap-growing-percent`) saves no memory and takes a fifth of the events a second.
 */
const [, SETTINGS = '', FLAGS = ''] = /^#!\/usr\/bin\/env -S (.*) node (.*)\n/.exec(readFileSync(CLI, 'utf8')) ?? [];

export const NODE_FLAGS: readonly string[] = FLAGS.split(' ');

/** One arena of malloc(3): what one thread frees another can use. */
export const ALLOCATOR: Readonly<Record<string, string>> = Object.fromEntries(
  SETTINGS.split(' ').map((setting) => setting.split('=')),
);

const { NODE_COMPILE_CACHE: compiled } = process.env;

/** What this process was told of the place where Node keeps compiled code (.ci/setup.mjs): its services share it. */
export const COMPILED: Readonly<Record<string, string>> =
  compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled };

/** It decides nothing but whether a test hangs. */
const START_WITHIN_MS = 240_000;
const LAST_LINES = 20;

/** Resolves once it serves, on a port that it has found free. `env` is all of its environment, but for PATH and PORT. */
export async function startService(command: string, env: Readonly<Record<string, string>>): Promise<Service> {
  const child = spawn(process.execPath, [...NODE_FLAGS, CLI, command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...ALLOCATOR, ...COMPILED, PORT: '0', ...env },
  });
  const service = new RunningService(child);
  try {
    await service.logged({ message: 'Service started.' }, AbortSignal.timeout(START_WITHIN_MS));
    return service;
  } catch (cause) {
    await service[Symbol.asyncDispose]();
    throw new Error(`The service did not start:\n${service.output()}`, { cause });
  }
}

/**
 * One of each command, started at once; disposing `opened` ends them. Where one does not start the others are waited for, so
 * that none is left running that nobody knows of.
 */
export async function startServices(
  commands: readonly string[],
  env: Readonly<Record<string, string>>,
  opened: AsyncDisposableStack,
): Promise<readonly Service[]> {
  const started = await Promise.allSettled(
    commands.map(async (command) => opened.use(await startService(command, env))),
  );
  return started.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

interface Waiter {
  readonly fields: LogEntry;
  /** undefined: it will never come. */
  readonly resolve: (entry: LogEntry | undefined) => void;
}

class RunningService implements Service {
  readonly #child: ChildProcess;
  readonly #entries: LogEntry[] = [];
  readonly #output: string[] = [];
  /** A thousand may wait at once, each for a line of its own: whatever a line costs, it costs the machine that is measured. */
  readonly #waiters = new Set<Waiter>();
  readonly #ended: Promise<void>;
  #over = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#take(line));
    this.#ended = once(child, 'close').then(() => {
      this.#over = true;
      for (const { resolve } of this.#waiters) resolve(undefined);
    });
  }

  get url(): string {
    const { url } = this.#entries.find(({ message }) => message === 'Service started.') ?? {};
    const { port } = new URL(String(url));
    return `http://127.0.0.1:${port}`;
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('The service has no process.');
    return this.#child.pid;
  }

  #take(line: string): void {
    this.#output.push(line);
    const entry = parseEntry(line);
    if (entry === undefined) return;
    this.#entries.push(entry);
    for (const { fields, resolve } of this.#waiters) if (has(entry, fields)) resolve(entry);
  }

  output(): string {
    return this.#output.join('\n');
  }

  entries(): readonly LogEntry[] {
    return this.#entries;
  }

  async logged(fields: LogEntry, signal: AbortSignal): Promise<LogEntry> {
    const found = this.#entries.find((entry) => has(entry, fields));
    if (found !== undefined) return found;
    if (this.#over) throw endedBefore(fields);
    const { promise, resolve } = Promise.withResolvers<LogEntry | undefined>();
    const waiter = { fields, resolve };
    this.#waiters.add(waiter);
    try {
      const entry = await unlessAborted(promise, signal);
      if (entry === undefined) throw endedBefore(fields);
      return entry;
    } catch (cause) {
      if (!signal.aborted) throw cause;
      const last = this.#output.slice(-LAST_LINES).join('\n');
      throw new Error(`Nobody logged ${JSON.stringify(fields)} in time. The last lines were:\n${last}`, { cause });
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  encoders(): readonly Child[] {
    return childrenOf(this.pid);
  }

  family(): readonly Child[] {
    return familyOf(this.pid);
  }

  async freeze(): Promise<void> {
    this.#child.kill('SIGSTOP');
    await untilFrozen(this.pid);
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  async stop(): Promise<Ended> {
    const asked = performance.now();
    this.#child.kill('SIGTERM');
    await this.#ended;
    return { code: this.#child.exitCode, signal: this.#child.signalCode, ms: performance.now() - asked };
  }

  async kill(): Promise<readonly Child[]> {
    await this.freeze();
    const family = this.family();
    this.#child.kill('SIGKILL');
    await this.#ended;
    return family;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

function has(entry: LogEntry, fields: LogEntry): boolean {
  for (const name in fields) if (entry[name] !== fields[name]) return false;
  return true;
}

function endedBefore(fields: LogEntry): Error {
  return new Error(`The service ended before it logged ${JSON.stringify(fields)}.`);
}

function parseEntry(line: string): LogEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : undefined;
  } catch {
    return undefined;
  }
}

/** Resolves with the first defined answer, asked again every few milliseconds: for what the system tells nobody of. */
export async function until<T>(ask: () => T | undefined | Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await delay(10, undefined, { signal });
  }
}
