/** A form that holds or erases → what it is about and why, from whom; refused where the account may do neither. */
import { subjectOfKey, type Subject } from '../archive/names.ts';
import type { AuditEntry } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import { pathOf } from '../recording.ts';
import { detailsFor } from './call.ts';
import type { Keeping } from './keeping.ts';
import type { ConsoleNeeds, Visit } from './visit.ts';

const LONGEST_REASON = 1_000;
/** It goes on when whoever asked has left: what was begun is ended. */
export const KEPT_WITHIN_MS = 240_000;

/** @throws Failure of status 403 saying which command does it instead */
export function requireKeeping({ keeping }: ConsoleNeeds, command: 'hold' | 'erase'): Keeping {
  if (keeping !== undefined) return keeping;
  const text = `The console may not change this archive: archiver ${command} does, by whoever keeps it.`;
  throw new Failure('unauthorized', text, { status: 403 });
}

/** What the page is about, for whoever may hear it if they hear anything. @throws Failure of status 400 or 403 */
export async function keptSubject(key: string | null, visit: Visit, { archive }: ConsoleNeeds): Promise<Subject> {
  const subject = subjectOfKey(key ?? '');
  if (subject === undefined) throw new Failure('bad-request', 'of: expected the key of a recording or a conversation.');
  if (visit.who.roles.has('listen')) await detailsFor(subject, { archive, who: visit.who }, visit.signal);
  return subject;
}

/** @throws Failure `bad-request` where there is none, or too much of it */
export function whyIn(form: URLSearchParams): string {
  const reason = (form.get('reason') ?? '').trim().toWellFormed();
  if (reason === '') throw new Failure('bad-request', 'Say why in a few words, without names or numbers.');
  if (reason.length <= LONGEST_REASON) return reason;
  throw new Failure('bad-request', `The reason has ${String(reason.length)} characters: at most 1,000.`);
}

/** As the audit names whoever does it from a page. */
export function keeperOf(
  { who, req }: Visit,
  { witness }: ConsoleNeeds,
): Pick<AuditEntry, 'who' | 'way' | 'from' | 'requestId'> {
  return { who: who.id, way: who.way, ...witness.placeOf(req) };
}

export function addressOfSubject({ recordingId, conversationId }: Subject): string {
  if (recordingId === undefined) return `/console/recordings/${conversationId ?? '_'}`;
  return `/console/recordings/${pathOf({ recordingId, conversationId })}`;
}

/** A recording, or all of a conversation. */
export function wordsOfSubject({ recordingId, conversationId }: Subject): string {
  return recordingId === undefined ? `conversation ${conversationId ?? ''}` : `recording ${recordingId}`;
}

/** `--recording C/R`, as commands take it. */
export function flagOfSubject({ recordingId, conversationId = '_' }: Subject): string {
  return recordingId === undefined
    ? `--conversation ${conversationId}`
    : `--recording ${conversationId}/${recordingId}`;
}
