/** Signing in by an identity provider: the answer has to be to what this browser asked, signed by the provider, and new. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { html, named } from '../../src/console/html.ts';
import { page } from '../../src/console/visit.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';
import { Jar } from '../support/console/jar.ts';
import { type Provider, startProvider } from '../support/console/provider.ts';

let provider: Provider;
let scene: ConsoleScene;

const openWith = (
  roles = 'listen=@example.com; operate=group:platform; audit=group:auditors; erase=sub:user-1',
): Promise<ConsoleScene> =>
  openConsoleScene({
    env: {
      CONSOLE_AUTH: 'oidc',
      CONSOLE_OIDC_ISSUER: provider.issuer,
      CONSOLE_OIDC_CLIENT_ID: 'console',
      CONSOLE_OIDC_CLIENT_SECRET: 'canary-oidc-secret',
      CONSOLE_ROLES: roles,
      TRUSTED_PROXIES: '1',
    },
    options: {
      pages: [
        {
          method: 'GET',
          path: '/home',
          role: undefined,
          gives: 'page',
          answer: async ({ who }) =>
            page({
              title: 'Home',
              main: html`<h1>${named(who.id)}: ${[...who.roles].toSorted((a, b) => (a < b ? -1 : 1)).join()}</h1>`,
            }),
        },
      ],
    },
  });

before(async () => {
  provider = await startProvider();
  scene = await openWith();
});
after(async () => {
  await scene[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

/** Asks for a page, and is sent to the provider: where to, with the cookie that remembers it. */
async function leave(jar: Jar, at = scene): Promise<string> {
  const asked = await at.get('/console/home?x=1', jar.headers);
  const between = await at.get(asked.headers.get('location') ?? '', jar.headers);
  const [, onward = ''] = /<a [^>]*href="([^"]+)" data-leave=/.exec(await between.text()) ?? [];
  const answer = jar.take(await at.get(onward, jar.headers));
  assert.equal(answer.status, 303);
  return answer.headers.get('location') ?? '';
}

async function comeBack(address: string, jar: Jar, at = scene): Promise<Response> {
  const { pathname, search } = new URL(address);
  return jar.take(await at.get(pathname + search, jar.headers));
}

test('one is sent to the provider with PKCE, state and nonce, and comes back to the page one wanted', async () => {
  const jar = new Jar();
  const location = await leave(jar);
  assert.ok(location.startsWith(`${provider.issuer}/authorize?`));
  const answer = await comeBack(provider.agree(location), jar);
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get('location'), '/console/home?x=1');
  const [asked] = provider.asked.slice(-1);
  assert.equal(asked?.method, 'S256');
  assert.ok((asked.challenge.length ?? 0) >= 43 && (asked.state.length ?? 0) >= 32 && (asked.nonce.length ?? 0) >= 32);
  const home = await scene.get('/console/home', jar.headers);
  assert.match(await home.text(), /<h1><bdi>maya\.okoro@example\.com<\/bdi>: listen<\/h1>/);
  assert.equal(jar.get('archiver-sign-in'), undefined);
  assert.ok(!scene.lines.join('\n').includes('canary-'));
});

test('groups give roles, those alone that a role names', async () => {
  provider.claims = { groups: ['platform', 'x'.repeat(5_000), 7] };
  const jar = new Jar();
  await comeBack(provider.agree(await leave(jar)), jar);
  provider.claims = {};
  assert.match(await (await scene.get('/console/home', jar.headers)).text(), /: listen,operate</);
  assert.ok((jar.get('archiver') ?? '').length < 2_000);
});

test('an address that the provider has not verified is none: no domain and no address gives a role by it', async () => {
  for (const claims of [{ email_verified: false }, { email: undefined }]) {
    provider.claims = claims;
    const jar = new Jar();
    await comeBack(provider.agree(await leave(jar)), jar);
    provider.claims = {};
    assert.match(await (await scene.get('/console/home', jar.headers)).text(), /<bdi>sub:user-1<\/bdi>: erase</);
  }
});

async function refused(answer: Response, jar: Jar): Promise<void> {
  assert.equal(answer.status, 401);
  assert.match(await answer.text(), /Signing in did not work/);
  assert.equal(jar.get('archiver'), undefined);
}

test('answers that are made up are tried at the provider and put on record a few times by an address, which then waits', async () => {
  await using own = await openWith();
  const jar = new Jar();
  const made = new URL(provider.agree(await leave(jar, own)));
  const asked = jar.headers;
  const statuses: number[] = [];
  for (let n = 0; n < 20; n += 1) {
    made.searchParams.set('code', `made-up-${String(n)}`);
    const answer = await own.get(made.pathname + made.search, asked);
    statuses.push(answer.status);
    if (answer.status === 429) assert.ok(Number(answer.headers.get('retry-after')) >= 1);
  }
  assert.deepEqual([statuses.slice(0, 5), [...new Set(statuses.slice(5))]], [[401, 401, 401, 401, 401], [429]]);
  const refusals: string[] = [];
  for await (const { action } of own.audit.read({ from: '2000-01-01', to: '2099-01-01' }, AbortSignal.timeout(60_000)))
    refusals.push(action);
  assert.deepEqual(
    refusals,
    Array.from({ length: 5 }, () => 'refused'),
  );
});

test('a code that was used already opens nothing, by the same browser or another one', async () => {
  const jar = new Jar();
  const back = provider.agree(await leave(jar));
  const before = jar.get('archiver-sign-in') ?? '';
  await comeBack(back, jar);
  const again = new Jar();
  again.set('archiver-sign-in', before);
  await refused(await comeBack(back, again), again);
  const other = new Jar();
  await refused(await comeBack(back, other), other);
});

test('an answer to what another browser asked is refused before the code is spent', async () => {
  const [mine, theirs] = [new Jar(), new Jar()];
  await leave(mine);
  const spent = provider.exchanged.length;
  await refused(await comeBack(provider.agree(await leave(theirs)), mine), mine);
  assert.equal(provider.exchanged.length, spent);
});

for (const [what, change] of [
  ['another state', (url: URL) => url.searchParams.set('state', 'x'.repeat(43))],
  ['no state', (url: URL) => url.searchParams.delete('state')],
  ['two states', (url: URL) => url.searchParams.append('state', url.searchParams.get('state') ?? '')],
  ['another code', (url: URL) => url.searchParams.set('code', 'guessed')],
  ['no code', (url: URL) => url.searchParams.delete('code')],
  ['another issuer', (url: URL) => url.searchParams.set('iss', 'https://evil.example')],
  ['a refusal', (url: URL) => url.searchParams.set('error', 'access_denied')],
  ['a script for a refusal', (url: URL) => url.searchParams.set('error', '<script>alert(1)</script>')],
] as const)
  test(`an answer with ${what} opens nothing`, async () => {
    const jar = new Jar();
    const back = new URL(provider.agree(await leave(jar)));
    change(back);
    await refused(await comeBack(back.href, jar), jar);
  });

for (const [what, lie] of [
  ['signed by somebody else', { isForging: true }],
  ['unsigned', { algorithm: 'none' }],
  ['of another issuer', { claims: { iss: 'https://evil.example' } }],
  ['for another client', { claims: { aud: 'another' } }],
  ['expired', { claims: { exp: 1_700_000_000 } }],
  ['with another nonce', { claims: { nonce: 'x'.repeat(43) } }],
  ['without a nonce', { claims: { nonce: undefined } }],
  ['without a subject', { claims: { sub: undefined } }],
] as const)
  test(`an ID token ${what} opens nothing`, async () => {
    const jar = new Jar();
    const back = provider.agree(await leave(jar));
    Object.assign(provider, lie);
    const answer = await comeBack(back, jar);
    Object.assign(provider, { isForging: false, algorithm: 'RS256', claims: {} });
    await refused(answer, jar);
  });

test('a way back that is too old, or was made with another key, is none', async () => {
  const jar = new Jar();
  const back = provider.agree(await leave(jar));
  const now = scene.now;
  scene.now = new Date(now.getTime() + 601_000);
  const answer = await comeBack(back, jar);
  scene.now = now;
  await refused(answer, jar);
});

test('while the provider is away its absence is a page, and afterwards one signs in', async () => {
  await using fresh = await openWith();
  provider.isDown = true;
  const asked = await fresh.get('/console/sign-in/leave?to=%2Fconsole%2Fhome');
  provider.isDown = false;
  assert.equal(asked.status, 503);
  assert.match(await asked.text(), /CONSOLE_OIDC_ISSUER.*cannot be reached/);
  const jar = new Jar();
  assert.equal((await comeBack(provider.agree(await leave(jar, fresh)), jar, fresh)).status, 303);
});

test('signing in and being refused are on record', async () => {
  await using fresh = await openWith();
  const jar = new Jar();
  await comeBack(provider.agree(await leave(jar, fresh)), jar, fresh);
  provider.isForging = true;
  const other = new Jar();
  await comeBack(provider.agree(await leave(other, fresh)), other, fresh);
  provider.isForging = false;
  const day = new Date().toISOString().slice(0, 10);
  const records: string[] = [];
  for await (const { action, who } of fresh.audit.read({ from: '2000-01-01', to: day }, AbortSignal.timeout(60_000)))
    records.push(`${action} ${who}`);
  assert.deepEqual(records, ['signed-in maya.okoro@example.com', 'refused nobody']);
});

test('signing out ends the session and says what it does not end', async () => {
  const jar = new Jar();
  await comeBack(provider.agree(await leave(jar)), jar);
  const out = await fetch(`${scene.url}/console/sign-out`, {
    method: 'POST',
    redirect: 'manual',
    headers: { ...jar.headers, 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams(),
  });
  jar.take(out);
  assert.equal(jar.get('archiver'), undefined);
  const after = await scene.get(out.headers.get('location') ?? '');
  assert.match(await after.text(), /You are signed out/);
});

const DAY_MS = 86_400_000;

async function signInAt(at: ConsoleScene): Promise<Response> {
  const jar = new Jar();
  return comeBack(provider.agree(await leave(jar, at)), jar, at);
}

test('a clock that was days ahead when the provider’s keys were fetched, and is set right, keeps no key for days', async (t) => {
  await using own = await openWith();
  const nowMs = Date.now();
  t.mock.timers.enable({ apis: ['Date'], now: nowMs + 3 * DAY_MS });
  own.now = new Date();
  assert.equal((await signInAt(own)).headers.get('location'), '/console/home?x=1');
  const before = provider.keysAsked;
  t.mock.timers.setTime(nowMs);
  own.now = new Date();
  assert.equal((await signInAt(own)).headers.get('location'), '/console/home?x=1');
  assert.equal(provider.keysAsked, before + 1);
  assert.equal((await signInAt(own)).headers.get('location'), '/console/home?x=1');
  assert.equal(provider.keysAsked, before + 1);
});

for (const skewMs of [-3 * DAY_MS, 3 * DAY_MS])
  test(`while this machine’s clock is ${String(skewMs / DAY_MS)} days off the page says so, and once it is right one signs in`, async () => {
    await using own = await openWith();
    const nowS = Math.floor(Date.now() / 1000) - skewMs / 1000;
    provider.claims = { iat: nowS, exp: nowS + 300, nbf: nowS };
    const answer = await signInAt(own);
    provider.claims = {};
    assert.equal(answer.status, 401);
    assert.match(await answer.text(), /by the clock of this machine the provider’s answer is of another time/);
    assert.equal((await signInAt(own)).headers.get('location'), '/console/home?x=1');
  });
