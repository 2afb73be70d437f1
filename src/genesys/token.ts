/** Turns one OAuth client into a valid access token: cached, fetched once for all who wait, renewed before it expires. */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import { Failure } from '../failure.ts';
import { type Answer, exchange } from './exchange.ts';
import { type Patience, parseRetryAfter, persist } from '../waiting.ts';

export interface AccessTokensNeeds {
  readonly loginUrl: GenesysConfig['loginUrl'];
  readonly agent: Dispatcher;
  readonly patience: Patience;
}

export interface Token {
  readonly value: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

/** Refused credentials are asked about at most this often, however many recordings wait for them. */
const REFUSAL_MS = 60_000;
/** However long the login host wants to be left alone: then one question finds out. */
const BELIEVED_MS = 15 * 60_000;
/** A renewal that failed while the old token still works. */
const RENEW_AGAIN_MS = 10_000;
const EARLY_MS = 60_000;
const EARLY_SHARE = 0.1;

/** `POST {login}/oauth/token` with grant type client_credentials (RFC 6749 §4.4). Genesys gives no refresh token. */
export class AccessTokens {
  readonly #client: GenesysConfig['clients'][number];
  readonly #needs: AccessTokensNeeds;
  readonly #closed = new AbortController();
  #token: Token | undefined;
  #flight: Promise<Token> | undefined;
  #refusal: { readonly failure: Failure; readonly until: number } | undefined;

  constructor(client: GenesysConfig['clients'][number], needs: AccessTokensNeeds) {
    this.#client = client;
    this.#needs = needs;
  }

  /**
   * @throws Failure `misconfigured` naming the variable to check (remembered for a minute), `rate-limited`,
   * `upstream-unavailable`, `upstream-timeout`, `upstream-error`
   */
  async get(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const now = Date.now();
    if (this.#token !== undefined && now < this.#token.renewAt) return this.#token.value;
    if (this.#refusal !== undefined && now < this.#refusal.until) throw stillRefused(this.#refusal, now);
    this.#flight ??= this.#renew().finally(() => (this.#flight = undefined));
    const token = await orAborted(this.#flight, signal);
    return token.value;
  }

  /** Genesys refused this token: the next {@link get} fetches another. One already replaced is left alone. */
  invalidate(value: string): void {
    if (this.#token?.value === value) this.#token = undefined;
  }

  /** Whether {@link get} would fail at once. */
  get refused(): boolean {
    return this.#refusal !== undefined && Date.now() < this.#refusal.until;
  }

  close(): void {
    this.#closed.abort(new Failure('stopped', 'The service is stopping.'));
  }

  /** Belongs to nobody's work in particular: only closing stops it. */
  async #renew(): Promise<Token> {
    try {
      this.#token = await persist(() => this.#fetch(), this.#needs.patience, this.#closed.signal);
      this.#refusal = undefined;
      return this.#token;
    } catch (thrown) {
      const failure = Failure.from(thrown);
      const now = Date.now();
      if (this.#token !== undefined && now < this.#token.expiresAt) {
        return (this.#token = { ...this.#token, renewAt: Math.min(now + RENEW_AGAIN_MS, this.#token.expiresAt) });
      }
      if (failure.afterMs !== undefined)
        this.#refusal = { failure, until: now + Math.min(failure.afterMs, BELIEVED_MS) };
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
    const answer = await exchange(asked, this.#needs.agent, this.#closed.signal);
    if (answer.status === 200) return parseToken(answer.body, Date.now());
    throw refusal(answer, this.#client.id);
  }
}

/** Milliseconds of `Date.now()`; lifetimes are 300 s to 172,800 s by Genesys' settings. */
function parseToken(body: unknown, now: number): Token {
  const { access_token, token_type, expires_in } = fieldsOf(body);
  const usable = typeof access_token === 'string' && /^[\x21-\x7e]{1,8192}$/.test(access_token);
  const bearer = typeof token_type === 'string' && token_type.toLowerCase() === 'bearer';
  if (!usable || !bearer || typeof expires_in !== 'number' || !(expires_in > 0)) {
    throw new Failure('upstream-error', 'The login host answered with no token: check GENESYS_LOGIN_URL.');
  }
  const lifeMs = Math.min(expires_in, 172_800) * 1_000;
  const expiresAt = now + lifeMs;
  return { value: access_token, expiresAt, renewAt: expiresAt - Math.min(EARLY_MS, lifeMs * EARLY_SHARE) };
}

function refusal(answer: Answer, clientId: string): Failure {
  const { error } = fieldsOf(answer.body);
  const code = typeof error === 'string' && /^[a-z_]{1,40}$/.test(error) ? error : `status ${String(answer.status)}`;
  const afterMs = parseRetryAfter(answer.headers['retry-after'], new Date());
  const options = {
    facts: { clientId, status: answer.status, error: code, correlationId: answer.headers['inin-correlation-id'] },
    ...(afterMs === undefined ? {} : { afterMs }),
  };
  if (answer.status === 429)
    return new Failure('rate-limited', 'Genesys is limiting the rate of token requests.', options);
  if (answer.status === 408 || answer.status === 504)
    return new Failure('upstream-timeout', 'The Genesys login host did not answer in time.', options);
  if (answer.status >= 500)
    return new Failure('upstream-unavailable', `The Genesys login host answered ${String(answer.status)}.`, options);
  return new Failure('misconfigured', `Genesys gave no token (${code}): ${whatToCheck(code)}`, {
    ...options,
    afterMs: Math.max(afterMs ?? 0, REFUSAL_MS),
  });
}

function whatToCheck(code: string): string {
  if (code === 'invalid_client')
    return 'check GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET, and that GENESYS_REGION is the region the client was made in.';
  if (code === 'unauthorized_client')
    return 'the client of GENESYS_CLIENT_ID must have the grant type Client Credentials, with a role.';
  return 'check GENESYS_REGION (or GENESYS_LOGIN_URL), GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET.';
}

/** The same deadline, seen from now. */
function stillRefused(refusal: { readonly failure: Failure; readonly until: number }, now: number): Failure {
  const { code, message, retry, status, facts } = refusal.failure;
  return new Failure(code, message, { cause: refusal.failure, retry, status, facts, afterMs: refusal.until - now });
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** The promise goes on for the others who wait for it. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
