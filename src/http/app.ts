/** The parts a deployable has → its routes: the table of contents of everything that arrives over HTTP. */
import express, { type Express, type RequestHandler } from 'express';
import type { Audit } from '../audit/audit.ts';
import { BODIES, LISTENERS, LISTINGS, REQUESTS } from '../bounds.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createIdentify, requireApiKey, type ApiAuth } from './auth.ts';
import { BodyRoom } from './body-room.ts';
import { createErrorAnswers, pathnameOf, refuseMethod, refusePath, requestIdFor } from './errors.ts';
import { answerAlive, answerMetrics, answerReady, type Readiness } from './health.ts';
import { requireOwnHost } from './host.ts';
import { serveMedia, type MediaNeeds } from './media.ts';
import { allowOrigins } from './origins.ts';
import { receivePush, refusePush, type PushNeeds } from './push.ts';
import type { OverviewNeeds } from '../overview.ts';
import { KeyRates, limitRate } from './rate.ts';
import { linkRecording, listRecordings, showRecording, type RecordingsSource } from './recordings.ts';
import { showDays, showStatus } from './status.ts';
import { Turnstile } from './turnstile.ts';
import { createVerify, type WebhookAuth } from './signature.ts';
import { transcode, type TranscodeNeeds } from './transcode.ts';
import { Witness } from './witness.ts';
import { receiveEvents, refuseEvents, type WebhookNeeds } from './webhook.ts';

/** What is absent has no route. */
export interface AppNeeds {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly clock?: Clock;
  /** Who may see figures and reasons, and listen. Without it nobody. */
  readonly auth?: ApiAuth;
  /** Besides this machine's own names, the host that is answered where no key is asked for. */
  readonly publicUrl?: string | undefined;
  /** Receiver. */
  readonly webhook?: {
    readonly auth: WebhookAuth;
    readonly queue: WebhookNeeds['queue'];
    readonly deadlineMs?: number;
  };
  /** Worker that Pub/Sub pushes to. */
  readonly push?: Omit<PushNeeds, 'bodies'>;
  /** Where listens are put on record before their first byte; without one nothing is played, shown or linked. */
  readonly audit?: Pick<Audit, 'record'>;
  /** Proxies in front of this service whose X-Forwarded-For is believed; none by default. */
  readonly proxies?: number;
  /** Playback: both stand behind `auth`. */
  readonly playback?: {
    readonly transcode?: Pick<TranscodeNeeds, 'listen' | 'archive'>;
    readonly recordings?: RecordingsSource;
  };
  /** How the archive is doing, behind `auth`. */
  readonly overview?: OverviewNeeds;
  /** Playback, embedded archive only. */
  readonly media?: MediaNeeds['archive'];
  /** Pages for people, below /console. */
  readonly console?: RequestHandler;
  /** Origins whose pages may read what a link leads to; `*` for all, none by default. */
  readonly linkOrigins?: readonly string[];
}

export function createApp(parts: AppNeeds): Express {
  const { log, metrics, clock } = parts;
  const witness = new Witness(parts.audit, { proxies: parts.proxies ?? 0 });
  const { all, perKey, live, livePerKey, retryAfterMs } = LISTENERS;
  const listeners = new Turnstile({ all, perKey, retryAfterMs, what: 'listeners' });
  const liveListeners = new Turnstile({ all: live, perKey: livePerKey, retryAfterMs, what: 'live listeners' });
  const bodies = new BodyRoom(BODIES);
  const lists = new Turnstile({ ...LISTINGS, what: 'lists' });
  const playing = { metrics, log, witness, listeners, ...(clock === undefined ? {} : { clock }) };
  metrics.gauge('listeners', () => listeners.inside);
  const app = bareApp(log);
  const auth = parts.auth ?? NOBODY;
  if (!auth.required || parts.webhook?.auth.required === false) app.use(requireOwnHost(parts.publicUrl));
  if (parts.webhook !== undefined) {
    const verify = createVerify(parts.webhook.auth);
    const path = '/webhooks/genesys';
    app.post(path, receiveEvents({ ...parts.webhook, verify, metrics, bodies }));
    app.all(path, refuseMethod('POST'));
    app.use(path, refuseEvents(log, metrics));
  }
  if (parts.push !== undefined) {
    const path = '/pubsub/push';
    app.post(path, receivePush({ ...parts.push, bodies }));
    app.all(path, refuseMethod('POST'));
    app.use(path, refusePush(log));
  }
  const get = (path: string, ...handlers: readonly RequestHandler[]): void => answerGet(app, path, ...handlers);
  const { perSecond = REQUESTS.perSecond } = auth;
  const allowed = requireApiKey(auth);
  const permitted = [allowed, limitRate(new KeyRates({ perSecond, burst: REQUESTS.burstS * perSecond }))];
  const identify = createIdentify(auth);
  get('/healthz', answerAlive);
  get(
    '/readyz',
    answerReady(parts.readiness, (req) => !auth.required || identify(req) !== undefined),
  );
  get('/metrics', allowed, answerMetrics(metrics));
  const way = auth.required ? 'key' : 'none';
  if (parts.overview !== undefined) {
    const needs = { overview: parts.overview, witness, lists, way } as const;
    get('/status', ...permitted, showStatus(needs));
    get('/days', ...permitted, showDays(needs));
  }
  if (parts.playback !== undefined) {
    const { transcode: live, recordings } = parts.playback;
    if (live !== undefined) get('/transcode', ...permitted, transcode({ ...live, ...playing, liveListeners, way }));
    if (recordings !== undefined) {
      const needs = { ...recordings, witness, lists, way, ...(clock === undefined ? {} : { clock }) } as const;
      get('/recordings', ...permitted, listRecordings(needs));
      get('/recordings/:conversationId/:recordingId', ...permitted, showRecording(needs));
      get('/recordings/:conversationId/:recordingId/link', ...permitted, linkRecording(needs));
    }
  }
  if (parts.media !== undefined) {
    app.use('/media', allowOrigins(parts.linkOrigins ?? []));
    get('/media/:conversationId/:recordingId', serveMedia({ archive: parts.media, ...playing }));
  }
  if (parts.console !== undefined) app.use('/console', parts.console);
  app.use(refusePath);
  app.use(createErrorAnswers(log));
  return app;
}

/** Until somebody gives out keys. */
const NOBODY: ApiAuth = { required: true, keys: [] };

/** Figures and reasons on an address of their own, for whoever can reach it: no key is asked for. */
export function createMetricsApp(parts: Pick<AppNeeds, 'log' | 'metrics' | 'readiness'>, isLoopback: boolean): Express {
  const app = bareApp(parts.log);
  if (isLoopback) app.use(requireOwnHost());
  answerGet(app, '/healthz', answerAlive);
  answerGet(
    app,
    '/readyz',
    answerReady(parts.readiness, () => true),
  );
  answerGet(app, '/metrics', answerMetrics(parts.metrics));
  return app.use(refusePath, createErrorAnswers(parts.log));
}

function bareApp(log: Log): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
  return app.use(prepare(log));
}

function answerGet(app: Express, path: string, ...handlers: readonly RequestHandler[]): void {
  app.get(path, ...handlers);
  app.all(path, refuseMethod('GET, HEAD'));
}

/** What every answer carries. Everything here has ids or secrets in it, or is out of date at once: nothing is stored. */
const HEADERS = new Map([
  ['Cache-Control', 'no-store'],
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  ['Referrer-Policy', 'no-referrer'],
  ['X-Content-Type-Options', 'nosniff'],
]);

/** The path goes to the log without its query, which may hold a signature. */
function prepare(log: Log): RequestHandler {
  return (req, res, next) => {
    const started = performance.now();
    const requestId = requestIdFor(req);
    res.setHeaders(HEADERS).setHeader('X-Request-Id', requestId);
    res.once('close', () => {
      const ms = Math.round(performance.now() - started);
      log.debug('A request was answered.', {
        method: req.method,
        path: pathnameOf(req),
        status: res.statusCode,
        complete: res.writableFinished,
        ms,
        requestId,
      });
    });
    next();
  };
}
