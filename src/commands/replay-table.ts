/** What is said of `archiver replay` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const REPLAY = {
  name: 'replay',
  task: 'Fetch what is not there',
  does: 'Counts what failed by its code, then tries it again. What works is no longer listed as failed.',
  flags: {
    code: { kind: 'list', value: 'CODE', meaning: 'only these codes; several with commas' },
    from: { kind: 'day', value: 'DAY', meaning: 'first day (UTC) of the recording' },
    to: { kind: 'day', value: 'DAY', meaning: 'last day, itself included' },
    conversation: { kind: 'text', value: 'ID', meaning: 'only this conversation' },
    limit: { kind: 'count', value: 'N', meaning: 'at most so many' },
    'dry-run': { kind: 'switch', meaning: 'counts and tries nothing' },
    slots: { kind: 'count', value: 'N', meaning: 'encoders at once; 1 by default' },
    share: { kind: 'share', value: 'S', meaning: "of Genesys' calls a minute; 0.5 by default" },
  },
  example: 'archiver replay --code forbidden,host-refused --dry-run',
} as const satisfies CommandTable;
