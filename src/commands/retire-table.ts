/** What is said of `archiver retire` anywhere: help, completion, README. */
import { CONFIRM_FLAG } from './confirm.ts';
import type { CommandTable } from './flags.ts';
import { TARGET_FLAGS } from './targets.ts';

export const RETIRE = {
  name: 'retire',
  task: 'Keep and erase',
  does: 'Has Genesys delete what is proven here: of a day that is complete, read back within 30 days, stored without loss, older than 30 days, held nowhere. Each by itself, and only after a grace in which --undo takes it back. Whatever else lies in those days is listed with the condition that fails.',
  flags: {
    from: { kind: 'day', value: 'DAY', meaning: 'first day (UTC); by default the 31 days that ended 30 days ago' },
    to: { kind: 'day', value: 'DAY', meaning: 'last day, itself included' },
    grace: { kind: 'text', value: 'DAYS', meaning: 'Genesys deletes after so long; 7d by default, 90d at most' },
    undo: {
      kind: 'switch',
      meaning: 'gives back the date from before to whatever is named, or to all that is still in its grace',
    },
    ...TARGET_FLAGS,
    confirm: CONFIRM_FLAG,
  },
  example: 'archiver retire --from 2026-09-01 --to 2026-09-30 --confirm 1611',
} as const satisfies CommandTable;
