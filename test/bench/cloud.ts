/** The same short recordings → rows of both modes: receiver, Pub/Sub, two workers and a bucket against one `serve`. */
import { openCloud } from '../support/service/cloud.ts';
import { openEmbedded } from '../support/service/embedded.ts';
import type { SimulatedFile } from '../support/genesys/server.ts';
import { hasEmulator, startFleet, type Fleet, type Spent } from './cloud-fleet.ts';
import { fileOf } from './rig.ts';
import { quantile, ratio, type Bench, type Row, seconds } from './row.ts';

const LENGTH_S = 5;

/** As many encoders in both. */
const WORKERS = 2;

export async function cloudRow(bench: Bench): Promise<readonly Row[]> {
  if (!hasEmulator(bench, 'cloud')) return [];
  const [count, rounds] = bench.quick ? [40, 1] : [200, 3];
  const recordings = await mixOf(bench, count);
  await using embedded = await startFleet({
    environment: await openEmbedded(),
    commands: ['serve'],
    env: { TRANSCODE_SLOTS: String(WORKERS) },
  });
  await using cloud = await startFleet({
    // What the test server looks at in each object would be counted as time of the mode.
    environment: await openCloud({ audits: [] }),
    commands: ['receiver', ...Array.from({ length: WORKERS }, () => 'worker')],
    env: { TRANSCODE_SLOTS: '1' },
  });
  const spent = await taken({ embedded, cloud }, { recordings, rounds, bench });
  const problems = [...(await embedded.problems()), ...(await cloud.problems())];
  for (const problem of problems) bench.say(`cloud: ${problem}`);
  return rowsOf(spent, { count, problems });
}

interface Both<T> {
  readonly embedded: T;
  readonly cloud: T;
}

interface Work {
  readonly recordings: readonly (readonly SimulatedFile[])[];
  readonly rounds: number;
  readonly bench: Bench;
}

/** In turns, so that whatever else the machine does meets both. Of each, the round with the median wall time. */
async function taken(fleets: Both<Fleet>, { recordings, rounds, bench }: Work): Promise<Both<Spent>> {
  for (const fleet of [fleets.embedded, fleets.cloud]) await fleet.archive(recordings.slice(0, 12));
  const spent: { embedded: Spent[]; cloud: Spent[] } = { embedded: [], cloud: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const mode of ['embedded', 'cloud'] as const) {
      const each = await fleets[mode].archive(recordings);
      spent[mode].push(each);
      bench.say(`cloud: ${mode}: ${told(each)}`);
    }
  }
  return { embedded: median(spent.embedded), cloud: median(spent.cloud) };
}

function rowsOf(
  { embedded, cloud }: Both<Spent>,
  { count, problems }: { readonly count: number; readonly problems: readonly string[] },
): readonly Row[] {
  return [
    {
      work: `${String(count)} recordings of ${String(LENGTH_S)} s (Opus, dual-channel, WAV in turns) through Pub/Sub emulator, 2 workers and bucket (reference: embedded): wall, encoders' slots at work`,
      reference: `${seconds(embedded.wallS)}, ${slotsOf(embedded)}`,
      ours: `${seconds(cloud.wallS)} (${percent(cloud.wallS - embedded.wallS, cloud.wallS)} of it lost), ${slotsOf(cloud)}`,
      ratio: ratio(cloud.wallS, embedded.wallS),
      target: 'each archived once, verified',
      met: problems.length === 0,
    },
    {
      work: `… CPU of our processes with encoders (test servers ${seconds(embedded.serversS)} → ${seconds(cloud.serversS)}, emulator ${seconds(cloud.emulatorS)})`,
      reference: seconds(embedded.cpuS),
      ours: seconds(cloud.cpuS),
      ratio: ratio(cloud.cpuS, embedded.cpuS),
      target: 'stated',
      met: true,
    },
  ];
}

async function mixOf({ inputs }: Bench, count: number): Promise<readonly (readonly SimulatedFile[])[]> {
  const [opus, [left, right], wav] = [
    await inputs.stereoOpus(LENGTH_S),
    await inputs.dualOpus(LENGTH_S),
    await inputs.wav(LENGTH_S),
  ];
  const kinds = [[fileOf(opus, '0')], [fileOf(left, '0'), fileOf(right, '1')], [fileOf(wav, '0')]];
  return Array.from({ length: count }, (_, index) => kinds[index % kinds.length] ?? []);
}

function median(all: readonly Spent[]): Spent {
  const wallS = quantile(
    all.map((each) => each.wallS),
    0.5,
  );
  const found = all.find((each) => each.wallS === wallS);
  if (found === undefined) throw new Error('Nothing was archived.');
  return found;
}

function told(spent: Spent): string {
  const { wallS, cpuS, serversS, emulatorS } = spent;
  const cpu = `CPU: ours ${seconds(cpuS)}, test servers ${seconds(serversS)}, emulator ${seconds(emulatorS)}`;
  return `${seconds(wallS)}, slots at work ${slotsOf(spent)}, ${cpu}`;
}

const slotsOf = ({ workS, wallS }: Spent): string => percent(workS, WORKERS * wallS);

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(0)} %`;
