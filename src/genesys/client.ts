/** One OAuth client → answers of the Platform API: a valid token, and a turn within what the token may ask. */
import type { Dispatcher } from 'undici';
import { Failure } from '../failure.ts';
import { sleep } from '../waiting.ts';
import { Allowance, type BookedCall, type CallsSpent } from './allowance.ts';
import { type JsonAnswer, exchange, type JsonRequest } from './exchange.ts';
import type { GenesysCaller } from './genesys.ts';
import type { HeardClock } from './heard-clock.ts';
import { AccessTokens, type AccessTokensNeeds } from './token.ts';

interface ClientNeeds extends AccessTokensNeeds {
  /** How much of each rate window this process may use, from 0 to 1. */
  readonly share: number;
}

/** Who asks, and when waiting for a turn would no longer help (`performance.now()`). */
interface Asker {
  readonly caller: GenesysCaller;
  readonly endsAt: number;
}

export class OAuthClient {
  readonly id: string;
  readonly tokens: AccessTokens;
  readonly #agent: Dispatcher;
  readonly #clock: HeardClock;
  readonly #allowance: Allowance;

  constructor(credentials: { readonly id: string; readonly secret: string }, needs: ClientNeeds) {
    this.id = credentials.id;
    this.tokens = new AccessTokens(credentials, needs);
    this.#agent = needs.agent;
    this.#clock = needs.clock;
    this.#allowance = new Allowance(needs.share);
  }

  /** Milliseconds a call would have to wait for its turn. */
  delayMs(caller: GenesysCaller): number {
    return this.#allowance.delayMs(caller, performance.now());
  }

  /** Calls of its window; undefined before Genesys told. */
  get callsSpent(): CallsSpent | undefined {
    return this.#allowance.spent(performance.now());
  }

  /** Any status is an answer; after a 401 once more with a new token. @throws Failure `busy` or `rate-limited` where its turn comes too late */
  async send(asked: JsonRequest, asker: Asker, signal: AbortSignal): Promise<JsonAnswer> {
    const token = await this.tokens.get(signal);
    const answer = await this.#inTurn(withToken(asked, token), asker, signal);
    if (answer.status !== 401) return answer;
    this.tokens.invalidate(token);
    return this.#inTurn(withToken(asked, await this.tokens.get(signal)), asker, signal);
  }

  /** What a 429 asked for holds for every call of this client. */
  pause(ms: number): void {
    this.#allowance.pause(ms, performance.now());
  }

  async #inTurn(asked: JsonRequest, asker: Asker, signal: AbortSignal): Promise<JsonAnswer> {
    this.#requireTurn(this.delayMs(asker.caller), asker);
    const turn = this.#allowance.book(asker.caller, performance.now());
    let answer: JsonAnswer | undefined;
    try {
      await this.#untilDue(turn, asker, signal);
      answer = await exchange(asked, this.#agent, signal);
      this.#clock.hear(answer);
      return answer;
    } finally {
      this.#allowance.settle(turn, answer?.headers, performance.now());
    }
  }

  async #untilDue(turn: BookedCall, asker: Asker, signal: AbortSignal): Promise<void> {
    for (;;) {
      const leftMs = this.#allowance.leftMs(turn, performance.now());
      if (leftMs === 0) return;
      this.#requireTurn(leftMs, asker);
      await sleep(leftMs, signal);
    }
  }

  #requireTurn(waitMs: number, { caller, endsAt }: Asker): void {
    const now = performance.now();
    if (waitMs === 0 || now + waitMs <= endsAt) return;
    const options = { afterMs: Math.ceil(waitMs) };
    if (caller === 'listener' && !this.#allowance.isPaused(now))
      throw new Failure('busy', 'Listeners have used their share of the Genesys rate limit; ask again later.', options);
    throw new Failure('rate-limited', 'The Genesys rate limit of this client is used up for now.', options);
  }
}

function withToken(asked: JsonRequest, token: string): JsonRequest {
  return { ...asked, headers: { ...asked.headers, authorization: `Bearer ${token}` } };
}
