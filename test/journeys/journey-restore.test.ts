/** What Genesys has stored away: asked for by hand, restored in its own time, archived by itself, and heard. */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { linesOf, runArchiver } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { FIXTURES, simulated } from '../support/media/fixtures.ts';
import { emulatorMissing } from '../support/pubsub/emulator.ts';
import { Caller, errorIn } from '../support/service/caller.ts';
import { openCloud } from '../support/service/cloud.ts';
import { openEmbedded } from '../support/service/embedded.ts';
import { send, tokenHeader } from '../support/service/senders.ts';
import { startService } from '../support/service/service.ts';

const CALL = { recordingId: 'stored-away', conversationId: 'of-last-year' } as const;
const PATH = `${CALL.conversationId}/${CALL.recordingId}`;
const patience = (): AbortSignal => AbortSignal.timeout(400_000);

// Both wait most of the time.
describe('stored away', { concurrency: 2 }, () => {
  for (const [name, open, skip] of [
    ['a folder', openEmbedded, false],
    ['a bucket', openCloud, emulatorMissing()],
  ] as const)
    test(
      `ARCHIVED at Genesys → restore → RESTORING → RESTORED → archived into ${name} by itself, and played (operators 13)`,
      { skip, timeout: 540_000 },
      async () => {
        await using opened = new AsyncDisposableStack();
        const place = opened.adopt(await open(), (one) => one.close());
        const genesys = opened.adopt(await startGenesysServer(), (one) => one.close());
        const [token, key] = [randomUUID(), randomUUID()];
        genesys.addRecording({
          ...simulated(CALL.recordingId, CALL.conversationId, FIXTURES.opus),
          fileState: 'ARCHIVED',
          archiveDate: '2026-05-01T00:00:00.000Z',
        });
        const env = {
          ...genesys.environment(),
          ...place.env,
          API_KEYS: key,
          WEBHOOK_TOKENS: token,
          LOG_LEVEL: 'debug',
        };
        const service = opened.use(await startService('serve', env));
        const caller = new Caller(service.url, key);
        // One event, and never another.
        assert.equal((await send(service.url, CALL, tokenHeader(token))).status, 202);
        await service.logged({ message: 'Recording was not archived.', code: 'needs-restore', ...CALL }, patience());
        const early = await caller.json(`/transcode?id=${CALL.recordingId}&conversationId=${CALL.conversationId}`);
        assert.deepEqual(errorIn(early), { status: 409, code: 'needs-restore' });

        const plan = await runArchiver(['restore', '--recording', PATH, '--json'], env);
        assert.equal(linesOf(plan).at(-1)?.['toRestore'], 1, plan.stdout + plan.stderr);
        genesys.fault(`metadata:${CALL.recordingId}`, 'hint:2', 10);
        const asked = await runArchiver(['restore', '--recording', PATH, '--confirm', '1', '--json'], env);
        assert.equal(asked.code, 0, asked.stdout + asked.stderr);
        assert.equal(linesOf(asked).at(-1)?.['restoring'], 1);
        // Genesys takes its time, and says how long to wait; the service hears so, in place of what an operator had to do.
        await service.logged({ message: 'Recording was not archived.', code: 'not-ready', ...CALL }, patience());
        assert.equal(
          (await runArchiver(['restore', '--recording', PATH, '--json'], env)).stdout.includes('"toRestore":0'),
          true,
          'nobody asks twice',
        );
        genesys.update(CALL.recordingId, { fileState: 'RESTORED' });

        await service.logged({ message: 'Recording was archived.', ...CALL }, patience());
        assert.equal(
          genesys.requests(`restore:${CALL.recordingId}`).filter(({ method }) => method === 'PUT').length,
          1,
        );
        const manifest = await caller.manifest(CALL);
        for (const heard of [
          await caller.get(`/transcode?id=${CALL.recordingId}&conversationId=${CALL.conversationId}`),
          await fetch(await caller.link(CALL)),
        ]) {
          assert.equal(heard.status, 200);
          const bytes = await heard.bytes();
          assert.equal(createHash('sha256').update(bytes).digest('hex'), manifest.webm.sha256);
        }
        assert.equal((await caller.json(`/recordings/${PATH}`)).body['status'], 'archived');
        const nothing = await runArchiver(['restore', '--failed', '--json'], env);
        assert.equal(linesOf(nothing).at(-1)?.['toRestore'], 0, 'nothing waits for it any more');
        await service.stop();
      },
    );
});
