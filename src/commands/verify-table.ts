/** What is said of `archiver verify` anywhere: help, completion, README. */
import type { CommandTable } from './flags.ts';

export const VERIFY = {
  name: 'verify',
  task: 'See whether everything is there',
  does: 'Compares what lies in the archive with its manifests: names, sizes and CRC32C without reading, SHA-256 of what --read names. Recomputes the seals of days that are over, writes proofs and seals what is proven; mends nothing, and names the command that does.',
  flags: {
    all: { kind: 'switch', meaning: 'everything; so it is unless days are named' },
    from: { kind: 'day', value: 'DAY', meaning: 'first day (UTC) of the recordings' },
    to: { kind: 'day', value: 'DAY', meaning: 'last day, itself included; today by default' },
    read: {
      kind: 'part',
      value: 'n/t',
      meaning:
        'also reads every byte of this part of the recordings; of all of them where no part is said; today/30 is another part each day',
    },
    certificate: {
      kind: 'text',
      value: 'FILE',
      meaning: 'checks a certificate instead, by itself alone: no archive, no network',
    },
    key: {
      kind: 'text',
      value: 'FILE',
      meaning: 'public key (PEM) that seals and certificates have to be signed with',
    },
    audit: { kind: 'switch', meaning: 'looks at the record of who did what instead: changed, missing, out of order' },
  },
  example: 'archiver verify --read 3/30',
} as const satisfies CommandTable;
