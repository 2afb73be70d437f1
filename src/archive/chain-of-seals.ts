/** All seals, read from the first to the last and recomputed → which day is sealed how, and what is not as it was sealed. */
import type { KeyObject } from 'node:crypto';
import { isWrongClock } from '../clock.ts';
import { Failure } from '../failure.ts';
import { recordingOfKey } from '../recording.ts';
import { checkSignature } from '../statement.ts';
import type { Archive } from './archive.ts';
import { isErased } from './erased.ts';
import { inBatches } from './in-batches.ts';
import { type Leaf, readLeaves, sha256Hex, manifestSumOf, treeOf } from './leaves.ts';
import type { Notes } from './notes.ts';
import {
  hashOfSeal,
  NO_SEAL,
  readSeal,
  sealName,
  sealNumbers,
  type ReadSeal,
  type SealedAuditDay,
  type DaySeal,
  type SealedDay,
} from './seals.ts';

/** What is not as it was sealed. */
export interface SealFault {
  /** The note it is about. */
  readonly name: string;
  readonly reason: string;
}

/** A seal that its maker dates before the one it was made behind: one of both clocks was wrong. Their numbers say what came first. */
export interface ClockTurn {
  readonly n: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Of the seal before, the same. */
  readonly behind: string;
}

export interface SealChain {
  readonly last: ReadSeal | undefined;
  /** Of each day the newest seal that names it. */
  readonly days: ReadonlyMap<string, { readonly sealed: SealedDay; readonly n: number }>;
  /** Days of the audit, each by the first seal that names it: it was over then. */
  readonly audit: ReadonlyMap<string, { readonly sealed: SealedAuditDay; readonly n: number }>;
  readonly faults: readonly SealFault[];
  readonly turns: readonly ClockTurn[];
}

export interface ChainNeeds {
  readonly notes: Notes;
  /** Days of which proofs, leaves and roots are recomputed as well. */
  readonly isRecomputed: (day: string) => boolean;
  /** Whose signature is expected; any where it is absent. */
  readonly key?: KeyObject | undefined;
}

export async function readChain(needs: ChainNeeds, signal: AbortSignal): Promise<SealChain> {
  const { notes } = needs;
  const days = new Map<string, { readonly sealed: SealedDay; readonly n: number }>();
  const audit = new Map<string, { readonly sealed: SealedAuditDay; readonly n: number }>();
  const faults: SealFault[] = [];
  const turns: ClockTurn[] = [];
  let last: ReadSeal | undefined;
  const numbers = await sealNumbers(notes, signal);
  for (let n = 1; n <= (numbers.at(-1) ?? 0); n += 1) {
    const found = await sealOrFault(n, notes, signal);
    if (!('seal' in found)) {
      faults.push(found);
      continue;
    }
    faults.push(...sealFaults(found, { n, last, key: needs.key }));
    turns.push(...clockTurn(found.seal, last?.seal));
    for (const sealed of found.seal.days) {
      const before = days.get(sealed.day)?.sealed;
      if (needs.isRecomputed(sealed.day)) faults.push(...(await dayFaults({ sealed, before }, notes, signal)));
      days.set(sealed.day, { sealed, n });
    }
    for (const sealed of found.seal.audit) if (!audit.has(sealed.day)) audit.set(sealed.day, { sealed, n });
    last = found;
  }
  return { last, days, audit, faults, turns };
}

function clockTurn({ n, at }: DaySeal, before: DaySeal | undefined): readonly ClockTurn[] {
  const backMs = before === undefined ? 0 : Date.parse(before.at) - Date.parse(at);
  return before !== undefined && backMs > 0 && isWrongClock(backMs) ? [{ n, at, behind: before.at }] : [];
}

async function sealOrFault(n: number, notes: Notes, signal: AbortSignal): Promise<ReadSeal | SealFault> {
  try {
    return (await readSeal(n, notes, signal)) ?? { name: sealName(n), reason: 'it is missing from the chain' };
  } catch (thrown) {
    return faultOf(thrown, sealName(n));
  }
}

/** @throws what is no conflict of the archive */
function faultOf(thrown: unknown, name: string): SealFault {
  if (thrown instanceof Failure && thrown.code === 'conflict') return { name, reason: thrown.message };
  throw thrown;
}

interface ExpectedSeal {
  readonly n: number;
  readonly last: ReadSeal | undefined;
  readonly key: KeyObject | undefined;
}

function sealFaults({ name, signed, seal }: ReadSeal, { n, last, key }: ExpectedSeal): readonly SealFault[] {
  const faults: SealFault[] = [];
  if (seal.n !== n) faults.push({ name, reason: `it is seal ${String(seal.n)}` });
  if (seal.previous !== (last === undefined ? NO_SEAL : hashOfSeal(last)))
    faults.push({ name, reason: 'it was not made behind the seal that lies before it' });
  const state = checkSignature(signed, key);
  if (state === 'forged') faults.push({ name, reason: 'its signature is not that of what it states' });
  if (state === 'another key') faults.push({ name, reason: 'it is signed with another key' });
  if (state === 'unsigned' && key !== undefined) faults.push({ name, reason: 'it is not signed' });
  return faults;
}

interface DaySeals {
  readonly sealed: SealedDay;
  readonly before: SealedDay | undefined;
}

async function dayFaults(day: DaySeals, notes: Notes, signal: AbortSignal): Promise<readonly SealFault[]> {
  const { sealed } = day;
  const faults: SealFault[] = [];
  for (const { name, sha256 } of sealed.proofs) {
    const text = await notes.read(name, signal);
    if (text === undefined) faults.push({ name, reason: 'a seal names it, and it is gone' });
    else if (sha256Hex(text) !== sha256) faults.push({ name, reason: 'it is not the proof that was sealed' });
  }
  const name = sealed.lists[0]?.name ?? `proofs/${sealed.day}/`;
  try {
    const reason = await leavesReason(day, notes, signal);
    return reason === undefined ? faults : [...faults, { name, reason }];
  } catch (thrown) {
    return [...faults, faultOf(thrown, name)];
  }
}

/** Why its leaves are not those that were sealed. @throws Failure `conflict` where they cannot be read */
async function leavesReason(
  { sealed, before }: DaySeals,
  notes: Notes,
  signal: AbortSignal,
): Promise<string | undefined> {
  const leaves = await readLeaves(sealed.lists, notes, signal);
  if (treeOf(leaves).root !== sealed.root || manifestSumOf(leaves) !== sealed.sum || leaves.length !== sealed.leaves)
    return 'its leaves do not lead to the root that was sealed';
  if (before === undefined) return undefined;
  const lost = leavesLost(await readLeaves(before.lists, notes, signal), leaves);
  return lost === 0 ? undefined : `${String(lost)} leaves of an earlier seal are not in it`;
}

/** A later seal of a day adds leaves, and takes none away. */
function leavesLost(earlier: readonly Leaf[], later: readonly Leaf[]): number {
  const kept = new Set(later.map(({ key, manifestSha256 }) => `${manifestSha256} ${key}`));
  return earlier.filter(({ key, manifestSha256 }) => !kept.has(`${manifestSha256} ${key}`)).length;
}

export type SealedArchive = Pick<Archive, 'notes' | 'manifestText'>;

/** Each leaf of a sealed day whose recording is there no more, or has another manifest now. */
export async function* leavesAmiss(
  sealed: SealedDay,
  archive: SealedArchive,
  signal: AbortSignal,
): AsyncGenerator<{ readonly key: string; readonly state: 'gone' | 'damaged' }> {
  const leaves = await readLeaves(sealed.lists, archive.notes, signal);
  for await (const batch of inBatches(leaves, WIDTH)) {
    const states = await Promise.all(batch.map((leaf) => stateOfLeaf(leaf, archive, signal)));
    for (const [index, { key }] of batch.entries()) {
      const state = states[index];
      if (state === 'gone' || state === 'damaged') yield { key, state };
    }
  }
}

/** Manifests read at once. */
const WIDTH = 16;

/** What became of a sealed recording since. */
export async function stateOfLeaf(
  leaf: Leaf,
  archive: SealedArchive,
  signal: AbortSignal,
): Promise<'there' | 'erased' | 'gone' | 'damaged'> {
  const recording = recordingOfKey(leaf.key);
  if (leaf.isErased || recording === undefined) return 'erased';
  const text = await archive.manifestText(recording, signal);
  if (text !== undefined) return sha256Hex(text) === leaf.manifestSha256 ? 'there' : 'damaged';
  return (await isErased(recording, archive.notes, signal)) ? 'erased' : 'gone';
}
