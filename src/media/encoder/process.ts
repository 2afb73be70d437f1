/** Turns ffmpeg's arguments into one running, confined child on pipes, that can always be got rid of. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { Readable, Writable } from 'node:stream';
import type { Limits } from './arguments.ts';
import { type Ending, LEFT_OUT, spawnFailure } from './failure.ts';

/** Where ffmpeg is and what confines it here. */
export interface Encoder {
  /** Absolute path. */
  readonly path: string;
  /** All of its environment. */
  readonly searchPath: string;
  readonly confinement: Confinement;
}

/** Programs of util-linux, by absolute path; undefined where there are none (macOS) or they may not do their work. */
export interface Confinement {
  readonly prlimit: string | undefined;
  readonly setpriv: string | undefined;
  /** Whether it runs as nobody: only root can give up who it is. */
  readonly dropsIds: boolean;
}

export interface EncoderProcess {
  /** Standard input first, `pipe:3` second. An error of theirs says nothing: how the process ended does. */
  readonly inputs: readonly Writable[];
  readonly output: Readable;
  /** Resolves with its exit, before its pipes are empty. */
  readonly exited: Promise<{ readonly ok: boolean }>;
  /** Resolves once it is gone and its pipes are closed; never rejects. */
  readonly ended: Promise<Ending>;
  /** SIGKILL to it and all it started, at once: at SIGTERM ffmpeg would finish a shorter file, if it hears it at all. */
  kill(): void;
}

/** Nobody, on every Linux. */
const NOBODY = '65534';

/**
 * Limits, no new privileges, death with the service, and no rights at all where we are root: facts in util-linux' prlimit(1)
 * and setpriv(1). A file size of 0 keeps media off the disk.
 */
export function confine({ path, confinement }: Encoder, limits: Limits, args: readonly string[]): readonly string[] {
  const { prlimit, setpriv, dropsIds } = confinement;
  const cpu = String(limits.cpuS);
  const limited =
    prlimit === undefined
      ? []
      : [prlimit, `--as=${String(limits.memoryBytes)}`, `--cpu=${cpu}:${cpu}`, ...FIXED_LIMITS];
  const dropped = dropsIds ? DROP_IDS : [];
  const private_ = setpriv === undefined ? [] : [setpriv, '--no-new-privs', '--pdeathsig', 'SIGKILL', ...dropped];
  return [...limited, ...private_, path, ...args];
}

const FIXED_LIMITS: readonly string[] = ['--nofile=64:64', '--fsize=0:0', '--core=0:0'];

const DROP_IDS: readonly string[] = [
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--bounding-set=-all',
  '--inh-caps=-all',
];

export interface EncoderOrder {
  readonly args: readonly string[];
  readonly limits: Limits;
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
  const [command = '', ...rest] = confine(encoder, limits, args);
  const child = spawnChild(command, rest, { inputs, searchPath: encoder.searchPath });
  const exited = new Promise<{ ok: boolean }>((resolve) => {
    child.once('exit', (code) => {
      // What it may have started and left behind; and pipes that nobody reads any more would never close.
      killGroup(child.pid);
      for (const stream of [child.stdio[0], child.stdio[3]]) stream?.destroy();
      resolve({ ok: code === 0 });
    });
  });
  await started(child);
  if (!listened) giveWay(child);
  return describe(child, exited);
}

interface SpawnNeeds {
  readonly inputs: number;
  readonly searchPath: string;
}

/** A group of its own, so that all of it can be killed; shell and inherited environment are none of its business. */
function spawnChild(command: string, args: readonly string[], { inputs, searchPath }: SpawnNeeds): ChildProcess {
  const stdio: 'pipe'[] = inputs > 1 ? ['pipe', 'pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe'];
  try {
    return spawn(command, args, { shell: false, detached: true, env: { PATH: searchPath }, cwd: '/', stdio });
  } catch (error) {
    throw spawnFailure(error);
  }
}

/** An encoder nobody listens to takes what is left of the cores: whoever asks the service something is answered first. */
const NICE = 10;

/** Who is not root may change one session in a tenth of a second, of all on the machine. */
const AGAIN_MS = 150;
const MOST_TRIES = 20;

/** By setpriority(2): among the threads of its session. */
function giveWay(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) setPriority(child.pid, NICE);
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

function describe(child: ChildProcess, exited: Promise<{ ok: boolean }>): EncoderProcess {
  const [stdin, output, stderr, second] = child.stdio;
  if (!(stdin instanceof Writable) || !(output instanceof Readable) || !(stderr instanceof Readable)) {
    killGroup(child.pid);
    throw spawnFailure(new Error('The child has no pipes.'));
  }
  const inputs = second instanceof Writable ? [stdin, second] : [stdin];
  for (const input of inputs) input.on('error', () => undefined);
  const tail = readTail(stderr);
  const ended = new Promise<Ending>((resolve) => {
    child.once('close', (code, signal) => {
      void tail.then((said) => resolve({ code, signal, ...said }));
    });
  });
  return { inputs, output, exited, ended, kill: () => killGroup(child.pid) };
}

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
