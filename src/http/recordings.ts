/** Questions about the archive → lists, manifests and signed links. */
import type { Request, RequestHandler } from 'express';
import { STATUSES, type Archive, type Entry, type ListQuery } from '../archive/archive.ts';
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { Failure } from '../failure.ts';
import { isDay } from '../instant.ts';
import { type Recording, canonicalId, isId, parseId } from '../recording.ts';
import { callerOf } from './auth.ts';
import { leavingSignal } from './play.ts';
import { pourJson } from './pour.ts';
import type { Turnstile } from './turnstile.ts';
import type { Witness } from './witness.ts';

export interface RecordingsSource {
  readonly archive: Pick<Archive, 'findUnerased' | 'failureOf' | 'waitingOf' | 'list' | 'link'>;
  readonly linkLifetimeS: number;
}

export interface RecordingsNeeds extends RecordingsSource {
  readonly witness: Witness;
  /** All that are answered with a list. */
  readonly lists: Turnstile;
  readonly clock?: Clock;
  /** Whether a key is asked for. */
  readonly way: 'key' | 'none';
}

const FIELDS: ReadonlySet<string> = new Set(['from', 'to', 'conversationId', 'status', 'cursor', 'limit']);
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

/**
 * `GET /recordings?from=&to=&conversationId=&status=&cursor=&limit=` → `{recordings, cursor}`; the last page has no cursor.
 * What was asked for is personal at times, so the record names the fields of a question, not their values.
 */
export function listRecordings({ archive, witness, lists, clock, way }: RecordingsNeeds): RequestHandler {
  return async (req, res) => {
    const query = parseListQuery(req.query);
    using _place = lists.enter(callerOf(req).name);
    const recorded = witness.record(req, {
      action: 'looked',
      way,
      about: { fields: Object.keys(req.query).join(',') },
    });
    const page = await archive.list(query, leavingSignal(res));
    await recorded;
    await pourJson({ recordings: page.entries.map(describeEntry), cursor: page.cursor }, res, clock ?? SYSTEM_CLOCK);
  };
}

/** `GET /recordings/C/R`: status with manifest, or with the reason why there is none, or not yet. */
export function showRecording({ archive, witness, way }: RecordingsNeeds): RequestHandler {
  return async (req, res) => {
    const recording = parsePath(req.params);
    const signal = leavingSignal(res);
    const recorded = witness.record(req, { action: 'looked', way, recording });
    const manifest = await archive.findUnerased(recording, signal);
    await recorded;
    if (manifest !== undefined) return void res.json(describeEntry({ status: 'archived', recording, manifest }));
    const failure = await archive.failureOf(recording, signal);
    if (failure !== undefined) return void res.json(describeEntry({ status: failure.status, recording, failure }));
    const waiting = await archive.waitingOf(recording, signal);
    if (waiting !== undefined) return void res.json(describeEntry({ status: 'waiting', recording, waiting }));
    throw new Failure('not-found', 'The archive knows nothing of this recording; its event may not have arrived yet.');
  };
}

/** `GET /recordings/C/R/link` → `{url, expiresAt}`, or with `?redirect` straight there. */
export function linkRecording({ archive, linkLifetimeS, witness, way }: RecordingsNeeds): RequestHandler {
  return async (req, res) => {
    const signal = leavingSignal(res);
    const recording = parsePath(req.params);
    const manifest = await archive.findUnerased(recording, signal);
    if (manifest === undefined)
      throw new Failure('not-found', 'This recording is not in the archive: see /recordings/C/R for why.');
    const requestId = res.getHeader('X-Request-Id');
    const terms = { lifetimeS: linkLifetimeS, who: callerOf(req).name };
    const link = await archive.link(manifest, typeof requestId === 'string' ? { ...terms, requestId } : terms, signal);
    await witness.record(req, { action: 'linked', way, recording });
    // Not res.redirect(): it puts the link, a bearer secret, into a body as well.
    if (req.query['redirect'] !== undefined) res.status(302).setHeader('Location', link.url).end();
    else res.json({ url: link.url, expiresAt: link.expiresAt });
  };
}

/** `/C/R`, where `_` for C means "none". */
function parsePath(params: Request['params']): Recording {
  const conversationId = params['conversationId'];
  return {
    recordingId: parseId(params['recordingId'], 'recordingId'),
    conversationId: conversationId === '_' ? undefined : parseId(conversationId, 'conversationId'),
  };
}

/** @throws Failure naming every field that is wrong, unknown ones too: a misspelt filter would answer with everything. */
function parseListQuery(query: Request['query']): ListQuery {
  const problems = Object.keys(query)
    .filter((name) => !FIELDS.has(name))
    .map((name) => `${/^\w{1,32}$/.test(name) ? name : 'a field'}: unknown; expected ${[...FIELDS].join(', ')}`);
  const read = (name: string, expected: string, accepts: (text: string) => boolean): string | undefined => {
    const value = query[name];
    if (value === undefined || (typeof value === 'string' && accepts(value))) return value;
    problems.push(`${name}: expected ${expected}`);
    return undefined;
  };
  const from = read('from', 'a day such as 2026-08-05', isDay);
  const to = read('to', 'a day such as 2026-08-05', isDay);
  const conversationId = read(
    'conversationId',
    '1 to 128 characters of 0-9 A-Z a-z _ -',
    (text) => text === '_' || isId(text),
  );
  const statusText = read('status', STATUSES.join(', '), (text) => STATUSES.some((status) => status === text));
  const status = STATUSES.find((status) => status === statusText);
  const cursor = read('cursor', 'what the page before gave', (text) => /^[\x21-\x7e]{1,1024}$/.test(text));
  const limit = read('limit', `a whole number from 1 to ${String(MAX_LIMIT)}`, isLimit);
  if (from !== undefined && to !== undefined && from > to) problems.push('from: expected no day after to');
  if (problems.length > 0) throw new Failure('bad-request', `${problems.join('; ')}.`);
  return {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(conversationId === undefined ? {} : { conversationId: canonicalId(conversationId) }),
    ...(status === undefined ? {} : { status }),
    ...(cursor === undefined ? {} : { cursor }),
    limit: limit === undefined ? DEFAULT_LIMIT : Number(limit),
  };
}

function isLimit(text: string): boolean {
  return /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= MAX_LIMIT;
}

function describeEntry(entry: Entry): object {
  const { recordingId, conversationId } = entry.recording;
  return {
    status: entry.status,
    recordingId: recordingId ?? null,
    conversationId: conversationId ?? null,
    ...proofOf(entry),
  };
}

/** What stands behind a status. */
function proofOf(entry: Entry): object {
  if (entry.status === 'archived') return { manifest: entry.manifest };
  return entry.status === 'waiting' ? { waiting: entry.waiting } : { failure: entry.failure };
}
