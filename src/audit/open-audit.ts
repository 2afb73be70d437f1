/** Opens the audit of the archive that ARCHIVE_URL names: it lies in the archive itself. */
import type { Notes } from '../archive/notes.ts';
import type { Audit } from './audit.ts';

export interface AuditPlace {
  /** The archive's folder; undefined for a bucket. */
  readonly folder: string | undefined;
  readonly notes: Notes;
}

export async function openAudit({ folder, notes }: AuditPlace): Promise<Audit> {
  if (folder !== undefined) return new (await import('./folder-audit.ts')).FolderAudit({ root: folder });
  return new (await import('./bucket-audit.ts')).BucketAudit(notes);
}
