/** Eight recordings of an hour, all at once, → rows: the machine's cores, the service's memory, everyone else's latency. */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { startProber, type Latencies } from './latency.ts';
import { fileOf, startRig, type Rig } from './rig.ts';
import { mebibytes, quantile, type Bench, type Row } from './row.ts';
import { residentBytesOf, watchCpu, watchMachine, watchMemory } from './usage.ts';

const SLOTS = availableParallelism();
/** What a deposit holds back in memory. */
const HOLD_BACK_BYTES = 8 * 2 ** 20;
const MORE_BYTES = 64 * 2 ** 20;
const LATER_MS = 20;

export async function manyRows(bench: Bench): Promise<readonly Row[]> {
  const idle = await idleLatencies(bench);
  await using rig = await startRig(bench.folder);
  const ids = await addEight(bench, rig);
  await delay(2000);
  const idleBytes = residentBytesOf(rig.service.pid);
  using cpu = watchCpu(rig.service.pid);
  const [startedMs, machine] = [performance.now(), watchMachine()];
  using memory = watchMemory(rig.service.pid);
  for (const each of ids) await rig.send(each);
  // The recordings are ahead of the prober's events, which nobody gets round to.
  const prober = startProber(rig);
  await Promise.all(ids.map(({ recordingId }) => rig.archived(recordingId)));
  const [wallS, busy] = [(performance.now() - startedMs) / 1000, machine()];
  const cpuS = cpu.allS;
  const meanwhile = await prober.stop();
  const limitBytes = MORE_BYTES + SLOTS * HOLD_BACK_BYTES;
  return [
    {
      work: `8 recordings of ${bench.quick ? '5 min' : 'an hour'} at once (4 WAV, 2 Opus, 2 dual-channel): wall, cores busy`,
      reference: `${String(SLOTS)} cores`,
      ours: `${wallS.toFixed(0)} s; ${(busy * SLOTS).toFixed(2)} busy, ${(cpuS / wallS).toFixed(2)} of it service and encoders`,
      target: 'all busy (95 %)',
      met: busy >= 0.95,
    },
    {
      work: `… memory of the service (its encoders: ${mebibytes(memory.childrenPeakBytes)})`,
      reference: `${mebibytes(idleBytes)} idle`,
      ours: `${mebibytes(memory.peakBytes)} at most`,
      target: `${mebibytes(limitBytes)} over idle`,
      met: memory.peakBytes - idleBytes <= limitBytes,
    },
    latencyRow('webhook', idle, meanwhile),
    latencyRow('healthz', idle, meanwhile),
  ];
}

function latencyRow(kind: 'webhook' | 'healthz', idle: Latencies, meanwhile: Latencies): Row {
  const [quiet, busy, woke] = [idle[kind], meanwhile[kind], meanwhile.timer].map((all) => quantile(all, 0.99));
  return {
    work: `… ${kind === 'webhook' ? 'webhooks' : '`/healthz`'} meanwhile, p99 of ${String(meanwhile[kind].length)} (the client's own timers: ${ms(woke)} late)`,
    reference: `${ms(quiet)} idle`,
    ours: ms(busy),
    target: `${String(LATER_MS)} ms over idle`,
    met: (busy ?? NaN) - (quiet ?? NaN) <= LATER_MS,
  };
}

const ms = (value: number | undefined): string => `${(value ?? NaN).toFixed(1)} ms`;

/** Of a receiver that nobody works behind: events of recordings that nobody knows would be work themselves. */
async function idleLatencies(bench: Bench): Promise<Latencies> {
  await using rig = await startRig(bench.folder, 'receiver');
  const prober = startProber(rig);
  await delay(bench.quick ? 3000 : 15_000);
  return await prober.stop();
}

async function addEight(
  { inputs, quick }: Bench,
  rig: Rig,
): Promise<readonly { readonly recordingId: string; readonly conversationId: string }[]> {
  const lengthS = quick ? 300 : 3600;
  const [wav, opus, [left, right]] = [
    await inputs.wav(lengthS),
    await inputs.stereoOpus(lengthS),
    await inputs.dualOpus(lengthS),
  ];
  const pair = [
    () => rig.add([fileOf(wav, '0')]),
    () => rig.add([fileOf(opus, '0')]),
    () => rig.add([fileOf(wav, '0')]),
    () => rig.add([fileOf(left, '0'), fileOf(right, '1')]),
  ];
  return [...pair, ...pair].map((add) => add());
}
