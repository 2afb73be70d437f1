/** `archiver retire`: has Genesys delete what is proven here, and takes it back within the grace. */
import type { Archive } from '../archive/archive.ts';
import type { RecordingOfConversation } from '../archive/details.ts';
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
  const retention = openRetentionOf(workplace, task, 1);
  const audit = await openAuditOf({ workplace, archive }, task);
  // It is Genesys that deletes by its clock: with ours a grace could be over before it began.
  const now = await retention.now(signal);
  const days = asked ?? usualDays(now.getTime());
  tellSkew(retention, task);
  const keepsTranscripts = workplace.config.keepDetails === 'transcript';
  const changes = isUndo
    ? await planUndo({ audit, retention, targets, now: now.getTime() }, signal)
    : await planDays(task, { days, grace, archive, retention, keepsTranscripts, now });
  return endOrCarryOut(task, { changes, confirmed, isUndo, retention, audit });
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
async function planUndo(
  { audit, retention, targets, now }: Undoing,
  signal: AbortSignal,
): Promise<readonly DateChange[]> {
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
    const [given, before] = [textAbout(about, 'deleteDate'), textAbout(about, 'before')];
    if (about?.['undo'] === true) newest.delete(subjectKey(recording));
    else newest.set(subjectKey(recording), { recording, deleteDate: before, before: given });
  }
  const changes: DateChange[] = [];
  for (const change of newest.values()) {
    if (change.before === undefined || Date.parse(change.before) <= now) continue;
    const { deleteDate } = await retention.stateOf(change.recording, signal);
    if (Math.abs((deleteDate?.getTime() ?? 0) - Date.parse(change.before)) <= 1_000) changes.push(change);
  }
  return changes;
}

function textAbout(
  about: Readonly<Record<string, string | number | boolean>> | undefined,
  name: string,
): string | undefined {
  const value = about?.[name];
  return typeof value === 'string' ? value : undefined;
}

interface RetireRun {
  readonly changes: readonly DateChange[];
  readonly confirmed: number | undefined;
  readonly isUndo: boolean;
  readonly retention: GenesysRetention;
  readonly audit: Audit;
}

async function endOrCarryOut(task: Task, changing: RetireRun): Promise<Exit> {
  const { report, flags } = task;
  const { changes, confirmed, isUndo } = changing;
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
  const exit = confirmed === undefined ? EXIT.well : EXIT.refused;
  const words = ['from', 'to', 'grace'].flatMap((name) =>
    flags.has(name) ? [`--${name} ${flags.text(name) ?? ''}`] : [],
  );
  const line = ['archiver retire', ...(isUndo ? ['--undo'] : words), `--confirm ${String(count)}`].join(' ');
  const refusal = `Nothing was changed: it is ${String(count)} now, not ${String(confirmed)}.`;
  const advice = count === 0 ? 'Nothing to change.' : `${String(count)} to change at Genesys. Do it:  ${line}`;
  report.text(`\n${confirmed === undefined ? advice : refusal}`);
  report.summary({ toChange: count }, exit);
  return exit;
}

async function changeAll({ report, signal }: Task, { changes, isUndo, retention, audit }: RetireRun): Promise<Exit> {
  const tally = { changed: 0, failed: 0 };
  for (const { recording, deleteDate, before } of changes) {
    if (signal.aborted) break;
    const about = {
      ...(isUndo ? { undo: true } : {}),
      ...(deleteDate === undefined ? {} : { deleteDate }),
      ...(before === undefined ? {} : { before }),
    };
    await audit.record({ action: 'retired', ...operator(), ...recording, about }, signal);
    const at = deleteDate === undefined ? undefined : new Date(deleteDate);
    const ended = await retention.deleteAt(recording, at, signal).catch((thrown: unknown) => Failure.from(thrown));
    const isRefused = ended instanceof Failure;
    tally[isRefused ? 'failed' : 'changed'] += 1;
    const said = isRefused
      ? `${ended.code}: ${ended.message}`
      : `Genesys says: ${ended.deleteDate?.toISOString() ?? 'no date'}`;
    report.line(`${isRefused ? 'failed ' : 'changed'}  ${textOfSubject(recording)}  ${said}`, {
      type: 'retired',
      state: isRefused ? 'failed' : 'changed',
      ...recording,
      said,
    });
    // What is refused to one is refused to all.
    if (isRefused && (ended.code === 'forbidden' || ended.code === 'misconfigured')) break;
  }
  const undo = isUndo || tally.changed === 0 ? '' : ' Within the grace it can be taken back:  archiver retire --undo';
  report.text(`\n${String(tally.changed)} changed, ${String(tally.failed)} failed.${undo}`);
  const exit = tally.failed > 0 ? EXIT.findings : EXIT.well;
  report.summary({ toChange: changes.length, ...tally }, exit);
  return exit;
}
