/** What is said of `archiver certificate` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const CERTIFICATE = {
  name: 'certificate',
  task: 'Answer for it',
  does: 'Writes a signed statement about a day or a recording, which an auditor checks without us, and a page of it to print. Of a recording every byte is read first.',
  flags: {
    day: { kind: 'day', value: 'DAY', meaning: 'a day (UTC) that is sealed' },
    recording: { kind: 'text', value: 'C/R', meaning: 'a recording (_ for C where there is none)' },
    erased: { kind: 'switch', meaning: 'of a recording that was erased: by whom, when, and how it was read back' },
    to: { kind: 'text', value: 'FOLDER', meaning: 'where both files go; the current folder by default' },
  },
  example: 'archiver certificate --recording 2f7bf00a-0fc2-4d6a-9b56-92238191433e/r1 --to case-17',
} as const satisfies CommandTable;
