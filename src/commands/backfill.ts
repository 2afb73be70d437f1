/** `archiver backfill`: each day is looked at, what is missing is fetched, and the day is looked at again. */
import type { Archive } from '../archive/archive.ts';
import { catchUp } from '../catch-up.ts';
import { examineDay, type Finding } from '../day.ts';
import type { Handle } from '../queue/queue.ts';
import { type Recording, recordingOfKey } from '../recording.ts';
import { readVersion } from '../version.ts';
import { DAY_MS, daysAsked, isProven } from './days.ts';
import { UsageError } from './flags.ts';
import { openArchiveOf, openBulkHandle, openCensusOf, openWorkplace } from './open.ts';
import { proveDay, reconcile, type ReconcileNeeds, ReconcileTally } from './reconcile.ts';
import { type Exit } from './report.ts';
import { findEarlierRuns, forgetCulprit, RunMark, whileTrying } from './run-marks.ts';
import type { Task } from './task.ts';

export interface BackfillNeeds extends ReconcileNeeds {
  readonly archive: Archive;
  readonly handle: Handle;
  /** Encoders at once. */
  readonly slots: number;
  /** Which days are this task's, where it is one of several. */
  readonly part: { readonly index: number; readonly count: number; readonly attempt: number };
}

const SHARE = 0.5;

export async function runBackfill(task: Task): Promise<Exit> {
  const { flags } = task;
  if (!flags.has('from')) throw new UsageError('--from is needed: say where to begin, since every day costs calls.');
  const workplace = openWorkplace(task, 'backfill');
  const archive = await openArchiveOf(workplace, task, false);
  const share = flags.number('share') ?? SHARE;
  const slots = flags.number('slots') ?? 1;
  if (slots < 1) throw new UsageError('--slots 0: at least one is needed.');
  const needs = { census: openCensusOf(workplace, task, share), archive, version: readVersion() };
  if (flags.isOn('dry-run')) return reconcile(task, needs);
  const handle = await openBulkHandle({ workplace, archive }, { slots, share }, task);
  return backfill(task, { ...needs, handle, slots, part: workplace.config.task });
}

async function backfill(task: Task, needs: BackfillNeeds): Promise<Exit> {
  const { flags, report, signal } = task;
  const { archive, now = () => new Date() } = needs;
  const days = (daysAsked(flags, now()) ?? []).filter((day) => isOurs(day, needs.part));
  const name = `${days.at(0) ?? 'none'}.${days.at(-1) ?? 'none'}`;
  const earlier = await findEarlierRuns(name, archive.notes, signal);
  if (earlier.isUnderWay)
    report.problem('The same days are being fetched elsewhere: harmless, each recording is stored once.');
  for (const culprit of earlier.culprits) await giveUp(culprit, needs, signal);
  await using _mark = await RunMark.begin(name, archive.notes);
  const isCareful = earlier.wasKilled || needs.part.attempt > 0;
  const tally = new ReconcileTally(report);
  let looked = 0;
  for (const day of days) {
    if (signal.aborted || report.closed) break;
    if (!flags.isOn('again') && (await isProven(day, archive.notes, signal))) continue;
    looked += 1;
    await backfillDay(day, { task, needs, tally, isCareful }, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
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

interface DayWork {
  readonly task: Task;
  readonly needs: BackfillNeeds;
  readonly tally: ReconcileTally;
  /** One at a time, each marked: a run before this one was killed. */
  readonly isCareful: boolean;
}

async function backfillDay(
  day: string,
  { task, needs, tally, isCareful }: DayWork,
  signal: AbortSignal,
): Promise<void> {
  const { report, flags } = task;
  const wanted = new Set(flags.isOn('again') ? ['missing', 'failed'] : ['missing']);
  const fetchable: Recording[] = [];
  const note = ({ state, key }: Finding): void => {
    const recording = wanted.has(state) ? recordingOfKey(key) : undefined;
    if (recording !== undefined) fetchable.push(recording);
  };
  await examineDay(
    day,
    {
      ...needs,
      onFinding: note,
      onProgress: (done) => report.progress(`${day}  looking  ${String(done)} conversations`),
    },
    signal,
  );
  if (fetchable.length > 0) await fetchAll(day, fetchable, { task, needs, tally, isCareful }, signal);
  signal.throwIfAborted();
  tally.day(await proveDay(day, { report, tally, needs }, signal));
}

async function fetchAll(
  day: string,
  recordings: readonly Recording[],
  { task, needs, isCareful }: DayWork,
  signal: AbortSignal,
): Promise<void> {
  let over = 0;
  const onEnd = (): void => {
    over += 1;
    task.report.progress(`${day}  fetching  ${String(over)} of ${String(recordings.length)}`, {
      day,
      fetched: over,
      of: recordings.length,
    });
  };
  const { handle, archive, slots } = needs;
  const careful: Handle = (delivery, stop) => {
    const { message } = delivery;
    if (message.kind !== 'recording') return handle(delivery, stop);
    return whileTrying(
      { recordingId: message.recordingId, conversationId: message.conversationId },
      archive.notes,
      () => handle(delivery, stop),
    );
  };
  const options = isCareful ? { handle: careful, slots: 1, onEnd } : { handle, slots, onEnd };
  await catchUp(iterate(recordings), options, signal);
}

async function* iterate<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** What killed the process twice is put on record, and not tried again by itself. */
async function giveUp(recording: Recording, { archive, version }: BackfillNeeds, signal: AbortSignal): Promise<void> {
  const { recordingId, conversationId } = recording;
  const record = {
    version: 1,
    recordingId,
    conversationId: conversationId ?? null,
    status: 'failed',
    code: 'internal',
    reason:
      'The process ended while it worked on this recording, twice; find the cause in the log before it is tried again: archiver replay --code internal',
    attempts: 2,
    failedAt: new Date().toISOString(),
    service: version,
  } as const;
  await archive.recordFailure({ recordingId, conversationId }, record, signal);
  await forgetCulprit(recording, archive.notes, signal);
}
