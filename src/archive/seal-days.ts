/** Days that are proven and not sealed as they are now → the next seals of the chain. */
import { Failure } from '../failure.ts';
import { recordingOfKey } from '../recording.ts';
import type { Signer } from '../statement.ts';
import type { Archive } from './archive.ts';
import { type SealChain, type SealedArchive, stateOfLeaf } from './chain-of-seals.ts';
import { inBatches } from './in-batches.ts';
import { type HashedNote, type Leaf, readLeaves, sha256Hex, manifestSumOf, treeOf, writeLeaves } from './leaves.ts';
import type { Notes } from './notes.ts';
import { compareTexts } from './page.ts';
import { proofNotesOf, type ProofKind } from './proofs.ts';
import { dayOf, tryManifest } from './records.ts';
import {
  hashOfSeal,
  NO_SEAL,
  placeSeal,
  readSeal,
  type DaySeal,
  type ReadSeal,
  type SealedAuditDay,
  type SealedDay,
} from './seals.ts';

export interface SealingNeeds {
  readonly archive: SealedArchive & Pick<Archive, 'keysListed'>;
  readonly chain: SealChain;
  /** Asked for where something is to be sealed; seals are unsigned where there is none. */
  readonly openSigner: () => Promise<Signer | undefined>;
  readonly service: string;
  readonly now: () => Date;
  /** The sum over the day's manifests as they lie there now. */
  readonly sumNow: (day: string) => string;
  /** Days of the audit that are over and not sealed yet. */
  readonly auditDays: readonly SealedAuditDay[];
}

/** Manifests read at once. */
const WIDTH = 16;
/** Days in one seal: a run that is killed loses no more, and Cloud KMS signs at most 64 KiB. */
const DAYS_OF_ONE = 16;
/** Each is a date, a count and a hash. */
const AUDIT_DAYS_OF_ONE = 366;
/** Others that seal at the same time go first so often at most. */
const MOST_TRIES = 5;

/** How many days were sealed. A day that is not proven, is sealed as it is, or has lost something is passed over. */
export async function sealDays(days: readonly string[], needs: SealingNeeds, signal: AbortSignal): Promise<number> {
  let { last } = needs.chain;
  let count = 0;
  for await (const group of inBatches(daysToSeal(days, needs, signal), DAYS_OF_ONE)) {
    last = await placeBehind(last, { ...needs, days: group, audit: [] }, signal);
    count += group.length;
  }
  for await (const audit of inBatches(needs.auditDays, AUDIT_DAYS_OF_ONE))
    last = await placeBehind(last, { ...needs, days: [], audit }, signal);
  return count;
}

async function* daysToSeal(
  days: readonly string[],
  needs: SealingNeeds,
  signal: AbortSignal,
): AsyncGenerator<SealedDay> {
  for (const day of days) {
    const before = needs.chain.days.get(day)?.sealed;
    const sealed = await sealedDay(day, { ...needs, before }, signal);
    if (sealed !== undefined) yield sealed;
  }
}

/** Behind the last seal, or behind whoever came first meanwhile. @throws Failure `archive-unavailable` */
async function placeBehind(
  last: ReadSeal | undefined,
  { days, audit, archive: { notes }, openSigner, service, now }: SealingNeeds & Pick<DaySeal, 'days' | 'audit'>,
  signal: AbortSignal,
): Promise<ReadSeal | undefined> {
  const signer = await openSigner();
  let before = last;
  for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
    const n = (before?.seal.n ?? 0) + 1;
    const previous = before === undefined ? NO_SEAL : hashOfSeal(before);
    const seal = { n, at: now().toISOString(), previous, service, days, audit };
    const isPlaced = await placeSeal(seal, { notes, signer }, signal);
    before = await readSeal(n, notes, signal);
    if (isPlaced) return before;
  }
  throw new Failure('archive-unavailable', 'Others seal days at the same time: run it again.');
}

interface DayNow extends SealingNeeds {
  readonly before: SealedDay | undefined;
}

async function sealedDay(day: string, needs: DayNow, signal: AbortSignal): Promise<SealedDay | undefined> {
  const { notes } = needs.archive;
  const complete = await newestNote('complete', day, notes, signal);
  if (complete === undefined || !isProvenVerdict(complete.verdict) || isSealedAlready(day, complete, needs))
    return undefined;
  const leaves = await leavesOf(day, needs, signal);
  if (leaves === undefined) return undefined;
  const intact = await newestNote('intact', day, notes, signal);
  const lists = await writeLeaves(leaves, { day, at: needs.now(), notes }, signal);
  return {
    day,
    verdict: complete.verdict,
    proofs: [complete, ...(intact === undefined ? [] : [intact])].map(({ name, sha256 }) => ({ name, sha256 })),
    leaves: leaves.length,
    erased: leaves.filter(({ isErased }) => isErased).length,
    root: treeOf(leaves).root,
    sum: manifestSumOf(leaves),
    lists,
  };
}

/** Nothing is left to fetch of it. */
function isProvenVerdict(verdict: string): boolean {
  return verdict === 'complete' || verdict === 'accounted';
}

function isSealedAlready(day: string, { name }: HashedNote, { before, sumNow }: DayNow): boolean {
  return before?.sum === sumNow(day) && before.proofs.some((proof) => proof.name === name);
}

async function newestNote(
  kind: ProofKind,
  day: string,
  notes: Notes,
  signal: AbortSignal,
): Promise<(HashedNote & { readonly verdict: string }) | undefined> {
  for await (const { name, text, proof } of proofNotesOf(kind, day, notes, signal))
    return { name, sha256: sha256Hex(text), verdict: proof.verdict };
  return undefined;
}

/** What the day lists, and what was sealed of it and erased since; undefined where something of that is gone, or is another. */
async function leavesOf(day: string, needs: DayNow, signal: AbortSignal): Promise<readonly Leaf[] | undefined> {
  const { archive, before } = needs;
  const leaves = new Map<string, Leaf>();
  for await (const batch of inBatches(archive.keysListed(day, signal), WIDTH))
    for (const leaf of await Promise.all(batch.map((key) => leafOf({ key, day }, archive, signal))))
      if (leaf !== undefined) leaves.set(leaf.key, leaf);
  for (const earlier of before === undefined ? [] : await readLeaves(before.lists, archive.notes, signal)) {
    if (leaves.get(earlier.key)?.manifestSha256 === earlier.manifestSha256) continue;
    if ((await stateOfLeaf(earlier, archive, signal)) !== 'erased') return undefined;
    leaves.set(earlier.key, { ...earlier, isErased: true });
  }
  return [...leaves.values()].toSorted((a, b) => compareTexts(a.key, b.key));
}

async function leafOf(
  { key, day }: { readonly key: string; readonly day: string },
  archive: SealedArchive,
  signal: AbortSignal,
): Promise<Leaf | undefined> {
  const recording = recordingOfKey(key);
  const text = recording === undefined ? undefined : await archive.manifestText(recording, signal);
  const manifest = tryManifest(text);
  if (text === undefined || manifest === undefined || dayOf(manifest) !== day) return undefined;
  return { key, manifestSha256: sha256Hex(text), isErased: false };
}
