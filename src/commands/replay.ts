/** `archiver replay`: what failed is counted by its code, then tried again. */
import type { Archive, Entry } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import type { FailureRecord } from '../archive/manifest.ts';
import { catchUp, type CatchUpEnd } from '../days/catch-up.ts';
import type { Census, CountedList } from '../genesys/census.ts';
import type { Handle } from '../queue/queue.ts';
import { canonicalRecording, type Recording } from '../recording.ts';
import { Failure, FAILURES, isFailureCode } from '../failure.ts';
import { requireRange } from './days.ts';
import { nearestOf } from '../nearest.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { parseConversationFlag } from './targets.ts';
import { openArchiveOf, openArchiveToWrite, openBulkWork, openCensusOf, openWorkplace } from './open.ts';
import { isOfOne } from './refusals.ts';
import { columnsOf, EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

export interface ReplayNeeds {
  readonly archive: Archive;
  /** For conversations whose recordings could not be found out. */
  readonly census: Pick<Census, 'recordingsOf'>;
  readonly handle: () => Promise<Handle>;
  readonly slots: number;
}

export async function runReplay(task: Task): Promise<Exit> {
  const { flags } = task;
  const share = flags.number('share') ?? 0.5;
  const slots = flags.number('slots') ?? 1;
  if (slots < 1) throw new UsageError('--slots 0: at least one is needed.');
  requireRange(flags, new Date());
  conversationAsked(flags);
  for (const code of flags.list('code')) requireCode(code);
  if (flags.number('limit') === 0) throw new UsageError('--limit 0: at least one is needed.');
  const workplace = openWorkplace(task, 'replay');
  const archive = await (flags.isOn('dry-run')
    ? openArchiveOf(workplace, task, true)
    : openArchiveToWrite(workplace, task));
  const census = openCensusOf(workplace, task, share);
  const handle = async (): Promise<Handle> => {
    // A region or a client that is wrong is no matter of each recording.
    await census.skewMs(task.signal);
    return (await openBulkWork({ workplace, archive }, { slots, share }, task)).handle;
  };
  return replay(task, { archive, census, handle, slots });
}

/** @throws UsageError */
function requireCode(code: string): void {
  if (isFailureCode(code)) return;
  const nearest = nearestOf(code.toLowerCase(), Object.keys(FAILURES));
  const instead = nearest === undefined ? 'archiver status lists what there is' : `did you mean ${nearest}?`;
  throw new UsageError(`--code ${code} is no code of a failure: ${instead}`);
}

type FailedEntry = Extract<Entry, { readonly failure: FailureRecord }>;

const PAGE = 200;

async function replay(task: Task, needs: ReplayNeeds): Promise<Exit> {
  const { report, flags, signal } = task;
  const byCode = new Map<string, number>();
  let found = 0;
  for await (const { failure } of failed(flags, needs.archive, signal)) {
    found += 1;
    byCode.set(failure.code, (byCode.get(failure.code) ?? 0) + 1);
  }
  const counts = [...byCode].toSorted(([, a], [, b]) => b - a);
  for (const [code, count] of counts) report.fact({ type: 'count', code, count });
  report.text(
    found === 0
      ? 'Nothing failed that matches.'
      : columnsOf(counts.map(([code, count]) => [String(count).padStart(6), code])).join('\n'),
  );
  if (found === 0 || flags.isOn('dry-run')) {
    if (found > 0)
      report.text(
        `\nTry them again:  ${['archiver replay', flags.again('code', 'from', 'to', 'conversation', 'limit', 'slots', 'share')].join(' ').trimEnd()}`,
      );
    const exit = found === 0 ? EXIT.well : EXIT.findings;
    report.summary({ found, done: 0, failed: 0, left: 0 }, exit);
    return exit;
  }
  let over = 0;
  const unfolded = new Unfolded();
  const onEnd = (recording: Recording, end: CatchUpEnd): void => {
    over += 1;
    unfolded.ended(recording, end);
    report.fact({ type: 'replayed', ...recording, end });
    report.progress(`${String(over)} of ${String(found)}`, { over, found });
  };
  const handle = await needs.handle();
  const recordings = recordingsOf(failed(flags, needs.archive, signal), { ...needs, unfolded }, signal);
  const tried = await catchUp(recordings, { handle, slots: needs.slots, onEnd }, signal);
  for (const conversationId of unfolded.over())
    await needs.archive.removeFailure({ recordingId: undefined, conversationId }, signal);
  const ended = { ...tried, left: tried.left + unfolded.kept };
  report.text(
    `\n${String(ended.done)} archived, ${String(ended.failed)} failed again, ${String(ended.left)} left for another run.`,
  );
  const exit = ended.failed + ended.left > 0 ? EXIT.findings : EXIT.well;
  report.summary({ found, ...ended }, exit);
  return exit;
}

function conversationAsked(flags: FlagValues): string | undefined {
  const text = flags.text('conversation');
  return text === undefined ? undefined : parseConversationFlag(text).conversationId;
}

/** Page by page, so that a listing of any length is gone through in the memory of one page. */
async function* failed(flags: FlagValues, archive: Archive, signal: AbortSignal): AsyncGenerator<FailedEntry> {
  const codes = flags.list('code');
  const [from, to] = [flags.text('from'), flags.text('to')];
  const conversationId = conversationAsked(flags);
  const query = {
    status: 'failed',
    limit: PAGE,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(conversationId === undefined ? {} : { conversationId }),
  } as const;
  let left = flags.number('limit') ?? Infinity;
  for await (const entry of listedEntries(query, archive, signal)) {
    if (entry.status !== 'failed' || (codes.length > 0 && !codes.includes(entry.failure.code))) continue;
    if (left <= 0) return;
    left -= 1;
    yield entry;
  }
}

/** A conversation's failure is that of all its recordings: it holds until each of them is archived or has a failure of its own. */
class Unfolded {
  /** By conversation, the ids of its recordings that are not over with; what was left stays among them. */
  readonly #open = new Map<string, Set<string>>();
  /** Conversations of which not all could be found out. */
  kept = 0;

  found(conversationId: string, { recordings, lacking }: CountedList): void {
    if (recordings.length === 0 || lacking !== undefined) this.kept += 1;
    else this.#open.set(conversationId, new Set(recordings.map(({ recordingId }) => recordingId)));
  }

  ended({ recordingId, conversationId = '' }: Recording, end: CatchUpEnd): void {
    if (end !== 'left') this.#open.get(conversationId)?.delete(recordingId);
  }

  /** Conversations whose failure no longer holds. */
  *over(): Generator<string> {
    for (const [conversationId, open] of this.#open) {
      if (open.size === 0) yield conversationId;
    }
  }
}

interface Unfolding extends Pick<ReplayNeeds, 'census'> {
  readonly unfolded: Unfolded;
}

async function* recordingsOf(
  entries: AsyncIterable<FailedEntry>,
  { census, unfolded }: Unfolding,
  signal: AbortSignal,
): AsyncGenerator<Recording> {
  for await (const { recording } of entries) {
    const { recordingId, conversationId } = recording;
    if (recordingId !== undefined) yield canonicalRecording({ recordingId, conversationId });
    if (recordingId !== undefined || conversationId === undefined) continue;
    const listed = await whatIsListed(conversationId, census, signal);
    unfolded.found(conversationId, listed);
    for (const counted of listed.recordings) yield { recordingId: counted.recordingId, conversationId };
  }
}

/** What is wrong with one conversation keeps the others from nothing. */
async function whatIsListed(
  conversationId: string,
  census: ReplayNeeds['census'],
  signal: AbortSignal,
): Promise<CountedList> {
  try {
    return await census.recordingsOf(conversationId, signal);
  } catch (thrown) {
    if (thrown instanceof Failure && isOfOne(thrown)) return { recordings: [], lacking: thrown };
    throw thrown;
  }
}
