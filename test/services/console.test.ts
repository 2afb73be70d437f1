/** The console as a deployable of its own and as a part of serve: the same pages, and nothing that is not its business. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFaultScene } from '../support/fault-scene.ts';
import { startService } from '../support/service/service.ts';

const HANG_GUARD = { timeout: 400_000 };
const KEY = 'canary-console-key-1';

function signIn(url: string, key = KEY): Promise<Response> {
  return fetch(`${url}/console/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams({ key, to: '/console/' }),
  });
}

for (const command of ['console', 'serve'] as const)
  test(`archiver ${command} serves the pages to whoever signs in with a key`, HANG_GUARD, async () => {
    await using scene = await openFaultScene();
    const env = command === 'serve' ? scene.env : scene.embedded.env;
    await using service = await startService(command, { ...env, API_KEYS: `priya:${KEY}` });
    const asked = await fetch(`${service.url}/console`, { redirect: 'manual' });
    assert.equal(asked.status, 303);
    assert.match(asked.headers.get('location') ?? '', /^\/console\/sign-in\?to=/);
    const entered = await signIn(service.url);
    assert.equal(entered.status, 303);
    assert.match(entered.headers.getSetCookie().join(), /^archiver=/);
    assert.equal((await signIn(service.url, 'canary-wrong-key-1')).status, 401);
    for (const path of ['/webhooks/genesys', '/recordings', '/transcode', '/media/_/x']) {
      const { status } = await fetch(`${service.url}${path}`, { headers: { 'x-api-key': KEY } });
      assert.equal(status === 404, command === 'console', `${path} ${String(status)}`);
    }
    assert.equal((await service.stop()).code, 0);
  });

test('where nobody is asked, only this machine’s own names are answered', HANG_GUARD, async () => {
  await using scene = await openFaultScene();
  await using service = await startService('console', { ...scene.embedded.env, CONSOLE_AUTH: 'none' });
  const own = await fetch(`${service.url}/console/`, { redirect: 'manual' });
  assert.equal(own.headers.get('location'), '/console/find');
  const { hostname, port } = new URL(service.url);
  const { request } = await import('node:http');
  const status = await new Promise((resolve) => {
    request({ hostname, port, path: '/console/', headers: { host: 'rebound.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).end();
  });
  assert.equal(status, 421);
});
