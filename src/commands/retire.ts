/** `archiver retire`: has Genesys delete what is proven here, and takes it back within the grace. */
import type { Archive } from '../archive/archive.ts';
import type { RecordingOfConversation } from '../archive/details.ts';
import { holdsOn } from '../archive/holds.ts';
import { subjectKey, type Subject } from '../archive/names.ts';
import type { Audit } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import type { GenesysRetention } from '../genesys/retention.ts';
import { DAY_MS, dayAt, daysBetween } from '../instant.ts';
import { confirmedCount, daysFlag } from './confirm.ts';
import { daysAsked } from './days.ts';
import { UsageError } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openRetentionOf, openWorkplace } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import { isOfOne, Refusals } from './refusals.ts';
import { OLDEST_YOUNG_DAYS, planRetiring } from './retire-plan.ts';
import { tellSkew } from './skew.ts';
import { targetsOf, textOfSubject } from './targets.ts';
import type { Task } from './task.ts';

/** One recording, and when Genesys is to delete it; undefined: not at all. */
interface DateChange {
  readonly recording: RecordingOfConversation;
  readonly deleteDate: string | undefined;
  /** What Genesys said before; for whoever takes it back. */
  readonly before: string | undefined;
}

const MOST_GRACE_DAYS = 90;

export async function runRetire(task: Task): Promise<Exit> {
  const { flags, signal } = task;
  const isUndo = flags.isOn('undo');
  const targets = await targetsOf(flags);
  if (targets.length > 0 && !isUndo) throw new UsageError('What is named goes with --undo: retire takes whole days.');
  if (isUndo && flags.text('grace') !== undefined)
    throw new UsageError('--grace: --undo gives back the date from before, and knows no grace.');
  const grace = daysFlag('grace', flags.text('grace') ?? '7d', MOST_GRACE_DAYS);
  const confirmed = confirmedCount(flags.text('confirm'));
  const asked = daysAsked(flags, new Date());
  const workplace = openWorkplace(task, 'retire');
  const archive = await openArchiveOf(workplace, task, true);
  const retention = openRetentionOf(workplace, task);
  const audit = await openAuditOf({ workplace, archive }, task);
  // It is Genesys that deletes by its clock: with ours a grace could be over before it began.
  const now = await retention.now(signal);
  const days = asked ?? usualDays(now.getTime());
  tellSkew(retention, task);
  const keepsTranscripts = workplace.config.keepDetails === 'transcript';
  const plan = isUndo
    ? await planUndo(task, { audit, retention, targets, now: now.getTime() })
    : { changes: await planDays(task, { days, grace, archive, retention, keepsTranscripts, now }), left: 0 };
  return endOrCarryOut(task, { ...plan, confirmed, isUndo, archive, retention, audit });
}

function usualDays(now: number): readonly string[] {
  const last = now - (OLDEST_YOUNG_DAYS + 1) * DAY_MS;
  return daysBetween(dayAt(last - 30 * DAY_MS), dayAt(last));
}

/** For people; programs get all of them. */
const MOST_KEPT_LINES = 1_000;

interface DaysToRetire {
  readonly days: readonly string[];
  readonly grace: number;
  readonly archive: Archive;
  readonly retention: GenesysRetention;
  readonly keepsTranscripts: boolean;
  readonly now: Date;
}

async function planDays({ report, signal }: Task, asked: DaysToRetire): Promise<readonly DateChange[]> {
  const deleteDate = new Date(asked.now.getTime() + asked.grace * DAY_MS).toISOString();
  const changes: DateChange[] = [];
  let kept = 0;
  for await (const candidate of planRetiring(asked.days, asked, signal)) {
    report.fact({ type: 'planned', ...candidate, ...candidate.recording, recording: undefined });
    if (candidate.state === 'to-retire') {
      // Genesys deletes it sooner by itself: then there is nothing to ask for.
      if (candidate.before === undefined || candidate.before > deleteDate) changes.push({ ...candidate, deleteDate });
    } else {
      kept += 1;
      if (kept <= MOST_KEPT_LINES) report.text(`stays  ${textOfSubject(candidate.recording)}  ${candidate.because}`);
    }
    report.progress(`${String(changes.length + kept)} looked at`, { toRetire: changes.length, kept });
  }
  if (kept > MOST_KEPT_LINES)
    report.text(`… and ${String(kept - MOST_KEPT_LINES)} more stay: --json lists all of them.`);
  return changes;
}

interface Undoing {
  readonly audit: Audit;
  readonly retention: GenesysRetention;
  readonly targets: readonly Subject[];
  /** By Genesys' clock, ms. */
  readonly now: number;
}

/** What the audit says was retired, for as long as Genesys still says that date: a date of somebody else is left alone. */
async function planUndo(task: Task, { audit, retention, targets, now }: Undoing): Promise<RetirePlan> {
  const { signal } = task;
  const wanted = new Set(targets.map(subjectKey));
  const query = {
    action: 'retired',
    from: dayAt(now - (MOST_GRACE_DAYS + 1) * DAY_MS),
    to: dayAt(now + DAY_MS),
  } as const;
  const newest = new Map<string, DateChange>();
  for await (const { conversationId, recordingId, about } of audit.read(query, signal)) {
    if (conversationId === undefined || recordingId === undefined) continue;
    const recording = { conversationId, recordingId };
    const whole = subjectKey({ conversationId, recordingId: undefined });
    if (wanted.size > 0 && !wanted.has(subjectKey(recording)) && !wanted.has(whole)) continue;
    // That it was to be taken back says nothing: by the date that Genesys says now it was or it was not.
    if (about?.['undo'] === true) continue;
    const [given, before] = [textAbout(about, 'deleteDate'), textAbout(about, 'before')];
    const earlier = newest.get(subjectKey(recording));
    // Retired twice: the date from before is the one from before the first time.
    const original = isSameDate(earlier?.before, before) ? earlier?.deleteDate : before;
    newest.set(subjectKey(recording), { recording, deleteDate: original, before: given });
  }
  const changes: DateChange[] = [];
  let left = 0;
  for (const change of newest.values()) {
    if (change.before === undefined || Date.parse(change.before) <= now) continue;
    const deleteDate = await dateAtSource(change.recording, retention, task);
    if (deleteDate === 'left') left += 1;
    else if (isSameDate(change.before, deleteDate?.toISOString())) changes.push(change);
  }
  return { changes, left };
}

/** Genesys may keep whole seconds. */
function isSameDate(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return Math.abs(Date.parse(one) - Date.parse(other)) <= 1_000;
}

/** What cannot be asked for, or is gone, is told, and keeps the others from nothing: their grace runs. */
async function dateAtSource(
  recording: RecordingOfConversation,
  retention: GenesysRetention,
  { report, signal }: Task,
): Promise<Date | undefined | 'left'> {
  try {
    return (await retention.stateOf(recording, signal)).deleteDate;
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (!isOfOne(failure)) throw thrown;
    const { code, message } = failure;
    report.line(`left   ${textOfSubject(recording)}  ${code}: ${message}`, {
      type: 'left',
      ...recording,
      code,
      reason: message,
    });
    return 'left';
  }
}

function textAbout(
  about: Readonly<Record<string, string | number | boolean>> | undefined,
  name: string,
): string | undefined {
  const value = about?.[name];
  return typeof value === 'string' ? value : undefined;
}

interface RetirePlan {
  readonly changes: readonly DateChange[];
  /** Of those that would be taken back, how many Genesys does not tell of. */
  readonly left: number;
}

interface RetireRun extends RetirePlan {
  readonly confirmed: number | undefined;
  readonly isUndo: boolean;
  readonly archive: Archive;
  readonly retention: GenesysRetention;
  readonly audit: Audit;
}

async function endOrCarryOut(task: Task, changing: RetireRun): Promise<Exit> {
  const { report, flags } = task;
  const { changes, left, confirmed, isUndo } = changing;
  const count = changes.length;
  for (const { recording, deleteDate } of changes)
    report.line(
      `${isUndo ? 'stays' : 'goes '}  ${textOfSubject(recording)}  ${deleteDate === undefined ? 'no date' : `on ${deleteDate}`}`,
      {
        type: isUndo ? 'to-undo' : 'to-retire',
        ...recording,
        deleteDate: deleteDate ?? null,
      },
    );
  if (confirmed === count) return changeAll(task, changing);
  const exit = confirmed !== undefined ? EXIT.refused : left > 0 ? EXIT.findings : EXIT.well;
  const words = flags.again('undo', 'from', 'to', 'grace', 'conversation', 'recording', 'file');
  const line = ['archiver retire', ...(words === '' ? [] : [words]), `--confirm ${String(count)}`].join(' ');
  const refusal = `Nothing was changed: it is ${String(count)} now, not ${String(confirmed)}.`;
  const advice = count === 0 ? 'Nothing to change.' : `${String(count)} to change at Genesys. Do it:  ${line}`;
  report.text(`\n${confirmed === undefined ? advice : refusal}`);
  report.summary({ toChange: count, left }, exit);
  return exit;
}

async function changeAll(task: Task, run: RetireRun): Promise<Exit> {
  const { report, signal } = task;
  const { changes, left, isUndo } = run;
  const tally = { changed: 0, failed: 0, held: 0 };
  const refusals = new Refusals();
  for (const change of changes) {
    if (signal.aborted) break;
    const { state, said, failure } = await changeOne(change, run, signal);
    tally[state] += 1;
    report.line(`${state.padEnd(7)}  ${textOfSubject(change.recording)}  ${said}`, {
      type: 'retired',
      state,
      ...change.recording,
      said,
    });
    if (refusals.isForAll(failure)) break;
  }
  const undo = isUndo || tally.changed === 0 ? '' : ' Within the grace it can be taken back:  archiver retire --undo';
  const held = tally.held === 0 ? '' : `, ${String(tally.held)} left: a hold came in between`;
  report.text(`\n${String(tally.changed)} changed, ${String(tally.failed)} failed${held}.${undo}`);
  const exit = tally.failed + tally.held + left > 0 ? EXIT.findings : EXIT.well;
  report.summary({ toChange: changes.length, left, ...tally }, exit);
  return exit;
}

interface ChangeEnd {
  readonly state: 'changed' | 'failed' | 'held';
  readonly said: string;
  readonly failure?: Failure;
}

/** On record before it is asked for. A hold may have come since it was planned. */
async function changeOne(
  { recording, deleteDate, before }: DateChange,
  { isUndo, archive, retention, audit }: RetireRun,
  signal: AbortSignal,
): Promise<ChangeEnd> {
  const [hold] = isUndo ? [] : await holdsOn(recording, archive.notes, signal);
  if (hold !== undefined) return { state: 'held', said: `case ${hold.case} holds it` };
  const about = {
    ...(isUndo ? { undo: true } : {}),
    ...(deleteDate === undefined ? {} : { deleteDate }),
    ...(before === undefined ? {} : { before }),
  };
  await audit.record({ action: 'retired', ...operator(), ...recording, about }, signal);
  try {
    const at = deleteDate === undefined ? undefined : new Date(deleteDate);
    const { deleteDate: told } = await retention.deleteAt(recording, at, signal);
    return { state: 'changed', said: `Genesys says: ${told?.toISOString() ?? 'no date'}` };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    return { state: 'failed', said: `${failure.code}: ${failure.message}`, failure };
  }
}
