/** A proof of completeness as it lies in the archive → what was established about the day, as it is reported. */
import type { WrittenProof } from '../archive/proofs.ts';
import type { DayProof } from './day.ts';
import { Fields } from '../fields.ts';

export interface ProvenDay {
  readonly proof: DayProof;
  /** When it was looked at; ISO 8601, UTC. */
  readonly at: string;
}

const VERDICTS = ['complete', 'accounted', 'incomplete', 'open'] as const;

/** undefined where it does not say all of it: such a day is looked at again. */
export function parseProvenDay(written: WrittenProof): ProvenDay | undefined {
  try {
    const fields = Fields.of(written, 'proof');
    return { proof: dayProofIn(fields, written.day), at: fields.requireInstant('at') };
  } catch {
    return undefined;
  }
}

function dayProofIn(fields: Fields, day: string): DayProof {
  const count = (name: string): number => fields.requireCount(name);
  return {
    day,
    verdict: fields.requireChoice('verdict', VERDICTS),
    conversations: count('conversations'),
    recordings: count('recordings'),
    archived: count('archived'),
    noMedia: count('noMedia'),
    erased: count('erased'),
    missing: count('missing'),
    failed: count('failed'),
    waiting: count('waiting'),
    storedAway: count('storedAway'),
    lost: count('lost'),
    unlisted: count('unlisted'),
    dataUntil: fields.requireInstant('dataUntil'),
    asked: fields.requireChoice('asked', ['all', 'so-far']),
    calls: count('calls'),
    polls: count('polls'),
    seconds: count('seconds'),
    keysSha256: fields.requireText('keysSha256'),
    divisions: fields.requireArray('divisions').map(String),
  };
}
