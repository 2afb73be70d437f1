/**
 * Recordings named by an operator → worked on one after the other, through the same handler as the queue's, without the queue:
 * live work has that to itself. What waits is held in memory for a quarter of an hour, then left for the next run.
 */
import type { Failure, FailureCode } from '../failure.ts';
import type { Handle, Settlement } from '../queue/queue.ts';
import type { Recording } from '../recording.ts';
import { sleep } from '../waiting.ts';

export interface CatchUpNeeds {
  readonly handle: Handle;
  /** How many at once. */
  readonly slots: number;
  /** Told of each recording once it is over with it: archived (or there already), given up and recorded, or left, and for what. */
  readonly onEnd?: (recording: Recording, end: CatchUpEnd, because?: Failure) => void;
  /** Milliseconds that an item is held from its first attempt on. */
  readonly holdMs?: number;
}

export type CatchUpEnd = 'done' | 'failed' | 'left';

export type CatchUpCounts = Readonly<Record<CatchUpEnd, number>>;

const HOLD_MS = 15 * 60_000;
/** Held at once; more are left: memory is bounded whatever the day. */
const MAX_HELD = 1_000;

/** What keeps every recording from being stored: an archive that is full or may not be written, credentials that hold no more. */
const STANDSTILLS: ReadonlySet<FailureCode> = new Set(['archive-unavailable', 'misconfigured']);
/** What only a person can change is not waited for: the next run asks again. */
const LEFT_AT_ONCE: ReadonlySet<FailureCode> = new Set(['forbidden']);
/** Genesys, or its media host, answers nothing, or something odd. */
const UNANSWERED: ReadonlySet<FailureCode> = new Set(['upstream-unavailable', 'upstream-timeout', 'upstream-error']);
/** So often that is tried while others of its kind are archived: then it is no outage. */
const TRIED_ALONE = 3;
/** So many in a row without one that got anywhere: the next ones would only cost calls, downloads and encoders. */
const STANDSTILL_AFTER = 5;

/**
 * Resolves when all are over with, or, once `signal` aborts, when what was under way has stopped; the rest is then left.
 * @throws Failure where nothing can be stored any more, and whatever `recordings` or the handler throw: what was under way has ended
 * then, and the rest is left
 */
export async function catchUp(
  recordings: AsyncIterable<Recording>,
  needs: CatchUpNeeds,
  signal: AbortSignal,
): Promise<CatchUpCounts> {
  const run = new CatchUp(recordings[Symbol.asyncIterator](), needs);
  await Promise.all(
    Array.from({ length: needs.slots }, () => run.work(signal).catch((error: unknown) => run.break(error))),
  );
  return run.end();
}

interface Item {
  readonly recording: Recording;
  readonly attempt: number;
  readonly acceptedAt: Date;
  /** On the clock of `performance.now()`. */
  readonly firstMs: number;
  readonly dueMs: number;
  /** How often it was {@link UNANSWERED}. */
  readonly inVain: number;
}

class CatchUp {
  readonly #source: AsyncIterator<Recording>;
  readonly #needs: CatchUpNeeds;
  readonly #counts = { done: 0, failed: 0, left: 0 };
  /** The one that is due first is first. */
  #held: Item[] = [];
  #running = 0;
  #isEmpty = false;
  /** When one was archived last; on the clock of `performance.now()`. */
  #doneMs = -Infinity;
  #stuckInARow = 0;
  #broken: { readonly error: unknown } | undefined;

  constructor(source: AsyncIterator<Recording>, needs: CatchUpNeeds) {
    this.#source = source;
    this.#needs = needs;
  }

  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#broken === undefined) {
      const item = await this.#next(signal);
      if (item === undefined) return;
      this.#running += 1;
      await this.#attempt(item, signal).finally(() => (this.#running -= 1));
    }
  }

  /** Nothing more is begun. The first error is the one that it ends with. */
  break(error: unknown): void {
    this.#broken ??= { error };
  }

  async end(): Promise<CatchUpCounts> {
    if (!this.#isEmpty) await this.#source.return?.();
    for (const { recording } of this.#held) this.#over(recording, 'left');
    this.#held = [];
    if (this.#broken !== undefined) throw this.#broken.error;
    return { ...this.#counts };
  }

  /** What is due, else what comes next, else what will be due first; undefined when nothing is left to do. */
  async #next(signal: AbortSignal): Promise<Item | undefined> {
    while (!signal.aborted && this.#broken === undefined) {
      const now = performance.now();
      if ((this.#held[0]?.dueMs ?? Infinity) <= now) return this.#held.shift();
      const fresh = this.#isEmpty ? undefined : await this.#fresh();
      if (fresh !== undefined) return fresh;
      const [first] = this.#held;
      if (first === undefined && this.#running === 0) return undefined;
      // What another one is at may come back: looked for again in a while.
      const waitMs = Math.min((first?.dueMs ?? Infinity) - now, 1_000);
      await sleep(Math.max(waitMs, 1), signal).catch(() => undefined);
    }
    return undefined;
  }

  async #fresh(): Promise<Item | undefined> {
    const step = await this.#source.next();
    if (step.done === true) {
      this.#isEmpty = true;
      return undefined;
    }
    const now = performance.now();
    return { recording: step.value, attempt: 1, acceptedAt: new Date(), firstMs: now, dueMs: now, inVain: 0 };
  }

  async #attempt(item: Item, signal: AbortSignal): Promise<void> {
    const { recording, attempt, acceptedAt } = item;
    const message = { kind: 'recording', ...recording } as const;
    const settlement = await this.#needs.handle({ message, attempt, lost: 0, acceptedAt }, signal);
    this.#noteStandstill(settlement);
    if (settlement.outcome === 'done') this.#done(recording);
    else if (settlement.outcome === 'dead') this.#over(recording, 'failed');
    else this.#hold(item, settlement);
  }

  #noteStandstill(settlement: Settlement): void {
    const { outcome } = settlement;
    if (outcome === 'done' || outcome === 'dead') this.#stuckInARow = 0;
    if (outcome !== 'wait' || settlement.because === undefined || !STANDSTILLS.has(settlement.because.code)) return;
    this.#stuckInARow += 1;
    if (this.#stuckInARow >= STANDSTILL_AFTER) this.break(settlement.because);
  }

  #hold(item: Item, settlement: Exclude<Settlement, { outcome: 'done' | 'dead' }>): void {
    const afterMs = 'afterMs' in settlement ? settlement.afterMs : 0;
    const dueMs = performance.now() + afterMs;
    const isTooLate = dueMs - item.firstMs > (this.#needs.holdMs ?? HOLD_MS);
    const because = settlement.outcome === 'wait' ? settlement.because : undefined;
    const inVain = item.inVain + (because !== undefined && UNANSWERED.has(because.code) ? 1 : 0);
    const isAlone = inVain >= TRIED_ALONE && this.#doneMs > item.firstMs;
    const isForAPerson = because !== undefined && LEFT_AT_ONCE.has(because.code);
    if (isForAPerson || isAlone || isTooLate || this.#held.length >= MAX_HELD)
      return this.#over(item.recording, 'left', because);
    const attempt = item.attempt + (settlement.outcome === 'again' ? 1 : 0);
    this.#held = [...this.#held, { ...item, attempt, dueMs, inVain }].toSorted((a, b) => a.dueMs - b.dueMs);
    return undefined;
  }

  #done(recording: Recording): void {
    this.#doneMs = performance.now();
    this.#over(recording, 'done');
  }

  #over(recording: Recording, end: CatchUpEnd, because?: Failure): void {
    this.#counts[end] += 1;
    this.#needs.onEnd?.(recording, end, because);
  }
}
