import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { eachBatch, openBatches, type Parser } from '../../src/media/batches.ts';

const BYTES = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at & 255));

async function* once(): AsyncGenerator<Buffer> {
  yield Buffer.from(BYTES);
}

test('a chunk is handed on in slices, every byte once and in order', async () => {
  const parser: Parser<Buffer> = { push: (slice) => [Buffer.from(slice)], end: () => [] };
  const slices: Buffer[] = [];
  for await (const batch of await openBatches(once(), parser, () => true)) slices.push(...batch);
  assert.ok(slices.length > 1);
  assert.deepEqual(Buffer.concat(slices), BYTES);
});

test('whoever else has work gets a turn between slices that take long', async () => {
  const turns: number[] = [];
  let slices = 0;
  const parser: Parser<number> = {
    push: () => {
      slices += 1;
      setImmediate(() => turns.push(slices));
      const until = performance.now() + 10;
      while (performance.now() < until);
      return [slices];
    },
    end: () => [],
  };
  for await (const _ of await openBatches(once(), parser, () => true));
  // What each slice put off ran before the next slice did.
  assert.deepEqual(
    turns,
    Array.from({ length: slices }, (_, at) => at + 1),
  );
});

test('one that is left while it gives way asks its source for nothing more', async () => {
  let asked = 0;
  const source: AsyncIterator<Buffer> = {
    next: () => {
      asked += 1;
      return Promise.resolve({ done: false, value: Buffer.from(BYTES) });
    },
    return: () => Promise.resolve({ done: true, value: undefined }),
  };
  const parser: Parser<number> = {
    push: () => {
      const until = performance.now() + 10;
      while (performance.now() < until);
      return [];
    },
    end: () => [],
  };
  const batches = await openBatches({ [Symbol.asyncIterator]: () => source }, parser, () => true);
  const reading = batches.next();
  setImmediate(() => void batches.return?.());
  assert.deepEqual(await reading, { done: true, value: undefined });
  assert.equal(asked, 1);
});

test('the memory of a chunk is given back once its last slice is parsed, and not before', async () => {
  const lengths: number[] = [];
  const chunks = [1, 16 * 1024, 40 * 1024, 64 * 1024].map((sizeBytes) => Buffer.allocUnsafeSlow(sizeBytes));
  const source = async function* (): AsyncGenerator<Buffer> {
    yield* chunks;
  };
  const parser: Parser<number> = { push: (slice) => [slice.length], end: () => [] };
  for await (const batch of await openBatches(source(), parser, () => true)) lengths.push(...batch);
  assert.deepEqual(lengths, [1, ...[1, 1, 1, 0.5, 1, 1, 1, 1].map((slices) => slices * 16 * 1024)]);
  // What is too small to be worth it is left to the garbage collector.
  assert.deepEqual(
    chunks.map(({ length }) => length),
    [1, 0, 0, 0],
  );
});

test('what is made of each batch comes one for one; its source is closed where that fails, and where it is left', async () => {
  let closed = 0;
  async function* numbers(): AsyncGenerator<number> {
    try {
      yield* [1, 2, 3];
    } finally {
      closed += 1;
    }
  }
  assert.deepEqual(await Readable.from(eachBatch(numbers(), String)).toArray(), ['1', '2', '3']);
  const failing = eachBatch(numbers(), (number) => assert.notEqual(number, 2));
  await assert.rejects(Readable.from(failing).toArray(), { code: 'ERR_ASSERTION' });
  assert.equal(closed, 2);
  for await (const text of eachBatch(numbers(), String)) if (text === '2') break;
  assert.equal(closed, 3);
});

test('an error of the batches is thrown as it is meant, one of what is made of them as it is', async () => {
  async function* broken(): AsyncGenerator<number> {
    yield 1;
    throw new Error('broken');
  }
  const meant = (): Error => new Error('meant');
  await assert.rejects(Readable.from(eachBatch(broken(), String, meant)).toArray(), /meant/);
  const failing = eachBatch(broken(), () => assert.fail('made'), meant);
  await assert.rejects(Readable.from(failing).toArray(), /made/);
});
