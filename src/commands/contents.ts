/** All that an operator can run, by task: the table of contents, and what each name starts. */
import { AUDIT } from './audit-table.ts';
import { BACKFILL } from './backfill-table.ts';
import { CERTIFICATE } from './certificate-table.ts';
import { DOCTOR } from './doctor-table.ts';
import { ERASE } from './erase-table.ts';
import { EXPORT } from './export-table.ts';
import { nearestOf } from '../nearest.ts';
import type { CommandTable } from './flags.ts';
import { HOLD } from './hold-table.ts';
import { RECONCILE } from './reconcile-table.ts';
import { REPLAY } from './replay-table.ts';
import { RESTORE } from './restore-table.ts';
import { RETIRE } from './retire-table.ts';
import { STATUS } from './status-table.ts';
import type { RunTask } from './task.ts';
import { VERIFY } from './verify-table.ts';

export interface Listed {
  readonly table: CommandTable;
  /** Imported only where it runs: a command costs the start of no other. */
  readonly load: () => Promise<RunTask>;
}

export const COMMANDS: readonly Listed[] = [
  { table: RECONCILE, load: async () => (await import('./reconcile.ts')).runReconcile },
  { table: VERIFY, load: async () => (await import('./verify.ts')).runVerify },
  { table: DOCTOR, load: async () => (await import('./doctor.ts')).runDoctor },
  { table: STATUS, load: async () => (await import('./status.ts')).runStatus },
  { table: BACKFILL, load: async () => (await import('./backfill.ts')).runBackfill },
  { table: RESTORE, load: async () => (await import('./restore.ts')).runRestore },
  { table: REPLAY, load: async () => (await import('./replay.ts')).runReplay },
  { table: HOLD, load: async () => (await import('./hold.ts')).runHold },
  { table: ERASE, load: async () => (await import('./erase.ts')).runErase },
  { table: RETIRE, load: async () => (await import('./retire.ts')).runRetire },
  { table: AUDIT, load: async () => (await import('./audit.ts')).runAudit },
  { table: EXPORT, load: async () => (await import('./export.ts')).runExport },
  { table: CERTIFICATE, load: async () => (await import('./certificate.ts')).runCertificate },
];

/** What runs until it is stopped. */
export const SERVICES = {
  serve: 'receiver, worker, playback and console in one process',
  receiver: 'takes events: POST /webhooks/genesys',
  worker: 'archives recordings from the queue',
  playback: 'GET /transcode, /recordings and links',
  console: 'pages for people at /console/: has everything arrived, and why not; who heard what',
} as const;

export function commandNamed(name: string): Listed | undefined {
  return COMMANDS.find(({ table }) => table.name === name);
}

/** What `archiver` alone prints: what one wants to do, and the command for it. */
export function tableOfContents(): string {
  const names = [...Object.keys(SERVICES), ...COMMANDS.map(({ table }) => table.name), 'completion'];
  const width = Math.max(...names.map((name) => name.length));
  const row = (name: string, does: string): string => `  ${name.padEnd(width)}  ${does}`;
  const tasks = [...new Set(COMMANDS.map(({ table }) => table.task))].map((task) => {
    const rows = COMMANDS.filter(({ table }) => table.task === task);
    return `${task}:\n${rows.map(({ table }) => row(table.name, firstSentenceOf(table.does))).join('\n')}`;
  });
  const services = Object.entries(SERVICES).map(([name, does]) => row(name, does));
  return `Usage: archiver COMMAND

Run the service:
${services.join('\n')}

${tasks.join('\n\n')}

In the shell:
${row('completion', 'bash or zsh: source <(archiver completion bash)')}

archiver COMMAND --help has its flags, its variables and an example.
`;
}

function firstSentenceOf(text: string): string {
  return text.slice(0, text.indexOf('. ') === -1 ? undefined : text.indexOf('. ') + 1);
}

/** What to say of a name that is none. */
export function unknownCommand(name: string): string {
  const nearest = nearestOf(name, [...Object.keys(SERVICES), ...COMMANDS.map(({ table }) => table.name), 'completion']);
  return `${tableOfContents()}\n"${name}" is no command${nearest === undefined ? '' : `: did you mean "archiver ${nearest}"?`}\n`;
}
