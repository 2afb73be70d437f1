/** An archive → looked through, held against its seals, put on record, and sealed where it is proven: by a command, and by the service at night. */
import type { KeyObject } from 'node:crypto';
import type { Archive } from '../archive/archive.ts';
import type { ClockTurn } from '../archive/chain-of-seals.ts';
import type { ReadPart } from '../archive/part.ts';
import type { Audit } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import { compareSeals, proveSurvey, sealSurvey } from './seal-survey.ts';
import type { Signer } from '../statement.ts';
import { surveyAll, surveyDays, type Survey, type SurveyNeeds } from './survey.ts';

export interface VerificationScope {
  /** undefined for all there are. */
  readonly days: readonly string[] | undefined;
  /** Whose bytes are read as well; none where it is absent. */
  readonly read: ReadPart | undefined;
}

export interface VerificationNeeds extends Pick<SurveyNeeds, 'onFinding' | 'onProgress'> {
  readonly archive: Archive;
  /** Whose signature seals have to carry; any where it is absent. */
  readonly key?: KeyObject | undefined;
  /** Asked for once something is to be put on record. */
  readonly openAudit: () => Promise<Pick<Audit, 'days'>>;
  readonly openSigner: (signal: AbortSignal) => Promise<Signer | undefined>;
  /** What is compared of what is not read, in words. */
  readonly compared: string;
  readonly service: string;
}

/** What the place of an archive knows of its files without reading them. */
export function comparedIn(place: { readonly kind: 'folder' | 'bucket' }): string {
  return place.kind === 'folder' ? 'sizes' : 'sizes and CRC32C';
}

export interface Verification {
  readonly survey: Survey;
  /** Days that were sealed. */
  readonly sealed: number;
  /** Where the chain of seals says that a clock was wrong: nothing of it is damaged for that. */
  readonly turns: readonly ClockTurn[];
  /** Why nothing could be put on record: that takes nothing from what was found. */
  readonly unwritten: Failure | undefined;
}

/** @throws Failure where the archive cannot be read */
export async function verifyArchive(
  { days, read }: VerificationScope,
  needs: VerificationNeeds,
  signal: AbortSignal,
): Promise<Verification> {
  const { archive, key, openAudit, openSigner, compared, service } = needs;
  const looking = { ...needs, read, now: () => new Date() };
  const survey = days === undefined ? await surveyAll(looking, signal) : await surveyDays(days, looking, signal);
  const chain = await compareSeals({ survey, days, needs, key }, signal);
  try {
    const audit = await openAudit();
    const proving = { survey, chain, days, read, archive, audit, compared, service };
    await proveSurvey(proving, signal);
    const sealed = await sealSurvey(proving, () => openSigner(signal), signal);
    return { survey, sealed, turns: chain.turns, unwritten: undefined };
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.code === 'stopped') throw thrown;
    return { survey, sealed: 0, turns: chain.turns, unwritten: thrown };
  }
}
