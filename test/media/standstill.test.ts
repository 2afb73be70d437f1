/** What a making whose reader stands still keeps: the packets of the Cluster that is open, and no others; counted in V8's heap. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queryObjects } from 'node:v8';
import { make } from '../support/media/made.ts';
import { oggOpus } from '../support/media/ogg-write.ts';

const SECOND = 48_000;
/** 20 ms of silence as CELT has it: so small that a slice of a file holds more than a minute of them. */
const PACKET = Buffer.from([0xf8, 0xff, 0xfe]);

function silence(seconds: number): Buffer {
  const packets = Array.from({ length: 50 }, () => PACKET);
  return oggOpus(
    Array.from({ length: seconds }, (_, number) => ({
      packets,
      granule: (number + 1) * SECOND,
      last: number === seconds - 1,
    })),
  );
}

const FILE = silence(600);
const MAKINGS = 8;
/** Of five seconds, and as many again for whatever is under way; a slice of the file has thousands. */
const MOST_PACKETS = 2 * 250;

test('makings whose readers stand still keep no packets beyond the open Cluster (A3)', async () => {
  const before = Number(queryObjects(Uint8Array));
  const readers = [];
  for (let number = 0; number < MAKINGS; number += 1) {
    const made = await make({ files: [FILE], seconds: 600 });
    const reader = made.clusters[Symbol.asyncIterator]();
    for (let count = 0; count < 10; count += 1) await reader.next();
    readers.push(reader);
  }
  const kept = Number(queryObjects(Uint8Array)) - before;
  for (const reader of readers) await reader.return?.();
  assert.ok(kept <= MAKINGS * MOST_PACKETS, `${String(kept)} packets and buffers`);
});
