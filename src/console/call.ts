/** A recording (or a conversation) → all that a page says of it: what lies there or why nothing does, its conversation, its holds. */
import type { Archive, Entry } from '../archive/archive.ts';
import { readDetails, type ConversationDetails } from '../archive/details.ts';
import { erasedMark, type ErasedRecord } from '../archive/erased.ts';
import { holdsOn, type HoldRecord } from '../archive/holds.ts';
import type { FailureRecord, Manifest, WaitingRecord } from '../archive/manifest.ts';
import type { Subject } from '../archive/names.ts';
import { Failure } from '../failure.ts';
import { mayHear, type Identity } from './who/identity.ts';

export type CallState =
  | { readonly kind: 'archived'; readonly manifest: Manifest }
  | { readonly kind: 'missing'; readonly failure: FailureRecord }
  | { readonly kind: 'waiting'; readonly waiting: WaitingRecord }
  | {
      readonly kind: 'erased';
      /** undefined where it cannot be read. */
      readonly mark: Pick<ErasedRecord, 'by' | 'erasedAt'> | undefined;
      /** Nothing of it lies there any more; an erasure that was killed has only begun. */
      readonly isOver: boolean;
    }
  | { readonly kind: 'unknown' };

export interface Call {
  readonly subject: Subject;
  readonly state: CallState;
  /** undefined where none are kept. */
  readonly details: ConversationDetails | undefined;
  readonly holds: readonly HoldRecord[];
  /** All of its conversation, this one too. */
  readonly conversation: readonly Entry[];
}

/** Of one conversation; more are in the listing of the API. */
const MOST_OF_CONVERSATION = 50;

/** @throws Failure of status 403 where it belongs to divisions that they may not hear */
export async function readCall(
  subject: Subject,
  { archive, who }: { readonly archive: Archive; readonly who: Identity },
  signal: AbortSignal,
): Promise<Call> {
  const { conversationId } = subject;
  const rest = Promise.all([
    callState(subject, archive, signal),
    holdsOn(subject, archive.notes, signal),
    conversationId === undefined
      ? []
      : archive.list({ conversationId, limit: MOST_OF_CONVERSATION }, signal).then(({ entries }) => entries),
  ]);
  rest.catch(() => undefined);
  // Whoever may not hear it is told nothing else of it, not even what is wrong with it.
  const details = await detailsFor(subject, { archive, who }, signal);
  const [state, holds, conversation] = await rest;
  return { subject, state, details, holds, conversation };
}

/** Asked wherever anything of a recording is given out. @throws Failure of status 403 */
export async function detailsFor(
  { conversationId }: Subject,
  { archive, who }: { readonly archive: Pick<Archive, 'notes'>; readonly who: Identity },
  signal: AbortSignal,
): Promise<ConversationDetails | undefined> {
  const details = conversationId === undefined ? undefined : await readDetails(conversationId, archive.notes, signal);
  const divisions = details?.divisions ?? [];
  if (mayHear(who, undefined) || divisions.some((division) => mayHear(who, division))) return details;
  const text =
    'This recording belongs to a division that you may not listen to. Whoever runs the service gives that, in CONSOLE_ROLES (listen:DIVISION=…).';
  throw new Failure('unauthorized', text, { status: 403 });
}

async function callState(
  { recordingId, conversationId }: Subject,
  archive: Archive,
  signal: AbortSignal,
): Promise<CallState> {
  const subject = { recordingId, conversationId };
  try {
    const manifest =
      recordingId === undefined ? undefined : await archive.findUnerased({ recordingId, conversationId }, signal);
    if (manifest !== undefined) return { kind: 'archived', manifest };
  } catch (thrown) {
    if (!(thrown instanceof Failure && thrown.code === 'erased')) throw thrown;
    const mark = await erasureMarkOf(subject, archive, signal);
    return { kind: 'erased', mark, isOver: await isNothingLeft(subject, archive, signal) };
  }
  const whole = recordingId === undefined ? await erasureMarkOf(subject, archive, signal) : undefined;
  if (whole !== undefined)
    return { kind: 'erased', mark: whole, isOver: await isNothingLeft(subject, archive, signal) };
  const [waiting, failure] = await Promise.all([
    archive.waitingOf(subject, signal),
    archive.failureOf(subject, signal),
  ]);
  if (waiting !== undefined) return { kind: 'waiting', waiting };
  return failure === undefined ? { kind: 'unknown' } : { kind: 'missing', failure };
}

async function isNothingLeft(
  { recordingId, conversationId }: Subject,
  archive: Pick<Archive, 'shelfOf' | 'recordingsOf'>,
  signal: AbortSignal,
): Promise<boolean> {
  if (recordingId !== undefined) return (await archive.shelfOf({ recordingId, conversationId }, signal)) === undefined;
  for await (const _ of archive.recordingsOf(conversationId ?? '_', signal)) return false;
  return true;
}

/** Its own, else that of its conversation. */
async function erasureMarkOf(
  { recordingId, conversationId }: Subject,
  { notes }: Pick<Archive, 'notes'>,
  signal: AbortSignal,
): Promise<ErasedRecord | undefined> {
  try {
    const own = await erasedMark({ recordingId, conversationId }, notes, signal);
    if (own !== undefined || recordingId === undefined || conversationId === undefined) return own;
    return await erasedMark({ recordingId: undefined, conversationId }, notes, signal);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'conflict') return undefined;
    throw thrown;
  }
}
