/** ffmpeg's arguments → one running, confined child on pipes, that can always be got rid of. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { Readable, Writable } from 'node:stream';
import type { EncoderLimits } from './arguments.ts';
import { confine, type Confinement, NICE } from './confine.ts';
import { type Ending, LEFT_OUT, spawnFailure } from './failure.ts';
import { keepFilterFile } from './filter-file.ts';

/** Where ffmpeg is and what confines it here. */
export interface Encoder {
  /** Absolute, without links on its way. */
  readonly path: string;
  /** All of its environment. */
  readonly searchPath: string;
  readonly confinement: Confinement;
}

export interface EncoderProcess {
  /** Standard input first, `pipe:3` second. An error of theirs says nothing: how the process ended does. */
  readonly inputs: readonly Writable[];
  readonly output: Readable;
  /** Of user and system time: the kernel kills it then, by a signal that tells nothing. */
  readonly cpuS: number;
  /** Resolves with its exit, before its pipes are empty. */
  readonly exited: Promise<{ readonly ok: boolean }>;
  /** Resolves once it is gone and its pipes are closed; never rejects. */
  readonly ended: Promise<Ending>;
  /** SIGKILL to it and all it started, at once: at SIGTERM ffmpeg would finish a shorter file, if it hears it at all. */
  kill(): void;
}

export interface EncoderOrder {
  readonly args: readonly string[];
  readonly limits: EncoderLimits;
  /** Files on pipes: 1 or 2. */
  readonly inputs: number;
  /** Somebody waits for the first second: then it need not give way. */
  readonly listened?: boolean;
}

/** @throws Failure `misconfigured` or `busy` where it cannot be started */
export async function startEncoder(
  encoder: Encoder,
  { args, limits, inputs, listened = false }: EncoderOrder,
): Promise<EncoderProcess> {
  const { confinement, path } = encoder;
  const { command, lifeline } = confine(confinement, { path, args, limits, inputs, givesWay: !listened });
  const child = spawnChild(command, { inputs, lifeline, encoder });
  if (!listened) giveWay(child, command[0] !== confinement.tools.nice);
  const exited = new Promise<{ ok: boolean }>((resolve) => {
    child.once('exit', (code) => {
      // What it may have started and left behind; and pipes that nobody reads any more would never close.
      killGroup(child.pid);
      for (const stream of [child.stdio[0], child.stdio[3], child.stdio[4]]) stream?.destroy();
      resolve({ ok: code === 0 });
    });
  });
  await started(child);
  return describeProcess(child, { inputs, cpuS: limits.cpuS, exited, isRelayed: lifeline !== undefined });
}

interface SpawnNeeds {
  readonly inputs: number;
  readonly lifeline: number | undefined;
  readonly encoder: Encoder;
}

/**
 * ffmpeg 7 and later have a thread for each step, and malloc(3) would reserve 64 MiB of address space for each that waits for another
 * on a busy machine: good media met the limit of 1 GiB. mallopt(3), M_ARENA_MAX.
 */
const ONE_ARENA = { MALLOC_ARENA_MAX: '1' };

/** A group of its own, so that all of it can be killed; shell and inherited environment are none of its business. */
function spawnChild(command: readonly string[], { inputs, lifeline, encoder }: SpawnNeeds): ChildProcess {
  const [program = '', ...args] = command;
  const pipes = 2 + inputs + (lifeline === undefined ? 0 : 1);
  const stdio = Array.from({ length: pipes }, (): 'pipe' => 'pipe');
  const env = { PATH: encoder.searchPath, ...ONE_ARENA };
  const { filter } = encoder.confinement.tools;
  try {
    if (filter !== undefined) keepFilterFile(filter);
    return spawn(program, args, { shell: false, detached: true, env, cwd: '/', stdio });
  } catch (error) {
    throw spawnFailure(error);
  }
}

/** Who is not root may change one session in a tenth of a second, of all on the machine. */
const AGAIN_MS = 150;
const MOST_TRIES = 20;

/** Among the threads of its session, where no `nice` has told it, and as a session. */
function giveWay(child: ChildProcess, isUntold: boolean): void {
  try {
    if (isUntold && child.pid !== undefined) setPriority(child.pid, NICE);
  } catch {
    // It is gone already, or may not be told: it works all the same.
  }
  giveWayAsSession(child, MOST_TRIES);
}

/**
 * Where Linux shares the cores between sessions (sched(7), "The autogroup feature"), a child that has one of its own weighs as
 * much as all of the service, however nice it is.
 */
function giveWayAsSession(child: ChildProcess, tries: number): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    writeFileSync(`/proc/${String(child.pid)}/autogroup`, String(NICE));
  } catch (error) {
    const again = error instanceof Error && 'code' in error && error.code === 'EAGAIN' && tries > 1;
    if (again) setTimeout(() => giveWayAsSession(child, tries - 1), AGAIN_MS).unref();
  }
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    // Later errors are of killing, which is judged by the exit.
    child.on('error', (error) => reject(spawnFailure(error)));
  });
}

interface Started {
  readonly inputs: number;
  readonly cpuS: number;
  readonly exited: Promise<{ ok: boolean }>;
  /** Whether its exit is told by another process. */
  readonly isRelayed: boolean;
}

function describeProcess(child: ChildProcess, { inputs: count, cpuS, exited, isRelayed }: Started): EncoderProcess {
  const [stdin, output, stderr, ...more] = child.stdio;
  if (!(stdin instanceof Writable) || !(output instanceof Readable) || !(stderr instanceof Readable)) {
    killGroup(child.pid);
    throw spawnFailure(new Error('The child has no pipes.'));
  }
  // An error of a pipe says nothing that the exit does not say better.
  for (const pipe of child.stdio) pipe?.on('error', () => undefined);
  const inputs = [stdin, ...more.slice(0, count - 1)].filter((input) => input instanceof Writable);
  const tail = readTail(stderr);
  const ended = new Promise<Ending>((resolve) => {
    child.once('close', (code, signal) => {
      const exit = isRelayed ? relayed(code, signal) : { code, signal };
      void tail.then((said) => resolve({ ...exit, ...said }));
    });
  });
  return { inputs, output, cpuS, exited, ended, kill: () => killGroup(child.pid) };
}

/** bwrap(1) exits with 128 and the signal where its command was killed by one. */
function relayed(code: number | null, signal: NodeJS.Signals | null): Pick<Ending, 'code' | 'signal'> {
  const number = (code ?? 0) - 128;
  const name = SIGNALS.find((known) => constants.signals[known] === number);
  return name === undefined ? { code, signal } : { code: null, signal: name };
}

const SIGNALS: readonly NodeJS.Signals[] = [
  'SIGKILL',
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGSYS',
  'SIGTERM',
  'SIGXCPU',
];

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

const MAX_TAIL_BYTES = 64 * 1024;

/** Reads all of stderr, since a full pipe would block the child, and keeps its end. */
async function readTail(stderr: Readable): Promise<Pick<Ending, 'stderr' | 'leftOut'>> {
  let kept: Buffer[] = [];
  let size = 0;
  let leftOut = false;
  const tail = (): Buffer => Buffer.from(Buffer.concat(kept).subarray(-MAX_TAIL_BYTES));
  try {
    for await (const chunk of stderr) {
      kept.push(chunk);
      size += chunk.length;
      if (size > 2 * MAX_TAIL_BYTES) {
        leftOut ||= LEFT_OUT.test(Buffer.concat(kept).toString('latin1'));
        kept = [tail()];
        size = MAX_TAIL_BYTES;
      }
    }
  } catch {
    // Closed under us: what came is what there is.
  }
  const text = tail().toString('utf8');
  leftOut ||= LEFT_OUT.test(text);
  return { stderr: text.replace(/[^\P{Cc}\n]/gu, ' '), leftOut };
}
