/** What is said of `archiver audit` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const AUDIT = {
  name: 'audit',
  task: 'Answer for it',
  does: 'Says who listened to, looked at, linked or changed what, when, and from where. Of the last day, unless told otherwise.',
  flags: {
    from: { kind: 'day', value: 'DAY', meaning: 'first day (UTC); yesterday by default' },
    to: { kind: 'day', value: 'DAY', meaning: 'last day, itself included; today by default' },
    who: { kind: 'text', value: 'NAME', meaning: "only this key's name, person or command" },
    recording: { kind: 'text', value: 'C/R', meaning: 'only this recording (_ for C where there is none)' },
  },
  example: 'archiver audit --from 2026-11-01 --recording 2f7bf00a-0fc2-4d6a-9b56-92238191433e/r1',
} as const satisfies CommandTable;
