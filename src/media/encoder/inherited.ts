/** Closes what the service was handed by whoever started it and does not know of, so that no encoder is handed it in turn. */
import { closeSync, readdirSync, readFileSync } from 'node:fs';

/** open(2) on x64 and arm64 alike: closed when another program is started. Whatever Node opens has it. */
const O_CLOEXEC = 0o2000000;

/** To be called before anything is started. Standard input, output and error stay, as does what is only for Node itself. */
export function closeInherited(): void {
  for (const fd of descriptors()) {
    if (fd > 2 && !closesItself(fd)) closeSync(fd);
  }
}

/** None where the system does not list them (macOS). */
function descriptors(): readonly number[] {
  try {
    return readdirSync('/proc/self/fd').map(Number);
  } catch {
    return [];
  }
}

/** proc_pid_fdinfo(5). What is gone already needs no closing. */
function closesItself(fd: number): boolean {
  try {
    const [, flags = ''] = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${String(fd)}`, 'utf8')) ?? [];
    return (Number.parseInt(flags, 8) & O_CLOEXEC) !== 0;
  } catch {
    return true;
  }
}
