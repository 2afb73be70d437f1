/** An archive and its Genesys → at night, what no event told of is looked for and fetched, with calls that live work can spare. */
import { isWrongClock } from '../clock.ts';
import type { Archive } from '../archive/archive.ts';
import { flagAllHeld } from '../archive/holds.ts';
import type { Config } from '../config/config.ts';
import type { DayProof, Finding } from '../days/day.ts';
import type { DeliveryNeeds } from '../delivery.ts';
import type { Genesys } from '../genesys/genesys.ts';
import { GenesysCensus } from '../genesys/open-census.ts';
import { BULK_PATIENCE_MS, createGenesys } from '../genesys/open-genesys.ts';
import { IndexDays } from '../days/index-days.ts';
import { type BulkWork, mendDays } from '../days/mend-days.ts';
import { daysSinceFirstLook, incompleteSince, isOverdue } from '../days/prove-day.ts';
import { divisionsInSight, divisionsLost, mendingOfView } from '../days/sight.ts';
import { dayNotice, type FollowUps } from '../delivery/follow-ups.ts';
import type { Queue } from '../queue/queue.ts';
import { handleWithoutQueue, refusedTo, type StudioContext } from './studio.ts';

/** Of Genesys' calls a minute; a token of its own is taken, and any 429 halves it. */
const SHARE = 0.5;
/** Recordings at once, and encoders of those that there are. */
const AT_ONCE = 1;

export interface NightContext extends Omit<StudioContext, 'opened'> {
  readonly config: Config;
  readonly stopping: AbortSignal;
}

export interface NightNeeds {
  readonly archive: Archive;
  readonly studio: { readonly pipelineOver: (genesys: Genesys) => DeliveryNeeds['pipeline'] };
  /** Somebody is told of incomplete days by way of it, where somebody is. */
  readonly queue: Pick<Queue, 'publish'>;
  /** What is fetched at night is told of and indexed like anything else. */
  readonly followUps?: FollowUps | undefined;
}

export class NightlyLook {
  readonly #context: NightContext;
  readonly #needs: NightNeeds;
  #incomplete = NaN;

  constructor(context: NightContext, needs: NightNeeds) {
    this.#context = context;
    this.#needs = needs;
    context.metrics.gauge('days_incomplete', () => this.#incomplete);
  }

  /** @throws Failure where Genesys or the archive cannot be asked; what was done until then stays */
  async run(signal: AbortSignal): Promise<void> {
    const { config, log, version } = this.#context;
    const { archive } = this.#needs;
    await using open = new AsyncDisposableStack();
    const census = new GenesysCensus(config.genesys, {
      share: SHARE,
      proxies: config.proxies,
      onRefused: refusedTo(log),
    });
    open.defer(() => census.close());
    const bulk = this.#bulkIn(open);
    const index = new IndexDays({
      archive,
      keepsDetails: config.keepDetails !== 'no',
      version,
      onTrouble: (error) => log.warn('The index of a day could not be written.', { error }),
    });
    // What is over, and how old something is, goes by the clock of who recorded it.
    const skewMs = await census.skewMs(signal);
    if (isWrongClock(skewMs))
      log.warn("The clock of this machine differs from Genesys'; Genesys' was used.", { skewMs });
    const now = (): Date => census.now();
    const inSight = async (stop: AbortSignal): Promise<readonly string[] | undefined> => {
      // An aid alone: a night is worked without it.
      const grants = await census.grants(stop).catch(() => undefined);
      stop.throwIfAborted();
      return grants === undefined ? undefined : divisionsInSight(grants);
    };
    const known = { notes: archive.notes, now: now(), inSight: await inSight(signal) };
    const { days, seen } = await daysSinceFirstLook(known, signal);
    const tally = new NightTally();
    await mendDays(
      days,
      {
        census,
        archive,
        version,
        index,
        now,
        inSight,
        shown: known.inSight,
        bulk,
        atOnce: AT_ONCE,
        run: 'night',
        again: false,
        wasKilled: false,
        onFinding: (finding) => tally.finding(finding),
        onDay: (proof) => tally.day(proof),
        onTrouble: (day, { code, message: reason }) => {
          tally.trouble();
          log.warn('A day could not be looked at; the others were.', { day, code, reason });
        },
        onFetched: () => tally.fetched(),
        onLeft: (day, count, { code, message: reason }) =>
          log.warn('Recordings of a day were left: only a person can change what keeps them.', {
            day,
            count,
            code,
            reason,
          }),
      },
      signal,
    );
    signal.throwIfAborted();
    await flagAllHeld(archive, signal).catch((error: unknown) => {
      log.warn('What is held could not be flagged; it is not erased all the same.', { error });
    });
    this.#sayLost([...seen, ...(known.inSight ?? [])], await inSight(signal));
    for (const { day, hindered } of tally.hindered)
      log.warn('A day could not be looked at whole: nothing is proven of it.', { day, reason: hindered });
    for (const proof of tally.incomplete)
      await this.#sayIncomplete(proof, { reasons: tally.reasonsOf(proof.day) }, signal);
    await this.#notify(tally.incomplete, signal);
    this.#incomplete = tally.incomplete.length + tally.troubled;
    log.info('Genesys was compared with the archive.', { ...tally.counts(), calls: census.calls.made });
  }

  /** What the role showed before and does not show now: what lies there is looked at once it is back. */
  #sayLost(before: readonly string[], now: readonly string[] | undefined): void {
    const lost = now === undefined ? [] : divisionsLost([...new Set(before)], now);
    if (lost.length === 0) return;
    const reason = mendingOfView('conversations', lost.includes('*') ? [] : lost);
    this.#context.log.warn('Divisions that Genesys showed before are not shown any more.', { divisions: lost, reason });
  }

  async #notify(proofs: readonly DayProof[], signal: AbortSignal): Promise<void> {
    if (this.#context.config.notify === undefined || proofs.length === 0) return;
    const at = new Date().toISOString();
    await this.#needs.queue.publish(
      proofs.map(({ day }) => dayNotice(day, at)),
      signal,
    );
  }

  /** What the queue calls for live work, behind a token of its own. */
  #bulkIn(open: AsyncDisposableStack): BulkWork {
    const { config, metrics, log, version } = this.#context;
    const { archive, studio, followUps } = this.#needs;
    const genesys = createGenesys(config.genesys, {
      proxies: config.proxies,
      onRefused: refusedTo(log),
      share: SHARE,
      patienceMs: BULK_PATIENCE_MS,
    });
    open.defer(() => genesys.close());
    const pipeline = studio.pipelineOver(genesys);
    const after = followUps === undefined ? {} : { followUps };
    const handle = handleWithoutQueue({ pipeline, genesys, archive, metrics, log, version, ...after });
    return { handle, expect: (recordings) => genesys.expect(recordings) };
  }

  async #sayIncomplete(
    proof: DayProof,
    { reasons }: { readonly reasons: readonly string[] },
    signal: AbortSignal,
  ): Promise<void> {
    const { day, missing, failed, waiting, storedAway } = proof;
    const since = await incompleteSince(day, this.#needs.archive.notes, signal);
    const refused = reasons.length === 0 ? {} : { reasons };
    const facts = { day, missing, failed, waiting, storedAway, since: since?.toISOString(), ...refused };
    const next = `archiver reconcile --from ${day} --to ${day}`;
    if (isOverdue(since, new Date()))
      this.#context.log.error('A day has stayed incomplete for two days.', { ...facts, next });
    else this.#context.log.warn('A day is incomplete.', { ...facts, next });
  }
}

/** Of a day, in the log. */
const MOST_REASONS = 5;

class NightTally {
  readonly #verdicts = { complete: 0, accounted: 0, incomplete: 0, open: 0 };
  readonly incomplete: DayProof[] = [];
  readonly hindered: DayProof[] = [];
  readonly #refused = new Map<string, Set<string>>();
  /** Days that could not be looked at. */
  troubled = 0;
  #fetched = 0;

  trouble(): void {
    this.troubled += 1;
  }

  finding({ day, code, reason }: Finding): void {
    if (code !== 'forbidden') return;
    const reasons = this.#refused.get(day) ?? new Set();
    if (reasons.size < MOST_REASONS) this.#refused.set(day, reasons.add(reason));
  }

  /** What only a person can give. */
  reasonsOf(day: string): readonly string[] {
    return [...(this.#refused.get(day) ?? [])];
  }

  day(proof: DayProof): void {
    this.#verdicts[proof.verdict] += 1;
    if (proof.verdict === 'incomplete') this.incomplete.push(proof);
    if (proof.hindered !== undefined) this.hindered.push(proof);
  }

  fetched(): void {
    this.#fetched += 1;
  }

  counts(): Readonly<Record<string, number>> {
    return { ...this.#verdicts, fetched: this.#fetched };
  }
}
