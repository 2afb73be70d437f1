import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { dayAt, dayBefore } from '../../src/instant.ts';
import { failureOf } from '../support/archive/content.ts';
import { keysOf } from '../support/keys.ts';
import { errorOf, ListAudit, start, type Started } from './far-ends.ts';

const { signal } = new AbortController();
const KEY = 'an-api-key';
const TODAY = dayAt(Date.now());
const SERVICE = { version: '9', startedAt: '2026-11-28T00:00:00.000Z', encodersRunning: 1, genesysCallsLeft: 271 };

interface Scene extends Started {
  readonly audit: ListAudit;
  readonly archive: ReturnType<typeof openFolderArchive>;
  /** How often the archive was listed. */
  lists: () => number;
  get(path: string): Promise<Response>;
}

/** The real routes over a real archive. */
async function overviewOfFolder(t: TestContext): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'status-'));
  const archive = openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://localhost' });
  const audit = new ListAudit();
  let lists = 0;
  const counted = {
    notes: archive.notes,
    list: (...asked: Parameters<typeof archive.list>) => {
      lists += 1;
      return archive.list(...asked);
    },
  };
  const app = await start({
    audit,
    auth: { required: true, keys: keysOf(KEY) },
    overview: {
      archive: counted,
      depth: async () => ({ ready: 1, waiting: 2, running: 0, dead: 0 }),
      figures: () => SERVICE,
    },
  });
  t.after(async () => {
    await app.close(0);
    await rm(folder, { recursive: true, force: true });
  });
  const get = (path: string): Promise<Response> => fetch(app.url + path, { headers: { 'x-api-key': KEY } });
  return Object.assign(app, { audit, archive, get, lists: () => lists });
}

async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  assert.equal(response.status, 200);
  return { ...((await response.json()) as Record<string, unknown>) };
}

const PROOF = { conversations: 4, recordings: 5, archived: 3, missing: 2, failed: 0, waiting: 0, lost: 0 };

test('GET /status says in JSON what `archiver status` shows, and that it was looked at', async (t) => {
  const app = await overviewOfFolder(t);
  const lost = { recordingId: 'r1', conversationId: 'c1' };
  await app.archive.recordFailure(lost, failureOf(lost), signal);
  const at = { notes: app.archive.notes, at: new Date() };
  await writeProof(
    'complete',
    { day: TODAY, verdict: 'incomplete', ...PROOF, dataUntil: '2026-11-28T01:00:00.000Z' },
    at,
    signal,
  );
  const status = await bodyOf(await app.get('/status?days=3'));
  assert.deepEqual([status['service'], status['dataUntil']], [SERVICE, '2026-11-28T01:00:00.000Z']);
  assert.deepEqual(status['queue'], { ready: 1, waiting: 2, running: 0, dead: 0 });
  const days = status['days'] as readonly Record<string, unknown>[];
  assert.deepEqual(
    days
      .filter(({ day }) => day === TODAY || day === dayBefore(TODAY, 1))
      .map(({ day, verdict, missing }) => [day, verdict, missing]),
    [
      [TODAY, 'incomplete', 2],
      [dayBefore(TODAY, 1), 'unproven', null],
    ],
  );
  const [failure] = status['failures'] as readonly Record<string, unknown>[];
  assert.equal(failure?.['code'], 'unreadable-media');
  assert.match(String(failure['next']), /Genesys Cloud/);
  const [entry] = app.audit.entries;
  assert.deepEqual([entry?.action, entry?.way, entry?.about], ['looked', 'key', { page: 'status' }]);
});

test('many who ask for the status at once cost the archive one look', async (t) => {
  const app = await overviewOfFolder(t);
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.get('/status')));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(app.lists(), 1);
  assert.equal(app.audit.entries.length, 20, 'each of them is on record');
});

test('GET /days says what the newest proof of each day established, the newest day first', async (t) => {
  const app = await overviewOfFolder(t);
  const { notes } = app.archive;
  for (const [verdict, at] of [
    ['incomplete', '2026-11-27T03:00:00.000Z'],
    ['complete', '2026-11-28T03:00:00.000Z'],
  ] as const)
    await writeProof('complete', { day: '2026-11-25', verdict, ...PROOF }, { notes, at: new Date(at) }, signal);
  const { days } = await bodyOf(await app.get('/days?from=2026-11-24&to=2026-11-25'));
  assert.ok(Array.isArray(days));
  const [last, first] = days as readonly Record<string, unknown>[];
  assert.deepEqual(last, {
    day: '2026-11-25',
    verdict: 'complete',
    at: '2026-11-28T03:00:00.000Z',
    ...PROOF,
    noMedia: null,
    erased: null,
    storedAway: null,
    unlisted: null,
    dataUntil: null,
  });
  assert.deepEqual([first?.['day'], first?.['verdict'], first?.['recordings']], ['2026-11-24', 'unproven', null]);
  assert.ok(Array.isArray((await bodyOf(await app.get('/days')))['days']));
  assert.deepEqual(app.audit.entries.at(0)?.about, { page: 'days', from: '2026-11-24', to: '2026-11-25' });
});

test('a question that cannot be meant is refused by the name of its field, before anything is looked at', async (t) => {
  const app = await overviewOfFolder(t);
  const refused: readonly (readonly [string, RegExp])[] = [
    ['/days?from=2026-02-30', /^from: expected a day/],
    ['/days?from=yesterday&to=', /^from: expected a day.*; to: expected a day/],
    ['/days?from=2026-11-26&to=2026-11-25', /^from: 2026-11-26 lies after 2026-11-25/],
    ['/days?to=2999-01-01', /^to: 2999-01-01 has not come yet/],
    ['/days?from=2016-01-01&to=2026-01-01', /^from: expected at most 92 days/],
    ['/days?form=2026-11-26', /^form: unknown; expected from, to/],
    ['/days?from=2026-11-26&from=2026-11-27', /^from: expected a day/],
    ['/status?days=8', /^days: expected a whole number from 1 to 7/],
    ['/status?days=0', /^days: /],
    ['/status?days=7&x=1', /^x: unknown/],
    ['/status?%0a=1', /^a field: unknown/],
  ];
  for (const [path, message] of refused) {
    const error = await errorOf(await app.get(path));
    assert.equal(error.status, 400, path);
    assert.match(error.message, message, path);
  }
  assert.equal((await app.get(`/days?from=${dayBefore('2026-11-20', 91)}&to=2026-11-20`)).status, 200);
  assert.deepEqual([app.lists(), app.audit.entries.length], [0, 1]);
});

test('without a key, by another method, and without an audit nothing is told', async (t) => {
  const app = await overviewOfFolder(t);
  for (const path of ['/status', '/days']) {
    assert.equal((await errorOf(await fetch(app.url + path))).status, 401, path);
    const posted = await fetch(app.url + path, { method: 'POST', headers: { 'x-api-key': KEY } });
    assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD'], path);
    await posted.arrayBuffer();
  }
  app.audit.before = async () => Promise.reject(new Error('the disk is full'));
  for (const path of ['/status', '/days']) assert.equal((await app.get(path)).status, 500, path);
});
