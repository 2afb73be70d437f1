import assert from 'node:assert/strict';
import { test } from 'node:test';
import { broken, examine, type Probe, well } from '../../src/doctor/check.ts';
import { judgeClock } from '../../src/doctor/clock-check.ts';
import { UNCONFIRMED } from '../../src/doctor/unconfirmed.ts';
import { Failure, FAILURES } from '../../src/failure.ts';
import { examined, lineOfCheck } from '../support/doctor.ts';

const area = 'machine';

test('all are asked, whatever the others say, and what they throw is a line of its own', async () => {
  const probes: readonly Probe[] = [
    { area, name: 'a', look: async () => broken('it is broken', 'Mend it.') },
    { area, name: 'b', look: async () => Promise.reject(new Failure('forbidden', 'The role lacks a right.')) },
    { area, name: 'c', look: async () => Promise.reject(new TypeError('a bug')) },
    { area, name: 'd', look: async () => [well('one'), well('two')] },
  ];
  const checks = await examined(probes);
  assert.deepEqual(checks.map(lineOfCheck), [
    'fail a: it is broken → Mend it.',
    `fail b: The role lacks a right. → ${FAILURES.forbidden.next}`,
    `fail c: ${Failure.from(new TypeError('a bug')).message} → ${FAILURES.internal.next}`,
    'ok d: one',
    'ok d: two',
  ]);
});

test('what rests on something broken is not asked, and says on what', async () => {
  const look = async (): Promise<never> => assert.fail('nobody asks');
  const probes: readonly Probe[] = [
    { area, name: 'token', about: 'one', look: async () => well('given') },
    { area, name: 'token', about: 'two', look: async () => broken('refused', 'Check it.') },
    { area, name: 'rights', about: 'one', after: ['token'], look: async () => well('all') },
    { area, name: 'rights', about: 'two', after: ['token'], look },
    { area, name: 'divisions', about: 'two', after: ['rights'], look },
  ];
  assert.deepEqual((await examined(probes)).map(lineOfCheck), [
    'ok token: given',
    'fail token: refused → Check it.',
    'ok rights: all',
    'skipped rights: not asked: see token',
    'skipped divisions: not asked: see rights',
  ]);
});

test('a signal ends the asking', async () => {
  const stop = new AbortController();
  const names: string[] = [];
  const look = async () => well('');
  for await (const { name } of examine(
    ['a', 'b', 'c'].map((each) => ({ area, name: each, look })),
    stop.signal,
  )) {
    names.push(name);
    stop.abort();
  }
  assert.deepEqual(names, ['a']);
});

test('a clock is judged by seconds, in both directions', () => {
  const states = [0, 4_999, -4_999, 5_000, -5_000, 59_999, 60_000, -60_000].map(
    (ms) => judgeClock('Genesys', ms).state,
  );
  assert.deepEqual(states, ['ok', 'ok', 'ok', 'warn', 'warn', 'warn', 'fail', 'fail']);
  assert.match(judgeClock('Genesys', 90_000).found, /90 s behind Genesys/);
  assert.match(judgeClock('Genesys', -90_000).found, /90 s ahead of Genesys/);
  assert.equal(judgeClock('Genesys', undefined).state, 'skipped');
});

test('what is unconfirmed is said in one place, each once', () => {
  assert.equal(new Set(UNCONFIRMED).size, UNCONFIRMED.length);
  for (const line of UNCONFIRMED) assert.match(line, /^[a-z].*[^.]$/);
});
