/** How much of a body lies in memory while nobody takes it, counted at its source; and what chunks it comes in. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { FLIGHTS } from '../../src/bounds.ts';
import { readChunks } from '../../src/download/body.ts';

const KIB = 1024;

/** As a connection does it: pushes what the system has, in a turn of its own, until the body has enough. */
function endlessBody(pieceBytes: number) {
  const sent = { bytes: 0 };
  const body = new Readable({
    highWaterMark: 64 * KIB,
    read() {
      void setImmediate().then(() => {
        if (body.destroyed) return;
        sent.bytes += pieceBytes;
        body.push(Buffer.alloc(pieceBytes, 1));
      });
    },
  });
  return { body, sent };
}

async function turns(): Promise<void> {
  for (let count = 0; count < 200; count += 1) await setImmediate();
}

for (const pieceBytes of [1, 1_400, 16 * KIB, 64 * KIB - 1, 64 * KIB]) {
  test(`a body in pieces of ${String(pieceBytes)} bytes reads ahead no more than is counted for it while its reader stands still (A3)`, async () => {
    const { body, sent } = endlessBody(pieceBytes);
    const chunks = readChunks(body);
    let takenBytes = 0;
    for (let count = 0; count < 20; count += 1) {
      const { value } = await chunks.next();
      const inHandsBytes = value?.length ?? 0;
      await turns();
      assert.ok(inHandsBytes <= 128 * KIB, `a chunk of ${String(inHandsBytes)} bytes`);
      // With two files, each of them; what is in hands belongs to it.
      const heldBytes = sent.bytes - takenBytes;
      assert.ok(2 * heldBytes <= FLIGHTS.readingBytes + 256 * KIB, `${String(heldBytes)} held`);
      assert.ok(heldBytes <= FLIGHTS.readingBytes, `${String(heldBytes)} held`);
      takenBytes += inHandsBytes;
    }
    await chunks.return(undefined);
    assert.equal(body.destroyed, true);
  });
}

test('what lies ready is handed on in one chunk, not piece by piece', async () => {
  const { body } = endlessBody(1 * KIB);
  const chunks = readChunks(body);
  await chunks.next();
  await turns();
  const { value } = await chunks.next();
  assert.equal(value?.length, 64 * KIB);
  await chunks.return(undefined);
});
