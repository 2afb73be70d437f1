/** What commands open, each with the part of the environment that it needs; all of it closes when the task ends. */
import { readdir, stat } from 'node:fs/promises';
import { openArchive } from '../archive/open-archive.ts';
import type { Archive } from '../archive/archive.ts';
import { type Config, readConfig } from '../config/config.ts';
import type { Command } from '../config/variables.ts';
import { Failure, systemCode } from '../failure.ts';
import { GenesysInquiry } from '../genesys/inquiry.ts';
import { BULK_PATIENCE_MS } from '../genesys/open-genesys.ts';
import { GenesysCensus } from '../genesys/open-census.ts';
import { GenesysRetention } from '../genesys/retention.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { IndexDays } from '../days/index-days.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { alignProxyVariables } from '../outbound.ts';
import type { BulkWork } from '../days/mend-days.ts';
import { handleWithoutQueue, openStudio } from '../services/studio.ts';
import { readVersion } from '../version.ts';
import { type Report, tame } from './report.ts';
import type { Task } from './task.ts';

export interface Workplace {
  readonly config: Config;
  /** Lines on stderr: stdout is the report's. */
  readonly log: Log;
}

/** @throws ConfigProblems naming every variable that is wrong */
export function openWorkplace({ env }: Task, command: Command): Workplace {
  const config = readConfig(env, command);
  alignProxyVariables(env, config.proxies);
  const log = createLog({
    level: config.logLevel === 'info' ? 'warn' : config.logLevel,
    secrets: config.secrets,
    stream: process.stderr,
  });
  return { config, log };
}

/** `readOnly`: nothing is completed and nothing probed. */
export async function openArchiveOf(
  { config }: Pick<Workplace, 'config'>,
  { opened, report }: Task,
  readOnly: boolean,
): Promise<Archive> {
  if (config.archive.kind === 'folder') await lookAtFolder(config.archive.path, { report, readOnly });
  // No command gives out links, so nobody needs to know where they would lead.
  const { archive } = await openArchive(config, { publicUrl: config.publicUrl ?? 'http://localhost', readOnly });
  opened.defer(() => archive.close());
  return archive;
}

/** A slip in ARCHIVE_URL would else be an archive in which nothing is, and nothing wrong. */
async function lookAtFolder(
  path: string,
  { report, readOnly }: { readonly report: Report; readonly readOnly: boolean },
): Promise<void> {
  const there = await stat(path).catch((error: unknown) => systemCode(error));
  if (typeof there === 'object' && !there.isDirectory()) throw notAFolder(path);
  if (there === 'ENOTDIR') throw notAFolder(path);
  if (there === 'ENOENT' && readOnly)
    report.problem(`ARCHIVE_URL: there is no folder ${path} (yet): nothing is found in it.`);
  if (await holdsOnlyOthers(path))
    report.problem(`ARCHIVE_URL: in ${path} there is something, but no archive: is it the folder that the worker has?`);
}

/** What lies in an archive from its first recording or its first look on. */
const OF_AN_ARCHIVE = ['recordings', 'days', 'failures', 'staging', 'waiting', 'proofs', 'audit', 'index', 'status'];

/** A new disk has its lost+found, and nobody looks at hidden files. */
async function holdsOnlyOthers(path: string): Promise<boolean> {
  const names = await readdir(path).catch(() => []);
  const visible = names.filter((name) => !name.startsWith('.') && name !== 'lost+found');
  return visible.length > 0 && !visible.some((name) => OF_AN_ARCHIVE.includes(name));
}

function notAFolder(path: string): Failure {
  return new Failure('misconfigured', `ARCHIVE_URL: ${path} is no folder: name the one that the archive lies in.`);
}

/** For what is of no use where nothing can be written: that is found out before Genesys is asked. @throws Failure saying what to mend */
export async function openArchiveToWrite(workplace: Pick<Workplace, 'config'>, task: Task): Promise<Archive> {
  const archive = await openArchiveOf(workplace, task, false);
  await archive.check(task.signal);
  return archive;
}

/** Genesys is waited for in silence by nobody, and no client is left out in silence. */
function tellingOf({ report }: Pick<Task, 'report'>) {
  return {
    onWait: (what: string): void => report.progress(what, { waiting: true }),
    onRefused: (clientId: string, { message }: Failure): void =>
      report.problem(
        `Genesys refuses client ${tame(clientId)} of GENESYS_CLIENT_ID; the others go on without it: ${message}`,
      ),
  };
}

export function openCensusOf({ config }: Workplace, task: Task, share: number): GenesysCensus {
  const { opened } = task;
  const census = new GenesysCensus(config.genesys, { share, proxies: config.proxies, ...tellingOf(task) });
  opened.defer(() => census.close());
  return census;
}

/** Lines of the index are put together with each day that is looked at; a day is reported and proven without them as well. */
export function indexDaysOf(
  { workplace, archive }: { readonly workplace: Pick<Workplace, 'config'>; readonly archive: Archive },
  { report }: Task,
): IndexDays {
  return new IndexDays({
    archive,
    keepsDetails: workplace.config.keepDetails !== 'no',
    version: readVersion(),
    onTrouble: (error) => report.lacks('The index of a day could not be written', Failure.from(error)),
  });
}

export function openRetentionOf({ config }: Workplace, task: Task): GenesysRetention {
  const { opened } = task;
  const retention = new GenesysRetention(config.genesys, { proxies: config.proxies, ...tellingOf(task) });
  opened.defer(() => retention.close());
  return retention;
}

export function openInquiryOf({ config }: Workplace, task: Task): GenesysInquiry {
  const inquiry = new GenesysInquiry(config.genesys, { share: 1, proxies: config.proxies, ...tellingOf(task) });
  task.opened.defer(() => inquiry.close());
  return inquiry;
}

export interface BulkOptions {
  /** Encoders at once, beside those of a service on the same machine. */
  readonly slots: number;
  /** Of Genesys' rate windows: live work has the rest. */
  readonly share: number;
}

/** What the queue calls for live work, with slots and a share of its own: encoders give way, and calls make way. */
export async function openBulkWork(
  { workplace, archive }: { readonly workplace: Workplace; readonly archive: Archive },
  { slots, share }: BulkOptions,
  task: Task,
): Promise<BulkWork> {
  const { log } = workplace;
  const config = { ...workplace.config, transcodeSlots: slots };
  const [metrics, version] = [createMetrics(), readVersion()];
  const context = { config, log, metrics, version, opened: task.opened };
  const { pipeline, genesys } = await openStudio(
    context,
    { archive },
    { share, patienceMs: BULK_PATIENCE_MS, archives: true },
  );
  const handle = handleWithoutQueue({ pipeline, genesys, archive, metrics, log, version });
  return { handle, expect: (recordings) => genesys.expect(recordings) };
}
