/** `archiver export`: what a case needs, in one folder or zip file, for whoever is to hear it without us. */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Archive } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import { readChain } from '../archive/chain-of-seals.ts';
import { listHolds, requireCase, subjectOfHold } from '../archive/holds.ts';
import { listErased } from '../archive/erased.ts';
import { canonicalSubject, subjectKey, type Subject } from '../archive/names.ts';
import { openSigner } from '../certificate/open-signer.ts';
import { CaseFolder, type CasePlace } from '../export/case-folder.ts';
import { CaseZip } from '../export/case-zip.ts';
import {
  exportRecording,
  type ExportedRecording,
  type ExportFinding,
  type ExportNeeds,
  isFileOf,
} from '../export/export-recordings.ts';
import { casePage } from '../export/page.ts';
import { Failure } from '../failure.ts';
import { pathOf, type Recording } from '../recording.ts';
import { readVersion } from '../version.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openWorkplace, type Workplace } from './open.ts';
import { requireReason } from './reason.ts';
import { EXIT, type Exit, type Report } from './report.ts';
import { targetsOf } from './targets.ts';
import type { Task } from './task.ts';

export async function runExport(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const caseName = caseAsked(flags);
  const targets = await targetsOf(flags);
  if (caseName === undefined && targets.length === 0)
    throw new UsageError('Say what to export: a CASE, --conversation ID, --recording C/R or --file FILE.');
  const why = flags.has('reason') ? requireReason(flags) : undefined;
  const workplace = openWorkplace(task, 'export');
  const folder = task.opened.use(await placeAsked(flags, workplace));
  const archive = await openArchiveOf(workplace, task, true);
  const audit = await openAuditOf({ workplace, archive }, task);
  const about = caseName === undefined ? {} : { about: { case: caseName } };
  const by = { ...operator(), why, ...about };
  const chain = await readChain({ notes: archive.notes, isRecomputed: () => false }, signal);
  const recordings = await recordingsAsked(
    [...(await subjectsOf(caseName, archive, signal)), ...targets],
    archive,
    signal,
  );
  if (recordings.length === 0) return nothingToExport(caseName, report);
  const signer = await openSigner(workplace.config, signal);
  const needs = { archive, audit, chain, folder, signer, by, service: readVersion(), now: () => new Date() };
  return exportAll({ recordings, title: caseName ?? 'Recordings' }, needs, task);
}

/** @throws UsageError */
function caseAsked({ words }: FlagValues): string | undefined {
  const [word, ...more] = words;
  if (more.length > 0) throw new UsageError(`One case at a time: ${words.join(' ')}.`);
  try {
    return word === undefined ? undefined : requireCase(word);
  } catch (thrown) {
    throw new UsageError(Failure.from(thrown).message);
  }
}

/** Never inside the archive: what lies there is the archive's own. @throws UsageError */
async function placeAsked(flags: FlagValues, { config }: Workplace): Promise<CasePlace> {
  const to = flags.text('to');
  if (to === undefined) throw new UsageError('--to FOLDER is needed: say where it all goes.');
  const { archive } = config;
  if (archive.kind === 'folder' && `${await truePath(to)}${sep}`.startsWith(`${await truePath(archive.path)}${sep}`))
    throw new UsageError(`--to ${to} lies in the archive itself: name a folder elsewhere.`);
  const there = await stat(to).catch(() => undefined);
  const isZip = to.toLowerCase().endsWith('.zip');
  if (there !== undefined && there.isDirectory() === isZip)
    throw new UsageError(`--to ${to} is a ${isZip ? 'folder' : 'file'}: name another one.`);
  return isZip ? new CaseZip(to, () => new Date()) : new CaseFolder(to);
}

/** Without links on its way, also where the last parts of it are still to be made. */
async function truePath(path: string): Promise<string> {
  const whole = resolve(path);
  const there = await realpath(whole).catch(() => undefined);
  if (there !== undefined || dirname(whole) === whole) return there ?? whole;
  return join(await truePath(dirname(whole)), basename(whole));
}

async function subjectsOf(
  caseName: string | undefined,
  { notes }: Archive,
  signal: AbortSignal,
): Promise<readonly Subject[]> {
  const subjects: Subject[] = [];
  if (caseName === undefined) return subjects;
  for await (const hold of listHolds(notes, signal, caseName)) subjects.push(subjectOfHold(hold));
  return subjects;
}

/** A conversation is all of its recordings, also those that are not here; each once, in the order they were named. */
async function recordingsAsked(
  subjects: readonly Subject[],
  archive: Archive,
  signal: AbortSignal,
): Promise<readonly Recording[]> {
  const recordings = new Map<string, Recording>();
  for (const { recordingId, conversationId } of subjects) {
    if (recordingId !== undefined) {
      recordings.set(subjectKey({ recordingId, conversationId }), { recordingId, conversationId });
      continue;
    }
    for await (const recording of archive.recordingsOf(conversationId ?? '', signal))
      recordings.set(subjectKey(canonicalSubject(recording)), recording);
    for await (const recording of missedOf(conversationId ?? '', archive, signal))
      recordings.set(subjectKey(canonicalSubject(recording)), recording);
  }
  return [...recordings.values()];
}

/** What failed, waits, or was erased on purpose. */
async function* missedOf(conversationId: string, archive: Archive, signal: AbortSignal): AsyncGenerator<Recording> {
  for (const status of ['failed', 'waiting'] as const) {
    for await (const { recording } of listedEntries({ conversationId, status, limit: 200 }, archive, signal)) {
      const { recordingId } = recording;
      if (recordingId !== undefined) yield { recordingId, conversationId };
    }
  }
  for await (const { recordingId } of listErased(archive.notes, signal, conversationId))
    if (recordingId !== null) yield { recordingId, conversationId };
}

function nothingToExport(caseName: string | undefined, report: Report): Exit {
  const what =
    caseName === undefined
      ? 'Nothing is archived of what was named'
      : `Case ${caseName} holds nothing that is archived`;
  report.problem(`${what}. See what is held:  archiver hold --list`);
  report.summary({ exported: 0, findings: 0 }, EXIT.refused);
  return EXIT.refused;
}

interface CaseContents {
  readonly recordings: readonly Recording[];
  readonly title: string;
}

async function exportAll({ recordings, title }: CaseContents, needs: ExportNeeds, task: Task): Promise<Exit> {
  const { report, signal } = task;
  const { folder, now, signer } = needs;
  const exported: ExportedRecording[] = [];
  const findings: ExportFinding[] = [];
  for (const recording of recordings) {
    signal.throwIfAborted();
    const outcome = await exportRecording(recording, needs, signal);
    if ('state' in outcome) findings.push(outcome);
    else exported.push(outcome);
    tellOutcome(outcome, report);
    report.progress(`${String(exported.length)} of ${String(recordings.length)} recordings`);
  }
  await folder.text('index.html', casePage({ title, at: now().toISOString(), recordings: exported, findings }));
  const others = await folder.finish();
  for (const file of others) report.line(`other     ${file}  ${wordOnOther(file, findings)}`, { type: 'other', file });
  if (signer === undefined)
    report.problem('No certificates: set CERTIFICATE_KEY (openssl genpkey -algorithm ed25519), and run it again.');
  const exit = findings.length + others.length === 0 ? EXIT.well : EXIT.findings;
  const files = folder.files.size + 1;
  report.text(
    `\n${String(exported.length)} of ${String(recordings.length)} recordings, ${String(files)} files. Open ${folder.opens}`,
  );
  report.summary(
    { exported: exported.length, findings: findings.length, others: others.length, files, folder: folder.root },
    exit,
  );
  return exit;
}

/** What an earlier export left in the folder. */
function wordOnOther(file: string, findings: readonly ExportFinding[]): string {
  if (findings.some(({ state, recording }) => state === 'damaged' && isFileOf(recording, file)))
    return 'lies there from an earlier export, as the archive had it then: keep it';
  return 'lies there from an earlier export, and is not of this one: remove it, or name an empty folder';
}

function tellOutcome(outcome: ExportedRecording | ExportFinding, report: Report): void {
  const path = pathOf(outcome.recording);
  const { conversationId = null, recordingId } = outcome.recording;
  if (!('state' in outcome)) {
    report.line(`exported  ${path}`, { type: 'exported', conversationId, recordingId });
    return;
  }
  const { state, reason } = outcome;
  const mend = MENDING[state](path);
  report.line(`${state.padEnd(8)}  ${path}  ${reason}. ${mend}`, {
    type: 'finding',
    conversationId,
    recordingId,
    state,
    reason,
    mend,
  });
}

const MENDING = {
  missing: () => 'Fetch it, if Genesys has it:  archiver reconcile',
  erased: (path: string) => `Say so:  archiver certificate --recording ${path} --erased`,
  damaged: () => 'See what mends it:  archiver verify --read',
} as const;
