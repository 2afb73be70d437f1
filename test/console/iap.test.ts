/** Identity-Aware Proxy in front: whoever it vouches for is known, and nobody else is, whatever the request says. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { exportJWK, SignJWT, UnsecuredJWT } from 'jose';
import { parseGrants } from '../../src/config/console.ts';
import { html, named } from '../../src/console/html.ts';
import { page } from '../../src/console/visit.ts';
import { IapDoor } from '../../src/console/who/iap.ts';
import { openSmallFetch } from '../../src/outbound.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';

const AUDIENCE = '/projects/123/locations/europe-west3/services/console';
const ours = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const theirs = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

let isDown = false;
let fetches = 0;
const google = createServer((_, response) => {
  fetches += 1;
  if (isDown) return void response.writeHead(503).end();
  void exportJWK(ours.publicKey).then((jwk) =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ keys: [{ ...jwk, alg: 'ES256', use: 'sig', kid: 'k1' }] })),
  );
});

const lines: string[] = [];
let scene: ConsoleScene;

function doorOver(port: number): IapDoor {
  return new IapDoor({
    audience: AUDIENCE,
    grants: parseGrants('listen=@example.com; operate=maya@example.com', assert.fail),
    log: { warn: (message, fields) => lines.push(`${message} ${JSON.stringify(fields)}`) },
    fetch: openSmallFetch(undefined),
    keysUrl: `http://127.0.0.1:${String(port)}/keys`,
  });
}

async function openBehindIap(): Promise<ConsoleScene> {
  const address = google.address();
  assert.ok(address !== null && typeof address === 'object');
  return openConsoleScene({
    options: {
      doorkeeper: doorOver(address.port),
      pages: [
        {
          method: 'GET',
          path: '/home',
          role: 'listen',
          gives: 'page',
          answer: async ({ who }) =>
            page({ title: 'Home', main: html`<h1>${named(who.id)} ${[...who.roles].join()}</h1>` }),
        },
      ],
    },
  });
}

before(async () => {
  google.listen(0, '127.0.0.1');
  await once(google, 'listening');
  scene = await openBehindIap();
});
after(async () => {
  await scene[Symbol.asyncDispose]();
  google.closeAllConnections();
  google.close();
});

interface Made {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly key?: KeyObject;
  readonly header?: { readonly alg: string; readonly kid?: string };
}

async function assertion({
  claims = {},
  key = ours.privateKey,
  header = { alg: 'ES256', kid: 'k1' },
}: Made = {}): Promise<string> {
  const nowS = Math.floor(Date.now() / 1000);
  const usual = {
    iss: 'https://cloud.google.com/iap',
    aud: AUDIENCE,
    sub: 'accounts.google.com:1',
    iat: nowS,
    exp: nowS + 600,
  };
  return new SignJWT({ ...usual, email: 'Maya@example.com', ...claims }).setProtectedHeader(header).sign(key);
}

const HEADER = 'x-goog-iap-jwt-assertion';

test('whoever IAP vouches for is known by their address, with the roles that it has', async () => {
  const answer = await scene.get('/console/home', { [HEADER]: await assertion() });
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /<bdi>maya@example\.com<\/bdi> listen,operate/);
  const other = await scene.get('/console/home', { [HEADER]: await assertion({ claims: { email: 'x@example.com' } }) });
  assert.match(await other.text(), /<bdi>x@example\.com<\/bdi> listen</);
  const stranger = await assertion({ claims: { email: 'maya@example.com.evil.example' } });
  assert.equal((await scene.get('/console/home', { [HEADER]: stranger })).status, 403);
});

test('unsigned headers alone are never believed', async () => {
  for (const headers of [
    {},
    { 'x-goog-authenticated-user-email': 'accounts.google.com:maya@example.com', 'x-goog-authenticated-user-id': '1' },
    { authorization: `Bearer ${await assertion()}` },
    { cookie: `archiver=${await assertion()}` },
  ])
    assert.equal((await scene.get('/console/home', headers)).status, 401);
});

const past = Math.floor(Date.now() / 1000) - 3_600;

for (const [what, make] of [
  ['signed by somebody else', () => assertion({ key: theirs.privateKey })],
  [
    'signed with a key of another name',
    () => assertion({ header: { alg: 'ES256', kid: 'k2' }, key: theirs.privateKey }),
  ],
  ['of another kind of key', () => assertion({ header: { alg: 'RS256', kid: 'k1' }, key: rsa.privateKey })],
  [
    'unsigned',
    async () =>
      new UnsecuredJWT({ email: 'maya@example.com' })
        .setAudience(AUDIENCE)
        .setIssuer('https://cloud.google.com/iap')
        .encode(),
  ],
  ['of another issuer', () => assertion({ claims: { iss: 'https://accounts.google.com' } })],
  ['for another audience', () => assertion({ claims: { aud: '/projects/9/global/backendServices/1' } })],
  ['for several audiences', () => assertion({ claims: { aud: [AUDIENCE, 'x'] } })],
  ['expired', () => assertion({ claims: { iat: past, exp: past + 600 } })],
  ['not valid yet', () => assertion({ claims: { nbf: Math.floor(Date.now() / 1000) + 600 } })],
  ['without an end', () => assertion({ claims: { exp: undefined } })],
  ['without an address', () => assertion({ claims: { email: undefined } })],
  ['with an address that is no text', () => assertion({ claims: { email: ['maya@example.com'] } })],
  [
    'changed by a letter',
    async () => (await assertion()).replace(/\.(.)/, (_, letter: string) => `.${letter === 'e' ? 'f' : 'e'}`),
  ],
  ['no token at all', async () => 'x.y.z'],
] as const)
  test(`an assertion that is ${what} is refused, by a page that sends nobody anywhere`, async () => {
    const answer = await scene.get('/console/home', { [HEADER]: await make() });
    assert.equal(answer.status, 401);
    assert.equal(answer.headers.get('location'), null);
    assert.match(await answer.text(), /has not vouched for this request/);
  });

test('the audience that arrives is named in the log, once Google has signed it', async () => {
  lines.length = 0;
  const forged = await assertion({ claims: { aud: 'a-forged-audience' }, key: theirs.privateKey });
  await scene.get('/console/home', { [HEADER]: forged });
  assert.deepEqual(lines, []);
  await scene.get('/console/home', { [HEADER]: await assertion({ claims: { aud: '/projects/9/services/y' } }) });
  assert.match(lines.join(), /CONSOLE_IAP_AUDIENCE.*\/projects\/9\/services\/y/);
});

test('while Google’s keys cannot be had nobody is told from anybody, and one is in again once they can', async () => {
  await using scene = await openBehindIap();
  isDown = true;
  const answer = await scene.get('/console/home', { [HEADER]: await assertion() });
  isDown = false;
  assert.equal(answer.status, 503);
  assert.match(await answer.text(), /keys could not be fetched/);
  assert.equal((await scene.get('/console/home', { [HEADER]: await assertion() })).status, 200);
});

test('the keys are fetched once, however many ask', async () => {
  await using scene = await openBehindIap();
  const began = fetches;
  const token = await assertion();
  await Promise.all(Array.from({ length: 20 }, () => scene.get('/console/home', { [HEADER]: token })));
  assert.equal(fetches - began, 1);
});

test('a clock that was days ahead when the keys were fetched, and is set right, keeps no key for days', async (t) => {
  await using scene = await openBehindIap();
  const began = fetches;
  const nowMs = Date.now();
  t.mock.timers.enable({ apis: ['Date'], now: nowMs + 3 * 86_400_000 });
  for (const [atMs, fetched] of [
    [nowMs + 3 * 86_400_000, 1],
    [nowMs, 2],
    [nowMs, 2],
  ] as const) {
    t.mock.timers.setTime(atMs);
    assert.equal((await scene.get('/console/home', { [HEADER]: await assertion() })).status, 200);
    assert.equal(fetches - began, fetched);
  }
});
