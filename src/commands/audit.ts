/** `archiver audit`: who did and heard what. Reading it is on record as well. */
import type { Audit, AuditRecord } from '../audit/audit.ts';
import { DAY_MS, dayAt } from '../instant.ts';
import type { Recording } from '../recording.ts';
import { daysAsked } from './days.ts';
import type { FlagValues } from './flags.ts';
import { openAuditOf, operator } from './on-record.ts';
import { openArchiveOf, openWorkplace } from './open.ts';
import { EXIT, type Exit, tame, tameQuote } from './report.ts';
import { parseRecordingFlag } from './targets.ts';
import type { Task } from './task.ts';

export async function runAudit(task: Task): Promise<Exit> {
  const workplace = openWorkplace(task, 'audit');
  const archive = await openArchiveOf(workplace, task, true);
  const audit = await openAuditOf({ workplace, archive }, task);
  return listAudit(task, audit);
}

async function listAudit({ flags, report, signal }: Task, audit: Audit): Promise<Exit> {
  const days = daysAsked(flags, new Date());
  const [from, to] = [days?.at(0) ?? dayAt(Date.now() - DAY_MS), days?.at(-1) ?? dayAt(Date.now())];
  const recording = recordingAsked(flags);
  const query = { from, to, who: flags.text('who'), conversationId: recording?.conversationId };
  const fields = ['who', 'recording'].filter((name) => flags.has(name)).join(',');
  await audit.record({ action: 'looked', ...operator(), about: { audit: `${from}..${to}`, fields } }, signal);
  let records = 0;
  for await (const record of audit.read(query, signal)) {
    if (report.closed) break;
    if (recording !== undefined && !isAbout(recording, record)) continue;
    records += 1;
    report.line(recordLine(record), { type: 'record', ...record });
  }
  report.text(`\n${String(records)} records from ${from} to ${to}.`);
  report.summary({ records, from, to }, EXIT.well);
  return EXIT.well;
}

function recordingAsked(flags: FlagValues): Recording | undefined {
  const text = flags.text('recording');
  return text === undefined ? undefined : parseRecordingFlag(text);
}

/** What was done to its whole conversation was done to it: held, released, erased. */
function isAbout(recording: Recording, { conversationId, recordingId }: AuditRecord): boolean {
  if (conversationId !== recording.conversationId) return false;
  return recordingId === recording.recordingId || (recordingId === undefined && conversationId !== undefined);
}

function recordLine({ at, action, who, from = '', conversationId, recordingId, why }: AuditRecord): string {
  const what = recordingId === undefined ? (conversationId ?? '') : `${conversationId ?? '_'}/${recordingId}`;
  const reason = why === undefined ? '' : `  ${tameQuote(why)}`;
  return `${at}  ${action.padEnd(10)}  ${tame(who)}  ${from}  ${what}${reason}`.trimEnd();
}
