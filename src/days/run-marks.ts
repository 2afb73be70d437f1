/**
 * Notes under `staging/` that outlive a crash: that a run is under way, and which recording it was at. A run that finds the marks of
 * one that was killed goes on with care; what killed it twice is passed over.
 */
import { randomBytes } from 'node:crypto';
import type { Notes } from '../archive/notes.ts';
import { timeInPlace } from '../archive/place-time.ts';
import { keyOf, type Recording, recordingOfKey } from '../recording.ts';

const RENEW_MS = 60_000;
/** A mark that was not renewed for so long is a dead run's. */
const STALE_MS = 3 * RENEW_MS;

const RUNS = 'staging/run.';
const TRYING = 'staging/trying.';

export interface EarlierRuns {
  /** Of the same task, renewed just now. */
  readonly isUnderWay: boolean;
  /** A run of this task was killed. */
  readonly wasKilled: boolean;
  /** What runs were at when they were killed with care: these killed them. */
  readonly culprits: readonly Recording[];
}

/** Marks of killed runs are removed once they are known. `task` names the work, e.g. its days. */
export async function findEarlierRuns(task: string, notes: Notes, signal: AbortSignal): Promise<EarlierRuns> {
  const ages = new Ages(notes);
  let [isUnderWay, wasKilled] = [false, false];
  for await (const { name, writtenAt } of notes.list(`${RUNS}${task}.`, signal)) {
    const isStale = (await ages.of(writtenAt, signal)) > STALE_MS;
    if (isStale) await notes.remove(name, signal);
    wasKilled ||= isStale;
    isUnderWay ||= !isStale;
  }
  return { isUnderWay, wasKilled, culprits: isUnderWay ? [] : await takeCulprits(notes, ages, signal) };
}

/** How old marks are, by the clock that stamped them: by ours, a run elsewhere would look dead where ours is ahead, and never where it is behind. */
class Ages {
  readonly #notes: Notes;
  #now: Promise<number> | undefined;

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  /** Milliseconds; the clock is asked once there is a mark. */
  async of(writtenAt: string, signal: AbortSignal): Promise<number> {
    this.#now ??= timeInPlace(this.#notes, signal);
    return (await this.#now) - Date.parse(writtenAt);
  }
}

async function takeCulprits(notes: Notes, ages: Ages, signal: AbortSignal): Promise<readonly Recording[]> {
  const culprits: Recording[] = [];
  for await (const { name, writtenAt } of notes.list(TRYING, signal)) {
    const recording = recordingOfKey(name.slice(TRYING.length));
    if (recording !== undefined && (await ages.of(writtenAt, signal)) >= STALE_MS) culprits.push(recording);
  }
  return culprits;
}

/** After its failure is on record. */
export async function forgetCulprit(recording: Recording, notes: Notes, signal: AbortSignal): Promise<void> {
  await notes.remove(`${TRYING}${keyOf(recording)}`, signal);
}

/** A mark of this run, renewed every minute until it is disposed of. */
export class RunMark implements AsyncDisposable {
  readonly #prefix: string;
  readonly #notes: Notes;
  readonly #timer: NodeJS.Timeout;
  /** Names that may lie there: one, but for those that could not be removed yet. */
  readonly #names = new Set<string>();
  #renewing: Promise<void> = Promise.resolve();

  static async begin(task: string, notes: Notes): Promise<RunMark> {
    const mark = new RunMark(task, notes);
    await mark.#renewing;
    return mark;
  }

  private constructor(task: string, notes: Notes) {
    this.#prefix = `${RUNS}${task}.${randomBytes(4).toString('hex')}`;
    this.#notes = notes;
    this.#renewing = this.#renew();
    this.#timer = setInterval(() => {
      this.#renewing = this.#renewing.then(() => this.#renew());
    }, RENEW_MS).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    await this.#remove([...this.#names], AbortSignal.timeout(10_000)).catch(() => undefined);
  }

  /** One that fails leaves the run unmarked: then a crash costs no care, and nothing else. */
  async #renew(): Promise<void> {
    const [name, before, signal] = [
      `${this.#prefix}.${String(Date.now())}`,
      [...this.#names],
      AbortSignal.timeout(30_000),
    ];
    this.#names.add(name);
    try {
      await this.#notes.create(name, '', signal);
      await this.#remove(before, signal);
    } catch {
      // What lies there is removed with the next one.
    }
  }

  async #remove(names: readonly string[], signal: AbortSignal): Promise<void> {
    for (const name of names) {
      await this.#notes.remove(name, signal);
      this.#names.delete(name);
    }
  }
}

/** Marks a recording for as long as it is worked on. */
export async function whileTrying<T>(recording: Recording, notes: Notes, work: () => Promise<T>): Promise<T> {
  const name = `${TRYING}${keyOf(recording)}`;
  const signal = AbortSignal.timeout(30_000);
  await notes.create(name, '', signal);
  const outcome = await work();
  await notes.remove(name, AbortSignal.timeout(30_000));
  return outcome;
}
