import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeDoor } from '../../src/http/door.ts';

test('while the service starts everything is answered 503 with Retry-After, then by its routes', async () => {
  const door = await takeDoor({ host: '127.0.0.1', port: 0 });
  try {
    for (const [path, method] of [
      ['/healthz', 'GET'],
      ['/webhooks/genesys', 'POST'],
    ] as const) {
      const early = await fetch(door.url + path, { method, ...(method === 'POST' ? { body: '{}' } : {}) });
      assert.deepEqual([early.status, early.headers.get('retry-after')], [503, '1']);
      const body: unknown = await early.json();
      assert.match(JSON.stringify(body), /"code":"starting".*"requestId":"[0-9a-f-]{36}"/);
    }
    door.open((_req, res) => void res.end('routes'));
    assert.equal(await (await fetch(`${door.url}/healthz`)).text(), 'routes');
  } finally {
    await door.close(0);
  }
});
