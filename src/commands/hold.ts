/** `archiver hold`: forbids erasure case by case, releases it again, and says what is held. */
import type { Archive } from '../archive/archive.ts';
import { type HoldRecord, holdsOn, listHolds, requireCase, subjectOfHold } from '../archive/holds.ts';
import { canonicalSubject, subjectKey, type Subject } from '../archive/names.ts';
import type { Audit } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import { endRelease, holdSubject, newHold, releasedBefore, releaseHold } from '../retention/holding.ts';
import type { GenesysRetention } from '../genesys/retention.ts';
import { protectAtSource } from './at-source.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openRetentionOf, openWorkplace } from './open.ts';
import { requireReason } from './reason.ts';
import { columnsOf, EXIT, type Exit, tame, tameQuote } from './report.ts';
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
  const retention = isAtSource ? openRetentionOf(workplace, task) : undefined;
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
    const hold = newHold(target, { ...work, by: operator().who, at: new Date() });
    const { archive, audit, retention } = work;
    const about = retention === undefined ? {} : { atSource: true };
    const end = await holdSubject(hold, { archive, audit, by: operator(), about }, signal);
    tally[end.state] += 1;
    const isToCome = end.state !== 'too-late' && !end.isHere && end.gone.length === 0;
    const toCome = isToCome ? '  nothing of it is archived: what comes is held' : '';
    report.line(`${WORDS[end.state].padEnd(12)}  ${textOfSubject(target)}${toCome}`, {
      type: 'hold',
      state: end.state,
      archived: end.isHere,
      ...hold,
    });
    for (const key of end.gone.map(textOfSubject))
      report.line(`${WORDS['too-late'].padEnd(12)}  ${key}`, { type: 'gone', key });
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

async function releaseAll(task: Task, work: CaseWork): Promise<Exit> {
  const { report, signal } = task;
  const { archive, retention, caseName, targets } = work;
  const wanted = new Set(targets.map(subjectKey));
  const isWanted = (key: string): boolean => targets.length === 0 || wanted.delete(key);
  const tally = { released: 0, before: 0 };
  const free = new Set<string>();
  for await (const { state, subject, others, facts } of releases(work, isWanted, signal)) {
    const { conversationId } = subject;
    if (conversationId !== undefined && (await isFree(conversationId, archive, signal))) free.add(conversationId);
    tally[state] += 1;
    const still = others.length === 0 ? '' : `  still held by ${others.join(', ')}`;
    const text = `${RELEASED[state]}  ${textOfSubject(subject)}${still}`;
    report.line(text, { type: 'released', ...facts, still: others, before: state === 'before' });
  }
  for (const key of wanted) report.line(`not held  ${key}`, { type: 'not-held', key });
  const refused = retention === undefined ? 0 : await protectAtSource(free, { retention, isProtected: false }, task);
  const isNothing = tally.released + tally.before === 0;
  const exit = isNothing || wanted.size > 0 ? EXIT.refused : refused > 0 ? EXIT.findings : EXIT.well;
  const earlier = tally.before === 0 ? '' : `, ${String(tally.before)} were before`;
  report.text(
    isNothing
      ? `Case ${caseName} holds nothing of that. See all holds:  archiver hold --list`
      : `\n${String(tally.released)} released from case ${caseName}${earlier}.`,
  );
  report.summary({ case: caseName, ...tally, notHeld: wanted.size }, exit);
  return exit;
}

const RELEASED = { released: 'released', before: 'released before' } as const;

interface Release {
  readonly state: keyof typeof RELEASED;
  readonly subject: Subject;
  /** The cases that hold it still. */
  readonly others: readonly string[];
  readonly facts: Partial<HoldRecord>;
}

/** Of what is wanted: what the case holds, and then what an earlier run released and may not have ended. */
async function* releases(
  { archive, audit, caseName }: CaseWork,
  isWanted: (key: string) => boolean,
  signal: AbortSignal,
): AsyncGenerator<Release> {
  const before = await releasedBefore(caseName, audit, signal);
  for await (const hold of listHolds(archive.notes, signal, caseName)) {
    if (signal.aborted) return;
    const subject = subjectOfHold(hold);
    if (!isWanted(subjectKey(subject))) continue;
    before.delete(subjectKey(canonicalSubject(subject)));
    const others = await releaseHold(hold, { archive, audit, by: operator() }, signal);
    yield { state: 'released', subject, others, facts: hold };
  }
  for (const [key, subject] of before) {
    if (signal.aborted) return;
    if (!isWanted(key)) continue;
    const { conversationId = null, recordingId = null } = subject;
    const facts = { case: caseName, conversationId, recordingId };
    yield { state: 'before', subject, others: await endRelease(subject, archive, signal), facts };
  }
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
    const [row = ''] = columnsOf([[name, textOfSubject(subjectOfHold(hold)), heldAt, tame(by), tameQuote(reason)]]);
    report.line(row, { type: 'hold', ...hold });
  }
  report.text(holds === 0 ? 'Nothing is held.' : `\n${String(holds)} holds.`);
  report.summary({ holds }, EXIT.well);
  return EXIT.well;
}
