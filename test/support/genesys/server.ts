/**
 * Scripted recordings → a simulated Genesys Cloud over real HTTP: token, Recording API, batch, Media API and
 * pre-signed media URLs on a second port. It is held to the real API by test/genesys/official-sdk.test.ts.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { EventEmitter, on } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { GenesysConfig } from '../../../src/config/genesys.ts';
import { type AnalyzedConversation, type AnalyticsScript, SimulatedAnalytics } from './analytics.ts';
import { BatchJobs } from './batch.ts';
import { errorReply, faultReply, limitReply, loginError, notFound } from './errors.ts';
import { type Fault, Faults, matches } from './faults.ts';
import { MediaUrls } from './media-urls.ts';
import {
  type MediaUris,
  metadataBody,
  recordingBody,
  ScriptedRecording,
  type SimulatedRecording,
  stubBody,
} from './recordings.ts';
import { type InquiryScript, SimulatedInquiries } from './inquiries.ts';
import { type OrganizationScript, SimulatedOrganization } from './organization.ts';
import { type SimulatedVoicemail, SimulatedVoicemails } from './voicemails.ts';
import { fileReply, jsonReply, type MediaOptions, type Reply, send } from './reply.ts';

export type { SimulatedRecording } from './recordings.ts';
export type { MediaOptions, SimulatedFile } from './reply.ts';
export type { SimulatedVoicemail } from './voicemails.ts';

export interface SimulatedClient {
  readonly id: string;
  readonly secret: string;
  /** A client made for another grant gets `unauthorized_client`. */
  readonly grant?: 'client-credentials' | 'code';
  /** `none`: every recording is 403 `missing.any.permissions`. */
  readonly permissions?: 'all' | 'none';
}

export interface GenesysServerOptions {
  readonly clients?: readonly SimulatedClient[];
  readonly tokenLifetimeS?: number;
  /** Per token; 300 a minute by default, as Genesys' own. */
  readonly rateLimit?: { readonly allowed: number; readonly windowS: number };
  readonly mediaUrlLifetimeS?: number;
  readonly media?: MediaOptions;
  /** 0, any free port, by default. */
  readonly port?: number;
  readonly mediaPort?: number;
  /** Origin of the pre-signed URLs, where they are reached under another name. */
  readonly mediaOrigin?: string;
}

export interface LoggedRequest {
  /**
   * `token`, `analytics-…`, `list:C`, `metadata:R`, `recordings:C`, `recording:R`, `restore:R`, `conversation:C`, `voicemail:V`,
   * `voicemail-media:V`, `batch`, `batch-status:J`, `settings`, `token-info`, `subject`, `limits:NAMESPACE`, `triggers`, `topics`,
   * `audits`, `audits-state:J`, `audits-results:J`, `orphans`, `uploads`, `uploads-state:J`,
   * `media-api:R`, `media-download:R`, `media:R:CHANNEL`, `details:C`, `transcripts:M`, or `unknown`.
   */
  readonly route: string;
  readonly method: string;
  /** With the names of its query, without their values. */
  readonly path: string;
  /** `performance.now()` of its arrival. */
  readonly at: number;
  readonly hasAuthorization: boolean;
  readonly range: string | undefined;
  readonly formatId: string | undefined;
  /** Which token it bore, in the order they were given out, and how many calls its window had then, this one included. */
  readonly token?: number;
  readonly count?: number;
}

export interface GenesysServer {
  readonly loginUrl: string;
  readonly apiUrl: string;
  /** Origin of the pre-signed URLs: belongs into GENESYS_MEDIA_HOSTS. */
  readonly mediaOrigin: string;
  readonly mediaPort: number;
  /** What a service that is to talk to this server is configured with. */
  config(overrides?: Partial<GenesysConfig>): GenesysConfig;
  environment(): Record<string, string>;
  addRecording(recording: SimulatedRecording): void;
  /** Conversations that Genesys lets nobody delete. */
  readonly protectedConversations: Set<string>;
  /** A conversation that is known and has no recordings (yet). */
  addConversation(conversationId: string): void;
  /** A voicemail that was left in a queue; its conversation is known from then on. */
  addVoicemail(voicemail: SimulatedVoicemail): void;
  /** What analytics says of a conversation; it is known from then on. */
  analyze(conversation: AnalyzedConversation): void;
  /** What was said on a leg of a conversation, as the file that its URL leads to. */
  addTranscript(transcript: SimulatedTranscript): void;
  /** How analytics behaves: watermark, pages, jobs that end otherwise. */
  readonly analytics: AnalyticsScript;
  /** Who the client is, what it may, and how the organization is set. */
  readonly organization: OrganizationScript;
  /** What it knows of recordings that are gone. */
  readonly inquiries: InquiryScript;
  update(recordingId: string, change: Partial<SimulatedRecording>): void;
  /** The next `times` requests to the route (see {@link LoggedRequest.route}; may end in `*`) meet this fault. */
  fault(route: string, instruction: string, times?: number): void;
  /** The faults of exactly this route that have not fired are taken back. */
  mend(route: string): void;
  assertFaultsUsed(): void;
  revokeTokens(): void;
  /** Every media URL given out so far answers 403 from now on. */
  expireMediaUrls(): void;
  /** Every access token and URL signature given out so far: what may never be found anywhere. */
  secrets(): readonly string[];
  requests(route?: string): readonly LoggedRequest[];
  /** Resolves once the route has been asked `times` times in all. */
  reached(route: string, times: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface SimulatedTranscript {
  readonly conversationId: string;
  /** The `sessionId` of its recordings. */
  readonly communicationId: string;
  readonly recordingId: string;
  readonly text: string;
}

interface Token {
  readonly number: number;
  readonly client: SimulatedClient;
  readonly expiresAt: number;
  windowEnd: number;
  count: number;
}

interface Call {
  readonly request: IncomingMessage;
  readonly url: URL;
  readonly ids: readonly string[];
  readonly token: Token | undefined;
  readonly fault: Fault | undefined;
}

interface Route {
  readonly name: string;
  readonly method: string;
  readonly path: RegExp;
  readonly answer: (call: Call) => Reply | Promise<Reply>;
}

const SIMULATED_CLIENT: SimulatedClient = { id: 'simulated-client', secret: 'simulated-client-secret' };
const FORMATS = new Set(['WAV', 'WEBM', 'WAV_ULAW', 'OGG_VORBIS', 'OGG_OPUS', 'MP3', 'NONE']);
const VIEWS_ANALYTICS = ['analytics:conversationDetail:view'];
const VIEWS_MEDIA = ['recording:recording:view', 'recording:screenRecording:view'];
const ABOUT_A_CONVERSATION = new Set(['list', 'metadata', 'recordings', 'recording']);
const RECORDING_ROUTES = new Set([...ABOUT_A_CONVERSATION, 'batch', 'batch-status']);
const TRANSCRIPTS = new Set(['chat', 'email', 'message', 'messaging']);

export async function startGenesysServer(options: GenesysServerOptions = {}): Promise<GenesysServer> {
  const server = new SimulatedGenesys(options);
  await server.listen();
  return server;
}

class SimulatedGenesys implements GenesysServer {
  readonly #options: GenesysServerOptions;
  readonly #clients: readonly SimulatedClient[];
  readonly #recordings = new Map<string, ScriptedRecording>();
  /** Their ids by conversation: an organization of 130,000 is asked for each of its conversations. */
  readonly #idsOf = new Map<string, Set<string>>();
  readonly protectedConversations = new Set<string>();
  readonly #conversations = new Set<string>();
  readonly #tokens = new Map<string, Token>();
  readonly #givenTokens: string[] = [];
  readonly #urls: MediaUrls;
  readonly #batches: BatchJobs;
  readonly #faults = new Faults();
  readonly #analytics = new SimulatedAnalytics();
  readonly #organization = new SimulatedOrganization();
  readonly #inquiries = new SimulatedInquiries();
  readonly #voicemails = new SimulatedVoicemails();
  readonly #transcripts: SimulatedTranscript[] = [];
  readonly #log: LoggedRequest[] = [];
  readonly #logged = new WeakMap<IncomingMessage, LoggedRequest>();
  readonly #arrivals = new EventEmitter();
  readonly #api: Server;
  readonly #media: Server;
  mediaPort = 0;
  #apiOrigin = '';
  #mediaOrigin = '';

  constructor(options: GenesysServerOptions) {
    this.#options = options;
    this.#clients = options.clients ?? [SIMULATED_CLIENT];
    this.#urls = new MediaUrls(options.mediaUrlLifetimeS ?? 3_600);
    this.#batches = new BatchJobs({
      recordingsOf: (conversationId) => this.#of(conversationId),
      urlOf: (recording, file) => this.#urls.sign(this.#mediaOrigin, recording, file),
    });
    this.#api = this.#server((asked, route) => this.#answerApi(asked, route));
    this.#media = this.#server(async (asked) => this.#urls.answer(asked, options.media ?? {}));
  }

  async listen(): Promise<void> {
    this.#apiOrigin = await listen(this.#api, this.#options.port ?? 0);
    const mediaOrigin = await listen(this.#media, this.#options.mediaPort ?? 0);
    this.#mediaOrigin = this.#options.mediaOrigin ?? mediaOrigin;
    this.mediaPort = Number(new URL(mediaOrigin).port);
  }

  async close(): Promise<void> {
    await Promise.all([this.#api, this.#media].map(shut));
  }

  get loginUrl(): string {
    return this.#apiOrigin;
  }

  get apiUrl(): string {
    return this.#apiOrigin;
  }

  get mediaOrigin(): string {
    return this.#mediaOrigin;
  }

  config(overrides: Partial<GenesysConfig> = {}): GenesysConfig {
    return {
      loginUrl: this.loginUrl,
      apiUrl: this.apiUrl,
      clients: this.#clients.map(({ id, secret }) => ({ id, secret })),
      recordingApi: 'auto',
      mediaHosts: [{ origin: this.mediaOrigin }],
      maxMediaBytes: 8 * 1024 ** 3,
      ...overrides,
    };
  }

  environment(): Record<string, string> {
    return {
      GENESYS_LOGIN_URL: this.loginUrl,
      GENESYS_API_URL: this.apiUrl,
      GENESYS_CLIENT_ID: this.#clients.map(({ id }) => id).join(','),
      GENESYS_CLIENT_SECRET: this.#clients.map(({ secret }) => secret).join(','),
      GENESYS_MEDIA_HOSTS: this.mediaOrigin,
    };
  }

  addRecording(recording: SimulatedRecording): void {
    const { recordingId, conversationId } = recording;
    this.#recordings.set(recordingId, new ScriptedRecording(recording));
    if (conversationId === undefined) return;
    this.addConversation(conversationId);
    const ids = this.#idsOf.get(conversationId) ?? new Set();
    this.#idsOf.set(conversationId, ids.add(recordingId));
  }

  addConversation(conversationId: string): void {
    this.#conversations.add(conversationId);
  }

  analyze(conversation: AnalyzedConversation): void {
    this.addConversation(conversation.conversationId);
    this.#analytics.add(conversation);
  }

  addTranscript(transcript: SimulatedTranscript): void {
    this.#transcripts.push(transcript);
  }

  get analytics(): AnalyticsScript {
    return this.#analytics.script;
  }

  get inquiries(): InquiryScript {
    return this.#inquiries.script;
  }

  get organization(): OrganizationScript {
    return this.#organization.script;
  }

  update(recordingId: string, change: Partial<SimulatedRecording>): void {
    const recording = this.#recordings.get(recordingId);
    if (recording === undefined) throw new Error(`No simulated recording ${recordingId}.`);
    recording.update(change);
  }

  fault(route: string, instruction: string, times = 1): void {
    this.#faults.add(route, instruction, times);
  }

  mend(route: string): void {
    this.#faults.mend(route);
  }

  assertFaultsUsed(): void {
    this.#faults.assertUsed();
  }

  revokeTokens(): void {
    this.#tokens.clear();
  }

  expireMediaUrls(): void {
    this.#urls.expire();
  }

  secrets(): readonly string[] {
    return [...this.#givenTokens, ...this.#urls.signatures()];
  }

  requests(route = '*'): readonly LoggedRequest[] {
    return this.#log.filter((entry) => matches(route, entry.route));
  }

  async reached(route: string, times: number, signal: AbortSignal): Promise<void> {
    const arrivals = on(this.#arrivals, 'request', { signal });
    let [seen, count] = [0, 0];
    const isReached = (): boolean => {
      // Each is looked at once, however many there are.
      for (; seen < this.#log.length; seen += 1) if (matches(route, this.#log[seen]?.route ?? '')) count += 1;
      return count >= times;
    };
    while (!isReached()) await arrivals.next();
    await arrivals.return?.();
  }

  addVoicemail(voicemail: SimulatedVoicemail): void {
    this.#voicemails.add(voicemail);
    this.#conversations.add(voicemail.conversationId);
  }

  #server(answer: Answerer): Server {
    return createServer((request, response) => {
      this.#serve(request, response, answer).catch((thrown: unknown) => response.destroy(toError(thrown)));
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse, answer: Answerer): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulated.invalid');
    const route = this.#routeOf(request, url);
    this.#record(request, url, route.label);
    this.#organization.script.onRequest?.(route.label);
    const fault = this.#faults.take(route.label);
    if (fault?.reset === true) {
      request.socket.resetAndDestroy();
      return;
    }
    await send(response, await answer({ request, url, ids: route.ids, fault }, route.route), fault);
  }

  #routeOf(request: IncomingMessage, url: URL): Matched {
    const label = this.#urls.routeOf(url);
    if (label !== undefined) return { route: undefined, ids: [], label };
    for (const route of this.#routes) {
      const match = route.method === request.method ? route.path.exec(url.pathname) : null;
      if (match === null) continue;
      const ids = match.slice(1).map((id) => decodeURIComponent(id));
      return { route, ids, label: [route.name, ...ids.slice(-1)].join(':') };
    }
    return { route: undefined, ids: [], label: 'unknown' };
  }

  #record(request: IncomingMessage, url: URL, route: string): void {
    const names = [...url.searchParams.keys()].join('&');
    const entry: LoggedRequest = {
      route,
      method: request.method ?? '',
      path: names === '' ? url.pathname : `${url.pathname}?${names}`,
      at: performance.now(),
      hasAuthorization: request.headers.authorization !== undefined,
      range: request.headers.range,
      formatId: url.searchParams.get('formatId') ?? undefined,
    };
    this.#log.push(entry);
    this.#logged.set(request, entry);
    this.#arrivals.emit('request');
  }

  /** Token and Platform API. */
  async #answerApi(asked: Asked, route: Route | undefined): Promise<Reply> {
    const bearer = /^Bearer (.+)$/i.exec(asked.request.headers.authorization ?? '')?.[1];
    const token = bearer === undefined ? undefined : this.#tokens.get(bearer);
    const reply = await this.#decide({ ...asked, token }, route, bearer);
    return {
      ...reply,
      headers: {
        'inin-correlation-id': randomUUID(),
        ...this.#rateHeaders(token),
        ...this.#organization.dateHeader,
        ...reply.headers,
      },
    };
  }

  async #decide(call: Call, route: Route | undefined, bearer: string | undefined): Promise<Reply> {
    const { token, fault } = call;
    if (token !== undefined) this.#count(token, call.request);
    if (fault?.status !== undefined) return faultReply(fault, route?.name === 'token');
    if (route?.name === 'token') return route.answer(call);
    if (bearer === undefined)
      return errorReply(
        401,
        'authentication.required',
        'No authentication bearer token specified in authorization header.',
      );
    if (token === undefined) return errorReply(401, 'bad.credentials', 'Invalid login credentials.');
    if (Date.now() >= token.expiresAt)
      return errorReply(401, 'credentials.expired', 'The supplied credentials are expired and cannot be used.');
    if (token.count > this.#limit.allowed) return limitReply(secondsLeft(token));
    if (route === undefined) return errorReply(404, 'not.found', 'The requested resource was not found.');
    if (token.client.permissions === 'none')
      return errorReply(
        403,
        'missing.any.permissions',
        'Unable to perform the requested action. You must have at least one of the following permissions assigned: [recording:recording:view, recording:recordingSegment:view, recording:screenRecording:view]',
      );
    return this.#refusal(route.name, call) ?? route.answer(call);
  }

  #maySee(token: Token | undefined, permissions: readonly string[], conversationId?: string): boolean {
    const divisions = conversationId === undefined ? undefined : this.#analytics.divisionsOf(conversationId);
    return this.#organization.may(token?.client.id ?? '', permissions, divisions);
  }

  #seesOf(token: Token | undefined): (divisions: readonly string[]) => boolean {
    return (divisions) => this.#organization.may(token?.client.id ?? '', VIEWS_ANALYTICS, divisions);
  }

  /** Of what the grants do not give, where they hold. */
  #refusal(route: string, { token, ids: [conversationId] }: Call): Reply | undefined {
    const needed = route.startsWith('analytics-')
      ? VIEWS_ANALYTICS
      : RECORDING_ROUTES.has(route)
        ? VIEWS_MEDIA
        : undefined;
    if (needed === undefined) return undefined;
    const missing = `Unable to perform the requested action. You must have at least one of the following permissions assigned: [${needed.join(', ')}]`;
    if (!this.#maySee(token, needed)) return errorReply(403, 'missing.any.permissions', missing);
    if (!ABOUT_A_CONVERSATION.has(route) || this.#maySee(token, needed, conversationId)) return undefined;
    const { hides } = this.#organization.script;
    if (hides === 'empty' && route === 'list') return jsonReply(200, []);
    return hides === 'forbidden'
      ? errorReply(403, 'not.authorized', 'You are not authorized to perform the requested action.')
      : notFound();
  }

  get #limit(): { readonly allowed: number; readonly windowS: number } {
    return this.#options.rateLimit ?? { allowed: 300, windowS: 60 };
  }

  #count(token: Token, request: IncomingMessage): void {
    const now = performance.now();
    if (now >= token.windowEnd) Object.assign(token, { windowEnd: now + this.#limit.windowS * 1_000, count: 0 });
    token.count += 1;
    Object.assign(this.#logged.get(request) ?? {}, { token: token.number, count: token.count });
  }

  #rateHeaders(token: Token | undefined): Record<string, string> {
    if (token === undefined) return {};
    return {
      'inin-ratelimit-count': String(token.count),
      'inin-ratelimit-allowed': String(this.#limit.allowed),
      'inin-ratelimit-reset': String(secondsLeft(token)),
    };
  }

  #find(conversationId: string, recordingId: string): ScriptedRecording | undefined {
    const recording = this.#recordings.get(recordingId);
    return recording?.definition.conversationId === conversationId ? recording : undefined;
  }

  #of(conversationId: string): readonly ScriptedRecording[] {
    return [...(this.#idsOf.get(conversationId) ?? [])].flatMap((id) => this.#find(conversationId, id) ?? []);
  }

  readonly #routes: readonly Route[] = [
    { name: 'token', method: 'POST', path: /^\/oauth\/token$/, answer: (call) => this.#giveToken(call) },
    {
      // Asked by services that have run for 90 s: by those of a journey where the machine is slow.
      name: 'divisions',
      method: 'GET',
      path: /^\/api\/v2\/authorization\/divisions$/,
      answer: () => jsonReply(200, { entities: [{ id: 'home-division', name: 'Home' }], pageSize: 100, pageNumber: 1 }),
    },
    {
      name: 'list',
      method: 'GET',
      path: /^\/api\/v2\/conversations\/([^/]+)\/recordingmetadata$/,
      answer: ({ ids: [conversationId = ''], token }) =>
        this.#conversations.has(conversationId)
          ? jsonReply(
              200,
              this.#of(conversationId)
                .filter((each) => this.#maySee(token, [viewOf(each)], conversationId))
                .map((each) => metadataBody(each, undefined)),
            )
          : notFound(),
    },
    {
      name: 'metadata',
      method: 'GET',
      path: /^\/api\/v2\/conversations\/([^/]+)\/recordingmetadata\/([^/]+)$/,
      answer: (call) => this.#giveMetadata(call),
    },
    {
      name: 'recordings',
      method: 'GET',
      path: /^\/api\/v2\/conversations\/([^/]+)\/recordings$/,
      answer: (call) => this.#giveRecordings(call),
    },
    {
      name: 'recording',
      method: 'GET',
      path: /^\/api\/v2\/conversations\/([^/]+)\/recordings\/([^/]+)$/,
      answer: (call) => this.#giveRecording(call),
    },
    {
      name: 'restore',
      method: 'PUT',
      path: /^\/api\/v2\/conversations\/([^/]+)\/recordings\/([^/]+)$/,
      answer: (call) => this.#restore(call),
    },
    {
      name: 'protect',
      method: 'PUT',
      path: /^\/api\/v2\/recordings\/deletionprotection$/,
      answer: (call) => this.#protect(call),
    },
    {
      name: 'protected',
      method: 'POST',
      path: /^\/api\/v2\/recordings\/deletionprotection$/,
      answer: async ({ request }) =>
        jsonReply(
          200,
          idsIn(await text(request)).flatMap((id) => (this.protectedConversations.has(id) ? [{ id }] : [])),
        ),
    },
    {
      name: 'conversation',
      method: 'GET',
      path: /^\/api\/v2\/conversations\/([^/]+)$/,
      answer: ({ ids: [conversationId = ''] }) =>
        this.#conversations.has(conversationId) ? this.#voicemails.conversation(conversationId) : notFound(),
    },
    {
      name: 'voicemail',
      method: 'GET',
      path: /^\/api\/v2\/voicemail\/messages\/([^/]+)$/,
      answer: ({ ids: [messageId = ''] }) => this.#voicemails.message(messageId),
    },
    {
      name: 'voicemail-media',
      method: 'GET',
      path: /^\/api\/v2\/voicemail\/messages\/([^/]+)\/media$/,
      answer: ({ ids: [messageId = ''] }) =>
        this.#voicemails.media(messageId, (recording, file) => this.#urls.sign(this.#mediaOrigin, recording, file)),
    },
    {
      name: 'batch',
      method: 'POST',
      path: /^\/api\/v2\/recording\/batchrequests$/,
      answer: async ({ request, token }) => {
        const list = parseJson(await text(request)).get('batchDownloadRequestList');
        return this.#batches.start(list, token?.client.id ?? '');
      },
    },
    {
      name: 'batch-status',
      method: 'GET',
      path: /^\/api\/v2\/recording\/batchrequests\/([^/]+)$/,
      answer: ({ ids: [jobId = ''], token }) => this.#batches.status(jobId, token?.client.id ?? ''),
    },
    {
      name: 'analytics-availability',
      method: 'GET',
      path: /^\/api\/v2\/analytics\/conversations\/details\/jobs\/availability$/,
      answer: () => this.#analytics.availability(),
    },
    {
      name: 'analytics-job',
      method: 'POST',
      path: /^\/api\/v2\/analytics\/conversations\/details\/jobs$/,
      answer: ({ request }) => this.#analytics.submit(request),
    },
    {
      name: 'analytics-state',
      method: 'GET',
      path: /^\/api\/v2\/analytics\/conversations\/details\/jobs\/([^/]+)$/,
      answer: ({ ids: [jobId = ''] }) => this.#analytics.status(jobId),
    },
    {
      name: 'analytics-results',
      method: 'GET',
      path: /^\/api\/v2\/analytics\/conversations\/details\/jobs\/([^/]+)\/results$/,
      answer: ({ ids: [jobId = ''], url, token }) => this.#analytics.results(jobId, url, this.#seesOf(token)),
    },
    {
      name: 'analytics-query',
      method: 'POST',
      path: /^\/api\/v2\/analytics\/conversations\/details\/query$/,
      answer: ({ request, token }) => this.#analytics.query(request, this.#seesOf(token)),
    },
    {
      name: 'details',
      method: 'GET',
      path: /^\/api\/v2\/analytics\/conversations\/([^/]+)\/details$/,
      answer: ({ ids: [conversationId = ''] }) => this.#analytics.details(conversationId),
    },
    {
      name: 'transcripts',
      method: 'GET',
      path: /^\/api\/v2\/speechandtextanalytics\/conversations\/([^/]+)\/communications\/([^/]+)\/transcripturls$/,
      answer: (call) => this.#giveTranscripts(call),
    },
    {
      name: 'settings',
      method: 'GET',
      path: /^\/api\/v2\/recording\/settings$/,
      answer: () => this.#organization.settings(),
    },
    {
      name: 'token-info',
      method: 'GET',
      path: /^\/api\/v2\/tokens\/me$/,
      answer: ({ token }) => this.#organization.token(token?.client.id ?? ''),
    },
    {
      name: 'subject',
      method: 'GET',
      path: /^\/api\/v2\/authorization\/subjects\/me$/,
      answer: ({ token }) => this.#organization.subject(token?.client.id ?? ''),
    },
    {
      name: 'limits',
      method: 'GET',
      path: /^\/api\/v2\/organizations\/limits\/namespaces\/([^/]+)$/,
      answer: ({ ids: [namespace = ''] }) => this.#organization.limits(namespace),
    },
    {
      name: 'triggers',
      method: 'GET',
      path: /^\/api\/v2\/processautomation\/triggers$/,
      answer: () => this.#organization.triggers(),
    },
    {
      name: 'topics',
      method: 'GET',
      path: /^\/api\/v2\/processautomation\/triggers\/topics$/,
      answer: () => this.#organization.topics(),
    },
    {
      name: 'audits',
      method: 'POST',
      path: /^\/api\/v2\/quality\/conversations\/audits\/query$/,
      answer: ({ request }) => this.#inquiries.submitAudit(request),
    },
    {
      name: 'audits-state',
      method: 'GET',
      path: /^\/api\/v2\/quality\/conversations\/audits\/query\/([^/]+)$/,
      answer: ({ ids: [id = ''] }) => this.#inquiries.auditState(id),
    },
    {
      name: 'audits-results',
      method: 'GET',
      path: /^\/api\/v2\/quality\/conversations\/audits\/query\/([^/]+)\/results$/,
      answer: ({ ids: [id = ''], url }) => this.#inquiries.auditResults(id, url),
    },
    {
      name: 'orphans',
      method: 'GET',
      path: /^\/api\/v2\/orphanrecordings$/,
      answer: ({ url }) => this.#inquiries.orphans(url),
    },
    {
      name: 'uploads',
      method: 'POST',
      path: /^\/api\/v2\/recording\/uploads\/reports$/,
      answer: ({ request }) => this.#inquiries.submitReport(request),
    },
    {
      name: 'uploads-state',
      method: 'GET',
      path: /^\/api\/v2\/recording\/uploads\/reports\/([^/]+)$/,
      answer: ({ ids: [id = ''] }) =>
        this.#inquiries.report(id, (recording, file) => this.#urls.sign(this.#mediaOrigin, recording, file)),
    },
    {
      name: 'media-api',
      method: 'GET',
      path: /^\/api\/v2\/media\/recordings\/([^/]+)$/,
      answer: (call) => this.#giveMediaStatus(call),
    },
    {
      name: 'media-download',
      method: 'GET',
      path: /^\/api\/v2\/media\/recordings\/([^/]+)\/download$/,
      answer: ({ ids: [recordingId = ''], request }) => {
        const recording = this.#recordings.get(recordingId);
        const [file] = recording?.definition.files ?? [];
        return recording === undefined || file === undefined
          ? notFound()
          : fileReply(file, recording.version, request, this.#options.media ?? {});
      },
    },
  ];

  /** Errors word for word as Genesys' login hosts give them. */
  async #giveToken({ request }: Call): Promise<Reply> {
    const [id = '', secret = ''] = basicOf(request);
    const form = new URLSearchParams(await text(request));
    const client = this.#clients.find((each) => each.id === id);
    if (client === undefined) return loginError(400, 'invalid_client', 'client not found: invalid_client');
    if (client.secret !== secret) return loginError(401, 'invalid_client', 'authentication failed');
    if (client.grant === 'code')
      return loginError(400, 'unauthorized_client', 'client is not authorized to use the client_credential grant type');
    if (form.get('grant_type') !== 'client_credentials')
      return loginError(400, 'unsupported_grant_type', 'grant type is not supported');
    const value = randomBytes(32).toString('base64url');
    this.#givenTokens.push(value);
    const lifetimeS = this.#options.tokenLifetimeS ?? 86_399;
    const number = this.#givenTokens.length;
    this.#tokens.set(value, { number, client, expiresAt: Date.now() + lifetimeS * 1_000, windowEnd: 0, count: 0 });
    return jsonReply(200, { access_token: value, token_type: 'bearer', expires_in: lifetimeS });
  }

  #giveMetadata({ ids: [conversationId = '', recordingId = ''], fault }: Call): Reply {
    const recording = this.#find(conversationId, recordingId);
    const state = recording?.metadataState();
    if (recording === undefined || state === 'unknown-recording') return notFound();
    return jsonReply(200, { ...metadataBody(recording, state), ...idOf(fault) });
  }

  #giveRecording({ ids: [conversationId = '', recordingId = ''], url, fault }: Call): Reply {
    const format = url.searchParams.get('formatId') ?? 'WEBM';
    if (!FORMATS.has(format)) return errorReply(400, 'bad.request', `Invalid formatId: ${format}`);
    const recording = this.#find(conversationId, recordingId);
    const state = recording?.recordingState();
    if (recording === undefined || state === 'unknown-recording') return notFound();
    if (state === 'transcoding') return jsonReply(202, undefined);
    if (state === 'transcoding-stub') return jsonReply(202, stubBody(recording));
    return jsonReply(200, {
      ...recordingBody(recording, state, this.#uris(recording, { state, url })),
      ...idOf(fault),
    });
  }

  /** All of them or, while one transcodes, 202. */
  #giveRecordings({ ids: [conversationId = ''], url }: Call): Reply {
    if (!this.#conversations.has(conversationId)) return notFound();
    const answers = this.#of(conversationId).map((recording) => ({ recording, state: recording.recordingState() }));
    if (answers.some(({ state }) => state?.startsWith('transcoding'))) return jsonReply(202, undefined);
    return jsonReply(
      200,
      answers.map(({ recording, state }) => recordingBody(recording, state, this.#uris(recording, { state, url }))),
    );
  }

  /** TranscriptUrls; 404 where there are none. */
  #giveTranscripts({ ids: [conversationId = '', communicationId = ''] }: Call): Reply {
    const found = this.#transcripts.filter(
      (each) => each.conversationId === conversationId && each.communicationId === communicationId,
    );
    if (found.length === 0) return notFound();
    const urls = found.map(({ recordingId, text: said }) => {
      const recording = new ScriptedRecording({ recordingId: `transcript-${recordingId}` });
      const file = { channel: 'T', contentType: 'application/json', bytes: Buffer.from(said) };
      return { recording: { id: recordingId }, url: this.#urls.sign(this.#mediaOrigin, recording, file) };
    });
    return jsonReply(200, { conversation: { id: conversationId }, communicationId, urls });
  }

  #uris(
    recording: ScriptedRecording,
    asked: { readonly state: string | undefined; readonly url: URL },
  ): MediaUris | undefined {
    const { media = 'audio', files = [] } = recording.definition;
    const parameter = TRANSCRIPTS.has(media) ? `${media.replace('messaging', 'message')}FormatId` : 'formatId';
    const unwanted = asked.url.searchParams.get(parameter) === 'NONE';
    if (asked.state !== undefined || unwanted || !recording.playable || files.length === 0) return undefined;
    return Object.fromEntries(
      files.map((file) => [
        file.channel,
        { mediaUri: this.#urls.sign(this.#mediaOrigin, recording, file), waveformData: [] },
      ]),
    );
  }

  /** ARCHIVED becomes RESTORING for one question, then RESTORED. */
  /** At most a hundred a call, a thousand in the organisation, and only what has recordings. */
  async #protect({ request, url }: Call): Promise<Reply> {
    const ids = idsIn(await text(request));
    if (ids.length > 100) return errorReply(400, 'bad.request', 'At most 100 conversations.');
    const isProtected = url.searchParams.get('protect') !== 'false';
    const failedUpdates = ids.flatMap((id) => {
      const isFull = isProtected && this.protectedConversations.size >= 1_000 && !this.protectedConversations.has(id);
      const errorCode = this.#of(id).length === 0 ? 'conversation.not.found' : isFull ? 'limit.exceeded' : undefined;
      if (errorCode === undefined && isProtected) this.protectedConversations.add(id);
      if (errorCode === undefined && !isProtected) this.protectedConversations.delete(id);
      return errorCode === undefined ? [] : [{ conversation: { id }, errorCode, errorMessage: errorCode }];
    });
    return jsonReply(200, { failedUpdates });
  }

  async #restore({ ids: [conversationId = '', recordingId = ''], request }: Call): Promise<Reply> {
    const recording = this.#find(conversationId, recordingId);
    if (recording === undefined) return notFound();
    const body = parseJson(await text(request));
    const wanted = body.get('fileState');
    const { extra = {}, fileState } = recording.definition;
    if (body.has('deleteDate')) {
      const deleteDate = body.get('deleteDate') ?? undefined;
      recording.update({ extra: { ...extra, deleteDate } });
      return jsonReply(200, recordingBody(recording, undefined, undefined));
    }
    const archiveDate = body.get('archiveDate');
    if (typeof archiveDate === 'string') {
      // "A request to change the archival date of an archived recording will result in a restoration until the new date set."
      if (Date.parse(archiveDate) <= Date.now()) return errorReply(400, 'bad.request', 'archiveDate lies in the past.');
      const { archiveDate: _, ...kept } = recording.definition;
      recording.definition = kept;
      recording.update({
        extra: { ...extra, archiveDate },
        ...(fileState === 'ARCHIVED' ? { fileState: 'RESTORING' } : {}),
      });
      return jsonReply(200, recordingBody(recording, undefined, undefined));
    }
    if (wanted !== 'RESTORED') return errorReply(400, 'bad.request', 'fileState can only be set to RESTORED.');
    const { archiveDate: _, ...kept } = recording.definition;
    recording.definition = kept;
    recording.update({ fileState: 'RESTORED', states: ['restoring'] });
    return jsonReply(200, recordingBody(recording, 'restoring', undefined));
  }

  #giveMediaStatus({ ids: [recordingId = ''], fault }: Call): Reply {
    const recording = this.#recordings.get(recordingId);
    const state = recording?.recordingState();
    if (recording === undefined || state === 'unknown-recording') return notFound();
    const [file] = recording.definition.files ?? [];
    const available = state === undefined && recording.playable && file !== undefined;
    const format = /wav/.test(file?.contentType ?? '') ? 'wav' : /mp4/.test(file?.contentType ?? '') ? 'mp4' : 'opus';
    return jsonReply(200, { id: recordingId, status: available ? 'available' : 'processing', format, ...idOf(fault) });
  }
}

type Asked = Omit<Call, 'token'>;
type Answerer = (asked: Asked, route: Route | undefined) => Promise<Reply>;

interface Matched {
  readonly route: Route | undefined;
  readonly ids: readonly string[];
  /** The route's name and its last id. */
  readonly label: string;
}

function viewOf({ definition: { media } }: ScriptedRecording): string {
  return media === 'screen' ? 'recording:screenRecording:view' : 'recording:recording:view';
}

function secondsLeft(token: Token): number {
  return Math.max(1, Math.ceil((token.windowEnd - performance.now()) / 1_000));
}

function idOf(fault: Fault | undefined): { readonly id?: string } {
  return fault?.id === undefined ? {} : { id: fault.id };
}

function basicOf(request: IncomingMessage): readonly string[] {
  const encoded = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  return Buffer.from(encoded, 'base64').toString('utf8').split(':');
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Of a ConversationDeletionProtectionQuery. */
function idsIn(body: string): readonly string[] {
  const ids = parseJson(body).get('conversationIds');
  return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
}

function parseJson(body: string): ReadonlyMap<string, unknown> {
  const value: unknown = JSON.parse(body === '' ? '{}' : body);
  return new Map<string, unknown>(Object.entries(typeof value === 'object' && value !== null ? value : {}));
}

async function listen(server: Server, port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The simulated Genesys has no port.');
  return `http://127.0.0.1:${String(address.port)}`;
}

async function shut(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}
