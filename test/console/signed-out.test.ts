/** A session that ends while a page is open, in real Chromium: it is said over the page, which stays as it is, and goes on afterwards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { waitingOf } from '../support/archive/content.ts';
import { openContext } from '../support/browser/browser.ts';
import { addCall } from '../support/console/calls.ts';
import { chromiumForTests, DESK, openOwnView, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { type Provider, startProvider } from '../support/console/provider.ts';

const { options, browser } = chromiumForTests();
const HERE = '/console/recordings/c1/r1';
const MEDIA = "document.querySelector('call-player .main')";
const signal = (): AbortSignal => AbortSignal.timeout(120_000);

async function sceneWithCalls(change: Parameters<typeof openConsoleScene>[0] = {}): Promise<ConsoleScene> {
  const scene = await openConsoleScene(change);
  for (const recordingId of ['r1', 'r2'])
    await addCall(scene.archive, { conversationId: 'c1', recordingId }, { agent: 'Ines Carvalho', seconds: 20 });
  await scene.search.fill(signal());
  return scene;
}

async function until(page: Page, condition: string): Promise<void> {
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(25))
    if (await page.evaluate<boolean>(condition)) return;
  assert.fail(`never came true: ${condition}`);
}

const dialog = (page: Page) => page.getByRole('dialog', { name: 'You are signed out' });

/** As a tab notices that it is looked at again. */
async function comeBack(page: Page): Promise<void> {
  await page.evaluate("window.dispatchEvent(new Event('focus'))");
}

async function openHealth(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await until(page, "customElements.get('live-page') !== undefined");
}

const look = (page: Page): Promise<unknown> => page.evaluate("document.querySelector('live-page').look()");

for (const view of VIEWS)
  test(
    `while it looks again by itself, ${view.theme}, ${String(view.width)} px: a dialog, and nothing lost`,
    options,
    async () => {
      await using scene = await sceneWithCalls();
      await using opened = await openView(browser(), view);
      const { page } = opened;
      await openHealth(page, `${scene.url}/console/health?x=1#parts`);
      scene.who = undefined;
      await look(page);
      await dialog(page).waitFor();
      assert.equal(page.url(), `${scene.url}/console/health?x=1#parts`);
      assert.equal(await page.getByRole('link', { name: 'Sign in' }).getAttribute('href'), '/console/health?x=1');
      const problems = await opened.problems();
      assert.deepEqual(
        problems.filter((problem) => !problem.includes('401')),
        [],
      );
      await picture(page, `signed-out-${view.theme}-${String(view.width)}`);
      await comeBack(page);
      assert.equal(await dialog(page).count(), 1, 'nobody has signed in yet');
      scene.who = EVERYBODY;
      await comeBack(page);
      await dialog(page).waitFor({ state: 'detached' });
      assert.equal(page.url(), `${scene.url}/console/health?x=1#parts`);
      await look(page);
      assert.equal(await page.locator('[data-said]').textContent(), '');
    },
  );

test(
  'in the middle of listening: it stops, the moment is in the address, and what was heard is told afterwards',
  options,
  async () => {
    await using scene = await sceneWithCalls();
    await using opened = await openView(browser(), DESK);
    const { page } = opened;
    const claims: { readonly status: number; readonly claim: string | null }[] = [];
    page.on('response', (answer) => {
      if (answer.url().includes('/console/played/'))
        claims.push({ status: answer.status(), claim: answer.request().postData() });
    });
    await page.goto(`${scene.url}${HERE}#t=4`);
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await until(page, `${MEDIA}.currentTime > 5.2`);
    scene.who = undefined;
    // A pause tells what was heard until then.
    for (let presses = 0; (await dialog(page).count()) === 0; presses += 1) {
      assert.ok(presses < 200, 'nobody noticed');
      await page.keyboard.press('ArrowLeft');
      await sleep(300);
    }
    assert.equal(await page.evaluate(`${MEDIA}.paused`), true);
    assert.match(page.url(), /#t=\d+$/);
    const at = await page.evaluate<number>(`${MEDIA}.currentTime`);
    scene.who = EVERYBODY;
    await comeBack(page);
    await dialog(page).waitFor({ state: 'detached' });
    assert.ok(Math.abs((await page.evaluate<number>(`${MEDIA}.currentTime`)) - at) < 0.5);
    await page.keyboard.press('Space');
    await until(page, `${MEDIA}.currentTime > ${String(at + 0.2)}`);
    const kept = claims.filter(({ status }) => status === 401).map(({ claim }) => claim);
    assert.ok(kept.length > 0);
    const areTold = (): boolean =>
      kept.every((one) => claims.some(({ status, claim }) => status === 200 && claim === one));
    for (let looks = 0; !areTold(); looks += 1) {
      assert.ok(looks < 2_000, 'what was heard before is not told');
      await sleep(50);
    }
  },
);

test('in the list: what was chosen opens once somebody has signed in again', options, async () => {
  await using scene = await sceneWithCalls();
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  await page.goto(`${scene.url}/console/find?from=2026-11-27&to=2026-11-27`, { waitUntil: 'networkidle' });
  scene.who = undefined;
  await page.locator('.list td a').first().click();
  await dialog(page).waitFor();
  assert.match(page.url(), /find\?from=2026-11-27&to=2026-11-27$/);
  scene.who = EVERYBODY;
  await comeBack(page);
  await page.waitForURL(/open=c1\.r/);
  await page.locator('call-player').waitFor();
});

test('somebody else signs in in the other tab: the page becomes theirs, and nothing of it stays', options, async () => {
  await using scene = await sceneWithCalls();
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  await openHealth(page, `${scene.url}/console/health`);
  scene.who = undefined;
  await look(page);
  await dialog(page).waitFor();
  scene.who = { ...EVERYBODY, id: 'priya.nair@example.com' };
  await Promise.all([page.waitForEvent('load'), comeBack(page)]);
  await page.getByText('priya.nair@example.com').first().waitFor();
});

const KEY = 'canary-console-key-1';

test('two tabs: signed out in one, the other says so; signed in again, both go on', options, async () => {
  await using scene = await sceneWithCalls({ env: { API_KEYS: `priya:${KEY}` } });
  await using opened = await openView(browser(), DESK);
  const { page, context } = opened;
  await page.goto(`${scene.url}/console/health`);
  await page.getByLabel('API key').fill(KEY);
  await page.keyboard.press('Enter');
  await page.waitForURL(/console\/health$/);
  const other = await context.newPage();
  await other.goto(`${scene.url}/console/find`);
  await other.locator('details.me summary').click();
  await other.getByRole('button', { name: 'Sign out' }).click();
  await other.getByLabel('API key').waitFor();
  await look(page);
  await dialog(page).waitFor();
  await other.getByLabel('API key').fill(KEY);
  await other.keyboard.press('Enter');
  await other.waitForURL(/console\/find/);
  await comeBack(page);
  await dialog(page).waitFor({ state: 'detached' });
});

test('a link to a second opens there after signing in', options, async () => {
  await using scene = await sceneWithCalls({ env: { API_KEYS: `priya:${KEY}` } });
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  await page.goto(`${scene.url}${HERE}#t=6`);
  await page.getByLabel('API key').fill(KEY);
  await page.keyboard.press('Enter');
  await page.waitForURL(`${scene.url}${HERE}#t=6`);
  await until(page, `${MEDIA}.currentTime === 6 && ${MEDIA}.paused`);
});

async function providerScene(provider: Provider): Promise<ConsoleScene> {
  return sceneWithCalls({
    env: {
      CONSOLE_AUTH: 'oidc',
      CONSOLE_OIDC_ISSUER: provider.issuer,
      CONSOLE_OIDC_CLIENT_ID: 'console',
      CONSOLE_OIDC_CLIENT_SECRET: 'canary-oidc-secret',
      CONSOLE_ROLES: 'listen=@example.com',
    },
  });
}

for (const [how, agree] of [
  ['by mouse', (page: Page) => page.getByRole('link', { name: 'It is me' }).click()],
  [
    'by keyboard',
    async (page: Page) => {
      await page.getByRole('link', { name: 'It is me' }).focus();
      await page.keyboard.press('Enter');
    },
  ],
] as const)
  test(
    `a link to a second opens there after a provider has said who it is, ${how}; it is told nothing of it`,
    options,
    async () => {
      await using provider = await startProvider();
      await using scene = await providerScene(provider);
      await using opened = await openView(browser(), DESK);
      const { page } = opened;
      const asked: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      await page.goto(`${scene.url}${HERE}#t=6`);
      await page.waitForURL(`${provider.issuer}/**`);
      assert.ok(!page.url().includes('#'));
      await agree(page);
      await page.waitForURL(`${scene.url}${HERE}#t=6`);
      await until(page, `${MEDIA}.currentTime === 6 && ${MEDIA}.paused`);
      const problems = await opened.problems();
      // The provider's page has no icon.
      assert.deepEqual(
        problems.filter((problem) => !problem.includes('404')),
        [],
      );
      assert.ok(asked.every((url) => !/t(=|%3D)6/.test(url.split('#')[0] ?? '')));
      await page.goto(`${scene.url}${HERE}`);
      assert.equal(page.url(), `${scene.url}${HERE}`, 'it is kept for once');
    },
  );

test('a moment is for the page that was asked for, and for no other one', options, async () => {
  await using provider = await startProvider();
  await using scene = await providerScene(provider);
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  await page.goto(`${scene.url}${HERE}#t=6`);
  await page.waitForURL(`${provider.issuer}/**`);
  // Thought better of it: another page is asked for, without a moment.
  await page.goto(`${scene.url}/console/find`);
  await page.getByRole('link', { name: 'It is me' }).click();
  await page.waitForURL(`${scene.url}/console/find`);
  await page.goto(`${scene.url}${HERE}`);
  assert.equal(page.url(), `${scene.url}${HERE}`);
});

test('without scripts one is led to the provider as well, and back', options, async () => {
  await using provider = await startProvider();
  await using scene = await providerScene(provider);
  const context = await openContext(browser(), { javaScriptEnabled: false });
  try {
    const page = await context.newPage();
    await page.goto(`${scene.url}${HERE}`);
    await page.waitForURL(`${provider.issuer}/**`);
    await page.getByRole('link', { name: 'It is me' }).click();
    await page.waitForURL(`${scene.url}${HERE}`);
  } finally {
    await context.close();
  }
});

test('a form sent after the session ended: after signing in its page is there again', async () => {
  await using scene = await sceneWithCalls();
  scene.who = undefined;
  const send = (referer: string): Promise<Response> =>
    fetch(`${scene.url}/console/failures/replay`, { method: 'POST', redirect: 'manual', headers: { referer } });
  const to = async (referer: string): Promise<string | null> =>
    new URL((await send(referer)).headers.get('location') ?? '', scene.url).searchParams.get('to');
  assert.equal(
    await to(`${scene.url}/console/failures?code=gone&replay=ask`),
    '/console/failures?code=gone&replay=ask',
  );
  assert.equal(await to('https://evil.example/console/failures'), '/console/');
  assert.equal(await to(`${scene.url}/elsewhere`), '/console/');
});

for (const wrongBy of ['2 days behind', '30 years ahead'] as const)
  test(`the reader’s clock is ${wrongBy}: ages are those of the service`, options, async () => {
    await using scene = await sceneWithCalls();
    const seconds = 37 * 60;
    await scene.archive.recordWaiting(
      { conversationId: 'w', recordingId: 'w1' },
      waitingOf(
        { conversationId: 'w', recordingId: 'w1' },
        { sort: 'surroundings', since: new Date(scene.now.getTime() - seconds * 1000).toISOString() },
      ),
      signal(),
    );
    await using opened = await openOwnView(browser(), DESK);
    const { page } = opened;
    const shift = wrongBy === '2 days behind' ? -2 * 86_400_000 : 30 * 365 * 86_400_000;
    await page.addInitScript(`const now = Date.now; Date.now = () => now() + ${String(shift)};
const Real = Date; Date = class extends Real { constructor(...given) { super(...(given.length === 0 ? [Date.now()] : given)); } };`);
    await openHealth(page, `${scene.url}/console/health`);
    await look(page);
    const row = await page.locator('[data-part=unready] li').first().textContent();
    assert.match(row ?? '', /3[78] min/);
  });
