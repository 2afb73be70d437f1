/** One very large WAV, that lies nowhere, → the memory the service takes for it: flat, however long it goes on. */
import { setTimeout as delay } from 'node:timers/promises';
import { endlessWav } from './inputs.ts';
import { startRig } from './rig.ts';
import { mebibytes, type Bench, type Row, seconds } from './row.ts';
import { residentBytesOf, watchMemory } from './usage.ts';

const MORE_BYTES = 72 * 2 ** 20;

export async function memoryRow(bench: Bench): Promise<Row> {
  const sizeBytes = bench.quick ? 200_000_000 : 2_000_000_000;
  const file = await endlessWav(await bench.inputs.wav(60, 48_000), sizeBytes);
  await using rig = await startRig(bench.folder);
  await delay(2000);
  const idleBytes = residentBytesOf(rig.service.pid);
  using memory = watchMemory(rig.service.pid);
  const { manifest, wallS } = await rig.archive([file]);
  const [first, last] = quarters(memory.samples);
  bench.say(
    `memory: ${seconds(wallS)}, ${String(manifest.webm.durationMs / 60_000)} min, ${mebibytes(first)} then ${mebibytes(last)}`,
  );
  return {
    work: `a WAV of ${(sizeBytes / 1e9).toFixed(1)} GB through the pipeline, memory of the service: most in its first and in its last quarter`,
    reference: `${mebibytes(idleBytes)} idle`,
    ours: `${mebibytes(first)}, ${mebibytes(last)}`,
    ratio: (last / first).toFixed(2),
    target: `flat, ${mebibytes(MORE_BYTES)} over idle`,
    met: memory.peakBytes - idleBytes <= MORE_BYTES && last <= first * 1.1,
  };
}

const most = (samples: readonly number[]): number => samples.reduce((peak, sample) => Math.max(peak, sample), 0);

function quarters(samples: readonly number[]): readonly [number, number] {
  const length = Math.ceil(samples.length / 4);
  return [most(samples.slice(0, length)), most(samples.slice(-length))];
}
