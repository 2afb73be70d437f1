/** Process ids → CPU seconds and bytes of memory, as /proc has them (proc_pid_stat(5), proc_pid_status(5)). */
import { readFileSync } from 'node:fs';
import { familyOf } from '../support/service/children.ts';

/** `USER_HZ`: the unit of times in /proc, the same on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** User and system seconds of a process and of every child it has waited for; children that still run are not in it. */
export function cpuSecondsOf(pid: number): number {
  return sumOfTimes(pid, 4);
}

/** Of the process alone, without its children. */
export function ownCpuSecondsOf(pid: number): number {
  return sumOfTimes(pid, 2);
}

function sumOfTimes(pid: number, count: 2 | 4): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  // The name stands in parentheses and may hold anything; state is field 3, utime, stime, cutime and cstime are 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 11 + count).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_S;
}

export interface CpuWatch extends Disposable {
  /** Seconds since the watch began: of the process alone, and with all that comes of it. */
  readonly ownS: number;
  readonly allS: number;
}

/** What a process has used within its last milliseconds is not seen. */
const CPU_SAMPLED_EVERY_MS = 10;

/**
 * Samples a process and all that comes of it until disposed. An encoder's time never reaches the service by waiting for it:
 * bwrap leaves before it has waited for the first process of its namespace.
 */
export function watchCpu(pid: number): CpuWatch {
  const beganAtS = ownCpuSecondsOf(pid);
  const [before, last] = [new Map<string, number>(), new Map<string, number>()];
  const sample = (seen: Map<string, number>): void => {
    for (const child of familyOf(pid)) {
      const seconds = timeOf(child.pid);
      if (seconds !== undefined) seen.set(`${String(child.pid)} ${child.startedAt}`, seconds);
    }
  };
  sample(before);
  const timer = setInterval(() => sample(last), CPU_SAMPLED_EVERY_MS);
  const watch = {
    get ownS() {
      return ownCpuSecondsOf(pid) - beganAtS;
    },
    get allS() {
      sample(last);
      return [...last].reduce((sum, [child, seconds]) => sum + seconds - (before.get(child) ?? 0), watch.ownS);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
  return watch;
}

/** undefined where it is gone. */
function timeOf(pid: number): number | undefined {
  try {
    return ownCpuSecondsOf(pid);
  } catch {
    return undefined;
  }
}

/** Resident bytes of one process; 0 where it is gone. */
export function residentBytesOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${String(pid)}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

export interface MemoryWatch extends Disposable {
  /** The most the process itself held; every sample in order. */
  readonly peakBytes: number;
  readonly samples: readonly number[];
  /** The most its children held together, with what those have started: an encoder stands within its cage. */
  readonly childrenPeakBytes: number;
}

/** Samples a process and all that comes of it every `everyMs`, until disposed. */
export function watchMemory(pid: number, everyMs = 50): MemoryWatch {
  const samples: number[] = [];
  let childrenPeakBytes = 0;
  const timer = setInterval(() => {
    samples.push(residentBytesOf(pid));
    const family = familyOf(pid).reduce((sum, child) => sum + residentBytesOf(child.pid), 0);
    childrenPeakBytes = Math.max(childrenPeakBytes, family);
  }, everyMs);
  return {
    samples,
    get peakBytes() {
      return samples.reduce((most, sample) => Math.max(most, sample), 0);
    },
    get childrenPeakBytes() {
      return childrenPeakBytes;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** Share of the whole machine's time that was not idle since the snapshot, 0 to 1. */
export function watchMachine(): () => number {
  const before = machineTicks();
  return () => {
    const after = machineTicks();
    return 1 - (after.idle - before.idle) / Math.max(1, after.all - before.all);
  };
}

function machineTicks(): { readonly all: number; readonly idle: number } {
  const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: ticks.reduce((sum, each) => sum + each, 0), idle: (ticks[3] ?? 0) + (ticks[4] ?? 0) };
}
