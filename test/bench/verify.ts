/** What `archiver verify` takes for each object, in a folder and in a bucket, and whether twice as many take twice as much. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PREFIX } from '../support/archive/bucket.ts';
import { manyObjects } from '../support/archive/many.ts';
import { runArchiver } from '../support/commands/run.ts';
import { startGcsServer } from '../support/gcs/server.ts';
import type { Bench, Row } from './row.ts';
import { cpuSecondsOf, ownCpuSecondsOf } from './usage.ts';

const DAY = '2026-03-01';
/** Twice the objects may take so many times the CPU; the start of the process is in both. */
const MOST_RATIO = 2.3;

export async function verifyRows(bench: Bench): Promise<readonly Row[]> {
  const most = bench.quick ? 10_000 : 100_000;
  return [
    await rowOf('folder', { most, bench, verify: verifyFolder }),
    await rowOf('bucket', { most, bench, verify: verifyBucket }),
  ];
}

interface Measuring {
  readonly most: number;
  readonly bench: Bench;
  readonly verify: (recordings: number, bench: Bench) => Promise<number>;
}

async function rowOf(name: string, { most, bench, verify }: Measuring): Promise<Row> {
  const seconds: number[] = [];
  for (const objects of [most / 2, most]) {
    bench.say(`verify: a ${name} of ${String(objects)} objects`);
    seconds.push(await verify(Math.floor(objects / 3), bench));
  }
  const [half = NaN, whole = NaN] = seconds;
  return {
    work: `verify of ${String(most)} objects in a ${name}, CPU`,
    reference: '–',
    ours: `${whole.toFixed(1)} s, ${((whole / most) * 1e3).toFixed(3)} ms an object`,
    ratio: `${(whole / half).toFixed(2)} for twice as many`,
    target: `linear: at most ${String(MOST_RATIO)}`,
    met: whole / half <= MOST_RATIO,
  };
}

async function verifyFolder(recordings: number, { folder }: Bench): Promise<number> {
  const root = join(folder, `verify-${String(recordings)}`);
  for (const { name, bytes } of manyObjects(recordings, DAY)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), bytes);
  }
  return secondsOf({ ARCHIVE_URL: `file:${root}` }, recordings);
}

async function verifyBucket(recordings: number): Promise<number> {
  const server = await startGcsServer({ audits: [] });
  try {
    for (const { name, bytes, metadata } of manyObjects(recordings, DAY))
      server.put(`${PREFIX}/${name}`, bytes, { metadata });
    return await secondsOf(
      { ARCHIVE_URL: `gs://${server.bucket}/${PREFIX}`, GCS_API_ENDPOINT: server.url },
      recordings,
    );
  } finally {
    await server.close();
  }
}

/** CPU of the command, which is a process of its own and waited for: the server's is not in it. */
async function secondsOf(env: Readonly<Record<string, string>>, recordings: number): Promise<number> {
  const children = (): number => cpuSecondsOf(process.pid) - ownCpuSecondsOf(process.pid);
  const before = children();
  const { code, stdout, stderr } = await runArchiver(['verify', '--quiet'], env);
  if (code !== 0 || !stdout.includes(`${String(recordings)} recordings`))
    throw new Error(`verify failed: ${stdout}${stderr}`);
  return children() - before;
}
