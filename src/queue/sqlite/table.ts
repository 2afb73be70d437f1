/** The steps of a message's life → single SQL statements; each runs inside a transaction of the group commit. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { Depth, Message, Settlement } from '../queue.ts';
import { Failure } from '../../failure.ts';
import { delayOf, encodeMessage, messageKey } from '../queue.ts';

/** A message taken by one consumer. Only who knows the token may settle it: an owner that slept through its lease cannot. */
export interface Claim {
  readonly id: number;
  readonly token: string;
  readonly key: string;
  readonly body: string;
  readonly traceparent: string | undefined;
  readonly attempt: number;
  readonly lost: number;
  readonly acceptedAt: Date;
}

/** A message that was given up and that the archive does not know of: its reason lies here until a new event names it. */
export interface DeadMessage {
  /** As messageKey() makes it. */
  readonly key: string;
  readonly reason: string;
  readonly attempt: number;
  readonly acceptedAt: Date;
  readonly diedAt: Date;
}

/** Settled by the handler, or `lost`: the handler threw, which is bounded. */
export type ClaimEnding = Settlement | { readonly outcome: 'lost'; readonly afterMs: number };

export interface Taking {
  readonly token: string;
  readonly leaseMs: number;
  readonly limit: number;
}

/**
 * The columns that mean something else in each state (the schema stands in file.ts):
 * `due_at`    queued: not before; running: the end of the lease
 * `rerun_at`  running: named again since, so that it starts anew when it ends; queued: a new event may bring it forward to
 *             then, NULL where somebody else named the time
 * What ended has no row: the archive is the truth of it. `dead` is what only the queue knows of. `done` was written up to 0.1.0.
 */
const REBASE = `
    UPDATE message SET
      due_at = :now + max(due_at - changed_at, 0), rerun_at = :now + max(rerun_at - changed_at, 0), changed_at = :now`;

const SQL = {
  put: `
    INSERT INTO message (key, body, traceparent, state, due_at, accepted_at, changed_at)
    VALUES (:key, :body, :traceparent, 'queued', :due, :now, :now)
    ON CONFLICT (key) DO UPDATE SET
      body = excluded.body, traceparent = excluded.traceparent, state = 'queued',
      due_at = excluded.due_at, accepted_at = excluded.accepted_at, changed_at = excluded.changed_at,
      attempt = 0, lost = 0, token = NULL, rerun_at = NULL, reason = NULL
    WHERE message.state IN ('done', 'dead')`,
  /** Events that come close behind each other are one, as late as the last of them: it is worked on at no age below what it may be brought to. */
  bringForward: `
    UPDATE message SET
      due_at = iif(rerun_at <= :now, min(due_at, :now), :now + max(rerun_at - changed_at, 0)), accepted_at = :now
    WHERE key = :key AND state = 'queued' AND rerun_at IS NOT NULL`,
  /** A conversation that is being looked up is looked up once more: the event may tell of what came meanwhile. */
  rerun: `UPDATE message SET rerun_at = coalesce(rerun_at, :now) WHERE key = :key AND state = 'running'`,
  nextDue: `
    SELECT
      (SELECT min(due_at) FROM message WHERE state = 'queued') AS queued,
      (SELECT min(due_at) FROM message WHERE state = 'running') AS lease`,
  reclaim: `
    UPDATE message SET
      state = iif(lost + 1 >= :limit, 'dead', 'queued'), reason = iif(lost + 1 >= :limit, :reason, NULL),
      lost = lost + 1, token = NULL, due_at = :now, changed_at = :now
    WHERE state = 'running' AND due_at <= :now
    RETURNING key, state`,
  due: `
    SELECT id, key, body, traceparent, attempt + 1 AS attempt, lost, accepted_at FROM message
    WHERE state = 'queued' AND due_at <= :now ORDER BY due_at, id LIMIT :limit`,
  /** One by one, by its id: together and with RETURNING it takes twice the time. */
  claim: `
    UPDATE message SET
      state = 'running', token = :token, due_at = :now + :leaseMs, changed_at = :now, attempt = attempt + 1, rerun_at = NULL
    WHERE id = :id`,
  extend: `
    UPDATE message SET due_at = :now + :leaseMs, changed_at = :now WHERE id = :id AND token = :token`,
  /** What was named again meanwhile starts anew, however it ended. */
  startAnew: `
    UPDATE message SET
      state = 'queued', accepted_at = rerun_at, attempt = 0, lost = 0, token = NULL, rerun_at = NULL,
      due_at = :now, changed_at = :now
    WHERE id = :id AND token = :token AND rerun_at IS NOT NULL`,
  end: `DELETE FROM message WHERE id = :id AND token = :token`,
  die: `
    UPDATE message SET state = 'dead', reason = :reason, lost = 0, token = NULL, due_at = :now, changed_at = :now
    WHERE id = :id AND token = :token`,
  again: `
    UPDATE message SET
      state = 'queued', lost = 0, token = NULL, changed_at = :now,
      due_at = :now + iif(rerun_at IS NULL, :afterMs, min(:afterMs, coalesce(:soonestMs, :afterMs))),
      accepted_at = coalesce(rerun_at, accepted_at), rerun_at = :now + :soonestMs,
      attempt = max(attempt - :uncounted, 0)
    WHERE id = :id AND token = :token`,
  /** `lost` stays: whether a delivery that never came back is the message's fault is not known yet. */
  back: `
    UPDATE message SET state = 'queued', token = NULL, due_at = :now, changed_at = :now, attempt = max(attempt - 1, 0)
    WHERE id = :id AND token = :token`,
  lost: `
    UPDATE message SET
      state = iif(lost + 1 >= :limit, 'dead', 'queued'), reason = iif(lost + 1 >= :limit, :reason, NULL),
      lost = lost + 1, token = NULL, due_at = :now + :afterMs, changed_at = :now
    WHERE id = :id AND token = :token`,
  rebaseQueued: `${REBASE} WHERE state = 'queued' AND changed_at > :now`,
  rebaseRunning: `${REBASE} WHERE state = 'running' AND changed_at > :now`,
  rebaseAges: `
    UPDATE message SET accepted_at = min(accepted_at, :now), changed_at = min(changed_at, :now)
    WHERE accepted_at > :now OR changed_at > :now`,
  rejuvenate: `
    UPDATE message SET
      accepted_at = min(accepted_at + :ms, max(accepted_at, :now)),
      changed_at = iif(state = 'dead', min(changed_at + :ms, max(changed_at, :now)), changed_at)`,
  purgeDone: `DELETE FROM message WHERE id IN (SELECT id FROM message WHERE state = 'done' LIMIT :limit)`,
  purgeDead: `
    DELETE FROM message WHERE id IN (SELECT id FROM message WHERE state = 'dead' AND changed_at < :before LIMIT :limit)`,
  depth: `
    SELECT
      (SELECT count(*) FROM message WHERE state = 'queued' AND due_at <= :now) AS ready,
      (SELECT count(*) FROM message WHERE state = 'queued' AND due_at > :now) AS waiting,
      (SELECT count(*) FROM message WHERE state = 'running') AS running,
      (SELECT count(*) FROM message WHERE state = 'dead') AS dead`,
  dead: `
    SELECT key, reason, attempt, accepted_at, changed_at FROM message
    WHERE state = 'dead' ORDER BY changed_at DESC LIMIT :limit`,
  prove: `
    INSERT INTO proof (id, checked_at) VALUES (1, :now) ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at`,
} as const;

type StatementName = keyof typeof SQL;

export class MessageTable {
  readonly #statements: ReadonlyMap<StatementName, StatementSync>;
  readonly #now: () => number;
  readonly #maxLost: number;

  /** `now`: wall clock, ms. `maxLost`: deliveries in a row that may be lost before the message is dead. */
  constructor(database: DatabaseSync, options: { readonly now: () => number; readonly maxLost: number }) {
    this.#statements = new Map(names().map((name) => [name, database.prepare(SQL[name])]));
    this.#now = options.now;
    this.#maxLost = options.maxLost;
  }

  /** Queues the message unless the same work is queued or being done; what waits by our own guess comes forward. */
  put(message: Message): void {
    const now = this.#now();
    const key = messageKey(message);
    const due = now + wholeMs(delayOf(message));
    const row = { key, body: encodeMessage(message), traceparent: message.traceparent ?? null, now, due };
    if (this.#of('put').run(row).changes > 0) return;
    if (this.#of('bringForward').run({ key, now }).changes > 0) return;
    if (message.kind === 'conversation' || message.kind === 'details') this.#of('rerun').run({ key, now });
  }

  /** When there is something to take next, wall clock ms; `leases` counts those that will have run out. */
  nextDueAt(leases: boolean): number {
    const { queued, lease } = this.#of('nextDue').get() ?? {};
    const dues = [queued, leases ? lease : null].filter((due) => typeof due === 'number');
    return Math.min(...dues, Number.POSITIVE_INFINITY);
  }

  /**
   * Gives back what its owner has not extended in time; counted, so that a message that kills its process ends.
   * Returns the keys of those that are dead now.
   */
  reclaim(): string[] {
    const reason = `Delivered ${String(this.#maxLost)} times in a row without coming back: the process died or slept through its lease. Send the event again to retry.`;
    const rows = this.#of('reclaim').all({ now: this.#now(), limit: this.#maxLost, reason });
    return rows.filter((row) => row['state'] === 'dead').map((row) => textColumn(row, 'key'));
  }

  claim(taking: Taking): Claim[] {
    const { token, leaseMs, limit } = taking;
    const now = this.#now();
    const claims = this.#of('due')
      .all({ limit, now })
      .map((row) => ({ ...parseClaim(row, now), token }));
    for (const { id } of claims) this.#of('claim').run({ id, token, leaseMs, now });
    return claims;
  }

  /** False where the lease was lost to somebody else. */
  extend(claim: Claim, leaseMs: number): boolean {
    const { id, token } = claim;
    return this.#of('extend').run({ id, token, leaseMs, now: this.#now() }).changes === 1;
  }

  /** False where the lease was lost to somebody else: nothing is changed then. */
  settle(claim: Claim, ending: ClaimEnding): boolean {
    const { id, token } = claim;
    const now = this.#now();
    const isOver = ending.outcome === 'done' || ending.outcome === 'dead';
    if (isOver && this.#of('startAnew').run({ id, token, now }).changes === 1) return true;
    const { name, values } = this.#settling(ending, now);
    return this.#of(name).run({ id, token, ...values }).changes === 1;
  }

  #settling(ending: ClaimEnding, now: number): { name: StatementName; values: Record<string, SQLInputValue> } {
    if (ending.outcome === 'dead' && ending.unrecorded === true)
      return { name: 'die', values: { now, reason: ending.reason } };
    if (ending.outcome === 'done' || ending.outcome === 'dead') return { name: 'end', values: {} };
    // Nothing bounds a delivery here, so nothing is too long for it.
    if (ending.outcome === 'back' || ending.outcome === 'long') return { name: 'back', values: { now } };
    const afterMs = wholeMs(ending.afterMs);
    if (ending.outcome === 'lost')
      return { name: 'lost', values: { now, afterMs, limit: this.#maxLost, reason: this.#threw() } };
    const soonestMs = ending.soonestMs === undefined ? null : wholeMs(ending.soonestMs);
    return { name: 'again', values: { now, afterMs, soonestMs, uncounted: ending.outcome === 'wait' ? 1 : 0 } };
  }

  #threw(): string {
    return `The work threw an unexpected error ${String(this.#maxLost)} times in a row; the log has it. Send the event again to retry.`;
  }

  /** Waits and leases written before the clock was set back last from now on as long as they were asked to; nothing is younger than just come. */
  rebase(): void {
    const now = this.#now();
    this.#of('rebaseQueued').run({ now });
    this.#of('rebaseRunning').run({ now });
    this.#of('rebaseAges').run({ now });
  }

  /** Everything there is became so much older at once: it is as old as it was. */
  rejuvenate(ms: number): void {
    this.#of('rejuvenate').run({ ms: Math.round(ms), now: this.#now() });
  }

  /** Forgets at most `limit` rows of each kind that say nothing any more; returns how many. */
  purge(keepDeadMs: number, limit: number): number {
    const done = this.#of('purgeDone').run({ limit }).changes;
    const dead = this.#of('purgeDead').run({ before: this.#now() - keepDeadMs, limit }).changes;
    return Number(done) + Number(dead);
  }

  depth(): Depth {
    const row = this.#of('depth').get({ now: this.#now() }) ?? {};
    return {
      ready: integer(row, 'ready'),
      waiting: integer(row, 'waiting'),
      running: integer(row, 'running'),
      dead: integer(row, 'dead'),
    };
  }

  /** The latest first. */
  dead(limit: number): DeadMessage[] {
    return this.#of('dead').all({ limit }).map(parseDead);
  }

  /** A change that means nothing: proves that changes can be made. */
  prove(): void {
    this.#of('prove').run({ now: this.#now() });
  }

  #of(name: StatementName): StatementSync {
    const statement = this.#statements.get(name);
    if (statement === undefined) throw new Failure('internal', `The queue has no statement ${name}.`);
    return statement;
  }
}

function names(): StatementName[] {
  return Object.keys(SQL).filter((name): name is StatementName => name in SQL);
}

const TEN_YEARS_MS = 315_360_000_000;

/** Never shorter than asked, up to ten years; what is no number becomes a minute. */
function wholeMs(ms: number): number {
  return Number.isNaN(ms) ? 60_000 : Math.min(Math.max(Math.ceil(ms), 0), TEN_YEARS_MS);
}

type MessageRow = Record<string, SQLOutputValue>;

function parseClaim(row: MessageRow, now: number): Omit<Claim, 'token'> {
  return {
    id: integer(row, 'id'),
    key: textColumn(row, 'key'),
    body: textColumn(row, 'body'),
    traceparent: row['traceparent'] === null ? undefined : textColumn(row, 'traceparent'),
    attempt: integer(row, 'attempt'),
    lost: integer(row, 'lost'),
    acceptedAt: new Date(Math.min(integer(row, 'accepted_at'), now)),
  };
}

function parseDead(row: MessageRow): DeadMessage {
  return {
    key: textColumn(row, 'key'),
    reason: textColumn(row, 'reason'),
    attempt: integer(row, 'attempt'),
    acceptedAt: new Date(integer(row, 'accepted_at')),
    diedAt: new Date(integer(row, 'changed_at')),
  };
}

function integer(row: MessageRow, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw damagedRow(column);
  return value;
}

function textColumn(row: MessageRow, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw damagedRow(column);
  return value;
}

function damagedRow(column: string): Failure {
  return new Failure('queue-unavailable', `The queue file is damaged (column ${column}); check its disk.`);
}
