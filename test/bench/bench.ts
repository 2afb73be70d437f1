/**
 * `npm run bench`: the figures of the README, measured against the original design's command in the same run on the same inputs.
 * `-- --quick` takes short inputs, `-- --only NAME` (may be repeated) one kind of work.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { NO_CENSUS } from '../support/service/children.ts';
import { auditRows } from './audit.ts';
import { backfillRows } from './backfill.ts';
import { boundsRows } from './bounds.ts';
import { cloudRow } from './cloud.ts';
import { cloudEventsRow } from './cloud-events.ts';
import { cloudMemoryRow } from './cloud-memory.ts';
import { consoleRows } from './console.ts';
import { dualRow, opusRow, overheadRow, screenRow, wavRows } from './cpu.ts';
import { ffmpegVersion } from './ffmpeg.ts';
import { eachRow } from './each.ts';
import { firstByteRow } from './first-byte.ts';
import { fleetRow } from './fleet.ts';
import { Inputs } from './inputs.ts';
import { listingRows } from './listing.ts';
import { manyRows } from './many.ts';
import { memoryRow } from './memory.ts';
import { table, type Bench, type Row } from './row.ts';
import { searchRows } from './search.ts';
import { seekRow } from './seek.ts';
import { startRows } from './start.ts';
import { verifyRows } from './verify.ts';

type Work = (bench: Bench) => Promise<Row | readonly Row[]>;

/** In the table's order. */
const WORK: Readonly<Record<string, Work>> = {
  opus: opusRow,
  dual: dualRow,
  wav: wavRows,
  screen: (bench) => screenRow(bench, false),
  motion: (bench) => screenRow(bench, true),
  'first-byte-opus': (bench) => firstByteRow(bench, 'opus'),
  'first-byte-wav': (bench) => firstByteRow(bench, 'wav'),
  'overhead-wav': (bench) => overheadRow(bench, 'wav'),
  'overhead-mp4': (bench) => overheadRow(bench, 'mp4'),
  many: manyRows,
  each: eachRow,
  bounds: boundsRows,
  fleet: fleetRow,
  start: startRows,
  seek: seekRow,
  memory: memoryRow,
  cloud: cloudRow,
  'cloud-events': cloudEventsRow,
  'cloud-memory': cloudMemoryRow,
  verify: verifyRows,
  backfill: backfillRows,
  listing: listingRows,
  search: searchRows,
  console: consoleRows,
  audit: auditRows,
};

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', multiple: true, default: [] } },
});
process.exitCode = await bench(values.quick, values.only);

async function bench(quick: boolean, only: readonly string[]): Promise<number> {
  const unknown = only.filter((name) => !Object.hasOwn(WORK, name));
  if (unknown.length > 0) return complain(`--only: ${unknown.join(', ')}: expected ${Object.keys(WORK).join(', ')}.`);
  if (NO_CENSUS !== false) return complain(`The benchmark reads CPU and memory of processes from /proc: ${NO_CENSUS}.`);
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  await spreadOverTheDisk(folder);
  const run: Bench = {
    folder,
    inputs: new Inputs(folder),
    quick,
    say: (text) => void process.stderr.write(`${text}\n`),
  };
  const before = load();
  try {
    const rows: Row[] = [];
    for (const [name, work] of Object.entries(WORK)) {
      if (only.length > 0 && !only.includes(name)) continue;
      rows.push(...[await work(run)].flat());
    }
    const command = ['npm run bench', ...(quick || only.length > 0 ? ['--'] : []), ...(quick ? ['--quick'] : [])];
    const chosen = only.map((name) => `--only ${name}`);
    process.stdout.write(`\`${[...command, ...chosen].join(' ')}\` on ${await machine()}\n`);
    process.stdout.write(`Load of the machine: ${before} before, ${load()} after.\n\n${table(rows)}\n`);
    return rows.every(({ met }) => met) ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Each folder made in this one gets a region of the disk for itself where ext4 keeps it (chattr(1), `T`). In a region where many
 * files were removed within the last six minutes, ext4 passes over the inode of each one for every file that is made: what was
 * measured or tested just before would be part of the figure.
 */
async function spreadOverTheDisk(folder: string): Promise<void> {
  await promisify(execFile)('chattr', ['+T', folder]).catch(() => undefined);
}

function complain(text: string): number {
  process.stderr.write(`${text}\n`);
  return 2;
}

function load(): string {
  return loadavg()[0]?.toFixed(2) ?? 'unknown';
}

async function machine(): Promise<string> {
  const [first] = cpus();
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory`;
  return `${String(cpus().length)} cores of ${first?.model.trim() ?? 'an unknown CPU'}, ${memory}, Node ${process.versions.node}, ${await ffmpegVersion()}.`;
}
