/** Signing in with a key: what gets a session, what ends one, and that no guess and no forged cookie does. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { EncryptJWT, SignJWT, UnsecuredJWT } from 'jose';
import type { Page } from 'playwright-core';
import { ConsoleKeys } from '../../src/console/who/console-keys.ts';
import { KeyDoor } from '../../src/console/who/key.ts';
import { Seal } from '../../src/console/who/sealed.ts';
import { Sessions } from '../../src/console/who/session.ts';
import { Slowdown } from '../../src/console/who/slowdown.ts';
import { parseGrants } from '../../src/config/console.ts';
import { html, named } from '../../src/console/html.ts';
import type { PageRoute } from '../../src/console/pages.ts';
import { page, tokenField } from '../../src/console/visit.ts';
import { Witness } from '../../src/http/witness.ts';
import type { Key } from '../../src/key.ts';
import { ListAudit } from '../http/far-ends.ts';
import { chromiumForTests, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';
import { Jar } from '../support/console/jar.ts';

const KEY = 'canary-api-key-of-priya';
const SESSION_KEY = 'canary-session-key-1';
const ENV = { API_KEYS: `priya:${KEY}`, CONSOLE_SESSION_KEYS: SESSION_KEY };

const HOME: readonly PageRoute[] = [
  {
    method: 'GET',
    path: '/home',
    role: 'listen',
    gives: 'page',
    answer: async (visit) =>
      page({
        title: 'Home',
        main: html`<h1>${named(visit.who.id)}</h1>
          <p>${[...visit.who.roles].toSorted((a, b) => (a < b ? -1 : 1)).join(' ')}</p>
          <form>${tokenField(visit)}</form>`,
      }),
  },
  {
    method: 'GET',
    path: '/live',
    role: 'listen',
    gives: 'data',
    answer: async () => ({ kind: 'data', type: 'text/plain', text: 'ok' }),
  },
];

const open = (env: Readonly<Record<string, string>> = ENV): Promise<ConsoleScene> =>
  openConsoleScene({ env, options: { pages: HOME } });

async function signIn(
  scene: ConsoleScene,
  { key = KEY, to = '/console/home', jar = new Jar() }: { key?: string; to?: string; jar?: Jar } = {},
): Promise<{ readonly answer: Response; readonly jar: Jar }> {
  const answer = await fetch(`${scene.url}/console/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams({ key, to }),
  });
  return { answer: jar.take(answer), jar };
}

async function recorded(scene: ConsoleScene): Promise<readonly string[]> {
  const day = new Date().toISOString().slice(0, 10);
  const records: string[] = [];
  const query = { from: '2000-01-01', to: day };
  for await (const { action, way, who } of scene.audit.read(query, AbortSignal.timeout(60_000)))
    records.push(`${action} ${way} ${who}`);
  return records;
}

test('a key opens a session, on record before it begins, that goes on where one wanted to', async () => {
  await using scene = await open();
  const asked = await scene.get('/console/home?x=1');
  assert.equal(asked.status, 303);
  assert.equal(asked.headers.get('location'), '/console/sign-in?to=%2Fconsole%2Fhome%3Fx%3D1');
  const { answer, jar } = await signIn(scene, { to: '/console/home?x=1' });
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get('location'), '/console/home?x=1');
  assert.deepEqual(await recorded(scene), ['signed-in key priya']);
  const home = await scene.get('/console/home', jar.headers);
  assert.equal(home.status, 200);
  assert.match(await home.text(), /<bdi>priya<\/bdi>/);
  assert.match(jar.seen.get('archiver') ?? '', /; Path=\/; HttpOnly; SameSite=Lax; Max-Age=3600$/);
  assert.ok(!scene.lines.join('\n').includes(KEY));
});

test('that roles limit pages, and no program with the same key, is said where they limit who listens', async () => {
  for (const [roles, isSaid] of [
    ['', false],
    ['listen=*; audit=priya', false],
    ['listen=priya', true],
    ['listen:Claims=*', true],
    ['audit=*', true],
  ] as const) {
    await using scene = await open({ ...ENV, CONSOLE_ROLES: roles });
    assert.equal(/CONSOLE_ROLES limits who listens on pages/.test(scene.lines.join('\n')), isSaid, roles);
  }
});

test('by any other name than this machine’s own the cookie is for https and this host alone', async () => {
  await using scene = await open();
  const { hostname, port } = new URL(scene.url);
  const body = new URLSearchParams({ key: KEY, to: '/console/' }).toString();
  const headers = {
    host: 'recordings.example.com',
    'sec-fetch-site': 'same-origin',
    'content-type': 'application/x-www-form-urlencoded',
  };
  const sent = request({ hostname, port, method: 'POST', path: '/console/sign-in', headers }).end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.resume();
  const answer = String(response.headers['set-cookie']);
  assert.match(answer, /^__Host-archiver=[^;]+; Path=\/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600$/);
});

for (const [what, to] of [
  ['another site', 'https://evil.example/console/'],
  ['another site by two slashes', '//evil.example/console/'],
  ['another site by a backslash', '/\\evil.example/console/'],
  ['a script', 'javascript:alert(1)'],
  ['a route that is none of the console', '/recordings'],
  ['a way out of it', '/console/../recordings'],
  ['signing out', '/console/sign-out'],
  ['nothing', ''],
] as const)
  test(`after signing in nobody is sent to ${what}`, async () => {
    await using scene = await open();
    const { answer } = await signIn(scene, { to });
    assert.equal(answer.headers.get('location'), '/console/');
  });

test('a wrong, an ended and an empty key open nothing, and are on record', async () => {
  await using scene = await open({ ...ENV, API_KEYS: `priya:${KEY},old:canary-ended-key-1:2020-01-01` });
  for (const key of ['canary-wrong-key', '', KEY.slice(0, -1), `${KEY}x`, KEY.toUpperCase()]) {
    const { answer, jar } = await signIn(scene, { key });
    assert.ok(answer.status === 401 || answer.status === 429, String(answer.status));
    assert.equal(jar.get('archiver'), undefined);
  }
  assert.deepEqual(new Set(await recorded(scene)), new Set(['refused key nobody']));
  await using fresh = await open({ ...ENV, API_KEYS: `priya:${KEY},old:canary-ended-key-1:2020-01-01` });
  const { answer } = await signIn(fresh, { key: 'canary-ended-key-1' });
  assert.equal(answer.status, 401);
  assert.match(await answer.text(), /good until 2020-01-01/);
});

test('after five wrong keys an address waits, even with the right one, and only that address', () => {
  let now = 0;
  const slowdown = new Slowdown(() => now);
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    assert.equal(slowdown.waitMs('a'), 0, String(attempt));
    slowdown.failed('a');
  }
  assert.equal(slowdown.waitMs('a'), 2_000);
  assert.equal(slowdown.waitMs('b'), 0);
  now = 2_000;
  assert.equal(slowdown.waitMs('a'), 0);
  slowdown.failed('a');
  assert.equal(slowdown.waitMs('a'), 4_000);
  for (let more = 0; more < 50; more += 1) slowdown.failed('a');
  assert.equal(slowdown.waitMs('a'), 60_000);
  now += 900_000;
  assert.equal(slowdown.waitMs('a'), 0);
  for (let address = 0; address < 10_500; address += 1) slowdown.failed(String(address));
  for (let attempt = 0; attempt < 6; attempt += 1) slowdown.failed('x');
  assert.ok(slowdown.waitMs('x') > 0);
  slowdown.succeeded('x');
  assert.equal(slowdown.waitMs('x'), 0);
});

test('whoever waits is told for how long, and a right key opens nothing meanwhile', async () => {
  let now = 0;
  await using rig = await rigged(new Slowdown(() => now));
  for (let attempt = 0; attempt < 5; attempt += 1)
    assert.equal((await signIn(rig.scene, { key: 'canary-wrong' })).answer.status, 401);
  const { answer, jar } = await signIn(rig.scene);
  assert.equal(answer.status, 429);
  assert.equal(answer.headers.get('retry-after'), '2');
  assert.match(await answer.text(), /wait 2 seconds/);
  assert.equal(jar.get('archiver'), undefined);
  now = 2_000;
  assert.equal((await signIn(rig.scene)).answer.status, 303);
});

test('a session lasts an hour without a deed and eight with, and a page that looks by itself is none', async () => {
  await using scene = await open();
  const began = scene.now.getTime();
  const { jar } = await signIn(scene);
  const at = async (minutes: number, path = '/console/home'): Promise<number> => {
    scene.now = new Date(began + minutes * 60_000);
    return jar.take(await scene.get(path, jar.headers)).status;
  };
  assert.equal(await at(50), 200);
  assert.equal(await at(100, '/console/live'), 200);
  assert.equal(await at(109, '/console/live'), 200);
  assert.equal(await at(111, '/console/live'), 401);
  assert.equal(await at(109), 200);
  for (let minutes = 150; minutes < 480; minutes += 40) assert.equal(await at(minutes), 200, String(minutes));
  assert.equal(await at(481), 303);
});

test('a clock that is set back signs nobody out, and one that is set on ends what is too old', async () => {
  await using scene = await open();
  const began = scene.now.getTime();
  const { jar } = await signIn(scene);
  scene.now = new Date(began - 3 * 3_600_000);
  assert.equal((await scene.get('/console/live', jar.headers)).status, 200);
  jar.take(await scene.get('/console/home', jar.headers));
  assert.equal((await scene.get('/console/live', jar.headers)).status, 200);
  assert.equal((await scene.get('/console/live', jar.headers)).status, 200);
  scene.now = new Date(began + 400 * 86_400_000);
  assert.equal((await scene.get('/console/live', jar.headers)).status, 401);
});

const CLAIMS = {
  id: 'priya',
  way: 'key',
  isAddress: false,
  groups: [],
  signedInAtS: Math.floor(Date.now() / 1000),
  usedAtS: Math.floor(Date.now() / 1000),
};

async function sealedBy(secret: string, audience = 'session', facts: object = CLAIMS): Promise<string> {
  const [key = Buffer.alloc(0)] = new ConsoleKeys(() => [{ name: 'k', secret, lastDay: undefined }]).sessions;
  return new EncryptJWT({ ...facts })
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('1h')
    .encrypt(key);
}

test('no cookie but one of ours opens anything', async () => {
  await using scene = await open();
  const { jar } = await signIn(scene);
  const own = jar.get('archiver') ?? assert.fail('no session');
  const [head = '', , iv = '', body = '', tag = ''] = own.split('.');
  const weak = Buffer.from('{"alg":"none"}').toString('base64url');
  const forged = {
    'another key': await sealedBy('canary-session-key-of-somebody'),
    'another purpose': await sealedBy(SESSION_KEY, 'sign-in'),
    'no key mark': await sealedBy(SESSION_KEY),
    'no facts': await sealedBy(SESSION_KEY, 'session', {}),
    unsigned: new UnsecuredJWT({ ...CLAIMS }).setAudience('session').encode(),
    'signed, not sealed': await new SignJWT({ ...CLAIMS })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(SESSION_KEY)),
    'a bit of its body': [head, '', iv, flipped(body), tag].join('.'),
    'a bit of its tag': [head, '', iv, body, flipped(tag)].join('.'),
    'another head': [weak, '', iv, body, tag].join('.'),
    'cut off': own.slice(0, -10),
    nothing: '',
    garbage: 'x'.repeat(4_000),
  };
  for (const [what, value] of Object.entries(forged))
    assert.equal((await scene.get('/console/live', { cookie: `archiver=${value}` })).status, 401, what);
  assert.equal((await scene.get('/console/live', { cookie: `__Host-archiver=${own}` })).status, 401, 'another name');
  assert.equal((await scene.get('/console/live', jar.headers)).status, 200);
});

function flipped(text: string): string {
  return (text.startsWith('A') ? 'B' : 'A') + text.slice(1);
}

interface Rig {
  keys: readonly Key[];
  sessionKeys: readonly Key[];
  grants: string;
  readonly scene: ConsoleScene;
}

/** A door whose keys and grants change while it stands, as they do where they come from files. */
async function rigged(slowdown = new Slowdown()): Promise<Rig & AsyncDisposable> {
  const state = { keys: keyOf('priya', KEY), sessionKeys: keyOf('a', SESSION_KEY), grants: 'listen=priya' };
  const sessions = new Sessions(new Seal(new ConsoleKeys(() => state.sessionKeys), () => new Date()), () => new Date());
  const doorkeeper = new KeyDoor({
    keys: () => state.keys,
    get grants() {
      return parseGrants(state.grants, assert.fail);
    },
    sessions,
    witness: new Witness(new ListAudit(), { proxies: 0 }),
    publicUrl: undefined,
    proxies: 0,
    slowdown,
    now: () => new Date(),
  });
  const scene = await openConsoleScene({ options: { pages: HOME, doorkeeper } });
  return Object.assign(state, { scene, [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() });
}

function keyOf(name: string, secret: string): readonly Key[] {
  return [{ name, secret, lastDay: undefined }];
}

test('sessions are sealed by a key that outlives them, where there is one, and opened by all', () => {
  const key = (name: string, lastDay?: string): Key => ({ name, secret: `canary-session-key-${name}`, lastDay });
  const [ends, lasts] = [key('ends', '2027-01-01'), key('lasts')];
  const alone = new ConsoleKeys(() => [lasts]).sessions[0] ?? assert.fail();
  const isSealedByIt = (moment: string): boolean => {
    const { sessions } = new ConsoleKeys(
      () => [ends, lasts],
      () => Date.parse(moment),
    );
    assert.equal(sessions.length, 2);
    return sessions[0]?.equals(alone) === true;
  };
  assert.deepEqual(['2027-01-01T16:00:00Z', '2027-01-01T16:00:01Z'].map(isSealedByIt), [false, true]);
});

test('a session ends with the key it was opened by, also where another one takes its name', async () => {
  await using rig = await rigged();
  const { jar } = await signIn(rig.scene);
  const status = async (): Promise<number> => (await rig.scene.get('/console/live', jar.headers)).status;
  assert.equal(await status(), 200);
  rig.keys = [...keyOf('other', 'canary-other-key-1'), ...keyOf('priya', KEY)];
  assert.equal(await status(), 200);
  rig.keys = keyOf('priya', 'canary-new-key-of-priya');
  assert.equal(await status(), 401);
  rig.keys = [{ name: 'priya', secret: KEY, lastDay: '2020-01-01' }];
  assert.equal(await status(), 401);
});

test('why a session ended before its time is said where one signs in again, and to nobody else', async () => {
  await using rig = await rigged();
  const { jar } = await signIn(rig.scene);
  const said = async (headers: Readonly<Record<string, string>>): Promise<string | undefined> => {
    const home = await rig.scene.get('/console/home', headers);
    if (home.status === 200) return undefined;
    const signIn = await rig.scene.get(home.headers.get('location') ?? '', headers);
    assert.equal(signIn.status, 200);
    const [, words] = /You are signed out\.<\/b> ([^<]+)</.exec(await signIn.text()) ?? [];
    return words ?? 'nothing';
  };
  assert.equal(await said(jar.headers), undefined);
  rig.keys = keyOf('priya', 'canary-new-key-of-priya');
  assert.equal(await said(jar.headers), 'The key that you signed in with was taken away: sign in with another one.');
  assert.equal(await said({}), 'nothing');
  assert.equal(await said({ cookie: 'archiver=made-up' }), 'nothing');
  rig.keys = [{ name: 'priya', secret: KEY, lastDay: '2020-01-01' }];
  assert.match((await said(jar.headers)) ?? '', /good until 2020-01-01 \(UTC\): sign in with another one/);
  const good = { name: 'again', secret: KEY, lastDay: '2999-01-01' };
  rig.keys = [...rig.keys, good];
  assert.equal(await said(jar.headers), undefined, 'the same secret is good under another name');
});

test('sessions outlive a new session key in front of theirs, and end when theirs is taken away', async () => {
  await using rig = await rigged();
  const { jar } = await signIn(rig.scene);
  const status = async (): Promise<number> => (await rig.scene.get('/console/live', jar.headers)).status;
  rig.sessionKeys = [...keyOf('b', 'canary-session-key-2'), ...keyOf('a', SESSION_KEY)];
  assert.equal(await status(), 200);
  rig.sessionKeys = keyOf('b', 'canary-session-key-2');
  assert.equal(await status(), 401);
});

test('a role that is taken away is gone with the next request', async () => {
  await using rig = await rigged();
  const { jar } = await signIn(rig.scene);
  assert.equal((await rig.scene.get('/console/home', jar.headers)).status, 200);
  rig.grants = 'listen=somebody.else; operate=priya';
  const refused = await rig.scene.get('/console/home', jar.headers);
  assert.equal(refused.status, 403);
  assert.match(await refused.text(), /<bdi>priya<\/bdi>/);
});

test('nobody gets a session that is not on record', async () => {
  const audit = new ListAudit();
  audit.before = () => Promise.reject(new Error('the disk is full'));
  const sessions = new Sessions(new Seal(new ConsoleKeys(() => []), () => new Date()), () => new Date());
  const witness = new Witness(audit, { proxies: 0 });
  const door = new KeyDoor({
    keys: () => keyOf('p', KEY),
    grants: [],
    sessions,
    witness,
    publicUrl: undefined,
    proxies: 0,
    now: () => new Date(),
  });
  await using scene = await openConsoleScene({ options: { pages: HOME, doorkeeper: door } });
  const { answer, jar } = await signIn(scene);
  assert.equal(answer.status, 500);
  assert.equal(jar.get('archiver'), undefined);
});

test('a form elsewhere signs nobody in or out', async () => {
  await using scene = await open();
  for (const path of ['sign-in', 'sign-out']) {
    const answer = await fetch(`${scene.url}/console/${path}`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'sec-fetch-site': 'cross-site' },
      body: new URLSearchParams({ key: KEY }),
    });
    assert.equal(answer.status, 403, path);
    assert.deepEqual(answer.headers.getSetCookie(), []);
  }
});

const chromium = chromiumForTests();

/** A browser gives the field its focus some time after the page has loaded; what is typed before goes nowhere. */
const focused = (page: Page): Promise<void> => page.locator('input[name=key]:focus').waitFor();

for (const view of VIEWS)
  test(
    `signing in, ${view.theme}, ${String(view.width)} px: nothing axe, policy or browser complains of`,
    chromium.options,
    async () => {
      await using scene = await open();
      await using opened = await openView(chromium.browser(), view);
      await opened.page.goto(`${scene.url}/console/home`);
      assert.deepEqual(await opened.problems(), []);
      await picture(opened.page, `sign-in-${view.theme}-${String(view.width)}`);
      await focused(opened.page);
      await opened.page.keyboard.type('canary-wrong-key');
      await opened.page.keyboard.press('Enter');
      await opened.page.getByRole('alert').waitFor();
      assert.deepEqual(
        (await opened.problems()).filter((problem) => !problem.includes('status of 401')),
        [],
      );
      await picture(opened.page, `sign-in-wrong-${view.theme}-${String(view.width)}`);
    },
  );

test(
  'by keyboard alone: typed, entered, in; and out again through the menu, after which going back shows nothing',
  chromium.options,
  async () => {
    await using scene = await open();
    await using opened = await openView(chromium.browser(), { theme: 'light', width: 1440 });
    const { page } = opened;
    await page.goto(`${scene.url}/console/home?x=1`);
    await focused(page);
    await page.keyboard.type(KEY);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${scene.url}/console/home?x=1`);
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'priya');
    await page.locator('.me summary').focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${scene.url}/console/sign-in`);
    await page.goto(`${scene.url}/console/home`);
    assert.match(page.url(), /\/console\/sign-in\?to=/);
    assert.deepEqual(opened.complaints, []);
  },
);
