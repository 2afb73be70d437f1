/** What a listener's connection gets of a making: copies, and of a large cluster a little at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POURING } from '../../src/bounds.ts';
import { Lagged } from '../../src/media/flight.ts';
import { playLive } from '../../src/media/live.ts';
import type { Webm } from '../../src/media/webm/webm.ts';

const HEAD = Buffer.from('live head');

/** Clusters of these sizes; each is given up, as memory.ts does it, once the next is asked for. `lagAt`: falls behind there. */
function making(sizes: readonly number[], lagAt = Infinity): Webm {
  return {
    contentType: 'audio/webm',
    way: 'rewrap',
    why: 'test',
    encoder: undefined,
    liveHead: HEAD,
    result: () => assert.fail('nobody asks'),
    playsMs: () => 0,
    clusters: {
      async *[Symbol.asyncIterator]() {
        for (const [number, sizeBytes] of sizes.entries()) {
          if (number === lagAt) throw new Lagged();
          const cluster = clusterOf(sizeBytes, number);
          yield cluster;
          cluster.fill(0xff);
        }
      },
    },
  };
}

/** No piece of one is like another. */
const PATTERN = Buffer.from(Array.from({ length: 251 }, (_, at) => at));

function clusterOf(sizeBytes: number, number: number): Buffer {
  return Buffer.alloc(sizeBytes, PATTERN.subarray(number));
}

const SIZES = [3, POURING.pieceBytes, POURING.pieceBytes + 1, 3 * POURING.pieceBytes + 7, 1];
const WHOLE = Buffer.concat([HEAD, ...SIZES.map(clusterOf)]);

for (const [name, first] of [
  ['in one go', undefined],
  ...SIZES.map((_, at) => [`left behind at cluster ${String(at)}`, at] as const),
] as const) {
  for (const sizes of [SIZES, SIZES.toReversed()]) {
    const whole = sizes === SIZES ? WHOLE : Buffer.concat([HEAD, ...sizes.map(clusterOf)]);
    test(`a listener has every byte, in pieces no larger than it is watched by: ${name}, clusters of ${sizes.join(', ')} (A3)`, async () => {
      const makings = [making(sizes, first), making(sizes)];
      const { body } = await playLive(async () => makings.shift() ?? assert.fail('asked too often'));
      const pieces: Buffer[] = [];
      for await (const piece of body) pieces.push(piece);
      assert.ok(pieces.every(({ length }) => length <= POURING.pieceBytes + HEAD.length));
      assert.ok(Buffer.concat(pieces).equals(whole), 'what was handed on stays as it was');
    });
  }
}
