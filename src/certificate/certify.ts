/** What an archive knows of a recording or a day → the statement of a certificate: what was there, by which proofs, and what became of it. */
import type { Archive } from '../archive/archive.ts';
import { readChain, type SealChain } from '../archive/chain-of-seals.ts';
import { erasedMark, type ErasedRecord, isErased } from '../archive/erased.ts';
import { holdsOn } from '../archive/holds.ts';
import { type HashedNote, readLeaves, sha256Hex, treeOf } from '../archive/leaves.ts';
import { readSeal, type SealedDay } from '../archive/seals.ts';
import { dayOf, parseManifest } from '../archive/records.ts';
import { findSpelledManifest } from '../archive/spelled-manifest.ts';
import { rereadFaults } from '../archive/verify.ts';
import type { Audit } from '../audit/audit.ts';
import { dayAt } from '../instant.ts';
import type { MerklePath } from '../merkle.ts';
import { keyOf, pathOf, type Recording } from '../recording.ts';

/** A note as it lay there, so that its hash can be computed again. */
export interface QuotedNote extends HashedNote {
  readonly text: string;
}

/** How a seal vouches for a day. */
export interface DayWitness {
  readonly n: number;
  /** What was signed as the seal. */
  readonly statement: string;
  /** Proofs of the day that it names. */
  readonly proofs: readonly QuotedNote[];
}

/** The same for one recording of the day: its leaf and the way to the root. */
export interface LeafWitness extends DayWitness {
  readonly leaf: MerklePath;
}

export interface HoldFact {
  readonly case: string;
  readonly heldAt: string;
  /** On the whole conversation, not on this recording alone. */
  readonly ofConversation: boolean;
}

export interface ErasureFact {
  readonly begunAt: string;
  readonly by: string;
  readonly reason: string;
  /** As it was read back: `gone`, or `recoverable` until then. */
  readonly state: string;
  readonly until: string | null;
  readonly endedAt: string;
}

interface Stated {
  readonly kind: 'certificate';
  readonly version: 1;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly service: string;
  readonly day: string;
}

export interface DayCertificate extends Stated {
  readonly of: 'day';
  readonly sealed: DayWitness;
}

export interface RecordingCertificate extends Stated {
  readonly of: 'recording';
  readonly conversationId: string | null;
  readonly recordingId: string;
  readonly state: 'archived' | 'erased' | 'recoverable';
  /** manifest.json, byte for byte; null once it is erased. */
  readonly manifest: string | null;
  readonly manifestSha256: string | null;
  /** Every byte of it was read for this certificate and is what the manifest says. */
  readonly isRead: boolean;
  /** null where its day is not sealed yet, or was sealed without it. */
  readonly sealed: LeafWitness | null;
  readonly holds: readonly HoldFact[];
  readonly erasure: ErasureFact | null;
}

/** Why there is none, and what to do. */
export interface NoCertificate {
  readonly refused: string;
}

export interface CertifyingNeeds {
  readonly archive: Pick<Archive, 'notes' | 'manifestText' | 'shelfOf' | 'read' | 'original'>;
  readonly audit: Pick<Audit, 'read'>;
  /** Whoever asks has read every byte of it already, and it was whole. */
  readonly isRead?: boolean;
  /** As it was read for an earlier one; read anew where it is absent. */
  readonly chain?: SealChain;
  readonly service: string;
  readonly now: () => Date;
}

export async function certifyDay(
  day: string,
  needs: CertifyingNeeds,
  signal: AbortSignal,
): Promise<DayCertificate | NoCertificate> {
  const sealed = await witnessOf(day, needs, signal);
  if (sealed === undefined)
    return {
      refused: `${day} is not sealed: prove that it is complete, and seal it:  archiver reconcile --from ${day} --to ${day} && archiver verify --from ${day} --to ${day}`,
    };
  return { ...statedAt(day, needs), of: 'day', sealed: sealed.witness };
}

/** Of one that is there every byte is read first. @throws Failure */
export async function certifyRecording(
  asked: Recording,
  needs: CertifyingNeeds,
  signal: AbortSignal,
): Promise<RecordingCertificate | NoCertificate> {
  const other = `archiver certificate --recording ${pathOf(asked)} --erased`;
  // One whose erasure was killed on its way lies there still.
  if (await isErased(asked, needs.archive.notes, signal))
    return { refused: `It was erased on purpose. Say that:  ${other}` };
  const found = await findSpelledManifest(asked, needs.archive, signal);
  if (found === undefined) return { refused: `It is not archived. Say that it was erased, if it was:  ${other}` };
  const { recording, text } = found;
  const manifest = parseManifest(text);
  const day = dayOf(manifest);
  const [fault] = needs.isRead === true ? [] : await rereadFaults(manifest, needs.archive, signal);
  if (fault !== undefined) {
    const mending = `archiver verify --from ${day} --to ${day} --read`;
    return { refused: `${fault.reason}: nothing is sworn to what is damaged. See what mends it:  ${mending}` };
  }
  const manifestSha256 = sha256Hex(text);
  return {
    ...statedAt(day, needs),
    ...statedIds(recording),
    of: 'recording',
    state: 'archived',
    manifest: text,
    manifestSha256,
    isRead: true,
    sealed: await leafWitness({ recording, day, manifestSha256 }, needs, signal),
    holds: await holdFacts(recording, needs, signal),
    erasure: null,
  };
}

/** That it was erased, by whom, when, and how it was read back. @throws Failure */
export async function certifyErasure(
  recording: Recording,
  needs: CertifyingNeeds,
  signal: AbortSignal,
): Promise<RecordingCertificate | NoCertificate> {
  const mark = await markOn(recording, needs, signal);
  if (mark === undefined)
    return {
      refused: `It was not erased. Say what is there:  archiver certificate --recording ${pathOf(recording)}`,
    };
  const again = `archiver erase --recording ${pathOf(recording)} --reason "ends an erasure" --confirm 1`;
  if ((await needs.archive.shelfOf(recording, signal)) !== undefined)
    return { refused: `Its erasure has not ended, something of it is still there. End it:  ${again}` };
  const erasure = await erasureFact(recording, { mark, needs }, signal);
  if (erasure === undefined)
    return { refused: `Its erasure was begun and never read back, by the audit. End it:  ${again}` };
  const day = mark.days[0] ?? mark.erasedAt.slice(0, 10);
  const manifestSha256 = mark.manifestSha256 ?? null;
  const isOver = erasure.state === 'gone' || (erasure.until !== null && erasure.until <= needs.now().toISOString());
  return {
    ...statedAt(day, needs),
    ...statedIds(recording),
    of: 'recording',
    state: isOver ? 'erased' : 'recoverable',
    manifest: null,
    manifestSha256,
    isRead: false,
    sealed: manifestSha256 === null ? null : await leafWitness({ recording, day, manifestSha256 }, needs, signal),
    holds: await holdFacts(recording, needs, signal),
    erasure,
  };
}

function statedAt(day: string, { service, now }: CertifyingNeeds): Stated {
  return { kind: 'certificate', version: 1, at: now().toISOString(), service, day };
}

function statedIds({
  conversationId,
  recordingId,
}: Recording): Pick<RecordingCertificate, 'conversationId' | 'recordingId'> {
  return { conversationId: conversationId ?? null, recordingId };
}

/** The newest seal that names the day, with the proofs it names. */
async function witnessOf(
  day: string,
  { archive: { notes }, chain }: CertifyingNeeds,
  signal: AbortSignal,
): Promise<{ readonly witness: DayWitness; readonly sealed: SealedDay } | undefined> {
  const { days } = chain ?? (await readChain({ notes, isRecomputed: () => false }, signal));
  const found = days.get(day);
  const seal = found === undefined ? undefined : await readSeal(found.n, notes, signal);
  if (found === undefined || seal === undefined) return undefined;
  const proofs: QuotedNote[] = [];
  for (const note of found.sealed.proofs) proofs.push({ ...note, text: (await notes.read(note.name, signal)) ?? '' });
  return { sealed: found.sealed, witness: { n: found.n, statement: seal.signed.statement, proofs } };
}

interface SoughtLeaf {
  readonly recording: Recording;
  readonly day: string;
  readonly manifestSha256: string;
}

async function leafWitness(
  { recording, day, manifestSha256 }: SoughtLeaf,
  needs: CertifyingNeeds,
  signal: AbortSignal,
): Promise<LeafWitness | null> {
  const found = await witnessOf(day, needs, signal);
  if (found === undefined) return null;
  const leaves = await readLeaves(found.sealed.lists, needs.archive.notes, signal);
  const index = leaves.findIndex((leaf) => leaf.key === keyOf(recording) && leaf.manifestSha256 === manifestSha256);
  return index < 0 ? null : { ...found.witness, leaf: treeOf(leaves).pathOf(index) };
}

async function holdFacts(
  recording: Recording,
  { archive }: CertifyingNeeds,
  signal: AbortSignal,
): Promise<readonly HoldFact[]> {
  const holds = await holdsOn(recording, archive.notes, signal);
  return holds.map((hold) => ({ case: hold.case, heldAt: hold.heldAt, ofConversation: hold.recordingId === null }));
}

/** Its own mark, or that of its conversation. */
async function markOn(
  recording: Recording,
  { archive }: CertifyingNeeds,
  signal: AbortSignal,
): Promise<ErasedRecord | undefined> {
  const { conversationId } = recording;
  const own = await erasedMark(recording, archive.notes, signal);
  if (own !== undefined || conversationId === undefined) return own;
  return erasedMark({ recordingId: undefined, conversationId }, archive.notes, signal);
}

/** What the audit says of how it ended; undefined where it says nothing. */
async function erasureFact(
  recording: Recording,
  { mark, needs }: { readonly mark: ErasedRecord; readonly needs: CertifyingNeeds },
  signal: AbortSignal,
): Promise<ErasureFact | undefined> {
  const { conversationId } = recording;
  const recordingId = mark.recordingId ?? undefined;
  // A clock of another machine may have been behind.
  const from = dayAt(Date.parse(mark.erasedAt) - 24 * 3_600_000);
  const to = dayAt(needs.now().getTime() + 24 * 3_600_000);
  let ended: ErasureFact | undefined;
  for await (const record of needs.audit.read({ from, to, conversationId, recordingId }, signal)) {
    if (record.action !== 'erased' || record.recordingId !== recordingId) continue;
    const { state, until } = record.about ?? {};
    const outcome = { state: String(state), until: until === undefined ? null : String(until), endedAt: record.at };
    ended = { begunAt: mark.erasedAt, by: mark.by, reason: mark.reason, ...outcome };
  }
  return ended;
}
