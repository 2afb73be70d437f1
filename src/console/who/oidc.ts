/** An identity provider that speaks OpenID Connect → a session: code flow with PKCE, state and nonce (OpenID Connect Core 1.0 §3.1). */
import type { Express, Request, Response } from 'express';
import * as client from 'openid-client';
import { ClockWatch } from '../../clock.ts';
import { Failure } from '../../failure.ts';
import { Fields } from '../../fields.ts';
import { addressOf } from '../../http/witness.ts';
import type { Doorkeeper, DoorExchange, ShowPage } from '../console.ts';
import { readForm, returnPath } from '../forms.ts';
import { departurePage, signedOutPage } from '../sign-in.ts';
import { cookieName, cookieOf, cookieText } from './cookies.ts';
import { identityOf, type Identity, type Person } from './identity.ts';
import type { DoorNeeds } from './key.ts';
import type { Seal } from './sealed.ts';
import { endOfSession, isPlainRequest } from './session.ts';
import { Slowdown } from './slowdown.ts';

export interface OidcDoorNeeds extends DoorNeeds {
  readonly publicUrl: string;
  readonly issuer: string;
  readonly clientId: string;
  /** Asked for at each use. */
  readonly clientSecret: () => string;
  /** The claim that names groups. */
  readonly groups: string;
  readonly seal: Seal;
  readonly fetch: client.CustomFetch;
}

/** What is remembered while somebody is at the provider; sealed in a cookie, so that the answer is theirs and no one else's. */
interface Departure {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly to: string;
}

const CALLBACK = '/console/sign-in/callback';
const LEAVE = '/console/sign-in/leave';
const COOKIE = 'archiver-sign-in';
const PURPOSE = 'sign-in';
const AWAY_S = 600;
const ANSWER_WITHIN_S = 10;

export class OidcDoor implements Doorkeeper {
  readonly #needs: OidcDoorNeeds;
  readonly #clock = new ClockWatch();
  readonly #slowdown = new Slowdown();
  #found: { readonly secret: string; readonly configuration: Promise<client.Configuration> } | undefined;

  constructor(needs: OidcDoorNeeds) {
    this.#needs = needs;
  }

  async identify({ req, res, isUse }: DoorExchange): Promise<Identity | undefined> {
    const session = await this.#needs.sessions.of({ req, res }, isUse);
    if (session?.way !== 'oidc') return undefined;
    return { ...identityOf(session, this.#needs.grants), ends: endOfSession(session) };
  }

  signInAt(to: string): string {
    return `/console/sign-in?to=${encodeURIComponent(to)}`;
  }

  routes(app: Express, show: ShowPage): void {
    app.get('/sign-in', (req, res) => show(departurePage(pageAfter(req), LEAVE), { req, res, who: undefined }));
    app.get('/sign-in/leave', (req, res) => this.#leave(req, res));
    app.get('/sign-in/callback', (req, res) => this.#return(req, res));
    app.get('/signed-out', (req, res) => show(signedOutPage(), { req, res, who: undefined }));
    app.post('/sign-out', (req, res) => this.#signOut(req, res));
  }

  async #signOut(req: Request, res: Response): Promise<void> {
    await readForm(req, this.#needs.publicUrl);
    this.#needs.sessions.end({ req, res });
    res.status(303).setHeader('Location', '/console/signed-out').end();
  }

  async #leave(req: Request, res: Response): Promise<void> {
    const configuration = await this.#configuration();
    const departure: Departure = {
      state: client.randomState(),
      nonce: client.randomNonce(),
      verifier: client.randomPKCECodeVerifier(),
      to: pageAfter(req),
    };
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: `${this.#needs.publicUrl}${CALLBACK}`,
      scope: 'openid email',
      state: departure.state,
      nonce: departure.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(departure.verifier),
      code_challenge_method: 'S256',
    });
    const sealed = await this.#needs.seal.seal({ facts: { ...departure }, purpose: PURPOSE, lifetimeS: AWAY_S });
    res.appendHeader('Set-Cookie', cookieText(COOKIE, sealed, { isPlain: isPlainRequest(req), maxAgeS: AWAY_S }));
    res.status(303).setHeader('Location', url.href).end();
  }

  /** What one began with can be sent again and again. @throws Failure with status 429 where an address has to wait */
  #requirePatience(address: string, res: Response): void {
    const afterS = this.#slowdown.holdBack(address, res);
    if (afterS === 0) return;
    const text = `Signing in did not work too often: wait ${String(afterS)} seconds, then open the console again.`;
    throw new Failure('unauthorized', text, { status: 429 });
  }

  /** @throws Failure `unauthorized` | `upstream-unavailable`, which is shown as a page */
  async #return(req: Request, res: Response): Promise<void> {
    const { sessions, witness, publicUrl, proxies } = this.#needs;
    const departure = await this.#departureOf(req);
    const address = addressOf(req, proxies) ?? '';
    this.#requirePatience(address, res);
    res.appendHeader('Set-Cookie', cookieText(COOKIE, '', { isPlain: isPlainRequest(req), maxAgeS: 0 }));
    const { search = '' } = URL.parse(req.originalUrl, 'http://localhost') ?? {};
    const person = await this.#exchange(new URL(`${publicUrl}${CALLBACK}${search}`), departure);
    if (person instanceof Failure) {
      if (person.code === 'unauthorized') this.#slowdown.failed(address);
      await witness.record(req, { action: 'refused', way: 'oidc', who: 'nobody', about: { reason: person.code } });
      throw person;
    }
    this.#slowdown.succeeded(address);
    await witness.record(req, { action: 'signed-in', way: 'oidc', who: person.id });
    await sessions.begin({ ...person, keyMark: undefined }, { req, res });
    res.status(303).setHeader('Location', departure.to).end();
  }

  async #departureOf(req: Request): Promise<Departure> {
    const text = cookieOf(req, cookieName(COOKIE, isPlainRequest(req))) ?? '';
    const fields = Fields.in((await this.#needs.seal.open(text, PURPOSE))?.facts);
    const [state, nonce] = [fields?.text('state'), fields?.text('nonce')];
    const [verifier, to] = [fields?.text('verifier'), fields?.text('to')];
    if (state === undefined || nonce === undefined || verifier === undefined || to === undefined)
      throw notSignedIn('this browser has not begun to sign in, or too long ago');
    return { state, nonce, verifier, to };
  }

  async #exchange(url: URL, { state, nonce, verifier }: Departure): Promise<Person | Failure> {
    const configuration = await this.#configuration();
    try {
      const tokens = await client.authorizationCodeGrant(configuration, url, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      return this.#personIn(tokens.claims());
    } catch (thrown) {
      if (thrown instanceof Failure) return thrown;
      return isUnreachable(thrown) ? providerAway(thrown) : notSignedIn(reasonIn(thrown), thrown);
    }
  }

  /** An address counts unless the provider says that it has not verified it; then only its own name for somebody does. */
  #personIn(claims: object | undefined): Person {
    const fields = Fields.in(claims);
    const [sub, email] = [fields?.text('sub'), fields?.text('email')];
    if (sub === undefined) throw notSignedIn('the provider has not said who it is');
    const isAddress = email !== undefined && fields?.boolean('email_verified') !== false;
    const known = new Set(this.#needs.grants.flatMap(({ to }) => (to.kind === 'group' ? [to.name] : [])));
    const groups = (fields?.array(this.#needs.groups) ?? []).filter((name): name is string => known.has(String(name)));
    return { id: isAddress ? email.toLowerCase() : `sub:${sub}`, way: 'oidc', isAddress, groups };
  }

  /** What the provider says of itself: asked for once, and again where that failed, the secret is another one or the clock was set back. */
  #configuration(): Promise<client.Configuration> {
    if (this.#clock.wasSetBack()) this.#found = undefined;
    const secret = this.#needs.clientSecret();
    if (this.#found?.secret === secret) return this.#found.configuration;
    const configuration = this.#discover(secret);
    const found = { secret, configuration };
    this.#found = found;
    configuration.catch(() => {
      if (this.#found === found) this.#found = undefined;
    });
    return configuration;
  }

  async #discover(secret: string): Promise<client.Configuration> {
    const { issuer, clientId, fetch } = this.#needs;
    const isPlain = issuer.startsWith('http:');
    // The library leaves out signatures that come straight from the provider; whoever is between is not to be trusted either.
    const execute = [client.enableNonRepudiationChecks, ...(isPlain ? [client.allowInsecureRequests] : [])];
    try {
      const options = { execute, timeout: ANSWER_WITHIN_S, [client.customFetch]: fetch };
      return await client.discovery(new URL(issuer), clientId, secret, undefined, options);
    } catch (cause) {
      throw providerAway(cause);
    }
  }
}

function pageAfter({ originalUrl }: Request): string {
  return returnPath(URL.parse(originalUrl, 'http://localhost')?.searchParams.get('to') ?? null);
}

function notSignedIn(why: string, cause?: unknown): Failure {
  return new Failure('unauthorized', `Signing in did not work: ${why}. Open the console again to begin anew.`, {
    cause,
  });
}

function providerAway(cause: unknown): Failure {
  const text =
    'The identity provider (CONSOLE_OIDC_ISSUER) cannot be reached or does not answer as one; try again in a moment.';
  return new Failure('upstream-unavailable', text, { cause });
}

/** The library's own errors speak of answers; anything else (fetch, DNS, TLS) of the way. */
function isUnreachable(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return !code.startsWith('OAUTH_') || code === 'OAUTH_TIMEOUT' || code === 'OAUTH_RESPONSE_IS_NOT_JSON';
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
}

/** A word of the provider where it has one (`access_denied`), else of the library; none of them holds a secret. */
function reasonIn(thrown: unknown): string {
  if (codeOf(thrown) === 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED')
    return 'by the clock of this machine the provider’s answer is of another time; whoever runs the service sets it right';
  const word = thrown instanceof Error && 'error' in thrown ? thrown.error : undefined;
  if (typeof word === 'string' && /^[a-z_]{1,40}$/.test(word)) return `the provider says ${word}`;
  return 'what came back is not the answer to what this browser asked';
}
