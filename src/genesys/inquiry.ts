/** Recordings that Genesys does not have → why: who deleted them, whether they are orphans, whether they never arrived from an Edge. */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { createDownloader, type Downloader } from '../download/download.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { sleep } from '../waiting.ts';
import { Api, type ClientAnswer, type OnRefused } from './api.ts';
import { createAgent } from './exchange.ts';

/** What is not there; a whole conversation where no recording is named. */
export interface Absence {
  readonly conversationId: string;
  readonly recordingId: string | undefined;
}

export type WitnessName = 'audit' | 'orphans' | 'uploads';

/** What one of the witnesses says of it, ids only. */
export interface Testimony {
  readonly absence: Absence;
  readonly witness: WitnessName;
  readonly reason: string;
}

export interface Inquest {
  readonly testimonies: readonly Testimony[];
  /** Witnesses that could not be heard, and what to do about it. */
  readonly silent: readonly { readonly witness: WitnessName; readonly failure: Failure }[];
}

export interface InquiryOptions {
  readonly share: number;
  readonly proxies?: Proxies | undefined;
  /** Told of what is waited for, again and again for as long as it is. */
  readonly onWait?: ((what: string) => void) | undefined;
  readonly onRefused?: OnRefused | undefined;
  /** Between polls of a query's or a report's state. */
  readonly pollMs?: number;
}

const PATIENCE = { patienceMs: 120_000, tries: 10, waitMs: () => 1_000 };
const POLL_MS = 2_000;
const MOST_POLLS = 150;
const MOST_PAGES = 200;
/** What never arrived. Of what succeeded nothing is asked: then Genesys would have it. */
const UPLOAD_STATES = ['Failure', 'Pending', 'WaitForConversation'] as const;
const MAX_REPORT_BYTES = 64 * 1024 * 1024;

export class GenesysInquiry {
  readonly #agent: Dispatcher;
  readonly #api: Api;
  readonly #downloader: Downloader;
  readonly #pollMs: number;

  constructor(config: GenesysConfig, { share, proxies, onWait, onRefused, pollMs = POLL_MS }: InquiryOptions) {
    this.#agent = createAgent(proxies);
    this.#api = new Api(config, { agent: this.#agent, patience: PATIENCE, share, onWait, onRefused });
    this.#downloader = createDownloader({ ...config, maxMediaBytes: MAX_REPORT_BYTES }, { proxies });
    this.#pollMs = pollMs;
  }

  /** Each witness is heard once for the day, whatever the others say. @throws Failure `stopped` alone */
  async hear(day: string, absences: readonly Absence[], signal: AbortSignal): Promise<Inquest> {
    const witnesses: readonly [WitnessName, () => Promise<readonly Testimony[]>][] = [
      ['audit', () => this.#audits(day, absences, signal)],
      ['orphans', () => this.#orphans(absences, signal)],
      ['uploads', () => this.#uploads(day, absences, signal)],
    ];
    const testimonies: Testimony[] = [];
    const silent: { readonly witness: WitnessName; readonly failure: Failure }[] = [];
    for (const [witness, ask] of witnesses)
      await ask().then(
        (heard) => void testimonies.push(...heard),
        (thrown: unknown) => {
          signal.throwIfAborted();
          silent.push({ witness, failure: Failure.from(thrown) });
        },
      );
    return { testimonies, silent };
  }

  async close(): Promise<void> {
    this.#api.close();
    await Promise.all([this.#downloader.close(), this.#agent.destroy()]);
  }

  /** `POST /api/v2/quality/conversations/audits/query` with its state and results: `audits:interactionDetails:view`. */
  async #audits(day: string, absences: readonly Absence[], signal: AbortSignal): Promise<readonly Testimony[]> {
    const interval = `${day}T00:00:00.000Z/${new Date().toISOString()}`;
    const filters = [{ property: 'Action', value: 'Delete' }];
    const path = '/api/v2/quality/conversations/audits/query';
    const { body, client } = await this.#post(path, { interval, filters }, signal);
    const id = Fields.in(body)?.text('id');
    if (id === undefined) throw oddInquiry('no audit query');
    await this.#untilDone({ path: `${path}/${encodeURIComponent(id)}`, client }, signal);
    const testimonies: Testimony[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const query = new URLSearchParams({ pageSize: '100', ...(cursor === undefined ? {} : { cursor }) });
      const results = `${path}/${encodeURIComponent(id)}/results?${query.toString()}`;
      const fields = Fields.in((await this.#get({ path: results, client }, signal)).body);
      for (const entry of fields?.array('entities') ?? []) testimonies.push(...auditOf(Fields.in(entry), absences));
      cursor = fields?.text('cursor');
      if (cursor === undefined || cursor === '') break;
    }
    return testimonies;
  }

  /** `GET /api/v2/orphanrecordings`, those with a conversation: `recording:orphan:view`. */
  async #orphans(absences: readonly Absence[], signal: AbortSignal): Promise<readonly Testimony[]> {
    const testimonies: Testimony[] = [];
    for (let pageNumber = 1; pageNumber <= MOST_PAGES; pageNumber += 1) {
      const query = new URLSearchParams({ hasConversation: 'true', pageSize: '100', pageNumber: String(pageNumber) });
      const path = `/api/v2/orphanrecordings?${query.toString()}`;
      const fields = Fields.in((await this.#get({ path }, signal)).body);
      const entities = fields?.array('entities') ?? [];
      for (const entry of entities) testimonies.push(...orphanOf(Fields.in(entry), absences));
      if (entities.length < 100) break;
    }
    return testimonies;
  }

  /** Reports of uploads since the day; whatever their form, an id in them is found: `recording:uploadReport:add`, `:view`. */
  async #uploads(day: string, absences: readonly Absence[], signal: AbortSignal): Promise<readonly Testimony[]> {
    const testimonies: Testimony[] = [];
    for (const uploadStatus of UPLOAD_STATES) {
      const text = await this.#report({ dateSince: `${day}T00:00:00.000Z`, uploadStatus }, signal);
      const words = new Set(text.toLowerCase().split(/[^0-9a-z_-]+/));
      for (const absence of absences)
        if (words.has(lower(absence.recordingId ?? absence.conversationId)))
          testimonies.push({ absence, witness: 'uploads', reason: UPLOADS[uploadStatus] });
    }
    return testimonies;
  }

  async #report(asked: object, signal: AbortSignal): Promise<string> {
    const path = '/api/v2/recording/uploads/reports';
    const { body, client } = await this.#post(path, asked, signal);
    const id = Fields.in(body)?.text('id');
    if (id === undefined) throw oddInquiry('no upload report');
    const report = await this.#untilDone({ path: `${path}/${encodeURIComponent(id)}`, client }, signal);
    const url = URL.parse(report?.text('signedUrl') ?? '');
    return url === null ? '' : this.#download(url, signal);
  }

  async #download(url: URL, signal: AbortSignal): Promise<string> {
    const download = await this.#downloader.openText(() => Promise.resolve({ url, headers: {} }), signal);
    const chunks: Buffer[] = [];
    for await (const chunk of download) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString('utf8');
  }

  async #untilDone(asked: Question, signal: AbortSignal): Promise<Fields | undefined> {
    for (let poll = 0; poll < MOST_POLLS; poll += 1) {
      const fields = Fields.in((await this.#get(asked, signal)).body);
      const state = (fields?.text('state') ?? '').toLowerCase();
      if (['completed', 'succeeded', 'fulfilled'].includes(state)) return fields;
      if (['failed', 'cancelled', 'expired'].includes(state)) throw oddInquiry(`the state ${state}`);
      await sleep(this.#pollMs, signal);
    }
    throw new Failure('upstream-timeout', 'Genesys did not answer the inquiry in time; run the command again later.');
  }

  #get(asked: Question, signal: AbortSignal): Promise<ClientAnswer> {
    return this.#api.ask({ ...asked, caller: 'worker' }, signal);
  }

  #post(path: string, body: object, signal: AbortSignal): Promise<ClientAnswer> {
    return this.#api.ask({ method: 'POST', path, body, caller: 'worker' }, signal);
  }
}

/** By whoever asked for what it is about, where it is a job. */
type Question = Pick<Parameters<Api['ask']>[0], 'path' | 'client'>;

const UPLOADS: Readonly<Record<(typeof UPLOAD_STATES)[number], string>> = {
  Failure: 'its upload from the Edge failed',
  Pending: 'its upload from the Edge is still pending',
  WaitForConversation: 'it was uploaded and waits for its conversation',
};

/** QualityAuditLogMessage: the entity is the recording, its conversation stands in the context. */
function auditOf(entry: Fields | undefined, absences: readonly Absence[]): readonly Testimony[] {
  const entity = lower(entry?.fields('entity')?.text('id'));
  const context = entry?.fields('context');
  const named = new Set([entity, ...(context?.names() ?? []).map((name) => lower(context?.text(name)))]);
  const about = absences.filter(({ conversationId, recordingId }) =>
    recordingId === undefined ? named.has(lower(conversationId)) : lower(recordingId) === entity,
  );
  const [user, client] = [entry?.fields('user')?.text('id'), entry?.fields('client')?.text('id')];
  const by = user !== undefined ? `user ${user}` : client !== undefined ? `client ${client}` : 'Genesys itself';
  const at = entry?.instant('eventDate')?.toISOString() ?? 'an unknown time';
  return about.map((absence) => ({ absence, witness: 'audit', reason: `deleted at ${at} by ${by}` }));
}

function orphanOf(entry: Fields | undefined, absences: readonly Absence[]): readonly Testimony[] {
  const recording = entry?.fields('recording');
  const [id, conversationId] = [entry?.text('id'), lower(recording?.text('conversationId'))];
  const status = entry?.text('orphanStatus') ?? 'unknown status';
  return absences
    .filter((absence) => lower(absence.conversationId) === conversationId)
    .map((absence) => ({
      absence,
      witness: 'orphans',
      reason: `orphan ${id ?? ''} (${status}): assign it in Genesys Cloud`,
    }));
}

/** Genesys writes ids in either case. */
function lower(id = ''): string {
  return id.toLowerCase();
}

function oddInquiry(what: string): Failure {
  return new Failure('upstream-error', `Genesys answered an inquiry with ${what}; run the command again later.`);
}
