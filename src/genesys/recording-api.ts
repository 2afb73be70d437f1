/** A conversation → its recordings, and a recording → its media files, by Genesys' Recording API. */
import { Failure } from '../failure.ts';
import type { Api } from './api.ts';
import type { ExpectedRecording } from './census.ts';
import type { Downloader } from '../download/download.ts';
import type { JsonAnswer } from './exchange.ts';
import type { GenesysCaller, Located, RecordingList } from './genesys.ts';
import { fileByUrl } from './media-url.ts';
import { RecentLists } from './recent-lists.ts';
import {
  type ConversationRecording,
  kindListed,
  type ListedRecordings,
  listedRecordings,
  parseMedia,
  type RecordingMedia,
  requirePlayable,
} from './recording-answer.ts';

export interface RecordingApi {
  /** See {@link import('./genesys.ts').Genesys.recordingsOf}. */
  recordingsOf(conversationId: string, signal: AbortSignal): Promise<RecordingList>;
  /** What somebody's lists have told of these is not asked for again. */
  expect(recordings: readonly ExpectedRecording[]): void;
  /**
   * See {@link import('./genesys.ts').Genesys.locate}. The metadata is asked first, where no list has just told it: it starts
   * no transcoding.
   */
  locate(recording: ConversationRecording, caller: GenesysCaller, signal: AbortSignal): Promise<Located>;
}

export function createRecordingApi(api: Api, downloader: Downloader): RecordingApi {
  const lists = new RecentLists();

  async function kindOf(
    recording: ConversationRecording,
    caller: GenesysCaller,
    signal: AbortSignal,
  ): Promise<'audio' | 'screen'> {
    return requirePlayable(await api.ask({ path: pathTo(recording, 'recordingmetadata'), caller }, signal), recording);
  }

  async function ask(
    recording: ConversationRecording,
    { caller, format }: Wish,
    signal: AbortSignal,
  ): Promise<RecordingMedia> {
    const query = `formatId=${format}&chatFormatId=NONE&emailFormatId=NONE&messageFormatId=NONE`;
    const answer = await api.ask({ path: `${pathTo(recording, 'recordings')}?${query}`, caller }, signal);
    return parseMedia(answer, recording);
  }

  return {
    recordingsOf: async (conversationId, signal) => {
      const ask = () => api.ask({ path: pathOfList(conversationId), caller: 'worker' }, signal);
      const { entries, lacking } = await listOrNothing(ask, conversationId);
      lists.note(entries);
      const recordings = entries.map(({ recordingId }) => ({ recordingId, conversationId }));
      return { recordings, isComplete: lacking === undefined && lists.isComplete(entries), lacking };
    },
    expect: (recordings) => {
      lists.remember(
        recordings.map(({ media = '', fileState = '', ...ids }) => ({ ...ids, kind: kindListed(media, fileState) })),
      );
    },
    locate: async (recording, caller, signal) => {
      const kind = lists.kindOf(recording) ?? (await kindOf(recording, caller, signal));
      const wish = { caller, format: kind === 'screen' ? 'WEBM' : 'OGG_OPUS' } as const;
      const media = await ask(recording, wish, signal);
      const files = [...media.urls].map(([channel, found]) => {
        const refresh = async (signal: AbortSignal): Promise<URL> => urlOf(await ask(recording, wish, signal), channel);
        return fileByUrl(channel, { found, refresh }, downloader);
      });
      return { api: 'recordings', files, recordedAt: media.recordedAt, durationMs: media.durationMs };
    },
  };
}

/** OGG_OPUS needs no re-encoding here; Genesys transcodes on demand. */
type Format = 'OGG_OPUS' | 'WEBM';

interface Wish {
  readonly caller: GenesysCaller;
  readonly format: Format;
}

/** Nobody's conversation: who may read lists is told that it is not there. */
export const NOBODY = '00000000-0000-0000-0000-000000000000';

/** A bare array; starts no transcoding. */
export function pathOfList(conversationId: string): string {
  return `/api/v2/conversations/${encodeURIComponent(conversationId)}/recordingmetadata`;
}

function pathTo(recording: ConversationRecording, kind: 'recordings' | 'recordingmetadata'): string {
  return `/api/v2/conversations/${encodeURIComponent(recording.conversationId)}/${kind}/${encodeURIComponent(recording.recordingId)}`;
}

/** 404 right after a call means the same as an empty list. */
async function listOrNothing(get: () => Promise<JsonAnswer>, conversationId: string): Promise<ListedRecordings> {
  try {
    return listedRecordings(await get(), conversationId);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'not-found') return { entries: [], lacking: undefined };
    throw thrown;
  }
}

function urlOf(media: RecordingMedia, channel: string): URL {
  const url = media.urls.get(channel);
  if (url === undefined)
    throw new Failure('incomplete', `Genesys no longer serves channel ${channel} of this recording.`, {
      sort: 'surroundings',
    });
  return url;
}
