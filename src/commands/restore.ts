/** `archiver restore`: asks Genesys for what it has stored away, so that it can be archived. */
import type { Archive } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import type { Subject } from '../archive/names.ts';
import { subjectKey } from '../archive/names.ts';
import type { Audit } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import type { Census } from '../genesys/census.ts';
import type { GenesysRetention } from '../genesys/retention.ts';
import { DAY_MS } from '../instant.ts';
import { canonicalId } from '../recording.ts';
import { confirmedCount, daysFlag } from './confirm.ts';
import { UsageError } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openCensusOf, openRetentionOf, openWorkplace } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import { isOfOne, Refusals } from './refusals.ts';
import { targetsOf, textOfSubject } from './targets.ts';
import type { Task } from './task.ts';

interface RestoreNeeds {
  readonly archive: Archive;
  readonly census: Pick<Census, 'recordingsOf'>;
  readonly retention: GenesysRetention;
}

type SourceRecording = { readonly recordingId: string; readonly conversationId: string };

/** What was named and Genesys tells nothing of, or not all. */
interface UnknownTarget {
  readonly subject: Subject;
  readonly because: Failure;
}

export async function runRestore(task: Task): Promise<Exit> {
  const { flags, report } = task;
  const targets = await targetsOf(flags);
  if (flags.isOn('failed') === targets.length > 0)
    throw new UsageError('Say what to restore: --failed, or else --conversation ID, --recording C/R or --file FILE.');
  const days = daysFlag('days', flags.text('days') ?? '14d', 365);
  const confirmed = confirmedCount(flags.text('confirm'));
  const workplace = openWorkplace(task, 'restore');
  const archive = await openArchiveOf(workplace, task, true);
  const needs = { archive, census: openCensusOf(workplace, task, 1), retention: openRetentionOf(workplace, task) };
  const { wanted, unknown } = await storedAway(task, targets, needs);
  for (const { subject, because } of unknown)
    report.problem(
      because.code === 'not-found'
        ? `${textOfSubject(subject)}: Genesys does not know it, or does not show it to this client: correct it.`
        : `${textOfSubject(subject)}: ${because.code}: ${because.message}`,
    );
  for (const recording of wanted)
    report.line(`stored away  ${textOfSubject(recording)}`, { type: 'planned', ...recording });
  const count = wanted.length;
  if (confirmed === undefined) {
    const words = flags.again('failed', 'conversation', 'recording', 'file', 'days');
    report.text(
      count === 0
        ? 'Nothing is stored away.'
        : `\n${String(count)} to ask for, for ${String(days)} days. Do it:  archiver restore ${words} --confirm ${String(count)}`,
    );
    const exit = unknown.length > 0 ? EXIT.findings : EXIT.well;
    report.summary({ toRestore: count, unknown: unknown.length }, exit);
    return exit;
  }
  if (confirmed !== count) {
    report.text(`\nNothing was asked for: it is ${String(count)} now, not ${String(confirmed)}.`);
    report.summary({ toRestore: count }, EXIT.refused);
    return EXIT.refused;
  }
  const audit = await openAuditOf({ workplace, archive }, task);
  const until = new Date((await needs.retention.now(task.signal)).getTime() + days * DAY_MS);
  return restoreAll(task, { ...needs, wanted, audit, until, unknown: unknown.length });
}

/** Each once: by what is known here, or by Genesys' own word. */
async function storedAway(
  { signal }: Task,
  targets: readonly Subject[],
  needs: RestoreNeeds,
): Promise<{ readonly wanted: readonly SourceRecording[]; readonly unknown: readonly UnknownTarget[] }> {
  const found = new Map<string, SourceRecording>();
  const unknown: UnknownTarget[] = [];
  const wanted =
    targets.length === 0
      ? missedBecause('needs-restore', needs.archive, signal)
      : ofTargets(targets, { ...needs, unknown }, signal);
  for await (const recording of wanted) found.set(subjectKey(recording), recording);
  return { wanted: [...found.values()], unknown };
}

async function* missedBecause(code: string, archive: Archive, signal: AbortSignal): AsyncGenerator<SourceRecording> {
  for (const status of ['waiting', 'failed'] as const) {
    for await (const entry of listedEntries({ status, limit: 200 }, archive, signal)) {
      const reason = entry.status === 'waiting' ? entry.waiting.code : 'failure' in entry ? entry.failure.code : '';
      const { recordingId, conversationId } = entry.recording;
      if (reason === code && recordingId !== undefined && conversationId !== undefined)
        yield { recordingId: canonicalId(recordingId), conversationId: canonicalId(conversationId) };
    }
  }
}

async function* ofTargets(
  targets: readonly Subject[],
  { unknown, ...needs }: RestoreNeeds & { readonly unknown: UnknownTarget[] },
  signal: AbortSignal,
): AsyncGenerator<SourceRecording> {
  for (const target of targets) {
    try {
      const lacking = yield* ofTarget(target, needs, signal);
      if (lacking !== undefined) unknown.push({ subject: target, because: lacking });
    } catch (thrown) {
      // One slip among a hundred names keeps the others from nothing.
      if (!(thrown instanceof Failure) || !isOfOne(thrown)) throw thrown;
      unknown.push({ subject: target, because: thrown });
    }
  }
}

/** Returns why that may not be all of it. */
async function* ofTarget(
  { recordingId, conversationId }: Subject,
  { census, retention }: RestoreNeeds,
  signal: AbortSignal,
): AsyncGenerator<SourceRecording, Failure | undefined> {
  if (conversationId === undefined)
    throw new UsageError(`--recording _/${recordingId ?? ''}: Genesys restores recordings of a conversation only.`);
  if (recordingId !== undefined) {
    const recording = { recordingId, conversationId };
    if ((await retention.stateOf(recording, signal)).fileState === 'ARCHIVED') yield recording;
    return undefined;
  }
  const { recordings, lacking } = await census.recordingsOf(conversationId, signal);
  for (const counted of recordings)
    if (counted.fileState === 'ARCHIVED') yield { recordingId: counted.recordingId, conversationId };
  return lacking;
}

interface Restoring extends RestoreNeeds {
  readonly wanted: readonly SourceRecording[];
  readonly audit: Audit;
  readonly until: Date;
  /** Of those that were named. */
  readonly unknown: number;
}

async function restoreAll(task: Task, { wanted, retention, audit, until, unknown }: Restoring): Promise<Exit> {
  const { report, signal } = task;
  const tally = { restoring: 0, failed: 0 };
  const refusals = new Refusals();
  for (const recording of wanted) {
    if (signal.aborted) break;
    await audit.record(
      { action: 'restored', ...operator(), ...recording, about: { until: until.toISOString() } },
      signal,
    );
    const state = await retention.restore(recording, until, signal).catch((thrown: unknown) => Failure.from(thrown));
    const isRefused = state instanceof Failure;
    tally[isRefused ? 'failed' : 'restoring'] += 1;
    const said = isRefused ? `${state.code}: ${state.message}` : state.fileState;
    report.line(`${isRefused ? 'failed    ' : 'restoring '}  ${textOfSubject(recording)}  ${said}`, {
      type: 'restore',
      state: isRefused ? 'failed' : 'restoring',
      ...recording,
      said,
    });
    report.progress(`${String(tally.restoring + tally.failed)} of ${String(wanted.length)}`, tally);
    if (refusals.isForAll(isRefused ? state : undefined)) break;
  }
  report.text(
    `\n${String(tally.restoring)} are being restored, which takes hours; ${String(tally.failed)} were refused. What waits comes by itself; what was given up:  archiver replay --code needs-restore`,
  );
  const exit = tally.failed + unknown > 0 ? EXIT.findings : EXIT.well;
  report.summary({ toRestore: wanted.length, ...tally, unknown, until: until.toISOString() }, exit);
  return exit;
}
