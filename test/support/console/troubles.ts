/** Failures, waits, proofs and recordings, as they lie in an archive that the health page is to tell of. */
import type { Archive } from '../../../src/archive/archive.ts';
import { writeProof } from '../../../src/archive/proofs.ts';
import type { FailureCode } from '../../../src/failure.ts';
import { FAILURES } from '../../../src/failure.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);

export interface Failed {
  readonly recordingId: string;
  readonly conversationId?: string;
  readonly code?: FailureCode;
  readonly reason?: string;
  readonly at?: Date;
}

export async function addFailed(archive: Archive, failed: Failed): Promise<void> {
  const { recordingId, conversationId = `c-of-${recordingId}`, code = 'unreadable-media', at = new Date() } = failed;
  const reason = failed.reason ?? 'MP4 without an index; 0 of 3,812,204 bytes could be decoded.';
  const ids = { version: 1, recordingId, conversationId, attempts: 2, service: '0' } as const;
  const record = { ...ids, status: 'failed', code, reason, failedAt: at.toISOString() } as const;
  await archive.recordFailure({ recordingId, conversationId }, record, signal());
}

export interface Waits {
  readonly recordingId: string;
  readonly code?: FailureCode;
  readonly since?: Date;
}

export async function addWaiting(
  archive: Archive,
  { recordingId, code = 'not-ready', since = new Date() }: Waits,
): Promise<void> {
  const conversationId = `c-of-${recordingId}`;
  const ids = { version: 1, recordingId, conversationId, attempts: 0, service: '0' } as const;
  const times = { since: since.toISOString(), nextTry: new Date(Date.now() + 40_000).toISOString() };
  const record = { ...ids, ...times, code, sort: FAILURES[code].sort, reason: 'Genesys is transcoding it.' };
  await archive.recordWaiting({ recordingId, conversationId }, record, signal());
}

export interface Proven {
  readonly day: string;
  readonly recordings: number;
  readonly missing?: number;
  readonly failed?: number;
  readonly waiting?: number;
  /** When it was compared. */
  readonly at?: Date;
  readonly dataUntil?: Date;
}

export async function addProof(archive: Archive, proven: Proven): Promise<void> {
  const { day, recordings, missing = 0, failed = 0, waiting = 0, at = new Date(), dataUntil = at } = proven;
  const archived = recordings - missing - failed - waiting;
  const verdict = missing + failed + waiting === 0 ? 'complete' : 'incomplete';
  const proof = { day, verdict, recordings, archived, missing, failed, waiting, dataUntil: dataUntil.toISOString() };
  await writeProof('complete', proof, { notes: archive.notes, at }, signal());
}
