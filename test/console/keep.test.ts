/** Held, released and erased from a page: at once where that may be, on record before, and by nobody else and from nowhere else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuditRecord } from '../../src/audit/audit.ts';
import { markErased } from '../../src/archive/erased.ts';
import { holdsOn } from '../../src/archive/holds.ts';
import { Failure } from '../../src/failure.ts';
import { addCall } from '../support/console/calls.ts';
import { chromiumForTests, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const CALL = { conversationId: 'c1', recordingId: 'r1' };
const HERE = '/console/recordings/c1/r1';
const HOLD = { of: 'c1.r1', case: 'case-7', reason: 'asked for by the court' };

async function sceneWithCalls(change: Parameters<typeof openConsoleScene>[0] = {}): Promise<ConsoleScene> {
  const scene = await openConsoleScene(change);
  scene.now = new Date('2026-11-27T17:09:00Z');
  for (const recordingId of ['r1', 'r2'])
    await addCall(scene.archive, { ...CALL, recordingId }, { agent: 'Ines Carvalho', seconds: 20 });
  await scene.search.fill(signal());
  return scene;
}

async function recordsOf(scene: ConsoleScene): Promise<readonly AuditRecord[]> {
  const records: AuditRecord[] = [];
  for await (const record of scene.audit.read({ from: '2026-01-01', to: '2099-01-01' }, signal())) records.push(record);
  return records.filter(({ action }) => action !== 'looked' && action !== 'searched');
}

const casesOn = async (scene: ConsoleScene): Promise<readonly string[]> =>
  (await holdsOn(CALL, scene.archive.notes, signal())).map((hold) => hold.case);

const textOf = (markup: string): string => markup.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');

test('what is held from a page is held at once and on record, is said, and is not erased until it is released', async () => {
  await using scene = await sceneWithCalls();
  const held = await scene.post('/console/hold', HOLD, HERE);
  assert.equal(held.status, 303);
  assert.equal(held.headers.get('location'), `${HERE}?said=held`);
  assert.deepEqual(await casesOn(scene), ['case-7']);
  const text = textOf(await (await scene.get(`${HERE}?said=held`)).text());
  assert.match(text, /It is held: nobody erases it until it is released\./);
  assert.match(text, /Held for case-7 by maya\.okoro@example\.com ?: asked for by the court Release from case-7/);
  const plan = textOf(await (await scene.get('/console/erase?of=c1._')).text());
  assert.match(plan, /Nothing of it is erased as long as these are held or locked: recording r1 held for case-7/);
  const refused = await scene.post('/console/erase', { of: 'c1._', id: 'c1', count: '2', reason: 'too old' }, HERE);
  assert.equal(refused.status, 409);
  assert.ok((await scene.archive.find({ ...CALL, recordingId: 'r2' }, signal())) !== undefined);
  const released = await scene.post('/console/release', { of: 'c1.r1', case: 'case-7' }, HERE);
  assert.equal(released.headers.get('location'), `${HERE}?said=released`);
  assert.deepEqual(await casesOn(scene), []);
  const records = await recordsOf(scene);
  assert.deepEqual(
    records.map(({ action, who, way, why, about }) => [action, who, way, why, about?.['case'] ?? about?.['because']]),
    [
      ['held', EVERYBODY.id, 'oidc', HOLD.reason, 'case-7'],
      ['refused', EVERYBODY.id, 'oidc', undefined, 'kept'],
      ['released', EVERYBODY.id, 'oidc', undefined, 'case-7'],
    ],
  );
  assert.ok(records.every(({ from, requestId }) => from !== undefined && requestId !== undefined));
});

test('two cases hold the same: one released leaves the other; released twice is no error', async () => {
  await using scene = await sceneWithCalls();
  await scene.post('/console/hold', HOLD, HERE);
  assert.match((await scene.post('/console/hold', HOLD, HERE)).headers.get('location') ?? '', /said=already$/);
  await scene.post('/console/hold', { ...HOLD, of: 'c1._', case: 'other' }, HERE);
  const release = { of: 'c1.r1', case: 'case-7' };
  assert.match((await scene.post('/console/release', release, HERE)).headers.get('location') ?? '', /said=held-still$/);
  assert.match((await scene.post('/console/release', release, HERE)).headers.get('location') ?? '', /said=not-held$/);
  // The hold of the conversation is released as such, not by the name of one of its recordings.
  await scene.post('/console/release', { of: 'c1.r1', case: 'other' }, HERE);
  assert.deepEqual(await casesOn(scene), ['other']);
});

test('erased from a page: first what would go; then gone for good, out of the list, on record before and after', async () => {
  await using scene = await sceneWithCalls();
  const plan = textOf(await (await scene.get('/console/erase?of=c1._')).text());
  assert.match(plan, /These 3 go for good, .*: nothing brings them back/);
  assert.ok((await scene.archive.find(CALL, signal())) !== undefined, 'a plan changes nothing');
  const wrong = await scene.post('/console/erase', { of: 'c1._', id: 'c2', count: '3', reason: 'asked for' }, HERE);
  assert.equal(wrong.status, 400);
  assert.match(textOf(await wrong.text()), /The id that was typed is another one\./);
  const unseen = await scene.post('/console/erase', { of: 'c1._', id: 'c1', count: '2', reason: 'asked for' }, HERE);
  assert.equal(unseen.status, 409);
  assert.ok((await scene.archive.find(CALL, signal())) !== undefined, 'what was not seen stays');
  const done = await scene.post('/console/erase', { of: 'c1._', id: 'c1', count: '3', reason: 'asked for' }, HERE);
  assert.equal(done.status, 200);
  assert.match(textOf(await done.text()), /It is erased 3 are gone for good/);
  await assert.rejects(scene.archive.find(CALL, signal()), (thrown) => Failure.from(thrown).code === 'erased');
  const told = /Erased It was erased on purpose, \d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d , by maya\.okoro@example\.com/;
  for (const page of [HERE, '/console/recordings/c1'])
    assert.match(textOf(await (await scene.get(page)).text()), told, page);
  assert.match(textOf(await (await scene.get('/console/find')).text()), /Nothing found|Nothing is archived yet/);
  const actions = (await recordsOf(scene)).map(({ action, why }) => `${action} ${why ?? ''}`.trim());
  assert.deepEqual(actions.filter((action) => action.startsWith('eras')).length, 6);
  assert.ok(actions.indexOf('erasing asked for') < actions.indexOf('erased'));
  assert.ok(actions.includes('refused'));
});

test('what an erasure that was killed has only marked is erased on its page, and neither heard, drawn nor saved from there', async () => {
  await using scene = await sceneWithCalls();
  const asked = ['/console/media/c1/r1', '/console/levels/c1/r1', '/console/media/c1/r1/original/0'];
  assert.equal((await scene.get(asked[0] ?? '')).status, 200);
  const mark = {
    version: 1,
    ...CALL,
    reason: 'asked for',
    by: 'dpo',
    erasedAt: '2026-11-27T17:00:00.000Z',
    days: [],
  } as const;
  await markErased(mark, scene.archive.notes, signal());
  for (const path of asked) assert.equal((await scene.get(path)).status, 410, path);
  const text = await (await scene.get(HERE)).text();
  assert.match(
    textOf(text),
    /Being erased Its erasure was begun on purpose, 27 Nov 2026, \d\d:\d\d , by dpo : .* It is not over: something of it is still there\. Erase it again , which ends it\./,
  );
  assert.doesNotMatch(text, /<audio|call-player/);
  assert.equal((await scene.post('/console/verify', { of: 'c1.r1' }, HERE)).status, 410);
  scene.who = { ...EVERYBODY, roles: new Set(['listen']) };
  assert.match(textOf(await (await scene.get(HERE)).text()), /archiver erase --recording c1\/r1 ends it\./);
  scene.who = EVERYBODY;
  await scene.post('/console/erase', { of: 'c1.r1', id: 'r1', count: '1', reason: 'asked for' }, HERE);
  assert.match(textOf(await (await scene.get(HERE)).text()), /Erased It was erased on purpose, .* its facts are gone/);
});

const ACTS = [
  ['/console/hold', HOLD, 'hold'],
  ['/console/release', { of: 'c1.r2', case: 'mine' }, 'hold'],
  ['/console/erase', { of: 'c1.r1', id: 'r1', count: '1', reason: 'asked for' }, 'erase'],
] as const;

test('from nowhere else and by nobody else: other origins, forged and missing tokens, roles that are missing, other divisions', async () => {
  await using scene = await sceneWithCalls();
  await scene.post('/console/hold', { ...HOLD, of: 'c1.r2', case: 'mine' }, HERE);
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(await (await scene.get(HERE)).text()) ?? [];
  scene.who = { ...EVERYBODY, id: 'somebody.else@example.com' };
  const [, theirs = ''] = /name="token" value="([^"]+)"/.exec(await (await scene.get(HERE)).text()) ?? [];
  scene.who = EVERYBODY;
  const send = (path: string, form: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>>) =>
    fetch(`${scene.url}${path}`, { method: 'POST', redirect: 'manual', headers, body: new URLSearchParams(form) });
  const own = { 'sec-fetch-site': 'same-origin' };
  for (const [path, form, role] of ACTS) {
    const tries: readonly (readonly [string, Promise<Response>])[] = [
      ['no token', send(path, form, own)],
      ['a made-up token', send(path, { ...form, token: 'AAAA.BBBB' }, own)],
      ['somebody else’s token', send(path, { ...form, token: theirs }, own)],
      ['another site', send(path, { ...form, token }, { 'sec-fetch-site': 'cross-site' })],
      ['another host of the same site', send(path, { ...form, token }, { 'sec-fetch-site': 'same-site' })],
      ['another origin', send(path, { ...form, token }, { origin: 'https://evil.example' })],
      ['no word of where it is from', send(path, { ...form, token }, {})],
    ];
    for (const [name, answer] of tries) assert.equal((await answer).status, 403, `${path}: ${name}`);
    scene.who = { ...EVERYBODY, roles: new Set([...EVERYBODY.roles].filter((other) => other !== role)) };
    assert.equal((await send(path, { ...form, token }, own)).status, 403, `${path}: without the role`);
    scene.who = { ...EVERYBODY, divisions: new Set(['division-2']) };
    assert.equal((await send(path, { ...form, token }, own)).status, 403, `${path}: another division`);
    scene.who = EVERYBODY;
  }
  assert.equal((await scene.get('/console/hold')).status, 404);
  assert.deepEqual(await casesOn(scene), []);
  assert.ok((await scene.archive.find(CALL, signal())) !== undefined);
  assert.deepEqual(
    (await recordsOf(scene)).map(({ action }) => action),
    ['held'],
  );
});

test('what is wrong with a form is said beside it, with what was typed; nothing is changed', async () => {
  await using scene = await sceneWithCalls();
  const wrong: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{ ...HOLD, case: '../x' }, /cannot name a case/],
    [{ ...HOLD, case: '<script>' }, /cannot name a case/],
    [{ ...HOLD, case: '' }, /cannot name a case/],
    [{ ...HOLD, reason: '  ' }, /Say why in a few words/],
    [{ ...HOLD, reason: 'x'.repeat(1_001) }, /at most 1,000/],
  ];
  for (const [form, why] of wrong) {
    const answer = await scene.post('/console/hold', form, HERE);
    assert.equal(answer.status, 400);
    const markup = await answer.text();
    assert.match(textOf(markup), why);
    assert.ok(!markup.includes('<script>'));
  }
  for (const key of ['', 'c1', '../../x.r', 'c1.r1.r2/../x'])
    assert.equal((await scene.post('/console/hold', { ...HOLD, of: key }, HERE)).status, 400, key);
  assert.deepEqual(await casesOn(scene), []);
});

test('where the account may not change the archive, the commands are shown and nothing is done', async () => {
  await using scene = await sceneWithCalls({ needs: { keeping: undefined } });
  const markup = await (await scene.get(HERE)).text();
  assert.ok(markup.includes('archiver hold CASE --recording c1/r1 --reason'));
  assert.ok(!markup.includes('action="/console/hold"'));
  for (const [path, form] of ACTS) assert.equal((await scene.post(path, form, HERE)).status, 403, path);
  assert.equal((await scene.get('/console/erase?of=c1.r1')).status, 403);
  assert.deepEqual(await recordsOf(scene), []);
});

test('what cannot be put on record is not done', async () => {
  const away = new Failure('archive-unavailable', 'The audit cannot be written.');
  const keeping = { audit: { record: () => Promise.reject(away) }, forgetBeside: async () => undefined };
  await using scene = await sceneWithCalls({ needs: { keeping } });
  for (const [path, form] of [ACTS[0], ACTS[2]]) assert.equal((await scene.post(path, form, HERE)).status, 503, path);
  assert.deepEqual(await casesOn(scene), []);
  assert.ok((await scene.archive.find(CALL, signal())) !== undefined);
});

const { options, browser } = chromiumForTests();

for (const view of VIEWS)
  test(
    `hold and erase, ${view.theme}, ${String(view.width)} px: nothing axe, policy or browser complains of`,
    options,
    async () => {
      await using scene = await sceneWithCalls();
      await scene.post('/console/hold', { ...HOLD, of: 'c1.r2', reason: 'x'.repeat(400) }, HERE);
      await using opened = await openView(browser(), view);
      const { page } = opened;
      const name = `${view.theme}-${String(view.width)}`;
      await page.goto(`${scene.url}/console/recordings/c1/r2?said=held`, { waitUntil: 'networkidle' });
      await page.click('details.more summary');
      assert.deepEqual(await opened.problems(), []);
      await picture(page, `keep-${name}`);
      await page.goto(`${scene.url}/console/erase?of=c1._`);
      assert.deepEqual(await opened.problems(), []);
      await picture(page, `erase-held-${name}`);
      await page.goto(`${scene.url}/console/erase?of=c1.r1`);
      assert.deepEqual(await opened.problems(), []);
      await picture(page, `erase-${name}`);
    },
  );

test('by keyboard alone: held, released, erased, and what became of it is said', options, async () => {
  await using scene = await sceneWithCalls();
  await using opened = await openView(browser(), { theme: 'light', width: 1440 });
  const { page } = opened;
  await page.goto(`${scene.url}${HERE}`, { waitUntil: 'networkidle' });
  await page.focus('details.more summary');
  await page.keyboard.press('Enter');
  await page.focus('[name=case]');
  await page.keyboard.type('case-7');
  await page.keyboard.press('Tab');
  await page.keyboard.type('asked for');
  await Promise.all([page.waitForURL(/said=held/), page.keyboard.press('Enter')]);
  assert.deepEqual(await casesOn(scene), ['case-7']);
  await page.focus('details.more summary');
  await page.keyboard.press('Enter');
  await page.focus('form.held button');
  await Promise.all([page.waitForURL(/said=released/), page.keyboard.press('Enter')]);
  await page.focus('details.more summary');
  await page.keyboard.press('Enter');
  await page.focus('text=Erase…');
  await Promise.all([page.waitForURL(/console\/erase/), page.keyboard.press('Enter')]);
  await page.focus('[name=id]');
  await page.keyboard.type('r1');
  await page.keyboard.press('Tab');
  await page.keyboard.type('asked for');
  await page.keyboard.press('Enter');
  await page.waitForSelector('text=It is erased');
  assert.deepEqual(await opened.problems(), []);
});
