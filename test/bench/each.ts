/** Many recordings of one second → a row: what each costs the service, whatever is in it. */
import { fileOf, startRig, type Rig } from './rig.ts';
import type { Bench, Row } from './row.ts';
import { watchCpu } from './usage.ts';

/** After the first hundreds the code that runs most is compiled. */
const WARM = 300;
const AT_MOST_MS = 8;

export async function eachRow(bench: Bench): Promise<Row> {
  await using rig = await startRig(bench.folder);
  const path = await bench.inputs.stereoOpus(1);
  await archiveMany(rig, path, bench.quick ? 100 : WARM);
  const count = bench.quick ? 200 : 1000;
  using cpu = watchCpu(rig.service.pid);
  const startedMs = performance.now();
  await archiveMany(rig, path, count);
  const [each, wall] = [(cpu.allS * 1000) / count, (performance.now() - startedMs) / count];
  return {
    work: `a recording of 1 s of Opus into a folder, CPU of the service (${String(count)} in a row)`,
    reference: '–',
    ours: `${each.toFixed(1)} ms (a recording every ${wall.toFixed(1)} ms)`,
    target: `${String(AT_MOST_MS)} ms`,
    met: each <= AT_MOST_MS,
  };
}

async function archiveMany(rig: Rig, path: string, count: number): Promise<void> {
  const added = Array.from({ length: count }, () => rig.add([fileOf(path, '0')]));
  const settled = added.map(({ recordingId }) => rig.archived(recordingId));
  for (const each of added) await rig.send(each);
  await Promise.all(settled);
}
