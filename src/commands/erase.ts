/** `archiver erase`: erases for good what is named or too old; only what was seen in a plan, and nothing that is held. */
import type { Archive } from '../archive/archive.ts';
import type { Subject } from '../archive/names.ts';
import type { Audit } from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import { type Planned, planNamed, planOlder } from '../retention/erasure-plan.ts';
import { eraseAll, type ErasureEnd, giveBackHeld } from '../retention/erasure.ts';
import { forgetBeside } from '../services/forget-beside.ts';
import { cutoffOf } from './cutoff.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openWorkplace } from './open.ts';
import { requireReason } from './reason.ts';
import { EXIT, type Exit } from './report.ts';
import { targetsOf, textOfSubject } from './targets.ts';
import type { Task } from './task.ts';

export async function runErase(task: Task): Promise<Exit> {
  const { flags, signal } = task;
  const asked = await askedOf(flags);
  const workplace = openWorkplace(task, 'erase');
  const archive = await openArchiveOf(workplace, task, false);
  const cutoff =
    asked.olderThan === undefined
      ? undefined
      : await cutoffOf(asked.olderThan, { archive, config: workplace.config, report: task.report }, signal);
  const plan = await planOf(task, { asked, archive, cutoff });
  const refusal = await reasonToRefuse(plan, { asked, archive }, signal);
  if (asked.confirm === undefined) return endOfPlan(task, { plan, refusal });
  for (const { state, subject } of plan.kept) if (state === 'held') await giveBackHeld(subject, archive, signal);
  const audit = await openAuditOf({ workplace, archive }, task);
  if (refusal !== undefined) return refuseOnRecord(task, { plan, refusal, audit });
  return carryOut(task, { plan, asked, archive, audit, config: workplace.config });
}

interface AskedErasure {
  readonly targets: readonly Subject[];
  readonly olderThan: string | undefined;
  /** undefined: it only says what it would do. */
  readonly confirm: number | 'any' | undefined;
  readonly reason: string;
}

/** @throws UsageError */
async function askedOf(flags: FlagValues): Promise<AskedErasure> {
  const [targets, olderThan] = [await targetsOf(flags), flags.text('older-than')];
  if (targets.length > 0 === (olderThan !== undefined))
    throw new UsageError(
      'Say what to erase: --conversation ID, --recording C/R or --file FILE; or else --older-than DAYS.',
    );
  const confirm = confirmOf(flags.text('confirm'));
  if (confirm === 'any' && olderThan === undefined)
    throw new UsageError('--confirm any goes with --older-than only: give the number that the plan ends with.');
  return { targets, olderThan, confirm, reason: confirm === undefined ? '' : requireReason(flags) };
}

function confirmOf(text: string | undefined): AskedErasure['confirm'] {
  if (text === undefined || text === 'any') return text;
  if (/^(0|[1-9]\d{0,8})$/.test(text)) return Number(text);
  throw new UsageError(`--confirm ${text}: expected the number that the plan ends with.`);
}

interface ErasurePlan {
  readonly items: readonly Planned[];
  readonly sizeBytes: number;
  readonly before: readonly Subject[];
  /** Held or locked. */
  readonly kept: readonly Planned[];
}

/** Beyond so many it is done in several runs, so that their list stays in memory. */
const MOST_ITEMS = 200_000;
/** For people; programs get all of them. */
const MOST_LINES = 1_000;

async function planOf(
  { report, signal }: Task,
  {
    asked,
    archive,
    cutoff,
  }: { readonly asked: AskedErasure; readonly archive: Archive; readonly cutoff: string | undefined },
): Promise<ErasurePlan> {
  const items: Planned[] = [];
  const kept: Planned[] = [];
  const before: Subject[] = [];
  let [sizeBytes, lines] = [0, 0];
  const planned = cutoff === undefined ? planNamed(asked.targets, archive, signal) : planOlder(cutoff, archive, signal);
  for await (const one of planned) {
    if (one.state === 'before') before.push(one.subject);
    else if (one.state === 'to-erase') items.push(one);
    else kept.push(one);
    if (one.state === 'to-erase') sizeBytes += one.remains.sizeBytes;
    lines += 1;
    report.fact({ type: 'planned', ...factOf(one) });
    if (lines <= MOST_LINES) report.text(lineOf(one));
    report.progress(`${String(lines)} looked at`, { looked: lines });
    if (items.length >= MOST_ITEMS) break;
  }
  if (lines > MOST_LINES) report.text(`… and ${String(lines - MOST_LINES)} more: --json lists all of them.`);
  return { items, sizeBytes, before, kept };
}

function factOf(planned: Planned): Readonly<Record<string, unknown>> {
  const { subject, days, remains, isBegun: _, ...rest } = planned;
  const { objects, sizeBytes } = remains;
  return {
    recordingId: subject.recordingId ?? null,
    conversationId: subject.conversationId ?? null,
    days,
    objects,
    sizeBytes,
    ...rest,
  };
}

function lineOf(planned: Planned): string {
  const { subject, remains } = planned;
  const what = subject.recordingId === undefined ? 'conversation' : 'recording   ';
  const size = `${String(remains.objects)} objects, ${bytesText(remains.sizeBytes)}`;
  return `${what}  ${textOfSubject(subject)}  ${WHAT[planned.state](planned, size)}`;
}

const WHAT = {
  'to-erase': ({ subject, days }: Planned, size: string) =>
    subject.recordingId === undefined ? `${size}, and whatever of it would still come` : [size, ...days].join('  '),
  before: (planned: Planned) =>
    'until' in planned && planned.until !== undefined
      ? `erased before, recoverable until ${planned.until}`
      : 'erased before',
  held: (planned: Planned) =>
    'cases' in planned && planned.cases.length > 0
      ? `held by ${planned.cases.join(', ')}: only once that is released. What it holds:  archiver hold ${planned.cases[0] ?? ''} --list`
      : 'carries a hold that is not ours: gcloud storage objects update --no-temporary-hold, or --no-event-based-hold, releases it',
  locked: (planned: Planned) => `locked until ${('until' in planned && planned.until) || 'its end'}`,
} as const;

function bytesText(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** At most this share of the archive goes unseen. */
const UNSEEN_SHARE = 0.05;

/** Why it may not be done; undefined where it may. */
async function reasonToRefuse(
  plan: ErasurePlan,
  { asked, archive }: { readonly asked: AskedErasure; readonly archive: Archive },
  signal: AbortSignal,
): Promise<string | undefined> {
  const { confirm, olderThan } = asked;
  const count = plan.items.length;
  if (olderThan === undefined && plan.kept.length > 0)
    return `Nothing was erased: ${String(plan.kept.length)} of these are held or locked, as said above.`;
  if (typeof confirm === 'number' && confirm !== count)
    return `Nothing was erased: it is ${String(count)} now, not ${String(confirm)}. Look at the list above, then confirm that.`;
  if (confirm !== 'any' || count === 0) return undefined;
  const least = Math.ceil(count / UNSEEN_SHARE);
  if (await hasAtLeast(least, archive, signal)) return undefined;
  return `Nothing was erased: ${String(count)} are more than 5 % of the archive, which "any" never erases. Look at the list, then:  --confirm ${String(count)}`;
}

async function hasAtLeast(count: number, archive: Archive, signal: AbortSignal): Promise<boolean> {
  let found = 0;
  for await (const _ of archive.dated(undefined, signal)) if ((found += 1) >= count) return true;
  return false;
}

function endOfPlan(
  { report, flags }: Task,
  { plan, refusal }: { readonly plan: ErasurePlan; readonly refusal: string | undefined },
): Exit {
  const count = plan.items.length;
  const exit = refusal === undefined ? EXIT.well : EXIT.refused;
  const advice =
    count === 0
      ? 'Nothing to erase.'
      : `${String(count)} to erase (${bytesText(plan.sizeBytes)}). Nothing brings them back. Do it:  archiver erase ${flags.again('conversation', 'recording', 'file', 'older-than')} --reason "…" --confirm ${String(count)}`;
  const before = plan.before.length === 0 ? '' : ` ${String(plan.before.length)} had been erased before.`;
  report.text(`\n${refusal ?? advice}${before}`);
  report.summary(planFigures(plan), exit);
  return exit;
}

function planFigures({ items, before, kept, sizeBytes }: ErasurePlan): Readonly<Record<string, number>> {
  return { toErase: items.length, sizeBytes, before: before.length, kept: kept.length };
}

async function refuseOnRecord(
  { report, signal }: Task,
  { plan, refusal, audit }: { readonly plan: ErasurePlan; readonly refusal: string; readonly audit: Audit },
): Promise<Exit> {
  const about = { command: 'erase', because: plan.kept.length > 0 ? 'kept' : 'count', toErase: plan.items.length };
  await audit.record({ action: 'refused', ...operator(), about }, signal);
  report.text(`\n${refusal}`);
  report.summary(planFigures(plan), EXIT.refused);
  return EXIT.refused;
}

interface Carrying {
  readonly plan: ErasurePlan;
  readonly asked: AskedErasure;
  readonly archive: Archive;
  readonly audit: Audit;
  readonly config: Config;
}

async function carryOut(task: Task, { plan, asked, archive, audit, config }: Carrying): Promise<Exit> {
  const { report, signal } = task;
  const looksAgain = asked.olderThan === undefined;
  const needs = { archive, audit, by: operator(), reason: asked.reason, looksAgain };
  const tally = { gone: 0, recoverable: 0, held: 0 };
  const erased = [...plan.before];
  let until = '';
  try {
    for await (const end of eraseAll(plan.items, needs, signal)) {
      tally[end.state] += 1;
      if (end.state !== 'held') erased.push(end.subject);
      if (end.state === 'recoverable' && end.until > until) until = end.until;
      report.line(endLine(end), { type: 'erased', ...end.subject, ...end, subject: undefined });
      report.progress(`${String(tally.gone + tally.recoverable)} of ${String(plan.items.length)}`, tally);
    }
  } finally {
    report.text(`\n${outcomeText(tally, until)}`);
  }
  await forgetBeside(erased, config);
  const exit = tally.held > 0 ? EXIT.refused : EXIT.well;
  report.summary({ ...planFigures(plan), ...tally, until: until === '' ? null : until }, exit);
  return exit;
}

function endLine(end: ErasureEnd): string {
  const what = textOfSubject(end.subject);
  if (end.state === 'recoverable') return `removed  ${what}  recoverable until ${end.until}`;
  if (end.state === 'gone') return `gone     ${what}`;
  return `held     ${what}  ${end.cases.length > 0 ? `by ${end.cases.join(', ')}` : 'by a lock or a hold that is not ours'}`;
}

function outcomeText(
  { gone, recoverable, held }: { gone: number; recoverable: number; held: number },
  until: string,
): string {
  const parts = [`${String(gone)} gone`];
  if (recoverable > 0)
    parts.push(`${String(recoverable)} removed but recoverable until ${until} (soft delete): not erased before that`);
  if (held > 0) parts.push(`${String(held)} not erased: a hold or a lock came in between`);
  return `${parts.join(', ')}.`;
}
