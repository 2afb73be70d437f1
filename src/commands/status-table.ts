/** What is said of `archiver status` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const STATUS = {
  name: 'status',
  task: 'See whether everything is there',
  does: 'One screen: queue, days and their proofs, what waits and what failed, with what to do. Reads seven proofs and one listing; changes nothing.',
  flags: { days: { kind: 'count', value: 'N', meaning: 'how many days back; 7 by default and at most' } },
  example: 'archiver status',
} as const satisfies CommandTable;
