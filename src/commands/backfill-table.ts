/** What is said of `archiver backfill` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const BACKFILL = {
  name: 'backfill',
  task: 'Fetch what is not there',
  does: 'Looks at each day as reconcile does, fetches what is missing, and looks again. Live work goes first; killed at any moment, run it again: it goes on where it was.',
  flags: {
    from: { kind: 'day', value: 'DAY', meaning: 'first day (UTC); it must be said' },
    to: { kind: 'day', value: 'DAY', meaning: 'last day, itself included; today by default' },
    'dry-run': { kind: 'switch', meaning: 'looks and fetches nothing: reconcile' },
    again: { kind: 'switch', meaning: 'also days that are proven, and recordings that failed' },
    slots: { kind: 'count', value: 'N', meaning: 'encoders at once; 1 by default' },
    share: {
      kind: 'share',
      value: 'S',
      meaning: "of Genesys' calls a minute; 0.5 by default, the rest is for live work",
    },
  },
  example: 'archiver backfill --from 2026-11-01 --to 2026-11-26',
} as const satisfies CommandTable;
