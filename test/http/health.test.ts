import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../../src/failure.ts';
import { Readiness, type HealthState } from '../../src/http/health.ts';
import { keysOf } from '../support/keys.ts';
import { errorOf, start } from './far-ends.ts';

const KEY = 'the-key-of-the-operators';
const WITH_KEY = { headers: { 'x-api-key': KEY } };
const fine = { name: 'archive', check: async (): Promise<void> => undefined };

test('ready names each dependency, and 503 says which one is not and why', async () => {
  let problem: Error | undefined;
  const check = async (): Promise<void> => {
    if (problem !== undefined) throw problem;
  };
  const readiness = new Readiness([fine, { name: 'queue', check }], { cacheMs: 0 });
  await using app = await start({ readiness, auth: { required: true, keys: keysOf(KEY) } });
  const ask = async (): Promise<readonly [number, unknown]> => {
    const response = await fetch(`${app.url}/readyz`, WITH_KEY);
    return [response.status, await response.json()];
  };
  assert.deepEqual(await ask(), [200, { ready: true, dependencies: { archive: { ok: true }, queue: { ok: true } } }]);
  problem = new Failure('queue-unavailable', 'The disk is full; make room under var/.');
  const queue = { ok: false, problem: 'The disk is full; make room under var/.' };
  assert.deepEqual(await ask(), [503, { ready: false, dependencies: { archive: { ok: true }, queue } }]);
  problem = new Error('canary of the inside');
  assert.doesNotMatch(JSON.stringify(await ask()), /canary/);
  assert.equal((await fetch(`${app.url}/healthz`)).status, 200, 'alive all the while');
});

test('many askers at once cost one check, and its result lasts a while', async () => {
  let checks = 0;
  const gate = Promise.withResolvers<void>();
  const check = async (): Promise<void> => {
    checks += 1;
    await gate.promise;
  };
  const readiness = new Readiness([{ name: 'queue', check }], { cacheMs: 60_000 });
  const askers = Array.from({ length: 50 }, () => readiness.state());
  gate.resolve();
  for (const { ready } of await Promise.all(askers)) assert.equal(ready, true);
  await readiness.state();
  assert.equal(checks, 1);
  const impatient = new Readiness([{ name: 'queue', check }], { cacheMs: 1 });
  await impatient.state();
  await delay(5);
  await impatient.state();
  assert.equal(checks, 3);
});

test('a dependency that does not answer is a problem in time, whatever it does with its signal', async () => {
  let aborted = false;
  const deaf = {
    name: 'queue',
    check: (signal: AbortSignal) => {
      signal.addEventListener('abort', () => (aborted = true));
      return new Promise<void>(() => undefined);
    },
  };
  const state = await new Readiness([fine, deaf], { timeoutMs: 20 }).state();
  assert.deepEqual(state.dependencies, {
    archive: { ok: true },
    queue: { ok: false, problem: 'No answer within 20 ms.' },
  });
  assert.ok(aborted);
});

test('not ready once is not ready for good, with the first reason', async () => {
  const readiness = new Readiness([fine]);
  await using app = await start({ readiness, auth: { required: true, keys: keysOf(KEY) } });
  readiness.notReady('The service is stopping.');
  readiness.notReady('Something else.');
  const response = await fetch(`${app.url}/readyz`, WITH_KEY);
  assert.equal(response.status, 503);
  const state = { ready: false, reason: 'The service is stopping.', dependencies: { archive: { ok: true } } };
  assert.deepEqual(await response.json(), state);
});

test('figures are in the format of Prometheus', async () => {
  await using app = await start({ auth: { required: true, keys: keysOf(KEY) } });
  app.metrics.archived('rewrap');
  const response = await fetch(`${app.url}/metrics`, WITH_KEY);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(await response.text(), /archiver_recordings_archived_total\{way="rewrap"\} 1/);
});

test('a deployable has no route for what it does not do', async () => {
  await using app = await start({});
  for (const path of ['/webhooks/genesys', '/transcode', '/recordings', '/recordings/C/R', '/media/C/R']) {
    assert.equal((await fetch(app.url + path)).status, 404, path);
  }
  assert.equal((await fetch(`${app.url}/healthz`, { method: 'DELETE' })).status, 405);
  assert.equal((await fetch(`${app.url}/healthz`, { method: 'HEAD' })).status, 200);
});

test('whoever shows no key learns that it is alive and whether it is ready, and nothing else (B6)', async () => {
  const check = (): Promise<void> =>
    Promise.reject(new Failure('misconfigured', 'canary: GENESYS_CLIENT_SECRET is wrong.'));
  const facts = { cage: 'canary' };
  const readiness = new Readiness([
    { ...fine, facts },
    { name: 'canary', check },
  ]);
  for (const auth of [undefined, { required: true, keys: [] }, { required: true, keys: keysOf(KEY) }]) {
    await using app = await start({ readiness, ...(auth === undefined ? {} : { auth }) });
    for (const headers of [{}, { 'x-api-key': 'the-key-of-nobody-at-all' }]) {
      const ready = await fetch(`${app.url}/readyz`, { headers });
      assert.deepEqual([ready.status, await ready.text()], [503, '{"ready":false}']);
      assert.deepEqual(await (await fetch(`${app.url}/healthz`, { headers })).json(), { status: 'alive' });
      const { status, message } = await errorOf(await fetch(`${app.url}/metrics`, { headers }));
      assert.deepEqual([status, /canary/.test(message)], [401, false]);
    }
  }
});

test('each change of what is not ready is told once', async () => {
  const told: HealthState[] = [];
  let problem: Failure | undefined;
  const check = async (): Promise<void> => {
    if (problem !== undefined) throw problem;
  };
  const readiness = new Readiness([{ name: 'queue', check }], { cacheMs: 0, onChange: (state) => told.push(state) });
  const ask = async (next: Failure | undefined): Promise<void> => {
    problem = next;
    await readiness.state();
    await readiness.state();
  };
  await ask(undefined);
  assert.equal(told.length, 0);
  await ask(new Failure('queue-unavailable', 'The disk is full.'));
  await ask(new Failure('queue-unavailable', 'The disk is read-only.'));
  await ask(undefined);
  assert.deepEqual(
    told.map(({ ready, dependencies }) => [ready, dependencies['queue']?.problem]),
    [
      [false, 'The disk is full.'],
      [false, 'The disk is read-only.'],
      [true, undefined],
    ],
  );
});
