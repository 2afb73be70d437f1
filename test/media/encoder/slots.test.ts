import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Failure } from '../../../src/failure.ts';
import { createSlots } from '../../../src/media/encoder/slots.ts';

const NEVER = new AbortController().signal;
const PATIENT = { bounded: false };

test('gives out as many slots as there are, then one for each that comes back, first come first served', async () => {
  const slots = createSlots(2, 0);
  const first = await slots.acquire(PATIENT, NEVER);
  await slots.acquire(PATIENT, NEVER);
  const served: string[] = [];
  const third = slots.acquire(PATIENT, NEVER).then((slot) => (served.push('third'), slot));
  const fourth = slots.acquire(PATIENT, NEVER).then((slot) => (served.push('fourth'), slot));
  await turn();
  assert.deepEqual([served, slots.running, slots.waiting], [[], 2, 2]);
  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  await fourth;
  assert.deepEqual([served, slots.running, slots.waiting], [['third', 'fourth'], 2, 0]);
});

test('a slot that comes back twice frees one place', async () => {
  const slots = createSlots(1, 0);
  const first = await slots.acquire(PATIENT, NEVER);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(slots.running, 0);
  await slots.acquire(PATIENT, NEVER);
  assert.equal(slots.running, 1);
});

test('beyond the queue a listener is told to come back, while work of the queue waits on', async () => {
  const slots = createSlots(1, 1);
  const running = await slots.acquire({ bounded: true }, NEVER);
  const waiting = slots.acquire({ bounded: true }, NEVER);
  await assert.rejects(
    slots.acquire({ bounded: true }, NEVER),
    (error) => error instanceof Failure && error.code === 'busy' && error.status === 429 && (error.afterMs ?? 0) > 0,
  );
  const patient = slots.acquire(PATIENT, NEVER);
  running[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
  await patient;
  assert.equal(slots.running, 1);
});

test('who stops waiting is forgotten, and the next is served', async () => {
  const slots = createSlots(1, 5);
  const running = await slots.acquire(PATIENT, NEVER);
  const leaving = new AbortController();
  const left = slots.acquire(PATIENT, leaving.signal);
  const stays = slots.acquire(PATIENT, NEVER);
  leaving.abort(new Failure('stopped', 'The listener left.'));
  await assert.rejects(left, /The listener left/);
  assert.equal(slots.waiting, 1);
  running[Symbol.dispose]();
  await stays;
  await assert.rejects(
    slots.acquire(PATIENT, AbortSignal.abort()),
    (error) => error instanceof Failure && error.code === 'stopped',
  );
  assert.deepEqual([slots.running, slots.waiting], [1, 0]);
});
