/** Turns a path of the Platform API into Genesys' answer, or into a Failure that knows whether and when to ask again. */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import { Failure, type FailureCode } from '../failure.ts';
import { type Answer, exchange } from './exchange.ts';
import { Pace } from './pace.ts';
import { type Patience, parseRetryAfter, persist, sleep } from '../waiting.ts';
import { TokenSource } from './token.ts';

export interface ApiDeps {
  readonly agent: Dispatcher;
  readonly patience: Patience;
}

export interface Ask {
  /** Begins with /api/; ids in it are encoded already. */
  readonly path: string;
  readonly patience?: Patience;
}

/** A token in use; `revoke` says that Genesys refused it. */
export interface Authorization {
  readonly header: string;
  revoke(): void;
}

export interface Api {
  /**
   * A 2xx answer. Waits for its turn (rate limit), asks again for passing failures within its patience, and once more
   * with a new token after a 401.
   * @throws Failure `forbidden`, `not-found`, `gone`, `bad-request`, `misconfigured`, `rate-limited`,
   * `upstream-unavailable`, `upstream-timeout`, `upstream-error`; `afterMs` is the Retry-After, whole.
   */
  get(ask: Ask, signal: AbortSignal): Promise<Answer>;
  /** For a download from the API host itself. */
  authorization(signal: AbortSignal): Promise<Authorization>;
  /** Gets a token for every client. @throws Failure saying which variable to check. */
  check(signal: AbortSignal): Promise<void>;
  close(): void;
}

interface Client {
  readonly tokens: TokenSource;
  readonly pace: Pace;
}

export function createApi(config: Pick<GenesysConfig, 'apiUrl' | 'loginUrl' | 'clients'>, deps: ApiDeps): Api {
  const clients = config.clients.map((client): Client => {
    return { tokens: new TokenSource(client, { ...deps, loginUrl: config.loginUrl }), pace: new Pace() };
  });
  let turn = 0;

  /** The client that may send soonest; those that may send now take turns. */
  function next(): Client {
    turn += 1;
    const now = performance.now();
    const inTurn = clients
      .map((_, index) => clients[(turn + index) % clients.length])
      .filter((each) => each !== undefined);
    const usable = inTurn.filter((client) => !client.tokens.refused);
    const [soonest] = (usable.length > 0 ? usable : inTurn).toSorted(
      (a, b) => a.pace.delayMs(now) - b.pace.delayMs(now),
    );
    if (soonest === undefined) throw new Failure('misconfigured', 'No Genesys client is set: set GENESYS_CLIENT_ID.');
    return soonest;
  }

  async function send(client: Client, path: string, leftMs: number, signal: AbortSignal) {
    const waitMs = client.pace.delayMs(performance.now());
    if (waitMs > leftMs) throw outOfAllowance(waitMs);
    client.pace.book(performance.now());
    let answer: Answer | undefined;
    try {
      await sleep(waitMs, signal);
      const token = await client.tokens.get(signal);
      const url = new URL(`${config.apiUrl}${path}`);
      answer = await exchange(
        { method: 'GET', url, headers: { authorization: `Bearer ${token}` } },
        deps.agent,
        signal,
      );
      return { token, answer };
    } finally {
      client.pace.settle(answer?.headers, performance.now());
    }
  }

  async function ask(path: string, leftMs: number, signal: AbortSignal): Promise<Answer> {
    const client = next();
    const first = await send(client, path, leftMs, signal);
    if (first.answer.status !== 401) return accept(first.answer, path, client.pace);
    client.tokens.invalidate(first.token);
    const second = await send(client, path, leftMs, signal);
    return accept(second.answer, path, client.pace);
  }

  return {
    get: (asked, signal) =>
      persist((leftMs) => ask(asked.path, leftMs, signal), asked.patience ?? deps.patience, signal),
    authorization: async (signal) => {
      const { tokens } = next();
      const token = await tokens.get(signal);
      return { header: `Bearer ${token}`, revoke: () => tokens.invalidate(token) };
    },
    check: async (signal) => {
      for (const { tokens } of clients) await tokens.get(signal);
    },
    close: () => {
      for (const { tokens } of clients) tokens.close();
    },
  };
}

function outOfAllowance(waitMs: number): Failure {
  return new Failure('rate-limited', 'The Genesys rate limit of this client is used up for now.', {
    afterMs: Math.ceil(waitMs),
  });
}

function accept(answer: Answer, path: string, pace: Pace): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  const failure = refusalOf(answer, path);
  if (answer.status === 429 && failure.afterMs !== undefined) pace.pause(failure.afterMs, performance.now());
  throw failure;
}

/** Genesys' ErrorBody: https://developer.genesys.cloud/platform/api/response-codes */
function refusalOf(answer: Answer, path: string): Failure {
  const body: Readonly<Record<string, unknown>> =
    typeof answer.body === 'object' && answer.body !== null ? { ...answer.body } : {};
  const code = typeof body['code'] === 'string' && /^[a-z0-9._-]{1,64}$/i.test(body['code']) ? body['code'] : undefined;
  const afterMs = parseRetryAfter(answer.headers['retry-after'], new Date());
  const meaning = meaningOf(answer.status);
  return new Failure(meaning.code, `${meaning.text} (${code ?? `status ${String(answer.status)}`})`, {
    ...(meaning.late === true ? { sort: 'recording', retry: 'wait' } : {}),
    ...(afterMs === undefined ? (meaning.afterMs === undefined ? {} : { afterMs: meaning.afterMs }) : { afterMs }),
    facts: {
      path,
      status: answer.status,
      code,
      correlationId: answer.headers['inin-correlation-id'] ?? body['contextId'],
    },
  });
}

interface Meaning {
  readonly code: FailureCode;
  readonly text: string;
  /** Genesys may still come to know it: it waits for as long as a recording may be late. */
  readonly late?: boolean;
  readonly afterMs?: number;
}

function meaningOf(status: number): Meaning {
  const known = MEANINGS.get(status);
  if (known !== undefined) return known;
  if (status >= 500)
    return { code: 'upstream-unavailable', text: 'Genesys has a fault or is overloaded; try again later' };
  return { code: 'upstream-error', text: 'Genesys answered in a way this service does not know' };
}

const PERMISSIONS =
  'give the role of GENESYS_CLIENT_ID recording:recording:view (and recording:screenRecording:view), for the divisions that are recorded';

const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  [400, { code: 'bad-request', text: 'Genesys refused the ids as malformed; check recordingId and conversationId' }],
  [
    401,
    {
      code: 'misconfigured',
      text: 'Genesys refused a new token as well; check that GENESYS_API_URL and GENESYS_LOGIN_URL are of one region and that the client is active',
      afterMs: 60_000,
    },
  ],
  [403, { code: 'forbidden', text: `Genesys denied access; ${PERMISSIONS}` }],
  // Right after a call its recording may not be known yet.
  [404, { code: 'not-found', text: 'Genesys does not know this recording under this conversation', late: true }],
  [408, { code: 'upstream-timeout', text: 'Genesys did not answer in time' }],
  [410, { code: 'gone', text: 'Genesys has deleted this recording' }],
  [429, { code: 'rate-limited', text: 'Genesys is limiting the rate of requests' }],
  [504, { code: 'upstream-timeout', text: 'Genesys did not answer in time' }],
]);
