/** Turns the days, recordings and failures of a bucket into one page of a listing. */
import { Failure } from '../../failure.ts';
import { isDay } from '../../instant.ts';
import { keyOf, recordingOfKey, type Recording } from '../../recording.ts';
import { STATUSES, type Entry, type ListQuery, type Page } from '../archive.ts';
import type { BucketClient } from './client.ts';
import { readObject } from './download.ts';
import { listObjects, statObject } from './metadata.ts';
import type { ObjectFacts } from './object.ts';
import { DAYS, manifestName, RECORDINGS, type ReasonKind } from '../names.ts';
import type { FailureRecord } from '../manifest.ts';
import {
  asksFor,
  checkQuery,
  comparePlaced,
  comparePositions,
  compareTexts,
  cutPage,
  firstOf,
  onPage,
  parseCursor,
} from '../page.ts';
import type { Placed, Position } from '../page.ts';
import { dayOf, parseFailureRecord, parseManifest, parseWaitingRecord, subjectOf } from '../records.ts';

/** Objects read at once. */
const WIDTH = 16;
/** Failures held at once, by name and day only. */
const BATCH = 256;

/** Holds one page and one batch of names, however much lies there. @throws Failure `bad-request` naming the field */
export async function listBucket(query: ListQuery, client: BucketClient, signal: AbortSignal): Promise<Page> {
  checkQuery(query);
  const search = { client, query, after: parseCursor(query.cursor), signal };
  const others: Placed[] = [];
  for (const kind of [FAILURES, WAITING]) {
    let count = 0;
    for await (const placed of recordsOf(search, kind)) if ((others.push(placed), ++count > query.limit)) break;
  }
  return cutPage(query.limit, archived(search), others.toSorted(comparePlaced));
}

interface Search {
  readonly client: BucketClient;
  readonly query: ListQuery;
  readonly after: Position | undefined;
  readonly signal: AbortSignal;
}

/** A recording as a listing names it; `day` where the name says it. */
interface Found {
  readonly recording: Recording;
  readonly day: string | undefined;
}

async function* archived(search: Search): AsyncGenerator<Placed> {
  const { conversationId, status, limit } = search.query;
  if (status !== undefined && status !== 'archived') return;
  if (conversationId === undefined) yield* placeAll(search, byDay(search));
  else yield* await firstOf(placeAll(search, ofConversation(search, conversationId)), limit + 1, comparePlaced);
}

/** In the order of the listing. */
async function* byDay(search: Search): AsyncGenerator<Found> {
  const { client, query, after, signal } = search;
  for (const day of await daysOf(search)) {
    const prefix = `${DAYS}${day}/`;
    const last = after?.day === day ? after.key : '';
    // No key holds a "!", and all that keys hold comes after it: names behind the last one begin here.
    const start = last === '' ? {} : { from: `${prefix}${last}!` };
    const pageSize = Math.min(1000, query.limit + WIDTH);
    for await (const { objects } of listObjects({ prefix, pageSize, ...start }, client, signal)) {
      for (const { name } of objects) {
        const recording = recordingOfKey(name.slice(prefix.length));
        if (recording !== undefined) yield { recording, day };
      }
    }
  }
}

async function daysOf({ client, query, after, signal }: Search): Promise<string[]> {
  const prefix = DAYS;
  const days: string[] = [];
  const start = query.from === undefined ? {} : { from: `${prefix}${query.from}` };
  for await (const { folders } of listObjects({ prefix, folders: true, ...start }, client, signal)) {
    for (const folder of folders) {
      const day = folder.slice(prefix.length, -1);
      if (isDay(day) && day <= (query.to ?? day) && day <= (after?.day ?? day)) days.push(day);
    }
  }
  return days.toSorted(compareTexts).toReversed();
}

async function* ofConversation({ client, signal }: Search, conversationId: string): AsyncGenerator<Found> {
  const prefix = `${RECORDINGS}${conversationId}/`;
  for await (const { folders } of listObjects({ prefix, folders: true }, client, signal)) {
    for (const folder of folders) {
      const recording = recordingOfKey(`${conversationId}.${folder.slice(prefix.length, -1)}`);
      if (recording !== undefined) yield { recording, day: undefined };
    }
  }
}

/** Several manifests are read at once; they come out in the order they went in. */
async function* placeAll(search: Search, found: AsyncIterable<Found>): AsyncGenerator<Placed> {
  for await (const batch of inBatches(found, WIDTH)) {
    for (const placed of await Promise.all(batch.map((one) => place(search, one)))) {
      if (placed !== undefined && onPage(search.query, search.after, placed.position)) yield placed;
    }
  }
}

async function* inBatches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** undefined without a manifest, or on a day that is not its own. One that cannot be read is shown as failed. */
async function place({ client, query, signal }: Search, { recording, day }: Found): Promise<Placed | undefined> {
  const name = manifestName(recording);
  const text = await readObject(name, client, signal);
  if (text === undefined) return undefined;
  const key = keyOf(recording);
  try {
    const manifest = parseManifest(text);
    const own = dayOf(manifest);
    // A deposit that lost against another may have left an entry on a day of its own.
    if (day !== undefined && day !== own) return undefined;
    return { position: { day: own, key }, entry: { status: 'archived', recording, manifest } };
  } catch (thrown) {
    if (!(thrown instanceof Failure) || query.status !== undefined) return undefined;
    const failedAt = (await statObject(name, client, signal))?.createdAt ?? new Date().toISOString();
    const position = { day: day ?? failedAt.slice(0, 10), key };
    return { position, entry: damaged(recording, thrown, failedAt) };
  }
}

function damaged(recording: Recording, { code, message }: Failure, failedAt: string): Entry {
  const subject = { recordingId: recording.recordingId, conversationId: recording.conversationId ?? null };
  const failure: FailureRecord = {
    version: 1,
    ...subject,
    status: 'failed',
    code,
    reason: message,
    attempts: 0,
    failedAt,
    service: '',
  };
  return { status: 'failed', recording, failure };
}

interface Kind {
  readonly folder: ReasonKind;
  /** The name of the metadata that holds the moment it is listed by. */
  readonly moment: string;
  readonly parse: (text: string) => Entry;
}

const FAILURES: Kind = {
  folder: 'failures',
  moment: 'failedAt',
  parse(text) {
    const failure = parseFailureRecord(text);
    return { status: failure.status, recording: subjectOf(failure), failure };
  },
};

const WAITING: Kind = {
  folder: 'waiting',
  moment: 'since',
  parse(text) {
    const waiting = parseWaitingRecord(text);
    return { status: 'waiting', recording: subjectOf(waiting), waiting };
  },
};

/** In the order of the listing: names are gone through batch by batch, and only those that may show are read. */
async function* recordsOf(search: Search, kind: Kind): AsyncGenerator<Placed> {
  if (search.query.status === 'archived') return;
  for (let { after } = search; ;) {
    const next = await firstOf(recordNames(search, kind, after), BATCH, comparePositions);
    for await (const batch of inBatches(fromArray(next), WIDTH)) {
      for (const placed of await Promise.all(batch.map((position) => placeRecord(search, kind, position)))) {
        if (placed !== undefined) yield placed;
      }
    }
    after = next.at(-1);
    if (next.length < BATCH) return;
  }
}

async function* fromArray<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** Their metadata repeats day and status, so that a listing need not read them all. */
async function* recordNames(search: Search, kind: Kind, after: Position | undefined): AsyncGenerator<Position> {
  const { client, query, signal } = search;
  const prefix = `${kind.folder}/`;
  const start = query.conversationId === undefined ? prefix : `${prefix}${query.conversationId}.`;
  for await (const { objects } of listObjects({ prefix: start }, client, signal)) {
    for (const object of objects) {
      if (!object.name.endsWith('.json') || !mayShow(query, object)) continue;
      const day = (object.metadata[kind.moment] ?? object.createdAt).slice(0, 10);
      const position = { day, key: object.name.slice(prefix.length, -'.json'.length) };
      if (onPage(query, after, position)) yield position;
    }
  }
}

function mayShow(query: ListQuery, { metadata }: ObjectFacts): boolean {
  const { status = query.status } = metadata;
  return STATUSES.some((known) => known === status && asksFor(query, known)) || status === undefined;
}

/** undefined where its recording was archived meanwhile: the record no longer holds. */
async function placeRecord(search: Search, kind: Kind, position: Position): Promise<Placed | undefined> {
  const { client, query, signal } = search;
  const recording = recordingOfKey(position.key);
  const [text, manifest] = await Promise.all([
    readObject(`${kind.folder}/${position.key}.json`, client, signal),
    recording === undefined ? undefined : readObject(manifestName(recording), client, signal),
  ]);
  if (text === undefined || manifest !== undefined) return undefined;
  const entry = kind.parse(text);
  return asksFor(query, entry.status) ? { position, entry } : undefined;
}
