/** The audit page: what is on record, what is asked of it, and that asking is on record as well. */
import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { connect, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import type { AuditEntry } from '../../src/audit/audit.ts';
import { POURING } from '../../src/bounds.ts';
import { exportAudit } from '../../src/console/audit-page.ts';
import { Failure } from '../../src/failure.ts';
import { chromiumForTests, openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';

const HOSTILE = '<svg onload=alert(1)>\u202E';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const soon = (): AbortSignal => AbortSignal.timeout(120_000);

async function fill({ audit }: Pick<ConsoleScene, 'audit'>): Promise<void> {
  const entries: readonly AuditEntry[] = [
    {
      action: 'listened',
      who: 'priya.nair@example.com',
      way: 'oidc',
      from: '192.0.2.7',
      conversationId: C,
      recordingId: R,
    },
    { action: 'erased', who: 'command:root', way: 'command', conversationId: C, why: HOSTILE },
    { action: 'looked', who: HOSTILE, way: 'key', about: { fields: 'from,to' } },
  ];
  for (const entry of entries) await audit.record(entry, soon());
}

const actionsIn = (markup: string): readonly string[] =>
  [...markup.matchAll(/<span class="code">([\w-]+)<\/span>/g)].map(([, action = '']) => action);

let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene();
  await fill(scene);
});
after(() => scene[Symbol.asyncDispose]());

test('the newest stands first, this look itself among them; names that are scripts are names', async () => {
  const text = await (await scene.get('/console/audit')).text();
  assert.deepEqual(actionsIn(text).slice(-3), ['looked', 'erased', 'listened']);
  assert.equal(actionsIn(text)[0], 'looked');
  assert.ok(!text.includes('<svg onload'));
  assert.match(text, /by oidc/);
});

for (const [what, query, expected] of [
  ['who it was', `who=${encodeURIComponent('priya.nair@example.com')}`, ['listened']],
  ['conversation', `C=${C.toUpperCase()}`, ['erased', 'listened']],
  ['recording', `C=${C}/${R}`, ['listened']],
  ['somebody who did nothing', 'who=priya', []],
  ['a day before', 'from=2020-01-01&to=2020-01-02', []],
] as const)
  test(`records are found by ${what}`, async () => {
    assert.deepEqual(actionsIn(await (await scene.get(`/console/audit?${query}`)).text()), expected);
  });

test('exported are all, as they lie there, and that is on record before the first line', async () => {
  await using own = await openConsoleScene();
  await fill(own);
  const answer = await own.get(`/console/audit.ndjson?C=${C}`);
  assert.equal(answer.headers.get('content-type'), 'application/x-ndjson; charset=utf-8');
  assert.match(answer.headers.get('content-disposition') ?? '', /^attachment; filename="audit-.+\.ndjson"$/);
  const lines = (await answer.text()).trim().split('\n');
  const records = lines.map((line) => JSON.parse(line) as { action: string; sequence: number; previous: string });
  assert.deepEqual(
    records.map(({ action }) => action),
    ['listened', 'erased'],
  );
  assert.ok(records.every(({ sequence, previous }) => sequence > 0 && previous.length === 64));
  const all: string[] = [];
  for await (const { action, about } of own.audit.read({ from: '2000-01-01', to: '2999-01-01' }, soon()))
    if (about?.['of'] === 'audit') all.push(`${action} ${String(about['fields'])}`);
  assert.deepEqual(all, ['exported from,to,conversationId']);
});

test('who stops taking what is exported is let go, and it is read no further', { timeout: 30_000 }, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const record = { v: 1, at: '2026-03-01T10:00:00.000Z', action: 'listened', who: 'qa', why: 'x'.repeat(1_000) };
  let isRead = true;
  const audit = {
    async *read() {
      try {
        for (;;) yield record;
      } finally {
        isRead = false;
      }
    },
  };
  const witness = { record: async () => undefined };
  // No connection takes what is written to it.
  const res = new ServerResponse(new IncomingMessage(new Socket()));
  const visit = { res, query: new URLSearchParams(), who: EVERYBODY, signal: soon() };
  const needs = { audit, witness, now: () => new Date('2026-03-02T00:00:00Z') };
  const state = { isOver: false };
  const exported = Promise.resolve(exportAudit(visit as never, needs as never)).finally(() => (state.isOver = true));
  exported.catch(() => undefined);
  while (!state.isOver) {
    t.mock.timers.tick(POURING.stallMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(isRead, false);
});

/** An audit that is away once so many of its records were read. */
async function openLosing(records: number): Promise<ConsoleScene> {
  const record = { v: 1, at: '2026-03-01T10:00:00.000Z', action: 'listened', who: 'qa' };
  const audit = {
    async *read() {
      for (let count = 0; count < records; count += 1) yield record;
      throw new Failure('archive-unavailable', 'Cloud Storage answered 503.');
    },
  };
  return openConsoleScene({ needs: { audit: audit as never } });
}

test('an audit that is away is no file to save', async () => {
  await using own = await openLosing(0);
  const answer = await own.get('/console/audit.ndjson');
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
  assert.equal(answer.headers.get('content-disposition'), null);
});

for (const version of ['1.0', '1.1'])
  test(`an export over HTTP/${version} that breaks off midway looks like none that is whole`, async () => {
    await using own = await openLosing(2);
    const { hostname, port } = new URL(own.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET /console/audit.ndjson HTTP/${version}\r\nHost: ${hostname}\r\n\r\n`);
    const came = await text(socket).catch((error: unknown) => error);
    if (version === '1.1') assert.doesNotMatch(String(came), /\r\n0\r\n\r\n$/);
    else assert.ok(came instanceof Error && 'code' in came && came.code === 'ECONNRESET', String(came));
  });

test('what cannot be put on record is not shown: nobody reads the audit unseen', async () => {
  await using own = await openConsoleScene();
  await fill(own);
  await own.audit.close();
  for (const path of ['/console/audit', '/console/audit.ndjson']) {
    const answer = await own.get(path);
    assert.equal(answer.status, 503);
    assert.doesNotMatch(await answer.text(), /priya/);
  }
});

test('it is for those who have the role alone', async () => {
  await using own = await openConsoleScene();
  own.who = { ...EVERYBODY, roles: new Set(['listen', 'numbers', 'operate', 'hold', 'erase']) };
  assert.equal((await own.get('/console/audit')).status, 403);
  assert.equal((await own.get('/console/audit.ndjson')).status, 403);
});

for (const [query, name] of [
  ['from=2026-02-30', 'from'],
  ['from=2026-03-02&to=2026-03-01', 'from'],
  ['from=2020-01-01&to=2026-03-01', 'from'],
  ['to=now', 'to'],
  ['C=../x', 'C'],
  [`C=${'x'.repeat(300)}`, 'C'],
] as const)
  test(`a question with ${query.slice(0, 40)} is refused by name`, async () => {
    const answer = await scene.get(`/console/audit?${query}`);
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), new RegExp(`${name}: expected`));
  });

const chromium = chromiumForTests();

for (const view of VIEWS)
  test(
    `the audit, ${view.theme}, ${String(view.width)} px: nothing axe, policy or browser complains of`,
    chromium.options,
    async () => {
      await using opened = await openView(chromium.browser(), view);
      await opened.page.goto(`${scene.url}/console/audit`);
      assert.deepEqual(await opened.problems(), []);
      await picture(opened.page, `audit-${view.theme}-${String(view.width)}`);
      await opened.page.goto(`${scene.url}/console/audit?who=nobody`);
      assert.deepEqual(await opened.problems(), []);
    },
  );
