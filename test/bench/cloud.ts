/** The same short recordings → rows of each mode: receiver, Pub/Sub, two workers and a bucket against one `serve`, and what of it is the bucket's. */
import { startBroker } from '../support/pubsub/broker/start-broker.ts';
import { openCloud } from '../support/service/cloud.ts';
import { openEmbedded } from '../support/service/embedded.ts';
import type { SimulatedFile } from '../support/genesys/server.ts';
import type { Environment } from '../support/service/journey.ts';
import { hasEmulator, startFleet, type Fleet, type Spent } from './cloud-fleet.ts';
import { fileOf } from './rig.ts';
import { quantile, ratio, type Bench, type Row, seconds } from './row.ts';

const LENGTH_S = 5;

/**
 * As many encoders in all, and as many recordings looked up and made at once. A worker on Pub/Sub does not keep a slot for what is only
 * being stored; the queue in a file does, and waits for its own disk alone.
 */
const WORKERS = 2;

/** Ways to run it; each is compared with the first. */
type Mode = 'embedded' | 'bucket' | 'broker' | 'emulator';

const WAYS: Readonly<Record<Mode, string>> = {
  embedded: 'embedded: one `serve`, queue in a file, archive in a folder',
  bucket: 'the same into a bucket',
  broker: '2 workers, a bucket, and Pub/Sub by a broker that behaves as the real one',
  emulator: '2 workers, a bucket, and Pub/Sub by the emulator',
};

/** Of the time through Pub/Sub, by the broker. */
const LOST_AT_MOST = 0.15;

export async function cloudRow(bench: Bench): Promise<readonly Row[]> {
  const [count, rounds] = bench.quick ? [40, 1] : [200, 3];
  const recordings = await mixOf(bench, count);
  await using opened = new AsyncDisposableStack();
  const fleets = new Map<Mode, Fleet>();
  for (const mode of ['embedded', 'bucket', 'broker', 'emulator'] as const) {
    if (mode === 'emulator' && !hasEmulator(bench, 'cloud')) continue;
    fleets.set(mode, opened.use(await startMode(mode)));
  }
  const spent = await taken(fleets, { recordings, rounds, bench });
  const rows: Row[] = [];
  for (const [mode, fleet] of fleets) {
    const problems = await fleet.problems();
    for (const problem of problems) bench.say(`cloud: ${mode}: ${problem}`);
    if (mode !== 'embedded') rows.push(...rowsOf(mode, { spent, count, problems }));
  }
  return rows;
}

/** What the test server looks at in each object would be counted as time of the mode. */
const UNAUDITED = { audits: [] } as const;

async function startMode(mode: Mode): Promise<Fleet> {
  const serve = { commands: ['serve'], env: { TRANSCODE_SLOTS: String(WORKERS) } } as const;
  const workers = {
    commands: ['receiver', ...Array.from({ length: WORKERS }, () => 'worker')],
    env: { TRANSCODE_SLOTS: '1' },
  };
  if (mode === 'embedded') return startFleet({ environment: await openEmbedded(), ...serve });
  if (mode === 'emulator') return startFleet({ environment: await openCloud(UNAUDITED), ...workers });
  const cloud = await openCloud(UNAUDITED, startBroker);
  if (mode === 'broker') return startFleet({ environment: cloud, ...workers });
  return startFleet({ environment: await withQueueInFile(cloud), ...serve });
}

async function withQueueInFile(cloud: Environment): Promise<Environment> {
  const embedded = await openEmbedded();
  const { QUEUE_URL = '' } = embedded.env;
  const close = async (): Promise<void> => void (await Promise.all([cloud.close(), embedded.close()]));
  return { ...cloud, env: { ...cloud.env, QUEUE_URL }, close };
}

interface Work {
  readonly recordings: readonly (readonly SimulatedFile[])[];
  readonly rounds: number;
  readonly bench: Bench;
}

/** In turns, so that whatever else the machine does meets all. Of each, the round with the median wall time. */
async function taken(fleets: ReadonlyMap<Mode, Fleet>, work: Work): Promise<ReadonlyMap<Mode, Spent>> {
  const { recordings, rounds, bench } = work;
  for (const fleet of fleets.values()) await fleet.archive(recordings.slice(0, 12));
  const spent = new Map<Mode, Spent[]>();
  for (let round = 0; round < rounds; round += 1) {
    for (const [mode, fleet] of fleets) {
      const each = await fleet.archive(recordings);
      spent.set(mode, [...(spent.get(mode) ?? []), each]);
      bench.say(`cloud: ${mode}: ${told(each)}`);
    }
  }
  return new Map([...spent].map(([mode, all]) => [mode, median(all)]));
}

interface Seen {
  readonly spent: ReadonlyMap<Mode, Spent>;
  readonly count: number;
  readonly problems: readonly string[];
}

function rowsOf(mode: Mode, { spent, count, problems }: Seen): readonly Row[] {
  const [embedded, bucket, ours] = [spent.get('embedded'), spent.get('bucket'), spent.get(mode)];
  if (embedded === undefined || bucket === undefined || ours === undefined) return [];
  const [lost, lostToBucket] = [lostOf(ours, embedded), lostOf(ours, bucket)];
  const isBounded = mode === 'broker';
  return [
    {
      work: `${String(count)} recordings of ${String(LENGTH_S)} s (Opus, dual-channel, WAV in turns), ${WAYS[mode]} (reference: ${WAYS.embedded}): wall, recordings under way at once on average`,
      reference: `${seconds(embedded.wallS)}, ${underWayIn(embedded)}`,
      ours: `${seconds(ours.wallS)} (${percent(lost)} of it lost, ${percent(lostToBucket)} to the same bucket), ${underWayIn(ours)}`,
      ratio: ratio(ours.wallS, embedded.wallS),
      target: isBounded
        ? `each archived once, verified; ${percent(LOST_AT_MOST)} lost`
        : 'each archived once, verified',
      met: problems.length === 0 && (!isBounded || lost <= LOST_AT_MOST),
    },
    {
      work: `… CPU of our processes with encoders (test servers ${seconds(embedded.serversS)} → ${seconds(ours.serversS)}, emulator ${seconds(ours.emulatorS)})`,
      reference: seconds(embedded.cpuS),
      ours: seconds(ours.cpuS),
      ratio: ratio(ours.cpuS, embedded.cpuS),
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
  return `${seconds(wallS)}, ${underWayIn(spent)} under way, ${cpu}`;
}

const underWayIn = ({ workS, wallS }: Spent): string => (workS / wallS).toFixed(1);

const lostOf = (ours: Spent, reference: Spent): number => (ours.wallS - reference.wallS) / ours.wallS;

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
