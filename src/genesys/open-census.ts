/** The configuration → Genesys Cloud as an operator asks it: what is there, rather than what an event says. */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { backoffMs, type Patience } from '../waiting.ts';
import { type AskAnalytics, countClosedDay, countOpenDay, dataAvailableUntil } from './analytics.ts';
import { Api, type ClientAnswer, type OnRefused } from './api.ts';
import type { Census, CountedDay, CountedList } from './census.ts';
import { createAgent, type JsonAnswer } from './exchange.ts';
import { type DivisionGrant, GRANTS_PATH, grantsIn } from './grants.ts';
import { countedRecordings } from './recording-answer.ts';
import { NOBODY, pathOfList } from './recording-api.ts';

export interface CensusOptions {
  /** How much of each rate window this process may use, from 0 to 1. */
  readonly share: number;
  readonly proxies?: Proxies | undefined;
  /** Told of what is waited for, again and again for as long as it is. */
  readonly onWait?: ((what: string) => void) | undefined;
  readonly onRefused?: OnRefused | undefined;
  /** First wait between polls of a job's state. */
  readonly pollMs?: number;
  /** First wait after a passing failure without Retry-After. */
  readonly baseDelayMs?: number;
  readonly now?: () => Date;
}

/** Nobody sits there and waits: a window that is used up is waited for, an outage of a quarter of an hour as well. */
const PATIENCE_MS = 15 * 60_000;
const TRIES = 60;
/** After so many it is asked whether the others are answered. */
const TRIES_IN_DOUBT = 5;
/** A page of analytics tells of a thousand conversations, each in full: some 10 kB for a call with one agent, more with each transfer. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** What Genesys itself says, of whatever it is asked. */
const ANSWERS: ReadonlySet<string> = new Set(['not-found', 'forbidden', 'bad-request', 'gone']);

/** That it may not know of its own role says nothing of what it may see. */
const UNTOLD: ReadonlySet<string> = new Set(['forbidden', 'not-found', 'bad-request']);

export class GenesysCensus implements Census {
  readonly #agent: Dispatcher;
  readonly #api: Api;
  readonly #options: CensusOptions;
  readonly #patience: Patience;
  /** The list that was answered last. */
  #answered = pathOfList(NOBODY);
  readonly calls = { made: 0, polls: 0 };

  constructor(config: GenesysConfig, options: CensusOptions) {
    const { share, proxies, onWait, onRefused, baseDelayMs = 1_000 } = options;
    this.#agent = createAgent(proxies);
    this.#options = options;
    this.#patience = {
      patienceMs: PATIENCE_MS,
      tries: TRIES,
      waitMs: (attempt: number) => backoffMs(attempt, { baseMs: baseDelayMs, capMs: 60 * baseDelayMs }),
    };
    this.#api = new Api(config, { agent: this.#agent, patience: this.#patience, share, onWait, onRefused });
  }

  /** By Genesys' clock once it was asked anything. */
  now(): Date {
    return this.#options.now?.() ?? this.#api.clock.now();
  }

  /** How far Genesys' clock goes before ours, ms; a token is asked for where nothing was yet. @throws Failure where it gives none */
  async skewMs(signal: AbortSignal): Promise<number> {
    if (this.heardSkewMs === undefined) await this.#api.check(signal);
    return this.heardSkewMs ?? 0;
  }

  /** undefined before it was asked anything. */
  get heardSkewMs(): number | undefined {
    return this.#api.clock.skewMs;
  }

  dataUntil(signal: AbortSignal): Promise<Date> {
    return dataAvailableUntil(this.#needs(), signal);
  }

  conversationsOf(day: string, isClosed: boolean, signal: AbortSignal): CountedDay {
    return isClosed ? countClosedDay(day, this.#needs(), signal) : countOpenDay(day, this.#needs(), signal);
  }

  async recordingsOf(conversationId: string, signal: AbortSignal): Promise<CountedList> {
    return countedRecordings(await this.#listOf(conversationId, signal), conversationId);
  }

  async grants(signal: AbortSignal): Promise<readonly DivisionGrant[] | undefined> {
    try {
      return grantsIn((await this.#ask({ method: 'GET', path: GRANTS_PATH }, signal)).body);
    } catch (thrown) {
      if (thrown instanceof Failure && UNTOLD.has(thrown.code)) return undefined;
      throw thrown;
    }
  }

  async close(): Promise<void> {
    this.#api.close();
    await this.#agent.destroy();
  }

  /** An outage is waited for; what is wrong with this one alone is found out by the list of another, and said. */
  async #listOf(conversationId: string, signal: AbortSignal): Promise<JsonAnswer> {
    const path = pathOfList(conversationId);
    let isAlone = false;
    const isWorthwhile = async ({ code }: Failure, tries: number): Promise<boolean> => {
      if (code === 'rate-limited' || tries < TRIES_IN_DOUBT) return true;
      if (isAlone) return false;
      isAlone = await this.#isAnswered(this.#answered, signal);
      return true;
    };
    try {
      const answer = await this.#ask({ method: 'GET', path, patience: { ...this.#patience, isWorthwhile } }, signal);
      this.#answered = path;
      return answer;
    } catch (thrown) {
      if (!(thrown instanceof Failure) || !isAlone) throw thrown;
      throw aloneUnanswered(thrown);
    }
  }

  /** Any word of Genesys is an answer. */
  async #isAnswered(path: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#ask({ method: 'GET', path, patience: { ...this.#patience, tries: 1 } }, signal);
      return true;
    } catch (thrown) {
      return thrown instanceof Failure && ANSWERS.has(thrown.code);
    }
  }

  #needs() {
    const { pollMs } = this.#options;
    return {
      ask: this.#ask,
      onPoll: (): void => {
        this.calls.polls += 1;
        this.calls.made -= 1;
      },
      ...(pollMs === undefined ? {} : { pollMs }),
      now: () => this.now(),
    };
  }

  readonly #ask = (asked: CensusCall, signal: AbortSignal): Promise<ClientAnswer> => {
    this.calls.made += 1;
    return this.#api.ask({ ...asked, caller: 'worker', maxAnswerBytes: MAX_ANSWER_BYTES }, signal);
  };
}

type CensusCall = Parameters<AskAnalytics>[0] & { readonly patience?: Patience };

function aloneUnanswered({ message, facts }: Failure): Failure {
  return new Failure(
    'upstream-error',
    `Genesys tells of other conversations, and of this one again and again: ${message} Look at it in Genesys Cloud, and ask its support if it stays.`,
    { facts },
  );
}
