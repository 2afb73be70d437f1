/** `archiver status`: one screen of how the archive is doing. */
import { dayAt } from '../instant.ts';
import { isQueueThere, openQueue } from '../queue/open-queue.ts';
import type { Depth } from '../queue/queue.ts';
import { type FailureCount, type InstanceState, lastDays, MOST_DAYS, type Overview, overviewOf } from '../overview.ts';
import { UsageError } from './flags.ts';
import { openArchiveOf, openWorkplace, type Workplace } from './open.ts';
import { columnsOf, EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

export async function runStatus(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const count = flags.number('days') ?? MOST_DAYS;
  if (count < 1 || count > MOST_DAYS)
    throw new UsageError(`--days ${String(count)}: expected 1 to ${String(MOST_DAYS)}.`);
  const workplace = openWorkplace(task, 'status');
  const archive = await openArchiveOf(workplace, task, true);
  const days = lastDays(count, dayAt(Date.now()));
  const overview = await overviewOf(days, { archive, depth: () => depthOf(workplace, task) }, signal);
  report.fact({ type: 'status', ...overview });
  report.text(screenOf(overview));
  const findings = overview.failures.length + overview.days.filter(({ verdict }) => verdict === 'incomplete').length;
  const exit = findings > 0 ? EXIT.findings : EXIT.well;
  report.summary({ failures: overview.failures.length, waiting: overview.waiting.length }, exit);
  return exit;
}

/** Only SQLite's can be counted; one that is not there yet has nothing in it, and is not made for that. */
async function depthOf({ config }: Workplace, { report }: Task): Promise<Depth | undefined> {
  if (config.queue.kind !== 'sqlite') return undefined;
  if (!isQueueThere(config.queue)) {
    report.problem(`QUEUE_URL: there is no file ${config.queue.path} (yet): nothing is found in it.`);
    return { ready: 0, waiting: 0, running: 0, dead: 0 };
  }
  const queue = await openQueue(config.queue, { onTrouble: () => undefined, pushed: false });
  try {
    return await queue.depth();
  } finally {
    await queue.close();
  }
}

function screenOf(overview: Overview): string {
  const { queue, newest, oldestWaiting: oldest } = overview;
  const queued =
    queue === null
      ? 'see the metrics of Pub/Sub'
      : `${String(queue.ready)} ready, ${String(queue.waiting)} waiting, ${String(queue.running)} running, ${String(queue.dead)} given up`;
  const lag =
    newest.lagMedianSeconds === null
      ? 'not known'
      : `${secondsText(newest.lagMedianSeconds)} (95 %: ${secondsText(newest.lag95Seconds ?? 0)})`;
  const head = columnsOf([
    ['queue', queued],
    [
      'oldest waiting',
      oldest === null ? 'none' : `${oldest.key}, ${oldest.code}, since ${oldest.since}, next try ${oldest.nextTry}`,
    ],
    ['end of call to archived', lag],
    ['Genesys’ data reach to', overview.dataUntil === null ? 'not known' : `${overview.dataUntil.slice(0, 16)}Z`],
    ['Genesys calls left', callsLeftText(overview.instances)],
    ['instances', instancesText(overview.instances)],
    ['under way', overview.runs.length === 0 ? 'no command' : overview.runs.join(', ')],
  ]);
  const days = overview.days.map(({ day, verdict, recordings, archived, missing, failed }) => [
    day,
    verdict,
    recordings === null ? '' : `${String(archived ?? 0)} of ${String(recordings)} archived`,
    (missing ?? 0) + (failed ?? 0) === 0 ? '' : `${String(missing ?? 0)} missing, ${String(failed ?? 0)} failed`,
  ]);
  const kept = newest.perDay
    .slice(0, 7)
    .map(({ day, recordings, bytes }) => [day, `${String(recordings)} recordings`, `${(bytes / 1e6).toFixed(1)} MB`]);
  return [
    ...head,
    '',
    ...columnsOf(days),
    ...section(`Failed (of the newest ${String(newest.entries)}):`, overview.failures),
    ...section('Waiting:', overview.waiting),
    ...(kept.length === 0 ? [] : ['', 'Archived per day:', ...columnsOf(kept)]),
  ].join('\n');
}

/** Only who calls Genesys is told what is left, for its own tokens: workers say so each half minute. */
function callsLeftText(instances: readonly InstanceState[]): string {
  const told = instances.flatMap(({ genesysCalls, at }) => (genesysCalls === null ? [] : [{ ...genesysCalls, at }]));
  if (told.length === 0) return 'not known: no worker has told; its /metrics do (archiver_genesys_calls_left)';
  const sumOf = (count: (one: { readonly made: number; readonly allowed: number }) => number): number =>
    told.reduce((sum, one) => sum + Math.max(0, count(one)), 0);
  const [left, allowed] = [sumOf((one) => one.allowed - one.made), sumOf((one) => one.allowed)];
  const newest =
    told
      .map(({ at }) => at)
      .toSorted()
      .at(-1) ?? '';
  return `${String(left)} of ${String(allowed)} a minute, at ${newest.slice(0, 19)}Z`;
}

function instancesText(instances: readonly InstanceState[]): string {
  if (instances.length === 0) return 'none has written within two minutes';
  return instances.map(({ instance, version }) => `${instance} (${version})`).join(', ');
}

function section(title: string, counts: readonly FailureCount[]): readonly string[] {
  if (counts.length === 0) return [];
  return ['', title, ...columnsOf(counts.map(({ code, count, next }) => [String(count).padStart(6), code, next]))];
}

function secondsText(seconds: number): string {
  if (seconds < 120) return `${String(seconds)} s`;
  return seconds < 7_200 ? `${String(Math.round(seconds / 60))} min` : `${String(Math.round(seconds / 3_600))} h`;
}
