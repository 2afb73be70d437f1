/** What is said of `archiver reconcile` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const RECONCILE = {
  name: 'reconcile',
  task: 'See whether everything is there',
  does: 'Names what Genesys has and the archive lacks, and why. Writes a proof of each day that is over, its index, and details that are missing; changes nothing else.',
  flags: {
    from: {
      kind: 'day',
      value: 'DAY',
      meaning: 'first day (UTC); by default the last 3, and those of the last 30 without a proof',
    },
    to: { kind: 'day', value: 'DAY', meaning: 'last day, itself included; today by default' },
    again: {
      kind: 'switch',
      meaning: 'also days that are proven complete, e.g. where the client sees more divisions than it did',
    },
    index: {
      kind: 'switch',
      meaning: 'makes the index of these days anew (of all by default) from what lies in the archive, and nothing else',
    },
    why: {
      kind: 'switch',
      meaning: 'asks audits, orphans and upload reports of Genesys what became of what is lost or unlisted',
    },
  },
  example: 'archiver reconcile --from 2026-11-26 --to 2026-11-28',
} as const satisfies CommandTable;
