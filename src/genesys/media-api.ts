/** A recording id alone → its one media file, by the Media API of the original design (or a gateway that speaks it). */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import type { MediaFile } from '../media-file.ts';
import { canonicalId, type Recording } from '../recording.ts';
import type { Api, Authorization } from './api.ts';
import type { Downloader } from '../download/download.ts';
import type { GenesysCaller, Located } from './genesys.ts';
import { type Patience, parseRetryAfter } from '../waiting.ts';

interface MediaApiNeeds {
  readonly apiUrl: string;
  readonly downloader: Downloader;
  /** Three more tries inside the request, 2 s apart and doubling, unless Retry-After says otherwise. */
  readonly patience: Patience;
}

export interface MediaApi {
  /** See {@link import('./genesys.ts').Genesys.locate}. */
  locate(recording: Recording, caller: GenesysCaller, signal: AbortSignal): Promise<Located>;
}

const NOT_READY_MS = 10_000;

/** `GET /api/v2/media/recordings/{id}` answers `{id, status, format}`; `…/download` is the raw file. */
export function createMediaApi(api: Api, needs: MediaApiNeeds): MediaApi {
  const fileOf = (path: string): MediaFile => ({
    channel: 'media',
    open: (signal) => {
      let refused: Authorization | undefined;
      return needs.downloader.open(async (signal) => {
        refused?.revoke();
        refused = await api.authorization(signal);
        return { url: new URL(`${needs.apiUrl}${path}/download`), headers: { authorization: refused.header } };
      }, signal);
    },
  });
  return {
    locate: async ({ recordingId }, caller, signal) => {
      const path = `/api/v2/media/recordings/${encodeURIComponent(recordingId)}`;
      const answer = await api.ask({ path, caller, patience: needs.patience }, signal);
      if (answer.body === undefined || parseStatus(answer.body, recordingId) !== 'available') {
        const afterMs = parseRetryAfter(answer.headers['retry-after'], new Date()) ?? NOT_READY_MS;
        throw new Failure('not-ready', 'This recording is not available yet; try again later.', { afterMs });
      }
      return { api: 'media', files: [fileOf(path)], recordedAt: undefined, durationMs: undefined };
    },
  };
}

/** The format (wav, mp4, opus) is not read: content decides. */
function parseStatus(body: unknown, recordingId: string): string {
  const fields = Fields.in(body);
  if (fields === undefined || typeof fields.raw('id') !== 'string')
    throw new Failure('upstream-error', 'The Media API answered with something other than a recording.');
  if (canonicalId(fields.text('id') ?? '') !== recordingId)
    throw new Failure('upstream-error', 'The Media API answered with another recording than the one asked for.');
  return fields.text('status')?.trim().toLowerCase() ?? '';
}
