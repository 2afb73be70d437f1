/** What is said of `archiver restore` anywhere: help, completion, README. */
import { CONFIRM_FLAG } from './confirm.ts';
import type { CommandTable } from './flags.ts';
import { TARGET_FLAGS } from './targets.ts';

export const RESTORE = {
  name: 'restore',
  task: 'Fetch what is not there',
  does: 'Asks Genesys to give back what it has stored away, which takes hours; what waits for it then comes by itself, and what was given up with replay --code needs-restore. Believed only when Genesys says so itself.',
  flags: {
    failed: { kind: 'switch', meaning: 'whatever waits or failed here because of that (needs-restore)' },
    ...TARGET_FLAGS,
    days: { kind: 'text', value: 'DAYS', meaning: 'for so long; 14d by default' },
    confirm: CONFIRM_FLAG,
  },
  example: 'archiver restore --failed --confirm 12',
} as const satisfies CommandTable;
