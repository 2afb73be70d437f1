/** What nobody hopes for: an archive that hangs, days of other calendars, names from right to left, ten thousand rows, what is erased while it is open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eraseAll } from '../../src/retention/erasure.ts';
import { addCall } from '../support/console/calls.ts';
import { chromiumForTests, openView, picture } from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';
import { rowAt } from '../support/search/rows.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const textOf = (markup: string): string => markup.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');
/** Neither what is awaited nor what is gone through ever comes. */
const never = (): Promise<never> & AsyncIterable<never> =>
  Object.assign(new Promise<never>(() => undefined), {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }),
  });

/** All that it is asked for a page, from when it hangs on, is never answered, and no signal is heeded. */
function hanging(scene: ConsoleScene): { readonly archive: ConsoleScene['archive']; hangs: boolean } {
  const state = { hangs: false };
  const over = <T extends object>(real: T): T =>
    new Proxy(real, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name === 'notes' && typeof value === 'object' && value !== null) return over(value);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown => (state.hangs ? never() : Reflect.apply(value, target, given));
      },
    });
  return Object.assign(state, { archive: over(scene.archive) });
}

test('an archive that never answers: what is known is listed, the rest says so, and no page stays away', async () => {
  await using real = await openConsoleScene();
  await addCall(real.archive, { conversationId: 'c1', recordingId: 'r1' }, { agent: 'Ines Carvalho', seconds: 20 });
  await real.search.fill(signal());
  const hung = hanging(real);
  await using scene = await openConsoleScene({
    needs: { archive: hung.archive, search: real.search, patienceMs: 400 },
  });
  scene.now = new Date('2026-11-27T17:09:00Z');
  hung.hangs = true;
  const list = textOf(await (await scene.get('/console/find')).text());
  assert.match(list, /1 found/);
  assert.match(list, /not checked against Genesys yet/);
  const beside = await scene.get('/console/find?open=c1.r1');
  assert.equal(beside.status, 200);
  assert.match(
    textOf(await beside.text()),
    /Ines Carvalho.*Cannot be shown just now The archive does not answer in time/,
  );
  const alone = await scene.get('/console/recordings/c1/r1');
  assert.equal(alone.status, 503);
  assert.match(textOf(await alone.text()), /The archive does not answer in time\. .*Try again/);
  hung.hangs = false;
  assert.equal((await scene.get('/console/recordings/c1/r1')).status, 200);
});

const DAYS: readonly (readonly [string, string])[] = [
  ['Hijri', 'from=1448-06-07&to=1448-06-08'],
  ['Buddhist', 'from=2569-11-27&to=2569-11-27'],
  ['Buddhist, with a day of ours', 'from=2569-11-27'],
  ['Arabic digits', 'from=%D9%A2%D9%A0%D9%A2%D9%A6-%D9%A1%D9%A1-%D9%A2%D9%A7'],
  ['Jalali', 'from=1405-09-06&to=1405-09-06'],
  ['a German way to write it', 'from=27.11.2026&to=27.11.2026'],
  ['the year 10000', 'from=%2B010000-01-01'],
  ['a day that is none', 'from=2026-02-30&to=2026-03-01'],
  ['backwards', 'from=2026-11-27&to=2026-11-01'],
  ['a leap second', 'from=2026-12-31T23:59:60Z'],
];

for (const [name, query] of DAYS)
  test(`days of another calendar, ${name}: nothing found or said what is wrong, and the form is there`, async () => {
    await using scene = await openConsoleScene();
    const answer = await scene.get(`/console/find?${query}`);
    assert.ok([200, 400].includes(answer.status), String(answer.status));
    const markup = await answer.text();
    assert.match(markup, /name="from"/);
    assert.match(textOf(markup), /Nothing found|Nothing is archived yet|That cannot be searched (from|to)/);
  });

test('ten thousand rows in a day: a page of fifty, how many there are, and the next', async () => {
  await using scene = await openConsoleScene();
  const day = Date.UTC(2026, 10, 27);
  scene.now = new Date(day + 23 * 3_600_000);
  for (let from = 0; from < 10_000; from += 1_000)
    scene.search.put(
      Array.from({ length: 1_000 }, (_, n) =>
        rowAt(new Date(day + (from + n) * 8_000).toISOString(), `c${String(from + n)}.r${String(from + n)}`, {
          agent: 'Wen Li',
        }),
      ),
    );
  const markup = await (await scene.get('/console/find?from=2026-11-27&to=2026-11-27')).text();
  assert.equal(markup.match(/aria-hidden="true">↙|<tr >|<tr>\s*<td>/g)?.length ?? 0, 50);
  assert.match(markup, /(More than [\d,]+|10,000) found/);
  assert.match(markup, /rel="next"/);
});

const { options, browser } = chromiumForTests();
const RTL = 'محمد عبد الله الفهد';

test('names from right to left, a number of 300 digits, a script: each stays where it belongs', options, async () => {
  await using scene = await openConsoleScene();
  scene.now = new Date('2026-11-27T17:09:00Z');
  await addCall(
    scene.archive,
    { conversationId: 'rtl', recordingId: 'r1' },
    { agent: RTL, queue: '\u202Eسؤال', number: '9'.repeat(300), seconds: 20 },
  );
  await scene.search.fill(signal());
  await using opened = await openView(browser(), { theme: 'light', width: 390 });
  const { page } = opened;
  await page.goto(`${scene.url}/console/find?open=rtl.r1`, { waitUntil: 'networkidle' });
  assert.deepEqual(await opened.problems(), []);
  assert.ok((await page.locator('#dt').evaluate((title) => title.getBoundingClientRect().height)) < 120);
  assert.equal(
    await page
      .locator('#dt')
      .textContent()
      .then((text) => text?.includes('9'.repeat(300))),
    true,
  );
  await picture(page, 'bad-input-rtl');
});

test('erased while its page is open: it says so, and nothing of it is heard', options, async () => {
  await using scene = await openConsoleScene();
  const call = { conversationId: 'c1', recordingId: 'r1' };
  await addCall(scene.archive, call, { agent: 'Ines Carvalho', seconds: 20 });
  await using opened = await openView(browser(), { theme: 'light', width: 1440 });
  const { page } = opened;
  await page.goto(`${scene.url}/console/recordings/c1/r1`, { waitUntil: 'networkidle' });
  const by = { who: 'dpo@example.com', way: 'oidc' };
  const needs = { archive: scene.archive, audit: scene.audit, by, reason: 'asked for', looksAgain: false };
  for await (const end of eraseAll([{ subject: call, days: [] }], needs, signal())) assert.equal(end.state, 'gone');
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await page.getByText('It was erased meanwhile.').waitFor();
  await picture(page, 'bad-input-erased');
});
