/** Every page in every state: nothing that accessibility rules or the policy forbid, no control without a name, in both themes and at two widths. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { PAGES } from '../../src/console/pages.ts';
import { Failure } from '../../src/failure.ts';
import { failureOf, waitingOf } from '../support/archive/content.ts';
import { findChromium, launchChromium } from '../support/browser/browser.ts';
import { addCall } from '../support/console/calls.ts';
import {
  namelessControls,
  type Opened,
  openView,
  picture,
  pressPause,
  type View,
  VIEWS,
} from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { takeableParts, type TakenParts } from '../support/console/parts.ts';
import { runs } from '../support/soak.ts';

const executable = findChromium();
const OPTIONS = { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 400_000 };
const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const HOSTILE = '"><script>alert(1)</script>\u202E'.repeat(4);

const STATES: readonly (readonly [string, string])[] = [
  ['recording', '/console/find?open=b0c5b9e0.r1'],
  ['nothing-found', '/console/find?q=nobody&minLength=60&status=archived&direction=inbound&queue=Claims'],
  ['waiting', '/console/find?open=w.w1'],
  ['failed', '/console/recordings/f/f1'],
  ['no-media', '/console/recordings/m/m1'],
  ['erased', '/console/recordings/gone/r9'],
  ['unknown', '/console/recordings/_/nowhere'],
  ['conversation', '/console/recordings/b0c5b9e0'],
  ['hostile', '/console/find?open=evil.r1'],
  ['no-levels', '/console/recordings/plain/r1'],
  ['screen-alone', '/console/recordings/b0c5b9e0/screen'],
  ['index-behind', '/console/find?from=2026-11-27&to=2026-11-27'],
  ['wrong-question', '/console/find?from=2026-01-01&to=2026-11-27&q=carvalho'],
  ['wrong-key', '/console/find?open=..%2F..'],
  ['no-page', '/console/nowhere'],
  ['health', '/console/health'],
  ['failures', '/console/failures'],
  ['failures-none', '/console/failures?code=gone'],
  ['failures-asked', '/console/failures?replay=ask'],
  ['failures-wrong', '/console/failures?from=yesterday'],
  ['audit', '/console/audit?from=2026-11-20&to=2026-11-29'],
  ['audit-none', '/console/audit?who=nobody'],
  ['audit-wrong', '/console/audit?C=..%2Fx'],
  ['erase-one', '/console/erase?of=b0c5b9e0.screen'],
  ['erase-call', '/console/erase?of=b0c5b9e0._'],
  ['erase-nothing', '/console/erase?of=nobody._'],
  ['erase-wrong', '/console/erase?of=..%2Fx'],
];

/** States that a page comes into by what somebody does, or by what becomes of the service meanwhile. */
const DONE: readonly (readonly [string, string, (page: Page) => Promise<void>])[] = [
  [
    'playing',
    '/console/find?open=b0c5b9e0.r1',
    async (page) => {
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      await pressPause(page);
    },
  ],
  [
    'near-by',
    '/console/recordings/b0c5b9e0/r1#t=8',
    async (page) => void (await page.getByRole('combobox', { name: 'Zoom' }).selectOption('16')),
  ],
  ['behind-the-end', '/console/recordings/b0c5b9e0/r1#t=500', (page) => page.getByText(/behind the end/).waitFor()],
  [
    'keys',
    '/console/find',
    async (page) => {
      await page.keyboard.press('Shift+?');
      await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    },
  ],
  [
    'lost',
    '/console/recordings/b0c5b9e0/r1#t=3',
    async (page) => {
      await routed(page, '**/console/media/**', (route) => route.abort());
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      await page.getByText('Connection lost at 0:03').waitFor();
      await page.unroute('**/console/media/**');
    },
  ],
  [
    'signed-out',
    '/console/recordings/b0c5b9e0/r1#t=3',
    async (page) => {
      await routed(page, '**/console/media/**', (route) => route.fulfill({ status: 401, body: '' }));
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      await page.getByRole('dialog', { name: 'You are signed out' }).waitFor();
      await page.unroute('**/console/media/**');
    },
  ],
  ['loading', '/console/find', (page) => slowly(page, /^Loading$/)],
  ['slow', '/console/find', (page) => slowly(page, /still trying/)],
  [
    'given-up',
    '/console/find',
    async (page) => {
      await slowly(page, /still trying/);
      await page.getByRole('button', { name: 'Cancel' }).click();
      await page.getByText('Not loaded.').waitFor();
    },
  ],
  ['menu', '/console/find', (page) => page.locator('.me summary').click()],
];

/** What was shown before archive, index and audit went away, and is shown still. */
const KNOWN: readonly (readonly [string, string])[] = [
  ['known-find', '/console/find?open=b0c5b9e0.r1'],
  ['known-recording', '/console/recordings/b0c5b9e0/r1'],
  ['known-conversation', '/console/recordings/b0c5b9e0'],
  ['known-waiting', '/console/recordings/w/w1'],
  ['known-failed', '/console/recordings/f/f1'],
  ['known-hostile', '/console/find?open=evil.r1'],
  ['known-erased', '/console/recordings/gone/r9'],
  ['known-failures', '/console/failures'],
  ['known-audit', '/console/audit?from=2026-11-20&to=2026-11-29'],
];

/** What a page that is loaded already asks for next may still go through: it is loaded anew. */
async function routed(page: Page, ...route: Parameters<Page['route']>): Promise<void> {
  await page.route(...route);
  await page.reload();
}

/** A recording is asked for and does not come. */
async function slowly(page: Page, said: RegExp): Promise<void> {
  await routed(page, '**/console/find?*open=*', () => undefined);
  await page.locator('.list td a').first().click();
  await page.getByRole('status').filter({ hasText: said }).waitFor();
}

let browser: Browser;
let scene: ConsoleScene;
let empty: ConsoleScene;
let away: ConsoleScene;
let taken: TakenParts;
let known: ConsoleScene;
before(async () => {
  if (executable === undefined) return;
  const gone = async (): Promise<never> => {
    throw new Failure('archive-unavailable', 'The index is away.');
  };
  [browser, scene, empty, away] = await Promise.all([
    launchChromium(executable),
    openConsoleScene(),
    openConsoleScene(),
    openConsoleScene({ needs: { search: { search: gone, close: async () => undefined } } }),
  ]);
  taken = takeableParts(scene);
  known = await openConsoleScene({ needs: taken.needs });
  for (const one of [scene, known]) one.now = new Date('2026-11-27T17:09:00Z');
  const { archive } = scene;
  const call = { conversationId: 'b0c5b9e0', recordingId: 'r1' };
  await addCall(archive, call, { agent: 'Ines Carvalho', seconds: 20 });
  await addCall(archive, { ...call, recordingId: 'screen' }, { isKnown: false, medium: 'video', seconds: 20 });
  await addCall(
    archive,
    { conversationId: 'evil', recordingId: 'r1' },
    { agent: HOSTILE, queue: HOSTILE, number: '9'.repeat(300), seconds: 20, startedAt: '2026-11-26T10:00:00.000Z' },
  );
  await addCall(
    archive,
    { conversationId: 'plain', recordingId: 'r1' },
    { isKnown: false, hasLevels: false, seconds: 20, startedAt: '2026-11-25T10:00:00.000Z' },
  );
  const [failed, waits] = [
    { conversationId: 'f', recordingId: 'f1' },
    { conversationId: 'w', recordingId: 'w1' },
  ];
  await archive.recordFailure(
    failed,
    failureOf(failed, { failedAt: '2026-11-27T16:00:00.000Z', reason: HOSTILE }),
    signal(),
  );
  await archive.recordWaiting(waits, waitingOf(waits, { since: '2026-11-27T16:32:00.000Z' }), signal());
  const chat = { conversationId: 'm', recordingId: 'm1' };
  await archive.recordFailure(
    chat,
    failureOf(chat, { status: 'no-media', code: 'no-media', failedAt: '2026-11-27T15:00:00.000Z' }),
    signal(),
  );
  await archive.notes.create('erased/gone.r9.json', '{}', signal());
  await scene.search.fill(signal());
});
after(async () => {
  if (executable === undefined) return;
  await browser.close();
  await scene[Symbol.asyncDispose]();
  await empty[Symbol.asyncDispose]();
  await away[Symbol.asyncDispose]();
  await known[Symbol.asyncDispose]();
});

/** Every state in all four in the long run; else each in one of a light phone and a dark desk. */
const isLong = runs(0, 1) === 1;
const views = isLong ? VIEWS : VIEWS.filter(({ theme, width }) => (theme === 'light') === width < 1000);

function inView<T>(states: readonly T[], view: View): readonly T[] {
  return isLong ? states : states.filter((_, index) => index % 2 === views.indexOf(view));
}

/** What the browser says of answers that are refused on purpose is no fault of the page. */
async function faultsOf(opened: Opened): Promise<readonly string[]> {
  const found = [...(await opened.problems()), ...(await namelessControls(opened.page))];
  return found.filter((problem) => !problem.startsWith('Failed to load resource'));
}

test('every page has a state here', () => {
  const shown = STATES.map(([, path]) => path.slice('/console'.length).split('?')[0] ?? '');
  for (const { method, gives, path } of PAGES) {
    if (method !== 'GET' || gives !== 'page' || path === '/') continue;
    const pattern = new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`);
    assert.ok(
      shown.some((one) => pattern.test(one)),
      `no state of ${path} is looked at`,
    );
  }
});

for (const view of views) {
  test(`${view.theme}, ${String(view.width)} px: no state breaks a rule`, OPTIONS, async () => {
    await using opened = await openView(browser, view);
    const { page } = opened;
    for (const [name, path] of inView(STATES, view)) {
      await page.goto(scene.url + path);
      // The picture of who speaks has come.
      if ((await page.locator('call-player').count()) > 0) await page.waitForLoadState('networkidle');
      assert.deepEqual(await faultsOf(opened), [], name);
      await picture(page, `state-${name}-${view.theme}-${String(view.width)}`);
    }
    for (const [name, path, act] of inView(DONE, view)) {
      await page.goto('about:blank');
      await page.goto(scene.url + path);
      await act(page);
      assert.deepEqual(await faultsOf(opened), [], name);
      await picture(page, `state-${name}-${view.theme}-${String(view.width)}`);
      await page.unrouteAll({ behavior: 'ignoreErrors' });
    }
    for (const [name, { url }, path] of [
      ['first', empty, '/console/find'],
      ['first-health', empty, '/console/health'],
      ['first-failures', empty, '/console/failures'],
      ['first-audit', empty, '/console/audit'],
      ['away', away, '/console/find'],
    ] as const) {
      await page.goto(url + path);
      assert.deepEqual(await faultsOf(opened), [], name);
      await picture(page, `state-${name}-${view.theme}-${String(view.width)}`);
    }
    for (const [name, path] of inView(KNOWN, view)) {
      Object.assign(taken.state, { archive: 'there', index: 'there', audit: 'there' });
      await page.goto(known.url + path);
      Object.assign(taken.state, { archive: 'throws', index: 'throws', audit: 'throws' });
      await page.reload();
      assert.ok((await page.getByText('What is shown is what was known then.').count()) > 0, name);
      assert.deepEqual(await faultsOf(opened), [], name);
      await picture(page, `state-${name}-${view.theme}-${String(view.width)}`);
    }
    scene.who = { ...EVERYBODY, roles: new Set(['listen']), divisions: new Set(['division-2']) };
    try {
      await page.goto(`${scene.url}/console/find?open=b0c5b9e0.r1`);
      assert.deepEqual(await faultsOf(opened), [], 'another division');
      await page.goto(`${scene.url}/console/audit`);
      assert.deepEqual(await faultsOf(opened), [], 'a role is missing');
    } finally {
      scene.who = EVERYBODY;
    }
  });
}

test(
  '320 px, text twice as large, other colours: nothing is lost, nothing scrolls sideways but the table',
  OPTIONS,
  async () => {
    await using opened = await openView(browser, { theme: 'light', width: 320 });
    const { page } = opened;
    await page.emulateMedia({ forcedColors: 'active', reducedMotion: 'reduce' });
    for (const path of [
      '/console/find?open=b0c5b9e0.r1',
      '/console/recordings/b0c5b9e0/r1',
      '/console/find?open=evil.r1',
    ]) {
      await page.goto(scene.url + path, { waitUntil: 'networkidle' });
      assert.deepEqual(await opened.problems(), [], path);
      await page.evaluate("document.documentElement.style.fontSize = '200%'");
      assert.equal(
        await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'),
        true,
        `${path} at 200 %`,
      );
    }
    await picture(page, 'state-320-large');
  },
);
