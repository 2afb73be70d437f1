/**
 * The days, recordings and reasons of an archive → one page of a listing. What is read is what is shown: names come in
 * the order of the listing from day to day, and a record is opened only when it is its turn.
 */
import { isDay } from '../instant.ts';
import { keyOf, recordingOfKey, type Recording } from '../recording.ts';
import { STATUSES, type ListQuery, type Page, type Status } from './archive.ts';
import { inBatches } from './in-batches.ts';
import { DAYS, manifestName, RECORDINGS } from './names.ts';
import { writtenAt, type Objects } from './objects.ts';
import {
  asksFor,
  checkQuery,
  compareEntries,
  comparePositions,
  compareTexts,
  cutPage,
  isAsked,
  onPage,
  parseCursor,
  type PlacedEntry,
  type Position,
} from './page.ts';
import { folderOf, kindOf, type Reasons, type ReasonStatus } from './reasons.ts';
import { dayOf, isUnreadable, parseManifest, unreadableRecord } from './records.ts';
import { Smallest } from './smallest.ts';

/** Records read at once. */
const WIDTH = 16;
/** Records kept of those that have no marks yet, while all of them are read. */
const UNMARKED_BATCH = 1_000;

export interface ListedStore {
  readonly objects: Objects;
  readonly reasons: Reasons;
  /** The names that something may lie under, its own first. */
  readonly spellingsOf: (recording: Recording) => readonly Recording[];
}

/** @throws Failure `bad-request` naming the field */
export async function listArchive(query: ListQuery, store: ListedStore, signal: AbortSignal): Promise<Page> {
  checkQuery(query);
  const search = { ...store, query, after: parseCursor(query.cursor), signal };
  const { conversationId } = query;
  const placed = conversationId === undefined ? await byDay(search) : await byConversation(search, conversationId);
  return cutPage(placed, query.limit);
}

interface ListSearch extends ListedStore {
  readonly query: ListQuery;
  readonly after: Position | undefined;
  readonly signal: AbortSignal;
}

/** Where something of that status is marked; whether it is there still, its record tells. */
interface Spot extends Position {
  readonly status: Status;
}

/** One more than a page, where there are so many. */
async function byDay(search: ListSearch): Promise<readonly PlacedEntry[]> {
  const wanted = search.query.limit + 1;
  const placed: PlacedEntry[] = [];
  let batch: Spot[] = [];
  const readBatch = async (): Promise<void> => {
    for (const one of await Promise.all(batch.map((spot) => place(search, spot)))) {
      const last = placed.at(-1);
      // Under a retention policy a failure that is tried again may stay beside what waits: the first one stands.
      const isDouble = last !== undefined && one !== undefined && comparePositions(last.position, one.position) === 0;
      if (one !== undefined && !isDouble) placed.push(one);
    }
    batch = [];
  };
  for await (const spot of spotsInOrder(search)) {
    batch.push(spot);
    if (batch.length >= Math.min(WIDTH, wanted - placed.length)) await readBatch();
    if (placed.length >= wanted) return placed;
  }
  await readBatch();
  return placed;
}

/** A conversation has few; their days stand in their records alone. */
async function byConversation(search: ListSearch, conversationId: string): Promise<readonly PlacedEntry[]> {
  const first = new Smallest<PlacedEntry>(search.query.limit + 1, compareEntries);
  for (const { recordingId: spelled } of search.spellingsOf({ recordingId: conversationId, conversationId: undefined }))
    for await (const batch of inBatches(ofConversation(search, spelled), WIDTH)) {
      for (const one of await Promise.all(batch.map((read) => read()))) {
        const isShown = one !== undefined && asksFor(search.query, one.entry.status);
        if (isShown && onPage(search.query, search.after, one.position)) first.add(one);
      }
    }
  return first.take();
}

type Reading = () => Promise<PlacedEntry | undefined>;

async function* ofConversation(search: ListSearch, conversationId: string): AsyncGenerator<Reading> {
  const { objects, reasons, query, signal } = search;
  if (asksFor(query, 'archived')) {
    for await (const name of objects.children({ folder: `${RECORDINGS}${conversationId}/` }, signal)) {
      const recording = recordingOfKey(`${conversationId}.${name.replace(/\/$/, '')}`);
      if (recording !== undefined) yield () => placeArchived(search, recording);
    }
  }
  const kinds = new Set(askedReasons(query).map(kindOf));
  for (const kind of kinds) {
    for await (const key of reasons.keysOf(kind, conversationId, signal)) {
      yield async () => {
        const found = await reasons.read(kind, key, signal);
        return found === undefined ? undefined : { position: { day: found.day, key }, entry: found.entry };
      };
    }
  }
}

function askedReasons(query: ListQuery): readonly ReasonStatus[] {
  return STATUSES.filter((status) => status !== 'archived').filter((status) => asksFor(query, status));
}

/** Everything that may be shown, in the order of the listing. */
async function* spotsInOrder(search: ListSearch): AsyncGenerator<Spot> {
  const marked: Status[] = asksFor(search.query, 'archived') ? ['archived'] : [];
  const unmarked: ReasonStatus[] = [];
  for (const status of askedReasons(search.query)) {
    if (await search.reasons.isMarked(status, search.signal)) marked.push(status);
    else unmarked.push(status);
  }
  const lanes = [dayByDay(search, marked)];
  if (unmarked.length > 0) lanes.push(withoutMarks(search, unmarked));
  yield* inTurn(lanes);
}

/** What is marked. The folders of a day are gone through once it is its turn: a page seldom shows more than one. */
async function* dayByDay(search: ListSearch, statuses: readonly Status[]): AsyncGenerator<Spot> {
  const ofStatuses = await Promise.all(
    statuses.map(async (status) => ({ status, days: new Set(await askedDays(search, marksFolder(status))) })),
  );
  const days = new Set(ofStatuses.flatMap((one) => [...one.days]));
  for (const day of [...days].toSorted(compareTexts).toReversed()) {
    const there = ofStatuses.filter((one) => one.days.has(day));
    yield* inTurn(there.map(({ status }) => markedOn(search, status, day)));
  }
}

async function* markedOn(
  { objects, query, after, signal }: ListSearch,
  status: Status,
  day: string,
): AsyncGenerator<Spot> {
  const start = after?.day === day ? { after: after.key } : {};
  const asked = { folder: `${marksFolder(status)}${day}/`, expected: query.limit + WIDTH, ...start };
  for await (const key of objects.children(asked, signal)) yield { status, day, key };
}

/** Holds what is marked of that status, day by day. */
function marksFolder(status: Status): string {
  return status === 'archived' ? DAYS : folderOf(status);
}

async function askedDays({ objects, query, after, signal }: ListSearch, folder: string): Promise<readonly string[]> {
  const days: string[] = [];
  for await (const name of objects.children({ folder }, signal)) {
    const day = name.replace(/\/$/, '');
    if (isDay(day) && isAsked(query, day) && day <= (after?.day ?? day)) days.push(day);
  }
  return days;
}

/** An archive that was never tidied: all records are read, as often as it takes. */
async function* withoutMarks(search: ListSearch, statuses: readonly ReasonStatus[]): AsyncGenerator<Spot> {
  for (let { after } = search; ;) {
    const first = new Smallest<Spot>(UNMARKED_BATCH, comparePositions);
    for (const kind of new Set(statuses.map(kindOf))) {
      for await (const batch of inBatches(search.reasons.keys(kind, search.signal), WIDTH)) {
        const found = await Promise.all(batch.map((key) => search.reasons.read(kind, key, search.signal)));
        for (const [index, key] of batch.entries()) {
          const { status, day } = found[index] ?? {};
          if (status === undefined || day === undefined || !statuses.includes(status)) continue;
          if (onPage(search.query, after, { day, key })) first.add({ status, day, key });
        }
      }
    }
    const spots = first.take();
    yield* spots;
    after = spots.at(-1);
    if (spots.length < UNMARKED_BATCH) return;
  }
}

/** Several ordered sequences as one. */
async function* inTurn(lanes: readonly AsyncGenerator<Spot>[]): AsyncGenerator<Spot> {
  try {
    const heads = await Promise.all(lanes.map(async (lane) => ({ lane, next: await lane.next() })));
    for (;;) {
      const left = heads.filter(({ next }) => next.done !== true);
      const [first] = left.toSorted((a, b) => comparePositions(a.next.value, b.next.value));
      if (first === undefined) return;
      yield first.next.value;
      first.next = await first.lane.next();
    }
  } finally {
    for (const lane of lanes) await lane.return(undefined);
  }
}

/** undefined where nothing is there any more, or what is there belongs to another day. */
async function place(search: ListSearch, spot: Spot): Promise<PlacedEntry | undefined> {
  const { status, day, key } = spot;
  if (status === 'archived') {
    const recording = recordingOfKey(key);
    return recording === undefined ? undefined : placeArchived(search, recording, day);
  }
  const found = await search.reasons.read(kindOf(status), key, search.signal);
  if (found?.status !== status || found.day !== day) return undefined;
  return { position: { day, key }, entry: found.entry };
}

/** What cannot be read is shown as failed since it was last written, rather than hidden. */
async function placeArchived(
  search: ListSearch,
  recording: Recording,
  listedOn?: string,
): Promise<PlacedEntry | undefined> {
  const { objects, query, signal } = search;
  const name = manifestName(recording);
  const key = keyOf(recording);
  try {
    const text = await objects.get(name, signal);
    if (text === undefined) return undefined;
    const manifest = parseManifest(text);
    const day = dayOf(manifest);
    // A deposit that lost against another may have left an entry on its own day.
    if (listedOn !== undefined && listedOn !== day) return undefined;
    return { position: { day, key }, entry: { status: 'archived', recording, manifest } };
  } catch (thrown) {
    if (!isUnreadable(thrown)) throw thrown;
    if (query.status !== undefined) return undefined;
    const failedAt = await writtenAt(name, objects, signal);
    const failure = unreadableRecord(recording, thrown, failedAt);
    const position = { day: listedOn ?? failedAt.slice(0, 10), key };
    return { position, entry: { status: 'failed', recording, failure } };
  }
}
