/** Texts in order → the root of a Merkle tree over them, and for each of them a path that shows it is one of them (RFC 6962 §2.1). */
import { createHash } from 'node:crypto';

/** Where a leaf stands, and what stands beside its way up. */
export interface MerklePath {
  /** From 0. */
  readonly index: number;
  /** How many leaves there are. */
  readonly size: number;
  /** Hashes, hex, from the leaf upwards. */
  readonly beside: readonly string[];
}

/** A leaf never hashes as a node does: no node can be shown as a leaf. */
export function leafHash(data: Buffer): Buffer {
  return createHash('sha256')
    .update(Buffer.from([0]))
    .update(data)
    .digest();
}

function nodeHash(left: Buffer, right: Buffer): Buffer {
  return createHash('sha256')
    .update(Buffer.from([1]))
    .update(left)
    .update(right)
    .digest();
}

export class MerkleTree {
  /** From the leaves upwards; a node without a neighbour goes up as it is. */
  readonly #levels: readonly (readonly Buffer[])[];

  constructor(leaves: readonly Buffer[]) {
    const levels: (readonly Buffer[])[] = [leaves];
    for (let level = leaves; level.length > 1;) {
      level = Array.from({ length: Math.ceil(level.length / 2) }, (_, index) => parentAt(index, level));
      levels.push(level);
    }
    this.#levels = levels;
  }

  get size(): number {
    return this.#levels[0]?.length ?? 0;
  }

  /** Hex; of no leaves the hash of nothing. */
  get root(): string {
    return (this.#levels.at(-1)?.[0] ?? createHash('sha256').digest()).toString('hex');
  }

  pathOf(index: number): MerklePath {
    const beside = this.#levels.flatMap((level, height) => {
      const neighbour = level[Math.floor(index / 2 ** height) ^ 1];
      return neighbour === undefined ? [] : [neighbour.toString('hex')];
    });
    return { index, size: this.size, beside };
  }
}

function parentAt(index: number, below: readonly Buffer[]): Buffer {
  const [left, right] = [below[2 * index] ?? Buffer.alloc(0), below[2 * index + 1]];
  return right === undefined ? left : nodeHash(left, right);
}

/** The root that a leaf and its path lead to (RFC 9162 §2.1.3.2); undefined where the path fits no tree of that size. */
export function rootFrom(leaf: Buffer, { index, size, beside }: MerklePath): string | undefined {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return undefined;
  let [at, last, hash] = [index, size - 1, leaf];
  for (const hex of beside) {
    if (last === 0) return undefined;
    const neighbour = Buffer.from(hex, 'hex');
    // Levels on which it has no neighbour are passed over.
    while (at === last && at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)];
    hash = at % 2 === 1 ? nodeHash(neighbour, hash) : nodeHash(hash, neighbour);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 ? hash.toString('hex') : undefined;
}
