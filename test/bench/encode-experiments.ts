/** The fixtures and a list of encoder settings → tables of CPU, size and quality: where the constants of src/media/encoder/arguments.ts come from. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
const REFERENCE = ['-c:v', 'libvpx-vp9', '-c:a', 'libopus', '-b:v', '1M', '-b:a', '128k'];
const QUIET = ['-hide_banner', '-nostdin', '-nostats', '-loglevel', 'error', '-y'];

interface Run {
  readonly cpuS: number;
  readonly stdout: Buffer;
}

/** `times` of the shell counts user and system time of what it waited for: the whole encoder, to 10 ms. */
async function run(args: readonly string[]): Promise<Run> {
  const child = spawn('sh', ['-c', 'ffmpeg "$@" 3>&-; code=$?; times >&3; exit $code', 'sh', ...QUIET, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const [out, errors, times] = await Promise.all(
    child.stdio.slice(1, 4).map(async (stream) => {
      const chunks: Buffer[] = [];
      if (stream !== null && stream !== undefined && 'read' in stream)
        for await (const chunk of stream) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks);
    }),
  );
  const ofChildren = times?.toString().trim().split('\n')[1] ?? '';
  const cpuS = [...ofChildren.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + Number(m) * 60 + Number(s),
    0,
  );
  if (errors !== undefined && errors.length > 0) console.error(errors.toString().trim().slice(0, 500));
  return { cpuS, stdout: out ?? Buffer.alloc(0) };
}

/** The least of several runs: noise only ever adds. */
async function cpuOf(args: readonly string[], repeats: number): Promise<number> {
  let least = Infinity;
  for (let index = 0; index < repeats; index += 1) least = Math.min(least, (await run(args)).cpuS);
  return least;
}

const RATE = 8000;
const FRAME = 256;
const HOP = 128;
const LOW_BIN = Math.round((100 * FRAME) / RATE);
const HIGH_BIN = Math.round((3400 * FRAME) / RATE);

async function decode(file: string, before: readonly string[] = []): Promise<readonly [Float64Array, Float64Array]> {
  const { stdout } = await run([...before, '-i', file, '-ac', '2', '-ar', String(RATE), '-f', 's16le', 'pipe:1']);
  const samples = Math.floor(stdout.length / 4);
  const left = new Float64Array(samples);
  const right = new Float64Array(samples);
  for (let index = 0; index < samples; index += 1) {
    left[index] = stdout.readInt16LE(index * 4) / 32768;
    right[index] = stdout.readInt16LE(index * 4 + 2) / 32768;
  }
  return [left, right];
}

const WINDOW = Float64Array.from({ length: FRAME }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / FRAME));

/** Power per bin of one windowed frame (a plain radix-2 transform is enough for a benchmark). */
function spectrum(signal: Float64Array, start: number): Float64Array {
  const re = new Float64Array(FRAME);
  const im = new Float64Array(FRAME);
  for (let n = 0; n < FRAME; n += 1) re[reverse(n)] = (signal[start + n] ?? 0) * (WINDOW[n] ?? 0);
  for (let size = 2; size <= FRAME; size *= 2) {
    for (let block = 0; block < FRAME; block += size) butterfly(re, im, block, size);
  }
  return re.slice(0, FRAME / 2).map((value, bin) => value ** 2 + (im[bin] ?? 0) ** 2);
}

function reverse(n: number): number {
  let result = 0;
  for (let bit = 1; bit < FRAME; bit *= 2) result = result * 2 + ((n & bit) === 0 ? 0 : 1);
  return result;
}

function butterfly(re: Float64Array, im: Float64Array, block: number, size: number): void {
  const half = size / 2;
  for (let k = 0; k < half; k += 1) {
    const angle = (-2 * Math.PI * k) / size;
    const a = block + k;
    const b = a + half;
    const bRe = (re[b] ?? 0) * Math.cos(angle) - (im[b] ?? 0) * Math.sin(angle);
    const bIm = (re[b] ?? 0) * Math.sin(angle) + (im[b] ?? 0) * Math.cos(angle);
    [re[b], im[b]] = [(re[a] ?? 0) - bRe, (im[a] ?? 0) - bIm];
    [re[a], im[a]] = [(re[a] ?? 0) + bRe, (im[a] ?? 0) + bIm];
  }
}

const decibel = (power: number): number => 10 * Math.log10(power + 1e-9);

function bandPower(power: Float64Array): number {
  return power.subarray(LOW_BIN, HIGH_BIN).reduce((sum, value) => sum + value, 0);
}

/** Mean over the frames with speech of the RMS difference of log spectra, 100 to 3400 Hz, dB. */
function logSpectralDistance(source: Float64Array, result: Float64Array): number {
  let sum = 0;
  let frames = 0;
  for (let start = 0; start + FRAME <= Math.min(source.length, result.length); start += HOP) {
    const a = spectrum(source, start);
    if (decibel(bandPower(a)) < 0) continue;
    const b = spectrum(result, start);
    // Bins 35 dB below the strongest are inaudible beside it and would dominate a mean of logarithms.
    const floor = Math.max(...a.subarray(LOW_BIN, HIGH_BIN)) * 10 ** -3.5;
    let square = 0;
    for (let bin = LOW_BIN; bin < HIGH_BIN; bin += 1) {
      square += (decibel(Math.max(a[bin] ?? 0, floor)) - decibel(Math.max(b[bin] ?? 0, floor))) ** 2;
    }
    sum += Math.sqrt(square / (HIGH_BIN - LOW_BIN));
    frames += 1;
  }
  return sum / Math.max(1, frames);
}

/** Where one side speaks and the other is silent in the source: what the silent side holds in the result, dB below the speaker. */
function separation(
  source: readonly [Float64Array, Float64Array],
  result: readonly [Float64Array, Float64Array],
): number {
  let speaker = 0;
  let leak = 0;
  for (let start = 0; start + FRAME <= source[0].length; start += HOP) {
    const powers = source.map((channel) => decibel(bandPower(spectrum(channel, start))));
    const [a = 0, b = 0] = powers;
    if (Math.abs(a - b) < 40) continue;
    const loud = a > b ? result[0] : result[1];
    const quiet = a > b ? result[1] : result[0];
    speaker += bandPower(spectrum(loud, start));
    leak += bandPower(spectrum(quiet, start));
  }
  return decibel(speaker) - decibel(leak);
}

/** The lag (samples, up to 10 ms) at which the result fits best: codecs delay by fractions of their frame. */
function align(source: Float64Array, result: Float64Array): number {
  let best = 0;
  let most = -Infinity;
  for (let lag = -80; lag <= 80; lag += 1) {
    let sum = 0;
    for (let index = 8000; index < Math.min(80_000, source.length); index += 1)
      sum += (source[index] ?? 0) * (result[index + lag] ?? 0);
    if (sum > most) [most, best] = [sum, lag];
  }
  return best;
}

const shift = (signal: Float64Array, lag: number): Float64Array =>
  Float64Array.from(signal, (_, index) => signal[index + lag] ?? 0);

interface AudioChoice {
  readonly application: string;
  readonly kbps: number;
  readonly frameMs: number;
  readonly complexity: number;
  readonly family?: number;
}

function audioArguments({ application, kbps, frameMs, complexity, family }: AudioChoice): readonly string[] {
  const codec = `-c:a libopus -application ${application} -b:a ${String(kbps)}k`;
  const cost = `-frame_duration ${String(frameMs)} -compression_level ${String(complexity)}`;
  return `${codec} ${cost}${family === undefined ? '' : ` -mapping_family ${String(family)}`}`.split(' ');
}

async function audioTable(folder: string, { channels, seconds, repeats }: AudioTable): Promise<void> {
  const input = join(folder, `speech-${String(channels)}.wav`);
  const layout = channels === 1 ? 'mono' : 'stereo';
  const noise = `anoisesrc=a=0.0005:r=8000:d=${String(seconds)}`;
  const speech = channels === 1 ? 'pan=mono|c0=c0' : 'anull';
  const mix = `[0:a]${speech}[s];[1:a]aformat=channel_layouts=${layout}[n];[s][n]amix=inputs=2:duration=first:normalize=0`;
  const sources = ['-stream_loop', '-1', '-i', join(FIXTURES, 'stereo-pcm.wav'), '-f', 'lavfi', '-i', noise];
  await run([...sources, '-filter_complex', mix, '-t', String(seconds), input]);
  const source = await decode(input);
  const base = await measureAudio({ input, source, output: join(folder, 'reference.webm'), args: REFERENCE, repeats });
  const rows = [{ setting: `reference, ${layout}`, ...base, 'of its CPU': 1, 'of its bytes': 1 }];
  for (const choice of channels === 1 ? monoChoices() : stereoChoices()) {
    const args = audioArguments(choice);
    const row = await measureAudio({ input, source, output: join(folder, 'try.webm'), args, repeats });
    rows.push({
      setting: nameOf(choice),
      ...row,
      'of its CPU': round(row.cpuS / base.cpuS),
      'of its bytes': round(row.bytes / base.bytes),
    });
  }
  console.table(rows);
}

interface AudioTable {
  readonly channels: 1 | 2;
  readonly seconds: number;
  readonly repeats: number;
}

function nameOf({ application, kbps, frameMs, complexity, family }: AudioChoice): string {
  const name = `${application} ${String(kbps)}k ${String(frameMs)}ms c${String(complexity)}`;
  return family === undefined ? name : `${name} uncoupled`;
}

interface AudioTrial {
  readonly input: string;
  readonly source: readonly [Float64Array, Float64Array];
  readonly output: string;
  readonly args: readonly string[];
  readonly repeats: number;
}

async function measureAudio(
  trial: AudioTrial,
): Promise<{ cpuS: number; bytes: number; lsdDb: number; separationDb: number }> {
  const { input, source, output, args, repeats } = trial;
  const cpuS = await cpuOf(['-i', input, ...args, output], repeats);
  const decoded = await decode(output, ['-c:a', 'libopus']);
  const lag = align(source[0], decoded[0]);
  const result = [shift(decoded[0], lag), shift(decoded[1], lag)] as const;
  const lsdDb = (logSpectralDistance(source[0], result[0]) + logSpectralDistance(source[1], result[1])) / 2;
  return {
    cpuS,
    bytes: (await stat(output)).size,
    lsdDb: round(lsdDb),
    separationDb: round(separation(source, result)),
  };
}

/** The chosen one first, then one step away from it in each direction, then the other codes at the rates where they come near. */
function stereoChoices(): readonly AudioChoice[] {
  const chosen: AudioChoice = { application: 'lowdelay', kbps: 48, frameMs: 120, complexity: 0 };
  return [
    chosen,
    ...[20, 40, 60].map((frameMs) => ({ ...chosen, frameMs })),
    ...[2, 5, 10].map((complexity) => ({ ...chosen, complexity })),
    ...[24, 32, 40, 44, 54].map((kbps) => ({ ...chosen, kbps })),
    { ...chosen, family: 255 },
    ...[32, 48].map((kbps) => ({ ...chosen, application: 'audio', kbps })),
    ...[16, 24, 32, 40, 48].map((kbps) => ({ ...chosen, application: 'voip', kbps })),
  ];
}

function monoChoices(): readonly AudioChoice[] {
  const chosen: AudioChoice = { application: 'lowdelay', kbps: 32, frameMs: 120, complexity: 0 };
  return [
    chosen,
    ...[16, 24, 28, 40].map((kbps) => ({ ...chosen, kbps })),
    ...[16, 24, 32].map((kbps) => ({ ...chosen, application: 'voip', kbps })),
  ];
}

// ── video ───────────────────────────────────────────────────────────────────────────────────────────────────────

const VP9 = '-c:v libvpx-vp9 -deadline realtime -row-mt 1 -pix_fmt yuv420p';
const KEYS = '-force_key_frames expr:gte(t,n_forced*4)';
const DROP = '-vf mpdecimate=max=8';
const SOUND = '-c:a libopus -application lowdelay -compression_level 0 -frame_duration 120 -b:a 48k';

/** The chosen one first. */
const VIDEO_CHOICES: readonly (readonly [string, string])[] = [
  ['chosen', `${VP9} -cpu-used 8 -tune-content screen -lag-in-frames 0 -crf 30 -b:v 2M ${DROP} ${KEYS}`],
  ['duplicates kept', `${VP9} -cpu-used 8 -tune-content screen -lag-in-frames 0 -crf 30 -b:v 2M ${KEYS}`],
  ['no screen tuning', `${VP9} -cpu-used 8 -lag-in-frames 0 -crf 30 -b:v 2M ${DROP} ${KEYS}`],
  ['default lag', `${VP9} -cpu-used 8 -tune-content screen -crf 30 -b:v 2M ${DROP} ${KEYS}`],
  ['cpu-used 6', `${VP9} -cpu-used 6 -tune-content screen -lag-in-frames 0 -crf 30 -b:v 2M ${DROP} ${KEYS}`],
  ['crf 36', `${VP9} -cpu-used 8 -tune-content screen -lag-in-frames 0 -crf 36 -b:v 2M ${DROP} ${KEYS}`],
];

/** A page of the screen, scrolling without rest. */
async function makeMotion(folder: string): Promise<string> {
  const [page, motion] = [join(folder, 'page.png'), join(folder, 'motion.mp4')];
  await run(['-ss', '3', '-i', join(FIXTURES, 'screen-faststart.mp4'), '-frames:v', '1', page]);
  const scroll = 'scroll=v=0.004:h=0.001,noise=alls=2:allf=t,format=yuv420p';
  const encode = ['-t', '10', '-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20', motion];
  await run(['-loop', '1', '-framerate', '10', '-i', page, '-vf', scroll, ...encode]);
  return motion;
}

/** Mean structural similarity, the source repeated at its own times. */
async function ssim(source: string, result: string): Promise<number> {
  const compare = '[0:v]fps=10[a];[1:v]fps=10[b];[a][b]ssim=stats_file=-';
  const { stdout } = await run(['-i', source, '-i', result, '-filter_complex', compare, '-f', 'null', '-']);
  const frames = [...stdout.toString().matchAll(/All:([\d.]+)/g)].map(([, value]) => Number(value));
  return frames.reduce((sum, value) => sum + value, 0) / frames.length;
}

async function videoTable(folder: string, input: string): Promise<void> {
  const choices: readonly (readonly [string, readonly string[]])[] = [
    ['reference', REFERENCE],
    ...VIDEO_CHOICES.map(([name, args]) => [name, `${args} ${SOUND}`.split(' ')] as const),
  ];
  const rows = [];
  let referenceS: number | undefined;
  for (const [setting, args] of choices) {
    const output = join(folder, 'try.webm');
    const cpuS = await cpuOf(['-i', input, ...args, output], setting === 'reference' ? 1 : 2);
    referenceS ??= cpuS;
    const similarity = round(await ssim(input, output));
    rows.push({
      setting,
      cpuS: round(cpuS),
      bytes: (await stat(output)).size,
      ssim: similarity,
      'reference CPU / its': round(referenceS / cpuS),
    });
  }
  console.table(rows);
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    repeats: { type: 'string', default: '3' },
    tables: { type: 'string', default: 'stereo,mono,screen,motion' },
  },
});
const tables = values.tables.split(',');
const folder = await mkdtemp(join(tmpdir(), 'encode-experiments-'));
try {
  const length = { seconds: Number(values.seconds), repeats: Number(values.repeats) };
  if (tables.includes('stereo')) await audioTable(folder, { channels: 2, ...length });
  if (tables.includes('mono')) await audioTable(folder, { channels: 1, ...length });
  if (tables.includes('screen')) await videoTable(folder, join(FIXTURES, 'screen-faststart.mp4'));
  if (tables.includes('motion')) await videoTable(folder, await makeMotion(folder));
} finally {
  await rm(folder, { recursive: true });
}
