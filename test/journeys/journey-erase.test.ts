/** What was erased stays away from a running service: nobody hears it, no event and no night brings it back. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { filesIn } from '../support/archive/folder.ts';
import { linesOf, runArchiver } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { FIXTURES, simulated } from '../support/media/fixtures.ts';
import { Caller, errorIn } from '../support/service/caller.ts';
import { openEmbedded } from '../support/service/embedded.ts';
import { send, tokenHeader } from '../support/service/senders.ts';
import { startService } from '../support/service/service.ts';

const CALL = { recordingId: 'canary-recording', conversationId: 'canary-conversation' } as const;
const OTHER = { recordingId: 'other', conversationId: 'other-conversation' } as const;
const patience = (): AbortSignal => AbortSignal.timeout(400_000);

test(
  'erased while the service runs (operators 9): 410 wherever it is asked for, links die, a redelivered event is done and makes nothing',
  { timeout: 540_000 },
  async () => {
    await using opened = new AsyncDisposableStack();
    const embedded = opened.adopt(await openEmbedded(), (one) => one.close());
    const genesys = opened.adopt(await startGenesysServer(), (one) => one.close());
    const [token, key] = [randomUUID(), randomUUID()];
    for (const { recordingId, conversationId } of [CALL, OTHER])
      genesys.addRecording(simulated(recordingId, conversationId, FIXTURES.opus));
    const env = { ...genesys.environment(), ...embedded.env, API_KEYS: key, WEBHOOK_TOKENS: token, LOG_LEVEL: 'debug' };
    const service = opened.use(await startService('serve', env));
    const caller = new Caller(service.url, key);
    const event = async (recording: typeof CALL | typeof OTHER): Promise<void> => {
      assert.equal((await send(service.url, recording, tokenHeader(token))).status, 202);
    };
    for (const recording of [CALL, OTHER]) await event(recording);
    for (const recording of [CALL, OTHER])
      await service.logged({ message: 'Recording was archived.', ...recording }, patience());
    const link = await caller.link(CALL);
    assert.equal((await fetch(link)).status, 200);

    const erased = await runArchiver(
      ['erase', '--conversation', CALL.conversationId, '--reason', 'x', '--confirm', '2', '--json'],
      env,
    );
    assert.equal(erased.code, 0, erased.stdout + erased.stderr);
    assert.equal(linesOf(erased).at(-1)?.['gone'], 2);

    const path = `${CALL.conversationId}/${CALL.recordingId}`;
    for (const asked of [
      `/transcode?id=${CALL.recordingId}&conversationId=${CALL.conversationId}`,
      `/recordings/${path}`,
      `/recordings/${path}/link`,
    ])
      assert.deepEqual(errorIn(await caller.json(asked)), { status: 410, code: 'erased' }, asked);
    assert.equal((await fetch(link)).status, 410, 'a link that was given out');
    await event(CALL);
    await service.logged({ code: 'erased', ...CALL, outcome: 'done' }, patience());
    assert.equal(genesys.requests(`recording:${CALL.recordingId}`).length, 1, 'Genesys is not even asked');
    const names = await filesIn(embedded.path);
    assert.deepEqual(
      names.filter((name) => name.includes('canary') && !name.startsWith('erased/')),
      [],
    );
    const listed = JSON.stringify((await caller.json('/recordings')).body);
    assert.ok(listed.includes(OTHER.recordingId) && !listed.includes(CALL.recordingId), 'listed as little as heard');
    await service.stop();
    using queue = new DatabaseSync(embedded.env['QUEUE_URL']?.replace('sqlite:', '') ?? '', { readOnly: true });
    const rows = queue.prepare("SELECT key FROM message WHERE key LIKE '%canary%'").all();
    assert.deepEqual(rows, [], 'no message is about it any more');
  },
);
