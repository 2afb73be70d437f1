/** Turns a conversation into its recordings, and a recording into its media files, by Genesys' Recording API. */
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import type { Api } from './api.ts';
import type { Downloader } from '../download/download.ts';
import type { JsonAnswer } from './exchange.ts';
import type { GenesysCaller, Located } from './genesys.ts';
import { fileByUrl } from './media-url.ts';
import {
  type ConversationRecording,
  listedRecordings,
  parseMedia,
  type RecordingMedia,
  requirePlayable,
} from './recording-answer.ts';

export interface RecordingApi {
  /** See {@link import('./genesys.ts').Genesys.recordingsOf}. */
  recordingsOf(conversationId: string, signal: AbortSignal): Promise<readonly Recording[]>;
  /** See {@link import('./genesys.ts').Genesys.locate}. The metadata is asked first: it starts no transcoding. */
  locate(recording: ConversationRecording, caller: GenesysCaller, signal: AbortSignal): Promise<Located>;
}

export function createRecordingApi(api: Api, downloader: Downloader): RecordingApi {
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
    recordingsOf: (conversationId, signal) => {
      const path = `/api/v2/conversations/${encodeURIComponent(conversationId)}/recordingmetadata`;
      return listOrNothing(() => api.ask({ path, caller: 'worker' }, signal), conversationId);
    },
    locate: async (recording, caller, signal) => {
      const metadata = await api.ask({ path: pathTo(recording, 'recordingmetadata'), caller }, signal);
      const format = requirePlayable(metadata, recording) === 'screen' ? 'WEBM' : 'OGG_OPUS';
      const wish = { caller, format } as const;
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

function pathTo(recording: ConversationRecording, kind: 'recordings' | 'recordingmetadata'): string {
  return `/api/v2/conversations/${encodeURIComponent(recording.conversationId)}/${kind}/${encodeURIComponent(recording.recordingId)}`;
}

/** 404 right after a call means the same as an empty list. */
async function listOrNothing(get: () => Promise<JsonAnswer>, conversationId: string): Promise<readonly Recording[]> {
  try {
    return listedRecordings(await get(), conversationId);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'not-found') return [];
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
