/**
 * Genesys' JSON about recordings → what decides something: ids, state, media URLs. What nobody needs never costs a
 * recording: a date that is none is no date, one odd entry spoils no list.
 */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { FIRST_DAY } from '../instant.ts';
import { parseId, type Recording } from '../recording.ts';
import { parseRetryAfter } from '../waiting.ts';
import { type CountedList, SETTLED_STATES } from './census.ts';
import type { JsonAnswer } from './exchange.ts';

export interface ConversationRecording extends Recording {
  readonly conversationId: string;
}

/** An entry of a list, and what it says of itself. */
export interface ListedRecording extends ConversationRecording {
  /** What to ask for, where there is media to ask for; else only its metadata will tell. */
  readonly kind: 'audio' | 'screen' | undefined;
  /** It is not on its way any more: it is there, stored away, or gone. */
  readonly isSettled: boolean;
}

/** Bounds of our own guess at how long to wait; a Retry-After is taken as it is. */
const SHORTEST_GUESS_MS = 5_000;
const LONGEST_GUESS_MS = 60_000;

/** A list of entries of every media, each recording once, and why it may not be all of them; see {@link CountedList.lacking}. */
export interface ListedRecordings {
  readonly entries: readonly ListedRecording[];
  readonly lacking: Failure | undefined;
}

/**
 * Of a bare array; where there is none yet, nothing is listed and nothing lacks. Entries without a usable id, or of another
 * conversation, are left out. @throws Failure `upstream-error` where that leaves nothing of something
 */
export function listedRecordings(answer: JsonAnswer, conversationId: string): ListedRecordings {
  const list = listIn(answer);
  if (list === undefined) return { entries: [], lacking: undefined };
  const { named, lacking } = readList(list, { answer, conversationId });
  if (named.size === 0 && list.length > 0)
    throw unexpectedAnswer('a list without one usable recording of this conversation');
  const entries = [...named].map(([recordingId, fields]) => {
    const [media, state] = [mediaOf(fields), stateOf(fields)];
    return { recordingId, conversationId, kind: kindListed(media, state), isSettled: SETTLED_STATES.has(state) };
  });
  return { entries, lacking };
}

/** The same list as whoever counts reads it: what it says of each, and why it may not be all of them. */
export function countedRecordings(answer: JsonAnswer, conversationId: string): CountedList {
  const list = listIn(answer);
  if (list === undefined) return { recordings: [], lacking: noListYet(answer) };
  const { named, lacking } = readList(list, { answer, conversationId });
  const recordings = [...named].map(([recordingId, fields]) => ({
    recordingId,
    media: mediaOf(fields),
    fileState: stateOf(fields),
    startedAt: recordedAtIn(fields, 'startTime'),
    endedAt: fields.instant('endTime'),
  }));
  return { recordings, lacking };
}

/** undefined where there is nothing yet. @throws Failure `upstream-error` */
function listIn(answer: JsonAnswer): readonly unknown[] | undefined {
  const { body } = answer;
  if (Array.isArray(body)) return body;
  if (isEmpty(answer)) return undefined;
  throw unexpectedAnswer('a list of recordings that is no array');
}

interface ListAsked {
  readonly answer: JsonAnswer;
  readonly conversationId: string;
}

/** Of several entries of one recording the last one counts. */
function readList(
  list: readonly unknown[],
  { answer, conversationId }: ListAsked,
): { readonly named: ReadonlyMap<string, Fields>; readonly lacking: Failure | undefined } {
  const named = new Map<string, Fields>();
  const unread: string[] = [];
  for (const [index, entry] of list.entries()) {
    const fields = Fields.in(entry);
    const recordingId = idIn(fields, 'id');
    const isOfAnother = (idIn(fields, 'conversationId') ?? conversationId) !== conversationId;
    if (fields !== undefined && recordingId !== undefined && !isOfAnother) named.set(recordingId, fields);
    else unread.push(`entry ${String(index + 1)} ${isOfAnother ? 'is of another conversation' : 'has no usable id'}`);
  }
  if (unread.length > 0) return { named, lacking: unreadEntries(unread) };
  return { named, lacking: answer.status === 202 ? noListYet(answer) : undefined };
}

/** In a message. */
const MOST_NAMED = 3;

/** What is said of a list, of which some entries say nothing that can be asked for. */
export function unreadEntries(unread: readonly string[]): Failure {
  const more = unread.length > MOST_NAMED ? `, and so on, ${String(unread.length)} in all` : '';
  return unexpectedAnswer(
    `a list that cannot be read in full (${unread.slice(0, MOST_NAMED).join(', ')}${more}): look at the conversation in Genesys Cloud, and ask its support if it stays`,
  );
}

function noListYet(answer: JsonAnswer): Failure {
  return notReady('Genesys has no list of its recordings yet', waitFor(answer));
}

/** 202 means that there is nothing yet, with a stub for a body or without one. */
function isEmpty({ status, body }: JsonAnswer): boolean {
  return body === undefined || status === 202;
}

/** `media` in lower case, `fileState` in upper case; see {@link ListedRecording.kind}. */
export function kindListed(media: string, fileState: string): ListedRecording['kind'] {
  if (media === '' || WITHOUT_MEDIA.has(media) || !PLAYABLE.has(fileState)) return undefined;
  return media === 'screen' ? 'screen' : 'audio';
}

/**
 * By its metadata: what to ask for, where there is something to ask for. Unknown media go on (content decides), unknown
 * states wait. @throws Failure `no-media`, `gone`, `needs-restore`, `not-ready`, `upstream-error` (of another recording)
 */
export function requirePlayable(answer: JsonAnswer, recording: ConversationRecording): 'audio' | 'screen' {
  if (isEmpty(answer)) throw notReady('Genesys has no metadata of this recording yet', waitFor(answer));
  return judge(fieldsOfRecording(answer.body, recording), answer);
}

/** What counts from 1970, or from 1900, was never set. */
const FIRST_RECORDED_MS = Date.parse(FIRST_DAY);

/** By such a date a recording is listed, and once it is old erased. One that cannot be meant is none. */
export function recordedAtIn(fields: Fields, name: string): Date | undefined {
  const date = fields.instant(name);
  return date !== undefined && date.getTime() >= FIRST_RECORDED_MS ? date : undefined;
}

/** Where the media of a recording lies right now, and what Genesys says of it. */
export interface RecordingMedia {
  /** By channel, in their order; one file per channel. */
  readonly urls: ReadonlyMap<string, URL>;
  readonly recordedAt: Date | undefined;
  readonly durationMs: number | undefined;
}

/** All of its files, or none: a recording with one channel missing is not ready. @throws Failure as {@link requirePlayable} */
export function parseMedia(answer: JsonAnswer, recording: ConversationRecording): RecordingMedia {
  if (isEmpty(answer)) throw notReady('Genesys is still transcoding this recording', waitFor(answer));
  const fields = fieldsOfRecording(answer.body, recording);
  judge(fields, answer);
  const urls = mediaUrls(fields.raw('mediaUris'));
  if (urls.size === 0 && isStoredAway(fields)) throw needsRestore();
  if (urls.size === 0) throw notReady('Genesys has no media for this recording yet', waitFor(answer));
  const dates = ['startTime', 'originalRecordingStartTime', 'creationTime'].map((name) => recordedAtIn(fields, name));
  return {
    urls,
    recordedAt: dates.find((date) => date !== undefined),
    durationMs: positive(fields, 'outputDurationMs'),
  };
}

/** @throws Failure `upstream-error` where it is no recording, or another one than was asked for */
export function fieldsOfRecording(body: unknown, recording: ConversationRecording): Fields {
  const fields = Fields.in(body);
  if (fields === undefined) throw unexpectedAnswer('JSON that is no recording');
  if (idIn(fields, 'id') !== recording.recordingId) throw unexpectedAnswer('another recording than the one asked for');
  if ((idIn(fields, 'conversationId') ?? recording.conversationId) !== recording.conversationId)
    throw unexpectedAnswer('another conversationId than the one asked for');
  return fields;
}

/** As everything else here knows it; undefined where there is none that is one. */
function idIn(fields: Fields | undefined, name: string): string | undefined {
  try {
    return parseId(fields?.raw(name), name);
  } catch {
    return undefined;
  }
}

const WITHOUT_MEDIA = new Set(['chat', 'email', 'message', 'messaging']);

/** File states in which there is something to play. */
const PLAYABLE = new Set(['AVAILABLE', 'RESTORED']);

const mediaOf = (fields: Fields): string => fields.text('media')?.trim().toLowerCase() ?? '';
const stateOf = (fields: Fields): string => fields.text('fileState')?.trim().toUpperCase() ?? '';

function judge(fields: Fields, answer: JsonAnswer): 'audio' | 'screen' {
  const [media, fileState] = [mediaOf(fields), stateOf(fields)];
  if (WITHOUT_MEDIA.has(media))
    throw new Failure('no-media', `This recording is a ${media} transcript; it has no sound or picture.`);
  switch (fileState) {
    case '':
    case 'AVAILABLE':
    case 'RESTORED':
      return media === 'screen' ? 'screen' : 'audio';
    case 'DELETED':
      throw new Failure('gone', 'Genesys has deleted this recording.');
    case 'ERROR':
      throw new Failure('gone', 'Genesys could not keep this recording (file state ERROR); ask Genesys support why.');
    case 'ARCHIVED':
      throw needsRestore();
    default:
      throw notReady(
        `Genesys is not ready with this recording (file state ${/^[A-Z_]{1,40}$/.test(fileState) ? fileState : 'unknown'})`,
        askedToWaitMs(answer) ?? LONGEST_GUESS_MS,
      );
  }
}

/** A date to come says until when it stays: by a policy, or after a restoration. One that cannot be read is not to come. */
function isStoredAway(fields: Fields): boolean {
  const date = fields.raw('archiveDate');
  if (date === undefined || date === null || date === '') return false;
  return (fields.instant('archiveDate')?.getTime() ?? 0) <= Date.now();
}

/** Keyed by channel, or (in notifications) an array with channelId. Empty where any channel has no URL yet. */
function mediaUrls(value: unknown): ReadonlyMap<string, URL> {
  if (value === undefined || value === null) return new Map();
  if (typeof value !== 'object') throw unexpectedAnswer('mediaUris that are no object');
  const files = Object.entries(value).map(([key, entry]: [string, unknown]) =>
    fileIn(key, entry, Array.isArray(value)),
  );
  const known = files.filter((file) => file !== undefined);
  if (known.some(({ url }) => url === undefined)) return new Map();
  const channels = known.map(({ channel }) => channel);
  const areNames = channels.every((channel) => CHANNEL.test(channel)) && new Set(channels).size === channels.length;
  const urls = known.map(({ channel, url }, index) => [areNames ? channel : String(index), parseUrl(url)] as const);
  return new Map(urls.toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })));
}

/** A channel whose name is odd, or there twice, is called by its place. */
const CHANNEL = /^[0-9A-Za-z]{1,8}$/;

/** undefined for what is no file at all, such as a count beside them. */
function fileIn(
  key: string,
  entry: unknown,
  isList: boolean,
): { readonly channel: string; readonly url: unknown } | undefined {
  if (typeof entry === 'number' || typeof entry === 'boolean') return undefined;
  if (typeof entry === 'string') return { channel: key, url: entry === '' ? undefined : entry };
  const fields = Fields.in(entry);
  const id = isList ? (fields?.raw('channelId') ?? fields?.raw('id')) : undefined;
  const url = fields?.raw('mediaUri');
  return {
    channel: typeof id === 'string' || typeof id === 'number' ? String(id) : key,
    url: url === null || url === '' ? undefined : url,
  };
}

function parseUrl(value: unknown): URL {
  if (typeof value !== 'string' || !URL.canParse(value)) throw unexpectedAnswer('a media URL that is none');
  return new URL(value);
}

function positive(fields: Fields | undefined, name: string): number | undefined {
  const value = fields?.number(name) ?? 0;
  return value > 0 ? value : undefined;
}

/** Retry-After, else as long as Genesys thinks that it takes. */
function waitFor(answer: JsonAnswer): number {
  return askedToWaitMs(answer) ?? guessMs(positive(Fields.in(answer.body), 'estimatedTranscodeTimeMs') ?? 0);
}

function askedToWaitMs(answer: JsonAnswer): number | undefined {
  return parseRetryAfter(answer.headers['retry-after'], new Date());
}

function guessMs(estimateMs: number): number {
  return Math.min(Math.max(Math.ceil(estimateMs), SHORTEST_GUESS_MS), LONGEST_GUESS_MS);
}

function notReady(what: string, afterMs: number): Failure {
  return new Failure('not-ready', `${what}; try again later.`, { afterMs });
}

function needsRestore(): Failure {
  return new Failure(
    'needs-restore',
    'Genesys has moved this recording to its archive; restore it in Genesys Cloud (it can take hours).',
  );
}

function unexpectedAnswer(what: string): Failure {
  return new Failure('upstream-error', `Genesys answered with ${what}.`);
}
