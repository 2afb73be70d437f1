/** One OAuth client → a valid access token: cached, fetched once for all who wait, renewed before it expires. */
import type { Dispatcher } from 'undici';
import { CALLS } from '../bounds.ts';
import { isWithin, type WallSpan } from '../clock.ts';
import type { GenesysConfig } from '../config/genesys.ts';
import { Failure, type FailureOptions } from '../failure.ts';
import { Fields } from '../fields.ts';
import { REGIONS } from '../config/regions.ts';
import { nearestOf } from '../nearest.ts';
import { type JsonAnswer, exchange } from './exchange.ts';
import type { HeardClock } from './heard-clock.ts';
import { type Patience, parseRetryAfter, persist, unlessAborted } from '../waiting.ts';

export interface AccessTokensNeeds {
  readonly loginUrl: GenesysConfig['loginUrl'];
  readonly agent: Dispatcher;
  readonly patience: Patience;
  readonly clock: HeardClock;
}

interface Token {
  readonly value: string;
  /** When it was given, or last tried to be renewed; milliseconds of `Date.now()`, like the others. */
  readonly fromMs: number;
  readonly renewAt: number;
  readonly expiresAt: number;
}

interface RefusedCredentials extends WallSpan {
  readonly failure: Failure;
}

/** Refused credentials are asked about at most this often, however many recordings wait for them. */
const REFUSAL_MS = 60_000;
/** A login host that is not reached, or answers with anything else: so often all that wait for a token ask together. */
const ASK_AGAIN_MS = 1_000;
/** A renewal that failed while the old token still works. */
const RENEW_AGAIN_MS = 10_000;
const EARLY_MS = 60_000;
const EARLY_SHARE = 0.1;
const SHORTEST_LIFE_S = 300;
const LONGEST_LIFE_S = 172_800;

/** `POST {login}/oauth/token` with grant type client_credentials (RFC 6749 §4.4). Genesys gives no refresh token. */
export class AccessTokens {
  readonly #client: GenesysConfig['clients'][number];
  readonly #needs: AccessTokensNeeds;
  readonly #closed = new AbortController();
  #token: Token | undefined;
  #wasGiven = false;
  #flight: Promise<Token> | undefined;
  #refusal: RefusedCredentials | undefined;

  constructor(client: GenesysConfig['clients'][number], needs: AccessTokensNeeds) {
    this.#client = client;
    this.#needs = needs;
  }

  /**
   * @throws Failure `misconfigured` naming the variable to check (remembered for a minute), `rate-limited`,
   * `upstream-unavailable`, `upstream-timeout`, `upstream-error` (remembered for a second)
   */
  async get(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const now = Date.now();
    if (this.#token !== undefined && isWithin(freshOf(this.#token), now)) return this.#token.value;
    if (this.#refusal !== undefined && isWithin(this.#refusal, now)) throw stillRefused(this.#refusal, now);
    this.#flight ??= this.#renew().finally(() => (this.#flight = undefined));
    const token = await unlessAborted(this.#flight, signal);
    return token.value;
  }

  /** Genesys refused this token: the next {@link get} fetches another. One already replaced is left alone. */
  invalidate(value: string): void {
    if (this.#token?.value === value) this.#token = undefined;
  }

  /** Whether {@link get} would fail at once. */
  get refused(): boolean {
    return this.#refusal !== undefined && isWithin(this.#refusal);
  }

  close(): void {
    this.#closed.abort(new Failure('stopped', 'The service is stopping.'));
  }

  /** Belongs to nobody's work in particular: only closing stops it. */
  async #renew(): Promise<Token> {
    try {
      this.#token = await persist(() => this.#fetch(), this.#needs.patience, this.#closed.signal);
      this.#refusal = undefined;
      this.#wasGiven = true;
      return this.#token;
    } catch (thrown) {
      const failure = Failure.from(thrown);
      const now = Date.now();
      if (this.#token !== undefined && now < this.#token.expiresAt) {
        const renewAt = Math.min(now + RENEW_AGAIN_MS, this.#token.expiresAt);
        return (this.#token = { ...this.#token, fromMs: now, renewAt });
      }
      const untilMs = now + Math.min(failure.afterMs ?? ASK_AGAIN_MS, CALLS.believedMs);
      this.#refusal = { failure, fromMs: now, untilMs };
      throw failure;
    }
  }

  async #fetch(): Promise<Token> {
    const basic = Buffer.from(`${this.#client.id}:${this.#client.secret}`).toString('base64');
    const asked = {
      method: 'POST',
      url: new URL(`${this.#needs.loginUrl}/oauth/token`),
      headers: { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials',
    } as const;
    const answer = await exchange(asked, this.#needs.agent, this.#closed.signal).catch((thrown: unknown) => {
      throw this.#wasGiven ? thrown : withoutHost(thrown);
    });
    this.#needs.clock.hear(answer);
    if (answer.status >= 200 && answer.status < 300) return parseToken(answer.body, Date.now());
    throw refusedToken(answer, this.#client.id);
  }
}

/** A login host that has no address, and never gave a token, is another one than was meant: waiting mends nothing. */
function withoutHost(thrown: unknown): unknown {
  if (!(thrown instanceof Failure) || thrown.facts['networkError'] !== 'ENOTFOUND') return thrown;
  const host = String(thrown.facts['host']);
  const asked = host.replace(/^login\./, '');
  const region = nearestOf(asked, Object.values(REGIONS));
  const meant = region === undefined || region === asked ? '' : ` Did you mean ${region}?`;
  return new Failure(
    'misconfigured',
    `There is no host ${host} (ENOTFOUND): check GENESYS_REGION (or GENESYS_LOGIN_URL), and the DNS of this machine.${meant}`,
    { cause: thrown, facts: thrown.facts },
  );
}

/** RFC 6749 §5.1, read as gateways write it. Milliseconds of `Date.now()`. */
function parseToken(body: unknown, now: number): Token {
  const fields = Fields.in(body);
  const value = fields?.text('access_token')?.trim();
  if (value === undefined || !/^[\x21-\x7e]{1,8192}$/.test(value) || !isBearer(fields?.raw('token_type')))
    throw noToken('The Genesys login host answered with no token');
  const lifeMs = lifeSeconds(fields?.raw('expires_in')) * 1_000;
  const expiresAt = now + lifeMs;
  return { value, fromMs: now, expiresAt, renewAt: expiresAt - Math.min(EARLY_MS, lifeMs * EARLY_SHARE) };
}

function freshOf({ fromMs, renewAt }: Token): WallSpan {
  return { fromMs, untilMs: renewAt };
}

/** `bearer`, `BearerToken`, or nothing: another kind would have to be sent in another way. */
function isBearer(type: unknown): boolean {
  return typeof type !== 'string' || type.trim() === '' || /^bearer/i.test(type.trim());
}

/** Genesys' lifetimes are 300 s to 172,800 s. One that says nothing is renewed soon; one that lies is met by a 401. */
function lifeSeconds(value: unknown): number {
  const seconds = typeof value === 'string' ? Number(value.trim() || NaN) : value;
  const isLife = typeof seconds === 'number' && Number.isFinite(seconds) && seconds >= 1;
  return isLife ? Math.min(seconds, LONGEST_LIFE_S) : SHORTEST_LIFE_S;
}

function refusedToken(answer: JsonAnswer, clientId: string): Failure {
  const error = Fields.in(answer.body)?.text('error');
  const code = error !== undefined && /^[a-z_]{1,40}$/.test(error) ? error : undefined;
  const said = code ?? `status ${String(answer.status)}`;
  const afterMs = parseRetryAfter(answer.headers['retry-after'], new Date());
  const facts = { clientId, status: answer.status, error: said, correlationId: answer.headers['inin-correlation-id'] };
  const options = { facts, ...(afterMs === undefined ? {} : { afterMs }) };
  if (answer.status === 429)
    return new Failure('rate-limited', 'Genesys is limiting the rate of token requests.', options);
  if (answer.status === 408 || answer.status === 504)
    return new Failure('upstream-timeout', 'The Genesys login host did not answer in time.', options);
  if (answer.status >= 500)
    return new Failure('upstream-unavailable', `The Genesys login host answered ${String(answer.status)}.`, options);
  // RFC 6749 §5.2: a refusal has an error code. What has none is not the login host's word on the client.
  if (code === undefined)
    return noToken(`The Genesys login host answered with neither token nor error (${said})`, options);
  const waitMs = Math.max(afterMs ?? 0, REFUSAL_MS);
  return new Failure('misconfigured', `Genesys gave no token (${said}): ${whatToCheck(said)}`, {
    ...options,
    afterMs: waitMs,
  });
}

function noToken(what: string, options: FailureOptions = {}): Failure {
  return new Failure('upstream-error', `${what}: check GENESYS_REGION (or GENESYS_LOGIN_URL) and any proxy.`, options);
}

function whatToCheck(code: string): string {
  if (code === 'invalid_client')
    return 'check GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET, and that GENESYS_REGION is the region the client was made in.';
  if (code === 'unauthorized_client')
    return 'the client of GENESYS_CLIENT_ID must have the grant type Client Credentials, with a role.';
  return 'check GENESYS_REGION (or GENESYS_LOGIN_URL), GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET.';
}

/** The same deadline, seen from now; none where none was named. */
function stillRefused(refusal: RefusedCredentials, now: number): Failure {
  const { code, message, sort, retry, status, facts } = refusal.failure;
  return new Failure(code, message, {
    cause: refusal.failure,
    sort,
    retry,
    status,
    facts,
    ...(refusal.failure.afterMs === undefined ? {} : { afterMs: refusal.untilMs - now }),
  });
}
