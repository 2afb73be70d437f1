/** Arguments → one run of the bare ffmpeg, with the user and system seconds it took. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { Readable } from 'node:stream';

/** The original design's command: one setting for every recording. */
export const REFERENCE: readonly string[] =
  '-y -i pipe:0 -c:v libvpx-vp9 -c:a libopus -b:v 1M -b:a 128k -f webm pipe:1'.split(' ');

const QUIET: readonly string[] = ['-hide_banner', '-nostdin', '-nostats', '-loglevel', 'error'];

export interface Run {
  readonly cpuS: number;
  /** What it wrote to its standard error. */
  readonly said: string;
}

export interface Redirects {
  /** Its standard input: a file, which costs it less than a pipe would. */
  readonly input?: string;
  readonly output?: string;
  /** Both through pipes, as the service gives them; what is at their other ends is not counted. */
  readonly piped?: boolean;
}

/** `times` of the shell counts user and system time of what it waited for; the code is told, since a pipe has only that of its end. */
const RUN = '{ ffmpeg "$@" 3>&-; code=$?; times >&3; echo $code >&3; }';
const SCRIPT = `input=$1; output=$2; shift 2; ${RUN} <"$input" >"$output"`;
const PIPED_SCRIPT = `input=$1; output=$2; shift 2; cat "$input" | ${RUN} | cat >"$output"`;

/** @throws Error with what ffmpeg said */
export async function runFfmpeg(args: readonly string[], redirects: Redirects = {}): Promise<Run> {
  const script = redirects.piped === true ? PIPED_SCRIPT : SCRIPT;
  const child = spawn(
    'sh',
    ['-c', script, 'sh', redirects.input ?? '/dev/null', redirects.output ?? '/dev/null', ...QUIET, ...args],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  );
  const [told, said] = await Promise.all([read(child.stdio[3]), read(child.stderr)]);
  const [, children = '', code = 'no code'] = told.trim().split('\n');
  if (code !== '0') throw new Error(`ffmpeg ${args.join(' ')} ended with ${code}: ${said.slice(-1000)}`);
  return { cpuS: secondsOf(children), said };
}

/** `0m1.230000s 0m0.040000s`. */
function secondsOf(line: string): number {
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + Number(m) * 60 + Number(s), 0);
}

async function read(stream: unknown): Promise<string> {
  return stream instanceof Readable ? text(stream) : '';
}

/** SSIM of a video against its source, frame of the source by frame; times are compared in WebM's milliseconds. */
export async function ssimOf(source: string, result: string): Promise<number> {
  // The codec delay of the sound moves the picture by some milliseconds: both begin at zero here.
  const [a, b] = [0, 1].map((index) => `[${String(index)}:v]settb=1/1000,setpts=PTS-STARTPTS`);
  const graph = `${a ?? ''}[a];${b ?? ''}[b];[a][b]ssim`;
  const { said } = await runFfmpeg([
    '-loglevel',
    'info',
    '-i',
    source,
    '-i',
    result,
    '-lavfi',
    graph,
    '-f',
    'null',
    '-',
  ]);
  return Number(/SSIM .*All:([\d.]+)/.exec(said)?.[1] ?? NaN);
}

/** `ffmpeg 5.1.9-0+deb12u1`. */
export async function ffmpegVersion(): Promise<string> {
  const child = spawn('ffmpeg', ['-version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  return /^ffmpeg version \S+/.exec(await text(child.stdout))?.[0]?.replace('version ', '') ?? 'unknown';
}
