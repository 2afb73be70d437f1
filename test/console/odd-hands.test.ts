/** The player in hands that do what nobody thought of: out of order, too often, on calls that are like no other. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import type { Levels } from '../../src/levels.ts';
import { failureOf } from '../support/archive/content.ts';
import { addCall } from '../support/console/calls.ts';
import {
  chromiumForTests,
  DESK,
  namelessControls,
  openOwnView,
  openView,
  pressPause,
} from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const chromium = chromiumForTests();

/** Tenths of a second of two channels, and where somebody speaks on each. */
function levelsAt(tenths: number, ...channels: readonly (readonly { start: number; end: number }[])[]): Levels {
  return { channels: channels.map((speech) => ({ values: new Uint8Array(tenths).fill(200), speech })) };
}

const SIX_HOURS = 216_000;
/** Both speak for a second of every two. */
const talk = (shift: number): { start: number; end: number }[] =>
  Array.from({ length: SIX_HOURS / 20 - 1 }, (_, n) => ({ start: 20 * n + shift, end: 20 * n + shift + 15 }));

let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene();
  scene.now = new Date('2026-11-27T17:09:00Z');
  const { archive } = scene;
  const add = (conversationId: string, facts: Parameters<typeof addCall>[2]): Promise<unknown> =>
    addCall(archive, { conversationId, recordingId: 'voice' }, { seconds: 20, agent: 'Ines Carvalho', ...facts });
  await add('call', {});
  for (const n of [1, 2, 3])
    await addCall(
      archive,
      { conversationId: 'call', recordingId: `screen-${String(n)}` },
      { isKnown: false, medium: 'video', seconds: 20 + n, startedAt: `2026-11-27T16:58:0${String(7 + (n % 2))}.000Z` },
    );
  await add('deaf', { levels: levelsAt(200, [{ start: 30, end: 170 }], []), startedAt: '2026-11-27T15:00:00.000Z' });
  await add('mute', { levels: levelsAt(200, [], []), startedAt: '2026-11-27T14:00:00.000Z' });
  await add('short', { seconds: 1, startedAt: '2026-11-27T13:00:00.000Z' });
  const long = levelsAt(SIX_HOURS, talk(0), talk(5));
  await add('long', { levels: long, startedAt: '2026-11-27T06:00:00.000Z', durationMs: SIX_HOURS * 100 });
  const failed = { conversationId: 'f', recordingId: 'f1' };
  await archive.recordFailure(failed, failureOf(failed, { failedAt: '2026-11-27T16:00:00.000Z' }), signal());
  await scene.search.fill(signal());
});
after(() => scene[Symbol.asyncDispose]());

const MEDIA = "document.querySelector('call-player .main')";

async function until(page: Page, condition: string): Promise<void> {
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(25))
    if (await page.evaluate<boolean>(condition)) return;
  assert.fail(`never came true: ${condition}`);
}

const at = (conversationId: string): string => `${scene.url}/console/recordings/${conversationId}/voice`;

async function play(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await until(page, `!${MEDIA}.paused && ${MEDIA}.currentTime > 0.1`);
}

test('a recording that was left is heard no more, by no key either', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(`${scene.url}/console/find?open=call.voice`);
  await page.evaluate(`window.left = ${MEDIA}`);
  await play(page);
  await page.locator('.list tr', { hasText: 'Failed' }).getByRole('link').click();
  await page.getByRole('heading', { name: 'Recording f1' }).waitFor();
  assert.equal(await page.evaluate('window.left.paused'), true);
  await page.locator('#recording').focus();
  for (const key of ['Space', ']', 's', '2', '>']) await page.keyboard.press(key);
  assert.equal(await page.evaluate('window.left.paused'), true);
  await page.keyboard.press('Shift+?');
  assert.doesNotMatch((await page.getByRole('dialog').textContent()) ?? '', /play, pause|hear customer/);
  assert.deepEqual(await view.problems(), []);
});

test('players that were left take no memory: none is alive but the one that is shown', chromium.options, async () => {
  await using view = await openOwnView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(`${scene.url}/console/find`);
  for (let n = 0; n < 12; n += 1) {
    await page
      .locator('.list td a')
      .nth(n % 4)
      .click();
    await page.locator(`.list tr:nth-of-type(${String(2 + (n % 4))}) a[aria-current]`).waitFor();
  }
  const devtools = await page.context().newCDPSession(page);
  const alive = async (): Promise<number> => {
    await devtools.send('HeapProfiler.collectGarbage');
    const { result } = await devtools.send('Runtime.evaluate', {
      expression: "customElements.get('call-wave').prototype",
    });
    const { objects } = await devtools.send('Runtime.queryObjects', { prototypeObjectId: result.objectId ?? '' });
    const { result: count } = await devtools.send('Runtime.callFunctionOn', {
      objectId: objects.objectId ?? '',
      functionDeclaration: 'function () { return this.length; }',
      returnByValue: true,
    });
    return Number(count.value);
  };
  // One more may hang in what the browser has not finished yet.
  for (const end = performance.now() + 60_000; (await alive()) > 2 && performance.now() < end;) await sleep(50);
  assert.ok((await alive()) <= 2, `${String(await alive())} of 12 are alive`);
});

test(
  'a step to a place within the page leaves what plays; back and on bring what was shown',
  chromium.options,
  async () => {
    await using view = await openView(chromium.browser(), DESK);
    const { page } = view;
    await page.goto(`${scene.url}/console/find?q=ines&direction=inbound`);
    const open = async (n: number): Promise<void> => {
      await page.locator('.list td a').nth(n).click();
      await page.locator('.list tr.sel').waitFor();
    };
    await open(0);
    const first = page.url();
    await play(page);
    await page.evaluate(`window.heard = ${MEDIA}`);
    await page.evaluate("location.hash = '#content'");
    await page.evaluate("location.hash = '#recording'");
    await sleep(0);
    await until(page, 'document.querySelector("[aria-busy]") === null');
    assert.equal(await page.evaluate(`window.heard === ${MEDIA} && !window.heard.paused`), true);
    await pressPause(page);
    await open(2);
    await page.getByRole('link', { name: 'Health' }).click();
    await page.waitForURL(/health/);
    await page.goBack();
    await page.locator('.list tr.sel').waitFor();
    assert.notEqual(page.url().split('#')[0], first.split('#')[0]);
    await page.goBack();
    await until(page, "document.querySelector('.list tr.sel') !== null && location.search.includes('open=call')");
    await page.getByRole('heading', { name: 'Ines Carvalho with' }).waitFor();
    assert.equal(await page.getByRole('combobox', { name: 'Direction' }).inputValue(), 'inbound');
    assert.equal(await page.getByRole('searchbox').inputValue(), 'ines');
  },
);

test(
  'after going back the filters say what the address says, whatever was chosen meanwhile',
  chromium.options,
  async () => {
    await using view = await openView(chromium.browser(), DESK);
    const { page } = view;
    await page.goto(`${scene.url}/console/find`);
    await page.getByRole('combobox', { name: 'Status' }).selectOption('failed');
    await page.getByRole('combobox', { name: 'Direction' }).selectOption('outbound');
    await page.getByRole('button', { name: 'Find', exact: true }).click();
    await page.waitForURL(/status=failed/);
    await page.goBack();
    await page.waitForURL(/find$/);
    for (const name of ['Status', 'Direction'])
      assert.equal(await page.getByRole('combobox', { name }).inputValue(), '', name);
  },
);

test('a link behind the end begins at the beginning, says so, and plays', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  for (const seconds of ['99999999999', '118', '20']) {
    await page.goto('about:blank');
    await page.goto(`${at('call')}#t=${seconds}`);
    await page.getByText(/behind the end: it begins at the beginning/).waitFor();
  }
  await play(page);
  assert.ok((await page.evaluate<number>(`${MEDIA}.currentTime`)) < 15);
});

test('links to no second at all begin at the beginning, and say nothing', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  for (const hash of ['t=', 't=-5', 't=NaN', 't=Infinity', 't=1:58', 't', 't=%00', '%', 't=0x10&t=2']) {
    await page.goto('about:blank');
    await page.goto(`${at('call')}#${hash}`);
    await page.getByRole('slider').waitFor();
    const position = await page.evaluate<number>(`${MEDIA}.currentTime`);
    assert.ok(position === 0 || hash.startsWith('t=0x10'), `${hash}: ${String(position)}`);
    assert.doesNotMatch(
      (await page.locator('call-player').textContent()) ?? '',
      /NaN|Infinity|undefined|behind the end/,
    );
  }
  assert.deepEqual(view.complaints, []);
});

test(
  'of three screens the chosen one follows, also one chosen while it plays, and that one is enlarged',
  chromium.options,
  async () => {
    await using view = await openView(chromium.browser(), DESK);
    const { page } = view;
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(at('call'));
    const choose = (n: number): Promise<void> =>
      page.getByRole('group', { name: 'Screen' }).getByText(String(n), { exact: true }).click();
    await choose(2);
    assert.deepEqual(
      asked.filter((url) => url.includes('/media/')),
      [],
      'nothing is loaded by looking',
    );
    await play(page);
    const video = (n: number): string => `document.querySelectorAll('.scr video')[${String(n - 1)}]`;
    await until(page, `!${video(2)}.paused && ${video(2)}.currentTime > 0`);
    await choose(3);
    await until(page, `!${video(3)}.paused && ${video(3)}.currentTime > 0 && ${video(2)}.paused`);
    assert.equal(await page.evaluate(`${video(1)}.readyState`), 0, 'the first was never asked for');
    // The choice has the focus: single keys act all the same.
    await page.keyboard.press('v');
    await until(page, "document.fullscreenElement?.getAttribute('aria-label') === 'Screen 3 of 3'");
    await page.evaluate('document.exitFullscreen()');
    assert.deepEqual(await view.problems(), []);
  },
);

test('however quickly it is sought, the screen stands where the voice stands', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(at('call'));
  await play(page);
  await pressPause(page);
  const off = `Math.abs(document.querySelector('.scr video').currentTime - (${MEDIA}.currentTime - Number(document.querySelector('.scr video').dataset.offset)))`;
  await page.getByRole('slider').focus();
  for (const keys of [
    ['End', 'Home', 'ArrowRight', 'ArrowRight', 'PageDown', 'ArrowRight', 'ArrowRight', 'ArrowRight'],
    ['Home', 'End', 'ArrowLeft', 'ArrowLeft', 'Shift+ArrowLeft'],
  ]) {
    for (const key of keys) await page.keyboard.press(key);
    await until(page, `!${MEDIA}.seeking && ${off} < 0.05`);
  }
  const box = await page.getByRole('slider').boundingBox();
  assert.ok(box !== null);
  await page.mouse.move(box.x + 10, box.y + 40);
  await page.mouse.down();
  for (const part of [0.9, 0.1, 0.8, 0.2, 0.7]) await page.mouse.move(box.x + box.width * part, box.y + 40);
  await page.mouse.up();
  await until(page, `!${MEDIA}.seeking && ${off} < 0.05 && Math.abs(${MEDIA}.currentTime - 14) < 0.2`);
  assert.equal(await page.evaluate(`${MEDIA}.paused`), true);
});

test('before anything is loaded it can be sought, sped up and pressed twice', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  await page.route('**/console/media/**', async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(at('call'));
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  for (let n = 0; n < 3; n += 1) await page.keyboard.press('Space');
  await page.keyboard.press('>');
  await page.keyboard.press('Shift+ArrowLeft');
  goOn();
  await until(page, `!${MEDIA}.paused && ${MEDIA}.currentTime > 9.1`);
  assert.equal(await page.evaluate(`${MEDIA}.playbackRate`), 1.25);
});

test('what is tried again goes on at its place and its speed', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.route('**/console/media/**', (route) => route.abort());
  await page.goto(`${at('call')}#t=6`);
  await page.keyboard.press('>');
  await page.keyboard.press('>');
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await page.getByText('Connection lost at 0:06').waitFor();
  await page.unroute('**/console/media/**');
  await page.getByText('Screen, 1 of 3', { exact: false }).filter({ hasText: 'cannot be shown just now' }).waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await until(page, `!${MEDIA}.paused && ${MEDIA}.currentTime > 6.1`);
  assert.equal(await page.evaluate(`${MEDIA}.playbackRate`), 1.5);
  await until(page, "document.querySelector('.scr video').currentTime > 5");
  assert.equal(await page.getByText('cannot be shown just now').filter({ visible: true }).count(), 0);
});

test('near by, a moment keeps the focus while it plays on', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(at('call'));
  await page.getByRole('combobox', { name: 'Zoom' }).selectOption('4');
  const mark = page.getByRole('button', { name: /^Both speak, 0:03/ });
  await mark.focus();
  await page.keyboard.press('Enter');
  await until(page, `${MEDIA}.currentTime === 3.5`);
  await page.evaluate(`${MEDIA}.play()`);
  await until(page, `${MEDIA}.currentTime > 4.2`);
  assert.match((await page.evaluate<string>('document.activeElement.getAttribute("aria-label")')) ?? '', /^Both speak/);
  await page.evaluate(`${MEDIA}.currentTime = 15`);
  await until(page, "document.activeElement?.getAttribute('role') === 'slider'");
});

const CALLS: readonly (readonly [string, RegExp])[] = [
  ['deaf', /Customer 0:14 .*Agent not heard/],
  ['mute', /Customer not heard .*Agent not heard/],
  ['short', /0:00 \/ 0:01/],
  ['long', /0:00 \/ 6:00:00/],
];

for (const [name, said] of CALLS)
  test(
    `a call that is ${name}: every control has its name, every key its place, and it plays`,
    chromium.options,
    async () => {
      await using view = await openView(chromium.browser(), DESK);
      const { page } = view;
      await page.goto(at(name));
      await page.locator('.lab .muted').first().waitFor();
      await until(page, "document.querySelector('.lab .muted').textContent.includes('%')");
      const text = ((await page.locator('call-player').textContent()) ?? '').replaceAll(/\s+/g, ' ');
      assert.match(text, said);
      assert.doesNotMatch(text, /NaN|Infinity|undefined/);
      assert.deepEqual(await namelessControls(page), []);
      await page.keyboard.press('s');
      const skip = page.getByRole('checkbox', { name: /^Skip silence/ });
      assert.equal(
        await skip.isDisabled(),
        name !== 'deaf' && name !== 'long',
        'where nothing is to be skipped, or nothing would be left',
      );
      for (const key of [']', ']', '[', 'ArrowRight', 'End', ']', 'Home']) await page.keyboard.press(key);
      for (const zoom of ['16', '1']) await page.getByRole('combobox', { name: 'Zoom' }).selectOption(zoom);
      if (name !== 'short') await play(page);
      assert.deepEqual(await view.problems(), []);
    },
  );

test('a screen without a voice plays by itself, with every control that makes sense', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(`${scene.url}/console/recordings/call/screen-1`);
  await page.getByRole('slider').waitFor();
  assert.equal(await page.getByRole('group', { name: 'Hear' }).count(), 0);
  assert.deepEqual(await namelessControls(page), []);
  await play(page);
  await page.keyboard.press('v');
  await until(page, "document.fullscreenElement?.matches('video.main') === true");
  await page.evaluate('document.exitFullscreen()');
  assert.deepEqual(await view.problems(), []);
});

test('times count as the call does: no clock of the page is before its beginning', chromium.options, async () => {
  await using view = await openView(chromium.browser(), DESK);
  const { page } = view;
  await page.goto(`${at('call')}#t=19`);
  for (let n = 0; n < 6; n += 1) await page.keyboard.press('ArrowRight');
  assert.equal(await page.locator('.clock').textContent(), '0:20 / 0:20');
  for (let n = 0; n < 9; n += 1) await page.keyboard.press('ArrowLeft');
  assert.equal(await page.locator('.clock').textContent(), '0:00 / 0:20');
});
