/** Recordings → rows of CPU: the whole service with its encoders against ffmpeg with the reference's arguments. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeArguments } from '../../src/media/encoder/arguments.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import type { SimulatedFile } from '../support/genesys/server.ts';
import { REFERENCE, runFfmpeg, ssimOf, type Redirects } from './ffmpeg.ts';
import { fileOf, startRig, type Archived, type Media } from './rig.ts';
import { megabytes, quantile, ratio, type Bench, type Row, seconds } from './row.ts';

/** Figures of CPU are the least of so many runs. */
const TIMES = 3;

/** Of ours there are more while they are short: a service that has just started still compiles what a running one has compiled. */
const OUR_TIMES = 8;
const OUR_BUDGET_S = 20;

/** A reference that takes longer than this is not run again. */
const BUDGET_S = 60;

/** What the levels of the console may add, for an hour of sound; seconds of CPU. */
const LEVELS_S = 0.1;

interface Job {
  readonly name: string;
  readonly files: readonly SimulatedFile[];
  readonly media?: Media;
  /** Arguments and redirections of the bare ffmpeg, but for the output. */
  readonly reference: readonly string[];
  readonly input?: string;
}

interface Measured {
  readonly ours: Archived;
  readonly oursS: number;
  readonly referenceS: number;
  readonly referenceBytes: number;
  readonly referencePath: string;
}

/** Ours and theirs on the same input in turn, so that both meet the same machine. `look` sees what was stored before it is removed. */
async function measure<T>(
  { name, files, media, reference, input }: Job,
  bench: Bench,
  look: (measured: Measured) => T | Promise<T>,
): Promise<T> {
  const output = join(bench.folder, `reference-${name}.webm`);
  const redirects: Redirects = input === undefined ? { output } : { input, output };
  await using rig = await startRig(bench.folder);
  const times = bench.quick ? 1 : TIMES;
  const [theirs, all]: [number[], Archived[]] = [[], []];
  while (all.length < TIMES || (all.length < OUR_TIMES && sumOf(all.map(({ cpuS }) => cpuS)) < OUR_BUDGET_S)) {
    if (theirs.length < times && sumOf(theirs) < BUDGET_S) {
      bench.say(`${name}: the reference`);
      theirs.push((await runFfmpeg(reference, redirects)).cpuS);
    }
    bench.say(`${name}: the service`);
    all.push(await rig.archive(files, media));
  }
  const [ours] = all.toSorted((a, b) => a.cpuS - b.cpuS);
  if (ours === undefined) throw new Error('Nothing was archived.');
  bench.say(`${name}: the reference ${listed(theirs)} of CPU; the service ${listed(all.map(({ cpuS }) => cpuS))}`);
  const referenceBytes = (await stat(output)).size;
  const referenceS = Math.min(...theirs);
  // Awaited here: the rig takes the stored file with it.
  return await look({ ours, oursS: ours.cpuS, referenceS, referenceBytes, referencePath: output });
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

const listed = (values: readonly number[]): string => values.map(seconds).join(', ');

const minutes = (lengthS: number): string => (lengthS < 60 ? `${String(lengthS)} s` : `${String(lengthS / 60)} min`);

/** One stereo Opus file, re-wrapped. */
export async function opusRow(bench: Bench): Promise<Row> {
  const lengthS = bench.quick ? 300 : 3600;
  const path = await bench.inputs.stereoOpus(lengthS);
  const job = { name: 'opus', files: [fileOf(path, '0')], reference: REFERENCE, input: path };
  return measure(job, bench, ({ ours, oursS, referenceS }) => ({
    work: `${minutes(lengthS)} of stereo Opus → WebM, CPU (${ours.manifest.way})`,
    reference: seconds(referenceS),
    ours: seconds(oursS),
    ratio: ratio(oursS, referenceS),
    ...targetOf({ share: 200, lengthS }, { oursS, referenceS }),
  }));
}

/** Two mono Opus files, joined without decoding. */
export async function dualRow(bench: Bench): Promise<Row> {
  const lengthS = bench.quick ? 300 : 3600;
  const [left, right] = await bench.inputs.dualOpus(lengthS);
  const merge = ['-filter_complex', '[0:a][1:a]amerge=inputs=2[a]', '-map', '[a]', '-c:a', 'libopus', '-b:a', '128k'];
  const reference = ['-y', '-i', left, '-i', right, ...merge, '-f', 'webm', 'pipe:1'];
  return measure({ name: 'dual', files: [fileOf(left, '0'), fileOf(right, '1')], reference }, bench, (measured) => ({
    work: `${minutes(lengthS)} of two mono Opus files → stereo, CPU (${measured.ours.manifest.way}, lossless; reference: amerge + libopus)`,
    reference: seconds(measured.referenceS),
    ours: seconds(measured.oursS),
    ratio: ratio(measured.oursS, measured.referenceS),
    ...targetOf({ share: 120, lengthS }, measured),
  }));
}

function targetOf(
  { share, lengthS }: { readonly share: number; readonly lengthS: number },
  { oursS, referenceS }: Pick<Measured, 'oursS' | 'referenceS'>,
): Pick<Row, 'target' | 'met'> {
  const levelsS = (LEVELS_S * lengthS) / 3600;
  return {
    target: `1/${String(share)}, and ${levelsS.toFixed(3)} s for levels`,
    met: oursS <= referenceS / share + levelsS,
  };
}

/** A WAV file, encoded: its CPU and its bytes. */
export async function wavRows(bench: Bench): Promise<readonly Row[]> {
  const lengthS = bench.quick ? 60 : 300;
  const path = await bench.inputs.wav(lengthS);
  const job = { name: 'wav', files: [fileOf(path, '0')], reference: REFERENCE, input: path };
  return measure(job, bench, ({ ours, oursS, referenceS, referenceBytes }) => {
    const { sizeBytes } = ours.manifest.webm;
    return [
      {
        work: `${minutes(lengthS)} of stereo WAV, CPU`,
        reference: seconds(referenceS),
        ours: seconds(oursS),
        ratio: ratio(oursS, referenceS),
        target: '0.40',
        met: oursS <= 0.4 * referenceS,
      },
      {
        work: `${minutes(lengthS)} of stereo WAV, bytes`,
        reference: megabytes(referenceBytes),
        ours: megabytes(sizeBytes),
        ratio: ratio(sizeBytes, referenceBytes),
        target: '0.33',
        met: sizeBytes * 3 <= referenceBytes,
      },
    ];
  });
}

/** A screen at 720p, as captured and in constant motion. */
export async function screenRow(bench: Bench, motion: boolean): Promise<Row> {
  const lengthS = bench.quick ? 20 : 60;
  const path = await (motion ? bench.inputs.motion(lengthS) : bench.inputs.screen(lengthS));
  const name = motion ? 'motion' : 'screen';
  const job: Job = { name, files: [fileOf(path, 'S')], media: 'screen', reference: REFERENCE, input: path };
  return measure(job, bench, async ({ ours, oursS, referenceS, referenceBytes, referencePath }) => {
    const ssim = await ssimOf(path, ours.path);
    const theirs = await ssimOf(path, referencePath);
    const bytes = ours.manifest.webm.sizeBytes;
    return {
      work: `${minutes(lengthS)} of 720p screen MP4${motion ? ', all of it scrolling' : ''}, CPU, SSIM, bytes`,
      reference: `${seconds(referenceS)}, ${theirs.toFixed(3)}, ${megabytes(referenceBytes)}`,
      ours: `${seconds(oursS)}, ${ssim.toFixed(3)}, ${megabytes(bytes)}`,
      ratio: ratio(oursS, referenceS),
      target: motion ? 'stated' : '1/10, SSIM ≥ 0.99',
      met: motion || (oursS * 10 <= referenceS && ssim >= 0.99),
    };
  });
}

/** What is looked for is smaller than what two runs of the same differ by: so many pairs, and the middle of each. */
const PAIRS = 9;

/** A service that runs for days has compiled what it needs. */
const WARM_UP = 20;

/** The service with its encoder against the very same encoder alone, both on pipes; what of it is the service's own scatters least. */
export async function overheadRow(bench: Bench, kind: 'wav' | 'mp4'): Promise<Row> {
  const { what, lengthS, media, short, channel, sniffed } = OVERHEAD[kind];
  const length = bench.quick ? lengthS / 12 : lengthS;
  const input = await (kind === 'mp4' ? bench.inputs.screen(length) : bench.inputs.wav(length));
  const args = encodeArguments({ media: [sniffed], maxDurationMs: 43_200_000 });
  const redirects = { input, output: join(bench.folder, `reference-${kind}.webm`), piped: true };
  await using rig = await startRig(bench.folder);
  for (let left = WARM_UP; left > 0; left -= 1) await rig.archive([fileOf(pathOfFixture(short), channel)], media);
  const [theirs, ours]: [number[], Archived[]] = [[], []];
  for (let pair = 0; pair < (bench.quick ? 3 : PAIRS); pair += 1) {
    bench.say(`overhead-${kind}: ffmpeg alone, and the service`);
    theirs.push((await runFfmpeg(args, redirects)).cpuS);
    ours.push(await rig.archive([fileOf(input, channel)], media));
  }
  const [all, own] = [ours.map(({ cpuS }) => cpuS), ours.map(({ ownS }) => ownS)];
  bench.say(
    `overhead-${kind}: alone ${listed(theirs)} of CPU; with the service ${listed(all)}, its own ${listed(own)}`,
  );
  const [referenceS, oursS, ownS] = [quantile(theirs, 0.5), quantile(all, 0.5), quantile(own, 0.5)];
  return {
    work: `service + encoder, ${minutes(length)} of ${what} (reference: ffmpeg alone, same arguments), CPU`,
    reference: seconds(referenceS),
    ours: `${seconds(oursS)}, ${seconds(ownS)} of it the service`,
    ratio: ratio(oursS, referenceS),
    target: '1.03',
    met: oursS <= 1.03 * referenceS,
  };
}

const OVERHEAD = {
  wav: {
    what: 'WAV',
    lengthS: 3600,
    media: 'audio',
    short: 'stereo-pcm.wav',
    channel: '0',
    sniffed: { kind: 'wav', codec: 'pcm', channels: 2, sampleRate: 8000 },
  },
  mp4: {
    what: 'screen MP4',
    lengthS: 300,
    media: 'screen',
    short: 'screen-faststart.mp4',
    channel: 'S',
    sniffed: { kind: 'mp4', codec: undefined, channels: undefined, sampleRate: undefined },
  },
} as const;
