/** Pages of other origins that play links: those that LINK_ORIGINS names, and no others (E5). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keysOf } from '../support/keys.ts';
import { MapArchive, start, type Started } from './far-ends.ts';

const PLAYER = 'https://player.example';
const BYTES = Buffer.from('this is not WebM, but nobody looks');

function serve(linkOrigins?: readonly string[]): Promise<Started> {
  const media = new MapArchive();
  media.put({ recordingId: 'r', conversationId: 'c' }, BYTES);
  const recordings = { archive: media, linkLifetimeS: 900 };
  const auth = { required: true, keys: keysOf('the-key-of-the-player') };
  return start({ auth, media, playback: { recordings }, ...(linkOrigins === undefined ? {} : { linkOrigins }) });
}

const LINK = '/media/c/r?expires=1&signature=good';

function ask(app: Started, headers: Record<string, string>, method = 'GET', path = LINK): Promise<Response> {
  return fetch(app.url + path, { method, headers });
}

test('a page of a listed origin reads a link, in ranges, and asks first where its browser does (E5)', async () => {
  await using app = await serve(['https://other.example', PLAYER]);
  const response = await ask(app, { origin: PLAYER, range: 'bytes=0-3' });
  assert.deepEqual([response.status, await response.text()], [206, 'this']);
  assert.equal(response.headers.get('access-control-allow-origin'), PLAYER);
  assert.match(response.headers.get('access-control-expose-headers') ?? '', /Content-Range/);
  assert.match(response.headers.get('vary') ?? '', /Origin/);
  assert.equal(response.headers.get('access-control-allow-credentials'), null);
  const question = {
    origin: PLAYER,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'range',
  };
  const asked = await ask(app, question, 'OPTIONS');
  assert.deepEqual(
    ['origin', 'methods', 'headers'].map((name) => asked.headers.get(`access-control-allow-${name}`)),
    [PLAYER, 'GET, HEAD', 'Range, If-Range, If-None-Match'],
  );
  assert.equal(asked.status, 204);
});

test('the reason of a refusal can be read by a listed origin as well (E5)', async () => {
  await using app = await serve([PLAYER]);
  const response = await ask(app, { origin: PLAYER }, 'GET', '/media/c/r?expires=1&signature=bad');
  assert.deepEqual([response.status, response.headers.get('access-control-allow-origin')], [403, PLAYER]);
});

test('any other origin is let in nowhere, and nothing of what it says comes back (E5)', async () => {
  await using app = await serve([PLAYER]);
  const others = [
    'https://evil.example',
    'https://player.example.evil.example',
    'http://player.example',
    'https://player.example:8443',
    'null',
    'https://PLAYER.example',
    `${PLAYER}, https://evil.example`,
    '*',
  ];
  for (const origin of others) {
    const question = { origin, 'access-control-request-method': 'GET' };
    for (const response of [await ask(app, { origin }), await ask(app, question, 'OPTIONS')])
      assert.equal(response.headers.get('access-control-allow-origin'), null, origin);
  }
  for (const path of ['/recordings', '/healthz', '/recordings/c/r/link'])
    assert.equal(
      (await ask(app, { origin: PLAYER }, 'GET', path)).headers.get('access-control-allow-origin'),
      null,
      path,
    );
});

test('* lets every page in; without LINK_ORIGINS none (E5)', async () => {
  await using all = await serve(['*']);
  assert.equal((await ask(all, { origin: 'https://any.example' })).headers.get('access-control-allow-origin'), '*');
  await using none = await serve();
  assert.equal((await ask(none, { origin: PLAYER })).headers.get('access-control-allow-origin'), null);
  assert.equal((await ask(none, { origin: PLAYER, 'access-control-request-method': 'GET' }, 'OPTIONS')).status, 405);
});
