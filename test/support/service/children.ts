/** A process id → the processes it has started, as /proc has them: who runs, who is left, and how many at most. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface Child {
  readonly pid: number;
  /** Of the program; `node` until a new child has become its program. */
  readonly name: string;
  /** In ticks since boot: with the pid it names one process for ever. */
  readonly startedAt: string;
}

/** A reason to skip, where the system does not say who started whom. */
export const NO_CENSUS: string | false = existsSync(`/proc/${String(process.pid)}/task/${String(process.pid)}/children`)
  ? false
  : 'needs /proc with children (Linux)';

/** None where the process is gone. What has ended and is only waited for does not count. */
export function childrenOf(pid: number): readonly Child[] {
  const pids =
    read(`/proc/${String(pid)}/task/${String(pid)}/children`)
      ?.trim()
      .split(' ') ?? [];
  return pids.flatMap((text) => {
    const process = text === '' ? undefined : processOf(Number(text));
    return process === undefined || process.state === 'Z' || process.state === 'X' ? [] : [process];
  });
}

/** Its children, theirs and so on: what is around an encoder, and the encoder in it. */
export function familyOf(pid: number): readonly Child[] {
  return childrenOf(pid).flatMap((child) => [child, ...familyOf(child.pid)]);
}

export function isRunning(child: Child): boolean {
  const process = processOf(child.pid);
  return process !== undefined && process.startedAt === child.startedAt && process.state !== 'Z';
}

/** Which of them still run after `withinMs`; returns as soon as none does. */
export async function survivors(children: readonly Child[], withinMs: number): Promise<readonly Child[]> {
  const end = performance.now() + withinMs;
  for (;;) {
    const left = children.filter(isRunning);
    if (left.length === 0 || performance.now() >= end) return left;
    await delay(10);
  }
}

/** A signal is delivered a moment after it was sent, to each thread at its own. */
export async function untilFrozen(pid: number): Promise<void> {
  for (const thread of threadsOf(pid))
    for (let state = stateOf(thread); state !== undefined && !'TZX'.includes(state); state = stateOf(thread))
      await delay(1);
}

function threadsOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${String(pid)}/task`).map(Number);
  } catch {
    return [];
  }
}

function stateOf(thread: number): string | undefined {
  return processOf(thread)?.state;
}

export interface Census extends Disposable {
  readonly samples: number;
  /** The most that ran at the same instant. */
  readonly most: number;
  /** Which they were. */
  readonly names: readonly string[];
}

/** Counts the children of a process every `everyMs`, until disposed. */
export function takeCensus(pid: number, everyMs: number): Census {
  let samples = 0;
  let names: readonly string[] = [];
  const timer = setInterval(() => {
    samples += 1;
    const children = childrenOf(pid);
    if (children.length > names.length) names = children.map(({ name }) => name);
  }, everyMs);
  return {
    get samples() {
      return samples;
    },
    get most() {
      return names.length;
    },
    get names() {
      return names;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

interface Process extends Child {
  readonly state: string;
}

/** proc_pid_stat(5): the name stands in parentheses and may hold anything; state is field 3, start time field 22. */
function processOf(pid: number): Process | undefined {
  const stat = read(`/proc/${String(pid)}/stat`);
  const [, name, rest] = /\((.*)\) (.*)$/s.exec(stat ?? '') ?? [];
  const fields = rest?.split(' ') ?? [];
  const [state, startedAt] = [fields[0], fields[19]];
  if (name === undefined || state === undefined || startedAt === undefined) return undefined;
  return { pid, name, startedAt, state };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
