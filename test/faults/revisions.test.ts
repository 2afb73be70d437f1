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
  'messages of a newer revision: with fields more they are archived, of another version or kind they wait, with nothing lost of them (PR-09)',
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
    const versioned = { v: 2, kind: 'recordings', ids: [unknown.recordingId] };
    const unheardOf = { v: 1, kind: 'transcription', conversationId: unknown.conversationId };
    write(unknown.recordingId, versioned);
    write('kind', unheardOf);

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
    const waiting = `SELECT body, attempt FROM message WHERE key LIKE 'newer:%' AND state = 'queued' AND due_at > :now`;
    const rows = await until(() => {
      const found = database.prepare(waiting).all({ now: Date.now() + 60_000 });
      return found.length === 2 ? found : undefined;
    }, patience());
    for (const row of rows) assert.equal(row['attempt'], 0);
    assert.deepEqual(
      rows.map((row) => row['body']),
      [JSON.stringify(versioned), JSON.stringify(unheardOf)],
    );
    assert.equal(database.prepare(`SELECT count(*) AS n FROM message WHERE state = 'dead'`).get()?.['n'], 0);
  },
);
