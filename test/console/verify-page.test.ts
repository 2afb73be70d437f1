/** "Is this what was stored?", asked from the page of a recording: read whole, by who may, one at a time, and on record. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { AuditRecord } from '../../src/audit/audit.ts';
import { Failure } from '../../src/failure.ts';
import { addCall } from '../support/console/calls.ts';
import { chromiumForTests, namelessControls, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';

const { options, browser } = chromiumForTests();
const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const HERE = '/console/recordings/c1/r1';
const ASKED = { of: 'c1.r1' };

async function sceneWithCall(): Promise<ConsoleScene> {
  const scene = await openConsoleScene();
  await addCall(scene.archive, { conversationId: 'c1', recordingId: 'r1' }, { agent: 'Ines Carvalho', seconds: 20 });
  return scene;
}

async function verifiedIn(scene: ConsoleScene): Promise<readonly AuditRecord[]> {
  const records: AuditRecord[] = [];
  for await (const record of scene.audit.read({ from: '2026-01-01', to: '2099-01-01' }, signal())) records.push(record);
  return records.filter(({ action }) => action === 'verified');
}

const textOf = (markup: string): string => markup.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');

/** One bit of it is another one. */
function damaged(scene: ConsoleScene): void {
  const read = scene.archive.read.bind(scene.archive);
  Object.assign(scene.archive, {
    async read(...asked: Parameters<typeof read>) {
      const bytes = Buffer.concat(await (await read(...asked)).toArray());
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      return Readable.from([bytes]);
    },
  });
}

for (const view of VIEWS)
  test(`from the page, by keyboard or by mouse, ${view.theme}, ${String(view.width)} px`, options, async () => {
    await using scene = await sceneWithCall();
    await using opened = await openView(browser(), view);
    const { page } = opened;
    await page.goto(`${scene.url}${HERE}`, { waitUntil: 'networkidle' });
    assert.match(textOf(await page.locator('dl.facts').innerHTML()), /Kept until it is erased; no date is set/);
    assert.deepEqual(await opened.problems(), []);
    await picture(page, `recording-${view.theme}-${String(view.width)}`);
    const button = page.getByRole('button', { name: /^Verify/ });
    if (view.width > 1_000) {
      await button.focus();
      await page.keyboard.press('Enter');
    } else await button.click();
    await page.getByRole('heading', { name: 'It is what was stored' }).waitFor();
    assert.deepEqual(await opened.problems(), []);
    assert.deepEqual(await namelessControls(page), []);
    await picture(page, `verified-${view.theme}-${String(view.width)}`);
    await page.getByRole('link', { name: 'Back to the recording' }).click();
    await page.waitForURL(`${scene.url}${HERE}`);
    damaged(scene);
    await page.getByRole('button', { name: /^Verify/ }).click();
    await page.getByRole('heading', { name: 'It is not what was stored' }).waitFor();
    await page.getByText("recording.webm was read, and its SHA-256 is not its manifest's").waitFor();
    assert.deepEqual(await opened.problems(), []);
    await picture(page, `verified-not-${view.theme}-${String(view.width)}`);
    const records = await verifiedIn(scene);
    assert.deepEqual(
      records.map(({ who, conversationId, recordingId, about }) => [
        who,
        conversationId,
        recordingId,
        about?.['isAsStored'],
      ]),
      [
        [EVERYBODY.id, 'c1', 'r1', true],
        [EVERYBODY.id, 'c1', 'r1', false],
      ],
    );
  });

test('bytes that break off, that are gone and that are shorter are not what was stored; nothing is said that is not on record', async () => {
  await using scene = await sceneWithCall();
  const read = scene.archive.read.bind(scene.archive);
  const faults: readonly (readonly [RegExp, typeof read])[] = [
    [
      /recording\.webm was read, and its SHA-256/,
      async (...asked) => Readable.from([(await (await read(...asked)).toArray())[0]]),
    ],
    [
      /recording\.webm cannot be read \(There is none/,
      async () => Promise.reject(new Failure('not-found', 'There is none.')),
    ],
  ];
  for (const [said, other] of faults) {
    Object.assign(scene.archive, { read: other });
    const answer = textOf(await (await scene.post('/console/verify', ASKED, HERE)).text());
    assert.match(answer, /It is not what was stored/);
    assert.match(answer, said);
  }
  Object.assign(scene.archive, { read });
  assert.equal((await verifiedIn(scene)).length, 2);
  Object.assign(scene.audit, {
    record: async () => Promise.reject(new Failure('archive-unavailable', 'The audit is away.')),
  });
  const unwritten = await scene.post('/console/verify', ASKED, HERE);
  assert.equal(unwritten.status, 503);
  assert.ok(!(await unwritten.text()).includes('what was stored'));
});

test('one at a time: another one is told so and may try again, and whoever leaves lets the next one in', async () => {
  await using scene = await sceneWithCall();
  const read = scene.archive.read.bind(scene.archive);
  const begun = Promise.withResolvers<void>();
  Object.assign(scene.archive, {
    async read(_manifest: unknown, _range: unknown, aborted: AbortSignal) {
      begun.resolve();
      return Readable.from(
        (async function* () {
          yield Buffer.from('x');
          await new Promise((_, reject) => aborted.addEventListener('abort', () => reject(new Error('left'))));
        })(),
      );
    },
  });
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(await (await scene.get(HERE)).text()) ?? [];
  const gone = new AbortController();
  const first = fetch(`${scene.url}/console/verify`, {
    method: 'POST',
    headers: { 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams({ token, ...ASKED }),
    signal: gone.signal,
  }).catch(() => undefined);
  await begun.promise;
  const second = await scene.post('/console/verify', ASKED, HERE);
  assert.equal(second.status, 429);
  assert.match(textOf(await second.text()), /Another one is being read .* Try again/);
  gone.abort();
  await first;
  Object.assign(scene.archive, { read });
  for (let looks = 0; (await scene.post('/console/verify', ASKED, HERE)).status !== 200; looks += 1)
    assert.ok(looks < 2_000, 'the place is never free again');
});

test('by nobody else and from nowhere else; what is no recording is none', async () => {
  await using scene = await sceneWithCall();
  const send = (headers: Readonly<Record<string, string>>, form: Readonly<Record<string, string>>): Promise<Response> =>
    fetch(`${scene.url}/console/verify`, { method: 'POST', headers, body: new URLSearchParams(form) });
  const [, token = ''] = /name="token" value="([^"]+)"/.exec(await (await scene.get(HERE)).text()) ?? [];
  const own = { 'sec-fetch-site': 'same-origin' };
  assert.equal((await send({ 'sec-fetch-site': 'cross-site' }, { token, ...ASKED })).status, 403);
  assert.equal((await send(own, { token: 'AAAA.BBBB', ...ASKED })).status, 403);
  for (const key of ['c1._', '', '../x', 'c1.nothing'])
    assert.ok([400, 404].includes((await send(own, { token, of: key })).status), key);
  scene.who = { ...EVERYBODY, roles: new Set(['listen']) };
  assert.ok(!(await (await scene.get(HERE)).text()).includes('/console/verify'));
  assert.equal((await send(own, { token, ...ASKED })).status, 403);
  scene.who = { ...EVERYBODY, divisions: new Set(['division-2']) };
  assert.equal((await send(own, { token, ...ASKED })).status, 403);
  scene.who = EVERYBODY;
  assert.deepEqual(await verifiedIn(scene), []);
});

test('until when it is kept: by the retention of its store, by none, no longer; a store that does not say costs only that', async () => {
  await using scene = await sceneWithCall();
  scene.now = new Date('2026-11-27T17:09:00Z');
  const kept = async (retainedUntil: () => Promise<string | undefined>): Promise<string> => {
    Object.assign(scene.archive, { retainedUntil });
    return /Kept until (.*?) Held/.exec(textOf(await (await scene.get(HERE)).text()))?.[1] ?? '';
  };
  assert.match(await kept(async () => '2033-11-27T00:00:00Z'), /^27 Nov 2033 ?, by the archive’s retention/);
  assert.match(await kept(async () => '2025-11-27T00:00:00Z'), /^27 Nov 2025 ?: that is over/);
  assert.match(await kept(async () => undefined), /^it is erased; no date is set/);
  assert.match(
    await kept(async () => Promise.reject(new Failure('archive-unavailable', 'away'))),
    /^not known just now/,
  );
});
