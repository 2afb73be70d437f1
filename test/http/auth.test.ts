/** API keys: who is let in, as whom, until when, and that a key which is taken away is none at the next request. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import express from 'express';
import { callerOf, requireApiKey, type ApiAuth } from '../../src/http/auth.ts';
import { createErrorAnswers, requestIdFor } from '../../src/http/errors.ts';
import { listen, type Listener } from '../../src/http/server.ts';
import type { Key } from '../../src/key.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { errorOf } from './far-ends.ts';

const OPS = 'the-key-of-the-operators';
const CONSOLE = 'the-key-of-the-console';

function key(name: string, secret: string, lastDay?: string): Key {
  return { name, secret, lastDay };
}

/** Answers with the caller's name. */
async function serve(auth: ApiAuth): Promise<Listener & AsyncDisposable> {
  const app = express();
  app.use((req, res, next) => {
    res.setHeader('X-Request-Id', requestIdFor(req));
    next();
  });
  app.get('/', requireApiKey(auth), (req, res) => res.json(callerOf(req).name));
  app.use(createErrorAnswers(createLog({ level: 'error', secrets: [], stream: new PassThrough().resume() })));
  const listener = await listen(app, { host: '127.0.0.1', port: 0 });
  return { ...listener, [Symbol.asyncDispose]: () => listener.close(0) };
}

function ask(server: Listener, headers: Record<string, string>): Promise<Response> {
  return fetch(server.url, { headers });
}

test('whoever shows a key is who it is named after, in either header (B4)', async () => {
  await using server = await serve({ required: true, keys: [key('ops', OPS), key('console', CONSOLE)] });
  for (const [headers, name] of [
    [{ authorization: `Bearer ${OPS}` }, 'ops'],
    [{ 'x-api-key': CONSOLE }, 'console'],
    [{ 'x-api-key': OPS, authorization: 'Bearer of-somebody-elses-proxy' }, 'ops'],
  ] as const) {
    const response = await ask(server, headers);
    assert.deepEqual([response.status, await response.json()], [200, name]);
  }
});

test('nothing else is let in: no name, no half, no list, no guess of any length', async () => {
  await using server = await serve({ required: true, keys: [key('ops', OPS), key('console', CONSOLE)] });
  const guesses = [
    'ops',
    `ops:${OPS}`,
    OPS.slice(0, -1),
    `${OPS}x`,
    OPS.toUpperCase(),
    `${OPS},${CONSOLE}`,
    ...Array.from({ length: 64 }, (_, length) => randomBytes(length).toString('hex')),
  ];
  for (const guess of guesses.filter((text) => text !== ''))
    for (const headers of [{ 'x-api-key': guess }, { authorization: `Bearer ${guess}` }])
      assert.equal((await ask(server, headers)).status, 401, guess);
  assert.equal((await ask(server, {})).status, 401);
  assert.equal((await ask(server, { authorization: `Basic ${OPS}` })).status, 401);
});

test('a key whose last day is over is a 401 that says so, and not which key it is', async () => {
  const keys = [key('old', OPS, '2020-01-31'), key('new', CONSOLE, '2999-12-31')];
  await using server = await serve({ required: true, keys });
  const response = await ask(server, { 'x-api-key': OPS });
  const { status, message } = await errorOf(response);
  assert.deepEqual([status, message], [401, 'This key was good until 2020-01-31 (UTC); ask for another one.']);
  assert.equal((await ask(server, { 'x-api-key': CONSOLE })).status, 200);
});

test('of two entries with one secret the one that has not ended counts', async () => {
  await using server = await serve({ required: true, keys: [key('old', OPS, '2020-01-31'), key('ops', OPS)] });
  assert.equal(await (await ask(server, { 'x-api-key': OPS })).json(), 'ops');
});

test('a key that is taken away is none at the next request, one that is added is one (B2)', async () => {
  let keys = [key('ops', OPS)];
  const auth = {
    required: true,
    get keys() {
      return keys;
    },
  };
  await using server = await serve(auth);
  assert.equal((await ask(server, { 'x-api-key': OPS })).status, 200);
  keys = [key('console', CONSOLE)];
  assert.equal((await ask(server, { 'x-api-key': OPS })).status, 401);
  assert.equal(await (await ask(server, { 'x-api-key': CONSOLE })).json(), 'console');
});

test('where no key is asked for it is anybody, whatever is shown', async () => {
  await using server = await serve({ required: false, keys: [] });
  assert.equal(await (await ask(server, {})).json(), 'anybody');
  assert.equal(await (await ask(server, { 'x-api-key': 'whatever' })).json(), 'anybody');
});
