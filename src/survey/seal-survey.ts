/** What a survey found → held against the seals, put on record as proofs, and sealed where it is proven. */
import type { KeyObject } from 'node:crypto';
import type { Archive } from '../archive/archive.ts';
import { leavesAmiss, readChain, type SealChain } from '../archive/chain-of-seals.ts';
import { sumText } from '../archive/leaves.ts';
import type { ReadPart } from '../archive/part.ts';
import { writeProof, writeReading } from '../archive/proofs.ts';
import { sealDays } from '../archive/seal-days.ts';
import type { SealedDay } from '../archive/seals.ts';
import type { Audit, AuditDay } from '../audit/audit.ts';
import { dayAt } from '../instant.ts';
import type { Signer } from '../statement.ts';
import type { ArchiveFinding, Survey, SurveyNeeds } from './survey.ts';

interface SealComparison {
  readonly survey: Survey;
  /** Those that were looked at; undefined for all there are. */
  readonly days: readonly string[] | undefined;
  readonly needs: Pick<SurveyNeeds, 'onFinding'> & { readonly archive: Pick<Archive, 'notes' | 'manifestText'> };
  /** Whose signature seals have to carry; any where it is absent. */
  readonly key: KeyObject | undefined;
}

/** Every seal recomputed, and each sealed day that was looked at held against it. What is found counts as the survey's. */
export async function compareSeals(comparison: SealComparison, signal: AbortSignal): Promise<SealChain> {
  const { survey, days, needs, key } = comparison;
  const found = (finding: ArchiveFinding): void => {
    survey.found(finding);
    needs.onFinding(finding);
  };
  const isAsked = (day: string): boolean => days?.includes(day) ?? true;
  const chain = await readChain({ notes: needs.archive.notes, isRecomputed: isAsked, key }, signal);
  for (const { name, reason } of chain.faults)
    found({ day: dayNamedIn(name), key: name, state: 'damaged', file: name, reason });
  for (const [day, { sealed, n }] of chain.days) {
    if (!isAsked(day) || sumText(survey.manifests.of(day)) === sealed.sum || !isReadable(sealed, chain)) continue;
    for await (const { key: recording, state } of leavesAmiss(sealed, needs.archive, signal))
      found({ day, key: recording, state, reason: `${SEALED[state]} ${String(n)}` });
  }
  return chain;
}

const SEALED = {
  gone: 'nothing lies there, and it was not erased: it was sealed in seal',
  damaged: 'its manifest.json is not the one that was sealed in seal',
} as const;

function dayNamedIn(name: string): string | undefined {
  return /^proofs\/(\d{4}-\d{2}-\d{2})\//.exec(name)?.[1];
}

function isReadable({ lists }: SealedDay, { faults }: SealChain): boolean {
  return !faults.some(({ name }) => lists.some((list) => list.name === name));
}

export interface SurveyProof {
  readonly survey: Survey;
  readonly chain: SealChain;
  /** Those that were looked at; undefined for all there are. */
  readonly days: readonly string[] | undefined;
  /** Of which the bytes were read. */
  readonly read: ReadPart | undefined;
  readonly archive: Pick<Archive, 'notes' | 'manifestText' | 'keysListed' | 'daysProven'>;
  /** Its days are sealed as well. */
  readonly audit: Pick<Audit, 'days'>;
  /** What was compared of the rest, in words. */
  readonly compared: string;
  readonly service: string;
}

/** As a report and as a proof says it. */
export function dayFigures(survey: Survey, day: string): { readonly day: string; readonly verdict: string } {
  const figures = survey.figuresOf(day);
  return { day, verdict: figures.findings === 0 ? 'intact' : 'damaged', ...figures };
}

/** A day that is sealed as it is needs no other proof; a run that reads says once what it has read. */
export async function proveSurvey(proof: SurveyProof, signal: AbortSignal): Promise<void> {
  const { survey, chain, days, read, compared, service } = proof;
  const { notes } = proof.archive;
  const at = new Date();
  for (const day of survey.days()) {
    const isSealed = chain.days.get(day)?.sealed.sum === sumText(survey.manifests.of(day));
    if (days === undefined && isSealed && survey.figuresOf(day).findings === 0) continue;
    await writeProof('intact', { ...dayFigures(survey, day), compared, service }, { notes, at }, signal);
  }
  if (read === undefined) return;
  const damagedDays = survey.days().filter((day) => survey.figuresOf(day).findings > 0);
  const range = days === undefined ? null : ([days.at(0) ?? '', days.at(-1) ?? ''] as const);
  const reading = { part: read, days: range, recordings: survey.read, findings: survey.findings, damagedDays };
  await writeReading(reading, { notes, at, service }, signal);
}

/** Of what was looked at, each day without findings that is proven to be complete. How many were sealed. */
export async function sealSurvey(
  proof: SurveyProof,
  openSigner: () => Promise<Signer | undefined>,
  signal: AbortSignal,
): Promise<number> {
  const { survey, chain, days, archive, service } = proof;
  // Nothing is put behind a chain that is broken.
  if (chain.faults.some(({ name }) => name.startsWith('proofs/seal/'))) return 0;
  const looked = days ?? (await daysKnown(proof, signal));
  const whole = looked.filter((day) => survey.figuresOf(day).findings === 0);
  const sumNow = (day: string): string => sumText(survey.manifests.of(day));
  const auditDays = days === undefined ? await auditDaysOver(proof, signal) : [];
  return sealDays(whole, { archive, chain, openSigner, service, now: () => new Date(), sumNow, auditDays }, signal);
}

/** Two days later nothing is written into it any more, whosever clock was slow. */
const AUDIT_SETTLED_MS = 2 * 24 * 3_600_000;

async function auditDaysOver({ chain, audit }: SurveyProof, signal: AbortSignal): Promise<readonly AuditDay[]> {
  const newest = [...chain.audit.keys()].toSorted().at(-1);
  const to = dayAt(Date.now() - AUDIT_SETTLED_MS);
  const found: AuditDay[] = [];
  for await (const day of audit.days({ from: newest, to }, signal)) if (!chain.audit.has(day.day)) found.push(day);
  return found;
}

/** With recordings, with a proof, or sealed before: oldest first. */
async function daysKnown({ survey, chain, archive }: SurveyProof, signal: AbortSignal): Promise<readonly string[]> {
  const known = new Set([...survey.days(), ...chain.days.keys()]);
  for await (const day of archive.daysProven(signal)) known.add(day);
  return [...known].toSorted();
}
