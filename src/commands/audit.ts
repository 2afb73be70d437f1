/** `archiver audit`: who did and heard what. Reading it is on record as well. */
import { userInfo } from 'node:os';
import type { Audit, AuditRecord } from '../audit/audit.ts';
import { openAudit } from '../audit/open-audit.ts';
import { parseId, type Recording } from '../recording.ts';
import { DAY_MS, dayAt, daysAsked } from './days.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { openArchiveOf, openWorkplace, type Workplace } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

export async function runAudit(task: Task): Promise<Exit> {
  const workplace = openWorkplace(task, 'audit');
  const audit = await openAuditOf(workplace, task);
  return listAudit(task, audit);
}

/** The audit of the archive that this command works on. */
async function openAuditOf(workplace: Workplace, task: Task): Promise<Audit> {
  const { archive: place } = workplace.config;
  const archive = await openArchiveOf(workplace, task, true);
  const audit = await openAudit({ folder: place.kind === 'folder' ? place.path : undefined, notes: archive.notes });
  task.opened.defer(() => audit.close());
  return audit;
}

/** Who runs this command, as the audit names them. */
function operator(): { readonly who: string; readonly way: 'command' } {
  return { who: `command:${userInfo().username}`, way: 'command' };
}

async function listAudit({ flags, report, signal }: Task, audit: Audit): Promise<Exit> {
  const days = daysAsked(flags, new Date());
  const [from, to] = [days?.at(0) ?? dayAt(Date.now() - DAY_MS), days?.at(-1) ?? dayAt(Date.now())];
  const query = { from, to, who: flags.text('who'), ...recordingAsked(flags) };
  const fields = ['who', 'recording'].filter((name) => flags.has(name)).join(',');
  await audit.record({ action: 'looked', ...operator(), about: { audit: `${from}..${to}`, fields } }, signal);
  let records = 0;
  for await (const record of audit.read(query, signal)) {
    if (report.closed) break;
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

/** `C/R`, where `_` for C means "none". @throws UsageError */
function parseRecordingFlag(text: string): Recording {
  const [conversation, recordingId, ...more] = text.split('/');
  try {
    if (more.length > 0 || recordingId === undefined) throw new UsageError('');
    return {
      recordingId: parseId(recordingId, 'recordingId'),
      conversationId: conversation === '_' ? undefined : parseId(conversation, 'conversationId'),
    };
  } catch {
    throw new UsageError(
      `--recording ${text}: expected CONVERSATION/RECORDING, with _ where there is no conversation.`,
    );
  }
}

function recordLine({ at, action, who, from = '', conversationId, recordingId, why }: AuditRecord): string {
  const what = recordingId === undefined ? (conversationId ?? '') : `${conversationId ?? '_'}/${recordingId}`;
  // What a person typed is one line here, whatever it holds.
  const reason = why === undefined ? '' : `  ${JSON.stringify(why)}`;
  return `${at}  ${action.padEnd(10)}  ${who}  ${from}  ${what}${reason}`.trimEnd();
}
