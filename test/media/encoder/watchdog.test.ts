import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Watchdog } from '../../../src/media/encoder/watchdog.ts';

test('barks once somebody is to blame, and as often as nobody is it waits on', async () => {
  let looks = 0;
  const barked = Promise.withResolvers<void>();
  using _dog = new Watchdog(1, () => (looks += 1) === 4, barked.resolve);
  await barked.promise;
  assert.equal(looks, 4);
});

test('never looks again once it is disposed', async () => {
  let looks = 0;
  const looked = Promise.withResolvers<void>();
  const look = (): boolean => {
    looks += 1;
    if (looks === 2) looked.resolve();
    return false;
  };
  {
    using _dog = new Watchdog(1, look, assert.fail);
    await looked.promise;
  }
  const seen = looks;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(looks, seen);
});

test('whatever moves in time puts off the look', async () => {
  let looks = 0;
  using dog = new Watchdog(
    5,
    () => (looks += 1) > 0,
    () => undefined,
  );
  // Timers of one length ring in the order they were set.
  const looksByThen = new Promise<number>((resolve) => setTimeout(() => resolve(looks), 5));
  dog.touch();
  assert.equal(await looksByThen, 0);
});
