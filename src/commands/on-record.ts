/** A command's acts → the audit of the archive it works on, in the name of whoever runs it. */
import { userInfo } from 'node:os';
import type { Audit } from '../audit/audit.ts';
import { openAudit } from '../audit/open-audit.ts';
import type { Archive } from '../archive/archive.ts';
import type { Workplace } from './open.ts';
import type { Task } from './task.ts';

/** The audit of the archive that this command works on. */
export async function openAuditOf(
  { workplace, archive }: { readonly workplace: Workplace; readonly archive: Pick<Archive, 'notes'> },
  { opened }: Pick<Task, 'opened'>,
): Promise<Audit> {
  const { archive: place } = workplace.config;
  const audit = await openAudit({ folder: place.kind === 'folder' ? place.path : undefined, notes: archive.notes });
  opened.defer(() => audit.close());
  return audit;
}

/** Who runs this command, as the audit names them. */
export function operator(): { readonly who: string; readonly way: 'command' } {
  return { who: `command:${userName()}`, way: 'command' };
}

/** A container's user may have no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
