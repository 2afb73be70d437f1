/** One very large WAV, that lies nowhere, → the memory a worker takes to stream it into the bucket, without and with the original: flat. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openCloud } from '../support/service/cloud.ts';
import type { SimulatedFile } from '../support/genesys/server.ts';
import { hasEmulator, startFleet, type Fleet, type Spent } from './cloud-fleet.ts';
import { endlessWav } from './inputs.ts';
import { mebibytes, type Bench, type Row, seconds } from './row.ts';
import { residentBytesOf, watchMemory } from './usage.ts';

const SMALL_BYTES = 2 ** 20;

/** What the bucket server keeps once: of sound that repeats after a multiple of it, gigabytes take little there. */
const BLOCK_BYTES = 256 * 1024;

export async function cloudMemoryRow(bench: Bench): Promise<readonly Row[]> {
  if (!hasEmulator(bench, 'cloud-memory')) return [];
  return [await memoryOf(bench, 'no'), await memoryOf(bench, 'yes')];
}

async function memoryOf(bench: Bench, original: 'no' | 'yes'): Promise<Row> {
  const sizeBytes = bench.quick ? 200_000_000 : 2_000_000_000;
  const path = await repeatable(bench);
  const [small, large] = [await endlessWav(path, SMALL_BYTES), await endlessWav(path, sizeBytes)];
  await using fleet = await startFleet({
    environment: await openCloud({ sharing: true }),
    commands: ['receiver', 'worker'],
    env: { ARCHIVE_ORIGINAL: original },
  });
  await delay(2000);
  const idleBytes = residentBytesOf(workerOf(fleet));
  const little = await watched(fleet, small);
  const much = await watched(fleet, large);
  const problems = await fleet.problems();
  const [name, all] = [
    `cloud-memory, original ${original}`,
    `${mebibytes(idleBytes)} idle, ${mebibytes(little.peakBytes)}`,
  ];
  bench.say(`${name}: ${seconds(much.spent.wallS)}; ${all}, then ${much.quarters.map(mebibytes).join(', ')}`);
  for (const problem of problems) bench.say(`${name}: ${problem}`);
  const [first = 0, last = 0] = [much.quarters[0], much.quarters.at(-1)];
  return {
    work: `a WAV of ${(sizeBytes / 1e9).toFixed(1)} GB through a worker into the bucket${original === 'yes' ? ', with its original' : ''}, memory of the worker: most in its first and in its last quarter`,
    reference: `${all} for 1 MiB`,
    ours: `${mebibytes(first)}, ${mebibytes(last)} (${mebibytes(much.peakBytes - idleBytes)} over idle)`,
    ratio: (last / first).toFixed(2),
    target: 'flat',
    met: problems.length === 0 && last <= first * 1.1,
  };
}

async function repeatable({ folder, inputs }: Bench): Promise<string> {
  const bytes = await readFile(await inputs.wav(60, 48_000));
  const dataAt = bytes.indexOf('data') + 8;
  const path = join(folder, 'repeatable.wav');
  await writeFile(path, bytes.subarray(0, bytes.length - ((bytes.length - dataAt) % BLOCK_BYTES)));
  return path;
}

interface Watched {
  readonly spent: Spent;
  readonly peakBytes: number;
  /** The most in each quarter of the time. */
  readonly quarters: readonly number[];
}

async function watched(fleet: Fleet, file: SimulatedFile): Promise<Watched> {
  using memory = watchMemory(workerOf(fleet));
  const spent = await fleet.archive([[file]]);
  const { samples, peakBytes } = memory;
  const length = Math.ceil(samples.length / 4);
  const quarters = [0, 1, 2, 3].map((index) => Math.max(...samples.slice(index * length, (index + 1) * length), 0));
  return { spent, peakBytes, quarters };
}

function workerOf({ services }: Fleet): number {
  const [, worker] = services;
  if (worker === undefined) throw new Error('There is no worker.');
  return worker.pid;
}
