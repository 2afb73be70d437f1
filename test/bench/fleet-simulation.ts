/**
 * A day of recordings in simulated time: what arrives, waits, is asked for and is archived, by the very rules of the service
 * (genesys/allowance.ts, schedule.ts) over a modelled Genesys. `node test/bench/fleet-simulation.ts` answers how many workers
 * and clients a lag takes; the benchmark (`--only fleet`) holds its small end against the real service.
 */
import { parseArgs } from 'node:util';
import { Failure } from '../../src/failure.ts';
import { Allowance } from '../../src/genesys/allowance.ts';
import { nextLookAfter, nextTryOf } from '../../src/delivery/schedule.ts';
import { seeded } from '../support/soak.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export interface Fleet {
  /** Conversations of the day; each has one call, some a screen besides. */
  readonly conversations: number;
  readonly screens: number;
  /** Processes; each gets a token of its own of every client. */
  readonly workers: number;
  readonly clients: number;
  /** Recordings at work at once, per process. */
  readonly slots: number;
  /** Of each token. */
  readonly limit: { readonly allowed: number; readonly windowMs: number };
  /** Of a day, from 0 to 1: how much of it has ended by this share of the day. */
  readonly arrival: 'office' | 'at-once';
  /** Of recordings, those that Genesys is still transcoding when they are first asked for, and for how long. */
  readonly notReady: { readonly share: number; readonly ms: number };
  /** Until an answer of Genesys, and from there until it is archived. */
  readonly callMs: number;
  readonly workMs: number;
  /** Genesys answers nothing. */
  readonly outage?: { readonly fromMs: number; readonly untilMs: number };
  readonly seed: number;
}

export interface Course {
  readonly archived: number;
  readonly calls: number;
  /** Of them those that look whether a conversation has got more since. */
  readonly laterLooks: number;
  /** The most in one minute. */
  readonly callsInAMinute: number;
  readonly longestQueue: number;
  /** From the end of the call until it is archived, ms. */
  readonly medianMs: number;
  readonly p99Ms: number;
  /** When the last one was archived, ms since the day began. */
  readonly overAtMs: number;
}

interface Work {
  readonly kind: 'conversation' | 'recording';
  readonly endedAtMs: number;
  /** A conversation: whether it was looked at before. A recording: which worker's list has told it. */
  from: number;
  attempt: number;
  /** A recording was asked for before: it is transcoded by now. */
  asked: boolean;
}

/** Smallest first. */
class Agenda {
  readonly #at: number[] = [];
  readonly #what: Work[] = [];

  get size(): number {
    return this.#at.length;
  }

  get firstMs(): number {
    return this.#at[0] ?? Infinity;
  }

  push(atMs: number, work: Work): void {
    const [at, what] = [this.#at, this.#what];
    let index = at.push(atMs) - 1;
    what.push(work);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((at[parent] ?? 0) <= atMs) break;
      this.#swap(index, parent);
      index = parent;
    }
  }

  pop(): Work {
    const first = this.#what[0];
    const [lastAt, last] = [this.#at.pop(), this.#what.pop()];
    if (first === undefined || lastAt === undefined || last === undefined) throw new Error('Nothing is due.');
    if (this.#at.length === 0) return first;
    this.#at[0] = lastAt;
    this.#what[0] = last;
    for (let index = 0; ;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      const least = [left, right].reduce(
        (a, b) => ((this.#at[b] ?? Infinity) < (this.#at[a] ?? Infinity) ? b : a),
        index,
      );
      if (least === index) return first;
      this.#swap(index, least);
      index = least;
    }
  }

  #swap(a: number, b: number): void {
    const [at, what] = [this.#at, this.#what];
    [at[a], at[b]] = [at[b] ?? 0, at[a] ?? 0];
    const [one, other] = [what[a], what[b]];
    if (one === undefined || other === undefined) return;
    [what[a], what[b]] = [other, one];
  }
}

/** One token, and what Genesys counts of it. */
class Token {
  readonly allowance = new Allowance();
  #windowEndMs = 0;
  #counted = 0;

  /** The headers of an answer. */
  count(nowMs: number, { allowed, windowMs }: Fleet['limit']): Record<string, string> {
    if (nowMs >= this.#windowEndMs) [this.#windowEndMs, this.#counted] = [nowMs + windowMs, 0];
    this.#counted += 1;
    return {
      'inin-ratelimit-count': String(this.#counted),
      'inin-ratelimit-allowed': String(allowed),
      'inin-ratelimit-reset': String(Math.ceil((this.#windowEndMs - nowMs) / 1000)),
    };
  }
}

/** What a question that has to wait longer gives its slot back for. */
const PATIENCE_MS = 1_000;

/** Share of a day's calls that have ended by each hour: an office day from 8 to 20 with two peaks. */
const OFFICE = [
  0, 0, 0, 0, 0, 0, 0.01, 0.03, 0.08, 0.17, 0.28, 0.39, 0.49, 0.57, 0.66, 0.76, 0.85, 0.92, 0.96, 0.98, 0.99, 1, 1, 1,
  1,
];

function arrivalMs(share: number, arrival: Fleet['arrival']): number {
  if (arrival === 'at-once') return 0;
  const hour = OFFICE.findLastIndex((until) => until <= share);
  const [from = 0, until = 1] = [OFFICE[hour], OFFICE[hour + 1]];
  return (hour + (until > from ? (share - from) / (until - from) : 0)) * HOUR_MS;
}

const isLaterLook = ({ kind, asked }: Work): boolean => kind === 'conversation' && asked;

export function simulate(fleet: Fleet): Course {
  return new Simulation(fleet).run();
}

class Simulation {
  readonly #fleet: Fleet;
  readonly #random: () => number;
  readonly #queue = new Agenda();
  /** Per slot: when it is free again. */
  readonly #slots: Float64Array;
  readonly #tokens: readonly Token[];
  readonly #lags: number[] = [];
  readonly #minutes = new Map<number, number>();
  #calls = 0;
  #laterLooks = 0;
  #arrived = 0;
  /** Not archived yet: later looks at what is are not among them. */
  #waiting = 0;
  #longest = 0;
  #overAtMs = 0;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.#random = seeded(fleet.seed);
    this.#slots = new Float64Array(fleet.workers * fleet.slots);
    this.#tokens = Array.from({ length: fleet.workers * fleet.clients }, () => new Token());
  }

  run(): Course {
    let nowMs = 0;
    for (;;) {
      this.#arrive(nowMs);
      const slot = this.#freeSlot(nowMs);
      const dueMs = Math.min(this.#queue.firstMs, this.#nextArrivalMs());
      if (dueMs === Infinity || dueMs > DAY_MS * 2) break;
      if (slot === undefined) {
        nowMs = this.#slots.reduce((a, b) => Math.min(a, b), Infinity);
      } else if (this.#queue.firstMs > nowMs) {
        nowMs = dueMs;
      } else {
        const work = this.#dequeue();
        this.#slots[slot] = this.#work(work, { nowMs, worker: Math.floor(slot / this.#fleet.slots) });
      }
    }
    const lags = Float64Array.from(this.#lags).toSorted();
    const quantile = (p: number): number => lags[Math.min(lags.length - 1, Math.floor(p * lags.length))] ?? NaN;
    return {
      archived: lags.length,
      calls: this.#calls,
      laterLooks: this.#laterLooks,
      callsInAMinute: [...this.#minutes.values()].reduce((a, b) => Math.max(a, b), 0),
      longestQueue: this.#longest,
      medianMs: quantile(0.5),
      p99Ms: quantile(0.99),
      overAtMs: this.#overAtMs,
    };
  }

  #enqueue(atMs: number, work: Work): void {
    this.#queue.push(atMs, work);
    if (!isLaterLook(work)) this.#waiting += 1;
  }

  #dequeue(): Work {
    const work = this.#queue.pop();
    if (!isLaterLook(work)) this.#waiting -= 1;
    return work;
  }

  #nextArrivalMs(): number {
    const { conversations, arrival } = this.#fleet;
    return this.#arrived < conversations ? arrivalMs(this.#arrived / conversations, arrival) : Infinity;
  }

  #arrive(nowMs: number): void {
    for (let atMs = this.#nextArrivalMs(); atMs <= nowMs; atMs = this.#nextArrivalMs()) {
      this.#enqueue(atMs, { kind: 'conversation', endedAtMs: atMs, from: 0, attempt: 1, asked: false });
      this.#arrived += 1;
    }
    this.#longest = Math.max(this.#longest, this.#waiting);
  }

  /** Anybody's: Pub/Sub gives a message to whoever asks. */
  #freeSlot(nowMs: number): number | undefined {
    const first = Math.floor(this.#random() * this.#slots.length);
    for (let step = 0; step < this.#slots.length; step += 1) {
      const at = (first + step) % this.#slots.length;
      if ((this.#slots[at] ?? Infinity) <= nowMs) return at;
    }
    return undefined;
  }

  /** When its slot is free again. */
  #work(work: Work, { nowMs, worker }: { readonly nowMs: number; readonly worker: number }): number {
    return work.kind === 'conversation' ? this.#look(work, { nowMs, worker }) : this.#fetch(work, { nowMs, worker });
  }

  #look(work: Work, at: { readonly nowMs: number; readonly worker: number }): number {
    const answered = this.#ask(work, at, 1);
    if (answered === undefined) return at.nowMs;
    const ageMs = answered - work.endedAtMs;
    if (work.asked) this.#laterLooks += 1;
    if (!work.asked) {
      const recordings = 1 + (this.#random() < this.#fleet.screens ? 1 : 0);
      for (let count = 0; count < recordings; count += 1)
        this.#enqueue(answered, {
          kind: 'recording',
          endedAtMs: work.endedAtMs,
          from: at.worker,
          attempt: 1,
          asked: false,
        });
    }
    const nextMs = nextLookAfter(ageMs, 'all');
    // Looks of the days after this one are as many as those of the days before it: each day pays for its own.
    if (nextMs !== undefined && nextMs < DAY_MS) this.#enqueue(answered + nextMs, { ...work, attempt: 1, asked: true });
    return answered;
  }

  #fetch(work: Work, at: { readonly nowMs: number; readonly worker: number }): number {
    const { notReady, workMs } = this.#fleet;
    // What another worker's list has told is asked for.
    const answered = this.#ask(work, at, work.from === at.worker ? 1 : 2);
    if (answered === undefined) return at.nowMs;
    if (!work.asked && this.#random() < notReady.share) {
      const failure = new Failure('not-ready', 'Genesys is still transcoding.', { afterMs: notReady.ms });
      this.#again({ ...work, asked: true }, failure, answered);
      return answered;
    }
    const overMs = answered + workMs * (0.5 + this.#random());
    this.#lags.push(overMs - work.endedAtMs);
    this.#overAtMs = Math.max(this.#overAtMs, overMs);
    return overMs;
  }

  /** When the last of so many answers has come; undefined where the work has gone back to the queue. */
  #ask(
    work: Work,
    { nowMs, worker }: { readonly nowMs: number; readonly worker: number },
    calls: number,
  ): number | undefined {
    const { clients, callMs, limit, outage } = this.#fleet;
    let atMs = nowMs;
    for (let call = 0; call < calls; call += 1) {
      const token = this.#tokens[worker * clients + (this.#calls % clients)];
      if (token === undefined) throw new Error('No such token.');
      const { allowance } = token;
      const delayMs = allowance.delayMs('worker', atMs);
      if (delayMs > PATIENCE_MS) {
        this.#again(work, new Failure('rate-limited', 'The window is used up.', { afterMs: delayMs }), atMs);
        return undefined;
      }
      const booked = allowance.book('worker', atMs);
      atMs += delayMs + callMs;
      const minute = Math.floor(atMs / MINUTE_MS);
      this.#minutes.set(minute, (this.#minutes.get(minute) ?? 0) + 1);
      this.#calls += 1;
      if (outage !== undefined && atMs >= outage.fromMs && atMs < outage.untilMs) {
        allowance.settle(booked, undefined, atMs);
        this.#again(work, new Failure('upstream-unavailable', 'Genesys is down.'), atMs);
        return undefined;
      }
      allowance.settle(booked, token.count(atMs, limit), atMs);
    }
    return atMs;
  }

  #again(work: Work, failure: Failure, nowMs: number): void {
    const next = nextTryOf(failure, { attempt: work.attempt, ageMs: nowMs - work.endedAtMs });
    if (next === undefined) return;
    const attempt = work.attempt + (next.outcome === 'again' ? 1 : 0);
    this.#enqueue(nowMs + next.afterMs, { ...work, attempt });
  }
}

/** What a worker of Cloud Run with one core does: measured by the benchmark, on loopback, and what S3 needs besides. */
const MEASURED = {
  screens: 0.3,
  slots: 8,
  limit: { allowed: 300, windowMs: MINUTE_MS },
  arrival: 'office',
  notReady: { share: 0.5, ms: 5_000 },
  callMs: 150,
  workMs: 1_500,
  seed: 20_261_128,
} as const;

const OUTAGE = { fromMs: 10 * HOUR_MS, untilMs: 10 * HOUR_MS + 20 * MINUTE_MS };

function main(): void {
  const { values } = parseArgs({
    options: {
      conversations: { type: 'string', default: '770000' },
      workers: { type: 'string', multiple: true, default: ['8', '12', '16', '24', '32'] },
      clients: { type: 'string', multiple: true, default: ['1', '2'] },
    },
  });
  const conversations = Number(values.conversations);
  process.stdout.write('| workers | clients | Genesys | calls | in a minute | longest queue | median lag | 99 % |\n');
  process.stdout.write('| --- | --- | --- | --- | --- | --- | --- | --- |\n');
  for (const workers of values.workers.map(Number))
    for (const clients of values.clients.map(Number))
      for (const outage of [undefined, OUTAGE]) {
        const fleet = { ...MEASURED, conversations, workers, clients, ...(outage === undefined ? {} : { outage }) };
        const { calls, callsInAMinute, longestQueue, medianMs, p99Ms } = simulate(fleet);
        const [median, p99] = [medianMs, p99Ms].map((ms) =>
          ms < 120_000 ? `${(ms / 1000).toFixed(0)} s` : `${(ms / MINUTE_MS).toFixed(0)} min`,
        );
        const cells = [
          workers,
          clients,
          outage === undefined ? 'up' : 'down 20 min',
          calls,
          callsInAMinute,
          longestQueue,
          median,
          p99,
        ];
        process.stdout.write(`| ${cells.map(String).join(' | ')} |\n`);
      }
}

if (import.meta.main) main();
