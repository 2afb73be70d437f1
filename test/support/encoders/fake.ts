/** Puts one of the misbehaving encoders of this folder in ffmpeg's place, as confined as the real one, and counts what is left of it. */
import { chmod, copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkFfmpeg, type Ffmpeg } from '../../../src/media/encoder/check.ts';
import { contentsOf } from '../../../src/media/encoder/contents.ts';
import { surroundingsOf } from '../../../src/media/encoder/tools.ts';
import { ffmpeg } from '../media/ffmpeg.ts';

export type Misbehaviour =
  | 'silent'
  | 'deaf'
  | 'crash-midway'
  | 'crash-late'
  | 'leave-early'
  | 'leaves-out'
  | 'short'
  | 'flood'
  | 'forks'
  | 'killed'
  | 'burns'
  | 'stalls'
  | 'lingers'
  | 'babbles'
  | 'pauses';

/** A folder that is in the environment of every process started through it, and so finds them all. */
export interface Staging extends AsyncDisposable {
  readonly real: Ffmpeg;
  /** What those of them write that write a whole file: four seconds. */
  readonly sample: Buffer;
  fake(name: Misbehaviour): Promise<Ffmpeg>;
  /** Ids of living processes (zombies are dead), of the cage or in it; or of those alone that run a program of this name. */
  census(program?: string): Promise<readonly string[]>;
  /** Waits until one runs a program of this name, and kills it alone. */
  kill(program: string): Promise<void>;
  /** Waits until there is somebody: between two programs of its start a process shows no environment. */
  appearance(): Promise<readonly string[]>;
  /** Waits until the census is empty; what is left after 2 s, invariant 5. */
  leftovers(): Promise<readonly string[]>;
}

export async function openStaging(): Promise<Staging> {
  const folder = await mkdtemp(join(tmpdir(), 'archiver-encoders-'));
  // The encoder runs as nobody where the tests run as root.
  await chmod(folder, 0o755);
  const found = await checkFfmpeg();
  const real = { ...found, searchPath: `${folder}:${found.searchPath}` };
  const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=8000:duration=4'];
  const sample = await ffmpeg(...tone, '-c:a', 'libopus', '-f', 'webm', 'pipe:1');
  await writeFile(join(folder, 'sample.webm'), sample);
  const census = (program?: string): Promise<readonly string[]> => livingWith(folder, program);
  return {
    real,
    sample,
    census,
    async kill(program) {
      const [id] = await polled(
        () => census(program),
        (ids) => ids.length > 0,
        10_000,
      );
      process.kill(Number(id), 'SIGKILL');
    },
    appearance: () => polled(census, (ids) => ids.length > 0, 10_000),
    leftovers: () => polled(census, (ids) => ids.length === 0, 2000),
    async fake(name) {
      const path = join(folder, name);
      await copyFile(join(import.meta.dirname, name), path);
      await chmod(path, 0o755);
      return standIn(real, path, [join(folder, 'sample.webm')]);
    },
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true });
    },
  };
}

/** Another program in the cage of the real one, with files that it may read besides. */
export async function standIn(real: Ffmpeg, path: string, files: readonly string[] = []): Promise<Ffmpeg> {
  const { tools } = await surroundingsOf(path, real.searchPath);
  const own = tools.contents ?? (await contentsOf(path));
  const contents = { ...own, reads: [...own.reads, ...files], alone: [...own.alone, ...files] };
  return { ...real, path, confinement: { layers: real.confinement.layers, tools: { ...tools, contents } } };
}

type Census = () => Promise<readonly string[]>;

async function polled(census: Census, isIt: (ids: readonly string[]) => boolean, withinMs: number): ReturnType<Census> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const ids = await census();
    if (isIt(ids) || performance.now() > deadline) return ids;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether this machine shows its processes as files; without, the census is always empty. */
async function livingWith(mark: string, program?: string): Promise<readonly string[]> {
  const ids = (await readdir('/proc').catch(() => [])).filter(
    (name) => /^\d+$/.test(name) && name !== String(process.pid),
  );
  const marked = await Promise.all(
    ids.map(async (id) => {
      const [environment, stat] = await Promise.all([read(`/proc/${id}/environ`), read(`/proc/${id}/stat`)]);
      const isIt = program === undefined || stat.includes(`(${program})`);
      return isIt && environment.includes(mark) && !/\) [ZX] /.test(stat) ? [id] : [];
    }),
  );
  return marked.flat();
}

function read(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => '');
}
