/** `archiver verify`: what lies in the archive against its manifests, and a proof of each day that was looked at. */
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ClockTurn } from '../archive/chain-of-seals.ts';
import { parsePart } from '../archive/part.ts';
import { openSigner } from '../certificate/open-signer.ts';
import { dayFigures } from '../survey/seal-survey.ts';
import { publicKeyIn } from '../statement.ts';
import type { ArchiveFinding, Survey } from '../survey/survey.ts';
import { comparedIn, type VerificationScope, verifyArchive } from '../survey/verify-archive.ts';
import { readVersion } from '../version.ts';
import { daysAsked } from './days.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { mendingOf } from './mending.ts';
import { openAuditOf } from './on-record.ts';
import { openArchiveOf, openWorkplace, type Workplace } from './open.ts';
import { EXIT, type Exit, type Report, tame } from './report.ts';
import type { Task } from './task.ts';
import { verifyAudit } from './verify-audit.ts';
import { verifyCertificate } from './verify-certificate.ts';

export async function runVerify(task: Task): Promise<Exit> {
  const { flags } = task;
  if (flags.isOn('all') && (flags.has('from') || flags.has('to')))
    throw new UsageError('--all is everything: leave it out, or leave out --from and --to.');
  if (flags.isOn('audit')) return verifyAudit(task);
  const key = await keyAsked(flags);
  const certificate = flags.text('certificate');
  return certificate === undefined ? verifyAll(key, task) : verifyCertificate(certificate, key, task);
}

async function verifyAll(key: KeyObject | undefined, task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const days = daysAsked(flags, new Date());
  const workplace = openWorkplace(task, 'verify');
  const { config } = workplace;
  const archive = await openArchiveOf(workplace, task, true);
  const asked: Asked = { days, read: parsePart(flags.text('read')), place: config.archive };
  const needs = {
    archive,
    key,
    openAudit: () => openAuditOf({ workplace, archive }, task),
    openSigner: (aborted: AbortSignal) => openSigner(config, aborted),
    compared: comparedIn(config.archive),
    service: readVersion(),
    onFinding: (finding: ArchiveFinding) => tell(finding, asked, report),
    onProgress: ({ recordings, bytes, read }: Survey) =>
      report.progress(`${String(recordings)} recordings`, { recordings, bytes, read }),
  };
  const { survey, sealed, turns, unwritten } = await verifyArchive(asked, needs, signal);
  for (const day of survey.days()) report.fact({ type: 'day', ...dayFigures(survey, day) });
  for (const turn of turns)
    report.line(turnLine(turn), { type: 'clock', seal: turn.n, at: turn.at, behind: turn.behind });
  if (unwritten !== undefined) report.lacks('No proof could be written', unwritten);
  return sumUp(survey, { ...asked, seals: sealed }, report);
}

/** No finding: nothing is damaged, and nothing can mend it. */
function turnLine({ n, at, behind }: ClockTurn): string {
  return `clock       seal ${String(n)} says ${at}, and was made after seal ${String(n - 1)}, which says ${behind}: the clock of one of both was wrong. Which came first, their numbers say.`;
}

interface Asked extends VerificationScope {
  readonly place: Workplace['config']['archive'];
}

function tell(finding: ArchiveFinding, { place }: Asked, report: Report): void {
  const { state, day = '–', key, reason } = finding;
  const mend = mendingOf(finding, place);
  report.line(tame(`${state.padEnd(10)}  ${day.padEnd(10)}  ${key}  ${reason}. ${mend}`), {
    type: 'finding',
    ...finding,
    mend,
  });
}

/** A public key in a file. @throws UsageError */
async function keyAsked(flags: FlagValues): Promise<KeyObject | undefined> {
  const path = flags.text('key');
  if (path === undefined) return undefined;
  const key = publicKeyIn(await readFile(path, 'utf8').catch(() => ''));
  if (key === undefined) throw new UsageError(`--key ${path}: expected a file with a public key of Ed25519 in PEM.`);
  return key;
}

function sumUp(survey: Survey, asked: Asked & { readonly seals: number }, report: Report): Exit {
  const states = Object.fromEntries(survey.states);
  const { recordings, bytes, read, findings } = survey;
  const days = survey.days().length;
  const exit = findings === 0 ? EXIT.well : EXIT.findings;
  const counted = [...survey.states].map(([state, count]) => `${String(count)} ${state}`).join(', ');
  const found = findings === 0 ? 'No findings' : `\n${countText(findings, 'finding')} (${counted})`;
  const scope = `${countText(recordings, 'recording')}, ${sizeText(bytes)}, ${countText(days, 'day')}`;
  report.text(`${found} in ${scope}. ${recordings === 0 ? NOTHING_THERE : whatItProves(asked, read)}`);
  if (asked.seals > 0) report.text(`${countText(asked.seals, 'day')} sealed.`);
  report.summary({ recordings, bytes, read, days, sealed: asked.seals, findings, states }, exit);
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
    : 'CRC32C says that each WebM and manifest is the one that was written; of originals the sizes were compared. That the bytes can be read today, and what is in originals, only --read says.';
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
