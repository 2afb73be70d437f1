/** A question to the Platform API → Genesys' answer, or a Failure that knows whether and when to ask again. */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import { Failure } from '../failure.ts';
import { type Patience, persist } from '../waiting.ts';
import type { CallsSpent } from './allowance.ts';
import { OAuthClient } from './client.ts';
import type { JsonAnswer, JsonRequest } from './exchange.ts';
import type { GenesysCaller } from './genesys.ts';
import { HeardClock } from './heard-clock.ts';
import { Outage } from './outage.ts';
import { refusalFailure } from './refusal.ts';

interface ApiNeeds {
  readonly agent: Dispatcher;
  readonly patience: Patience;
  /** How much of each rate window this process may use, from 0 to 1; all of it by default. */
  readonly share?: number;
  /** Told of what is waited for, again and again for as long as it is. */
  readonly onWait?: ((what: string) => void) | undefined;
  readonly onRefused?: OnRefused | undefined;
}

/** Told once of a client of several that Genesys gives no token, until it does again: the others go on without it. */
export type OnRefused = (clientId: string, because: Failure) => void;

/** What takes longer is told of. */
const LONG_MS = 3_000;

interface ApiCall {
  /** GET by default. A PUT is sent once: whether it did anything has to be read back. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Begins with /api/; ids in it are encoded already. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly caller: GenesysCaller;
  /** Who asked for the job that this is about: nobody else is told of it. */
  readonly client?: OAuthClient | undefined;
  readonly patience?: Patience;
  /** See {@link JsonRequest.maxAnswerBytes}. */
  readonly maxAnswerBytes?: number;
}

export interface ClientAnswer extends JsonAnswer {
  /** Who asked. */
  readonly client: OAuthClient;
}

/** A token in use; `revoke` says that Genesys refused it. */
export interface Authorization {
  readonly header: string;
  revoke(): void;
}

export class Api {
  readonly #url: string;
  readonly #patience: Patience;
  readonly #onWait: ((what: string) => void) | undefined;
  /** By the answers of its hosts. */
  readonly clock = new HeardClock();
  readonly #clients: readonly OAuthClient[];
  readonly #onRefused: OnRefused | undefined;
  readonly #toldOf = new Set<OAuthClient>();
  readonly #outage = new Outage();
  #turn = 0;

  constructor(
    config: Pick<GenesysConfig, 'apiUrl' | 'loginUrl' | 'clients'>,
    { share = 1, onWait, onRefused, ...needs }: ApiNeeds,
  ) {
    this.#url = config.apiUrl;
    this.#onRefused = onRefused;
    this.#onWait = onWait;
    this.#patience = { ...needs.patience, onWait: ({ message }) => onWait?.(message) };
    const { loginUrl } = config;
    const around = { agent: needs.agent, patience: this.#patience, clock: this.clock, loginUrl, share };
    this.#clients = config.clients.map((credentials) => new OAuthClient(credentials, around));
  }

  /**
   * A 2xx answer. Waits for its turn (rate limit), asks again for passing failures within its patience, and once more
   * with a new token after a 401.
   * @throws Failure `forbidden`, `not-found`, `gone`, `bad-request`, `misconfigured`, `rate-limited`, `busy` (a listener's
   * share is used up), `upstream-unavailable`, `upstream-timeout`, `upstream-error`; `afterMs` is the Retry-After, whole.
   */
  ask(call: ApiCall, signal: AbortSignal): Promise<ClientAnswer> {
    const patience = patienceOfCall(call, this.#patience);
    const tries = call.method === 'PUT' ? 1 : patience.tries;
    return this.#told(
      persist(
        (leftMs) => this.#attempt(call, leftMs, signal),
        { ...patience, tries, onWait: this.#patience.onWait },
        signal,
      ),
    );
  }

  async #told<T>(work: Promise<T>): Promise<T> {
    if (this.#onWait === undefined) return work;
    const { host } = new URL(this.#url);
    const timer = setInterval(() => this.#onWait?.(`Waiting for Genesys (${host}).`), LONG_MS);
    return work.finally(() => clearInterval(timer));
  }

  /** For a download from the API host itself. */
  async authorization(signal: AbortSignal): Promise<Authorization> {
    const { tokens, token } = await this.#byAny('worker', async ({ tokens }) => ({
      tokens,
      token: await tokens.get(signal),
    }));
    return { header: `Bearer ${token}`, revoke: () => tokens.invalidate(token) };
  }

  /** Of all clients together, in their windows; undefined before Genesys told of any. */
  get callsSpent(): CallsSpent | undefined {
    const told = this.#clients.flatMap((client) => client.callsSpent ?? []);
    if (told.length === 0) return undefined;
    const total = (count: (spent: CallsSpent) => number): number => told.reduce((sum, spent) => sum + count(spent), 0);
    return { made: total(({ made }) => made), allowed: total(({ allowed }) => allowed) };
  }

  /** Gets a token for every client. @throws Failure saying which variable to check, where all are refused. */
  async check(signal: AbortSignal): Promise<void> {
    const refused = new Map<OAuthClient, Failure>();
    for (const client of this.#clients) {
      try {
        await this.#told(client.tokens.get(signal));
        this.#toldOf.delete(client);
      } catch (thrown) {
        if (!isRefusal(thrown)) throw thrown;
        refused.set(client, thrown);
      }
    }
    const [first] = refused.values();
    if (first !== undefined && refused.size === this.#clients.length) throw first;
    for (const [client, because] of refused) this.#tellOf(client, because);
  }

  close(): void {
    for (const { tokens } of this.#clients) tokens.close();
  }

  async #attempt(call: ApiCall, leftMs: number, signal: AbortSignal): Promise<ClientAnswer> {
    this.#outage.check(performance.now());
    try {
      const answer = await this.#accepted(call, leftMs, signal);
      this.#outage.answered();
      return answer;
    } catch (error) {
      this.#outage.failed(call.path, Failure.from(error), performance.now());
      throw error;
    }
  }

  async #accepted(call: ApiCall, leftMs: number, signal: AbortSignal): Promise<ClientAnswer> {
    const asker = { caller: call.caller, endsAt: performance.now() + leftMs };
    const send = async (client: OAuthClient): Promise<ClientAnswer> => ({
      ...(await client.send(this.#exchangeOf(call), asker, signal)),
      client,
    });
    const answer = await (call.client === undefined ? this.#byAny(call.caller, send) : send(call.client));
    const { client } = answer;
    if (answer.status >= 200 && answer.status < 300) return answer;
    const failure = refusalFailure(answer, call.path);
    if (answer.status === 429 && failure.afterMs !== undefined) client.pause(failure.afterMs);
    throw failure;
  }

  #exchangeOf({ method = 'GET', path, body, maxAnswerBytes }: ApiCall): JsonRequest {
    const asked = { method, url: new URL(`${this.#url}${path}`), maxAnswerBytes };
    if (body === undefined) return { ...asked, headers: {} };
    return { ...asked, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  }

  /** By the one whose turn it is; where Genesys refuses it, nothing was sent, and the next one that it does not refuse goes on. */
  async #byAny<T>(caller: GenesysCaller, use: (client: OAuthClient) => Promise<T>): Promise<T> {
    for (;;) {
      const client = this.#next(caller);
      try {
        const used = await use(client);
        this.#toldOf.delete(client);
        return used;
      } catch (thrown) {
        if (!isRefusal(thrown) || !client.tokens.refused) throw thrown;
        if (this.#clients.every(({ tokens }) => tokens.refused)) throw thrown;
        this.#tellOf(client, thrown);
      }
    }
  }

  #tellOf(client: OAuthClient, because: Failure): void {
    if (!this.#toldOf.has(client)) this.#onRefused?.(client.id, because);
    this.#toldOf.add(client);
  }

  /** The client that may send soonest; those that may send now take turns. */
  #next(caller: GenesysCaller): OAuthClient {
    this.#turn += 1;
    const at = this.#turn % Math.max(1, this.#clients.length);
    const inTurn = [...this.#clients.slice(at), ...this.#clients.slice(0, at)];
    const usable = inTurn.filter((client) => !client.tokens.refused);
    const [soonest] = (usable.length > 0 ? usable : inTurn).toSorted((a, b) => a.delayMs(caller) - b.delayMs(caller));
    if (soonest === undefined) throw new Failure('misconfigured', 'No Genesys client is set: set GENESYS_CLIENT_ID.');
    return soonest;
  }
}

/** Genesys' word on a client: it gives it no token. */
function isRefusal(thrown: unknown): thrown is Failure {
  return thrown instanceof Failure && thrown.code === 'misconfigured';
}

/** Somebody sits there and listens, or does not; no delivery holds its slot meanwhile. */
const LISTENER_PATIENCE_MS = 10_000;

function patienceOfCall(call: ApiCall, usual: Patience): Patience {
  const patience = call.patience ?? usual;
  if (call.caller === 'worker') return patience;
  return { ...patience, patienceMs: Math.max(patience.patienceMs, LISTENER_PATIENCE_MS) };
}
