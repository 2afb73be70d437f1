/**
 * A conversation → the voicemails that were left in a queue during it, and each of them → its media, by Genesys'
 * Voicemail API. They are callbacks waiting for an agent, and no recordings to the Recording API.
 */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { parseId } from '../recording.ts';
import { parseRetryAfter } from '../waiting.ts';
import type { Api } from './api.ts';
import type { Downloader } from '../download/download.ts';
import type { JsonAnswer } from './exchange.ts';
import type { GenesysCaller, Located, RecordingList } from './genesys.ts';
import { fileByUrl } from './media-url.ts';
import { type ConversationRecording, recordedAtIn, unreadEntries } from './recording-answer.ts';

export interface VoicemailApi {
  /** See {@link import('./genesys.ts').Genesys.voicemailsOf}. Needs `conversation:communication:view`. */
  voicemailsOf(conversationId: string, signal: AbortSignal): Promise<RecordingList>;
  /** See {@link import('./genesys.ts').Genesys.locate}. Needs `voicemail:acdVoicemail:view`. */
  locate(recording: ConversationRecording, caller: GenesysCaller, signal: AbortSignal): Promise<Located>;
}

const PREFIX = 'voicemail-';
const NOT_READY_MS = 10_000;

/** Genesys' own ids of recordings are GUIDs: none begins like this. */
export function isVoicemail(recordingId: string): boolean {
  return recordingId.startsWith(PREFIX) && recordingId.length > PREFIX.length;
}

/** `GET /api/v2/conversations/{c}`, `GET /api/v2/voicemail/messages/{id}` and `…/media`. */
export function createVoicemailApi(api: Api, downloader: Downloader): VoicemailApi {
  async function mediaUrl(messageId: string, caller: GenesysCaller, signal: AbortSignal): Promise<URL> {
    const path = `${pathOfMessage(messageId)}/media?formatId=OGG_OPUS`;
    return parseMediaUrl(await api.ask({ path, caller }, signal), messageId);
  }
  return {
    voicemailsOf: async (conversationId, signal) => {
      const path = `/api/v2/conversations/${encodeURIComponent(conversationId)}`;
      const { ids, unread } = await idsOrNone(() => api.ask({ path, caller: 'worker' }, signal));
      const recordings = ids.map((id) => ({ recordingId: `${PREFIX}${id}`, conversationId }));
      return { recordings, isComplete: false, lacking: unread.length === 0 ? undefined : unreadEntries(unread) };
    },
    locate: async ({ recordingId, conversationId }, caller, signal) => {
      const messageId = parseId(recordingId.slice(PREFIX.length), 'recordingId');
      const message = await api.ask({ path: pathOfMessage(messageId), caller }, signal);
      const recordedAt = parseVoicemail(message, { messageId, conversationId });
      const url = await mediaUrl(messageId, caller, signal);
      const file = fileByUrl('S', { found: url, refresh: (signal) => mediaUrl(messageId, caller, signal) }, downloader);
      // Its length is told in whole seconds: too coarse to hold the media to it.
      return { api: 'voicemail', files: [file], recordedAt, durationMs: undefined };
    },
  };
}

function pathOfMessage(messageId: string): string {
  return `/api/v2/voicemail/messages/${encodeURIComponent(messageId)}`;
}

/** Ids of voicemails, each once, and what is said of those that cannot be asked for. */
interface ListedVoicemails {
  readonly ids: readonly string[];
  readonly unread: readonly string[];
}

/** A conversation that Genesys does not know yet has none yet. */
async function idsOrNone(get: () => Promise<JsonAnswer>): Promise<ListedVoicemails> {
  try {
    return listedVoicemails((await get()).body);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'not-found') return { ids: [], unread: [] };
    throw thrown;
  }
}

/** Of `participants[].callbacks[].voicemail.id`; each agent that it was offered to has it once more. */
function listedVoicemails(conversation: unknown): ListedVoicemails {
  const participants = Fields.in(conversation)?.array('participants') ?? [];
  const callbacks = participants.flatMap((participant) => Fields.in(participant)?.array('callbacks') ?? []);
  const voicemails = callbacks.map((callback) => Fields.in(callback)?.raw('voicemail') ?? undefined);
  const ids = new Set<string>();
  const unread: string[] = [];
  for (const [index, voicemail] of voicemails.entries()) {
    if (voicemail === undefined || isNone(voicemail)) continue;
    const id = idOf(Fields.in(voicemail));
    if (id === undefined) unread.push(`the voicemail of callback ${String(index + 1)} has no usable id`);
    else ids.add(id);
  }
  return { ids: [...ids], unread };
}

/** `uploadStatus` is pending, complete, failed, timeout or none: where there will be something, its media waits by itself. */
function isNone(voicemail: unknown): boolean {
  const fields = Fields.in(voicemail);
  const status = fields?.text('uploadStatus')?.toLowerCase();
  return status === 'none' || (fields !== undefined && status === undefined && (fields.raw('id') ?? null) === null);
}

/** When it was left. @throws Failure `gone`, `not-found` (of another conversation), `not-ready`, `upstream-error` */
function parseVoicemail(
  { status, headers, body }: JsonAnswer,
  asked: { readonly messageId: string; readonly conversationId: string },
): Date | undefined {
  if (body === undefined || status === 202) throw voicemailNotReady(headers);
  const fields = Fields.in(body);
  if (fields === undefined || idOf(fields) !== asked.messageId) throw anotherOne();
  const conversation = fields.fields('conversation');
  if (conversation !== undefined && (idOf(conversation) ?? asked.conversationId) !== asked.conversationId)
    throw new Failure('not-found', 'This voicemail was left in another conversation: check conversationId.');
  if (fields.boolean('deleted') === true) throw new Failure('gone', 'Genesys has deleted this voicemail.');
  return recordedAtIn(fields, 'createdDate');
}

function parseMediaUrl(answer: JsonAnswer, messageId: string): URL {
  const fields = Fields.in(answer.body);
  if (fields !== undefined && (idOf(fields) ?? messageId) !== messageId) throw anotherOne();
  const url = fields?.text('mediaFileUri') ?? '';
  if (answer.status === 202 || url === '') throw voicemailNotReady(answer.headers);
  if (URL.canParse(url)) return new URL(url);
  throw new Failure('upstream-error', 'Genesys answered with a media URL that is none.');
}

function idOf(fields: Fields | undefined): string | undefined {
  try {
    return parseId(fields?.raw('id'), 'id');
  } catch {
    return undefined;
  }
}

function voicemailNotReady(headers: JsonAnswer['headers']): Failure {
  const afterMs = parseRetryAfter(headers['retry-after'], new Date()) ?? NOT_READY_MS;
  return new Failure('not-ready', 'Genesys is still preparing this voicemail; try again later.', { afterMs });
}

function anotherOne(): Failure {
  return new Failure('upstream-error', 'Genesys answered with another voicemail than the one asked for.');
}
