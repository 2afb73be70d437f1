/** What is said of `archiver doctor` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const DOCTOR = {
  name: 'doctor',
  task: 'See whether everything is there',
  does: 'Checks every permission, bucket, topic, encoder, clock, limit, disk and trigger before there is trouble, and says what to do. All checks run, whatever the others find. Changes nothing but a probe under staging/.',
  flags: {
    only: { kind: 'list', value: 'AREA', meaning: 'genesys, google, machine or deployment; all by default' },
  },
  example: 'archiver doctor --only genesys',
} as const satisfies CommandTable;
