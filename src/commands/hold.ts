/** `archiver hold`: forbids erasure case by case, releases it again, and says what is held. */
import type { Archive } from '../archive/archive.ts';
import { isErased, listErased, takeBackErasure } from '../archive/erased.ts';
import {
  flagByHolds,
  type HoldRecord,
  holdsOn,
  listHolds,
  placeHold,
  removeHold,
  requireCase,
  subjectOfHold,
} from '../archive/holds.ts';
import { subjectKey, type Subject } from '../archive/names.ts';
import type { Audit } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import type { GenesysRetention } from '../genesys/retention.ts';
import { protectAtSource } from './at-source.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openRetentionOf, openWorkplace } from './open.ts';
import { requireReason } from './reason.ts';
import { columnsOf, EXIT, type Exit } from './report.ts';
import { targetsOf, textOfSubject } from './targets.ts';
import type { Task } from './task.ts';

export async function runHold(task: Task): Promise<Exit> {
  const { flags } = task;
  const isList = flags.isOn('list');
  const caseName = caseOf(flags, isList);
  const isAtSource = flags.isOn('at-source');
  const workplace = openWorkplace(task, isAtSource ? 'restore' : 'hold');
  if (isList) return printHolds(task, { archive: await openArchiveOf(workplace, task, true), caseName });
  const targets = await targetsOf(flags);
  const reason = flags.isOn('release') ? undefined : requireReason(flags);
  if (reason !== undefined && targets.length === 0)
    throw new UsageError('Say what to hold: --conversation ID, --recording C/R or --file FILE.');
  const archive = await openArchiveOf(workplace, task, false);
  const retention = isAtSource ? openRetentionOf(workplace, task, 1) : undefined;
  const needs = { archive, audit: await openAuditOf({ workplace, archive }, task), retention };
  if (reason === undefined) return releaseAll(task, { ...needs, caseName: caseName ?? '', targets });
  return holdAll(task, { ...needs, caseName: caseName ?? '', targets, reason });
}

/** @throws UsageError */
function caseOf(flags: FlagValues, isOptional: boolean): string | undefined {
  const [word, ...more] = flags.words;
  if (more.length > 0)
    throw new UsageError(`One case at a time: ${flags.words.join(' ')}. Put a name with blanks another way.`);
  if (word === undefined && isOptional) return undefined;
  if (word === undefined) throw new UsageError('The name of a case is needed: archiver hold CASE …');
  try {
    return requireCase(word);
  } catch (thrown) {
    throw new UsageError(Failure.from(thrown).message);
  }
}

interface HoldNeeds {
  readonly archive: Archive;
  readonly audit: Audit;
  /** Where Genesys is to protect as well. */
  readonly retention: GenesysRetention | undefined;
}

interface CaseWork extends HoldNeeds {
  readonly caseName: string;
  readonly targets: readonly Subject[];
}

async function holdAll(task: Task, work: CaseWork & { readonly reason: string }): Promise<Exit> {
  const { report, signal } = task;
  const tally = { held: 0, already: 0, 'too-late': 0 };
  for (const target of work.targets) {
    if (signal.aborted) break;
    const hold = holdFor(target, work);
    const end = await holdOne(hold, work, signal);
    tally[end.state] += 1;
    report.line(`${WORDS[end.state].padEnd(12)}  ${textOfSubject(target)}`, {
      type: 'hold',
      state: end.state,
      ...hold,
    });
    for (const key of end.gone) report.line(`${WORDS['too-late'].padEnd(12)}  ${key}`, { type: 'gone', key });
    if (end.gone.length > 0 && end.state !== 'too-late') tally['too-late'] += end.gone.length;
  }
  report.text(
    `\n${String(tally.held)} held for case ${work.caseName}, ${String(tally.already)} were before${tally['too-late'] > 0 ? `, ${String(tally['too-late'])} had been erased` : ''}. See them:  archiver hold ${work.caseName} --list`,
  );
  const refused = await protectHeld(task, work);
  const exit = tally['too-late'] > 0 ? EXIT.refused : refused > 0 ? EXIT.findings : EXIT.well;
  report.summary({ case: work.caseName, held: tally.held, already: tally.already, tooLate: tally['too-late'] }, exit);
  return exit;
}

/** Whatever of it is gone here may still be there. */
async function protectHeld(task: Task, { targets, retention }: CaseWork): Promise<number> {
  if (retention === undefined) return 0;
  const ids = targets.flatMap(({ conversationId }) => conversationId ?? []);
  return protectAtSource(ids, { retention, isProtected: true }, task);
}

const WORDS = { held: 'held', already: 'held before', 'too-late': 'too late' } as const;

function holdFor(
  { recordingId, conversationId }: Subject,
  { caseName, reason }: { readonly caseName: string; readonly reason: string },
): HoldRecord {
  return {
    version: 1,
    case: caseName,
    conversationId: conversationId ?? null,
    recordingId: recordingId ?? null,
    reason,
    by: operator().who,
    heldAt: new Date().toISOString(),
  };
}

interface HoldEnd {
  readonly state: keyof typeof WORDS;
  /** Recordings of a held conversation that had been erased before, as people write them. */
  readonly gone: readonly string[];
}

/**
 * The note first, which every erasure looks for; then the flags, which settle who was first: what carries one can no longer be
 * removed. Only then a mark of an erasure says whether it came too late.
 */
async function holdOne(
  hold: HoldRecord,
  { archive, audit, retention }: HoldNeeds,
  signal: AbortSignal,
): Promise<HoldEnd> {
  const subject = subjectOfHold(hold);
  const about = { case: hold.case, ...(retention === undefined ? {} : { atSource: true }) };
  await audit.record({ action: 'held', ...operator(), ...subject, why: hold.reason, about }, signal);
  const isNew = await placeHold(hold, archive.notes, signal);
  await flagByHolds(subject, archive, signal);
  const gone = await goneOf(subject, archive, signal);
  if (gone !== 'all') return { state: isNew ? 'held' : 'already', gone };
  await removeHold(hold, archive.notes, signal);
  await flagByHolds(subject, archive, signal);
  await audit.record(
    { action: 'refused', ...operator(), ...subject, about: { ...about, command: 'hold', because: 'erased' } },
    signal,
  );
  return { state: 'too-late', gone: [] };
}

/** What of it an erasure was faster with. A mark on what is still there is taken back: the hold has won. */
async function goneOf(subject: Subject, archive: Archive, signal: AbortSignal): Promise<readonly string[] | 'all'> {
  const { recordingId, conversationId } = subject;
  if (recordingId !== undefined) return goneOfRecording({ recordingId, conversationId }, archive, signal);
  const gone: string[] = [];
  for await (const { recordingId: marked } of listErased(archive.notes, signal, conversationId)) {
    const recording = marked === null ? undefined : { recordingId: marked, conversationId };
    if (recording === undefined) continue;
    if ((await goneOfRecording(recording, archive, signal)) === 'all') gone.push(textOfSubject(recording));
  }
  if (!(await isErased(subject, archive.notes, signal))) return gone;
  for await (const recording of archive.recordingsOf(conversationId ?? '', signal))
    if (await isWhole(recording, archive, signal)) {
      await takeBackErasure(subject, archive.notes, signal);
      return gone;
    }
  return 'all';
}

async function goneOfRecording(
  recording: Recording,
  archive: Archive,
  signal: AbortSignal,
): Promise<readonly string[] | 'all'> {
  if (!(await isErased(recording, archive.notes, signal))) return [];
  if (!(await isWhole(recording, archive, signal))) return 'all';
  await takeBackErasure(recording, archive.notes, signal);
  const { conversationId } = recording;
  if (conversationId !== undefined)
    await takeBackErasure({ recordingId: undefined, conversationId }, archive.notes, signal);
  return [];
}

/** Its manifest is what an erasure removes first. Nothing is completed by looking: whoever stores it does that. */
async function isWhole(recording: Recording, archive: Archive, signal: AbortSignal): Promise<boolean> {
  return (await archive.remains({ subject: recording, days: [] }, signal)).manifestSha256 !== undefined;
}

async function releaseAll(task: Task, { archive, audit, retention, caseName, targets }: CaseWork): Promise<Exit> {
  const { report, signal } = task;
  const wanted = new Set(targets.map(subjectKey));
  const free = new Set<string>();
  let released = 0;
  for await (const hold of listHolds(archive.notes, signal, caseName)) {
    if (signal.aborted) break;
    const subject = subjectOfHold(hold);
    if (wanted.size > 0 && !wanted.delete(subjectKey(subject))) continue;
    await audit.record({ action: 'released', ...operator(), ...subject, about: { case: caseName } }, signal);
    await removeHold(hold, archive.notes, signal);
    await flagByHolds(subject, archive, signal);
    const { conversationId } = subject;
    if (conversationId !== undefined && (await isFree(conversationId, archive, signal))) free.add(conversationId);
    const others = (await holdsOn(subject, archive.notes, signal)).map((other) => other.case);
    released += 1;
    const still = others.length === 0 ? '' : `  still held by ${[...new Set(others)].join(', ')}`;
    report.line(`released  ${textOfSubject(subject)}${still}`, { type: 'released', ...hold, still: others });
  }
  for (const key of wanted) report.line(`not held  ${key}`, { type: 'not-held', key });
  const refused = retention === undefined ? 0 : await protectAtSource(free, { retention, isProtected: false }, task);
  const exit = released === 0 || wanted.size > 0 ? EXIT.refused : refused > 0 ? EXIT.findings : EXIT.well;
  report.text(
    released === 0
      ? `Case ${caseName} holds nothing of that. See all holds:  archiver hold --list`
      : `\n${String(released)} released from case ${caseName}.`,
  );
  report.summary({ case: caseName, released, notHeld: wanted.size }, exit);
  return exit;
}

/** No case holds anything of it any more. */
async function isFree(conversationId: string, { notes }: Archive, signal: AbortSignal): Promise<boolean> {
  return (await holdsOn({ recordingId: undefined, conversationId }, notes, signal)).length === 0;
}

/** As it comes: however many there are, a few are in memory. */
async function printHolds(
  { report, signal }: Task,
  { archive, caseName }: { readonly archive: Archive; readonly caseName: string | undefined },
): Promise<Exit> {
  let holds = 0;
  for await (const hold of listHolds(archive.notes, signal, caseName)) {
    if (report.closed) break;
    holds += 1;
    const { case: name, heldAt, by, reason } = hold;
    const [row = ''] = columnsOf([[name, textOfSubject(subjectOfHold(hold)), heldAt, by, JSON.stringify(reason)]]);
    report.line(row, { type: 'hold', ...hold });
  }
  report.text(holds === 0 ? 'Nothing is held.' : `\n${String(holds)} holds.`);
  report.summary({ holds }, EXIT.well);
  return EXIT.well;
}
