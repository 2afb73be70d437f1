/** What is said of `archiver export` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';
import { TARGET_FLAGS } from './targets.ts';

export const EXPORT = {
  name: 'export',
  task: 'Answer for it',
  does: 'Puts all that is kept of the recordings of a case into one folder, or zip file, that plays offline: WebM, originals, manifests, details, certificates, and a page. Each of them is on record before it is read.',
  argument: 'CASE',
  flags: {
    ...TARGET_FLAGS,
    to: {
      kind: 'text',
      value: 'FOLDER',
      meaning:
        'where it all goes, a zip file where its name ends in .zip; what lies there of the same name is replaced',
    },
    reason: {
      kind: 'text',
      value: 'TEXT',
      meaning: 'why, for the audit, which cannot be erased: no names, no numbers',
    },
  },
  example: 'archiver export K-2026-17 --to case-17',
} as const satisfies CommandTable;
