/** A file → a queue that several processes of one machine may share: durable, leased, collapsing, with dead letters. */
import type { Depth, Handle, Message, Queue } from '../queue.ts';
import type { SqliteConsumerNeeds } from './consumer.ts';
import type { QueueFile } from './file.ts';
import type { DeadMessage } from './table.ts';
import type { Failure } from '../../failure.ts';
import { GroupCommit } from './group-commit.ts';
import { Bell, Consumer } from './consumer.ts';
import { changeFailure, openQueueFile } from './file.ts';
import { MessageTable } from './table.ts';

export interface SqliteQueueOptions {
  /** On a local disk: SQLite's WAL needs shared memory and real locks. */
  readonly path: string;
  /** Wall clock, ms. */
  readonly now?: () => number;
  /** How long a message whose process was killed stays taken (15 s); extended three times as often. */
  readonly leaseMs?: number;
  /** Deliveries in a row that never came back (process killed, lease lost, handler threw) before the message is dead (10). */
  readonly maxLost?: number;
  /** How long a message that was given up without a record in the archive is kept here with its reason (30 days). */
  readonly keepDeadMs?: number;
  /** At the latest after so long a consumer sees what another process published, if the system's file events fail (1 s). */
  readonly pollMs?: number;
  /** How long a publish waits for another process's lock (4 s). */
  readonly patienceMs?: number;
  /** How long stopped handlers have to settle before their messages are given back (3 s). */
  readonly stopGraceMs?: number;
  /** Hears what nobody waits for; for the log. */
  readonly onTrouble?: (failure: Failure) => void;
}

export interface SqliteQueue extends Queue {
  /** The latest first. */
  dead(limit: number): Promise<readonly DeadMessage[]>;
}

const DAY_MS = 86_400_000;
/** Messages in one transaction: whoever publishes a long list lets everybody else in between. */
const TURN = 1000;

/** @throws Failure `queue-unavailable` when the file is damaged, newer, another program's or cannot be written */
export function openSqliteQueue(options: SqliteQueueOptions): SqliteQueue {
  return new QueueOnFile(options);
}

class QueueOnFile implements SqliteQueue {
  readonly #file: QueueFile;
  readonly #needs: SqliteConsumerNeeds;
  readonly #closing = new AbortController();
  readonly #consumers = new Set<Promise<void>>();
  #closed: Promise<void> | undefined;

  constructor(options: SqliteQueueOptions) {
    const now = options.now ?? Date.now;
    this.#file = openQueueFile(options.path);
    this.#needs = {
      path: this.#file.path,
      table: new MessageTable(this.#file.database, { now, maxLost: options.maxLost ?? 10 }),
      commit: new GroupCommit(this.#file, options.patienceMs ?? 4000),
      bell: new Bell(),
      now,
      leaseMs: options.leaseMs ?? 15_000,
      pollMs: options.pollMs ?? 1000,
      stopGraceMs: options.stopGraceMs ?? 3000,
      keepDeadMs: options.keepDeadMs ?? 30 * DAY_MS,
      onTrouble: options.onTrouble ?? (() => undefined),
    };
  }

  async publish(messages: readonly Message[], signal: AbortSignal): Promise<void> {
    if (messages.length === 0) return;
    const { commit, table, bell } = this.#needs;
    for (let start = 0; start < messages.length; start += TURN) {
      const turn = messages.slice(start, start + TURN);
      await commit.write(() => turn.forEach((message) => table.put(message)), { signal, size: turn.length });
      bell.ring();
    }
  }

  async consume(handle: Handle, slots: number, signal: AbortSignal): Promise<void> {
    if (this.#needs.commit.ended !== undefined) throw this.#needs.commit.ended;
    const consumer = new Consumer(this.#needs, handle, slots);
    const running = consumer.run(AbortSignal.any([signal, this.#closing.signal]));
    this.#consumers.add(running);
    try {
      await running;
    } finally {
      this.#consumers.delete(running);
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    const { commit, table } = this.#needs;
    await commit.write(() => table.prove(), { signal });
  }

  async depth(): Promise<Depth> {
    return this.#read((table) => table.depth());
  }

  async dead(limit: number): Promise<readonly DeadMessage[]> {
    return this.#read((table) => table.dead(limit));
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#consumers);
    await this.#needs.commit.close();
    this.#file.close();
  }

  #read<T>(read: (table: MessageTable) => T): T {
    if (this.#needs.commit.ended !== undefined) throw this.#needs.commit.ended;
    try {
      return read(this.#needs.table);
    } catch (error) {
      throw changeFailure(error);
    }
  }
}
