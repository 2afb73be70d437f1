/** Turns a search path into an ffmpeg that can do the work, proven by doing some, and what confines it on this machine. */
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../../failure.ts';
import { encodeArguments, type EncodePlan, limitsOf } from './arguments.ts';
import { failureOf } from './failure.ts';
import { type Confinement, type Encoder, startEncoder } from './process.ts';
import type { Media } from '../sniff.ts';

export interface Ffmpeg extends Encoder {
  /** As `ffmpeg -version` says it, for the manifest: `ffmpeg 5.1.9-0+deb12u1`. */
  readonly version: string;
  /** For the log and /readyz. `none`: pipes, forced demuxers and whitelists only (macOS). */
  readonly sandbox: 'prlimit+setpriv+nobody' | 'prlimit+setpriv' | 'prlimit' | 'none';
}

export interface FfmpegCheckOptions {
  /** Folders as in PATH; the environment's by default. */
  readonly searchPath?: string;
}

const INSTALL = 'install it: `apt-get install ffmpeg` (Debian, Ubuntu) or `brew install ffmpeg`';

/** What the ways of making WebM use, by the list in which ffmpeg names it. */
const NEEDED: Readonly<Record<'encoders' | 'muxers' | 'demuxers', readonly string[]>> = {
  encoders: ['libopus', 'libvpx-vp9'],
  muxers: ['webm'],
  demuxers: ['wav', 'ogg', 'mp3', 'flac', 'aac', 'mov', 'matroska'],
};

/**
 * Finds ffmpeg, asks it for what is needed, and converts a moment of silence as tightly confined as this machine allows.
 * Takes about half a second: once, at the start. @throws Failure `misconfigured` naming everything that is missing
 */
export async function checkFfmpeg(options: FfmpegCheckOptions = {}): Promise<Ffmpeg> {
  const searchPath = options.searchPath ?? process.env['PATH'] ?? '';
  const path = await find('ffmpeg', searchPath);
  if (path === undefined) throw new Failure('misconfigured', `There is no ffmpeg on PATH; ${INSTALL}.`);
  const ask = (...args: string[]): Promise<string> => run(path, { args, searchPath });
  const [version, missing] = await Promise.all([ask('-version'), missingIn(ask)]);
  if (missing.length > 0) {
    throw new Failure('misconfigured', `${path} lacks ${missing.join(', ')}; ${INSTALL}.`, { facts: { missing } });
  }
  const confinement = await confinementFor(path, searchPath);
  return { path, searchPath, confinement, version: versionOf(version), sandbox: nameOf(confinement) };
}

/** Whether what {@link checkFfmpeg} found is still there: costs nothing, for /readyz. @throws Failure `misconfigured` */
export async function requireFfmpeg({ path }: Ffmpeg): Promise<void> {
  if (!(await isExecutable(path))) throw new Failure('misconfigured', `${path} is gone; ${INSTALL}.`);
}

async function find(name: string, searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(delimiter)) {
    const path = join(folder, name);
    if (isAbsolute(path) && (await isExecutable(path))) return path;
  }
  return undefined;
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

const execute = promisify(execFile);

async function run(
  path: string,
  { args, searchPath }: { args: readonly string[]; searchPath: string },
): Promise<string> {
  try {
    const limits = { timeout: 20_000, maxBuffer: 4 * 1024 * 1024, killSignal: 'SIGKILL' } as const;
    return (await execute(path, ['-hide_banner', ...args], { ...limits, env: { PATH: searchPath } })).stdout;
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

/** The tightest confinement under which it works; what works nowhere is the fault of ffmpeg itself. */
async function confinementFor(path: string, searchPath: string): Promise<Confinement> {
  const [prlimit, setpriv] = await Promise.all([find('prlimit', searchPath), find('setpriv', searchPath)]);
  const choices: readonly Confinement[] = [
    ...(setpriv === undefined
      ? []
      : [
          { prlimit, setpriv, dropsIds: true },
          { prlimit, setpriv, dropsIds: false },
        ]),
    ...(prlimit === undefined ? [] : [{ prlimit, setpriv: undefined, dropsIds: false }]),
  ];
  const isRoot = process.getuid?.() === 0;
  for (const confinement of choices) {
    if (confinement.dropsIds && !isRoot) continue;
    if ((await trial({ path, searchPath, confinement })) === undefined) return confinement;
  }
  const unconfined: Confinement = { prlimit: undefined, setpriv: undefined, dropsIds: false };
  const failure = await trial({ path, searchPath, confinement: unconfined });
  if (failure !== undefined) throw failure;
  return unconfined;
}

function nameOf({ prlimit, setpriv, dropsIds }: Confinement): Ffmpeg['sandbox'] {
  if (setpriv === undefined) return prlimit === undefined ? 'none' : 'prlimit';
  return dropsIds ? 'prlimit+setpriv+nobody' : 'prlimit+setpriv';
}

const SILENCE: Media = { kind: 'wav', codec: 'pcm', channels: 1, sampleRate: 8000 };

const TRIAL: EncodePlan = { media: [SILENCE], maxDurationMs: 1000 };

/** A tenth of a second, by the very arguments and limits of real work. */
async function trial(encoder: Encoder): Promise<Failure | undefined> {
  const order = { args: encodeArguments(TRIAL), limits: limitsOf(TRIAL), inputs: 1 };
  const child = await startEncoder(encoder, order);
  child.inputs[0]?.end(silentWav(800));
  let sizeBytes = 0;
  for await (const chunk of child.output) sizeBytes += Buffer.byteLength(chunk);
  const ending = await child.ended;
  if (ending.code === 0 && sizeBytes > 0) return undefined;
  const { facts } = failureOf(ending);
  return new Failure('misconfigured', `${encoder.path} cannot convert a moment of silence; ${INSTALL}.`, { facts });
}

function silentWav(samples: number): Buffer {
  const wav = Buffer.alloc(44 + samples * 2);
  wav.write('RIFF', 0, 'latin1');
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8, 'latin1');
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(8000, 24);
  wav.writeUInt32LE(16_000, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36, 'latin1');
  wav.writeUInt32LE(samples * 2, 40);
  return wav;
}
