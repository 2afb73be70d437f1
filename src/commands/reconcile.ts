/** `archiver reconcile`: what Genesys has and the archive lacks, day by day, and why; a proof of each day that is over. */
import type { Archive } from '../archive/archive.ts';
import { flagAllHeld } from '../archive/holds.ts';
import { DayTroubles } from '../days/day-troubles.ts';
import type { DayProof, Finding } from '../days/day.ts';
import { Failure } from '../failure.ts';
import type { Absence, GenesysInquiry, Inquest, WitnessName } from '../genesys/inquiry.ts';
import {
  daysInNeed,
  incompleteSince,
  isOverdue,
  type ProofNeeds,
  proveDay,
  provenComplete,
} from '../days/prove-day.ts';
import type { ProvenDay } from '../days/proven-day.ts';
import { readVersion } from '../version.ts';
import { daysAsked } from './days.ts';
import { UsageError } from './flags.ts';
import { forecast } from './forecast.ts';
import { indexDaysOf, openArchiveToWrite, openCensusOf, openInquiryOf, openWorkplace } from './open.ts';
import { rebuildIndex } from './rebuild-index.ts';
import { tellSkew } from './skew.ts';
import { columnsOf, EXIT, type Exit, type Report } from './report.ts';
import type { Task } from './task.ts';

export async function runReconcile(task: Task): Promise<Exit> {
  if (task.flags.isOn('index')) {
    if (task.flags.isOn('why')) throw new UsageError('--index asks Genesys nothing: leave out --why.');
    return rebuildIndex(task);
  }
  // What cannot be meant is said before anything is opened.
  const asked = daysAsked(task.flags, new Date());
  const workplace = openWorkplace(task, 'reconcile');
  const archive = await openArchiveToWrite(workplace, task);
  const census = openCensusOf(workplace, task, 1);
  const index = indexDaysOf({ workplace, archive }, task);
  const inquiry = task.flags.isOn('why') ? openInquiryOf(workplace, task) : undefined;
  // Which days are the last ones is for Genesys' clock to say, not for ours.
  if (asked === undefined) await census.skewMs(task.signal);
  const now = (): Date => census.now();
  const exit = await reconcile(task, { census, archive, version: readVersion(), index, inquiry, now });
  tellSkew(census, task);
  if (!task.signal.aborted) await flagWhatCame(archive, task);
  return exit;
}

/** Holds are honoured without their flags as well: that one cannot be set is said, and no finding. */
async function flagWhatCame(archive: Archive, { report, signal }: Task): Promise<void> {
  await flagAllHeld(archive, signal).catch((thrown: unknown) => {
    report.problem(`What is held could not be flagged: ${Failure.from(thrown).message}`);
  });
}

export interface ReconcileNeeds extends ProofNeeds {
  /** Of Genesys' calls a minute; all of them by default. */
  readonly share?: number;
  /** Asked what became of what is lost or unlisted. */
  readonly inquiry?: Pick<GenesysInquiry, 'hear'> | undefined;
}

/** Findings for people are kept until the days are printed; beyond so many they are only counted. */
const MOST_FINDINGS = 1_000;

export async function reconcile(task: Task, needs: ReconcileNeeds): Promise<Exit> {
  const { flags, report, signal } = task;
  const { now = () => new Date() } = needs;
  const days = daysAsked(flags, now()) ?? (await daysInNeed(needs.archive.notes, now(), signal));
  await forecast(days, { notes: needs.archive.notes, share: needs.share ?? 1, report, now: now() }, signal);
  const tally = new ReconcileTally(report);
  await tally.listing(async () => {
    const troubles = new DayTroubles((day, because) => tally.passedOver(day, because));
    for (const day of days) {
      if (signal.aborted || report.closed) break;
      await troubles.around(day, () => reconcileDay(day, { task, needs, tally }), signal);
    }
    if (troubles.first !== undefined) throw troubles.first;
  });
  return tally.end(days.length);
}

interface DayReport {
  readonly task: Task;
  readonly needs: ReconcileNeeds;
  readonly tally: ReconcileTally;
}

async function reconcileDay(day: string, { task, needs, tally }: DayReport): Promise<void> {
  const { flags, report, signal } = task;
  const { archive, inquiry, now = () => new Date() } = needs;
  const known = flags.isOn('again') ? undefined : await provenComplete(day, archive.notes, signal);
  if (known !== undefined) {
    await needs.index?.gather(day, signal);
    return tally.known(known);
  }
  const onProgress = (conversations: number): void =>
    report.progress(`${day}  ${String(conversations)} conversations`, { day, conversations });
  const absences: Absence[] = [];
  const onFinding = (finding: Finding): void => {
    tally.found(finding);
    if (absences.length < MOST_FINDINGS) absences.push(...absenceOf(finding));
  };
  const proof = await proveDay(day, { ...needs, onFinding, onProgress }, signal);
  tally.day(proof);
  if (proof.verdict === 'incomplete')
    tally.incomplete(day, { since: await incompleteSince(day, archive.notes, signal), now: now() });
  if (inquiry !== undefined && absences.length > 0) tally.why(day, absences, await inquiry.hear(day, absences, signal));
}

/** What Genesys does not have, and somebody there may know of. */
function absenceOf({ state, key }: Finding): readonly Absence[] {
  if (state !== 'lost' && state !== 'unlisted') return [];
  const [conversationId = '', recordingId] = key.split('.');
  return [{ conversationId, recordingId: recordingId === '_' ? undefined : recordingId }];
}

const WITNESSES: Readonly<Record<WitnessName, string>> = {
  audit: 'audits',
  orphans: 'orphaned recordings',
  uploads: 'upload reports',
};
const UNKNOWN = 'neither audits nor orphans nor upload reports know of it';

/** Prints days and findings as they come, and knows how it all ended. */
export class ReconcileTally {
  readonly #report: Report;
  readonly #verdicts = { complete: 0, accounted: 0, incomplete: 0, open: 0 };
  readonly #lines: (readonly string[])[] = [];
  #findings = 0;
  #hindered = 0;
  #overdue = 0;
  #known = 0;
  #fetchable: string[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  found(finding: Finding): void {
    this.#findings += 1;
    const { day, key, state, reason } = finding;
    this.#report.fact({ type: 'finding', ...finding });
    if (this.#lines.length < MOST_FINDINGS) this.#lines.push([state, day, key, reason]);
  }

  /** Of a day that has been so for two days, which somebody has to be told of. */
  incomplete(day: string, { since, now }: { readonly since: Date | undefined; readonly now: Date }): void {
    if (since === undefined || !isOverdue(since, now)) return;
    this.#report.fact({
      type: 'overdue',
      day,
      since: since.toISOString(),
      next: `archiver backfill --from ${day} --to ${day}`,
    });
    this.#overdue += 1;
  }

  /** A day that could not be looked at. */
  passedOver(day: string, { message }: Failure): void {
    this.#report.problem(`${day}: it could not be looked at: ${message}`);
  }

  /** What was heard of each absence; that nobody knows is said as well, unless somebody could not be heard. */
  why(day: string, absences: readonly Absence[], { testimonies, silent }: Inquest): void {
    for (const { witness, failure } of silent)
      this.#report.problem(`${day}: Genesys' ${WITNESSES[witness]} could not be asked: ${failure.message}`);
    for (const absence of absences) {
      const heard = testimonies.filter((each) => each.absence === absence);
      for (const { witness, reason } of heard) this.#because(day, absence, { witness, reason });
      if (heard.length === 0 && silent.length === 0)
        this.#because(day, absence, { witness: 'nobody', reason: UNKNOWN });
    }
  }

  #because(day: string, absence: Absence, because: { readonly witness: string; readonly reason: string }): void {
    const key = `${absence.conversationId}.${absence.recordingId ?? '_'}`;
    this.#report.fact({ type: 'why', day, key, ...because });
    if (this.#lines.length < 2 * MOST_FINDINGS) this.#lines.push(['why', day, key, because.reason]);
  }

  day(proof: DayProof): void {
    this.#verdicts[proof.verdict] += 1;
    if (proof.verdict === 'incomplete') this.#fetchable.push(proof.day);
    if (proof.hindered !== undefined) this.#hindered += 1;
    this.#report.line(dayLine(proof), { type: 'day', ...proof });
  }

  /** Of a day that was proven before, and was not looked at again. */
  known({ proof, at }: ProvenDay): void {
    this.#verdicts[proof.verdict] += 1;
    this.#known += 1;
    const text = `${dayLine(proof)}  (proven ${at.slice(0, 16)}Z)`;
    this.#report.line(text, { type: 'day', ...proof, calls: 0, polls: 0, seconds: 0, provenAt: at });
  }

  /** What was found until then is named, however the look ends. */
  async listing<T>(look: () => Promise<T>): Promise<T> {
    try {
      return await look();
    } finally {
      this.#list();
    }
  }

  #list(): void {
    // As they were found they stand in no order: several conversations are looked at together.
    const lines = this.#lines.toSorted(
      ([, a = '', b = ''], [, c = '', d = '']) => a.localeCompare(c) || b.localeCompare(d),
    );
    if (lines.length > 0) this.#report.text(['', ...columnsOf(lines)].join('\n'));
    const hidden = this.#findings - this.#lines.filter(([kind]) => kind !== 'why').length;
    if (hidden > 0) this.#report.text(`… and ${String(hidden)} more: --json lists all of them.`);
  }

  end(days: number): Exit {
    const report = this.#report;
    const { complete, accounted } = this.#verdicts;
    report.text(
      `\n${String(complete)} of ${String(days)} days complete.${accounted > 0 ? ` ${String(accounted)} accounted for: what they lack is gone at Genesys too.` : ''}${this.#overdue > 0 ? ` ${String(this.#overdue)} incomplete for two days or more.` : ''}${this.#knownText()}${this.#advice()}`,
    );
    const exit = this.#findings + this.#hindered > 0 ? EXIT.findings : EXIT.well;
    const hindered = this.#hindered === 0 ? {} : { hindered: this.#hindered };
    report.summary({ days, ...this.#verdicts, findings: this.#findings, ...hindered }, exit);
    return exit;
  }

  #knownText(): string {
    if (this.#known === 0) return '';
    return ` ${String(this.#known)} were proven before and cost no call: --again looks at them too.`;
  }

  #advice(): string {
    const [first, last] = [this.#fetchable.at(0), this.#fetchable.at(-1)];
    if (first === undefined || last === undefined) return '';
    return ` Fetch what can be had:  archiver backfill --from ${first} --to ${last}`;
  }
}

function dayLine(proof: DayProof): string {
  const { day, verdict, dataUntil, hindered } = proof;
  const head = `${day}  ${verdict.padEnd(10)}`;
  const reach = `Genesys' data reach to ${dataUntil.slice(0, 16)}Z`;
  if (verdict === 'open' && proof.recordings === 0 && hindered === undefined)
    return `${head}  ${reach}; ask again tomorrow`;
  const counts = [
    ['conversations', proof.conversations],
    ['recordings', proof.recordings],
    ['archived', proof.archived],
    ['no media', proof.noMedia],
    ['erased', proof.erased],
    ['missing', proof.missing],
    ['failed', proof.failed],
    ['waiting', proof.waiting],
    ['stored away', proof.storedAway],
    ['lost', proof.lost],
    ['unlisted', proof.unlisted],
  ] as const;
  const shown = counts.filter(([, count], index) => index < 3 || count > 0);
  const text = shown.map(([name, count]) => `${String(count).padStart(5)} ${name}`).join('  ');
  return `${head}  ${text}${verdict === 'open' ? `  (${hindered ?? reach})` : ''}`;
}
