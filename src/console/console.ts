/** The table of pages → routes below /console: who asks is known, may ask, and gets a whole page or a sentence that says why not. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import express, { type Express, type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import { Failure } from '../failure.ts';
import { answerFailure, failureOf, levelOfAnswer, pathnameOf } from '../http/errors.ts';
import { leavingSignal } from '../http/play.ts';
import { headerOf } from '../http/headers.ts';
import { withDivisionIds } from './divisions.ts';
import { readForm, returnPath } from './forms.ts';
import type { Assets } from './assets.ts';
import { pageDocument, type Frame, type Theme } from './layout.ts';
import { withPatience } from './patience.ts';
import { PAGES, type PageRoute } from './pages.ts';
import { refusalPage } from './refusal.ts';
import type { ConsoleNeeds, ShownPage, Visit, VisitAnswer } from './visit.ts';
import { Returns } from './returns.ts';
import { LastShown } from './last-shown.ts';
import type { CallFacts, FailureFacts, FoundFacts, FoundRecords } from './page-facts.ts';
import { cookieOf } from './who/cookies.ts';
import type { Role } from '../config/console.ts';
import type { Identity } from './who/identity.ts';
import type { FormTokens } from './who/form-tokens.ts';

export interface DoorExchange {
  readonly req: Request;
  readonly res: Response;
  /** A person does something; a page that looks by itself keeps no session alive. */
  readonly isUse: boolean;
}

/** How visitors are told apart. */
export interface Doorkeeper {
  /** undefined where nobody has signed in. */
  identify(exchange: DoorExchange): Promise<Identity | undefined>;
  /** Where one signs in, and returns from there to `to`; undefined where nobody can. */
  signInAt(to: string): string | undefined;
  /** Signing in and out. */
  routes?(app: Express, show: ShowPage): void;
}

export interface ConsoleOptions {
  readonly assets: Assets;
  readonly doorkeeper: Doorkeeper;
  readonly tokens: FormTokens;
  /** As people call the service; undefined where that is the address it listens on. */
  readonly publicUrl: string | undefined;
  readonly pages?: readonly PageRoute[];
  /** For so long it is believed whether a part that was away is there again; milliseconds. */
  readonly returnsFreshMs?: number;
  /** Recordings that somebody has to look after, as far as that is known now. */
  readonly needsSomeone?: () => number;
}

export interface Exchange {
  readonly req: Request;
  readonly res: Response;
  /** As far as that is known. */
  readonly who: Identity | undefined;
}

/** Sends a page as it stands, to whoever that is. */
export type ShowPage = (shown: ShownPage, exchange: Exchange) => Promise<void>;

/** No exception for anything: scripts and styles are files of ours, and no text becomes a script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "media-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

/** What pages are made of, without what the console keeps itself. */
export type ConsoleGiven = Omit<ConsoleNeeds, 'lastShown' | 'returns'>;

/** Seconds after which a program asks anew for a page that was not of now; open pages look by themselves as often. */
const AGAIN_AFTER_S = 10;

/** For `app.use('/console', …)`. */
export function createConsole(needs: ConsoleGiven, options: ConsoleOptions): RequestHandler {
  return new Console(needs, options).app;
}

class Console {
  readonly app: Express = express();
  readonly #needs: ConsoleNeeds;
  readonly #options: ConsoleOptions;

  constructor(needs: ConsoleGiven, options: ConsoleOptions) {
    const lastShown = {
      find: new LastShown<FoundFacts>(needs),
      calls: new LastShown<CallFacts>(needs),
      failures: new LastShown<FailureFacts>(needs),
      audit: new LastShown<FoundRecords>(needs),
    };
    this.#needs = { ...needs, lastShown, returns: new Returns(needs, options.returnsFreshMs) };
    this.#options = options;
    this.app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
    this.app.use((_req, res, next) => {
      res.setHeader('Content-Security-Policy', POLICY);
      next();
    });
    this.app.get('/assets/:hash/:name', (req, res) => this.#sendAsset(req, res));
    options.doorkeeper.routes?.(this.app, (...shown) => this.#show(...shown));
    for (const route of options.pages ?? PAGES) {
      const method = route.method === 'GET' ? 'get' : 'post';
      this.app[method](route.path, (req, res) => this.#answer(route, req, res));
    }
    this.app.use(() => {
      throw nothingHere();
    });
    this.app.use(async (thrown: unknown, req: Request, res: Response, _next: NextFunction) => {
      const who = await options.doorkeeper.identify({ req, res, isUse: false }).catch(() => undefined);
      await this.#refuse(thrown, { req, res, who, gives: 'page' });
    });
  }

  async #answer(route: PageRoute, req: Request, res: Response): Promise<void> {
    let who: Identity | undefined;
    try {
      who = await this.#identify(route, req, res);
      if (who === undefined) return;
      if (route.role !== undefined && !who.roles.has(route.role)) throw roleMissing(route.role);
      const visit = await this.#visit(who, req, res);
      await this.#send(await this.#answered(route, visit), visit);
    } catch (thrown) {
      await this.#refuse(thrown, { req, res, who, gives: route.gives });
    }
  }

  /** A page comes in time, or says that it cannot; acts and media have bounds of their own. */
  #answered(route: PageRoute, visit: Visit): Promise<VisitAnswer> {
    if (route.gives !== 'page' || route.method !== 'GET') return route.answer(visit, this.#needs);
    const work = (signal: AbortSignal): Promise<VisitAnswer> => route.answer({ ...visit, signal }, this.#needs);
    return withPatience(work, 2 * this.#needs.patienceMs, visit.signal);
  }

  /** Who has not signed in goes there, and comes back to what was asked for. */
  async #identify(route: PageRoute, req: Request, res: Response): Promise<Identity | undefined> {
    const { doorkeeper } = this.#options;
    const who = await doorkeeper.identify({ req, res, isUse: route.gives === 'page' || route.isUse === true });
    if (who !== undefined)
      return who.divisions === 'all' ? who : withDivisionIds(who, await this.#needs.divisions.known());
    const signIn = doorkeeper.signInAt(req.method === 'GET' ? req.originalUrl : pageBefore(req));
    if (route.gives === 'data' || signIn === undefined)
      throw new Failure('unauthorized', 'Nobody is signed in, or the session has ended: sign in again.');
    seeOther(signIn, res);
    return undefined;
  }

  async #visit(who: Identity, req: Request, res: Response): Promise<Visit> {
    const { tokens, publicUrl } = this.#options;
    const { pathname = '/', searchParams = new URLSearchParams() } =
      URL.parse(req.originalUrl, 'http://localhost') ?? {};
    const form = new URLSearchParams();
    if (req.method === 'POST') {
      for (const [name, value] of await readForm(req, publicUrl)) form.append(name, value);
      tokens.require(form.get('token') ?? '', who);
    }
    const params = Object.fromEntries(
      Object.entries(req.params).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
    );
    return {
      who,
      path: pathname,
      query: searchParams,
      params,
      form,
      token: tokens.make(who),
      signal: leavingSignal(res),
      req,
      res,
    };
  }

  async #send(answer: VisitAnswer, { req, res, who }: Visit): Promise<void> {
    if (answer.kind === 'sent' || res.destroyed) return;
    if (answer.kind === 'redirect') return seeOther(answer.to, res);
    if (answer.kind === 'page') {
      if (answer.problem !== undefined) this.#noteAway(answer.problem, { req, res });
      return this.#show(answer, { req, res, who });
    }
    if (answer.etag !== undefined) {
      res.setHeader('ETag', answer.etag);
      if (req.headers['if-none-match'] === answer.etag) return void res.status(304).end();
    }
    res.setHeader('Content-Type', answer.type);
    await sendText(answer.text, req, res);
  }

  #noteAway(problem: Failure, { req, res }: Pick<Exchange, 'req' | 'res'>): void {
    res.setHeader('Retry-After', AGAIN_AFTER_S);
    const requestId = res.getHeader('X-Request-Id');
    this.#needs.log.warn('A page was shown without what is away.', {
      path: pathnameOf(req),
      requestId,
      error: problem,
    });
  }

  async #show(shown: ShownPage, { req, res, who }: Exchange): Promise<void> {
    const { assets, tokens, needsSomeone } = this.#options;
    const frame: Frame = {
      assets,
      who,
      token: who === undefined ? '' : tokens.make(who),
      theme: themeOf(req),
      now: this.#needs.now(),
      divisions: who === undefined || who.divisions === 'all' ? new Map() : await this.#needs.divisions.known(),
      needsSomeone: needsSomeone?.() ?? 0,
    };
    res
      .status(shown.status ?? (shown.problem === undefined ? 200 : 503))
      .setHeader('Content-Type', 'text/html; charset=utf-8');
    await sendText(pageDocument(shown, frame).toString(), req, res);
  }

  /** Under their hash they never change; under another one there is nothing. */
  #sendAsset(req: Request, res: Response): void {
    const { assets } = this.#options;
    const { hash, name } = req.params;
    const asset = hash === assets.hash && typeof name === 'string' ? assets.get(name) : undefined;
    if (asset === undefined) throw nothingHere();
    const zipped = takesGzip(req);
    res.setHeader('Cache-Control', 'public, max-age=31536000, immutable').setHeader('Content-Type', asset.type);
    res.vary('Accept-Encoding');
    if (zipped) res.setHeader('Content-Encoding', 'gzip');
    res.end(zipped ? asset.gzipped : asset.plain);
  }

  async #refuse(thrown: unknown, at: Refused): Promise<void> {
    const { req, res, who, gives } = at;
    const failure = failureOf(thrown);
    const requestId = res.getHeader('X-Request-Id');
    this.#needs.log[levelOfAnswer(failure, res)]('A page could not be shown.', {
      path: pathnameOf(req),
      status: failure.status,
      requestId,
      error: failure,
    });
    if (gives === 'data' || res.headersSent || res.destroyed) return answerFailure(failure, req, res);
    if (!req.complete) res.setHeader('Connection', 'close');
    if (failure.status === 503) res.setHeader('Retry-After', AGAIN_AFTER_S);
    const back = req.method === 'GET' ? undefined : pageBefore(req);
    const refused = refusalPage({ failure, requestId: String(requestId), back }, this.#needs.now());
    await this.#show(refused, { req, res, who });
  }
}

interface Refused extends Exchange {
  readonly gives: PageRoute['gives'];
}

/** Where a form was sent from, so that it can be sent again; only ever a page of ours. */
function pageBefore(req: Request): string {
  const from = URL.parse(headerOf(req.headers, 'referer') ?? '');
  return from === null || from.host !== req.headers.host ? '/console/' : returnPath(`${from.pathname}${from.search}`);
}

function seeOther(to: string, res: Response): void {
  res.status(303).setHeader('Location', to).end();
}

function roleMissing(role: Role): Failure {
  const text = `The role "${role}" is needed here. Whoever runs the service gives it, in CONSOLE_ROLES.`;
  return new Failure('unauthorized', text, { status: 403 });
}

function nothingHere(): Failure {
  return new Failure('not-found', 'There is no such page.');
}

function takesGzip(req: Request): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(req.headers['accept-encoding'] ?? '');
}

/** Pages hold no secret that stays the same: a form's token is another one each time, so that compression tells nothing of it. */
async function sendText(text: string, req: Request, res: Response): Promise<void> {
  res.vary('Accept-Encoding');
  const zipped = takesGzip(req) && text.length > 1_000;
  if (zipped) res.setHeader('Content-Encoding', 'gzip');
  const body = zipped ? await promisify(gzip)(text) : Buffer.from(text);
  res.setHeader('Content-Length', body.length).end(body);
}

/** The switch writes it; anything else in it is nothing. */
function themeOf(req: Request): Theme | undefined {
  const chosen = cookieOf(req, 'archiver-theme');
  return chosen === 'light' || chosen === 'dark' ? chosen : undefined;
}
