/** Messages of the queue file → running deliveries, each under a lease that is extended until it is settled. */
import type { FSWatcher } from 'node:fs';
import type { GroupCommit } from './group-commit.ts';
import type { Delivery, Handle } from '../queue.ts';
import type { Claim, ClaimEnding, MessageTable } from './table.ts';
import { randomUUID } from 'node:crypto';
import { watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../../failure.ts';
import { isForNewer, parseMessage, UNKNOWN_WAITS_MS } from '../queue.ts';
import { endsWithin } from '../../waiting.ts';
import { changeFailure } from './file.ts';
import { LeaseClock } from './lease-clock.ts';

export interface SqliteConsumerNeeds {
  readonly path: string;
  readonly table: MessageTable;
  readonly commit: GroupCommit;
  readonly bell: Bell;
  /** Wall clock, ms. */
  readonly now: () => number;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly stopGraceMs: number;
  readonly keepDeadMs: number;
  /** Hears what nobody waits for: a handler that threw, a lost lease, a message given up, a change the file refused. */
  readonly onTrouble: (failure: Failure) => void;
}

const AFTER_THROW_MS = 60_000;
const PURGE_EVERY_MS = 60_000;
const PURGE_ROWS = 1000;

/** Tells the consumers of this process that there is something to take. */
export class Bell {
  readonly #wakes = new Set<() => void>();

  ring(): void {
    for (const wake of this.#wakes) wake();
  }

  /** Calls `wake` on every ring until the returned function is called. */
  listen(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => this.#wakes.delete(wake);
  }
}

interface Lease {
  readonly claim: Claim;
  readonly controller: AbortController;
  /** Monotonic ms of the last extension that is known to have happened. */
  keptAtMs: number;
  /** Its end is being written: who finds it gone meanwhile has lost nothing. */
  isSettling: boolean;
  ended: Promise<void>;
}

export class Consumer {
  readonly #needs: SqliteConsumerNeeds;
  readonly #handle: Handle;
  readonly #slots: number;
  readonly #leases = new Set<Lease>();
  readonly #clock: LeaseClock;
  #rung = false;
  #wake: (() => void) | undefined;
  #stopping = false;
  #troubled = false;
  #purgeAtMs = 0;

  constructor(needs: SqliteConsumerNeeds, handle: Handle, slots: number) {
    this.#needs = needs;
    this.#handle = handle;
    this.#slots = slots;
    this.#clock = new LeaseClock(needs.now, needs.leaseMs);
  }

  /** Until `signal` aborts. @throws Failure when the file has become unusable */
  async run(signal: AbortSignal): Promise<void> {
    const ring = (): void => this.#ring();
    // Whoever has no slot left takes nothing, and each change of its own rings as well.
    const ringIfFree = (): void => (this.#freeSlots() > 0 ? ring() : undefined);
    const heartbeat = setInterval(() => void this.#beat(), this.#needs.leaseMs / 3);
    const deafen = this.#needs.bell.listen(ringIfFree);
    const watcher = watchWrites(this.#needs.path, ringIfFree);
    signal.addEventListener('abort', ring);
    try {
      while (!signal.aborted) await this.#turn(signal);
    } finally {
      signal.removeEventListener('abort', ring);
      watcher?.close();
      deafen();
      await this.#stop();
      clearInterval(heartbeat);
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    try {
      this.#assertUsable();
      await this.#rebase();
      await this.#purge();
      const dueAt = await this.#fill(signal);
      this.#troubled = false;
      await this.#rest(dueAt, signal);
    } catch (error) {
      if (this.#needs.commit.ended !== undefined) throw error;
      if (!this.#troubled) this.#needs.onTrouble(changeFailure(error));
      this.#troubled = true;
      await delay(this.#needs.pollMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** An idle consumer changes nothing, so it would not notice by itself. */
  #assertUsable(): void {
    if (this.#needs.commit.ended !== undefined) throw this.#needs.commit.ended;
  }

  /** When there is something to take next, wall clock ms; whoever has no slot left hears of none. */
  async #fill(signal: AbortSignal): Promise<number> {
    const { table, now } = this.#needs;
    const free = this.#freeSlots();
    if (free === 0) return Number.POSITIVE_INFINITY;
    const dueAt = table.nextDueAt(this.#clock.mayReclaim());
    if (dueAt > now()) return dueAt;
    await this.#take(free, signal);
    return this.#freeSlots() === 0 ? Number.POSITIVE_INFINITY : table.nextDueAt(this.#clock.mayReclaim());
  }

  /** Work that is over leaves its slot as its end is written: the next message is taken by the same transaction. */
  #freeSlots(): number {
    let atWork = 0;
    for (const { isSettling } of this.#leases) if (!isSettling) atWork += 1;
    return Math.max(0, this.#slots - atWork);
  }

  async #take(limit: number, signal: AbortSignal): Promise<void> {
    const { table, leaseMs } = this.#needs;
    const { died, claims } = await this.#writeInTime(() => ({
      died: this.#clock.mayReclaim() ? this.#reclaim() : [],
      claims: table.claim({ token: randomUUID(), leaseMs, limit }),
    }));
    for (const key of died) this.#needs.onTrouble(givenUp(key));
    if (signal.aborted) await this.#write(() => claims.forEach((claim) => table.settle(claim, { outcome: 'back' })));
    else for (const claim of claims) this.#start(claim);
  }

  /** A process that was held up for longer than a lease takes nothing away from itself: what runs in it is alive. */
  #reclaim(): string[] {
    const { table, leaseMs } = this.#needs;
    const now = performance.now();
    for (const lease of this.#leases) if (now - lease.keptAtMs >= leaseMs / 2) table.extend(lease.claim, leaseMs);
    return table.reclaim();
  }

  /** Until something rings, the next message is due, or the poll notices what nobody rang for. */
  async #rest(dueAt: number, signal: AbortSignal): Promise<void> {
    const { pollMs, now } = this.#needs;
    const restMs = Math.min(Math.max(dueAt - now(), 0), pollMs);
    if (!this.#rung && !signal.aborted && restMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, restMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#rung = false;
  }

  #ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** After the clock was set back, what lies in the future is counted from now: no wait and no lease becomes endless. */
  async #rebase(): Promise<void> {
    if (!this.#clock.isSetBack) return;
    await this.#write(() => this.#needs.table.rebase());
    this.#clock.rebased();
  }

  /** A change before which what a clock made older that was set forward is as old as it was: no patience ends before its time, no reason is forgotten. */
  async #writeInTime<T>(change: () => T): Promise<T> {
    const { agedMs, result } = await this.#write(() => {
      const aged = this.#clock.agedMs();
      if (aged > 0) this.#needs.table.rejuvenate(aged);
      return { agedMs: aged, result: change() };
    });
    this.#clock.rejuvenated(agedMs);
    return result;
  }

  async #purge(): Promise<void> {
    const { table, keepDeadMs } = this.#needs;
    if (performance.now() < this.#purgeAtMs) return;
    const purged = await this.#writeInTime(() => table.purge(keepDeadMs, PURGE_ROWS));
    this.#purgeAtMs = performance.now() + (purged < PURGE_ROWS ? PURGE_EVERY_MS : 0);
  }

  #start(claim: Claim): void {
    const lease: Lease = {
      claim,
      controller: new AbortController(),
      keptAtMs: performance.now(),
      isSettling: false,
      ended: Promise.resolve(),
    };
    this.#leases.add(lease);
    lease.ended = this.#deliver(lease).finally(() => {
      this.#leases.delete(lease);
      this.#ring();
    });
  }

  async #deliver(lease: Lease): Promise<void> {
    const ending = await this.#endingOf(lease);
    // Stopped work tends to call itself failed: it is not held against the message.
    const counted = this.#stopping && ending.outcome === 'again' ? { ...ending, outcome: 'wait' as const } : ending;
    await this.#settle(lease, counted);
  }

  async #endingOf(lease: Lease): Promise<ClaimEnding> {
    let delivery: Delivery;
    try {
      delivery = parseDelivery(lease.claim);
    } catch (error) {
      if (isForNewer(error, lease.claim.acceptedAt)) return { outcome: 'wait', afterMs: UNKNOWN_WAITS_MS };
      const reason = `The message cannot be read: ${Failure.from(error).message}`;
      return { outcome: 'dead', reason, unrecorded: true };
    }
    try {
      return await this.#handle(delivery, lease.controller.signal);
    } catch (error) {
      if (this.#stopping) return { outcome: 'back' };
      this.#needs.onTrouble(new Failure('internal', 'The work on a message threw.', { cause: error }));
      return { outcome: 'lost', afterMs: AFTER_THROW_MS };
    }
  }

  /** Tries for as long as the lease lasts; after that the message is delivered again by its lease. */
  async #settle(lease: Lease, ending: ClaimEnding): Promise<void> {
    const { table, leaseMs, pollMs, commit } = this.#needs;
    lease.isSettling = true;
    this.#ring();
    for (;;) {
      try {
        const held = await this.#write(() => table.settle(lease.claim, ending));
        if (!held) this.#lose(lease);
        return;
      } catch (error) {
        const over = performance.now() - lease.keptAtMs >= leaseMs;
        if (commit.ended !== undefined || over) return this.#needs.onTrouble(changeFailure(error));
      }
      await delay(pollMs);
    }
  }

  async #beat(): Promise<void> {
    const { table, leaseMs } = this.#needs;
    const leases = [...this.#leases];
    if (leases.length === 0) return;
    const startedAtMs = performance.now();
    try {
      const kept = await this.#write(() => leases.map((lease) => table.extend(lease.claim, leaseMs)));
      leases.forEach((lease, index) => {
        if (kept[index] === true) lease.keptAtMs = startedAtMs;
        else if (!lease.isSettling) this.#lose(lease);
      });
    } catch {
      for (const lease of leases) if (performance.now() - lease.keptAtMs >= leaseMs) this.#lose(lease);
    }
  }

  #lose(lease: Lease): void {
    if (lease.controller.signal.aborted) return;
    const failure = new Failure('stopped', 'The lease of a message was lost; another worker takes it up.', {
      facts: { key: lease.claim.key, attempt: lease.claim.attempt },
    });
    lease.controller.abort(failure);
    this.#needs.onTrouble(failure);
  }

  /** What ends within the grace is settled as it says; the rest goes back untouched. */
  async #stop(): Promise<void> {
    const { table, stopGraceMs, onTrouble } = this.#needs;
    this.#stopping = true;
    const stopped = new Failure('stopped', 'The service stops; the message was given back.');
    for (const lease of this.#leases) lease.controller.abort(stopped);
    await endsWithin(Promise.all([...this.#leases].map((lease) => lease.ended)), stopGraceMs);
    const left = [...this.#leases].map((lease) => lease.claim);
    if (left.length === 0) return;
    await this.#write(() => left.forEach((claim) => table.settle(claim, { outcome: 'back' }))).catch((error: unknown) =>
      onTrouble(changeFailure(error)),
    );
  }

  /** What a power failure takes back is a delivery that comes once more, and finds in the archive what was done. */
  #write<T>(change: () => T): Promise<T> {
    return this.#needs.commit.write(change, { durable: false });
  }
}

function givenUp(key: string): Failure {
  const what = 'A message was given up: its deliveries never came back. A new event for it tries again.';
  return new Failure('internal', what, { retry: 'never', facts: { key } });
}

function parseDelivery(claim: Claim): Delivery {
  const message = parseMessage(claim.body, claim.traceparent);
  return { message, attempt: claim.attempt, lost: claim.lost, acceptedAt: claim.acceptedAt };
}

/** Notices what other processes publish. Where the system cannot watch, the poll does it alone, a little later. */
function watchWrites(path: string, ring: () => void): FSWatcher | undefined {
  const name = basename(path);
  try {
    const watcher = watch(dirname(path), { persistent: false }, (_, changed) => {
      if (changed === null || changed.startsWith(name)) ring();
    });
    return watcher.on('error', () => watcher.close());
  } catch {
    return undefined;
  }
}
