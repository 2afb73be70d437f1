/** Turns the days, recordings and failures of an archive folder into one page of a listing. */
import { opendir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../failure.ts';
import { isDay } from '../../instant.ts';
import { keyOf, recordingOfKey, type Recording } from '../../recording.ts';
import type { ListQuery, Page } from '../archive.ts';
import { ifThere } from './durable.ts';
import { entryPath, isCutEntry } from './entry.ts';
import type { FailureRecord } from '../manifest.ts';
import { asksFor, checkQuery, comparePlaced, compareTexts, cutPage, firstOf, onPage, parseCursor } from '../page.ts';
import type { Placed, Position } from '../page.ts';
import { dayOf, parseFailureRecord, parseManifest, parseWaitingRecord, subjectOf } from '../records.ts';

/** Names of one day held in memory at once. */
const BATCH = 1000;

/** Holds one page and one batch of names, however much lies there. @throws Failure `bad-request` naming the field */
export async function listFolder(root: string, query: ListQuery, signal: AbortSignal): Promise<Page> {
  checkQuery(query);
  const search = { root, query, after: parseCursor(query.cursor), signal };
  const others = query.status === 'archived' ? [] : await firstOf(notArchived(search), query.limit + 1, comparePlaced);
  return cutPage(query.limit, archived(search), others);
}

interface Search {
  readonly root: string;
  readonly query: ListQuery;
  readonly after: Position | undefined;
  readonly signal: AbortSignal;
}

async function* archived(search: Search): AsyncGenerator<Placed> {
  const { conversationId, status, limit } = search.query;
  if (status !== undefined && status !== 'archived') return;
  if (conversationId === undefined) yield* byDay(search);
  else yield* await firstOf(ofConversation(search, conversationId), limit + 1, comparePlaced);
}

async function* byDay(search: Search): AsyncGenerator<Placed> {
  const { root, query, after } = search;
  for (const day of await daysOf(search)) {
    let last = after?.day === day ? after.key : '';
    for (;;) {
      const keys = await firstOf(keysAfter(search, join(root, 'days', day), last), BATCH, compareTexts);
      for (const key of keys) {
        const recording = recordingOfKey(key);
        const placed = recording === undefined ? undefined : await place(search, recording, day);
        // A deposit that lost against another may have left an entry on its own day.
        if (placed?.position.day === day && onPage(query, after, placed.position)) yield placed;
      }
      if (keys.length < BATCH) break;
      last = keys.at(-1) ?? '';
    }
  }
}

async function daysOf(search: Search): Promise<string[]> {
  const days: string[] = [];
  for await (const day of namesAfter(search, join(search.root, 'days'), '')) {
    const { from = day, to = day } = search.query;
    if (isDay(day) && day >= from && day <= to && day <= (search.after?.day ?? day)) days.push(day);
  }
  return days.toSorted(compareTexts).toReversed();
}

async function* ofConversation(search: Search, conversationId: string): AsyncGenerator<Placed> {
  for await (const name of namesAfter(search, join(search.root, 'recordings', conversationId), '')) {
    const recording = recordingOfKey(`${conversationId}.${name}`);
    const placed = recording === undefined ? undefined : await place(search, recording);
    if (placed !== undefined && onPage(search.query, search.after, placed.position)) yield placed;
  }
}

/** undefined without a manifest. */
async function place(search: Search, recording: Recording, listedOn?: string): Promise<Placed | undefined> {
  const path = manifestPath(search.root, recording);
  const text = await ifThere(readFile(path, 'utf8'));
  if (text === undefined) return undefined;
  const key = keyOf(recording);
  try {
    const manifest = parseManifest(text);
    return { position: { day: dayOf(manifest), key }, entry: { status: 'archived', recording, manifest } };
  } catch (error) {
    if (!(error instanceof Failure) || search.query.status !== undefined) return undefined;
    const { position, entry } = await placeDamaged(recording, error, path);
    return { position: { ...position, day: listedOn ?? position.day }, entry };
  }
}

/** What cannot be read is shown as failed since it was last written, rather than hidden. */
async function placeDamaged(recording: Recording, error: Failure, path: string): Promise<Placed> {
  const { recordingId, conversationId } = recording;
  const failedAt = (await stat(path)).mtime.toISOString();
  const failure: FailureRecord = {
    version: 1,
    recordingId,
    conversationId: conversationId ?? null,
    status: 'failed',
    code: error.code,
    reason: error.message,
    attempts: 0,
    failedAt,
    service: '',
  };
  return {
    position: { day: failedAt.slice(0, 10), key: keyOf(recording) },
    entry: { status: 'failed', recording, failure },
  };
}

async function* notArchived(search: Search): AsyncGenerator<Placed> {
  for (const [folder, parse] of [
    ['failures', placeFailure],
    ['waiting', placeWaiting],
  ] as const) {
    for await (const name of keysAfter(search, join(search.root, folder), '')) {
      const key = name.endsWith('.json') ? name.slice(0, -'.json'.length) : undefined;
      const placed = key === undefined ? undefined : await placeRecord(search, { folder, key, parse });
      if (placed !== undefined && (await isShown(search, placed))) yield placed;
    }
  }
}

interface KeptRecord {
  readonly folder: string;
  readonly key: string;
  readonly parse: (text: string, key: string) => Placed;
}

async function placeRecord({ root }: Search, { folder, key, parse }: KeptRecord): Promise<Placed | undefined> {
  const path = entryPath(join(root, folder), key, '.json');
  const text = await ifThere(readFile(path, 'utf8'));
  if (text === undefined) return undefined;
  try {
    return parse(text, key);
  } catch (error) {
    const recording = recordingOfKey(key);
    if (!(error instanceof Failure) || recording === undefined) throw error;
    return placeDamaged(recording, error, path);
  }
}

function placeFailure(text: string, key: string): Placed {
  const failure = parseFailureRecord(text);
  const position = { day: failure.failedAt.slice(0, 10), key };
  return { position, entry: { status: failure.status, recording: subjectOf(failure), failure } };
}

function placeWaiting(text: string, key: string): Placed {
  const waiting = parseWaitingRecord(text);
  const position = { day: waiting.since.slice(0, 10), key };
  return { position, entry: { status: 'waiting', recording: subjectOf(waiting), waiting } };
}

/** A record whose recording was archived meanwhile, by another worker or just before a crash, no longer holds. */
async function isShown(search: Search, { position, entry }: Placed): Promise<boolean> {
  const { query, after, root } = search;
  if (!asksFor(query, entry.status)) return false;
  if (query.conversationId !== undefined && query.conversationId !== entry.recording.conversationId) return false;
  if (!onPage(query, after, position)) return false;
  const recording = recordingOfKey(position.key);
  return recording === undefined || (await ifThere(stat(manifestPath(root, recording)))) === undefined;
}

function manifestPath(root: string, recording: Recording): string {
  return join(root, 'recordings', recording.conversationId ?? '_', recording.recordingId, 'manifest.json');
}

/** Keys of entries, over-long ones too. */
async function* keysAfter(search: Search, path: string, last: string): AsyncGenerator<string> {
  for await (const name of namesAfter(search, path, '')) {
    if (!isCutEntry(name)) {
      if (name > last) yield name;
      continue;
    }
    for await (const rest of namesAfter(search, join(path, name), '')) if (name + rest > last) yield name + rest;
  }
}

/** In the order the file system gives them; none where there is no such folder. */
async function* namesAfter({ signal }: Search, path: string, last: string): AsyncGenerator<string> {
  const folder = await ifThere(opendir(path));
  if (folder === undefined) return;
  for await (const { name } of folder) {
    signal.throwIfAborted();
    if (name > last) yield name;
  }
}
