/** Whom a service without keys answers: only who means this machine, whatever a name resolves to (B3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { SEED } from '../support/soak.ts';
import { exchange, ListQueue, MapArchive, start, type Started } from './far-ends.ts';

const OPEN = { required: false, keys: [] };

function open(publicUrl?: string): Promise<Started> {
  const archive = new MapArchive();
  return start({ auth: OPEN, publicUrl, playback: { recordings: { archive, linkLifetimeS: 900 } } });
}

async function statusOf(app: Started, head: string): Promise<number> {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(await exchange(app.port, `${head}Connection: close\r\n\r\n`))?.[1]);
}

test('this machine is answered by each of its names, with any port', async () => {
  await using app = await open();
  const hosts = [
    'localhost',
    'LocalHost',
    'localhost.',
    '127.0.0.1',
    '127.1.2.3',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
  ];
  for (const host of hosts)
    for (const port of ['', ':80', `:${String(app.port)}`])
      assert.equal(await statusOf(app, `GET /recordings HTTP/1.1\r\nHost: ${host}${port}\r\n`), 200, host + port);
});

/** What a page that resolves to this machine may be called, and what looks like this machine. */
const foreign = fc.oneof(
  fc.domain(),
  fc.ipV4().filter((address) => !address.startsWith('127.')),
  fc
    .ipV6()
    .map((address) => `[${address}]`)
    .filter((address) => !/^\[[0:]*1?\]$|^\[[0:]*(ffff:)?(7f|127\.)/i.test(address)),
  fc.constantFrom(
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'localhost@evil.example',
    'evil.example#localhost',
    'evil.example?localhost',
    'foo.localhost.evil.example',
    '0.0.0.0',
    '[::]',
    '169.254.169.254',
    '10.0.0.1',
    'localhosts',
    'xlocalhost',
    'archiver.example',
    '127.0.0.1,evil.example',
    'localhost evil.example',
    '::1',
    '',
  ),
);

test('any other name is a 421, also in an absolute target, on every route (B3)', async () => {
  await using app = await open();
  const property = fc.asyncProperty(
    foreign,
    fc.constantFrom('/recordings', '/healthz', '/metrics', '/nowhere'),
    async (host, path) => {
      const expected = [400, 421];
      assert.ok(expected.includes(await statusOf(app, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n`)), host);
      const absolute = await statusOf(app, `GET http://${host}${path} HTTP/1.1\r\nHost: localhost\r\n`);
      assert.ok(expected.includes(absolute), `http://${host}`);
    },
  );
  await fc.assert(property, { numRuns: 300, seed: SEED });
  assert.equal(await statusOf(app, 'GET /recordings HTTP/1.1\r\nHost: evil.example\r\n'), 421);
});

test('the host of PUBLIC_URL is answered as well', async () => {
  await using app = await open('https://archiver.example/base');
  assert.equal(await statusOf(app, 'GET /recordings HTTP/1.1\r\nHost: archiver.example\r\n'), 200);
  assert.equal(await statusOf(app, 'GET /recordings HTTP/1.1\r\nHost: other.example\r\n'), 421);
});

test('a webhook without authentication takes nothing from elsewhere either (B3)', async () => {
  const queue = new ListQueue();
  await using app = await start({ webhook: { auth: { required: false, secrets: [], tokens: [] }, queue } });
  const event = '{"recordingId":"r"}';
  const post = (host: string): Promise<string> =>
    exchange(
      app.port,
      `POST /webhooks/genesys HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${String(event.length)}\r\n\r\n${event}`,
    );
  assert.match(await post('evil.example'), / 421 /);
  assert.equal(queue.messages.length, 0);
  assert.match(await post('localhost'), / 202 /);
});

test('where a key is asked for the name does not matter', async () => {
  await using app = await start({ auth: { required: true, keys: [] } });
  assert.equal(await statusOf(app, 'GET /healthz HTTP/1.1\r\nHost: whatever.example\r\n'), 200);
});
