/** Changes that arrive together → one transaction, and one fsync for all that are to be durable: whoever asked for those is told after it. */
import { DISK } from '../../bounds.ts';
import type { QueueFile } from './file.ts';
import { Failure } from '../../failure.ts';
import { changeFailure, isBusy, isFatal } from './file.ts';

interface PendingChange {
  /** Makes the change inside the transaction; what it returns tells whoever asked for it. */
  readonly change: () => () => void;
  readonly refuse: (failure: Failure) => void;
  readonly signal: AbortSignal | undefined;
  /** Rows it changes, about. */
  readonly size: number;
  readonly durable: boolean;
  readonly sinceMs: number;
}

/** Committed: who is to be told once the disk has it. */
interface UnsyncedChange {
  readonly tell: () => void;
  readonly refuse: (failure: Failure) => void;
}

export interface ChangeOptions {
  readonly signal?: AbortSignal;
  /** Rows it changes, about (1). */
  readonly size?: number;
  /**
   * Whether the disk has to have it before it is told (true). What is done once more after a power failure need not wait, and
   * keeps nobody waiting: no crash of the process takes it back, and the next fsync is for it as well.
   */
  readonly durable?: boolean;
}

/** Rows: keeps one transaction, which blocks the event loop until its fsync, in the order of 10 ms. A larger change has one of its own. */
const MAX_PER_TRANSACTION = 512;
/** Rows; at most 8 MB of WAL. The file shrinks back to its limit afterwards. */
const CHECKPOINT_EVERY = 500;
const RETRY_MS = 20;

export class GroupCommit {
  readonly #file: QueueFile;
  readonly #patienceMs: number;
  #waiting: PendingChange[] = [];
  #scheduled = false;
  #unsynced: UnsyncedChange[] = [];
  /** The disk is being waited for. */
  #syncing: Promise<void> | undefined;
  #sinceCheckpoint = 0;
  #ended: Failure | undefined;

  /** `patienceMs`: how long a change may wait for another process's lock. */
  constructor(file: QueueFile, patienceMs: number) {
    this.#file = file;
    this.#patienceMs = patienceMs;
  }

  /** Why no change can ever succeed again: an I/O error, damage, or closed. */
  get ended(): Failure | undefined {
    return this.#ended;
  }

  /**
   * Resolves with the result of `change` after COMMIT and, where it is to be durable, its fsync returned. `change` is synchronous
   * and may run more than once.
   * @throws Failure `queue-unavailable`: nothing of the transaction happened, or, once `ended`, nobody can say; `stopped` when
   * the signal aborted before it
   */
  write<T>(change: () => T, { signal, size = 1, durable = true }: ChangeOptions = {}): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (this.#waiting.length >= DISK.queueChanges) return Promise.reject(overfull());
    return new Promise<T>((resolve, reject) => {
      const prepared = (): (() => void) => {
        const result = change();
        return () => resolve(result);
      };
      this.#waiting.push({ change: prepared, refuse: reject, signal, size, durable, sinceMs: performance.now() });
      if (!durable || this.#syncing === undefined) this.#schedule();
    });
  }

  /** Waits for what has been asked for so far, then refuses everything. */
  async close(): Promise<void> {
    await this.write(() => undefined).catch(() => undefined);
    await this.#syncing;
    this.#ended ??= new Failure('queue-unavailable', 'The queue is closed; send the event again in a moment.');
  }

  /** After the I/O callbacks of this turn: whatever they ask for shares the transaction. */
  #schedule(afterMs = 0): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const flush = (): void => this.#flush();
    if (afterMs > 0) setTimeout(flush, afterMs);
    else setImmediate(flush);
  }

  #flush(): void {
    this.#scheduled = false;
    const batch = this.#take();
    let retryMs = 0;
    try {
      if (batch.length > 0) this.#store(batch);
    } catch (error) {
      retryMs = isBusy(error) ? RETRY_MS : 0;
      this.#fail(batch, error);
    }
    if (this.#isDue) this.#schedule(retryMs);
  }

  /** What is to be durable, and is asked for while the disk is waited for, shares the next transaction and fsync. */
  get #isDue(): boolean {
    return this.#syncing === undefined ? this.#waiting.length > 0 : this.#waiting.some(({ durable }) => !durable);
  }

  #store(batch: readonly PendingChange[]): void {
    const tellings = this.#transaction(batch);
    for (const [index, tell] of tellings.entries()) {
      const work = batch[index];
      if (work?.durable === true) this.#unsynced.push({ tell, refuse: work.refuse });
      else tell();
    }
    this.#sinceCheckpoint += batch.reduce((rows, { size }) => rows + size, 0);
    if (this.#unsynced.length > 0) this.#syncing ??= this.#sync();
    else if (this.#syncing === undefined) this.#checkpointLater();
  }

  /** Until the disk has all that is to be durable. */
  async #sync(): Promise<void> {
    while (this.#unsynced.length > 0) {
      const committed = this.#unsynced;
      this.#unsynced = [];
      try {
        await this.#file.sync();
      } catch (error) {
        this.#end(changeFailure(error));
      }
      // A checkpoint may have found the disk broken meanwhile.
      for (const { tell, refuse } of committed) {
        if (this.#ended === undefined) tell();
        else refuse(this.#ended);
      }
      this.#checkpointLater();
    }
    this.#syncing = undefined;
    if (this.#isDue) this.#schedule();
  }

  #take(): PendingChange[] {
    let size = 0;
    const end = this.#waiting.findIndex((work, index) => (size += work.size) > MAX_PER_TRANSACTION && index > 0);
    const next = this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
    return next.filter((work) => {
      if (work.signal?.aborted !== true) return true;
      work.refuse(leftEarly(work.signal));
      return false;
    });
  }

  #transaction(batch: readonly PendingChange[]): (() => void)[] {
    const { database } = this.#file;
    this.#file.assertInPlace();
    database.exec('BEGIN IMMEDIATE');
    try {
      const tellings = batch.map((work) => work.change());
      database.exec('COMMIT');
      return tellings;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** Some errors have rolled back already; one that cannot be rolled back ends the queue. */
  #rollBack(): void {
    try {
      if (this.#file.database.isTransaction) this.#file.database.exec('ROLLBACK');
    } catch {
      // isTransaction stays true, which #fail reads
    }
  }

  #fail(batch: readonly PendingChange[], error: unknown): void {
    const failure = changeFailure(error);
    if (isFatal(error) || this.#file.database.isTransaction) this.#end(failure);
    const patient = (work: PendingChange): boolean =>
      isBusy(error) && this.#ended === undefined && performance.now() - work.sinceMs < this.#patienceMs;
    for (const work of batch) if (!patient(work)) work.refuse(failure);
    this.#waiting.unshift(...batch.filter(patient));
  }

  #end(failure: Failure): void {
    this.#ended ??= failure;
    for (const work of this.#waiting.splice(0)) work.refuse(this.#ended);
  }

  /** In a turn of its own: those who wait for their commit have been answered by then. */
  #checkpointLater(): void {
    if (this.#sinceCheckpoint >= CHECKPOINT_EVERY) setImmediate(() => this.#checkpoint());
  }

  /** PASSIVE waits for nobody. */
  #checkpoint(): void {
    if (this.#sinceCheckpoint < CHECKPOINT_EVERY || this.#ended !== undefined) return;
    this.#sinceCheckpoint = 0;
    try {
      this.#file.database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
    } catch (error) {
      if (isFatal(error)) this.#end(changeFailure(error));
    }
  }
}

function leftEarly(signal: AbortSignal): Failure {
  if (signal.reason instanceof Failure) return signal.reason;
  return new Failure('stopped', 'Nothing was stored, because the request ended first; send the event again.', {
    cause: signal.reason,
  });
}

function overfull(): Failure {
  return new Failure('queue-unavailable', 'Too many events wait for the disk of the queue; send this one again.');
}
