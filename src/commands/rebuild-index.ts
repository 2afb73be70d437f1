/** `archiver reconcile --index`: the index of days, made anew from manifests, records and details; an archive that never had one gets one. */
import type { Archive, Entry } from '../archive/archive.ts';
import { daysAsked } from './days.ts';
import { indexDaysOf, openArchiveToWrite, openWorkplace } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

/** What it reads of the environment: the archive, and nothing of Genesys. */
const READS = 'verify';
/** Entries in one question to the archive. */
const PAGE = 500;

export async function rebuildIndex(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const days = daysAsked(flags, new Date());
  const workplace = openWorkplace(task, READS);
  const archive = await openArchiveToWrite(workplace, task);
  const counts = { days: 0, lines: 0 };
  const onDay = (day: string, lines: number): void => {
    counts.days += 1;
    counts.lines += lines;
    report.line(`${day}  ${String(lines).padStart(5)} lines`, { type: 'index', day, lines });
  };
  const range = { from: days?.at(0), to: days?.at(-1) };
  await indexDaysOf({ workplace, archive }, task).rebuild(entriesOfDays(range, archive, signal), onDay, signal);
  report.text(`\n${String(counts.lines)} lines of ${String(counts.days)} days.`);
  report.summary(counts, EXIT.well);
  return EXIT.well;
}

interface Range {
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** Newest day first. */
async function* entriesOfDays(
  { from, to }: Range,
  archive: Pick<Archive, 'list'>,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  const bounds = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  let cursor: string | undefined;
  do {
    const page = await archive.list({ ...bounds, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) }, signal);
    yield* page.entries;
    cursor = page.cursor;
  } while (cursor !== undefined);
}
