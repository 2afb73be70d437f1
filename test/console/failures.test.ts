/** Failures, and replaying everything that matches: counted first, each on record before it is sent, conflicts as lines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replayAll } from '../../src/console/failed-list.ts';
import { Failure } from '../../src/failure.ts';
import { ListQueue } from '../http/far-ends.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { chromiumForTests, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { addFailed } from '../support/console/troubles.ts';

const HOSTILE = '<img src=x onerror=alert(1)>';
const soon = (): AbortSignal => AbortSignal.timeout(120_000);

/** A console whose queue keeps what it is given. */
async function openWithList(): Promise<{ readonly scene: ConsoleScene; readonly queue: ListQueue } & AsyncDisposable> {
  const queue = new ListQueue();
  const scene = await openConsoleScene({ needs: { queue: Object.assign(queue, { depth: async () => undefined }) } });
  return { scene, queue, [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() };
}

async function replayedOnRecord(scene: ConsoleScene): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const record of scene.audit.read({ from: '2000-01-01', to: '2999-01-01' }, soon()))
    if (record.action === 'replayed') ids.push(`${record.who} ${record.recordingId ?? '-'}`);
  return ids.toSorted((a, b) => (a < b ? -1 : 1));
}

const idsSent = (queue: ListQueue): readonly string[] =>
  queue.messages
    .map((message) => (message.kind === 'recording' ? message.recordingId : `all of ${message.conversationId}`))
    .toSorted((a, b) => (a < b ? -1 : 1));

test('everything that matches is counted first, then sent, and nothing else', async () => {
  await using opened = await openWithList();
  const { scene, queue } = opened;
  for (let n = 0; n < 60; n += 1) await addFailed(scene.archive, { recordingId: `u-${String(n).padStart(2, '0')}` });
  await addFailed(scene.archive, { recordingId: 'g-1', code: 'gone' });
  const asked = await scene.get('/console/failures?code=unreadable-media&replay=ask');
  const text = (await asked.text()).replaceAll(/\s+/g, ' ');
  assert.match(text, /Replay 60\?/);
  assert.match(text, /60 can be tried again/);
  assert.equal(queue.messages.length, 0);
  const answer = await scene.post(
    '/console/failures/replay',
    { filter: 'code=unreadable-media' },
    '/console/failures?code=unreadable-media&replay=ask',
  );
  assert.equal(answer.status, 303);
  assert.match(answer.headers.get('location') ?? '', /^\/console\/failures\?code=unreadable-media&sent=60&at=/);
  assert.equal(queue.messages.length, 60);
  assert.ok(!idsSent(queue).includes('g-1'));
  assert.deepEqual(
    await replayedOnRecord(scene),
    idsSent(queue).map((id) => `maya.okoro@example.com ${id}`),
  );
  const after = await (await scene.get(answer.headers.get('location') ?? '')).text();
  assert.match(after, /60 recordings were sent to be tried again/);
});

test('what is archived meanwhile or erased is a line, and the rest goes on', async () => {
  await using opened = await openWithList();
  const { scene, queue } = opened;
  const archived = { recordingId: 'a-1', conversationId: 'c-of-a-1' };
  for (const recordingId of ['x-1', 'a-1', 'x-2', 'e-1']) await addFailed(scene.archive, { recordingId });
  const { archive } = scene;
  const find: typeof archive.find = async (recording, signal) => {
    if (recording.recordingId === 'e-1') throw new Failure('erased', 'It was erased on purpose.');
    return recording.recordingId === 'a-1' ? manifest : archive.find(recording, signal);
  };
  await using other = await openConsoleScene();
  const manifest = await store(other.archive, archived, { head: bytesOf('h', 400), clusters: [bytesOf('c', 900)] });
  const needs = { archive: { find, list: archive.list.bind(archive) }, queue, record: async () => undefined };
  const result = await replayAll({ code: undefined, from: undefined, to: undefined, only: undefined }, needs, soon());
  assert.equal(result.sent, 2);
  assert.deepEqual(idsSent(queue), ['x-1', 'x-2']);
  assert.deepEqual(
    result.conflicts.map(({ ids, why }) => `${ids}: ${why}`).toSorted((a, b) => (a < b ? -1 : 1)),
    ['c-of-a-1/a-1: It is archived meanwhile.', 'c-of-e-1/e-1: It was erased on purpose.'],
  );
});

test('a queue that goes away midway ends it with what was sent, by a page and not an error', async () => {
  await using opened = await openWithList();
  const { scene, queue } = opened;
  for (let n = 0; n < 60; n += 1) await addFailed(scene.archive, { recordingId: `u-${String(n)}` });
  let times = 0;
  queue.before = async () => {
    times += 1;
    if (times > 1) throw new Failure('queue-unavailable', 'The queue cannot be written.');
  };
  const answer = await scene.post('/console/failures/replay', { filter: '' }, '/console/failures?replay=ask');
  assert.equal(answer.status, 200);
  const text = await answer.text();
  assert.match(text, /25 recordings sent to be tried again/);
  assert.match(text, /Then it stopped.*The queue cannot be written/s);
  assert.equal(queue.messages.length, 25);
});

test('what cannot be put on record is not sent', async () => {
  await using opened = await openWithList();
  const { scene, queue } = opened;
  await addFailed(scene.archive, { recordingId: 'u-1' });
  await scene.audit.close();
  const answer = await scene.post('/console/failures/replay', { filter: '' }, '/console/failures?replay=ask');
  assert.match(await answer.text(), /0 recordings sent/);
  assert.equal(queue.messages.length, 0);
});

test('one alone is replayed by its ids, and a conversation whose recordings are not known as a whole', async () => {
  await using opened = await openWithList();
  const { scene, queue } = opened;
  await addFailed(scene.archive, { recordingId: 'u-1' });
  await addFailed(scene.archive, { recordingId: 'u-2' });
  await scene.post('/console/failures/replay', { filter: 'only=c-of-u-2%2Fu-2' }, '/console/failures?replay=ask');
  assert.deepEqual(idsSent(queue), ['u-2']);
});

test('who may not operate is shown no button, and no form of theirs replays anything', async () => {
  await using opened = await openWithList();
  const { scene, queue } = opened;
  await addFailed(scene.archive, { recordingId: 'u-1' });
  const filter = { filter: '' };
  scene.who = { ...EVERYBODY, roles: new Set(['listen', 'audit']) };
  assert.doesNotMatch(await (await scene.get('/console/failures')).text(), /replay=ask/);
  assert.equal((await scene.get('/console/failures?replay=ask')).status, 403);
  assert.equal((await scene.post('/console/failures/replay', filter, '/console/failures')).status, 403);
  assert.equal(queue.messages.length, 0);
});

test('a question that cannot be is refused by the name of what is wrong', async () => {
  await using opened = await openWithList();
  for (const [query, name] of [
    ['from=yesterday', 'from'],
    ['to=2026-02-30', 'to'],
    ['code=%3Cscript%3E', 'code'],
  ] as const) {
    const answer = await opened.scene.get(`/console/failures?${query}`);
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), new RegExp(`${name}: expected`));
  }
});

test('how far a replay has come is told once, and again when it has come further', async () => {
  await using opened = await openWithList();
  const { scene } = opened;
  for (const recordingId of ['u-1', 'u-2', 'u-3']) await addFailed(scene.archive, { recordingId });
  scene.now = new Date(Date.now() + 1_000);
  const answer = await scene.post('/console/failures/replay', { filter: '' }, '/console/failures?replay=ask');
  const address = answer.headers.get('location') ?? '';
  const told = address.replace('/failures?', '/failures.json?');
  const first = await scene.get(told);
  assert.deepEqual(await first.json(), { sent: 3, at: scene.now.toISOString(), old: 3, anew: 0, isMore: false });
  const etag = { 'if-none-match': first.headers.get('etag') ?? '' };
  assert.equal((await scene.get(told, etag)).status, 304);
  await scene.archive.removeFailure({ recordingId: 'u-1', conversationId: 'c-of-u-1' }, soon());
  await addFailed(scene.archive, { recordingId: 'u-2', code: 'gone', at: new Date(Date.now() + 60_000) });
  const second = await scene.get(told, etag);
  assert.deepEqual(await second.json(), { sent: 3, at: scene.now.toISOString(), old: 1, anew: 1, isMore: false });
  assert.equal(await (await scene.get('/console/failures.json')).text(), 'null');
  for (const query of ['sent=-1&at=2026-01-01', 'sent=1e99&at=x', 'sent=3', 'sent=3&at=%3Cscript%3E'])
    assert.doesNotMatch(await (await scene.get(`/console/failures?${query}`)).text(), /sent to be tried again/);
});

const chromium = chromiumForTests();

test(
  'a replay goes on before one’s eyes: what has been tried is counted, leaves the list, and focus stays',
  chromium.options,
  async () => {
    await using opened = await openWithList();
    const { scene } = opened;
    for (const recordingId of ['u-1', 'u-2', 'u-3']) await addFailed(scene.archive, { recordingId });
    scene.now = new Date(Date.now() + 1_000);
    const answer = await scene.post('/console/failures/replay', { filter: '' }, '/console/failures?replay=ask');
    await using seen = await openView(chromium.browser(), { theme: 'light', width: 1440 });
    const { page } = seen;
    const look = (): Promise<unknown> => page.evaluate("document.querySelector('live-page').look()");
    await page.goto(`${scene.url}${answer.headers.get('location') ?? ''}`);
    await page.getByText('0 tried, 3 have their old failure still').waitFor();
    await page.getByRole('button', { name: 'Pause updates' }).waitFor();
    await look();
    const replay = page.getByRole('link', { name: 'Replay c-of-u-3/u-3' });
    await replay.focus();
    for (const recordingId of ['u-1', 'u-2'])
      await scene.archive.removeFailure({ recordingId, conversationId: `c-of-${recordingId}` }, soon());
    await look();
    await page.getByText('2 tried, 1 has its old failure still').first().waitFor();
    assert.equal(await page.getByRole('row').count(), 2);
    assert.equal(await replay.evaluate((link) => link.ownerDocument.activeElement === link), true);
    assert.match((await page.locator('[data-said]').textContent()) ?? '', /2 tried, 1 has its old failure still/);
    assert.deepEqual(await seen.problems(), []);
    await scene.archive.removeFailure({ recordingId: 'u-3', conversationId: 'c-of-u-3' }, soon());
    await look();
    await page.getByText('each has been tried').first().waitFor();
  },
);

for (const view of VIEWS)
  test(
    `failures, ${view.theme}, ${String(view.width)} px, from the list by keyboard to what was sent: nothing axe, policy or browser complains of`,
    chromium.options,
    async () => {
      await using opened = await openWithList();
      const { scene } = opened;
      await addFailed(scene.archive, {
        recordingId: '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77',
        reason: HOSTILE.repeat(9),
      });
      await addFailed(scene.archive, { recordingId: 'u-2' });
      await addFailed(scene.archive, { recordingId: 'g-1', code: 'gone', reason: 'Genesys has deleted it.' });
      await using seen = await openView(chromium.browser(), view);
      const { page } = seen;
      const name = (state: string): string => `failures-${state}-${view.theme}-${String(view.width)}`;
      await page.goto(`${scene.url}/console/failures`);
      assert.deepEqual(await seen.problems(), []);
      await picture(page, name('list'));
      await page.getByRole('link', { name: 'Replay all that match' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'Replay 3?' }).waitFor();
      assert.deepEqual(await seen.problems(), []);
      await picture(page, name('ask'));
      await page.getByRole('button', { name: 'Replay 3' }).focus();
      await page.keyboard.press('Enter');
      await page.getByText('were sent to be tried again').waitFor();
      assert.deepEqual(await seen.problems(), []);
      await picture(page, name('sent'));
      await page.goto(`${scene.url}/console/failures?code=internal`);
      assert.deepEqual(await seen.problems(), []);
    },
  );
