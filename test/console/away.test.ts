/** Pages while the archive, the index or the audit is away: what was known stays, greyed and dated, for whoever knew it; and a page goes on by itself. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { LastShown } from '../../src/console/last-shown.ts';
import type { Identity } from '../../src/console/who/identity.ts';
import { Failure } from '../../src/failure.ts';
import { openContext } from '../support/browser/browser.ts';
import { addCall } from '../support/console/calls.ts';
import {
  chromiumForTests,
  DESK,
  namelessControls,
  type Opened,
  openView,
  picture,
  VIEWS,
} from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { type PartName, type PartState, takeableParts, type TakenParts } from '../support/console/parts.ts';
import { addFailed } from '../support/console/troubles.ts';

const { options, browser } = chromiumForTests();
const NOW = new Date('2026-11-27T17:09:00Z');
const LATER = new Date('2026-11-27T17:32:00Z');
const HERE = '/console/recordings/c1/r1';
/** Records are dated by the machine's own clock. */
const AUDIT = `/console/audit?from=${new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)}&to=${new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)}`;

interface AwayScene extends AsyncDisposable {
  readonly scene: ConsoleScene;
  readonly state: TakenParts['state'];
}

let real: ConsoleScene;
before(async () => {
  real = await openConsoleScene();
  real.now = NOW;
  const call = { conversationId: 'c1', recordingId: 'r1' };
  await addCall(real.archive, call, { agent: 'Ines Carvalho', seconds: 20 });
  await addCall(real.archive, { conversationId: 'c2', recordingId: 'r2' }, { agent: 'Wen Li', seconds: 20 });
  await addFailed(real.archive, { recordingId: 'f-1', reason: 'Ines Carvalho hung up.', at: NOW });
  await real.search.fill(AbortSignal.timeout(120_000));
  // So that the audit tells of a recording.
  await real.get(HERE);
});
after(() => real[Symbol.asyncDispose]());

/** Over the same archive, index and audit; nobody was shown anything yet. */
async function open(patienceMs = 60_000, returnsFreshMs = 0): Promise<AwayScene> {
  const { state, needs } = takeableParts(real);
  const scene = await openConsoleScene({ needs: { ...needs, patienceMs }, options: { returnsFreshMs } });
  scene.now = NOW;
  return { scene, state, [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() };
}

function take(state: TakenParts['state'], names: readonly PartName[], how: PartState): void {
  for (const name of names) state[name] = how;
}

function textOf(markup: string): string {
  return markup.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
}

/** What each page cannot do without, and what it tells. */
const SHOWN: readonly (readonly [string, readonly PartName[], RegExp])[] = [
  ['/console/find?q=ines', ['index'], /1 found.*Ines Carvalho.*…183|0183/],
  ['/console/find?q=ines', ['audit'], /1 found.*Ines Carvalho/],
  [HERE, ['archive'], /Ines Carvalho.*Customer.*Facts.*SHA-256.*Who listened/],
  [HERE, ['audit'], /Ines Carvalho.*Facts/],
  ['/console/recordings/c1', ['archive'], /Ines Carvalho.*Its recordings.*Voice/],
  ['/console/recordings/c-of-f-1/f-1', ['archive'], /It could not be archived.*Ines Carvalho hung up/],
  ['/console/failures?code=unreadable-media', ['archive'], /1 failure.*Ines Carvalho hung up/],
  [AUDIT, ['audit'], /\d+ records?.*signed-in|looked/],
  ['/console/find?q=ines&open=c1.r1', ['archive', 'index', 'audit'], /1 found.*Ines Carvalho.*Facts.*SHA-256/],
];

for (const how of ['throws', 'hangs'] as const)
  for (const [path, names, told] of SHOWN)
    test(`${names.join(', ')} ${how}: ${path} stays as it was, dated, with nothing to do but to wait`, async () => {
      // What hangs is waited for so long, whatever the machine does.
      await using away = await open(how === 'hangs' ? 1_500 : 60_000);
      const { scene, state } = away;
      const first = await scene.get(path);
      assert.equal(first.status, 200);
      assert.match(textOf(await first.text()), told);
      scene.now = LATER;
      take(state, names, how);
      const answer = await scene.get(path);
      const markup = await answer.text();
      assert.equal(answer.status, 503);
      assert.equal(answer.headers.get('retry-after'), '10');
      assert.match(answer.headers.get('content-type') ?? '', /^text\/html/);
      const text = textOf(markup);
      assert.match(text, told);
      assert.match(text, /As of 17:09 UTC .*What is shown is what was known then/);
      assert.match(text, /is away|does not answer in time/);
      assert.match(text, /What to do next: .*Try again/);
      assert.match(markup, /<nav class="main" aria-label="Main">/);
      assert.equal(/<form[^>]*method="get"|<form[^>]*role="search"/.test(markup), !path.includes('/recordings/'));
      const [, main = ''] = /<main[^>]*>(.*)<\/main>/s.exec(markup) ?? [];
      assert.doesNotMatch(main, /method="post"|<audio|<video|call-player|replay=ask|data-act=/);
      take(state, names, 'there');
      const back = await scene.get(path);
      assert.equal(back.status, 200);
      assert.doesNotMatch(textOf(await back.text()), /As of/);
    });

/** Who may see less, or is somebody else: none of it is theirs. */
const OTHERS: readonly (readonly [string, Partial<Identity>])[] = [
  ['somebody else with the same roles', { id: 'other@example.com' }],
  ['the same id by another way', { way: 'key' }],
  ['they themselves, without numbers', { roles: new Set([...EVERYBODY.roles].filter((role) => role !== 'numbers')) }],
  ['they themselves, limited to another division', { divisions: new Set(['division-2']) }],
  ['they themselves, limited to its division', { divisions: new Set(['division-1']) }],
];

for (const [whose, change] of OTHERS)
  test(`what one was shown is not shown to ${whose}`, async () => {
    await using away = await open();
    const { scene, state } = away;
    for (const [path] of SHOWN) assert.equal((await scene.get(path)).status, 200, path);
    take(state, ['archive', 'index', 'audit'], 'throws');
    scene.who = { ...EVERYBODY, ...change };
    for (const [path] of SHOWN) {
      const answer = await scene.get(path);
      const markup = await answer.text();
      assert.equal(answer.status, 503, path);
      assert.doesNotMatch(markup, /Ines|0183|183<|hung up|As of/, path);
      assert.match(textOf(markup), /The (archive|index|audit) is away.*Try again/, path);
    }
    scene.who = EVERYBODY;
    assert.match(textOf(await (await scene.get(HERE)).text()), /As of .*Ines Carvalho/);
  });

test('a role or a division that was taken away is gone at once, whatever was shown before', async () => {
  await using away = await open();
  const { scene, state } = away;
  for (const [path] of SHOWN) await scene.get(path);
  take(state, ['archive', 'index', 'audit'], 'throws');
  scene.who = { ...EVERYBODY, roles: new Set(['audit']) };
  for (const path of [HERE, '/console/find?q=ines', '/console/failures?code=unreadable-media'])
    assert.equal((await scene.get(path)).status, 403, path);
  scene.who = { ...EVERYBODY, roles: new Set(['listen', 'numbers']) };
  assert.equal((await scene.get(AUDIT)).status, 403);
  // Limited to another division he is refused while the archive is there; nothing of before comes back when it goes.
  take(state, ['archive', 'index', 'audit'], 'there');
  scene.who = { ...EVERYBODY, divisions: new Set(['division-2']) };
  assert.equal((await scene.get(HERE)).status, 403);
  take(state, ['archive', 'index', 'audit'], 'throws');
  assert.doesNotMatch(await (await scene.get(HERE)).text(), /Ines/);
});

test('what was erased from a page is not shown any more', async () => {
  const own = await openConsoleScene();
  await addCall(own.archive, { conversationId: 'c1', recordingId: 'r1' }, { agent: 'Ines Carvalho', seconds: 20 });
  const { state, needs } = takeableParts(own);
  await using scene = await openConsoleScene({ needs });
  assert.match(await (await scene.get(HERE)).text(), /Ines/);
  const form = { of: 'c1.r1', id: 'r1', reason: 'asked for', count: '1' };
  assert.match(await (await scene.post('/console/erase', form, HERE)).text(), /It is erased/);
  take(state, ['archive'], 'throws');
  assert.doesNotMatch(await (await scene.get(HERE)).text(), /Ines/);
  await own[Symbol.asyncDispose]();
});

test('no search and no look without its record: with the audit away nobody sees what he has not seen', async () => {
  await using away = await open();
  const { scene, state } = away;
  take(state, ['audit'], 'throws');
  for (const path of ['/console/find?q=ines', HERE, AUDIT]) {
    const answer = await scene.get(path);
    assert.equal(answer.status, 503);
    assert.doesNotMatch(await answer.text(), /Ines/, path);
  }
});

test('the archive is away beside an index that is there: the list is of now, the recording says so', async () => {
  await using away = await open();
  const { scene, state } = away;
  take(state, ['archive'], 'throws');
  const answer = await scene.get('/console/find?q=ines&open=c1.r1');
  assert.equal(answer.status, 200);
  const markup = await answer.text();
  assert.match(textOf(markup), /1 found .*Cannot be shown just now The archive is away\..*Try again/);
  assert.equal(markup.match(/<live-page/g)?.length, 1);
});

test('what cannot be shown at all keeps its frame and waits as well; a form that was sent says where to go back to', async () => {
  await using away = await open();
  const { scene, state } = away;
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(await (await scene.get(HERE)).text()) ?? [];
  take(state, ['archive'], 'throws');
  for (const path of ['/console/failures?replay=ask', '/console/erase?of=c1.r1']) {
    const answer = await scene.get(path);
    assert.equal(answer.status, 503, path);
    assert.match(await answer.text(), /<nav class="main".*data-watch="\/console\/away\.json\?of=archive"/s, path);
  }
  const send = (path: string, form: Readonly<Record<string, string>>): Promise<Response> =>
    fetch(scene.url + path, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'same-origin', referer: scene.url + HERE },
      body: new URLSearchParams({ token, of: 'c1.r1', ...form }),
    });
  for (const [path, form] of [
    ['/console/verify', {}],
    ['/console/erase', { id: 'r1', reason: 'x', count: '1' }],
    ['/console/release', { case: 'a' }],
  ] as const) {
    const answer = await send(path, form);
    assert.equal(answer.status, 503, path);
    assert.match(await answer.text(), /href="\/console\/recordings\/c1\/r1">Back/, path);
  }
  const held = await send('/console/hold', { case: 'Case 7', reason: 'a claim is open' });
  assert.equal(held.status, 503);
  assert.match(await held.text(), /value="Case 7".*value="a claim is open"/s, 'what was typed stays');
});

test('however many pages wait, a part is asked for once in a while', async () => {
  await using away = await open(60_000, 3_600_000);
  const { scene, state } = away;
  const ask = async (part: string, etag = '"away"'): Promise<number> =>
    (await scene.get(`/console/away.json?of=${part}`, { 'if-none-match': etag })).status;
  for (const part of ['archive', 'index', 'audit'] as const) {
    take(state, [part], 'throws');
    assert.equal(await ask(part), 304, part);
    take(state, [part], 'there');
    assert.deepEqual(
      await Promise.all(Array.from({ length: 20 }, () => ask(part))),
      Array(20).fill(304),
      'asked lately',
    );
  }
  await using fresh = await open();
  assert.equal(
    await ((s) => s.get('/console/away.json?of=archive', { 'if-none-match': '"away"' }))(fresh.scene).then(
      ({ status }) => status,
    ),
    200,
  );
  assert.equal((await scene.get('/console/away.json?of=nothing')).status, 400);
});

const READER = EVERYBODY;
const away = async (): Promise<never> => {
  throw new Failure('archive-unavailable', 'away');
};
const soon = (): AbortSignal => AbortSignal.timeout(60_000);

test('what is remembered has a bound in bytes; the oldest goes first, and what is larger than a quarter is not kept', async () => {
  const shown = new LastShown<string>({ now: () => NOW, patienceMs: 60_000 }, 100_000);
  const look = (of: string, facts?: string): Promise<unknown> =>
    shown.look({ of, who: READER }, facts === undefined ? away : async () => facts, soon());
  for (let n = 0; n < 500; n += 1) {
    await look(`page ${String(n)}`, 'x'.repeat(n % 7 === 0 ? 20_000 : 1_000));
    assert.ok(shown.bytes <= 100_000, String(shown.bytes));
  }
  assert.ok(shown.bytes > 50_000);
  const factsOf = async (of: string): Promise<unknown> => (await shown.look({ of, who: READER }, away, soon())).facts;
  assert.equal(await factsOf('page 0'), undefined);
  assert.equal(await factsOf('page 499'), 'x'.repeat(1_000));
  await look('page 499', 'x'.repeat(30_000));
  assert.equal(await factsOf('page 499'), undefined, 'neither the large one nor the one before it');
  shown.forget();
  assert.equal(shown.bytes, 0);
});

test('it is kept for an hour by either direction of the clock, and not beyond what somebody may not see any more', async () => {
  let now = NOW.getTime();
  const shown = new LastShown<string>({ now: () => new Date(now), patienceMs: 60_000 });
  const asked = { of: 'a', who: READER };
  const known = async (): Promise<string | undefined> => (await shown.look(asked, away, soon())).facts;
  for (const [passedMs, isKept] of [
    [0, true],
    [3_599_000, true],
    [-3_599_000, true],
    [3_601_000, false],
    [-3_601_000, false],
  ] as const) {
    now = NOW.getTime();
    await shown.look(asked, async () => 'facts', soon());
    now += passedMs;
    assert.equal((await known()) === 'facts', isKept, String(passedMs));
  }
  await shown.look(asked, async () => 'facts', soon());
  for (const code of ['unauthorized', 'erased', 'internal', 'bad-request'] as const) {
    await shown.look(asked, async () => 'facts', soon());
    const refused = async (): Promise<never> => {
      throw new Failure(code, 'no');
    };
    await assert.rejects(shown.look(asked, refused, soon()), { code });
    assert.equal(await known(), undefined, code);
  }
  await assert.rejects(shown.look(asked, away, AbortSignal.abort(new Error('left'))), /left/);
});

const PAGES = [
  ['find', '/console/find?q=ines&open=c1.r1'],
  ['recording', HERE],
  ['failures', '/console/failures'],
  ['audit', AUDIT],
] as const;

/** All of it away after a first look. */
async function shownOnce(at: AwayScene, { page }: Opened, path: string): Promise<void> {
  await page.goto(at.scene.url + path);
  at.scene.now = LATER;
  take(at.state, ['archive', 'index', 'audit'], 'throws');
}

/** What the browser says of answers that are refused on purpose is no fault of the page. */
async function faultsOf(opened: Opened): Promise<readonly string[]> {
  const found = [...(await opened.problems()), ...(await namelessControls(opened.page))];
  return found.filter((problem) => !problem.startsWith('Failed to load resource'));
}

const waiting = (page: Page) => page.locator('live-page.away');

for (const view of VIEWS)
  test(`${view.theme}, ${String(view.width)} px: what was known is greyed, and breaks no rule`, options, async () => {
    // Each page in one of both themes and at one of both widths; test/console/states.soak.test.ts has them all.
    const isFirst = (view.theme === 'light') === view.width < 1000;
    for (const [name, path] of PAGES.filter((_, index) => (index % 2 === 0) === isFirst)) {
      await using at = await open();
      await using opened = await openView(browser(), view);
      const { page } = opened;
      await page.goto(at.scene.url + path);
      at.scene.now = LATER;
      take(at.state, ['archive', 'index', 'audit'], 'throws');
      await page.reload();
      assert.ok((await waiting(page).count()) > 0, name);
      assert.equal(await page.evaluate("getComputedStyle(document.querySelector('.away ~ *')).filter"), 'grayscale(1)');
      assert.deepEqual(await faultsOf(opened), [], name);
      await picture(page, `away-${name}-${view.theme}-${String(view.width)}`);
      at.scene.who = { ...EVERYBODY, id: 'ruth@example.com' };
      await page.reload();
      assert.deepEqual(await faultsOf(opened), [], `${name}, never shown`);
      await picture(page, `away-never-${name}-${view.theme}-${String(view.width)}`);
    }
    await using at = await open();
    await using opened = await openView(browser(), view);
    take(at.state, ['archive'], 'throws');
    await opened.page.goto(`${at.scene.url}/console/erase?of=c1.r1`);
    assert.deepEqual(await faultsOf(opened), [], 'erase');
    await picture(opened.page, `away-erase-${view.theme}-${String(view.width)}`);
  });

test('by keyboard: the form, the list and “Try again” are where they were, and it comes back', options, async () => {
  await using at = await open();
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  await shownOnce(at, opened, '/console/find?q=ines');
  await page.reload();
  await page.keyboard.press('/');
  await page.keyboard.type('x');
  assert.match(await page.locator('#q').inputValue(), /x/);
  await page.locator('.away a').focus();
  at.scene.now = NOW;
  take(at.state, ['archive', 'index', 'audit'], 'there');
  await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')]);
  assert.equal(await waiting(page).count(), 0);
  assert.match((await page.locator('#found').textContent()) ?? '', /1 found/);
});

test('without scripts: all of it is there, with a link to try again and no promise to go on', options, async () => {
  await using at = await open();
  const context = await openContext(browser(), { javaScriptEnabled: false });
  const page = await context.newPage();
  for (const [name, path] of PAGES) {
    take(at.state, ['archive', 'index', 'audit'], 'there');
    await page.goto(at.scene.url + path);
    take(at.state, ['archive', 'index', 'audit'], 'throws');
    await page.reload();
    const note = waiting(page).first();
    assert.match(await note.innerText(), /As of/, name);
    assert.doesNotMatch(await note.innerText(), /by itself/, name);
    take(at.state, ['archive', 'index', 'audit'], 'there');
    await Promise.all([page.waitForEvent('load'), note.getByRole('link', { name: 'Try again' }).press('Enter')]);
    assert.equal(await waiting(page).count(), 0, name);
  }
  await context.close();
});

/** As its timer does every ten seconds; a part that was taken over waits no more. */
async function comesBack(page: Page): Promise<void> {
  await page.evaluate("customElements.whenDefined('live-page')");
  await page.evaluate("Promise.all([...document.querySelectorAll('live-page')].map((one) => one.look()))");
  // Its own first look may have been there sooner, and takes over just now.
  await waiting(page).first().waitFor({ state: 'detached' });
}

for (const [name, path] of PAGES)
  test(`${name} goes on by itself once all is there again: it says so, and the focus stays`, options, async () => {
    await using at = await open();
    await using opened = await openView(browser(), DESK);
    const { page } = opened;
    await shownOnce(at, opened, path);
    await page.reload();
    const before = await waiting(page).count();
    assert.ok(before > 0);
    await page.locator('[data-part] a:not(.again)').first().focus();
    const focused = await page.evaluate('document.activeElement.href');
    take(at.state, ['archive', 'index', 'audit'], 'there');
    await comesBack(page);
    assert.equal(await page.evaluate('document.activeElement.href'), focused);
    assert.match((await page.locator('[data-said]').textContent()) ?? '', /of now again/);
    if (path.includes('c1')) await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    const faults = await faultsOf(opened);
    assert.deepEqual(faults, []);
  });

test(
  'a row that is opened while the archive is away is filled in once it is back; the list stays, and what is typed',
  options,
  async () => {
    await using at = await open();
    await using opened = await openView(browser(), DESK);
    const { page } = opened;
    await page.goto(`${at.scene.url}/console/find`);
    take(at.state, ['archive'], 'throws');
    await page.locator('#q').fill('typed');
    await page.locator('.list td a[href*="c1.r1"]').press('Enter');
    await page.getByRole('heading', { name: 'Cannot be shown just now' }).waitFor();
    take(at.state, ['archive'], 'there');
    await page.evaluate("customElements.whenDefined('live-page')");
    await comesBack(page);
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    assert.equal(await page.locator('#q').inputValue(), 'typed');
  },
);

test('the index comes back while a recording plays: nothing of that is touched', options, async () => {
  await using at = await open();
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  await page.goto(`${at.scene.url}/console/find?open=c1.r1`);
  take(at.state, ['index'], 'throws');
  await page.reload();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await page.evaluate("document.querySelector('call-player').marked = true");
  take(at.state, ['index'], 'there');
  await comesBack(page);
  assert.equal(await page.evaluate("document.querySelector('call-player').marked"), true);
  assert.match((await page.locator('#found').textContent()) ?? '', /found/);
});

test('a page that could not be shown at all is there once it can be', options, async () => {
  await using at = await open();
  await using opened = await openView(browser(), DESK);
  const { page } = opened;
  take(at.state, ['archive'], 'throws');
  await page.goto(`${at.scene.url}/console/erase?of=c1.r1`);
  take(at.state, ['archive'], 'there');
  const anew = page.waitForEvent('load');
  await page.evaluate("document.querySelector('live-page').look()").catch(() => undefined);
  await anew;
  await page.getByRole('heading', { name: /^Erase recording/ }).waitFor();
});
