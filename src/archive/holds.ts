/**
 * Which cases forbid erasure, as notes: `holds/{conversationId|_}.{recordingId|_}/{case}.json`, one for each case, so that of two
 * cases one can be released. A conversation's hold (`C._`) covers its recordings, also those that come later.
 */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import type { Archive } from './archive.ts';
import { canonicalSubject, subjectKey, subjectOfKey, type Subject } from './names.ts';
import type { Notes } from './notes.ts';
import { storedIdOrNull } from './records.ts';

export interface HoldRecord {
  readonly version: 1;
  readonly case: string;
  readonly conversationId: string | null;
  /** null for a whole conversation. */
  readonly recordingId: string | null;
  readonly reason: string;
  /** As the audit names them. */
  readonly by: string;
  /** ISO 8601, UTC. */
  readonly heldAt: string;
}

const HOLDS = 'holds/';
const CASE = /^[0-9A-Za-z_=:-]([0-9A-Za-z_=:.-]{0,98}[0-9A-Za-z_=:-])?$/;

/** The case's name, which is part of a name in the archive. @throws Failure `bad-request` */
export function requireCase(text: string): string {
  if (CASE.test(text)) return text;
  throw new Failure(
    'bad-request',
    `${JSON.stringify(text.slice(0, 100))} cannot name a case: expected 1 to 100 of 0-9 A-Z a-z _ = : . - (no dot at its ends).`,
  );
}

export function subjectOfHold(hold: Pick<HoldRecord, 'conversationId' | 'recordingId'>): Subject {
  return { conversationId: hold.conversationId ?? undefined, recordingId: hold.recordingId ?? undefined };
}

/** Durable when it resolves; false where this case holds it already. @throws Failure `bad-request` where the name is taken otherwise */
export async function placeHold(hold: HoldRecord, notes: Notes, signal: AbortSignal): Promise<boolean> {
  const name = holdName(subjectOfHold(hold), hold.case);
  if (await notes.create(name, `${JSON.stringify(hold, null, 2)}\n`, signal)) return true;
  // A file system without case takes "K" for "k": to release one would release the other.
  const there = await readHold(name, notes, signal);
  if (there === undefined || there.case === hold.case) return false;
  throw new Failure(
    'bad-request',
    `Case ${there.case} lies where ${hold.case} would: choose a name that differs by more than capitals.`,
  );
}

/** False where this case did not hold it. @throws Failure `conflict` where a retention policy of the bucket keeps it */
export async function removeHold(hold: HoldRecord, notes: Notes, signal: AbortSignal): Promise<boolean> {
  return notes.remove(holdName(subjectOfHold(hold), hold.case), signal);
}

/** Every hold there is, or those of one case, by name. @throws Failure `conflict` where one cannot be read: what forbids erasure is never passed over */
export async function* listHolds(notes: Notes, signal: AbortSignal, caseName?: string): AsyncGenerator<HoldRecord> {
  yield* holdsUnder({ prefix: HOLDS, end: caseName === undefined ? '.json' : `/${caseName}.json` }, notes, signal);
}

/** Of a recording: its own and its conversation's. Of a conversation: its own and those of each of its recordings. */
export async function holdsOn(subject: Subject, notes: Notes, signal: AbortSignal): Promise<readonly HoldRecord[]> {
  const { recordingId, conversationId } = canonicalSubject(subject);
  const prefixes =
    recordingId === undefined
      ? [`${HOLDS}${conversationId ?? '_'}.`]
      : [
          `${HOLDS}${subjectKey({ recordingId, conversationId })}/`,
          ...(conversationId === undefined ? [] : [`${HOLDS}${conversationId}._/`]),
        ];
  const holds: HoldRecord[] = [];
  for (const prefix of prefixes)
    for await (const hold of holdsUnder({ prefix, end: '.json' }, notes, signal)) holds.push(hold);
  return holds;
}

type Flagging = Pick<Archive, 'notes' | 'flag' | 'recordingsOf'>;

/** Marks what lies there as held, or no longer, by all holds that are left. True where something lies there and is held. */
export function flagByHolds(subject: Subject, archive: Flagging, signal: AbortSignal): Promise<boolean> {
  return flagWhere(subject, { archive, counts: () => true }, signal);
}

/** The same as if this one were released already: whoever releases it does so first, so that no flag outlives its last case. */
export async function flagWithout(released: HoldRecord, archive: Flagging, signal: AbortSignal): Promise<void> {
  const key = keyOfHold(released);
  const counts = (hold: HoldRecord): boolean => hold.case !== released.case || keyOfHold(hold) !== key;
  await flagWhere(subjectOfHold(released), { archive, counts }, signal);
}

function keyOfHold(hold: HoldRecord): string {
  return subjectKey(canonicalSubject(subjectOfHold(hold)));
}

async function flagWhere(
  { recordingId, conversationId }: Subject,
  needs: { readonly archive: Flagging; readonly counts: (hold: HoldRecord) => boolean },
  signal: AbortSignal,
): Promise<boolean> {
  const { archive, counts } = needs;
  if (recordingId !== undefined) {
    const isHeld = (await holdsOn({ recordingId, conversationId }, archive.notes, signal)).some(counts);
    return (await archive.flag({ recordingId, conversationId }, isHeld, signal)) && isHeld;
  }
  let isAnyHeld = false;
  for await (const recording of archive.recordingsOf(conversationId ?? '', signal))
    if (await flagWhere(recording, needs, signal)) isAnyHeld = true;
  return isAnyHeld;
}

/** What came after its hold carries the flag from now on. @throws Failure `misconfigured` where the account may not update objects */
export async function flagAllHeld(archive: Flagging, signal: AbortSignal): Promise<void> {
  for await (const hold of listHolds(archive.notes, signal)) await flagByHolds(subjectOfHold(hold), archive, signal);
}

/** The key of what is held by a note of this name; undefined for what is no hold. */
export function keyHeldBy(name: string): string | undefined {
  const [, key = '', caseName = ''] = /^holds\/([^/]+)\/([^/]+)\.json$/.exec(name) ?? [];
  return CASE.test(caseName) && subjectOfKey(key) !== undefined ? key : undefined;
}

async function* holdsUnder(
  { prefix, end }: { readonly prefix: string; readonly end: string },
  notes: Notes,
  signal: AbortSignal,
): AsyncGenerator<HoldRecord> {
  for await (const { name } of notes.list(prefix, signal)) {
    if (keyHeldBy(name) === undefined || !name.endsWith(end)) continue;
    const hold = await readHold(name, notes, signal);
    if (hold !== undefined) yield hold;
  }
}

/** undefined where it was released meanwhile. */
async function readHold(name: string, notes: Notes, signal: AbortSignal): Promise<HoldRecord | undefined> {
  const text = await notes.read(name, signal);
  return text === undefined ? undefined : parseHold(text, name);
}

function parseHold(text: string, name: string): HoldRecord {
  try {
    const value: unknown = JSON.parse(text);
    const fields = Fields.of(value, '');
    return {
      version: 1,
      case: fields.requireText('case', CASE),
      conversationId: storedIdOrNull(fields, 'conversationId'),
      recordingId: storedIdOrNull(fields, 'recordingId'),
      reason: fields.requireText('reason'),
      by: fields.requireText('by'),
      heldAt: fields.requireInstant('heldAt'),
    };
  } catch (cause) {
    throw new Failure('conflict', `${name} cannot be read: restore it from a copy, so that it is known what is held.`, {
      cause,
    });
  }
}

function holdName(subject: Subject, caseName: string): string {
  return `${HOLDS}${subjectKey(canonicalSubject(subject))}/${requireCase(caseName)}.json`;
}
