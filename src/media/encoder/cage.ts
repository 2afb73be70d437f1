/** Says what an encoder that was taken over can still reach, by the layers that hold it. */

/** A ring around the encoder, each of a tool that either does its work or lets nothing start. */
export type Layer = 'limits' | 'tether' | 'nobody' | 'namespaces' | 'landlock' | 'seccomp';

/** What a taken-over encoder would want to reach. */
export type Way = 'network' | 'files' | 'parent' | 'signals';

/** In words, for the log and for README.md, which a test compares. */
export const WAYS: Readonly<Record<Way, string>> = {
  network: 'any network, and sockets of other programs',
  files: 'files other than its own program and libraries',
  parent: 'environment, memory and descriptors of the service',
  signals: 'signals to other processes',
};

interface Meaning {
  /** The programs that make it. */
  readonly by: string;
  readonly does: string;
  readonly closes: readonly Way[];
}

/** Outermost first. */
export const LAYERS: Readonly<Record<Layer, Meaning>> = {
  limits: { by: '`prlimit`', does: 'memory, CPU time and descriptors are bounded, no file can be written', closes: [] },
  tether: {
    by: '`setpriv`, `sh`',
    does: 'no new privileges; killed when the service is gone, and not started where it is gone already',
    closes: [],
  },
  nobody: {
    by: '`setpriv`, where the service is root',
    does: 'another user, without capabilities',
    closes: ['parent'],
  },
  namespaces: {
    by: '`bwrap`',
    does: 'a network, processes and a root folder of its own: folders of libraries, read-only',
    closes: ['network', 'files', 'parent', 'signals'],
  },
  landlock: {
    by: '`setpriv` of util-linux 2.41, Linux 6.2',
    does: 'opens exactly its program and its libraries; traces nobody',
    closes: ['files', 'parent'],
  },
  seccomp: {
    by: '`setpriv` of util-linux 2.41, or `bwrap`',
    does: 'only the system calls of a program that computes: no sockets, no signals, no new processes',
    closes: ['network', 'signals'],
  },
};

/** `full`: every way is closed. `none`: no layer at all (macOS). */
export type CageLevel = 'full' | 'partial' | 'none';

export interface Cage {
  readonly level: CageLevel;
  readonly layers: readonly Layer[];
  /** What a taken-over encoder could still reach. */
  readonly open: readonly Way[];
  /** Layers that there are not, and why. */
  readonly missing: readonly Missing[];
}

export interface Missing {
  readonly layer: Layer;
  readonly reason: string;
  /** Its trials were killed, which says nothing of the machine: the next start may have it. */
  readonly isMishap?: boolean;
}

/** The value that the log, /readyz and `archiver doctor` show. */
export function cageOf(layers: readonly Layer[], missing: readonly Missing[] = []): Cage {
  const open = openWays(layers);
  const level = layers.length === 0 ? 'none' : open.length === 0 ? 'full' : 'partial';
  return { level, layers, open, missing };
}

/** Whether an operator has to be told: something is open, or a layer was lost that this machine may well have. */
export function isLoose({ open, missing }: Cage): boolean {
  return open.length > 0 || missing.some(({ isMishap }) => isMishap === true);
}

export function openWays(layers: readonly Layer[]): readonly Way[] {
  const closed = new Set(layers.flatMap((layer) => LAYERS[layer].closes));
  return WAY_NAMES.filter((way) => !closed.has(way));
}

export const WAY_NAMES: readonly Way[] = ['network', 'files', 'parent', 'signals'];

/** Outermost first. */
export const LAYER_NAMES: readonly Layer[] = ['limits', 'tether', 'nobody', 'namespaces', 'landlock', 'seccomp'];
