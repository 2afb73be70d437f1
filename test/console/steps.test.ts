/** What people come for, and the steps it takes them: by mouse and by keyboard, each step counted as it is made. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { addCall } from '../support/console/calls.ts';
import { chromiumForTests, openView } from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';
import { addFailed, addProof } from '../support/console/troubles.ts';

const DESK = { theme: 'dark', width: 1440 } as const;
const chromium = chromiumForTests();

let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene();
  scene.now = new Date('2026-11-27T17:09:00Z');
  const minutesAgo = (minutes: number): string => new Date(scene.now.getTime() - minutes * 60_000).toISOString();
  for (const [n, agent] of ['Wen Li', 'Ruth Weber', 'Ines Carvalho', 'Amara Okafor'].entries())
    await addCall(
      scene.archive,
      { conversationId: `c${String(n)}`, recordingId: 'voice' },
      { agent, seconds: 20, startedAt: minutesAgo(10 * (n + 1)) },
    );
  for (const recordingId of ['f-1', 'f-2', 'f-3'])
    await addFailed(scene.archive, { recordingId, code: 'unreadable-media', at: new Date(minutesAgo(70)) });
  const day = scene.now.toISOString().slice(0, 10);
  await addProof(scene.archive, { day, recordings: 7, failed: 3, at: scene.now });
  await scene.search.fill(AbortSignal.timeout(120_000));
});
after(() => scene[Symbol.asyncDispose]());

/** Each call of `step` is one thing that a person does: a click, or a word typed and sent. */
class Steps {
  count = 0;

  async step(act: () => Promise<unknown>): Promise<void> {
    this.count += 1;
    await act();
  }
}

async function isHeard(page: Page): Promise<void> {
  const heard = "document.querySelector('call-player .main')?.currentTime > 0.1";
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(25))
    if (await page.evaluate<boolean>(heard)) return;
  assert.fail('nothing is heard');
}

test('by mouse a call of today is heard in two steps, one that is looked for in three', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(`${scene.url}/console/`);
  const today = new Steps();
  await today.step(() => page.locator('.list td a').first().click());
  await today.step(() => page.getByRole('button', { name: 'Play', exact: true }).click());
  await isHeard(page);
  assert.equal(today.count, 2);

  await page.goto(`${scene.url}/console/`);
  const found = new Steps();
  await found.step(async () => {
    await page.getByRole('searchbox').fill('carvalho');
    await page.getByRole('button', { name: 'Find', exact: true }).click();
    await page.getByText('1 found').waitFor();
  });
  await found.step(() => page.locator('.list td a').first().click());
  await page.getByRole('heading', { name: 'Ines Carvalho with' }).waitFor();
  await found.step(() => page.getByRole('button', { name: 'Play', exact: true }).click());
  await isHeard(page);
  assert.ok(found.count <= 3);
  assert.deepEqual(await view.problems(), []);
});

test(
  'by keyboard a call of today is heard by three keys, one that is looked for by a word and three',
  chromium.options,
  async () => {
    await using view = await openView(chromium.browser(), DESK);
    const { page } = view;
    const keys = new Steps();
    const press = (key: string): Promise<void> => keys.step(() => page.keyboard.press(key));
    await page.goto(`${scene.url}/console/`);
    await press('j');
    await press('Enter');
    await page.locator('.play:focus').waitFor();
    await press('Space');
    await isHeard(page);
    assert.equal(keys.count, 3);

    await page.goto(`${scene.url}/console/`);
    await page.keyboard.press('/');
    await page.keyboard.type('carvalho');
    await page.keyboard.press('Enter');
    await page.getByText('1 found').waitFor();
    const after = keys.count;
    await press('j');
    await press('Enter');
    await page.locator('.play:focus').waitFor();
    await press('Space');
    await isHeard(page);
    assert.equal(keys.count - after, 3);
    assert.deepEqual(await view.problems(), []);
  },
);

test(
  'a link to the second that is heard is one key, and whoever opens it is one key from the sound',
  chromium.options,
  async () => {
    await using view = await openView(chromium.browser(), DESK);
    const { page, context } = view;
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: scene.url });
    await page.goto(`${scene.url}/console/recordings/c2/voice#t=4`);
    await page.keyboard.press('l');
    await page.getByText('The link to 0:04 is copied.').waitFor();
    const link = await page.evaluate<string>('navigator.clipboard.readText()');
    assert.equal(link, `${scene.url}/console/recordings/c2/voice#t=4`);
    await using second = await openView(chromium.browser(), DESK);
    await second.page.goto(link);
    await second.page.getByRole('slider').waitFor();
    await second.page.keyboard.press('Space');
    await isHeard(second.page);
  },
);

test('whether everything has arrived is the first sentence of one page, one key away', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(`${scene.url}/console/find`);
  await page.keyboard.press('h');
  await page.waitForURL(/health/);
  assert.match((await page.locator('#verdict').textContent()) ?? '', /have arrived, except 3/);
  const isInView = "document.getElementById('verdict').getBoundingClientRect().bottom < innerHeight";
  assert.equal(await page.evaluate(isInView), true);
});

test(
  'from "3 failed" one step leads to why, what to do, and the button that replays these',
  chromium.options,
  async () => {
    await using view = await openView(chromium.browser(), DESK);
    const { page } = view;
    for (const go of ['click', 'Enter'] as const) {
      await page.goto(`${scene.url}/console/find`);
      const failed = page.getByRole('link', { name: '3 failed' });
      if (go === 'click') await failed.click();
      else {
        await failed.focus();
        await page.keyboard.press('Enter');
      }
      await page.waitForURL(/failures/);
      const text = (await page.locator('main').textContent()) ?? '';
      assert.match(text, /unreadable-media/);
      assert.match(text, /Play it in Genesys Cloud/);
      assert.equal(await page.getByRole('link', { name: 'Replay all that match' }).count(), 1);
    }
  },
);
