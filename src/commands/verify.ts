/** `archiver verify`: what lies in the archive against its manifests, and a proof of each day that was looked at. */
import { parsePart, partText, type ReadPart } from '../archive/part.ts';
import { writeProof } from '../archive/proofs.ts';
import { Failure } from '../failure.ts';
import { type ArchiveFinding, surveyAll, surveyDays, type SurveyNeeds, type Survey } from '../survey.ts';
import { readVersion } from '../version.ts';
import { daysAsked } from './days.ts';
import { UsageError } from './flags.ts';
import { mendingOf } from './mending.ts';
import { openArchiveOf, openWorkplace, type Workplace } from './open.ts';
import { verifyAudit } from './verify-audit.ts';
import { EXIT, type Exit, type Report } from './report.ts';
import type { Task } from './task.ts';

export async function runVerify(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  if (flags.isOn('all') && (flags.has('from') || flags.has('to')))
    throw new UsageError('--all is everything: leave it out, or leave out --from and --to.');
  if (flags.isOn('audit')) return verifyAudit(task);
  const days = daysAsked(flags, new Date());
  const workplace = openWorkplace(task, 'verify');
  const archive = await openArchiveOf(workplace, task, true);
  const asked: Asked = { days, read: parsePart(flags.text('read')), place: workplace.config.archive };
  const needs: SurveyNeeds = {
    archive,
    read: asked.read,
    onFinding: (finding) => tell(finding, asked, report),
    onProgress: ({ recordings, bytes, read }) =>
      report.progress(`${String(recordings)} recordings`, { recordings, bytes, read }),
    now: () => new Date(),
  };
  const survey = days === undefined ? await surveyAll(needs, signal) : await surveyDays(days, needs, signal);
  await proveDays(survey, { notes: archive.notes, asked, report }, signal);
  return sumUp(survey, asked, report);
}

interface Asked {
  readonly days: readonly string[] | undefined;
  readonly read: ReadPart | undefined;
  readonly place: Workplace['config']['archive'];
}

function tell(finding: ArchiveFinding, { place }: Asked, report: Report): void {
  const { state, day = '–', key, reason } = finding;
  const mend = mendingOf(finding, place);
  report.line(`${state.padEnd(10)}  ${day.padEnd(10)}  ${key}  ${reason}. ${mend}`, {
    type: 'finding',
    ...finding,
    mend,
  });
}

interface Proving {
  readonly notes: SurveyNeeds['archive']['notes'];
  readonly asked: Asked;
  readonly report: Report;
}

/** One that may not be written takes nothing from what was found. */
async function proveDays(survey: Survey, { notes, asked, report }: Proving, signal: AbortSignal): Promise<void> {
  const { read, place } = asked;
  const [at, service] = [new Date(), readVersion()];
  const how = {
    compared: place.kind === 'folder' ? 'sizes' : 'sizes and CRC32C',
    read: read === undefined ? null : partText(read),
    service,
  };
  try {
    for (const day of survey.days()) {
      const { findings, recordings, bytes, read: reread } = survey.figuresOf(day);
      const verdict = findings === 0 ? 'intact' : 'damaged';
      const figures = { day, verdict, recordings, bytes, findings, reread, ...how };
      await writeProof('intact', figures, { notes, at }, signal);
      report.fact({ type: 'day', ...figures });
    }
  } catch (thrown) {
    if (!(thrown instanceof Failure) || signal.aborted) throw thrown;
    report.problem(`No proof could be written: ${thrown.message}`);
  }
}

function sumUp(survey: Survey, asked: Asked, report: Report): Exit {
  const states = Object.fromEntries(survey.states);
  const findings = [...survey.states.values()].reduce((sum, count) => sum + count, 0);
  const { recordings, bytes, read } = survey;
  const days = survey.days().length;
  const exit = findings === 0 ? EXIT.well : EXIT.findings;
  const counted = [...survey.states].map(([state, count]) => `${String(count)} ${state}`).join(', ');
  const found = findings === 0 ? 'No findings' : `\n${countText(findings, 'finding')} (${counted})`;
  const scope = `${countText(recordings, 'recording')}, ${sizeText(bytes)}, ${countText(days, 'day')}`;
  report.text(`${found} in ${scope}. ${recordings === 0 ? NOTHING_THERE : whatItProves(asked, read)}`);
  report.summary({ recordings, bytes, read, days, findings, states }, exit);
  return exit;
}

const NOTHING_THERE = 'Nothing is archived there: is ARCHIVE_URL the one that the worker has?';

function countText(count: number, what: string): string {
  return `${String(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** What was looked at says no more than it can. */
function whatItProves({ place, read }: Asked, reread: number): string {
  if (read !== undefined) return `Read whole, and what was stored where nothing is said: ${String(reread)} of them.`;
  return place.kind === 'folder'
    ? 'A folder keeps no checksums: names and sizes were compared. Whether the bytes are those that were written, --read says.'
    : 'CRC32C says that each object is the one that was written; that its bytes can be read today, only --read says.';
}

const UNITS = [
  ['TB', 1e12],
  ['GB', 1e9],
  ['MB', 1e6],
] as const;

function sizeText(bytes: number): string {
  const [unit, factor] = UNITS.find(([, size]) => bytes >= size) ?? ['kB', 1e3];
  return `${(bytes / factor).toFixed(1)} ${unit}`;
}
