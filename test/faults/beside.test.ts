/** What stands beside the recordings of a service that was stopped, killed or not listened to: notices, lines, and details that wait. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { readIndexDay } from '../../src/archive/day-index.ts';
import { indexDayOf, archivedRow } from '../../src/archive/index-row.ts';
import { createVerify } from '../../src/http/signature.ts';
import { type FaultScene, openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService, until } from '../support/service/service.ts';

const HANG = { timeout: 400_000 };
const SECRET = 'canary-notify-secret-32-characters';

/** Verifies whatever it hears; answers 503 as often as it is told. */
async function startReceiver(t: TestContext, refusals = 0) {
  const heard: { readonly type: string; readonly data: Readonly<Record<string, unknown>> }[] = [];
  const verify = createVerify({
    required: true,
    secrets: [{ name: 'n', secret: SECRET, lastDay: undefined }],
    tokens: [],
  });
  let left = refusals;
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      verify(request.headers, Buffer.from(body));
      left -= 1;
      if (left < 0) heard.push(JSON.parse(body) as (typeof heard)[number]);
      response.writeHead(left < 0 ? 204 : 503, left < 0 ? {} : { 'retry-after': '1' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { url: `http://127.0.0.1:${String(address.port)}/hooks`, heard };
}

function keysIn({ folder }: FaultScene): readonly string[] {
  using database = new DatabaseSync(join(folder, 'queue.db'), { timeout: 10_000 });
  return database
    .prepare('SELECT key FROM message ORDER BY key')
    .all()
    .map((row) => String(row['key']));
}

test(
  'a service tells of what it archived and gave up, keeps its lines when it stops, and leaves details waiting',
  HANG,
  async (t) => {
    await using scene = await openFaultScene();
    const receiver = await startReceiver(t);
    const env = { ...scene.env, NOTIFY_URL: receiver.url, NOTIFY_SECRET: SECRET, RECONCILE: 'no' };
    const [good, gone] = [scene.add(FIXTURES.opus), scene.add(FIXTURES.opus, { fileState: 'DELETED' })];
    const service = await startService('serve', env);
    await scene.accept(service, good);
    await scene.accept(service, gone);
    await until(() => (receiver.heard.length >= 2 ? true : undefined), patience());
    const manifest = await scene.whole(good);
    assert.equal((await service.stop()).code, 0);
    const told = new Map(receiver.heard.map(({ type, data }) => [type, data]));
    const { conversationId, recordingId } = good;
    assert.deepEqual(told.get('recording.archived'), { conversationId, recordingId });
    assert.deepEqual(told.get('recording.failed'), {
      conversationId: gone.conversationId,
      recordingId: gone.recordingId,
      code: 'gone',
    });
    const day = indexDayOf(archivedRow(manifest));
    const rows = await readIndexDay(day, scene.embedded.archive.notes, patience());
    assert.equal(rows.get(`${conversationId}.${recordingId}`)?.sizeBytes, manifest.webm.sizeBytes);
    assert.deepEqual(keysIn(scene), [`details:${conversationId}`]);
    assert.doesNotMatch(service.output(), new RegExp(SECRET));
  },
);

test(
  'a receiver that is away is told when it is back, also by another process, and holds nothing up',
  HANG,
  async (t) => {
    await using scene = await openFaultScene();
    const receiver = await startReceiver(t, 1);
    const env = { ...scene.env, NOTIFY_URL: receiver.url, NOTIFY_SECRET: SECRET, RECONCILE: 'no', KEEP_DETAILS: 'no' };
    const recordings = Array.from({ length: 3 }, () => scene.add(FIXTURES.opus));
    const first = await startService('serve', env);
    for (const recording of recordings) await scene.accept(first, recording);
    for (const recording of recordings) await scene.archived(first, recording);
    await first.kill();
    const waiting = keysIn(scene).filter((key) => key.startsWith('notice:'));
    assert.ok(waiting.length > 0, 'somebody is still to be told');
    // Whoever starts anew knows nothing of a receiver that was away.
    {
      using database = new DatabaseSync(join(scene.folder, 'queue.db'), { timeout: 10_000 });
      database.prepare(`UPDATE message SET due_at = 0 WHERE key LIKE 'notice:%'`).run();
    }
    await using _second = await startService('serve', env);
    await until(() => {
      const told = new Set(receiver.heard.map(({ data }) => data['recordingId']));
      return told.size === recordings.length ? true : undefined;
    }, patience());
  },
);
