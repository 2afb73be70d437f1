/** A bucket that pages its lists as Cloud Storage may, one entry at a time and with empty pages before each: every command says and does the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, failureOf, store } from '../support/archive/content.ts';
import { type ArchiveScene, openBucketScene } from '../support/commands/archive-scene.ts';

const HANG_GUARD = { timeout: 400_000 };
const soon = (): AbortSignal => AbortSignal.timeout(300_000);
/** Each begins like another one, or like what lies beside it. */
const CONVERSATIONS = ['c1', 'c10', 'c1-r1', 'C1', '-', 'erased'];
const RECORDINGS = ['r1', 'r10', 'R1'];
const REASON = ['--reason', 'request 2026-17'];
const LINES: readonly (readonly string[])[] = [
  ['verify', '--read'],
  ['hold', 'CASE', '--conversation', 'c1', '--recording', '-/r1', ...REASON],
  ['hold', '--list'],
  ['erase', '--conversation', 'c1', ...REASON],
  ['erase', '--conversation', 'c10', ...REASON, '--confirm', '4'],
  ['reconcile', '--index'],
  ['erase', '--older-than', '30d', ...REASON],
  ['status'],
  ['erase', '--older-than', '30d', ...REASON, '--confirm', '11'],
  ['verify'],
  ['verify', '--audit'],
];

async function fill({ archive, server }: ArchiveScene): Promise<void> {
  assert.ok(server !== undefined);
  server.store.versioning = true;
  server.store.softDeleteS = 86_400;
  for (const conversationId of CONVERSATIONS)
    for (const recordingId of RECORDINGS) {
      const original = bytesOf('original', 50);
      const content = { head: bytesOf('head', 10), clusters: [bytesOf('clusters', 90)], originals: [original] };
      await store(archive, { conversationId, recordingId }, { ...content, levels: bytesOf('levels', 9) });
    }
  for (const recordingId of ['f1', 'f10']) {
    const recording = { conversationId: 'c1', recordingId };
    await archive.recordFailure(recording, failureOf(recording), soon());
  }
}

/** What listings show, by pages of so many. */
async function listed({ archive }: ArchiveScene, limit: number): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await archive.list({ limit, ...(cursor === undefined ? {} : { cursor }) }, soon());
    for (const { status, recording } of page.entries)
      keys.push(`${status} ${String(recording.conversationId)}.${String(recording.recordingId)}`);
    if (page.cursor === undefined) return keys;
    cursor = page.cursor;
  }
}

const withoutClock = (text: string): string =>
  text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T').replace(/"(from|to|until)":"[^"]*"/g, '');

/** All that is said, and what lies there in the end. */
async function run(scene: ArchiveScene): Promise<readonly string[]> {
  const said = [String(await listed(scene, 4)), String(await listed(scene, 100))];
  for (const line of LINES) {
    const { code, stdout, stderr } = await scene.run(...line, '--json', '--quiet');
    assert.ok(code === 0 || code === 3 || code === 4, `${line.join(' ')}: ${stderr}`);
    // Some is done side by side.
    said.push(`${line.join(' ')} ${String(code)}`, ...withoutClock(stdout).split('\n').toSorted());
  }
  const names = (await scene.names()).filter((name) => !/^(proofs|status)\//.test(name));
  return [...said, ...names];
}

test('what a bucket lists by pages is whole, whatever a page holds', HANG_GUARD, async (t) => {
  const [whole, paged] = await Promise.all([openBucketScene(), openBucketScene()]);
  t.after(() => Promise.all([whole.close(), paged.close()]));
  await fill(whole);
  const expected = await run(whole);
  assert.deepEqual(expected[0], expected[1]);
  assert.equal(new Set(expected[1]?.split(',')).size, CONVERSATIONS.length * RECORDINGS.length + 2);
  await fill(paged);
  assert.ok(paged.server !== undefined);
  paged.server.pages = { most: 1, hasEmpty: true };
  assert.deepEqual(await run(paged), expected);
});
