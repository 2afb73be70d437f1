/** An encoder's command → the same command inside its cage: util-linux and bubblewrap around it, ring by ring. */
import { release } from 'node:os';
import { dirname } from 'node:path';
import { Failure } from '../../failure.ts';
import type { EncoderLimits } from './arguments.ts';
import type { Layer } from './cage.ts';
import type { CageContents } from './contents.ts';
import type { FilterFile } from './filter-file.ts';

/** What holds an encoder here. */
export interface Confinement {
  readonly layers: readonly Layer[];
  readonly tools: CageTools;
}

export const UNCONFINED: Confinement = { layers: [], tools: {} };

/** What cages are built of: programs by their absolute path, and what was found out about the encoder. */
export interface CageTools {
  /** Of coreutils; everywhere. */
  readonly nice?: string | undefined;
  readonly prlimit?: string | undefined;
  readonly setpriv?: string | undefined;
  readonly sh?: string | undefined;
  readonly bwrap?: string | undefined;
  /** Of a setpriv that knows Landlock and seccomp: itself and its libraries. */
  readonly rights?: CageContents | undefined;
  readonly contents?: CageContents | undefined;
  /** Of seccomp. */
  readonly filter?: FilterFile | undefined;
}

export interface EncoderCommand {
  /** Without links on its way. */
  readonly path: string;
  readonly args: readonly string[];
  readonly limits: EncoderLimits;
  /** Files on pipes: 1 or 2. */
  readonly inputs: number;
  /** It takes what is left of the cores: of whatever it starts, nothing begins before that holds. */
  readonly givesWay?: boolean;
}

export interface ConfinedCommand {
  readonly command: readonly string[];
  /** The descriptor of a pipe that nobody writes to and whose other end the service holds, where the cage asks for one. */
  readonly lifeline: 3 | 4 | undefined;
}

/** Facts in setpriv(1), prlimit(1) and bwrap(1). */
export function confine({ layers, tools }: Confinement, order: EncoderCommand): ConfinedCommand {
  const lifeline = !layers.includes('namespaces') ? undefined : order.inputs > 1 ? 4 : 3;
  const cage = new Rings(layers, tools);
  const rings = [
    cage.patience(order.givesWay),
    cage.tether(lifeline),
    cage.limits(order.limits),
    cage.rooms(),
    cage.rights(),
  ];
  return { command: [...rings.flat(), order.path, ...order.args], lifeline };
}

/** The command line of each ring, from the outside in; empty where its layer is not asked for. */
class Rings {
  readonly #tools: CageTools;
  readonly #has: ReadonlySet<Layer>;
  /** Who applies the seccomp filter: setpriv, where it can. */
  readonly #filteredBy: 'setpriv' | 'bwrap' | undefined;

  constructor(layers: readonly Layer[], tools: CageTools) {
    this.#tools = tools;
    this.#has = new Set(layers);
    this.#filteredBy = !this.#has.has('seccomp') ? undefined : tools.rights === undefined ? 'bwrap' : 'setpriv';
  }

  /** Around all others: a ring that is told from outside may have started somebody by then, who is never told. */
  patience(givesWay = false): readonly string[] {
    const { nice } = this.#tools;
    return givesWay && nice !== undefined && this.#has.size > 0 ? [nice, '-n', String(NICE)] : [];
  }

  /**
   * Death with the service (prctl(2), PR_SET_PDEATHSIG), and behind it a look whether the service is still there: who was
   * killed in between would never be heard of.
   */
  tether(lifeline: number | undefined): readonly string[] {
    if (!this.#has.has('tether')) return [];
    const { setpriv, sh } = this.#tools;
    const ids = this.#has.has('nobody') ? DROP_IDS : [];
    const script = [
      CHECK,
      ...(lifeline === undefined ? [] : [guard(lifeline)]),
      `exec "$@" ${this.#redirections(lifeline)}`,
    ];
    // What follows the script is what it calls itself.
    const shell = [need(sh), '-c', script.join('\n'), String(process.pid)];
    return [need(setpriv), '--no-new-privs', '--pdeathsig', 'SIGKILL', ...ids, ...shell];
  }

  #redirections(lifeline: number | undefined): string {
    const closed = lifeline === undefined ? [] : [`${String(lifeline)}<&-`];
    const opened = this.#filteredBy === 'bwrap' ? [`${FILTER_FD}<${quoted(need(this.#tools.filter).path)}`] : [];
    return [...closed, ...opened].join(' ');
  }

  /** A file size of 0 keeps media off the disk. */
  limits({ memoryBytes, cpuS }: EncoderLimits): readonly string[] {
    if (!this.#has.has('limits')) return [];
    const cpu = String(cpuS);
    const files = String(OPEN_FILES + this.#rules().length);
    const limits = [`--as=${String(memoryBytes)}`, `--cpu=${cpu}:${cpu}`, `--nofile=${files}:${files}`];
    return [need(this.#tools.prlimit), ...limits, '--fsize=0:0', '--core=0:0'];
  }

  rooms(): readonly string[] {
    if (!this.#has.has('namespaces')) return [];
    const { bwrap, contents, rights, filter } = this.#tools;
    const inside = [need(contents), ...(this.#rights().length > 0 ? [need(rights)] : [])];
    const folders = new Set(inside.flatMap((program) => program.folders));
    const files = inside.flatMap((program) => [...program.executes, ...program.alone]);
    const shown = [...folders, ...files.filter((path) => !folders.has(dirname(path)))];
    if (this.#filteredBy === 'setpriv') shown.push(need(filter).path);
    return [
      need(bwrap),
      ...OWN_ROOMS,
      ...shown.flatMap((path) => ['--ro-bind', path, path]),
      ...inside.flatMap((program) => program.links).flatMap(({ path, target }) => ['--symlink', target, path]),
      ...(need(contents).isScript ? ['--dev', '/dev'] : []),
      ...READ_ONLY,
      ...(this.#filteredBy === 'bwrap' ? ['--seccomp', FILTER_FD] : []),
    ];
  }

  rights(): readonly string[] {
    const rights = this.#rights();
    return rights.length === 0 ? [] : [need(this.#tools.setpriv), '--no-new-privs', ...rights];
  }

  #rights(): readonly string[] {
    const filter = this.#filteredBy === 'setpriv' ? ['--seccomp-filter', need(this.#tools.filter).path] : [];
    const rules = this.#rules().flatMap((rule) => ['--landlock-rule', `path-beneath:${rule}`]);
    return [...(rules.length > 0 ? ['--landlock-access', LANDLOCK, ...rules] : []), ...filter];
  }

  /** What may be done with which file; setpriv opens each of them. */
  #rules(): readonly string[] {
    if (!this.#has.has('landlock')) return [];
    const { executes, reads, folders, isScript } = need(this.#tools.contents);
    const own = [...executes.map((path) => `read-file,execute:${path}`), ...reads.map((path) => `read-file:${path}`)];
    if (!isScript) return own;
    return [...own, ...folders.map((path) => `read-file,read-dir,execute:${path}`), 'read-file,write-file:/dev/null'];
  }
}

/** In the service's own process group nothing is started: `$0` is the service's process id. */
const CHECK = '[ "$PPID" = "$0" ] || exit 1';

/**
 * bwrap starts a process of its own that misses its parent's death in its first milliseconds. So somebody waits for the end of
 * a pipe that only the service holds, and kills the encoder's process group then; of the encoder's pipes he keeps none open.
 */
function guard(lifeline: number): string {
  const inputs = lifeline > 3 ? '<&- 3<&-' : '<&-';
  return `(exec ${inputs} >&- 2>&-; read -r _ <&${String(lifeline)}; kill -KILL 0) &`;
}

/** Nobody, on every Linux. */
const NOBODY = '65534';

const DROP_IDS: readonly string[] = [
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--bounding-set=-all',
  '--inh-caps=-all',
];

/** An encoder nobody listens to takes what is left of the cores: whoever asks the service something is answered first. */
export const NICE = 10;

/** Descriptors an encoder may have open. */
const OPEN_FILES = 64;

const FILTER_FD = '9';

/** Before Linux 6.2 truncate(2) is not among them, which the seccomp filter has not either. */
const OF_5_13 =
  'execute,write-file,read-file,read-dir,remove-dir,remove-file,make-char,make-dir,make-reg,make-sock,make-fifo,make-block,make-sym';

/** All that this kernel can forbid. https://docs.kernel.org/userspace-api/landlock.html#previous-limitations */
const LANDLOCK = /^(?:[0-5]\.|6\.[01]\.)/.test(release()) ? `fs:${OF_5_13}` : 'fs';

/** No network but a loopback of its own, no /proc, no /dev; gone when bwrap is. */
const OWN_ROOMS: readonly string[] =
  '--unshare-user --unshare-net --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --die-with-parent --cap-drop ALL'.split(
    ' ',
  );

const READ_ONLY: readonly string[] = ['--remount-ro', '/', '--chdir', '/'];

function quoted(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}

/** Layers whose tools are not there are never asked for. */
function need<T>(tool: T | undefined): T {
  if (tool === undefined) throw new Failure('internal', 'A layer of the encoder’s cage lacks its tool.');
  return tool;
}
