/** The tree by the words of RFC 6962 §2.1, written once more the way the RFC says it: by splitting, not by levels. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { leafHash, MerkleTree, rootFrom } from '../src/merkle.ts';

const sha256 = (...parts: readonly Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

/** MTH(D[n]) */
function rfcRoot(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return sha256();
  if (leaves.length === 1) return sha256(Buffer.from([0]), only);
  const split = splitOf(leaves.length);
  return sha256(Buffer.from([1]), rfcRoot(leaves.slice(0, split)), rfcRoot(leaves.slice(split)));
}

/** PATH(m, D[n]) */
function rfcPath(m: number, leaves: readonly Buffer[]): readonly Buffer[] {
  if (leaves.length <= 1) return [];
  const split = splitOf(leaves.length);
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return m < split ? [...rfcPath(m, left), rfcRoot(right)] : [...rfcPath(m - split, right), rfcRoot(left)];
}

/** The largest power of two smaller than n. */
function splitOf(n: number): number {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
}

test('roots and paths are those of the RFC, for trees of 0 to 70 leaves', () => {
  for (let size = 0; size <= 70; size += 1) {
    const data = Array.from({ length: size }, (_, index) => Buffer.from(`leaf ${String(index)}`));
    const tree = new MerkleTree(data.map(leafHash));
    assert.equal(tree.root, rfcRoot(data).toString('hex'), String(size));
    for (const [index, leaf] of data.entries()) {
      const path = tree.pathOf(index);
      const expected = rfcPath(index, data).map((hash) => hash.toString('hex'));
      assert.deepEqual(path, { index, size, beside: expected });
      assert.equal(rootFrom(leafHash(leaf), path), tree.root);
    }
  }
});

test('no other leaf, place, size or path leads to the root', () => {
  for (const size of [1, 2, 3, 5, 8, 13]) {
    const leaves = Array.from({ length: size }, (_, index) => leafHash(Buffer.from(String(index))));
    const tree = new MerkleTree(leaves);
    for (const [index, leaf] of leaves.entries()) {
      const path = tree.pathOf(index);
      const wrong = [
        rootFrom(leafHash(Buffer.from('another')), path),
        ...path.beside.map((_, at) => rootFrom(leaf, { ...path, beside: path.beside.toSpliced(at, 1) })),
        ...path.beside.map((_, at) => rootFrom(leaf, { ...path, beside: path.beside.with(at, '00'.repeat(32)) })),
        rootFrom(leaf, { ...path, beside: [...path.beside, '00'.repeat(32)] }),
        rootFrom(leaf, { ...path, index: size }),
        rootFrom(leaf, { ...path, index: -1 }),
        rootFrom(leaf, { ...path, index: 0.5 }),
        ...leaves.flatMap((_, other) => (other === index ? [] : [rootFrom(leaf, { ...path, index: other })])),
      ];
      assert.deepEqual(
        wrong.filter((root) => root === tree.root),
        [],
        `${String(index)} of ${String(size)}`,
      );
    }
  }
});
