/** `archiver doctor`: every part of a set-up is asked whether it is well, one line each. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BucketInspection } from '../archive/bucket/inspection.ts';
import { STAGING } from '../archive/names.ts';
import { type Config, readConfig } from '../config/config.ts';
import { ConfigProblems } from '../config/reader.ts';
import { slipsIn } from '../config/slips.ts';
import {
  broken,
  worthALook,
  type Check,
  type CheckArea,
  type CheckState,
  examine,
  type Opinion,
  type Probe,
} from '../doctor/check.ts';
import { deploymentProbes } from '../doctor/deployment-checks.ts';
import { noGenesys } from '../doctor/genesys-checks.ts';
import { queueProbes, storageProbes } from '../doctor/google-checks.ts';
import { judgePlaceToCome } from '../doctor/place-to-come.ts';
import { UNCONFIRMED } from '../doctor/unconfirmed.ts';
import { checkFfmpeg } from '../media/encoder/check.ts';
import { alignProxyVariables } from '../outbound.ts';
import { isQueueThere, openQueue, type OpenQueue } from '../queue/open-queue.ts';
import { inspectSubscription } from '../queue/pubsub/inspection.ts';
import { probesOfGenesys, probesOfMachine } from '../services/own-probes.ts';
import { UsageError } from './flags.ts';
import { openArchiveOf } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

const AREAS = ['genesys', 'google', 'machine', 'deployment'] as const satisfies readonly CheckArea[];

export async function runDoctor(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const only = flags.list('only');
  const strange = only.find((name) => !AREAS.some((area) => area === name));
  if (strange !== undefined) throw new UsageError(`--only ${strange}: expected ${AREAS.join(', ')}.`);
  const probes = (await probesOf(task)).filter(
    ({ area }) => only.length === 0 || area === 'configuration' || only.includes(area),
  );
  const counts: Record<CheckState, number> = { ok: 0, warn: 0, fail: 0, skipped: 0 };
  let asked = 0;
  for await (const check of examine(probes, signal)) {
    if (report.closed) break;
    counts[check.state] += 1;
    asked += 1;
    report.progress(`${String(asked)} of about ${String(probes.length)} checks`, { asked });
    report.line(checkLine(check), { type: 'check', ...check });
  }
  report.text(`\n${summaryOf(counts)}`);
  report.text(
    `\nUnconfirmed (*) until a real organization was asked:\n${UNCONFIRMED.map((line) => `  ${line}`).join('\n')}`,
  );
  for (const what of UNCONFIRMED) report.fact({ type: 'unconfirmed', what });
  const exit = counts.fail > 0 ? EXIT.findings : EXIT.well;
  report.summary(counts, exit);
  return exit;
}

/** What is wrong with the environment is one line each; whatever can be asked all the same is. */
async function probesOf(task: Task): Promise<readonly Probe[]> {
  const { config, problems } = configOf(task.env);
  const wrong = problems.map((problem): Probe => ({
    area: 'configuration',
    name: 'environment',
    look: async () => broken(problem, 'Correct this variable; archiver doctor --help lists all of them.'),
  }));
  const slips = slipsIn(task.env).map(({ name, meant }): Probe => ({
    area: 'configuration',
    name: 'environment',
    look: async () => worthALook(`${name} is read by nobody here`, `Rename it if ${meant} is meant.`),
  }));
  if (config === undefined) return [...wrong, ...slips];
  alignProxyVariables(task.env, config.proxies);
  const isWhole = problems.length === 0;
  const { bucket, queue } = { bucket: bucketOf(task, config), queue: await queueOf(task, config) };
  const archive = await openArchiveOf({ config }, task, false);
  return [
    ...wrong,
    ...slips,
    ...(isWhole ? probesOfGenesys(config, task.opened) : [noGenesys()]),
    ...storageProbes({ archive, inspection: bucket, toCome: archiveToCome(config) }),
    ...queueProbes({ queue: queue ?? queueToCome(config), ...subscriptionOf(config) }),
    ...probesOfMachine(config, () => checkFfmpeg({ cage: config.encoderCage })),
    ...deploymentProbes({ archive, depth: async () => (queue === undefined ? NOTHING_QUEUED : queue.depth()) }),
  ];
}

interface Read {
  readonly config: Config | undefined;
  readonly problems: readonly string[];
}

function configOf(env: NodeJS.ProcessEnv): Read {
  try {
    return { config: readConfig(env, 'doctor'), problems: [] };
  } catch (thrown) {
    if (!(thrown instanceof ConfigProblems)) throw thrown;
    return { config: configWithoutGenesys(env), problems: thrown.problems };
  }
}

/** Of `status`, which demands nothing of Genesys. */
function configWithoutGenesys(env: NodeJS.ProcessEnv): Config | undefined {
  try {
    return readConfig(env, 'status');
  } catch (thrown) {
    if (thrown instanceof ConfigProblems) return undefined;
    throw thrown;
  }
}

function bucketOf({ opened }: Task, { archive, proxies }: Config): BucketInspection | undefined {
  if (archive.kind !== 'bucket') return undefined;
  const inspection = new BucketInspection(archive, proxies);
  opened.defer(() => inspection.close());
  return inspection;
}

/** Where there is a staging/, a probe in it changes nothing; what else lies in an archive is made with it. */
function archiveToCome({ archive }: Config): (() => Promise<Opinion>) | undefined {
  if (archive.kind !== 'folder' || existsSync(join(archive.path, STAGING))) return undefined;
  return () => judgePlaceToCome('the archive', archive.path);
}

function queueToCome({ queue }: Config): () => Promise<Opinion> {
  return () => judgePlaceToCome('the queue file', queue.kind === 'sqlite' ? dirname(queue.path) : '');
}

const NOTHING_QUEUED = { ready: 0, waiting: 0, running: 0, dead: 0 };

/** undefined where it is a file that is not there yet: to open it would make it. */
async function queueOf({ opened }: Task, config: Config): Promise<OpenQueue | undefined> {
  if (!isQueueThere(config.queue)) return undefined;
  const queue = await openQueue(config.queue, { onTrouble: () => undefined, pushed: config.push !== undefined });
  opened.defer(() => queue.close());
  return queue;
}

function subscriptionOf({ queue }: Config): Pick<Parameters<typeof queueProbes>[0], 'settings' | 'topic'> {
  if (queue.kind !== 'pubsub') return { settings: undefined, topic: undefined };
  const { project, topic, subscription } = queue;
  const settings = subscription === undefined ? undefined : () => inspectSubscription({ project, subscription });
  return { settings, topic };
}

const AREA_WIDTH = 'configuration'.length;
const NAME_WIDTH = 'genesys-organization'.length;

function checkLine({ state, area, name, about, found, next, unconfirmed }: Check): string {
  const subject = about === undefined ? found : `${about}: ${found}`;
  const head = `${state.padEnd(7)}  ${area.padEnd(AREA_WIDTH)}  ${`${name}${unconfirmed ? '*' : ''}`.padEnd(NAME_WIDTH)}`;
  return `${head}  ${subject}${next === undefined ? '' : `\n${' '.repeat(9)}→ ${next}`}`;
}

function summaryOf({ ok, warn, fail, skipped }: Readonly<Record<CheckState, number>>): string {
  return `${String(ok)} well, ${String(warn)} worth a look, ${String(fail)} broken${skipped > 0 ? `, ${String(skipped)} not asked` : ''}.`;
}
