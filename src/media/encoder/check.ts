/** A search path → an ffmpeg that can do the work, proven by doing some, in the tightest cage of this machine. */
import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { promisify } from 'node:util';
import { Failure } from '../../failure.ts';
import { type Cage, WAYS } from './cage.ts';
import type { CageContents } from './contents.ts';
import { closeInherited } from './inherited.ts';
import { keepProven, printOf, provenBefore } from './proven.ts';
import type { Encoder } from './process.ts';
import { findProgram, isExecutable, surroundingsOf } from './tools.ts';
import { findCage } from './trial.ts';

export interface Ffmpeg extends Encoder {
  /** As `ffmpeg -version` says it, for the manifest: `ffmpeg 5.1.9-0+deb12u1`. */
  readonly version: string;
  /** For the log, /readyz and `archiver doctor`. */
  readonly cage: Cage;
}

export interface FfmpegCheckOptions {
  /** Folders as in PATH; the environment's by default. */
  readonly searchPath?: string;
  /** `required`: no ffmpeg at all rather than one that could reach something. */
  readonly cage?: 'best' | 'required';
  /** Where what was proven is kept for the next start; beside the libraries of the service by default. */
  readonly provenIn?: string;
}

const INSTALL = 'install it: `apt-get install ffmpeg` (Debian, Ubuntu) or `brew install ffmpeg`';

/** What the ways of making WebM use, by the list in which ffmpeg names it. */
const NEEDED: Readonly<Record<'encoders' | 'muxers' | 'demuxers', readonly string[]>> = {
  encoders: ['libopus', 'libvpx-vp9'],
  muxers: ['webm'],
  demuxers: ['wav', 'ogg', 'mp3', 'flac', 'aac', 'mov', 'matroska'],
};

/**
 * Finds ffmpeg, asks it for what is needed, unless these very files were asked before, and converts a moment of silence as
 * tightly confined as this machine allows. Takes up to half a second: once, at the start.
 * @throws Failure `misconfigured` naming everything that is missing
 */
export async function checkFfmpeg(options: FfmpegCheckOptions = {}): Promise<Ffmpeg> {
  closeInherited();
  const searchPath = options.searchPath ?? process.env['PATH'] ?? '';
  const found = await findProgram('ffmpeg', searchPath);
  if (found === undefined) throw new Failure('misconfigured', `There is no ffmpeg on PATH; ${INSTALL}.`);
  const path = await realpath(found);
  const surroundings = await surroundingsOf(path, searchPath);
  const version = await provenVersion({ path, searchPath, contents: surroundings.tools.contents }, options.provenIn);
  const { confinement, cage } = await findCage({ path, searchPath, ...surroundings });
  if (options.cage === 'required' && cage.open.length > 0) throw tooOpen(cage);
  return { path, searchPath, confinement, cage, version };
}

interface FoundFfmpeg {
  readonly path: string;
  readonly searchPath: string;
  readonly contents: CageContents | undefined;
}

/** Its version, once it is certain that it has all that is needed. */
async function provenVersion({ path, searchPath, contents }: FoundFfmpeg, provenIn?: string): Promise<string> {
  const print = await printOf(contents, NEEDED);
  const before = print === undefined ? undefined : await provenBefore(print, provenIn);
  if (before !== undefined) return before;
  const ask = (...args: string[]): Promise<string> => run(path, { args, searchPath });
  const [said, missing] = await Promise.all([ask('-version'), missingIn(ask)]);
  if (missing.length > 0) {
    throw new Failure('misconfigured', `${path} lacks ${missing.join(', ')}; ${INSTALL}.`, { facts: { missing } });
  }
  const version = versionOf(said);
  if (print !== undefined) await keepProven({ print, version }, provenIn);
  return version;
}

function tooOpen({ open, missing }: Cage): Failure {
  const ways = open.map((way) => WAYS[way]).join('; ');
  const how = missing.map(({ layer, reason }) => `${layer}: ${reason}`).join('; ');
  return new Failure(
    'misconfigured',
    `ENCODER_CAGE=required, but an encoder that was taken over could reach: ${ways}. Install bubblewrap, or util-linux 2.41 or newer, and allow it to do its work (${how}); or set ENCODER_CAGE=best.`,
    { facts: { open, missing } },
  );
}

/** Whether what {@link checkFfmpeg} found is still there: costs nothing, for /readyz. @throws Failure `misconfigured` */
export async function requireFfmpeg({ path }: Ffmpeg): Promise<void> {
  if (!(await isExecutable(path))) throw new Failure('misconfigured', `${path} is gone; ${INSTALL}.`);
}

const runProgram = promisify(execFile);

async function run(
  path: string,
  { args, searchPath }: { args: readonly string[]; searchPath: string },
): Promise<string> {
  try {
    const limits = { timeout: 20_000, maxBuffer: 4 * 1024 * 1024, killSignal: 'SIGKILL' } as const;
    return (await runProgram(path, ['-hide_banner', ...args], { ...limits, env: { PATH: searchPath } })).stdout;
  } catch (cause) {
    throw new Failure('misconfigured', `${path} does not run; ${INSTALL}.`, { cause });
  }
}

async function missingIn(ask: (...args: string[]) => Promise<string>): Promise<readonly string[]> {
  const lists = ['encoders', 'muxers', 'demuxers'] as const;
  const missing = await Promise.all(
    lists.map(async (list) => {
      const names = namesIn(await ask(`-${list}`));
      return NEEDED[list].filter((name) => !names.has(name)).map((name) => `the ${list.slice(0, -1)} ${name}`);
    }),
  );
  return missing.flat();
}

/** Lines of flags, names (several, comma-separated) and a description. */
function namesIn(list: string): ReadonlySet<string> {
  const names = list.split('\n').flatMap((line) => /^\s+[A-Z.]{1,6}\s+([\w,-]+)\s/.exec(line)?.[1]?.split(',') ?? []);
  return new Set(names);
}

function versionOf(text: string): string {
  return `ffmpeg ${/^ffmpeg version (\S+)/m.exec(text)?.[1] ?? 'of unknown version'}`;
}
