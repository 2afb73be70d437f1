/** Turns the configuration into Genesys Cloud as the pipeline sees it: one of its two APIs for each recording. */
import type { GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { createApi } from './api.ts';
import { createDownloader, type DownloadOptions } from '../download/download.ts';
import { createAgent } from './exchange.ts';
import type { Genesys } from './genesys.ts';
import { createMediaApi } from './media-api.ts';
import { createRecordingApi } from './recording-api.ts';
import { backoffMs, type Patience } from '../waiting.ts';

export interface GenesysOptions {
  /** The longest one question to Genesys may hold a slot, waits included, before the work is handed back. */
  readonly patienceMs?: number;
  /** First wait after a passing failure without Retry-After; doubles, with full jitter. */
  readonly baseDelayMs?: number;
  /** First wait of the Media API; doubles, never less. */
  readonly mediaBaseDelayMs?: number;
  readonly download?: DownloadOptions;
  readonly proxies?: Proxies | undefined;
}

export function createGenesys(config: GenesysConfig, options: GenesysOptions = {}): Genesys {
  const agent = createAgent(options.proxies);
  const api = createApi(config, { agent, patience: patienceOf(options) });
  const downloader = createDownloader(config, { proxies: options.proxies, ...options.download });
  const recordings = createRecordingApi(api, downloader);
  const media = createMediaApi(api, { apiUrl: config.apiUrl, downloader, patience: mediaPatienceOf(options) });
  return {
    recordingsOf: (conversationId, acceptedAt, signal) => recordings.recordingsOf(conversationId, acceptedAt, signal),
    locate: async ({ recordingId, conversationId }, signal) => {
      const way = config.recordingApi === 'auto' && conversationId === undefined ? 'media' : config.recordingApi;
      if (way === 'media') return media.locate({ recordingId, conversationId }, signal);
      if (conversationId !== undefined) return recordings.locate({ recordingId, conversationId }, signal);
      throw new Failure(
        'bad-request',
        'conversationId: the Recording API needs it as well as the recording id (GENESYS_RECORDING_API=auto uses the Media API without it).',
      );
    },
    check: (signal) => api.check(signal),
    close: async () => {
      api.close();
      await downloader.close();
      await agent.destroy();
    },
  };
}

const PATIENCE_MS = 20_000;

function patienceOf(options: GenesysOptions): Patience {
  const backoff = { baseMs: options.baseDelayMs ?? 1_000, capMs: 8_000 };
  return {
    patienceMs: options.patienceMs ?? PATIENCE_MS,
    tries: 6,
    waitMs: (attempt) => backoffMs(attempt, backoff),
  };
}

/** The original design's promise: up to three retries inside the request, 2 s, 4 s, 8 s apart, here with some jitter on top. */
function mediaPatienceOf(options: GenesysOptions): Patience {
  const baseMs = options.mediaBaseDelayMs ?? 2_000;
  return {
    patienceMs: options.patienceMs ?? PATIENCE_MS,
    tries: 4,
    waitMs: (attempt) => baseMs * 2 ** (attempt - 1) * (1 + Math.random() / 8),
  };
}
