/** What every page of the console has: its policy, its frame, its refusals, and forms that only it can send. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import type { PageRoute } from '../../src/console/pages.ts';
import { html, named } from '../../src/console/html.ts';
import { data, page, redirect, SENT, tokenField } from '../../src/console/visit.ts';
import { findChromium, launchChromium, openContext } from '../support/browser/browser.ts';
import { openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { errorOf } from '../http/far-ends.ts';

const HOSTILE = '"><script>alert(1)</script>\u202E<b onclick=x>';
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

let sent: URLSearchParams | undefined;

const TRIAL: readonly PageRoute[] = [
  {
    method: 'GET',
    path: '/trial/:word',
    role: 'listen',
    gives: 'page',
    answer: async (visit) =>
      page({
        title: visit.params['word'] ?? '',
        section: 'find',
        main: html`<h1>Trial of ${named(visit.query.get('name') ?? 'nothing')}</h1>
          <form method="post" action="/console/trial">
            ${tokenField(visit)}<label>A word <input class="inp" name="word" value="${HOSTILE}" /></label>
            <button class="btn pri" type="submit">Send</button>
          </form>
          <p><time datetime="2026-11-27T16:58:07Z" data-as="clock">16:58 UTC</time></p>`,
      }),
  },
  {
    method: 'POST',
    path: '/trial',
    role: 'operate',
    gives: 'page',
    answer: async ({ form }) => {
      sent = form;
      return redirect('/console/trial/sent');
    },
  },
  {
    method: 'GET',
    path: '/trial.json',
    role: 'audit',
    gives: 'data',
    answer: async () => data('application/json', '{"a":1}', '"e1"'),
  },
  {
    method: 'GET',
    path: '/trial.webm',
    role: 'listen',
    gives: 'data',
    answer: async ({ res }) => {
      res.setHeader('Content-Type', 'audio/webm').end('bytes');
      return SENT;
    },
  },
  {
    method: 'GET',
    path: '/broken',
    role: undefined,
    gives: 'page',
    answer: () => Promise.reject(new Error('canary-secret broke')),
  },
];

const executable = findChromium();
const IN_CHROMIUM = { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 400_000 };
let browser: Browser | undefined;
let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene({ options: { pages: TRIAL, needsSomeone: () => 3 } });
  if (executable !== undefined) browser = await launchChromium(executable);
});
after(async () => {
  await browser?.close();
  await scene[Symbol.asyncDispose]();
});

test('every page has the whole policy, is stored nowhere, and names nothing but files of ours', async () => {
  const answer = await scene.get(`/console/trial/x?name=${encodeURIComponent(HOSTILE)}`);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-security-policy'), POLICY);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  const text = await answer.text();
  assert.ok(!text.includes('<script>') && !text.includes('<b onclick'), text);
  assert.ok(!/ style=| on[a-z]+=/.test(text.replaceAll(/value="[^"]*"|<bdi>[^<]*/g, '')), text);
  for (const [, address = ''] of text.matchAll(/(?:src|href|action)="([^"]*)"/g))
    assert.match(address, /^(#content|\/console\/.*|\/console\/)$/);
});

test('scripts and style lie under their hash, immutable and compressed, and under no other', async () => {
  const text = await (await scene.get('/console/trial/x')).text();
  const addresses = [...text.matchAll(/"(\/console\/assets\/[^"]+)"/g)].flatMap(([, address = '']) => address);
  assert.deepEqual(addresses.map((address) => address.replace(/.*\//, '')).toSorted(), [
    'console.css',
    'frame.js',
    'icon.svg',
  ]);
  for (const address of addresses) {
    const answer = await scene.get(address, { 'accept-encoding': 'gzip' });
    assert.equal(answer.status, 200, address);
    assert.equal(answer.headers.get('cache-control'), 'public, max-age=31536000, immutable');
    assert.equal(answer.headers.get('content-encoding'), 'gzip');
    assert.equal((await scene.get(address.replace(/assets\/[^/]+/, 'assets/0000000000000000'))).status, 404);
  }
  for (const name of ['tsconfig.json', '.made-of', '..%2f..%2fconsole.ts', 'frame.ts'])
    assert.equal((await scene.get(`/console/assets/${addresses[0]?.split('/')[3] ?? ''}/${name}`)).status, 404, name);
});

test('the style is at most 8 kB and all scripts at most 20 kB on the wire', () => {
  const folder = join(import.meta.dirname, '../../dist/console/browser');
  const zipped = (ending: string): number =>
    readdirSync(folder)
      .filter((name) => name.endsWith(ending))
      .reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name)), { level: 9 }).length, 0);
  assert.ok(zipped('.css') <= 8_000, String(zipped('.css')));
  assert.ok(zipped('.js') > 0 && zipped('.js') <= 20_000, String(zipped('.js')));
});

test('whoever has not signed in goes there and comes back; programs and players are told', async () => {
  await using closed = await openConsoleScene({ options: { pages: TRIAL } });
  closed.who = undefined;
  const answer = await closed.get('/console/trial/x?name=a%26b');
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get('location'), '/console/sign-in?to=%2Fconsole%2Ftrial%2Fx%3Fname%3Da%2526b');
  assert.equal(await answer.text(), '');
  assert.equal((await errorOf(await closed.get('/console/trial.json'))).status, 401);
});

test('a role that is missing is named, with who gives it', async () => {
  await using scene = await openConsoleScene({ options: { pages: TRIAL } });
  scene.who = { ...EVERYBODY, roles: new Set(['listen', 'numbers', 'operate', 'hold', 'erase']) };
  const { status, message } = await errorOf(await scene.get('/console/trial.json'));
  assert.equal(status, 403);
  assert.match(message, /role "audit".*CONSOLE_ROLES/);
  scene.who = { ...EVERYBODY, roles: new Set(['audit', 'hold', 'erase', 'operate', 'numbers']) };
  const refused = await scene.get('/console/trial/x');
  assert.equal(refused.status, 403);
  const text = await refused.text();
  assert.match(text, /role &quot;listen&quot;/);
  assert.match(text, />Audit</);
  assert.doesNotMatch(text, />Find</);
});

test('what broke is a page with a sentence and the request’s id, and its reason only in the log', async () => {
  const answer = await scene.get('/console/broken', { 'x-request-id': 'request-7' });
  assert.equal(answer.status, 500);
  assert.equal(answer.headers.get('content-security-policy'), POLICY);
  const text = await answer.text();
  assert.match(text, /request-7/);
  assert.doesNotMatch(text, /canary/);
  assert.ok(scene.lines.some((line) => line.includes('request-7') && line.includes('canary-secret broke')));
});

test('what is not there is a page that says so', async () => {
  const answer = await scene.get('/console/nowhere');
  assert.equal(answer.status, 404);
  assert.match(await answer.text(), /There is no such page/);
});

test('a form changes something once it comes from a page of ours with the token made for who sends it', async () => {
  const answer = await scene.post('/console/trial', { word: 'a & b' }, '/console/trial/x');
  assert.equal(answer.status, 303);
  assert.equal(answer.headers.get('location'), '/console/trial/sent');
  assert.equal(sent?.get('word'), 'a & b');
});

const TOKEN = /name="token" value="([^"]+)"/;

for (const [how, headers] of [
  ['another site', { 'sec-fetch-site': 'cross-site' }],
  ['another host of the same site', { 'sec-fetch-site': 'same-site' }],
  ['the address bar', { 'sec-fetch-site': 'none' }],
  ['another origin, by an old browser', { origin: 'https://evil.example' }],
  ['a sandboxed page', { origin: 'null' }],
  ['nowhere', {}],
] as const)
  test(`a form from ${how} changes nothing, whatever token it has`, async () => {
    sent = undefined;
    const [, token = ''] = TOKEN.exec(await (await scene.get('/console/trial/x')).text()) ?? [];
    const body = new URLSearchParams({ token, word: 'x' });
    const answer = await fetch(`${scene.url}/console/trial`, { method: 'POST', headers, body, redirect: 'manual' });
    assert.equal(answer.status, 403);
    assert.equal(sent, undefined);
  });

test('without a token, with somebody else’s or with a changed one a form changes nothing', async () => {
  await using scene = await openConsoleScene({ options: { pages: TRIAL } });
  scene.who = { ...EVERYBODY, id: 'somebody.else@example.com' };
  const [, others = ''] = TOKEN.exec(await (await scene.get('/console/trial/x')).text()) ?? [];
  scene.who = EVERYBODY;
  const [, own = ''] = TOKEN.exec(await (await scene.get('/console/trial/x')).text()) ?? [];
  const changed = own.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')).replace(/^./, (f) => (f === 'A' ? 'B' : 'A'));
  sent = undefined;
  for (const token of ['', others, changed, own.split('.')[0] ?? '', '.'])
    assert.equal((await scene.post('/console/trial', { token })).status, 403, token);
  assert.equal(sent, undefined);
  assert.notEqual(own, others);
});

test('the token is another one at each visit, so that compression tells nothing of it', async () => {
  const tokens = await Promise.all(
    [1, 2, 3].map(async () => TOKEN.exec(await (await scene.get('/console/trial/x')).text())?.[1]),
  );
  assert.equal(new Set(tokens).size, 3);
});

test('a form of 65 kB is refused before it is read, and what is no form as well', async () => {
  const post = (body: string, type: string): Promise<Response> =>
    fetch(`${scene.url}/console/trial`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'same-origin', 'content-type': type },
      body,
    });
  assert.equal((await post('x'.repeat(66_000), 'application/x-www-form-urlencoded')).status, 413);
  assert.equal((await post('{}', 'application/json')).status, 415);
  assert.equal((await post('token=x', 'text/plain')).status, 415);
});

test('data that has not changed is not sent again, and pages are compressed for who takes that', async () => {
  const first = await scene.get('/console/trial.json');
  assert.equal(first.headers.get('etag'), '"e1"');
  assert.equal((await scene.get('/console/trial.json', { 'if-none-match': '"e1"' })).status, 304);
  assert.equal(await (await scene.get('/console/trial.webm')).text(), 'bytes');
  const plain = await scene.get('/console/trial/x', { 'accept-encoding': 'identity' });
  assert.equal(plain.headers.get('content-encoding'), null);
  const raw = await scene.get('/console/trial/x', { 'accept-encoding': 'gzip;q=0, *;q=0' });
  assert.equal(raw.headers.get('content-encoding'), null);
  const zipped = await scene.get('/console/trial/x', { 'accept-encoding': 'gzip' });
  assert.equal(zipped.headers.get('content-encoding'), 'gzip');
  assert.ok((await zipped.text()).startsWith('<!doctype html>'));
  assert.ok(gunzipSync(gzipSync('x')).length === 1);
});

for (const view of VIEWS)
  test(
    `the frame and a refusal, ${view.theme}, ${String(view.width)} px: nothing axe, policy or browser complains of`,
    IN_CHROMIUM,
    async () => {
      assert.ok(browser !== undefined);
      await using opened = await openView(browser, view);
      await opened.page.goto(`${scene.url}/console/trial/x?name=${encodeURIComponent(HOSTILE)}`);
      assert.deepEqual(await opened.problems(), []);
      await opened.page.locator('.me summary').click();
      assert.deepEqual(await opened.problems(), []);
      await picture(opened.page, `frame-${view.theme}-${String(view.width)}`);
      await opened.page.keyboard.press('Escape');
      assert.equal(await opened.page.locator('.menu').isVisible(), false);
      await opened.page.goto(`${scene.url}/console/nowhere`);
      const problems = (await opened.problems()).filter((problem) => !problem.includes('status of 404'));
      assert.deepEqual(problems, []);
      await picture(opened.page, `refusal-${view.theme}-${String(view.width)}`);
    },
  );

test(
  'the switch turns the theme, the next page has it at once, and times are the reader’s own',
  IN_CHROMIUM,
  async () => {
    assert.ok(browser !== undefined);
    await using opened = await openView(browser, { theme: 'light', width: 1440 });
    const { page } = opened;
    const background = (): Promise<string> => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    await page.goto(`${scene.url}/console/trial/x`);
    const light = await background();
    await page.getByRole('button', { name: 'Switch between light and dark' }).click();
    const dark = await background();
    assert.notEqual(dark, light);
    await page.goto(`${scene.url}/console/trial/y`);
    assert.equal(await background(), dark);
    assert.match(await page.content(), /<html lang="en" [^>]*data-theme="dark"/);
    const time = page.locator('time');
    assert.equal(await time.textContent(), '17:58');
    assert.equal(await time.getAttribute('title'), '2026-11-27 16:58:07 UTC');
    assert.deepEqual(opened.complaints, []);
  },
);

test(
  'without scripts the frame is whole: the menu opens, and no switch is shown that would do nothing',
  IN_CHROMIUM,
  async () => {
    assert.ok(browser !== undefined);
    const context = await openContext(browser, { javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(`${scene.url}/console/trial/x`);
    assert.equal(await page.locator('#theme').isVisible(), false);
    await page.locator('.me summary').click();
    assert.equal(await page.locator('.menu').isVisible(), true);
    await context.close();
  },
);
