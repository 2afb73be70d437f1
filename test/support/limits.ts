/** Takes from a running process what it needs, and gives it back: open files, processes, memory (Linux, as root or as its owner). */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { childrenOf } from './service/children.ts';

const run = promisify(execFile);

/** A reason to skip where no limit can be set on another process. */
export const NO_PRLIMIT: string | false = await run('prlimit', ['--pid', String(process.pid), '--nofile']).then(
  () => false,
  () => 'needs prlimit (util-linux)',
);

export function openFiles(pid: number): number {
  return readdirSync(`/proc/${String(pid)}/fd`).length;
}

export async function limitFiles(pid: number, soft: number): Promise<void> {
  await run('prlimit', ['--pid', String(pid), `--nofile=${String(soft)}:`]);
}

export interface Cgroup extends Disposable {
  /** With its children. */
  add(pid: number): void;
  leave(pid: number): void;
  set(file: string, value: number): void;
  get(file: string): string;
}

/** A reason to skip where this process may make no control group of that kind (version 1). */
export function noCgroup(controller: 'memory' | 'pids'): string | false {
  try {
    makeCgroup(controller)[Symbol.dispose]();
    return false;
  } catch {
    return `needs the ${controller} cgroup, version 1, as root`;
  }
}

/** Its processes must have ended, or been moved, when it is disposed. */
export function makeCgroup(controller: 'memory' | 'pids'): Cgroup {
  const root = `/sys/fs/cgroup/${controller}`;
  if (!existsSync(join(root, 'cgroup.procs'))) throw new Error(`There is no ${root}.`);
  const path = join(root, `archiver-test-${String(process.pid)}-${String(performance.now()).replace('.', '-')}`);
  mkdirSync(path);
  const write = (file: string, value: number): void => writeFileSync(join(path, file), String(value));
  return {
    add: (pid) => {
      for (const { pid: child } of childrenOf(pid)) write('cgroup.procs', child);
      write('cgroup.procs', pid);
    },
    leave: (pid) => writeFileSync(join(root, 'cgroup.procs'), String(pid)),
    set: write,
    get: (file) => readFileSync(join(path, file), 'utf8').trim(),
    [Symbol.dispose]: () => {
      for (const pid of readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
        writeFileSync(join(root, 'cgroup.procs'), pid);
      rmdirSync(path);
    },
  };
}
