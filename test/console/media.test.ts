/** What is heard and saved in the console while the archive is not as it should be: whole, or broken off, or an error and nothing else. */
import assert from 'node:assert/strict';
import { appendFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bytesOf, store } from '../support/archive/content.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';

const HANG_GUARD = { timeout: 60_000 };
const ORIGINAL = bytesOf('original', 300_000);
const soon = (): AbortSignal => AbortSignal.timeout(50_000);

let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene();
});
after(() => scene[Symbol.asyncDispose]());

/** A recording with an original, and where that lies. */
async function add(recordingId: string): Promise<{ readonly address: string; readonly file: string }> {
  const content = { head: bytesOf('head', 100), clusters: [bytesOf('clusters', 5_000)], originals: [ORIGINAL] };
  await store(scene.archive, { conversationId: 'c', recordingId }, content);
  const file = join(scene.path, `recordings/c/${recordingId}/original.opus`);
  return { address: `/console/media/c/${recordingId}/original/0`, file };
}

/** Who saved what. */
async function saved(): Promise<readonly (string | undefined)[]> {
  const recordings: (string | undefined)[] = [];
  for await (const { action, recordingId } of scene.audit.read({ from: '2000-01-01', to: '2999-01-01' }, soon()))
    if (action === 'downloaded') recordings.push(recordingId);
  return recordings;
}

test('an original is what lies there, and on record', HANG_GUARD, async () => {
  const { address } = await add('good');
  const answer = await scene.get(address);
  assert.deepEqual(
    ['content-type', 'content-length', 'content-disposition'].map((name) => answer.headers.get(name)),
    ['application/octet-stream', String(ORIGINAL.length), 'attachment; filename="good.original.opus"'],
  );
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(ORIGINAL));
  assert.deepEqual(await saved(), ['good']);
});

test(
  'one that cannot be read is an error under no name to save it by, and nobody has saved it',
  HANG_GUARD,
  async () => {
    const { address, file } = await add('gone');
    await rm(file);
    const answer = await scene.get(address);
    assert.equal(answer.status, 404);
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(answer.headers.get('content-disposition'), null);
    assert.match(await answer.text(), /^\{"error":\{"code":"not-found"/);
    assert.ok(!(await saved()).includes('gone'));
  },
);

for (const [name, change] of [
  ['shorter', (file: string) => truncate(file, ORIGINAL.length - 1)],
  ['longer', (file: string) => appendFile(file, 'x')],
] as const)
  test(`one that is ${name} than its manifest says is broken off, and said in the log`, HANG_GUARD, async () => {
    const { address, file } = await add(name);
    await change(file);
    const answer = await scene.get(address);
    await assert.rejects(answer.arrayBuffer(), { message: 'terminated' });
    const line = scene.lines.find((each) => each.includes('An answer was broken off midway.') && each.includes(name));
    assert.match(line ?? '', /another number of bytes than its manifest says/);
  });
