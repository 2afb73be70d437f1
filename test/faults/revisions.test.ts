/** Two revisions at once, the newer ahead of the older: what both know is done, what the older does not know is kept. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService, until } from '../support/service/service.ts';

const HANG = { timeout: 400_000 };

test(
  'messages of a newer revision: with fields more they are archived, of another version they are kept with the reason (PR-09)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const [known, unknown, next] = [scene.add(FIXTURES.opus), scene.add(FIXTURES.opus), scene.add(FIXTURES.opus)];
    // The file as the first revision made it.
    await (await startService('receiver', scene.env)).stop();
    using database = new DatabaseSync(join(scene.folder, 'queue.db'), { timeout: 10_000 });
    const insert = database.prepare(
      `INSERT INTO message (key, body, state, due_at, accepted_at, changed_at) VALUES (:key, :body, 'queued', :now, :now, :now)`,
    );
    const write = (recordingId: string, fields: object): void => {
      insert.run({ key: `newer:${recordingId}`, body: JSON.stringify(fields), now: Date.now() });
    };
    write(known.recordingId, { v: 1, kind: 'recording', ...known, priority: 'high', tenant: { id: 't' } });
    write(unknown.recordingId, { v: 2, kind: 'recordings', ids: [unknown.recordingId] });

    await using older = await startService('serve', scene.env);
    await using beside = await startService('worker', scene.env);
    await scene.accept(older, next);
    const first = (recordingId: string): Promise<unknown> =>
      Promise.any(
        [older, beside].map((service) =>
          service.logged({ message: 'Recording was archived.', recordingId }, patience()),
        ),
      );
    for (const { recordingId } of [known, next]) await first(recordingId);
    for (const recording of [known, next]) {
      await scene.whole(recording);
      assert.equal(scene.downloads(recording), 1);
    }
    const row = await until(
      () => database.prepare(`SELECT state, body, reason FROM message WHERE state = 'dead'`).get(),
      patience(),
    );
    assert.match(String(row['reason']), /message\.v: expected 1; a newer service wrote this message/);
    assert.ok(String(row['body']).includes(unknown.recordingId), 'what was asked for is still there');
  },
);
