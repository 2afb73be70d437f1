/** A question about failures (reason, days) → those that match, page by page; and all of them sent to be tried again. */
import type { Archive, Entry } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import { inBatches } from '../archive/in-batches.ts';
import { Failure } from '../failure.ts';
import { isDay } from '../instant.ts';
import type { Message, Queue } from '../queue/queue.ts';

export type ListedFailure = Extract<Entry, { readonly failure: unknown }>;

export interface FailureFilter {
  readonly code: string | undefined;
  /** UTC days, both inclusive. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** One recording alone: its ids, `C/R`. */
  readonly only: string | undefined;
}

/** @throws Failure `bad-request` naming what is wrong */
export function parseFailureFilter(query: URLSearchParams): FailureFilter {
  const given = (name: string): string | undefined => {
    const value = query.get(name) ?? '';
    return value === '' ? undefined : value;
  };
  const [code, from, to, only] = [given('code'), given('from'), given('to'), given('only')];
  for (const [name, day] of [
    ['from', from],
    ['to', to],
  ] as const)
    if (day !== undefined && !isDay(day))
      throw new Failure('bad-request', `${name}: expected a day such as 2026-08-05.`);
  if (code !== undefined && !/^[a-z-]{1,40}$/.test(code))
    throw new Failure('bad-request', 'code: expected a reason such as gone.');
  return { code, from, to, only };
}

/** The same question as an address has it. */
export function filterText({ code, from, to, only }: FailureFilter): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ code, from, to, only })) if (value !== undefined) query.set(name, value);
  return query.toString();
}

const PAGE = 200;

/** Newest day first; in the memory of one page, whatever there is. */
export async function* failuresMatching(
  filter: FailureFilter,
  archive: Pick<Archive, 'list'>,
  signal: AbortSignal,
): AsyncGenerator<ListedFailure> {
  const { code, from, to, only } = filter;
  const query = {
    status: 'failed',
    limit: PAGE,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  } as const;
  for await (const entry of listedEntries(query, archive, signal))
    if (
      entry.status === 'failed' &&
      (code === undefined || entry.failure.code === code) &&
      (only === undefined || idsText(entry) === only)
    )
      yield entry;
}

/** `C/R`, with `_` for what there is none of. */
export function idsText({ recording }: Pick<ListedFailure, 'recording'>): string {
  return `${recording.conversationId ?? '_'}/${recording.recordingId ?? '_'}`;
}

/** Why one of them was not sent. */
export interface ReplayConflict {
  readonly ids: string;
  readonly why: string;
}

export interface ReplayCount {
  readonly found: number;
  /** What replaying helps, as far as its reason tells. */
  readonly canBeTried: number;
  readonly conflicts: readonly ReplayConflict[];
}

export interface ResendNeeds {
  readonly archive: Pick<Archive, 'list' | 'find'>;
  readonly queue: Pick<Queue, 'publish'>;
  /** Puts one on record; resolves once it is. */
  readonly record: (entry: ListedFailure) => Promise<void>;
}

/** So many are looked up and put on record at once. */
const WIDTH = 25;
/** Of one replay: what is beyond is another one, by days. */
export const MOST_REPLAYED = 5_000;
const PUBLISH_WITHIN_MS = 10_000;
const CONFLICTS_SHOWN = 100;

/** Nothing is changed. */
export async function countReplay(
  filter: FailureFilter,
  { archive }: Pick<ResendNeeds, 'archive'>,
  signal: AbortSignal,
): Promise<ReplayCount> {
  let [found, canBeTried] = [0, 0];
  const conflicts: ReplayConflict[] = [];
  for await (const batch of inBatches(failuresMatching(filter, archive, signal), WIDTH)) {
    found += batch.length;
    for (const why of await Promise.all(batch.map((entry) => conflictOf(entry, archive, signal))))
      if (why === undefined) canBeTried += 1;
      else conflicts.push(why);
    if (found >= MOST_REPLAYED) break;
  }
  return { found, canBeTried, conflicts };
}

export interface ReplayResult {
  readonly sent: number;
  readonly conflicts: readonly ReplayConflict[];
  readonly conflictCount: number;
  /** Why it ended before its end; what was sent until then stays sent. */
  readonly stopped: Failure | undefined;
}

/** Each is on record before it is sent; one that cannot be sent is a line, and the rest go on. Never throws. */
export async function replayAll(filter: FailureFilter, needs: ResendNeeds, signal: AbortSignal): Promise<ReplayResult> {
  let sent = 0;
  const conflicts: ReplayConflict[] = [];
  const result = (stopped?: Failure): ReplayResult => ({
    sent,
    conflicts: conflicts.slice(0, CONFLICTS_SHOWN),
    conflictCount: conflicts.length,
    stopped,
  });
  try {
    for await (const batch of inBatches(failuresMatching(filter, needs.archive, signal), WIDTH)) {
      const looked = await Promise.all(
        batch.map(async (entry) => ({ entry, conflict: await conflictOf(entry, needs.archive, signal) })),
      );
      conflicts.push(...looked.flatMap(({ conflict }) => conflict ?? []));
      const ready = looked.flatMap(({ entry, conflict }) => (conflict === undefined ? [entry] : []));
      await Promise.all(ready.map((entry) => needs.record(entry)));
      if (ready.length > 0)
        await needs.queue.publish(ready.flatMap(messageFor), AbortSignal.timeout(PUBLISH_WITHIN_MS));
      sent += ready.length;
      if (sent + conflicts.length >= MOST_REPLAYED) break;
    }
    return result();
  } catch (thrown) {
    return result(Failure.from(thrown));
  }
}

async function conflictOf(
  entry: ListedFailure,
  archive: Pick<Archive, 'find'>,
  signal: AbortSignal,
): Promise<ReplayConflict | undefined> {
  const { recordingId, conversationId } = entry.recording;
  const ids = idsText(entry);
  if (recordingId === undefined)
    return conversationId === undefined ? { ids, why: 'It names nothing that could be asked for.' } : undefined;
  try {
    const manifest = await archive.find({ recordingId, conversationId }, signal);
    return manifest === undefined ? undefined : { ids, why: 'It is archived meanwhile.' };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.code !== 'erased' && failure.code !== 'conflict') throw failure;
    return { ids, why: failure.message };
  }
}

function messageFor({ recording: { recordingId, conversationId } }: ListedFailure): readonly Message[] {
  if (recordingId !== undefined) return [{ kind: 'recording', recordingId, conversationId }];
  return conversationId === undefined ? [] : [{ kind: 'conversation', conversationId }];
}
