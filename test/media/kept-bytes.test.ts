/** Bytes that a parser keeps, against all that it was given in one piece. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { KeptBytes } from '../../src/media/kept-bytes.ts';
import { SEED } from '../support/soak.ts';

/** Every byte tells where it was. */
const bytesFrom = (offset: number, length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => ((offset + at) * 167 + ((offset + at) >> 8)) & 255));

test('whatever comes in whatever pieces, what is held is what was not consumed, and views of the rest stay', () => {
  const step = fc.record({ length: fc.nat(40_000), share: fc.double({ min: 0, max: 1, noNaN: true }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const kept = new KeptBytes();
      const views: { readonly offset: number; readonly view: Buffer }[] = [];
      let received = 0;
      for (const { length, share } of steps) {
        const chunk = bytesFrom(received, length);
        kept.add(chunk);
        received += length;
        // The chunk is its owner's again.
        chunk.fill(0);
        assert.equal(kept.offset + kept.length, received);
        assert.deepEqual(kept.bytes(), bytesFrom(kept.offset, kept.length));
        const used = Math.floor(kept.length * share);
        views.push({ offset: kept.offset, view: kept.bytes().subarray(0, used) });
        kept.consume(used);
      }
      for (const { offset, view } of views) assert.deepEqual(view, bytesFrom(offset, view.length));
    }),
    { numRuns: 60, seed: SEED },
  );
});

test('what is waited for over many chunks is not copied once for each of them', () => {
  const kept = new KeptBytes();
  const memories = new Set<ArrayBufferLike>();
  for (let chunk = 0; chunk < 1000; chunk += 1) {
    kept.add(Buffer.alloc(16_384, chunk));
    memories.add(kept.bytes().buffer);
  }
  assert.equal(kept.length, 1000 * 16_384);
  assert.ok(memories.size < 12, String(memories.size));
});
