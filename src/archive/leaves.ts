/** The recordings of a day, each with the hash of its manifest → the leaves of the day's Merkle tree, kept as text under proofs/. */
import { createHash } from 'node:crypto';
import { Failure } from '../failure.ts';
import { leafHash, MerkleTree } from '../merkle.ts';
import { recordingOfKey } from '../recording.ts';
import { DaySums } from './day-sums.ts';
import { inBatches } from './in-batches.ts';
import type { Notes } from './notes.ts';
import { compareTexts } from './page.ts';

export interface Leaf {
  /** `{conversationId|_}.{recordingId}` */
  readonly key: string;
  /** SHA-256, hex, of manifest.json, byte for byte. */
  readonly manifestSha256: string;
  /** It was erased since; its hash stays. */
  readonly isErased: boolean;
}

/** A note by its name and the SHA-256, hex, of its text. */
export interface HashedNote {
  readonly name: string;
  readonly sha256: string;
}

export function sha256Hex(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex');
}

/** By key. */
export function treeOf(leaves: readonly Leaf[]): MerkleTree {
  return new MerkleTree(leaves.map(({ manifestSha256 }) => leafHash(Buffer.from(manifestSha256, 'hex'))));
}

/** The sum over the manifests that should lie there now: equal to that of a {@link DaySums} of them. */
export function manifestSumOf(leaves: readonly Leaf[]): string {
  const sums = new DaySums();
  for (const { manifestSha256, isErased } of leaves) if (!isErased) sums.add('', manifestSha256);
  return sumText(sums.of(''));
}

export function sumText({ count, sum }: { readonly count: number; readonly sum: bigint }): string {
  return `${String(count)}.${sum.toString(16).padStart(32, '0')}`;
}

/** Leaves in one note: about 7 MB of text. */
const LEAVES_OF_ONE = 50_000;

/** Created once, each; in the order of keys. */
export async function writeLeaves(
  leaves: readonly Leaf[],
  { day, at, notes }: { readonly day: string; readonly at: Date; readonly notes: Notes },
  signal: AbortSignal,
): Promise<readonly HashedNote[]> {
  const lists: HashedNote[] = [];
  const instant = at.toISOString();
  for await (const batch of inBatches(leaves, LEAVES_OF_ONE)) {
    const text = batch.map(leafLine).join('');
    const sha256 = sha256Hex(text);
    // Its own hash is in its name: two that seal the same day at once write two notes, or the same one.
    const name = `proofs/${day}/${instant}.leaves.${String(lists.length)}.${sha256.slice(0, 16)}.txt`;
    await notes.create(name, text, signal);
    lists.push({ name, sha256 });
  }
  return lists;
}

function leafLine({ key, manifestSha256, isErased }: Leaf): string {
  return `${manifestSha256} ${key}${isErased ? ' erased' : ''}\n`;
}

/** @throws Failure `conflict` naming the note that is gone or is not the one that was written */
export async function readLeaves(
  lists: readonly HashedNote[],
  notes: Pick<Notes, 'read'>,
  signal: AbortSignal,
): Promise<readonly Leaf[]> {
  const leaves: Leaf[] = [];
  for (const { name, sha256 } of lists) {
    const text = await notes.read(name, signal);
    if (text === undefined || sha256Hex(text) !== sha256)
      throw new Failure('conflict', `${name} is ${text === undefined ? 'gone' : 'not the one that was sealed'}`);
    for (const line of text.split('\n')) if (line !== '') leaves.push(parseLeaf(line, name));
  }
  return leaves.toSorted((a, b) => compareTexts(a.key, b.key));
}

function parseLeaf(line: string, name: string): Leaf {
  const [, manifestSha256, key, erased] = /^([0-9a-f]{64}) (\S+)( erased)?$/.exec(line) ?? [];
  if (manifestSha256 === undefined || key === undefined || recordingOfKey(key) === undefined)
    throw new Failure('conflict', `${name} has a line that is no leaf`);
  return { key, manifestSha256, isErased: erased !== undefined };
}
