/** Turns a conversation into its recordings, and a recording into its media files, by Genesys' Recording API. */
import { Failure } from '../failure.ts';
import type { MediaFile } from '../media-file.ts';
import { parseId, type Recording } from '../recording.ts';
import type { Api } from './api.ts';
import type { Downloader } from '../download/download.ts';
import type { Answer } from './exchange.ts';
import type { Caller, Located } from './genesys.ts';
import { parseRetryAfter } from '../waiting.ts';

export interface RecordingApi {
  /** See {@link import('./genesys.ts').Genesys.recordingsOf}. */
  recordingsOf(conversationId: string, signal: AbortSignal): Promise<readonly Recording[]>;
  /** See {@link import('./genesys.ts').Genesys.locate}. The metadata is asked first: it starts no transcoding. */
  locate(recording: ConversationRecording, caller: Caller, signal: AbortSignal): Promise<Located>;
}

export interface ConversationRecording extends Recording {
  readonly conversationId: string;
}

/** Bounds of our own guess at how long to wait; a Retry-After is taken as it is. */
const SHORTEST_GUESS_MS = 5_000;
const LONGEST_GUESS_MS = 60_000;

export function createRecordingApi(api: Api, downloader: Downloader): RecordingApi {
  async function ask(recording: ConversationRecording, { caller, format }: Wish, signal: AbortSignal): Promise<Ready> {
    const query = `formatId=${format}&chatFormatId=NONE&emailFormatId=NONE&messageFormatId=NONE`;
    const answer = await api.ask({ path: `${pathTo(recording, 'recordings')}?${query}`, caller }, signal);
    return parseReady(answer, recording);
  }

  function fileOf(channel: string, found: URL, refresh: (signal: AbortSignal) => Promise<Ready>): MediaFile {
    return {
      channel,
      open: (signal) => {
        let fresh: URL | undefined = found;
        return downloader.open(async (signal) => {
          const url = fresh ?? urlOf(await refresh(signal), channel);
          fresh = undefined;
          return { url, headers: {} };
        }, signal);
      },
    };
  }

  return {
    recordingsOf: (conversationId, signal) => {
      const path = `/api/v2/conversations/${encodeURIComponent(conversationId)}/recordingmetadata`;
      return listOrNothing(() => api.ask({ path, caller: 'worker' }, signal), conversationId);
    },
    locate: async (recording, caller, signal) => {
      const metadata = await api.ask({ path: pathTo(recording, 'recordingmetadata'), caller }, signal);
      const format = judge(parseDescription(metadata.body, recording), metadata) === 'screen' ? 'WEBM' : 'OGG_OPUS';
      const wish = { caller, format } as const;
      const ready = await ask(recording, wish, signal);
      const files = [...ready.urls].map(([channel, url]) =>
        fileOf(channel, url, (signal) => ask(recording, wish, signal)),
      );
      return { api: 'recordings', files, recordedAt: ready.recordedAt, durationMs: ready.durationMs };
    },
  };
}

/** OGG_OPUS needs no re-encoding here; Genesys transcodes on demand. */
type Format = 'OGG_OPUS' | 'WEBM';

interface Wish {
  readonly caller: Caller;
  readonly format: Format;
}

function pathTo(recording: ConversationRecording, kind: 'recordings' | 'recordingmetadata'): string {
  return `/api/v2/conversations/${encodeURIComponent(recording.conversationId)}/${kind}/${encodeURIComponent(recording.recordingId)}`;
}

/** 404 right after a call means the same as an empty list. */
async function listOrNothing(get: () => Promise<Answer>, conversationId: string): Promise<readonly Recording[]> {
  try {
    return parseList((await get()).body, conversationId);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'not-found') return [];
    throw thrown;
  }
}

/** A bare array; entries of every media are kept, each recording once. */
function parseList(body: unknown, conversationId: string): readonly Recording[] {
  if (body === undefined) return [];
  if (!Array.isArray(body)) throw unexpected('a list of recordings that is no array');
  const ids = body.map((entry: unknown) => {
    const fields = fieldsOf(entry);
    checkId(fields, 'conversationId', conversationId);
    return idOf(fields);
  });
  return [...new Set(ids)].map((recordingId) => ({ recordingId, conversationId }));
}

function idOf(fields: Fields): string {
  try {
    return parseId(fields.get('id'), 'id');
  } catch (cause) {
    throw unexpected('a recording without a usable id', cause);
  }
}

/** What metadata and recording have in common, as far as it decides anything. Values are as Genesys wrote them. */
interface Description {
  readonly media: string;
  readonly fileState: string;
  readonly archived: boolean;
}

function parseDescription(body: unknown, recording: ConversationRecording): Description {
  const fields = fieldsOf(body);
  if (fields.get('id') !== recording.recordingId) throw unexpected('another recording than the one asked for');
  checkId(fields, 'conversationId', recording.conversationId);
  return {
    media: textOf(fields, 'media').toLowerCase(),
    fileState: textOf(fields, 'fileState').toUpperCase(),
    archived: textOf(fields, 'archiveDate') !== '',
  };
}

const WITHOUT_MEDIA = new Set(['chat', 'email', 'message', 'messaging']);

/**
 * What to ask for, where there is something to ask for: unknown media go on (content decides), unknown states wait.
 * @throws Failure `no-media`, `gone`, `needs-restore`, `not-ready`
 */
function judge(description: Description, answer: Answer): 'audio' | 'screen' {
  const { media, fileState } = description;
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
        `Genesys is not ready with this recording (file state ${printable(fileState)})`,
        retryAfter(answer) ?? LONGEST_GUESS_MS,
      );
  }
}

interface Ready {
  readonly urls: ReadonlyMap<string, URL>;
  readonly recordedAt: Date | undefined;
  readonly durationMs: number | undefined;
}

/** All of its files, or none: a recording with one channel missing is not ready. */
function parseReady(answer: Answer, recording: ConversationRecording): Ready {
  const fields = fieldsOf(answer.body ?? {});
  const waitMs = retryAfter(answer) ?? guessMs(numberOf(fields, 'estimatedTranscodeTimeMs') ?? 0);
  if (answer.status !== 200 || answer.body === undefined)
    throw notReady('Genesys is still transcoding this recording', waitMs);
  const description = parseDescription(answer.body, recording);
  judge(description, answer);
  const urls = parseMediaUris(fields.get('mediaUris'));
  if (urls.size === 0 && description.archived) throw needsRestore();
  if (urls.size === 0) throw notReady('Genesys has no media for this recording yet', waitMs);
  return {
    urls,
    recordedAt: dateOf(fields, ['startTime', 'originalRecordingStartTime', 'creationTime']),
    durationMs: numberOf(fields, 'outputDurationMs'),
  };
}

/** Keyed by channel, or (in notifications) an array with channelId. Empty where any channel has no URL yet. */
function parseMediaUris(value: unknown): ReadonlyMap<string, URL> {
  if (value === undefined || value === null) return new Map();
  if (typeof value !== 'object') throw unexpected('mediaUris that are no object');
  const entries = Array.isArray(value)
    ? value.map((entry: unknown, index) => [channelIn(fieldsOf(entry)) ?? String(index), entry] as const)
    : Object.entries(value);
  const urls = entries.map(([channel, entry]) => [channel, fieldsOf(entry).get('mediaUri')] as const);
  if (urls.some(([, url]) => url === undefined || url === null || url === '')) return new Map();
  const parsed = new Map(urls.map(([channel, url]) => [parseChannel(channel), parseUrl(url)] as const));
  if (parsed.size !== urls.length) throw unexpected('one channel twice');
  return new Map([...parsed].toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })));
}

function channelIn(fields: Fields): string | undefined {
  const channel = fields.get('channelId');
  return typeof channel === 'string' || typeof channel === 'number' ? String(channel) : undefined;
}

function parseChannel(channel: string): string {
  if (!/^[0-9A-Za-z]{1,8}$/.test(channel)) throw unexpected('a channel with an unusable name');
  return channel;
}

function parseUrl(value: unknown): URL {
  if (typeof value !== 'string' || !URL.canParse(value)) throw unexpected('a media URL that is none');
  return new URL(value);
}

function urlOf(ready: Ready, channel: string): URL {
  const url = ready.urls.get(channel);
  if (url === undefined)
    throw new Failure('incomplete', `Genesys no longer serves channel ${channel} of this recording.`, {
      sort: 'surroundings',
    });
  return url;
}

type Fields = ReadonlyMap<string, unknown>;

function fieldsOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unexpected('JSON of another shape');
  return new Map<string, unknown>(Object.entries(value));
}

function textOf(fields: Fields, name: string): string {
  const value = fields.get(name) ?? '';
  if (typeof value !== 'string') throw unexpected(`a ${name} that is no text`);
  return value;
}

function numberOf(fields: Fields, name: string): number | undefined {
  const value = fields.get(name);
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : undefined;
}

function dateOf(fields: Fields, names: readonly string[]): Date | undefined {
  const dates = names.map((name) => new Date(textOf(fields, name)));
  return dates.find((date) => !Number.isNaN(date.getTime()));
}

function checkId(fields: Fields, name: string, expected: string): void {
  const value = fields.get(name) ?? expected;
  if (value !== expected) throw unexpected(`another ${name} than the one asked for`);
}

function retryAfter(answer: Answer): number | undefined {
  return parseRetryAfter(answer.headers['retry-after'], new Date());
}

function guessMs(estimateMs: number): number {
  return Math.min(Math.max(Math.ceil(estimateMs), SHORTEST_GUESS_MS), LONGEST_GUESS_MS);
}

function printable(text: string): string {
  return /^[A-Z_]{1,40}$/.test(text) ? text : 'unknown';
}

function notReady(what: string, afterMs: number): Failure {
  return new Failure('not-ready', `${what}; try again later.`, { afterMs });
}

function needsRestore(): Failure {
  return new Failure(
    'needs-restore',
    'Genesys has moved this recording to its archive; restore it in Genesys Cloud (it can take hours), then send its event again.',
  );
}

function unexpected(what: string, cause?: unknown): Failure {
  return new Failure('upstream-error', `Genesys answered with ${what}.`, { cause });
}
