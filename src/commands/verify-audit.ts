/** `archiver verify --audit`: whether the record of who did what is whole, and which record of it is not. */
import { UsageError } from './flags.ts';
import { openAuditOf } from './on-record.ts';
import { openArchiveOf, openWorkplace } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

export async function verifyAudit(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const other = ['all', 'from', 'to', 'read'].find((name) => flags.has(name));
  if (other !== undefined)
    throw new UsageError(`--audit goes through all of the record, and nothing else: leave out --${other}.`);
  const workplace = openWorkplace(task, 'verify');
  const archive = await openArchiveOf(workplace, task, true);
  const audit = await openAuditOf({ workplace, archive }, task);
  const { records, findings } = await audit.verify(signal);
  for (const { state, where, reason } of findings) {
    const mend = mendingOfAudit(where);
    report.line(`${state.padEnd(10)}  ${where}  ${reason}. ${mend}`, { type: 'finding', state, where, reason, mend });
  }
  const exit = findings.length === 0 ? EXIT.well : EXIT.findings;
  const found = findings.length === 0 ? 'No findings' : `\n${String(findings.length)} findings`;
  report.text(`${found} in ${String(records)} records. ${LIMIT}`);
  report.summary({ records, findings: findings.length }, exit);
  return exit;
}

const LIMIT = 'The newest record of all is vouched for by no other yet.';

/** Nothing makes a record whole again; what lies there of that day can be seen, and compared with a copy. */
function mendingOfAudit(where: string): string {
  const day = /\d{4}-\d{2}-\d{2}/.exec(where)?.[0] ?? '';
  return `Restore it from a copy of audit/; see what lies there:  archiver audit --from ${day} --to ${day}`;
}
