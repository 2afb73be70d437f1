/** Genesys is out of order for everyone, or asks to be left alone: what waits holds no slot, one asks for all, and all drains by itself. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openSqliteQueue, type SqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService } from '../support/service/service.ts';

const SLOTS = 2;
const BACKLOG = 30;
/** Questions until it is noticed, at most: five that differ, each tried again within a second, and what was out then. */
const NOTICED = 5 * 4 + SLOTS;
/** A pause of this length shows that it was, and that each is longer than the one before: 1 s, 2 s, 4 s. */
const QUIET_MS = 3_600;

test(
  'in an outage one asks for all, ever less often; then the backlog drains by itself, without a herd (SR-11)',
  { timeout: 400_000 },
  async (t) => {
    await using scene = await openFaultScene();
    const recordings = Array.from({ length: BACKLOG }, () => scene.add(FIXTURES.opus));
    scene.genesys.fault('metadata:*', 'return-503', 1000);
    await using service = await startService('serve', { ...scene.env, TRANSCODE_SLOTS: String(SLOTS) });
    await scene.accept(service, recordings);
    const asked = () => scene.genesys.requests('metadata:*');
    const gapBefore = (count: number): number => (asked()[count - 1]?.at ?? 0) - (asked()[count - 2]?.at ?? 0);
    let count = 1;
    do await scene.genesys.reached('metadata:*', ++count, patience());
    while (gapBefore(count) < QUIET_MS);
    assert.ok(count <= NOTICED + 3, `${String(count)} questions before it was left alone`);
    scene.genesys.mend('metadata:*');
    for (const recording of recordings)
      assert.equal((await scene.archived(service, recording)).attempt, 1, 'no attempt was counted, whoever met it');
    // A question may have come between the last look and the mending.
    assert.ok(asked().length <= BACKLOG + count + 1, 'whoever was not refused asked once');
    const drainS = ((asked().at(-1)?.at ?? 0) - (asked()[count - 1]?.at ?? 0)) / 1000;
    t.diagnostic(`${String(count)} questions in the outage; ${String(BACKLOG)} drained in ${drainS.toFixed(1)} s`);
  },
);

for (const route of ['metadata', 'recording', 'media'] as const)
  test(`waiting holds no slot: two that are told to wait 12 s by ${route} do not delay a third (F3)`, async () => {
    await using scene = await openFaultScene();
    const [first, second, third] = [0, 1, 2].map(() => scene.add(FIXTURES.opus));
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    for (const { recordingId } of [first, second])
      scene.genesys.fault(`${route}:${recordingId}${route === 'media' ? ':0' : ''}`, 'return-503; retry-after:12');
    await using service = await startService('serve', { ...scene.env, TRANSCODE_SLOTS: String(SLOTS) });
    const ended: string[] = [];
    const all = [first, second, third].map(async (recording) => {
      await scene.archived(service, recording);
      ended.push(recording.recordingId);
    });
    await scene.accept(service, [first, second]);
    for (const { recordingId } of [first, second])
      await service.logged({ message: 'Recording was not archived.', recordingId }, patience());
    await scene.accept(service, [third]);
    await Promise.all(all);
    assert.equal(ended[0], third.recordingId);
    scene.genesys.assertFaultsUsed();
  });

test('what an operator mends comes at once when its event is sent again, and by itself wherever it was refused (C4)', async () => {
  await using scene = await openFaultScene();
  const asked = scene.add(FIXTURES.opus);
  const patient = (['list', 'metadata', 'recording', 'media'] as const).map((place) => ({
    place,
    recording: scene.add(FIXTURES.opus),
  }));
  scene.genesys.fault(`metadata:${asked.recordingId}`, 'return-403; code:missing.any.permissions');
  for (const { place, recording } of patient) scene.genesys.fault(...refusedAt(place, recording));
  await using service = await startService('serve', scene.env);
  await scene.accept(service, [asked, ...patient.map(({ place, recording }) => eventOf(place, recording))]);
  for (const { recordingId, conversationId } of [asked, ...patient.map(({ recording }) => recording)]) {
    const isList = conversationId === patient[0]?.recording.conversationId;
    const about = isList ? { conversationId } : { recordingId };
    const line = await service.logged({ message: 'Recording was not archived.', ...about }, patience());
    assert.deepEqual([line['code'], line['sort'], line['outcome']], ['forbidden', 'operator', 'wait']);
  }
  await scene.accept(service, [asked]);
  const ended: string[] = [];
  await Promise.all(
    [asked, ...patient.map(({ recording }) => recording)].map(async (recording) => {
      assert.equal((await scene.archived(service, recording)).attempt, 1);
      ended.push(recording.recordingId);
    }),
  );
  assert.equal(ended[0], asked.recordingId);
  scene.genesys.assertFaultsUsed();
});

type Place = 'list' | 'metadata' | 'recording' | 'media';
type Called = Readonly<Record<'recordingId' | 'conversationId', string>>;

function eventOf(place: Place, recording: Called): object {
  return place === 'list' ? { conversationId: recording.conversationId } : recording;
}

/** A location that is refused is asked for anew twice before that is said to be the operator's. */
function refusedAt(place: Place, { recordingId, conversationId }: Called): readonly [string, string, number] {
  if (place === 'media') return [`media:${recordingId}:0`, 's3:AccessDenied', 3];
  const of = place === 'list' ? conversationId : recordingId;
  return [`${place}:${of}`, 'return-403; code:missing.any.permissions', 1];
}

test('an hour of a captive proxy costs no attempt: HTML, odd JSON, broken answers (C6)', async () => {
  await using scene = await openFaultScene();
  const recording = scene.add(FIXTURES.opus);
  const route = `metadata:${recording.recordingId}`;
  for (const fault of ['body:html', 'body:text:[]', 'return-500', 'return-reset-connection'])
    scene.genesys.fault(route, fault);
  await using service = await startService('serve', scene.env);
  await scene.accept(service, recording);
  assert.equal((await scene.archived(service, recording)).attempt, 1);
  scene.genesys.assertFaultsUsed();
});

test('words that are labelled as sound pass like a web page, and cost no attempt (C3)', async () => {
  await using scene = await openFaultScene();
  const recording = scene.add(FIXTURES.opus);
  const route = `media:${recording.recordingId}:0`;
  for (const said of ['Blocked by policy.', '{"error":"blocked"}'])
    scene.genesys.fault(route, `type:audio/ogg;body:text:${said}`);
  await using service = await startService('serve', scene.env);
  await scene.accept(service, recording);
  assert.equal((await scene.archived(service, recording)).attempt, 1);
  scene.genesys.assertFaultsUsed();
});

test('what was archived and is gone from the archive is made again when its event comes again (C13) (F1)', async () => {
  await using scene = await openFaultScene();
  const recording = scene.add(FIXTURES.opus);
  const { recordingId, conversationId } = recording;
  await using service = await startService('serve', scene.env);
  const lies = join(scene.embedded.path, 'recordings', conversationId, recordingId);
  const queue = openSqliteQueue({ path: join(scene.folder, 'queue.db') });
  for (const [index, event] of [recording, { conversationId }, recording].entries()) {
    await scene.accept(service, event);
    await scene.genesys.reached(`media:${recordingId}:0`, index + 1, patience());
    // The manifest comes last; an event that came before the end of the delivery would be told by it.
    while (!existsSync(join(lies, 'manifest.json')) || (await isAtWork(queue))) await delay(20);
    await scene.whole(recording);
    await rename(lies, join(scene.folder, `moved.${String(index)}`));
  }
  await queue.close();
});

async function isAtWork(queue: SqliteQueue): Promise<boolean> {
  const { ready, running } = (await queue.depth()) ?? assert.fail();
  return ready + running > 0;
}
