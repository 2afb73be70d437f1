/** The small end of the simulated day (fleet-simulation.ts) against the real service: the same requests, in about the same time. */
import { availableParallelism } from 'node:os';
import { simulate, type Fleet } from './fleet-simulation.ts';
import { fileOf, startRig } from './rig.ts';
import { seconds, type Bench, type Row } from './row.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';

const LIMIT = { allowed: 60, windowS: 5 };
const WITHIN = 0.25;
const GIVE_UP_MS = 600_000;

export async function fleetRow(bench: Bench): Promise<Row> {
  const count = bench.quick ? 60 : 180;
  await using rig = await startRig(bench.folder, 'serve', LIMIT);
  const added = Array.from({ length: count }, () => rig.add([fileOf(pathOfFixture('stereo.opus'), '0')]));
  const startedMs = performance.now();
  await rig.send({ events: added.map(({ conversationId }) => ({ conversationId })) });
  // Those that have to wait for the next window say so first.
  const signal = AbortSignal.timeout(GIVE_UP_MS);
  await Promise.all(
    added.map(({ recordingId }) => rig.service.logged({ recordingId, message: 'Recording was archived.' }, signal)),
  );
  const wallS = (performance.now() - startedMs) / 1000;
  const requests = ['list:*', 'metadata:*', 'recording:*'].reduce(
    (sum, route) => sum + rig.genesys.requests(route).length,
    0,
  );
  const fleet: Fleet = {
    conversations: count,
    screens: 0,
    workers: 1,
    clients: 1,
    slots: availableParallelism(),
    limit: { allowed: LIMIT.allowed, windowMs: LIMIT.windowS * 1000 },
    arrival: 'at-once',
    notReady: { share: 0, ms: 0 },
    callMs: 3,
    workMs: 20,
    seed: 1,
  };
  const { calls: all, laterLooks, overAtMs } = simulate(fleet);
  const calls = all - laterLooks;
  return {
    work: `${String(count)} calls at once, ${String(LIMIT.allowed)} requests in ${String(LIMIT.windowS)} s allowed (reference: the simulated day): requests, until the last is archived`,
    reference: `${String(calls)}, ${seconds(overAtMs / 1000)}`,
    ours: `${String(requests)}, ${seconds(wallS)}`,
    target: `the same; ± ${String(WITHIN * 100)} %`,
    met: requests === calls && Math.abs(wallS - overAtMs / 1000) <= (WITHIN * overAtMs) / 1000,
  };
}
