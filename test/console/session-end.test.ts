/** A session that is about to end, in real Chromium: said in time, put off by one key, and what nothing puts off is said as well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { parseGrants } from '../../src/config/console.ts';
import { ConsoleKeys } from '../../src/console/who/console-keys.ts';
import { KeyDoor } from '../../src/console/who/key.ts';
import { Seal } from '../../src/console/who/sealed.ts';
import { Sessions } from '../../src/console/who/session.ts';
import { Witness } from '../../src/http/witness.ts';
import type { Key } from '../../src/key.ts';
import { ListAudit } from '../http/far-ends.ts';
import { addCall } from '../support/console/calls.ts';
import {
  chromiumForTests,
  DESK,
  namelessControls,
  type Opened,
  openOwnView,
  picture,
  VIEWS,
} from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene, type SceneOptions } from '../support/console/console.ts';

const { options, browser } = chromiumForTests();
const KEY = 'canary-console-key-1';
const OTHER_KEY = 'canary-console-key-2';
const HERE = '/console/recordings/c1/r1';
const MINUTE_MS = 60_000;

async function sceneWithCall(options: SceneOptions = { env: { API_KEYS: `priya:${KEY}` } }): Promise<ConsoleScene> {
  const scene = await openConsoleScene(options);
  await addCall(scene.archive, { conversationId: 'c1', recordingId: 'r1' }, { agent: 'Ines Carvalho', seconds: 20 });
  return scene;
}

/** Signed in, on a page whose clocks go on when they are told to. */
async function signedIn(scene: ConsoleScene, { page }: Opened): Promise<void> {
  await page.goto(`${scene.url}${HERE}`);
  // A browser gives it the focus some time after the page has loaded; what is typed before goes nowhere.
  const focused = page.locator('input[name=key]:focus');
  await focused.waitFor();
  await page.getByLabel('API key').fill(KEY);
  await page.clock.install();
  await focused.waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL(`${scene.url}${HERE}`);
}

/** For the service and for the page. */
async function pass(minutes: number, scene: ConsoleScene, page: Page): Promise<void> {
  scene.now = new Date(scene.now.getTime() + minutes * MINUTE_MS);
  await page.clock.fastForward(minutes * MINUTE_MS);
}

const warning = (page: Page) => page.getByRole('alertdialog', { name: 'You will be signed out' });
const signedOut = (page: Page) => page.getByRole('dialog', { name: 'You are signed out' });

async function endOf(page: Page): Promise<unknown> {
  return page.evaluate("fetch('/console/who.json').then((answer) => answer.json()).then(({ ends }) => ends)");
}

for (const view of VIEWS)
  test(
    `five minutes before, ${view.theme}, ${String(view.width)} px: Enter stays, and the focus is where it was`,
    options,
    async () => {
      await using scene = await sceneWithCall();
      await using opened = await openOwnView(browser(), view);
      const { page } = opened;
      await signedIn(scene, opened);
      const play = page.getByRole('button', { name: 'Play', exact: true });
      await play.focus();
      const before = await endOf(page);
      await pass(56, scene, page);
      await warning(page).waitFor();
      assert.match((await warning(page).textContent()) ?? '', /In 4 minutes: nothing was done here/);
      assert.equal(await page.evaluate('document.activeElement.textContent'), 'Stay signed in');
      assert.deepEqual(await opened.problems(), []);
      assert.deepEqual(await namelessControls(page), []);
      await picture(page, `session-end-${view.theme}-${String(view.width)}`);
      await page.keyboard.press('Enter');
      await warning(page).waitFor({ state: 'detached' });
      assert.equal(await page.evaluate("document.activeElement.getAttribute('aria-label')"), 'Play');
      assert.notEqual(await endOf(page), before);
      await pass(50, scene, page);
      assert.equal((await page.request.get(`${scene.url}/console/who.json`)).status(), 200);
      assert.equal(await warning(page).count(), 0);
      await pass(6, scene, page);
      await warning(page).waitFor();
    },
  );

test('by mouse as well; “Not now” is heeded, and the end is said when it comes', options, async () => {
  await using scene = await sceneWithCall();
  await using opened = await openOwnView(browser(), DESK);
  const { page } = opened;
  await signedIn(scene, opened);
  await pass(56, scene, page);
  await warning(page).getByRole('button', { name: 'Stay signed in' }).click();
  await warning(page).waitFor({ state: 'detached' });
  await pass(56, scene, page);
  await warning(page).getByRole('button', { name: 'Not now' }).click();
  await warning(page).waitFor({ state: 'detached' });
  await pass(5, scene, page);
  await signedOut(page).waitFor();
  assert.equal(await warning(page).count(), 0);
  assert.equal(page.url(), `${scene.url}${HERE}`);
});

test('what is done in another tab puts it off here, before and after it was said', options, async () => {
  await using scene = await sceneWithCall();
  await using opened = await openOwnView(browser(), DESK);
  const { page } = opened;
  await signedIn(scene, opened);
  await pass(30, scene, page);
  await page.request.get(`${scene.url}/console/find`);
  const told = page.waitForResponse('**/who.json');
  await pass(26, scene, page);
  await told;
  assert.equal(await warning(page).count(), 0);
  await pass(30, scene, page);
  await warning(page).waitFor();
  await page.request.get(`${scene.url}/console/find`);
  await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
  await warning(page).waitFor({ state: 'detached' });
});

test('eight hours end whatever is done: one signs in again in another tab, and this one stays', options, async () => {
  await using scene = await sceneWithCall();
  await using opened = await openOwnView(browser(), DESK);
  const { page, context } = opened;
  await signedIn(scene, opened);
  for (let minutes = 0; minutes < 475; minutes += 25) {
    scene.now = new Date(scene.now.getTime() + 25 * MINUTE_MS);
    assert.equal((await page.request.get(`${scene.url}/console/find`)).status(), 200);
  }
  await page.goto(`${scene.url}${HERE}`);
  await pass(1, scene, page);
  await warning(page).waitFor();
  assert.match((await warning(page).textContent()) ?? '', /ends after eight hours, whatever is done/);
  assert.deepEqual(await opened.problems(), []);
  await picture(page, 'session-end-final');
  const [other] = await Promise.all([context.waitForEvent('page'), page.keyboard.press('Enter')]);
  await other.getByLabel('API key').fill(KEY);
  await other.keyboard.press('Enter');
  await other.waitForURL(`${scene.url}${HERE}`);
  await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
  await warning(page).waitFor({ state: 'detached' });
});

/** A key that ends at midnight, and half an hour of its last day. */
async function sceneOfLastDay(): Promise<ConsoleScene> {
  const scene = await sceneWithCall({ env: { API_KEYS: `priya:${KEY}:2031-03-30,ruth:${OTHER_KEY}` } });
  scene.now = new Date('2031-03-30T23:20:00Z');
  return scene;
}

for (const view of VIEWS)
  test(
    `a key that ends at midnight, ${view.theme}, ${String(view.width)} px: said in time, and another one goes on`,
    options,
    async () => {
      await using scene = await sceneOfLastDay();
      await using opened = await openOwnView(browser(), view);
      const { page, context } = opened;
      await signedIn(scene, opened);
      assert.equal(await endOf(page), '2031-03-31T00:00:00.000Z');
      await pass(36, scene, page);
      await warning(page).waitFor();
      const words = (await warning(page).textContent()) ?? '';
      assert.match(words, /In 4 minutes: the key that you signed in with is good until then/);
      assert.match(words, /Sign in with another key/);
      assert.equal(await warning(page).getByRole('button', { name: 'Stay signed in' }).count(), 0);
      assert.deepEqual(await opened.problems(), []);
      assert.deepEqual(await namelessControls(page), []);
      await picture(page, `session-end-key-${view.theme}-${String(view.width)}`);
      const [other] = await Promise.all([context.waitForEvent('page'), page.keyboard.press('Enter')]);
      await other.getByLabel('API key').fill(OTHER_KEY);
      await other.keyboard.press('Enter');
      await other.waitForURL(`${scene.url}${HERE}`);
      // The same person or another one: what forms carry is theirs.
      const anew = page.waitForEvent('load');
      await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
      await anew;
      assert.equal(await page.locator('.me summary b').textContent(), 'ruth');
      assert.equal(await warning(page).count(), 0);
      // The clock of the pages stands still here, which to a session is one that is set back as long as the test takes.
      const endsMs = Date.parse(String(await endOf(page)));
      const hourMs = Date.parse('2031-03-31T00:56:00.000Z');
      assert.ok(endsMs <= hourMs && endsMs > hourMs - 5 * MINUTE_MS, new Date(endsMs).toISOString());
    },
  );

test('a key that ends within its five minutes is warned of at once, and its end says what to do', options, async () => {
  await using scene = await sceneOfLastDay();
  await using opened = await openOwnView(browser(), DESK);
  const { page, context } = opened;
  scene.now = new Date('2031-03-30T23:57:00Z');
  await signedIn(scene, opened);
  await page.clock.fastForward(3_000);
  await warning(page).waitFor();
  await warning(page).getByRole('button', { name: 'Not now' }).click();
  await pass(4, scene, page);
  await signedOut(page).waitFor();
  const [other] = await Promise.all([context.waitForEvent('page'), page.keyboard.press('Enter')]);
  await other.getByText('good until 2031-03-30 (UTC): sign in with another one').waitFor();
  await other.getByLabel('API key').fill(KEY);
  await other.keyboard.press('Enter');
  await other.getByRole('alert').filter({ hasText: 'This key was good until 2031-03-30' }).waitFor();
});

test('a key that is taken out of its file: the next answer says it, and the page stays', options, async () => {
  let keys: readonly Key[] = [{ name: 'priya', secret: KEY, lastDay: undefined }];
  const sessionKeys = new ConsoleKeys(() => []);
  const now = (): Date => new Date();
  const doorkeeper = new KeyDoor({
    keys: () => keys,
    grants: parseGrants('listen=priya', assert.fail),
    sessions: new Sessions(new Seal(sessionKeys, now), now),
    witness: new Witness(new ListAudit(), { proxies: 0 }),
    publicUrl: undefined,
    proxies: 0,
    now,
  });
  await using scene = await sceneWithCall({ options: { doorkeeper } });
  await using opened = await openOwnView(browser(), DESK);
  const { page, context } = opened;
  await signedIn(scene, opened);
  keys = [{ name: 'ruth', secret: OTHER_KEY, lastDay: undefined }];
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await signedOut(page).waitFor();
  assert.equal(page.url(), `${scene.url}${HERE}#t=0`, 'the position is kept');
  const [other] = await Promise.all([context.waitForEvent('page'), page.keyboard.press('Enter')]);
  await other.getByText('was taken away: sign in with another one').waitFor();
});

test('the service is away or silent when one wants to stay: it is said, and tried again', options, async () => {
  await using scene = await sceneWithCall();
  await using opened = await openOwnView(browser(), DESK);
  const { page } = opened;
  let does: 'abort' | 'hang' | 'continue' = 'abort';
  // Before the page: in one that is loaded already, what it asks for next may still go through.
  await page.route('**/console/stay', (route) => (does === 'hang' ? undefined : route[does]()));
  await signedIn(scene, opened);
  await pass(56, scene, page);
  await warning(page).waitFor();
  await page.keyboard.press('Enter');
  const told = warning(page).getByRole('alert').filter({ hasText: 'Try again' });
  await told.waitFor();
  does = 'hang';
  await page.evaluate("document.getElementById('words').textContent = ''");
  await page.keyboard.press('Enter');
  await told.waitFor();
  does = 'continue';
  await page.keyboard.press('Enter');
  await warning(page).waitFor({ state: 'detached' });
});

test('only a page of ours puts off an end: not another site, not a made-up form, not a look', async () => {
  await using scene = await sceneWithCall();
  const signIn = await fetch(`${scene.url}/console/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams({ key: KEY, to: '/console/' }),
  });
  const cookie = (signIn.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const page = await (await scene.get('/console/find', { cookie })).text();
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(page) ?? [];
  const stay = (form: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>>): Promise<Response> =>
    fetch(`${scene.url}/console/stay`, {
      method: 'POST',
      headers: { cookie, ...headers },
      body: new URLSearchParams(form),
    });
  const own = { 'sec-fetch-site': 'same-origin' };
  scene.now = new Date(scene.now.getTime() + 30 * MINUTE_MS);
  for (const [form, headers] of [
    [{ token }, { 'sec-fetch-site': 'cross-site' }],
    [{ token: 'AAAA.BBBB' }, own],
    [{}, own],
  ] as const)
    assert.equal((await stay(form, headers)).status, 403);
  const look = await scene.get('/console/who.json', { cookie });
  assert.equal(look.headers.get('set-cookie'), null);
  const good = await stay({ token }, own);
  assert.equal(good.status, 200);
  assert.deepEqual(await good.json(), {
    id: 'priya',
    ends: new Date(Math.floor(scene.now.getTime() / 1000) * 1000 + 60 * MINUTE_MS).toISOString(),
    isFinal: false,
    because: 'nothing was done here for nearly an hour.',
  });
});
