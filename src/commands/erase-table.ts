/** What is said of `archiver erase` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';
import { REASON_FLAG } from './reason.ts';
import { TARGET_FLAGS } from './targets.ts';

export const ERASE = {
  name: 'erase',
  task: 'Keep and erase',
  does: 'Erases recordings here, for good, with all that is kept of them, and nothing brings them back. Without --confirm it says what it would do. For a person: find their conversations first (afterwards Genesys may not find them any more), erase here, then file the request at Genesys; this command does not file it.',
  flags: {
    ...TARGET_FLAGS,
    'older-than': {
      kind: 'text',
      value: 'DAYS',
      meaning: 'whatever was recorded more than so many days ago, e.g. 2555d; what is held stays',
    },
    reason: REASON_FLAG,
    confirm: {
      kind: 'text',
      value: 'N',
      meaning:
        'does it, if it is still that many; "any" for a schedule, with --older-than only and at most 5 % of the archive',
    },
  },
  example: 'archiver erase --conversation 2f7bf00a-0fc2-4d6a-9b56-92238191433e --reason "request 2026-17" --confirm 3',
} as const satisfies CommandTable;
