/** A seal with one bit changed, wherever: the chain is read all the same, and what is wrong is a fault of that seal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readChain } from '../../src/archive/chain-of-seals.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { openFolderPlace } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';

const DAY = '2026-03-01';
const SEAL = 'proofs/seal/1.json';
const { signal } = new AbortController();

test('a seal with one bit changed is a fault of it, and never ends the look', { timeout: 240_000 }, async () => {
  await using place = await openFolderPlace();
  const { notes } = place.archive;
  const facts = { recordedAt: `${DAY}T10:00:00.000Z` };
  const recording = { conversationId: 'c', recordingId: 'r' };
  await store(place.archive, recording, { head: bytesOf('head', 64), clusters: [bytesOf('body', 200)], facts });
  await writeProof('complete', { day: DAY, verdict: 'complete' }, { notes, at: new Date() }, signal);
  const sealing = await runInside(['verify', '--quiet'], place.env);
  assert.equal(sealing.code, 0, sealing.stdout + sealing.stderr);
  const sealed = Buffer.from(await place.bytes(SEAL));
  const [begin, end] = [sealed.indexOf('{', 1), sealed.indexOf('}"')];
  const needs = { notes, isRecomputed: () => true };
  assert.deepEqual((await readChain(needs, signal)).faults, []);
  for (let at = 0; at < sealed.length; at += 1)
    for (const bit of [0x01, 0x04]) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(sealed.readUInt8(at) ^ bit, at);
      await place.write(SEAL, changed);
      const where = `byte ${String(at)}, bit ${String(bit)}`;
      const { faults } = await readChain(needs, signal).catch((cause: unknown) =>
        assert.fail(`${where}: ${String(cause)}`),
      );
      // What is behind the statement is its signature, which nobody expects here.
      const isStated = at > begin && at < end;
      assert.ok(faults.length > 0 || !isStated, where);
    }
});
