/** The configuration → Genesys Cloud as the pipeline sees it: one of its two APIs for each recording. */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import { backoffMs, type Patience } from '../waiting.ts';
import { Absences } from './absences.ts';
import type { CallsSpent } from './allowance.ts';
import { Api, type OnRefused } from './api.ts';
import { OriginalBatches } from './batches.ts';
import type { ExpectedRecording } from './census.ts';
import { createDownloader, type Downloader, type DownloadOptions } from '../download/download.ts';
import { type ConversationSource, createConversationSource } from './conversations.ts';
import { createAgent } from './exchange.ts';
import { askDivisionNames } from './divisions.ts';
import type { GenesysCaller, Genesys, Located, RecordingList } from './genesys.ts';
import { createMediaApi, type MediaApi } from './media-api.ts';
import { createRecordingApi, type RecordingApi } from './recording-api.ts';
import { createVoicemailApi, isVoicemail, type VoicemailApi } from './voicemail-api.ts';

interface GenesysOptions {
  /** The longest one question to Genesys may hold a slot, waits included, before the work is handed back. */
  readonly patienceMs?: number;
  /** First wait after a passing failure without Retry-After; doubles, with full jitter. */
  readonly baseDelayMs?: number;
  /** First wait of the Media API; doubles, never less. */
  readonly mediaBaseDelayMs?: number;
  readonly download?: DownloadOptions;
  /** How much of each rate window this process may use, from 0 to 1; all of it by default. */
  readonly share?: number;
  readonly proxies?: Proxies | undefined;
  readonly onRefused?: OnRefused | undefined;
  /** First wait before a question how far a batch has come. */
  readonly batchPollMs?: number;
}

/** One client of Genesys, with one share of its limits, for recordings and for what is known of their conversations. */
export interface OpenGenesys extends Genesys {
  /** These will be located soon, by whoever works through many: their originals are asked for together. */
  expect(recordings: readonly ExpectedRecording[]): void;
  readonly conversations: ConversationSource;
  /** What divisions are called, by id; undefined where this client may not be told. @throws Failure of Genesys */
  divisionNames(signal: AbortSignal): Promise<ReadonlyMap<string, string> | undefined>;
  /** Calls in the windows of its clients together; undefined before Genesys told. */
  readonly callsSpent: CallsSpent | undefined;
}

export function createGenesys(config: GenesysConfig, options: GenesysOptions = {}): OpenGenesys {
  return new GenesysCloud(config, options);
}

class GenesysCloud implements OpenGenesys {
  readonly conversations: ConversationSource;
  readonly #way: GenesysConfig['recordingApi'];
  readonly #agent: Dispatcher;
  readonly #api: Api;
  readonly #downloader: Downloader;
  readonly #recordings: RecordingApi;
  readonly #media: MediaApi;
  readonly #voicemails: VoicemailApi;
  readonly #batches: OriginalBatches;
  readonly #absences = new Absences();

  constructor(config: GenesysConfig, options: GenesysOptions) {
    const { share = 1, proxies, onRefused } = options;
    this.#way = config.recordingApi;
    this.#agent = createAgent(proxies);
    this.#api = new Api(config, { agent: this.#agent, patience: patienceOf(options), share, onRefused });
    this.#downloader = createDownloader(config, { proxies, ...options.download });
    this.#recordings = createRecordingApi(this.#api, this.#downloader);
    this.#batches = new OriginalBatches({ api: this.#api, downloader: this.#downloader, pollMs: options.batchPollMs });
    this.#voicemails = createVoicemailApi(this.#api, this.#downloader);
    this.conversations = createConversationSource(this.#api, this.#downloader);
    this.#media = createMediaApi(this.#api, {
      apiUrl: config.apiUrl,
      downloader: this.#downloader,
      patience: mediaPatienceOf(options),
    });
  }

  recordingsOf(conversationId: string, signal: AbortSignal): Promise<RecordingList> {
    return this.#recordings.recordingsOf(conversationId, signal);
  }

  voicemailsOf(conversationId: string, signal: AbortSignal): Promise<RecordingList> {
    return this.#voicemails.voicemailsOf(conversationId, signal);
  }

  async locate(recording: Recording, caller: GenesysCaller, signal: AbortSignal): Promise<Located> {
    if (caller === 'listener') this.#absences.check(recording);
    try {
      const located = await this.#find(recording, caller, signal);
      this.#absences.forget(recording);
      return located;
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === 'not-found') this.#absences.note(recording, thrown);
      throw thrown;
    }
  }

  expect(recordings: readonly ExpectedRecording[]): void {
    if (this.#way === 'media') return;
    const asked = recordings.filter(({ recordingId }) => !isVoicemail(recordingId));
    this.#recordings.expect(asked);
    this.#batches.expect(asked);
  }

  divisionNames(signal: AbortSignal): Promise<ReadonlyMap<string, string> | undefined> {
    return askDivisionNames(this.#api, signal);
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#api.check(signal);
  }

  get callsSpent(): CallsSpent | undefined {
    return this.#api.callsSpent;
  }

  async close(): Promise<void> {
    this.#batches.close();
    this.#api.close();
    await this.#downloader.close();
    await this.#agent.destroy();
  }

  /** By way of a batch where it was expected; else as it is asked for by itself. */
  async #find(
    { recordingId, conversationId }: Recording,
    caller: GenesysCaller,
    signal: AbortSignal,
  ): Promise<Located> {
    const way = this.#way === 'auto' && conversationId === undefined ? 'media' : this.#way;
    if (way === 'media') return this.#media.locate({ recordingId, conversationId }, caller, signal);
    if (conversationId !== undefined && isVoicemail(recordingId))
      return this.#voicemails.locate({ recordingId, conversationId }, caller, signal);
    if (conversationId !== undefined)
      return (
        (await this.#batches.take({ recordingId, conversationId }, signal)) ??
        this.#recordings.locate({ recordingId, conversationId }, caller, signal)
      );
    throw new Failure(
      'bad-request',
      'conversationId: the Recording API needs it as well as the recording id (GENESYS_RECORDING_API=auto uses the Media API without it).',
    );
  }
}

/**
 * For whoever works through many without a queue: a window that is used up is waited for with the question in hand. Handed back,
 * each of thousands would be held, and come back all the later.
 */
export const BULK_PATIENCE_MS = 15 * 60_000;

/** Waiting holds no slot: what takes longer goes back to the queue, which comes again. Listeners have more (api.ts). */
const PATIENCE_MS = 1_000;

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
