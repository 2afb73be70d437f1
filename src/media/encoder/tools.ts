/** Finds what this machine has to build a cage of around one program, and says why a layer cannot be had here. */
import { execFile } from 'node:child_process';
import { access, constants, realpath } from 'node:fs/promises';
import { arch } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { type Layer, LAYER_NAMES } from './cage.ts';
import type { CageTools } from './confine.ts';
import { type CageContents, contentsOf } from './contents.ts';
import { type FilterFile, filterFileOf, keepFilterFile } from './filter-file.ts';
import { encoderFilter } from './seccomp.ts';

export interface CageSurroundings {
  readonly tools: CageTools;
  readonly obstacles: ReadonlyMap<Layer, string>;
}

/** `path` is the encoder, absolute and without links; `searchPath` folders as in PATH. Never rejects. */
export async function surroundingsOf(path: string, searchPath: string): Promise<CageSurroundings> {
  const names = ['nice', 'prlimit', 'setpriv', 'sh', 'bwrap'];
  const [[nice, prlimit, setpriv, sh, bwrap], contents] = await Promise.all([
    Promise.all(names.map((name) => findProgram(name, searchPath))),
    contentsOf(path).catch(() => undefined),
  ]);
  const rights = await rightsOf(setpriv);
  const tools = { nice, prlimit, setpriv, sh, bwrap, contents, rights, filter: filterFor(contents) };
  return { tools, obstacles: obstaclesTo(tools) };
}

/** The program of this name that would be run; undefined where there is none. */
export async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(delimiter)) {
    const path = join(folder, name);
    if (isAbsolute(path) && (await isExecutable(path))) return path;
  }
  return undefined;
}

export function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

const runTool = promisify(execFile);

/** What a setpriv that knows Landlock and seccomp needs of its own; undefined for one that does not. */
async function rightsOf(setpriv: string | undefined): Promise<CageContents | undefined> {
  if (setpriv === undefined) return undefined;
  try {
    const { stdout } = await runTool(setpriv, ['--help'], { env: {}, timeout: 20_000 });
    if (!/--landlock-rule[^]*--seccomp-filter/.test(stdout)) return undefined;
    return await contentsOf(await realpath(setpriv));
  } catch {
    return undefined;
  }
}

function filterFor(contents: CageContents | undefined): FilterFile | undefined {
  const bytes = encoderFilter(arch(), { startsPrograms: contents?.isScript ?? true });
  if (bytes === undefined) return undefined;
  const file = filterFileOf(bytes);
  try {
    keepFilterFile(file);
    return file;
  } catch {
    return undefined;
  }
}

const OLD_SETPRIV = 'this setpriv knows neither Landlock nor seccomp: it is older than util-linux 2.41';
const NO_CONTENTS = 'nobody could say which libraries the encoder needs';

function obstaclesTo(tools: CageTools): ReadonlyMap<Layer, string> {
  const { prlimit, setpriv, sh, bwrap, rights, contents, filter } = tools;
  const reasons: Readonly<Record<Layer, string | false>> = {
    limits: prlimit === undefined && 'there is no prlimit (util-linux)',
    tether: (setpriv === undefined && 'there is no setpriv (util-linux)') || (sh === undefined && 'there is no sh'),
    nobody: process.getuid?.() !== 0 && 'only root can become another user',
    namespaces:
      (bwrap === undefined && 'there is no bwrap (bubblewrap)') ||
      (contents === undefined && NO_CONTENTS) ||
      (process.pid === 1 && 'the service is process 1 and does not bury what bwrap leaves: start it behind an init'),
    landlock: (rights === undefined && OLD_SETPRIV) || (contents === undefined && NO_CONTENTS),
    seccomp:
      (filter === undefined && 'the filter could not be made: unknown architecture, or no temporary folder') ||
      (rights === undefined && bwrap === undefined && OLD_SETPRIV),
  };
  const obstacles = LAYER_NAMES.map((layer) => [layer, reasons[layer]] as const);
  return new Map(obstacles.flatMap(([layer, reason]) => (reason === false ? [] : [[layer, reason] as const])));
}
