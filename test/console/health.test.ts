/** The health page over a real archive: what it says, that it looks again by itself, and that nothing is wrong with how it looks. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { HealthWatch, type HealthNeeds } from '../../src/console/health-facts.ts';
import { Readiness } from '../../src/http/health.ts';
import { type Pulse, writePulse } from '../../src/pulse.ts';
import { dayAt, dayBefore } from '../../src/instant.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { chromiumForTests, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { addFailed, addProof, addWaiting } from '../support/console/troubles.ts';

const chromium = chromiumForTests();

const HOSTILE = '<script>alert(1)</script> "\u202Eno';
const MINUTE_MS = 60_000;

/** Two weeks as a contact centre has them: a day that failed, a day with some due, and troubles of every sort. */
async function fill({ archive }: Pick<ConsoleScene, 'archive'>): Promise<void> {
  const now = Date.now();
  const today = dayAt(now);
  const until = new Date(now - 37 * MINUTE_MS);
  for (let back = 0; back < 14; back += 1) {
    const day = dayBefore(today, back);
    const recordings = [6, 7].includes(back) ? 320 : 1_247 - 10 * back;
    const less = back === 5 ? { failed: 11 } : back === 0 ? { failed: 3, waiting: 9 } : {};
    await addProof(archive, { day, recordings, ...less, at: new Date(now - 4 * MINUTE_MS), dataUntil: until });
  }
  for (const recordingId of ['f-1', 'f-2'])
    await addFailed(archive, { recordingId, at: new Date(now - 69 * MINUTE_MS), reason: HOSTILE });
  await addFailed(archive, { recordingId: 'f-3', code: 'gone', reason: 'Genesys has deleted it.' });
  await addWaiting(archive, { recordingId: 'w-1', code: 'needs-restore', since: new Date(now - 200 * MINUTE_MS) });
  await addWaiting(archive, { recordingId: 'w-2', since: new Date(now - 37 * MINUTE_MS - 5_000) });
  for (let n = 3; n < 12; n += 1) await addWaiting(archive, { recordingId: `w-${String(n)}` });
  const times = { recordedAt: new Date(now - 80_000).toISOString(), finishedAt: new Date(now - 4_800).toISOString() };
  const content = { head: bytesOf('head', 400), clusters: [bytesOf('r-1', 4_000)], facts: times };
  const beats = Array.from({ length: 60 }, (_, n) => {
    const at = new Date(Math.floor(now / 300_000) * 300_000 - n * 300_000).toISOString();
    const isDown = n > 20 && n < 28;
    const postponed: Record<string, number> = isDown
      ? { 'upstream-unavailable': 2 }
      : n === 5
        ? { 'rate-limited': 1 }
        : {};
    return { at, accepted: 20 + (n % 7), archived: isDown ? 0 : 20 + ((n * 3) % 5), failed: 0, postponed };
  });
  const about = { version: 1, instance: 'worker-1a2b3c4d', command: 'worker', service: '0.1.0' } as const;
  const pulse: Pulse = {
    ...about,
    startedAt: new Date(now).toISOString(),
    at: new Date(now).toISOString(),
    slots: 4,
    waiting: 2,
    calls: { made: 118, allowed: 300 },
    checks: [
      { name: 'node', about: undefined, state: 'ok', found: 'Node 24.21.0', next: undefined },
      { name: 'disk', about: 'archive', state: 'warn', found: '9.2 GiB free', next: 'Free space, or move it.' },
      { name: 'genesys-permissions', about: HOSTILE, state: 'fail', found: 'the role lacks it', next: 'Give it.' },
    ],
    beats,
  };
  await writePulse(pulse, archive.notes, AbortSignal.timeout(60_000));
  await store(archive, { recordingId: 'r-1', conversationId: 'c-1' }, content);
  for (const [recordingId, speakingS] of Object.entries({
    'r-2': [31.5, 0],
    'r-3': [12, 9.5],
    'r-4': [0, 0],
    'r-5': [0],
  })) {
    const levels = {
      picture: speakingS.map(() => '0'.repeat(28)),
      speakingS,
      bothS: 0,
      silentS: 9,
      longestSilenceS: 4,
    };
    const facts = { ...times, levels };
    await store(
      archive,
      { recordingId, conversationId: 'c-1' },
      { ...content, clusters: [bytesOf(recordingId, 4_000)], facts },
    );
  }
}

let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene();
  await fill(scene);
});
after(() => scene[Symbol.asyncDispose]());

const textOf = (markup: string): string => markup.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');

test('the page says in one sentence what has arrived, and for each reason what to do', async () => {
  scene.now = new Date();
  const answer = await scene.get('/console/health');
  assert.equal(answer.status, 200);
  const markup = await answer.text();
  const text = textOf(markup);
  // Two unreadable, one gone, one that waits for an operator, one that was due before.
  assert.match(text, /have arrived, except 5 Compared with Genesys/);
  assert.match(text, /2 unreadable-media .* Play it in Genesys Cloud: if it is damaged there as well, it is lost/);
  assert.match(text, /1 needs-restore .* Restore it in Genesys Cloud.* waits, comes by itself/);
  assert.match(text, /Needs someone 3 recordings 2 reasons, below/);
  assert.match(text, /11 failed/);
  assert.match(markup, /In six hours 1,3\d\d events came in and 1,1\d\d recordings were archived\./);
  assert.match(text, /worker-1a2b3c4d 0\.1\.0, 4 slots, 2 waiting/);
  assert.match(text, /w-7 not-ready.* 4 more/);
  assert.ok(!markup.includes('<script>alert'));
});

test('requests of this minute, what was out of order and when, and what the doctor says where workers run', async () => {
  scene.now = new Date();
  const markup = await (await scene.get('/console/health')).text();
  const text = textOf(markup);
  assert.match(text, /Genesys requests this minute 118 of 300 slowed down 1 time in 6 h/);
  assert.match(text, /\d UTC to [^.]*Genesys is down or not reached upstream-unavailable/);
  assert.equal(markup.match(/<rect class="dist"/g)?.length, 1);
  assert.match(text, /genesys-permissions .* the role lacks it Give it\. disk archive 9\.2 GiB free .*node Node 24/);
});

test('recorded, but nobody heard: each side that is silent throughout is counted and named', async () => {
  scene.now = new Date();
  const text = textOf(await (await scene.get('/console/health')).text());
  assert.match(text, /a side is silent throughout, of the newest 4 /);
  assert.match(text, /r-2 no agent/);
  assert.match(text, /r-4 nobody at all/);
  assert.match(text, /r-5 nobody at all/);
  assert.ok(!/r-3 no/.test(text));
});

test('who may not replay sees what to do, and no button for it', async () => {
  scene.who = { ...EVERYBODY, roles: new Set(['listen']) };
  const text = await (await scene.get('/console/health')).text();
  scene.who = EVERYBODY;
  assert.ok(text.includes('id="show-unreadable-media"'));
  assert.ok(!text.includes('id="replay-unreadable-media"'));
});

test('the same facts are sent once: who has them is told that nothing changed, until something does', async () => {
  await using scene = await openConsoleScene();
  await fill(scene);
  const first = await scene.get('/console/health.json');
  const etag = first.headers.get('etag') ?? '';
  const { verdict } = (await first.json()) as { verdict: { except: number } };
  assert.equal(verdict.except, 5);
  scene.now = new Date(scene.now.getTime() + 9_000);
  assert.equal((await scene.get('/console/health.json', { 'if-none-match': etag })).status, 304);
  await addFailed(scene.archive, { recordingId: 'f-9' });
  const changed = await scene.get('/console/health.json', { 'if-none-match': etag });
  assert.equal(changed.status, 200);
});

/** An archive that stops answering when it is told to, behind the watch that pages ask. */
function watchOver(scene: ConsoleScene): { readonly watch: HealthWatch; fail: boolean; hang: boolean; looks: number } {
  const state = { fail: false, hang: false, looks: 0 };
  const list: HealthNeeds['archive']['list'] = (query, signal) => {
    state.looks += 1;
    if (state.hang) return new Promise(() => undefined);
    if (state.fail) return Promise.reject(new Failure('archive-unavailable', 'The archive is away.'));
    return scene.archive.list(query, signal);
  };
  const archive = { list, notes: scene.archive.notes };
  const needs = { archive, queue: scene.queue, parts: new Readiness([]), now: () => new Date() };
  return Object.assign(state, { watch: new HealthWatch(needs, 0) });
}

test('an archive that is away leaves what was known, greyed, and says since when', chromium.options, async () => {
  const watched = watchOver(scene);
  await using over = await openConsoleScene({ needs: { health: watched.watch } });
  assert.match(textOf(await (await over.get('/console/health')).text()), /except 5/);
  watched.fail = true;
  const text = textOf(await (await over.get('/console/health')).text());
  assert.match(text, /except 5/);
  assert.match(text, /The archive is away\. What is shown is what was known then\./);
  assert.match(text, /as of/);
  assert.match(text, /not while the archive is away/);
  assert.doesNotMatch(text, /Replay|All failures/, 'what cannot be done is not offered');
  await using opened = await openView(chromium.browser(), { theme: 'light', width: 1440 });
  const { page } = opened;
  await page.goto(`${over.url}/console/health`);
  const filter = "getComputedStyle(document.querySelector('[data-part=figures]')).filter";
  assert.equal(await page.evaluate(filter), 'grayscale(1)');
  assert.deepEqual(await opened.problems(), []);
  await picture(page, 'health-away-light-1440');
  watched.fail = false;
  await page.reload();
  assert.equal(await page.evaluate(filter), 'none');
  const fresh = watchOver(scene);
  fresh.fail = true;
  await using never = await openConsoleScene({ needs: { health: fresh.watch } });
  const answer = await never.get('/console/health');
  assert.equal(answer.status, 200);
  assert.match(textOf(await answer.text()), /Not known: the archive does not answer/);
});

test('however many look at once, the archive is asked once', async () => {
  const watched = watchOver(scene);
  await Promise.all(Array.from({ length: 20 }, () => watched.watch.known()));
  assert.equal(watched.looks, 3);
});

test('the first start shows three steps, with a tick at what is done', async () => {
  await using empty = await openConsoleScene();
  const before = await (await empty.get('/console/health')).text();
  assert.match(textOf(before), /Nothing is archived yet/);
  assert.equal(before.match(/class="done"/g)?.length, 1);
  await empty.queue.publish([{ kind: 'conversation', conversationId: 'c-1' }], AbortSignal.timeout(60_000));
  const after = await (await empty.get('/console/health')).text();
  assert.equal(after.match(/class="done"/g)?.length, 2);
});

for (const view of VIEWS)
  test(
    `health, ${view.theme}, ${String(view.width)} px: nothing axe, policy or browser complains of`,
    chromium.options,
    async () => {
      scene.now = new Date();
      await using opened = await openView(chromium.browser(), view);
      await opened.page.goto(`${scene.url}/console/health`);
      assert.deepEqual(await opened.problems(), []);
      await picture(opened.page, `health-${view.theme}-${String(view.width)}`);
      await using empty = await openConsoleScene();
      await opened.page.goto(`${empty.url}/console/health`);
      assert.deepEqual(await opened.problems(), []);
      await picture(opened.page, `health-first-${view.theme}-${String(view.width)}`);
    },
  );

test('the page takes over what is new, keeps focus and says a new verdict', chromium.options, async () => {
  await using scene = await openConsoleScene();
  await fill(scene);
  await using opened = await openView(chromium.browser(), { theme: 'light', width: 1440 });
  const { page } = opened;
  await page.goto(`${scene.url}/console/health`);
  const look = (): Promise<unknown> => page.evaluate("document.querySelector('live-page').look()");
  await look();
  await page.locator('#replay-unreadable-media').focus();
  await addFailed(scene.archive, { recordingId: 'f-9', code: 'internal' });
  await look();
  await page.locator('.fail .code', { hasText: 'internal' }).waitFor();
  assert.match((await page.locator('#verdict').textContent()) ?? '', /except 6/);
  assert.match((await page.locator('[data-said]').textContent()) ?? '', /except 6/);
  assert.equal(await page.evaluate('document.activeElement.id'), 'replay-unreadable-media');
  const pause = page.getByRole('button', { name: 'Pause updates' });
  await pause.click();
  assert.equal(await pause.getAttribute('aria-pressed'), 'true');
  assert.deepEqual(await opened.problems(), []);
});
