/** `archiver backfill`: each day is looked at, what is missing is fetched, and the day is looked at again. */
import type { Archive } from '../archive/archive.ts';
import { DAY_MS } from '../instant.ts';
import { type BulkWork, mendDays } from '../days/mend-days.ts';
import type { ProofNeeds } from '../days/prove-day.ts';
import { readVersion } from '../version.ts';
import { daysAsked } from './days.ts';
import { UsageError } from './flags.ts';
import { forecast } from './forecast.ts';
import { indexDaysOf, openArchiveToWrite, openBulkWork, openCensusOf, openWorkplace } from './open.ts';
import { reconcile, ReconcileTally } from './reconcile.ts';
import type { Exit, Report } from './report.ts';
import { tellSkew } from './skew.ts';
import type { Task } from './task.ts';

interface BackfillNeeds extends ProofNeeds {
  readonly archive: Archive;
  readonly bulk: BulkWork;
  readonly atOnce: number;
  /** Of Genesys' calls a minute. */
  readonly share: number;
  /** Which days are this task's, where it is one of several. */
  readonly part: { readonly index: number; readonly count: number; readonly attempt: number };
}

const SHARE = 0.5;
/** Beyond those that hold an encoder, so that calls and downloads are not waited for one after the other. */
const AT_ONCE = 8;

export async function runBackfill(task: Task): Promise<Exit> {
  const { flags } = task;
  if (!flags.has('from')) throw new UsageError('--from is needed: say where to begin, since every day costs calls.');
  // What cannot be meant is said before anything is opened.
  daysAsked(flags, new Date());
  const share = flags.number('share') ?? SHARE;
  const slots = flags.number('slots') ?? 1;
  if (slots < 1) throw new UsageError('--slots 0: at least one is needed.');
  const workplace = openWorkplace(task, 'backfill');
  const archive = await openArchiveToWrite(workplace, task);
  const index = indexDaysOf({ workplace, archive }, task);
  const census = openCensusOf(workplace, task, share);
  const needs = { census, archive, version: readVersion(), index, now: () => census.now() };
  const exit = flags.isOn('dry-run')
    ? await reconcile(task, { ...needs, share })
    : await backfill(task, {
        ...needs,
        bulk: await openBulkWork({ workplace, archive }, { slots, share }, task),
        atOnce: Math.max(AT_ONCE, slots),
        share,
        part: workplace.config.task,
      });
  tellSkew(census, task);
  return exit;
}

async function backfill(task: Task, { part, share, ...needs }: BackfillNeeds): Promise<Exit> {
  const { flags, report, signal } = task;
  const { now = () => new Date() } = needs;
  const days = (daysAsked(flags, now()) ?? []).filter((day) => isOurs(day, part));
  await forecast(days, { notes: needs.archive.notes, share, report, now: now() }, signal);
  const tally = new ReconcileTally(report);
  const { looked, trouble } = await tally.listing(() =>
    mendDays(
      whileRead(days, report),
      {
        ...needs,
        run: `${days.at(0) ?? 'none'}.${days.at(-1) ?? 'none'}`,
        again: flags.isOn('again'),
        wasKilled: part.attempt > 0,
        onFinding: (finding) => tally.found(finding),
        onDay: (proof) => tally.day(proof),
        onTrouble: (day, because) => tally.passedOver(day, because),
        onLook: (day, done) => report.progress(`${day}  looking  ${String(done)} conversations`),
        onFetched: (day, fetched, of) =>
          report.progress(`${day}  fetching  ${String(fetched)} of ${String(of)}`, { day, fetched, of }),
        onLeft: (day, count, { message }) =>
          report.problem(`${day}: ${String(count)} recording${count === 1 ? ' was' : 's were'} left: ${message}`),
        onElsewhere: () =>
          report.problem('The same days are being fetched elsewhere: harmless, each recording is stored once.'),
      },
      signal,
    ),
  );
  if (trouble !== undefined) throw trouble;
  if (looked < days.length && !signal.aborted)
    report.text(
      `${String(days.length - looked)} of ${String(days.length)} days were proven already (--again looks at them too).`,
    );
  return tally.end(looked);
}

/** Task i of N takes every Nth day. https://cloud.google.com/run/docs/create-jobs */
function isOurs(day: string, { index, count }: BackfillNeeds['part']): boolean {
  return (Date.parse(`${day}T00:00:00Z`) / DAY_MS) % count === index;
}

/** A report that nobody reads any more needs no further day. */
function* whileRead(days: readonly string[], report: Report): Generator<string> {
  for (const day of days) {
    if (report.closed) return;
    yield day;
  }
}
