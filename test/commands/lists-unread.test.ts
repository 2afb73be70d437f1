/** What Genesys' lists say that cannot be read, or not yet: no day is called complete for it, and no conversation is let go. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Archive } from '../../src/archive/archive.ts';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { bytesOfFixture } from '../support/media/fixtures.ts';
import { runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const DAY = '2026-11-24';
const RANGE = ['--from', DAY, '--to', DAY] as const;
const CHAT = '{"id":"r0","conversationId":"c0","media":"chat","fileState":"AVAILABLE"}';
const signal = (): AbortSignal => AbortSignal.timeout(200_000);

interface Scene {
  readonly server: GenesysServer;
  readonly path: string;
  readonly run: (...args: string[]) => Promise<Printed>;
}

/** One conversation, of a chat: complete without anything being stored. */
async function setUp(t: TestContext): Promise<Scene> {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'lists-unread-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  server.analytics.pendingPolls = 0;
  server.analyze({ conversationId: 'c0', start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
  server.addRecording({ recordingId: 'r0', conversationId: 'c0', media: 'chat' });
  const path = join(folder, 'archive');
  const env = { ...server.environment(), ARCHIVE_URL: `file:${path}`, LOG_LEVEL: 'error' };
  return { server, path, run: (...args) => runInProcess(args, env) };
}

/** Of the one day: its verdict, and what was found. */
function told(printed: Printed): readonly unknown[] {
  return linesOf(printed).flatMap(({ type, verdict, key, state, code }) => {
    if (type === 'day') return [verdict];
    return type === 'finding' ? [[key, state, code].join(' ').trimEnd()] : [];
  });
}

const LISTS: readonly (readonly [string, string, readonly string[]])[] = [
  ['no list yet, and no body', 'return-202;body:text:', ['c0._ waiting not-ready', 'incomplete']],
  [
    'no list yet, but a stub',
    'return-202;type:application/json;body:text:{"id":"c0"}',
    ['c0._ waiting not-ready', 'incomplete'],
  ],
  [
    'on its way, with some of it',
    `return-202;type:application/json;body:text:[${CHAT}]`,
    ['c0._ waiting not-ready', 'incomplete'],
  ],
  ['on its way, and empty', 'return-202;type:application/json;body:text:[]', ['c0._ waiting not-ready', 'incomplete']],
  ['nothing at all', 'return-204;body:text:', ['c0._ waiting not-ready', 'incomplete']],
  ['an entry that is none', `body:text:[${CHAT},null]`, ['c0._ failed upstream-error', 'incomplete']],
  [
    'an id that is a number',
    `body:text:[{"id":17,"media":"audio"},${CHAT}]`,
    ['c0._ failed upstream-error', 'incomplete'],
  ],
  [
    'a recording of another conversation',
    `body:text:[{"id":"r9","conversationId":"c9","media":"audio","fileState":"AVAILABLE"},${CHAT}]`,
    ['c0._ failed upstream-error', 'incomplete'],
  ],
  ['the same one twice', `body:text:[${CHAT},${CHAT}]`, ['complete']],
];

for (const [what, fault, expected] of LISTS)
  test(`a conversation whose list is ${what} makes its day ${String(expected.at(-1))} (C8, invariant 16)`, async (t) => {
    const { server, run } = await setUp(t);
    server.fault('list:c0', `type:application/json;${fault}`);
    const looked = await run('reconcile', ...RANGE, '--json');
    assert.deepEqual(told(looked), expected, looked.stderr);
    assert.equal(looked.code, expected.length === 1 ? 0 : 3);
    assert.deepEqual(told(await run('reconcile', ...RANGE, '--json')), ['complete'], 'the next look reads it');
  });

const CONVERSATIONS: readonly (readonly [string, unknown, string])[] = [
  ['is null', 'null', 'open'],
  ['has no id', { conversationStart: `${DAY}T11:00:00Z` }, 'open'],
  ['has an id that is a number', { conversationId: 7, conversationStart: `${DAY}T11:00:00Z` }, 'open'],
  [
    'has no start that can be read',
    { conversationId: 'c1', conversationStart: 'yesterday', conversationEnd: `${DAY}T11:05:00Z` },
    'incomplete',
  ],
];

for (const [what, raw, verdict] of CONVERSATIONS)
  test(`a day with a conversation that ${what} is ${verdict}, and says why (invariant 16)`, async (t) => {
    const { server, run } = await setUp(t);
    server.addRecording({ recordingId: 'r1', conversationId: 'c1' });
    server.analyze({ conversationId: 'c1', start: `${DAY}T11:00:00Z`, raw });
    const looked = await run('reconcile', ...RANGE);
    assert.equal(looked.code, 3, looked.stdout);
    assert.match(looked.stdout, new RegExp(`^${DAY}  ${verdict} `, 'm'));
    const why = verdict === 'open' ? /without an id that can be asked for/ : /^missing +\S+ +c1\.r1/m;
    assert.match(looked.stdout, why);
  });

async function failed(archive: Archive, conversationId: string): Promise<void> {
  const record = {
    version: 1,
    recordingId: null,
    conversationId,
    status: 'failed',
    code: 'internal',
    reason: 'it was',
    attempts: 8,
    failedAt: new Date().toISOString(),
    service: 'test',
  } as const;
  await archive.recordFailure({ recordingId: undefined, conversationId }, record, signal());
}

test('the failure of a conversation holds until each of its recordings is archived or has one of its own (invariant 12)', async (t) => {
  const { server, path, run } = await setUp(t);
  const file = { channel: '0', contentType: 'audio/ogg', bytes: bytesOfFixture('stereo.opus') };
  for (const recordingId of ['denied', 'good'])
    server.addRecording({ recordingId, conversationId: 'c', files: [file] });
  server.addRecording({
    recordingId: 'bad',
    conversationId: 'd',
    files: [{ ...file, bytes: Buffer.alloc(4_000) }],
  });
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  for (const conversationId of ['c', 'd']) await failed(archive, conversationId);
  server.fault('metadata:denied', 'return-403;code:missing.any.permissions');
  const keys = async () =>
    (await archive.list({ status: 'failed', limit: 10 }, signal())).entries.map(
      ({ recording: { conversationId, recordingId } }) => `${conversationId ?? '_'}.${recordingId ?? '_'}`,
    );
  const ends = (printed: Printed) => {
    const last = linesOf(printed).at(-1) ?? {};
    return ['done', 'failed', 'left'].map((name) => last[name]);
  };
  assert.deepEqual(ends(await run('replay', '--json')), [1, 1, 1]);
  assert.deepEqual(await keys(), ['c._', 'd.bad']);
  assert.deepEqual(ends(await run('replay', '--code', 'internal', '--json')), [2, 0, 0]);
  assert.deepEqual(await keys(), ['d.bad']);
});

test('replay keeps the failure of a conversation of which nothing is told, and tries the others (C10)', async (t) => {
  const { server, path, run } = await setUp(t);
  const files = [{ channel: '0', contentType: 'audio/ogg', bytes: bytesOfFixture('stereo.opus') }];
  server.addRecording({ recordingId: 'r', conversationId: 'told', files });
  server.addConversation('empty');
  server.addConversation('later');
  server.fault('list:later', 'return-202;body:text:');
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const conversations = ['empty', 'later', 'told', 'unknown'];
  for (const conversationId of conversations) await failed(archive, conversationId);
  const replayed = await run('replay', '--json');
  const { found, done, failed: again, left } = linesOf(replayed).at(-1) ?? {};
  assert.deepEqual([found, done, again, left, replayed.code], [4, 1, 0, 3, 3], replayed.stderr);
  const still = await archive.list({ status: 'failed', limit: 10 }, signal());
  assert.deepEqual(
    still.entries.map(({ recording }) => recording.conversationId ?? '_').toSorted(),
    conversations.filter((id) => id !== 'told'),
  );
});
