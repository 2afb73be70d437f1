/** The built command → rows: what a start takes until it serves, all its processes together, with what it keeps and without. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openCloud } from '../support/service/cloud.ts';
import { openEmbedded } from '../support/service/embedded.ts';
import { ALLOCATOR, NODE_FLAGS } from '../support/service/service.ts';
import { hasEmulator } from './cloud-fleet.ts';
import { quantile, ratio, seconds, type Bench, type Row } from './row.ts';
import { watchCpu } from './usage.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Start {
  readonly work: string;
  readonly command: string;
  readonly isCloud: boolean;
  readonly atMostS: number;
}

const STARTS: readonly Start[] = [
  { work: 'serve, embedded', command: 'serve', isCloud: false, atMostS: 0.8 },
  { work: 'a worker on Pub/Sub and a bucket', command: 'worker', isCloud: true, atMostS: 1.1 },
];

/** Of Genesys nothing is asked before it is needed. */
const CALLS_NOBODY = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: '5f2b1c3d-0000-4000-8000-000000000001',
  GENESYS_CLIENT_SECRET: 'a-client-secret-of-ours',
  RECONCILE: 'no',
  API_AUTH: 'none',
  WEBHOOK_AUTH: 'none',
  HOST: '127.0.0.1',
  PORT: '0',
};

/** In turns: what compiles at each start is the reference. https://nodejs.org/api/cli.html#node_disable_compile_cache1 */
export async function startRows(bench: Bench): Promise<readonly Row[]> {
  const cli = await built(join(bench.folder, 'app'));
  const rows: Row[] = [];
  for (const start of STARTS) {
    if (start.isCloud && !hasEmulator(bench, 'start')) continue;
    const environment = await (start.isCloud ? openCloud() : openEmbedded());
    const env = { ...CALLS_NOBODY, ...environment.env };
    try {
      rows.push(await startRow(start, (own) => cpuOfStart([cli, start.command], { ...env, ...own }), bench));
    } finally {
      await environment.close();
    }
  }
  return rows;
}

type Measure = (env: Readonly<Record<string, string>>) => Promise<number>;

async function startRow({ work, atMostS }: Start, measure: Measure, { quick }: Bench): Promise<Row> {
  await measure({});
  const [kept, anew]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < (quick ? 3 : 12); turn += 1) {
    anew.push(await measure({ NODE_DISABLE_COMPILE_CACHE: '1' }));
    kept.push(await measure({}));
  }
  const [reference, ours] = [quantile(anew, 0.5), quantile(kept, 0.5)];
  return {
    work: `start to ready, CPU of all processes: ${work} (median of ${String(kept.length)})`,
    reference: `${seconds(reference)} (compiled at each start)`,
    ours: seconds(ours),
    ratio: ratio(ours, reference),
    target: seconds(atMostS),
    met: ours <= atMostS,
  };
}

/** As the image has it: compiled, beside libraries where nothing but this run keeps anything. */
async function built(app: string): Promise<string> {
  const modules = join(ROOT, 'node_modules');
  await mkdir(join(app, 'node_modules'), { recursive: true });
  for (const name of await readdir(modules))
    if (name !== '.cache') await symlink(join(modules, name), join(app, 'node_modules', name));
  await cp(join(ROOT, 'package.json'), join(app, 'package.json'));
  const done = spawnSync(join(modules, '.bin/tsc'), ['--outDir', join(app, 'dist')], { cwd: ROOT, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`tsc failed:\n${done.stdout}`);
  return join(app, 'dist/cli.js');
}

/** Seconds, user and system, of a start that is ended as soon as it serves. */
async function cpuOfStart(words: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(process.execPath, [...NODE_FLAGS, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], ...ALLOCATOR, ...env },
  });
  const ended = once(child, 'exit');
  using cpu = watchCpu(child.pid ?? NaN);
  let tookS: number | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.includes('"Service started."')) continue;
    tookS = cpu.allS;
    child.kill('SIGTERM');
  }
  await ended;
  if (tookS === undefined) throw new Error(`archiver ${words.slice(1).join(' ')} did not start`);
  return tookS;
}
