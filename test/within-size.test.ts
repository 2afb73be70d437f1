/** Bodies from outside: whole within their limit, refused beyond it before they end, and never waited for when they are gone. */
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { readAnswerWithin, readWithin } from '../src/within-size.ts';

const tooLarge = (): Error => new Error('too large');
const above =
  (limitBytes: number) =>
  (sizeBytes: number): Error | undefined =>
    sizeBytes > limitBytes ? tooLarge() : undefined;

/** Goes on for ever. */
function endless(): Readable {
  return new Readable({
    read() {
      setImmediate(() => this.push(Buffer.alloc(1024)));
    },
  });
}

for (const [name, sizes] of Object.entries({ none: [], one: [10], 'some, to the last byte': [3, 3, 4] }))
  test(`a body in pieces (${name}) is read whole`, async () => {
    const chunks = sizes.map((size, index) => Buffer.alloc(size, index));
    assert.deepEqual(await readWithin(Readable.from(chunks), above(10)), Buffer.concat(chunks));
  });

test('one byte more is refused', async () => {
  await assert.rejects(readWithin(Readable.from([Buffer.alloc(10), Buffer.alloc(1)]), above(10)), /too large/);
});

test('a body without an end is refused when it has become too large, and left for whoever has to answer', async () => {
  const body = endless();
  await assert.rejects(readWithin(body, above(100_000)), /too large/);
  assert.equal(body.destroyed, false);
  body.destroy();
});

test('an answer that is too large is destroyed, and with it its connection', async () => {
  const body = endless();
  await assert.rejects(readAnswerWithin(body, 100_000, tooLarge), /too large/);
  assert.equal(body.destroyed, true);
});

for (const [name, error] of [
  ['breaks', new Error('reset')],
  ['is closed without a word', undefined],
] as const)
  test(`a body that ${name} before its end is none`, async () => {
    const body = new PassThrough();
    const reading = readWithin(body, above(100));
    body.write('half');
    body.destroy(error);
    await assert.rejects(reading, error ?? /closed before its end/);
  });

test('an answer is text', async () => {
  const letters = Buffer.from('größer');
  assert.equal(
    await readAnswerWithin(Readable.from([letters.subarray(0, 3), letters.subarray(3)]), 100, tooLarge),
    'größer',
  );
});
