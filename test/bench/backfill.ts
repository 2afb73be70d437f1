/** The same dual-channel recordings by their events and by `archiver backfill` → rows: whether history comes home as fast, and uses its share of the calls. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runArchiver } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { fileOf, startRig } from './rig.ts';
import { seconds, type Bench, type Row } from './row.ts';

const DAY = '2026-08-05';
const LENGTH_S = 60;
const OF_EVENTS = 0.9;
const OF_SHARE = 0.95;

export async function backfillRows(bench: Bench): Promise<readonly Row[]> {
  return [await besideEventsRow(bench), await shareRow(bench, 0.5), await shareRow(bench, 1)];
}

/** Where calls bind nobody: by events first, then the same into another archive. */
async function besideEventsRow(bench: Bench): Promise<Row> {
  const count = bench.quick ? 200 : 2_000;
  const files = (await bench.inputs.dualOpus(LENGTH_S)).map((path, channel) => fileOf(path, String(channel)));
  await using rig = await startRig(bench.folder);
  const added = Array.from({ length: count }, () => rig.add(files));
  bench.say(`backfill: ${String(count)} dual-channel recordings by events`);
  const startedMs = performance.now();
  for (const { conversationId } of added) await rig.send({ conversationId });
  await Promise.all(added.map(({ recordingId }) => rig.archived(recordingId)));
  const eventsS = (performance.now() - startedMs) / 1000;
  await rig.service.stop();
  for (const { conversationId } of added) analyze(rig.genesys, conversationId);
  bench.say('backfill: the same by backfill');
  const slots = String(availableParallelism());
  const { wallS } = await backfill(rig.genesys, join(bench.folder, 'backfilled'), ['--share', '1', '--slots', slots]);
  return {
    work: `${String(count)} dual-channel recordings of ${String(LENGTH_S)} s by \`backfill --share 1 --slots ${slots}\`, both looks and its start included, where calls do not bind (reference: by events)`,
    reference: seconds(eventsS),
    ours: seconds(wallS),
    ratio: `${(eventsS / wallS).toFixed(2)} of the rate`,
    target: `${String(OF_EVENTS)} of the rate`,
    met: eventsS / wallS >= OF_EVENTS,
  };
}

/** Half as long as Genesys' own: its end is told in whole seconds, and up to one of each window is waited for in vain. */
const LIMIT = { allowed: 300, windowS: 30 };

/** Where calls bind: from its first call to its last, against as many as its share allows. */
async function shareRow(bench: Bench, share: number): Promise<Row> {
  const count = bench.quick ? 300 : 900;
  const files = (await bench.inputs.dualOpus(1)).map((path, channel) => fileOf(path, String(channel)));
  const genesys = await startGenesysServer({ mediaUrlLifetimeS: 3_600, rateLimit: LIMIT });
  try {
    for (let index = 0; index < count; index += 1) {
      const conversationId = `c${String(index)}`;
      const startTime = `${DAY}T10:00:00.000Z`;
      genesys.addRecording({ recordingId: `r${String(index)}`, conversationId, files, startTime });
      analyze(genesys, conversationId);
    }
    bench.say(`backfill: ${String(count)} dual-channel recordings with --share ${String(share)} of a bound`);
    await backfill(genesys, join(bench.folder, `share-${String(share)}`), ['--share', String(share)]);
    const calls = genesys.requests().filter(({ token }) => token !== undefined);
    const [first = NaN, last = NaN] = [calls.at(0)?.at, calls.at(-1)?.at];
    const wallS = (last - first) / 1000;
    const allowedS = (calls.length / (LIMIT.allowed * share)) * LIMIT.windowS;
    return {
      work: `${String(count)} dual-channel recordings by \`backfill --share ${String(share)}\`, ${String(LIMIT.allowed)} calls in ${String(LIMIT.windowS)} s allowed (reference: its ${String(calls.length)} calls at its share)`,
      reference: seconds(allowedS),
      ours: seconds(wallS),
      ratio: `${(allowedS / wallS).toFixed(2)} of the rate; ${(calls.length / count).toFixed(2)} calls each`,
      target: `${String(OF_SHARE)} of the rate`,
      met: allowedS / wallS >= OF_SHARE,
    };
  } finally {
    await genesys.close();
  }
}

function analyze(genesys: GenesysServer, conversationId: string): void {
  genesys.analyze({ conversationId, start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
}

async function backfill(
  genesys: GenesysServer,
  archive: string,
  flags: readonly string[],
): Promise<{ readonly wallS: number }> {
  const startedMs = performance.now();
  const env = { ...genesys.environment(), ARCHIVE_URL: `file:${archive}`, LOG_LEVEL: 'error' };
  const { code, stdout, stderr } = await runArchiver(
    ['backfill', '--from', DAY, '--to', DAY, '--quiet', ...flags],
    env,
  );
  if (code !== 0) throw new Error(`backfill failed: ${stdout}${stderr}`);
  return { wallS: (performance.now() - startedMs) / 1000 };
}
