/** Replaying many failures: counts right, conflicts as lines, each on record once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replayAll } from '../../src/console/failed-list.ts';
import { Failure } from '../../src/failure.ts';
import { ListQueue } from '../http/far-ends.ts';
import { openConsoleScene } from '../support/console/console.ts';
import { addFailed } from '../support/console/troubles.ts';
import { runs } from '../support/soak.ts';

const COUNT = runs(100, 1_000);
const soon = (): AbortSignal => AbortSignal.timeout(400_000);

const sentIds = (queue: ListQueue): readonly string[] =>
  queue.messages
    .map((message) => (message.kind === 'recording' ? message.recordingId : ''))
    .toSorted((a, b) => (a < b ? -1 : 1));

test(`of ${String(COUNT)} with ten conflicts all others are sent, each on record once`, async () => {
  await using scene = await openConsoleScene();
  const queue = new ListQueue();
  const at = new Date();
  const ids = Array.from({ length: COUNT }, (_, n) => `r-${String(n).padStart(4, '0')}`);
  for (let n = 0; n < COUNT; n += 50)
    await Promise.all(ids.slice(n, n + 50).map((recordingId) => addFailed(scene.archive, { recordingId, at })));
  const { archive } = scene;
  const find: typeof archive.find = async (recording, signal) => {
    if (Number(recording.recordingId.slice(2)) % (COUNT / 10) === 0)
      throw new Failure('erased', 'It was erased on purpose.');
    return archive.find(recording, signal);
  };
  const recorded: string[] = [];
  const result = await replayAll(
    { code: 'unreadable-media', from: undefined, to: undefined, only: undefined },
    {
      archive: { find, list: archive.list.bind(archive) },
      queue,
      record: async ({ recording }) => void recorded.push(recording.recordingId ?? ''),
    },
    soon(),
  );
  assert.equal(result.sent, COUNT - 10);
  assert.equal(result.conflictCount, 10);
  assert.equal(new Set(sentIds(queue)).size, COUNT - 10);
  assert.deepEqual(
    recorded.toSorted((a, b) => (a < b ? -1 : 1)),
    sentIds(queue),
  );
});
