/** A list of system calls → the filter that allows these alone, as classic BPF for `setpriv --seccomp-filter` and `bwrap --seccomp`. */
import { endianness } from 'node:os';

/**
 * What a program needs that reads pipes and its own libraries, computes in threads and writes to pipes. Anything else does
 * not exist (ENOSYS), as on an older kernel: libraries know how to go on then. Numbers by architecture: x64, arm64.
 * https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
 */
const HARMLESS = `
  read 0 63, write 1 64, futex 202 98, poll 7 -, ppoll 271 73, readv 19 65, writev 20 66, pread64 17 67, preadv 295 69,
  mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214, lseek 8 62, close 3 57,
  open 2 -, openat 257 56, stat 4 -, lstat 6 -, fstat 5 80, newfstatat 262 79, statx 332 291, access 21 -,
  faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78, fadvise64 221 223, getcwd 79 17, statfs 137 43,
  fstatfs 138 44, select 23 -, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
  eventfd2 290 19, pipe 22 -, pipe2 293 59, dup 32 23, dup2 33 -, dup3 292 24,
  set_robust_list 273 99, set_tid_address 218 96, rseq 334 293, sched_yield 24 124, sched_getaffinity 204 123, getcpu 309 168,
  arch_prctl 158 -, getrlimit 97 163, getrusage 98 165, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139,
  rt_sigsuspend 130 133, sigaltstack 131 132, restart_syscall 219 128, clock_gettime 228 113, clock_getres 229 114,
  clock_nanosleep 230 115, nanosleep 35 101, gettimeofday 96 169, time 201 -, times 100 153, getpid 39 172, gettid 186 178,
  getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150,
  getgroups 115 158, uname 63 160, sysinfo 99 179, getrandom 318 278, exit 60 93, exit_group 231 94, execve 59 221,
  wait4 61 260, capget 125 90, capset 126 91,
  landlock_create_ruleset 444 444, landlock_add_rule 445 445, landlock_restrict_self 446 446`;

/** What a script in the encoder's place needs besides: it starts programs. */
const FOR_SCRIPTS = `
  fork 57 -, vfork 58 -, waitid 247 95, getdents64 217 61, chdir 80 49, fchdir 81 50, umask 95 166, getpgrp 111 -,
  getpgid 121 155, getsid 124 156`;

/** Allowed by what the first argument is. */
const CLONE = [56, 220] as const;
const PRCTL = [157, 167] as const;
/** By the second. */
const FCNTL = [72, 25] as const;
const IOCTL = [16, 29] as const;
/** Reads limits, and sets them where its third argument is not null. */
const PRLIMIT = [302, 261] as const;

/** clone(2): a thread of the same process. */
const CLONE_THREAD = 0x10000;
/** clone(2): every namespace. */
const CLONE_NEW_ANY = 0x7e020000;

/**
 * prctl(2): names, and what setpriv asks on its way to the encoder. PR_SET_PDEATHSIG is not among them: the encoder could
 * outlive the service.
 */
const PRCTL_ALLOWED = { PR_SET_KEEPCAPS: 8, PR_SET_NAME: 15, PR_GET_NAME: 16, PR_GET_SECCOMP: 21, PR_CAPBSET_READ: 23 };
const PRCTL_ALSO = { PR_GET_SECUREBITS: 27, PR_SET_NO_NEW_PRIVS: 38, PR_GET_NO_NEW_PRIVS: 39, PR_CAP_AMBIENT: 47 };
const PR_SET_VMA = 0x53564d41;

/** fcntl(2): F_SETOWN and F_SETSIG would send any signal to anybody of the same user; the same by ioctl(2) are FIOSETOWN, SIOCSPGRP. */
const FCNTL_ALLOWED = { F_DUPFD: 0, F_GETFD: 1, F_SETFD: 2, F_GETFL: 3, F_SETFL: 4, F_DUPFD_CLOEXEC: 1030 };
const IOCTL_ALLOWED = {
  TCGETS: 0x5401,
  TIOCGWINSZ: 0x5413,
  FIONREAD: 0x541b,
  FIONBIO: 0x5421,
  FIONCLEX: 0x5450,
  FIOCLEX: 0x5451,
};

interface Architecture {
  /** Of the columns above. */
  readonly column: 0 | 1;
  /** AUDIT_ARCH_… of linux/audit.h. */
  readonly audit: number;
}

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  x64: { column: 0, audit: 0xc000003e },
  arm64: { column: 1, audit: 0xc00000b7 },
};

/** The filter's bytes; undefined where this architecture is not known here. */
export function encoderFilter(
  architecture: string,
  { startsPrograms }: { startsPrograms: boolean },
): Buffer | undefined {
  const known = ARCHITECTURES[architecture];
  if (known === undefined || endianness() !== 'LE') return undefined;
  const { column, audit } = known;
  const plain = [...numbersIn(HARMLESS, column), ...(startsPrograms ? numbersIn(FOR_SCRIPTS, column) : [])];
  const own = startsPrograms
    ? [...load(argument(0)), ...unlessAnyBit(CLONE_NEW_ANY, ALLOW)]
    : [...load(argument(0)), ...ifAnyBit(CLONE_THREAD, ALLOW)];
  return Buffer.concat([
    ...load(ARCHITECTURE_AT),
    ...unlessEqual(audit, KILL),
    ...load(NUMBER_AT),
    ...plain.flatMap((number) => ifEqual(number, ALLOW)),
    ...onCall(CLONE[column], own),
    ...onCall(PRCTL[column], oneOf(0, [...Object.values(PRCTL_ALLOWED), ...Object.values(PRCTL_ALSO), PR_SET_VMA])),
    ...onCall(FCNTL[column], oneOf(1, Object.values(FCNTL_ALLOWED))),
    ...onCall(IOCTL[column], oneOf(1, Object.values(IOCTL_ALLOWED))),
    ...onCall(PRLIMIT[column], [
      ...load(argument(2)),
      ...unlessEqual(0, ABSENT),
      ...load(argument(2) + 4),
      ...ifEqual(0, ALLOW),
    ]),
    give(ABSENT),
  ]);
}

function numbersIn(list: string, column: 0 | 1): readonly number[] {
  const numbers = list.split(',').map((entry) => entry.trim().split(' ')[column + 1]);
  return numbers.flatMap((number) => (number === undefined || number === '-' ? [] : [Number(number)]));
}

type Code = readonly Buffer[];

/** Offsets in `struct seccomp_data`, linux/seccomp.h; of an argument its lower half. */
const NUMBER_AT = 0;
const ARCHITECTURE_AT = 4;
const argument = (index: number): number => 16 + 8 * index;

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const ENOSYS = 38;
const ABSENT = 0x00050000 | ENOSYS;

const give = (verdict: number): Buffer => instruction(0x06, verdict);
const load = (offset: number): Code => [instruction(0x20, offset)];
const ifEqual = (value: number, verdict: number): Code => [instruction(0x15, value, [0, 1]), give(verdict)];
const unlessEqual = (value: number, verdict: number): Code => [instruction(0x15, value, [1, 0]), give(verdict)];
const ifAnyBit = (bits: number, verdict: number): Code => [instruction(0x45, bits, [0, 1]), give(verdict)];
const unlessAnyBit = (bits: number, verdict: number): Code => [instruction(0x45, bits, [1, 0]), give(verdict)];

/** For this call alone; what it does not allow is absent. */
function onCall(number: number, code: Code): Code {
  return [instruction(0x15, number, [0, code.length + 1]), ...code, give(ABSENT)];
}

function oneOf(index: number, values: readonly number[]): Code {
  return [...load(argument(index)), ...values.flatMap((value) => ifEqual(value, ALLOW))];
}

/** `struct sock_filter`: code, what to skip where true and where false, operand. */
function instruction(
  code: number,
  operand: number,
  [whereTrue, whereFalse]: readonly [number, number] = [0, 0],
): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(whereTrue, 2);
  bytes.writeUInt8(whereFalse, 3);
  bytes.writeUInt32LE(operand, 4);
  return bytes;
}
