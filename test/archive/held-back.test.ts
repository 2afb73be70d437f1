import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { HeldBack, PIECE_BYTES } from '../../src/archive/held-back.ts';

const sha256 = (parts: readonly Buffer[]): string =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

for (const [name, sizes] of [
  ['nothing', []],
  ['small chunks', [1, 0, 1000, 1]],
  ['as much as the first room, byte by byte across its end', [32 * 1024 - 1, 1, 1, 1]],
  ['more than the first room at once', [40_000, 40_000]],
  ['a little, then more than a piece', [10, PIECE_BYTES]],
  ['exactly one piece', [PIECE_BYTES]],
  ['chunks across pieces', [PIECE_BYTES - 1, 2, PIECE_BYTES, 7]],
  ['a chunk of several pieces', [5, 3 * PIECE_BYTES + 5]],
] as const) {
  test(`${name}: the same bytes come out, whatever becomes of the chunks`, () => {
    const held = new HeldBack();
    const chunks = sizes.map((size) => randomBytes(size));
    const sizeBytes = sizes.reduce((sum: number, size) => sum + size, 0);
    const expected = sha256(chunks);
    for (const chunk of chunks) {
      held.add(chunk);
      chunk.fill(0);
    }
    assert.equal(held.sizeBytes, sizeBytes);
    assert.equal(sha256(held.pieces()), expected);
    assert.ok(held.pieces().every(({ length }) => length > 0 && length <= PIECE_BYTES));
  });
}

test('emptied it gives its memory back at once, and begins anew', () => {
  const held = new HeldBack();
  held.add(Buffer.alloc(PIECE_BYTES + 5, 1));
  const pieces = held.pieces();
  held.empty();
  assert.deepEqual(
    pieces.map(({ length }) => length),
    [0, 0],
  );
  assert.deepEqual([held.sizeBytes, held.pieces()], [0, []]);
  held.add(Buffer.from('new'));
  assert.equal(Buffer.concat(held.pieces()).toString(), 'new');
});

test('what is short takes no more memory than a few seconds of sound', () => {
  const held = new HeldBack();
  held.add(Buffer.alloc(5_000, 1));
  const [piece] = held.pieces();
  assert.ok(piece !== undefined && piece.buffer.byteLength <= 64 * 1024);
});
