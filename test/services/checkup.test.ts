/** What the doctor says where a worker runs, looked at beside its work: a probe that fails is a line, never the worker's trouble. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Probe } from '../../src/doctor/check.ts';
import { Failure } from '../../src/failure.ts';
import { beginCheckup } from '../../src/services/checkup.ts';

test('what the doctor says is known after its first look; what could not be asked is left out', async () => {
  const machine = { area: 'machine' } as const;
  const probes: readonly Probe[] = [
    { ...machine, name: 'node', look: async () => ({ state: 'ok', found: 'Node 24' }) },
    {
      ...machine,
      name: 'token',
      about: 'client-1',
      look: () => Promise.reject(new Failure('unauthorized', 'refused')),
    },
    {
      ...machine,
      name: 'rights',
      about: 'client-1',
      after: ['token'],
      look: async () => ({ state: 'ok', found: 'all' }),
    },
    { ...machine, name: 'last', look: async () => ({ state: 'warn', found: 'little room', next: 'Free space.' }) },
  ];
  await using opened = new AsyncDisposableStack();
  const checks = beginCheckup(probes, { opened, stopping: new AbortController().signal }, 0);
  assert.deepEqual(checks(), []);
  while (checks().length === 0) await turn();
  assert.deepEqual(
    checks().map(({ name, about, state, found }) => [name, about, state, found]),
    [
      ['node', undefined, 'ok', 'Node 24'],
      ['token', 'client-1', 'fail', 'refused'],
      ['last', undefined, 'warn', 'little room'],
    ],
  );
});
