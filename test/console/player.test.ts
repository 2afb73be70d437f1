/** Finding and hearing in real Chromium: by mouse, by keyboard alone, and without scripts. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import type { AuditRecord } from '../../src/audit/audit.ts';
import { findChromium, launchChromium, openContext } from '../support/browser/browser.ts';
import { rowAt } from '../support/search/rows.ts';
import { openAssets } from '../../src/console/assets.ts';
import { addCall } from '../support/console/calls.ts';
import { DESK, openView, picture, pressPause } from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';

const executable = findChromium();
const OPTIONS = { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 300_000 };
const signal = (): AbortSignal => AbortSignal.timeout(120_000);

const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const HERE = `/console/recordings/${C}/${R}`;

let browser: Browser;
let scene: ConsoleScene;
before(async () => {
  if (executable === undefined) return;
  scene = await openConsoleScene();
  browser = await launchChromium(executable);
  scene.now = new Date('2026-11-27T17:09:00Z');
  await addCall(scene.archive, { conversationId: C, recordingId: R }, { agent: 'Ines Carvalho', seconds: 20 });
  await addCall(
    scene.archive,
    { conversationId: C, recordingId: 'screen' },
    { isKnown: false, medium: 'video', seconds: 20, startedAt: '2026-11-27T16:58:08.400Z' },
  );
  for (const n of [1, 2, 3])
    await addCall(
      scene.archive,
      { conversationId: `c${String(n)}`, recordingId: 'r' },
      { agent: 'Wen Li', seconds: 20, startedAt: `2026-11-27T15:0${String(n)}:00.000Z` },
    );
  await scene.search.fill(signal());
});
after(async () => {
  if (executable === undefined) return;
  await browser.close();
  await scene[Symbol.asyncDispose]();
});

const MEDIA = "document.querySelector('call-player .main')";

function position(page: Page): Promise<number> {
  return page.evaluate<number>(`${MEDIA}.currentTime`);
}

/** The policy of the page lets nothing be compiled in it: asked from outside, again and again. */
async function until(page: Page, condition: string): Promise<void> {
  for (const end = performance.now() + 120_000; performance.now() < end; await sleep(25))
    if (await page.evaluate<boolean>(condition)) return;
  assert.fail(`never came true: ${condition}`);
}

/** By the page itself: long before its end, however slow the machine. */
function pauseBeyond(page: Page, seconds: number): Promise<void> {
  return page.evaluate<void>(`new Promise((resolve) => {
    const pause = () => {
      if (${MEDIA}.currentTime <= ${String(seconds)}) return;
      ${MEDIA}.removeEventListener('timeupdate', pause);
      ${MEDIA}.pause();
      resolve();
    };
    ${MEDIA}.addEventListener('timeupdate', pause);
  })`);
}

async function records(action: AuditRecord['action']): Promise<readonly AuditRecord[]> {
  const found: AuditRecord[] = [];
  for await (const record of scene.audit.read({ from: '2020-01-01', to: '2099-01-01' }, signal()))
    if (record.action === action) found.push(record);
  return found;
}

test(
  'by mouse: find an agent, play, go to the next moment, copy the link, open it elsewhere at the same second',
  OPTIONS,
  async () => {
    await using view = await openView(browser, DESK);
    const { page, context } = view;
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: scene.url });
    await page.goto(`${scene.url}/console/find`);
    await page.evaluate('window.isTheSamePage = true');
    await page.getByRole('searchbox').fill('carvalho');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.waitForURL(/q=carvalho/);
    await page.locator('.list .cap').filter({ hasText: '2 found' }).waitFor();
    await page.evaluate('window.isTheSamePage = true');
    await page.locator('.list td a').first().click();
    await page.getByRole('heading', { name: 'Ines Carvalho with' }).waitFor();
    assert.equal(
      await page.evaluate('window.isTheSamePage'),
      true,
      'the list stays, and the recording comes beside it',
    );
    assert.match(page.url(), /open=b0c5b9e0/);
    assert.equal((await records('listened')).length, 0, 'nothing is heard before Play');
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await until(page, `${MEDIA}.currentTime > 0.3`);
    assert.equal((await records('listened')).filter(({ recordingId }) => recordingId === R).length, 1);
    await pressPause(page);
    await page.getByRole('button', { name: 'Next moment' }).click();
    await until(page, `Math.abs(${MEDIA}.currentTime - 1) < 0.2 || Math.abs(${MEDIA}.currentTime - 3.5) < 0.2`);
    const at = Math.floor(await position(page));
    await page.getByRole('button', { name: /^Link to/ }).click();
    await page.getByText(/is copied/).waitFor();
    const link = await page.evaluate<string>('navigator.clipboard.readText()');
    assert.equal(link, `${scene.url}${HERE}#t=${String(at)}`);
    await picture(page, 'player-mouse');
    assert.deepEqual(await view.problems(), []);

    await using second = await openView(browser, DESK);
    await second.page.goto(link);
    await until(second.page, `Math.floor(${MEDIA}.currentTime) === ${String(at)}`);
    assert.equal(await second.page.evaluate(`${MEDIA}.paused`), true);
    await second.page.locator('[role=slider][aria-valuetext*=" of 20 seconds, "]').waitFor();
  },
);

test('by keyboard alone: the same, and what a screen reader is told of it', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page, context } = view;
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: scene.url });
  await page.goto(`${scene.url}/console/find`);
  const press = (key: string): Promise<void> => page.keyboard.press(key);
  await press('/');
  await page.keyboard.type('ines');
  await press('Enter');
  await page.waitForURL(/q=ines/);
  await press('j');
  await press('Enter');
  await page.locator('.play:focus').waitFor();
  await press('Space');
  await until(page, `${MEDIA}.currentTime > 0.2`);
  await press('Space');
  await until(page, `${MEDIA}.paused`);
  await press('Home');
  const slider = page.getByRole('slider', { name: 'Position in the recording' });
  await slider.focus();
  await press('Home');
  await until(page, `${MEDIA}.currentTime === 0`);
  await press('ArrowRight');
  await until(page, `${MEDIA}.currentTime === 5`);
  await page.locator('[role=slider][aria-valuetext="5 seconds of 20 seconds, Agent speaks"]').waitFor();
  await press('Shift+ArrowLeft');
  await until(page, `${MEDIA}.currentTime === 4`);
  await press('End');
  await until(page, `${MEDIA}.currentTime >= 19.9`);
  await press('PageDown');
  await until(page, `${MEDIA}.currentTime === 0`);
  await press(']');
  await page.getByRole('status').filter({ hasText: 'Customer speaks, 0:01' }).waitFor();
  await press(']');
  await press('[');
  await press('>');
  await until(page, `${MEDIA}.playbackRate === 1.25`);
  await press('2');
  await until(page, "document.querySelector('input[name=side]:checked').value === '2'");
  await press('0');
  await press('s');
  await page.getByRole('status').filter({ hasText: 'Silence is skipped' }).waitFor();
  await press('l');
  await page.getByText(/is copied/).waitFor();
  await press('Shift+?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  assert.match((await page.getByRole('dialog').textContent()) ?? '', /previous, next moment/);
  assert.deepEqual(await view.problems(), []);
  await page.getByRole('checkbox', { name: 'Single keys act' }).uncheck();
  await press('Escape');
  await press('s');
  await press('Escape');
  await page.locator('.list a:focus').waitFor();
  assert.equal(await page.getByRole('checkbox', { name: /Skip silence/ }).isChecked(), true, 'single keys are off');
  await press('Shift+?');
  await page.getByRole('checkbox', { name: 'Single keys act' }).check();
  await press('Escape');
  await press('j');
  assert.equal(await page.evaluate("document.activeElement.closest('tr') !== null"), true);
});

/** The loudest sample of what is heard of the next half second, dB. */
const PEAK = `async () => {
  const { context, node } = document.querySelector('call-player').heard;
  const analyser = context.createAnalyser();
  node.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let peak = 0;
  const started = context.currentTime;
  while (context.currentTime - started < 0.5) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  }
  node.disconnect(analyser);
  return 20 * Math.log10(peak + 1e-9);
}`;

test('one side is heard alone, on both ears: of the other nothing is left', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  await page.goto(`${scene.url}${HERE}`);
  await page.getByRole('radio', { name: 'Customer' }).check({ force: true });
  const peakAt = async (seconds: number): Promise<number> => {
    await page.evaluate(
      `(async () => { const media = ${MEDIA}; media.currentTime = ${String(seconds)}; await media.play(); })()`,
    );
    await until(page, `${MEDIA}.currentTime > ${String(seconds)} + 0.2`);
    return page.evaluate<number>(`(${PEAK})()`);
  };
  // A browser that is kept from playing misses the words; it does not make any.
  const isHeardAt = async (seconds: number): Promise<void> => {
    for (let tries = 0; tries < 8; tries += 1) if ((await peakAt(seconds)) > -20) return;
    assert.fail(`nothing is heard at ${String(seconds)} s`);
  };
  await isHeardAt(1.4);
  const other = await peakAt(5);
  assert.ok(other < -60, `${String(other)} dB of the agent`);
  await page.getByRole('radio', { name: 'Agent' }).check({ force: true });
  await isHeardAt(5);
  await page.getByRole('radio', { name: 'Both' }).check({ force: true });
  await isHeardAt(5);
  assert.deepEqual(await view.problems(), []);
});

test('silence is skipped, and what is played is shorter by what was said', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  await page.goto(`${scene.url}${HERE}`);
  const label = page.getByText(/Skip silence, saves/);
  await label.waitFor();
  await label.click();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await until(page, `${MEDIA}.ended`);
  const played = await page.evaluate<number>(
    `[...Array(${MEDIA}.played.length).keys()].reduce((sum, i) => sum + ${MEDIA}.played.end(i) - ${MEDIA}.played.start(i), 0)`,
  );
  // Of each ten seconds one speaks from 1 to 7: 7 to 11 but for half a second, and 17 to the end but for a fifth.
  const saved = 4 - 0.5 + 3 - 0.2;
  assert.ok(
    Math.abs(played - (20 - saved)) < 2,
    `${String(played)} s of 20 were played, ${String(saved)} s are silence`,
  );
  assert.equal(await label.textContent(), `Skip silence, saves 0:0${String(Math.floor(saved))}`);
});

test('the screen goes in step with the voice, at each speed and after each jump', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  await page.goto(`${scene.url}${HERE}`);
  const off = `Math.abs(document.querySelector('.scr video').currentTime - (${MEDIA}.currentTime - 1.4))`;
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  for (const [speed, from] of [
    [1, 3],
    [2, 8],
    [1, 2],
  ] as const) {
    await page.getByRole('combobox', { name: 'Speed' }).selectOption(String(speed));
    await page.evaluate(`${MEDIA}.currentTime = ${String(from)}`);
    await page.evaluate('window.inStep = 0');
    await until(
      page,
      `!${MEDIA}.seeking && !document.querySelector('.scr video').seeking && (window.inStep = ${off} < 0.1 ? window.inStep + 1 : 0) >= 5`,
    );
  }
  await pressPause(page);
  await until(page, "document.querySelector('.scr video').paused");
  assert.deepEqual(await view.problems(), []);
});

test('what was played is claimed on record; it says from where to where', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  const before = (await records('played')).length;
  await page.goto(`${scene.url}${HERE}#t=4`);
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await until(page, `${MEDIA}.currentTime > 5`);
  await page.goto('about:blank');
  let claims: readonly AuditRecord[] = [];
  while (claims.length === 0) {
    await sleep(50);
    claims = (await records('played')).slice(before);
  }
  const { about, recordingId } = claims[0] ?? {};
  assert.equal(recordingId, R);
  assert.ok(Math.abs(Number(about?.['fromS']) - 4) < 1 && Number(about?.['toS']) >= 4.5, JSON.stringify(about));
});

test('what was played while the service was away is claimed once it answers again', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  const before = (await records('played')).length;
  await page.route('**/console/played/**', (route) => route.fulfill({ status: 503, body: '' }));
  await page.goto(`${scene.url}${HERE}#t=4`);
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  const refused = page.waitForResponse((answer) => answer.status() === 503);
  await pauseBeyond(page, 5);
  await refused;
  await page.unroute('**/console/played/**');
  assert.equal((await records('played')).length, before);
  const again = page.waitForResponse((answer) => answer.url().includes('/played/') && answer.status() === 200);
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await pauseBeyond(page, 6);
  await again;
  let claims: readonly AuditRecord[] = [];
  while (claims.length < 2) {
    await sleep(50);
    claims = (await records('played')).slice(before);
  }
  const from = claims.map(({ about }) => Number(about?.['fromS'])).toSorted((a, b) => a - b);
  assert.ok(Math.abs((from[0] ?? NaN) - 4) < 1 && (from[1] ?? NaN) >= 4.5, JSON.stringify(from));
});

test('sound that is on its way is said to be, and no more once it plays', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  const held = Promise.withResolvers<void>();
  await page.route('**/console/media/**', async (route) => {
    await held.promise;
    await route.continue();
  });
  await page.goto(`${scene.url}${HERE}`);
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  const said = page.getByRole('status').filter({ hasText: /^Loading$/ });
  await said.waitFor();
  held.resolve();
  await until(page, `${MEDIA}.currentTime > 0.2`);
  await said.waitFor({ state: 'detached' });
  await page.unroute('**/console/media/**');
});

test('in forced colours it is seen what is chosen, what is on, who speaks and where both do', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  await page.emulateMedia({ forcedColors: 'active' });
  await page.goto(`${scene.url}/console/find?open=${HERE.split('/').slice(-2).join('.')}`);
  await page.locator('.marks button').first().waitFor();
  const shown = await page.evaluate<Readonly<Record<string, string>>>(`(() => {
    const styleOf = (what, part) => getComputedStyle(document.querySelector(what), part);
    const colourOf = (name) => {
      const wave = document.querySelector('call-wave');
      wave.style.color = 'var(--' + name + ')';
      const { color } = styleOf('call-wave');
      wave.style.color = '';
      return color;
    };
    return {
      side: styleOf('.ctl .seg label:has(:checked)').backgroundColor,
      otherSide: styleOf('.ctl .seg label:not(:has(:checked))').backgroundColor,
      row: styleOf('.list tr.sel').outlineStyle,
      otherRow: styleOf('.list tr:not(.sel, .day)').outlineStyle,
      skip: styleOf('.sw input').appearance,
      page: styleOf('body').backgroundColor,
      mark: styleOf('.marks button', '::after').backgroundColor,
      key: styleOf('.key').backgroundColor,
      customer: colourOf('cus'),
      agent: colourOf('agt'),
    };
  })()`);
  assert.notEqual(shown['side'], shown['otherSide']);
  assert.notEqual(shown['row'], shown['otherRow']);
  assert.notEqual(shown['skip'], 'none');
  for (const name of ['mark', 'key', 'customer', 'agent']) assert.notEqual(shown[name], shown['page'], name);
  assert.notEqual(shown['customer'], shown['agent']);
  assert.deepEqual(await view.problems(), []);
});

test(
  'a connection that breaks midway keeps the position and offers to try again; what was erased says so',
  OPTIONS,
  async () => {
    await using view = await openView(browser, DESK);
    const { page } = view;
    let answer: { status: number } | undefined;
    await page.route('**/console/media/**', (route) =>
      answer === undefined ? route.abort() : route.fulfill({ ...answer, body: '' }),
    );
    await page.goto(`${scene.url}${HERE}#t=6`);
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.getByText('Connection lost at 0:06').waitFor();
    answer = { status: 410 };
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('It was erased meanwhile.').waitFor();
    await page.unroute('**/console/media/**');
  },
);

test('what broke is offered anew while nobody tells why, and what turns out later is said then', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  const told = Promise.withResolvers<void>();
  let isAway = true;
  await page.route('**/console/media/**', async (route) => {
    if (!isAway) return route.continue();
    if (route.request().method() !== 'HEAD') return route.abort();
    await told.promise;
    return route.fulfill({ status: 503, body: '' });
  });
  await page.goto(`${scene.url}${HERE}#t=6`);
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await page.getByText('Connection lost at 0:06').waitFor();
  await page.getByRole('button', { name: 'Try again' }).focus();
  told.resolve();
  await page.getByText('The archive or its audit is away just now.').waitFor();
  isAway = false;
  await page.keyboard.press('Enter');
  await until(page, `!${MEDIA}.paused && ${MEDIA}.currentTime > 6.1`);
  await page.unroute('**/console/media/**');
});

test('who is signed out meanwhile is told so over the page, and the player stays where it is', OPTIONS, async () => {
  await using view = await openView(browser, DESK);
  const { page } = view;
  await page.goto(`${scene.url}${HERE}#t=6`);
  const who = scene.who;
  scene.who = undefined;
  try {
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.getByRole('dialog', { name: 'You are signed out' }).waitFor();
    assert.match((await page.getByRole('dialog').textContent()) ?? '', /stays at 0:06/);
  } finally {
    scene.who = who;
  }
  await page.getByRole('button', { name: 'Stay here' }).click();
  await page.getByRole('button', { name: 'Try again' }).click();
  await until(page, `${MEDIA}.currentTime > 6.2`);
});

test('without scripts links open, the form finds, and the browser’s own controls play', OPTIONS, async () => {
  const context = await openContext(browser, { javaScriptEnabled: false });
  try {
    const page = await context.newPage();
    await page.goto(`${scene.url}/console/find`);
    await page.getByRole('searchbox').fill('carvalho');
    await page.getByRole('searchbox').press('Enter');
    await page.waitForURL(/q=carvalho/);
    await page.locator('.list td a').first().click();
    await page.waitForURL(/open=/);
    assert.equal(await page.locator('call-player audio[controls]').count(), 1);
    assert.equal(await page.locator('.scr video[controls]').count(), 1);
    await picture(page, 'find-without-scripts');
  } finally {
    await context.close();
  }
});

test(
  'the pages keep their budgets: scripts 20 kB, style 8 kB, the find page 40 kB, each gzipped',
  OPTIONS,
  async () => {
    const page = await (await scene.get('/console/find')).text();
    const style = /href="([^"]+console\.css)"/.exec(page)?.[1] ?? '';
    const folder = style.slice(0, style.lastIndexOf('/'));
    const sizeOf = async (path: string): Promise<number> => {
      const answer = await scene.get(path, { 'accept-encoding': 'gzip' });
      await answer.arrayBuffer();
      return answer.status === 200 ? Number(answer.headers.get('content-length')) : 0;
    };
    const modules = (await openAssets()).names.filter((name) => name.endsWith('.js'));
    const sizes = await Promise.all(modules.map((name) => sizeOf(`${folder}/${name}`)));
    const scripts = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(sizes.every((size) => size > 0) && scripts <= 20 * 1024, `${String(scripts)} bytes of scripts`);
    const styleSize = await sizeOf(style);
    assert.ok(styleSize > 0 && styleSize <= 8 * 1024, `${String(styleSize)} bytes of style`);
    const rows = Array.from({ length: 60 }, (_, n) =>
      rowAt(
        new Date(Date.UTC(2026, 9, 1) + n * 60_000).toISOString(),
        `${C.slice(0, -2)}${String(10 + n)}.${R.slice(0, -2)}${String(10 + n)}`,
        {
          agent: `Ines Carvalho ${String(n)}`,
          inQueue: `Claims ${String(n % 7)}`,
          customerNumber: `+4420794601${String(10 + n)}`,
          picture: ['0123456789abcdef0123456789ab', 'fedcba9876543210fedcba987654'],
        },
      ),
    );
    scene.search.put(rows);
    const full = await sizeOf('/console/find?from=2026-10-01&to=2026-10-02');
    assert.ok(full > 2_000 && full <= 40 * 1024, `${String(full)} bytes of a page of 50 rows`);
  },
);
