/** What is said of `archiver hold` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';
import { REASON_FLAG } from './reason.ts';
import { TARGET_FLAGS } from './targets.ts';

export const HOLD = {
  name: 'hold',
  task: 'Keep and erase',
  does: "Forbids erasure for a case, or releases what the case holds; a recording is free once no case holds it. A conversation's hold covers recordings that come later.",
  argument: 'CASE',
  flags: {
    ...TARGET_FLAGS,
    reason: REASON_FLAG,
    release: { kind: 'switch', meaning: 'ends the holds of the case: all of them, or those that are named' },
    'at-source': {
      kind: 'switch',
      meaning:
        'also protects the conversations at Genesys, or ends that: 1,000 in an organisation, of recordings by policy only',
    },
    list: { kind: 'switch', meaning: 'says what is held, by which case, since when and why; changes nothing' },
  },
  example:
    'archiver hold K-2026-17 --conversation 2f7bf00a-0fc2-4d6a-9b56-92238191433e --reason "letter of the regulator"',
} as const satisfies CommandTable;
