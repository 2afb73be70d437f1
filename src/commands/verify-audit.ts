/** `archiver verify --audit`: whether the record of who did what is whole, and which record of it is not. */
import { readChain } from '../archive/chain-of-seals.ts';
import type { Notes } from '../archive/notes.ts';
import type { Audit, AuditDay, AuditFinding } from '../audit/audit.ts';
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
  const proof = await audit.verify(signal);
  const findings = [...proof.findings, ...(await sealedFindings({ audit, notes: archive.notes }, signal))];
  const { records } = proof;
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

interface SealedAudit {
  readonly audit: Pick<Audit, 'days'>;
  readonly notes: Notes;
}

/** A chain says nothing of what was cut off its end, nor of a chain that is gone whole: a seal of that day does. */
async function sealedFindings({ audit, notes }: SealedAudit, signal: AbortSignal): Promise<readonly AuditFinding[]> {
  const chain = await readChain({ notes, isRecomputed: () => false }, signal);
  const days = [...chain.audit.keys()].toSorted();
  const [from, to] = [days.at(0), days.at(-1)];
  const now = new Map<string, AuditDay>();
  // A clock that was ahead seals a day that goes on: what came behind is held by the chain alone.
  const sealed = new Map([...chain.audit].map(([day, seal]) => [day, seal.sealed.records]));
  if (to !== undefined) for await (const day of audit.days({ from, to, sealed }, signal)) now.set(day.day, day);
  return [...chain.audit.values()].flatMap(({ sealed, n }) => sealedFinding(sealed, now.get(sealed.day), n));
}

function sealedFinding(sealed: AuditDay, now: AuditDay | undefined, n: number): readonly AuditFinding[] {
  const { day, records, sha256 } = sealed;
  if (now?.sha256 === sha256) return [];
  const there = now?.records ?? 0;
  const state = there < records ? 'missing' : 'changed';
  const late = there > records ? '; what was put there since may come of a clock that was days behind' : '';
  const reason = `seal ${String(n)} names ${String(records)} records of it, ${String(there)} are there${late}`;
  return [{ state, where: day, reason }];
}

const LIMIT = 'Of the last two days, which are not sealed yet, nobody vouches for the newest records.';

/** Nothing makes a record whole again; what lies there of that day can be seen, and compared with a copy. */
function mendingOfAudit(where: string): string {
  const day = /\d{4}-\d{2}-\d{2}/.exec(where)?.[0] ?? '';
  return `Restore it from a copy of audit/; see what lies there:  archiver audit --from ${day} --to ${day}`;
}
