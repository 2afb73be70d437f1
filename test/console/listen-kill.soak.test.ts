/** A service that is killed while people listen: whoever got a byte of a recording is on record. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get as request, type IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { keyOf, pathOf, type Recording } from '../../src/recording.ts';
import { openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService } from '../support/service/service.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

const LISTENERS = 6;

test(
  'whatever is killed when, every byte of a recording that left has its record (14)',
  { timeout: 600_000 },
  async () => {
    await using scene = await openFaultScene();
    const env = { ...scene.env, CONSOLE_AUTH: 'none', API_AUTH: 'none', API_KEYS: '' };
    const calls = Array.from({ length: LISTENERS }, () => scene.add(FIXTURES.dual));
    await using first = await startService('serve', env);
    await scene.accept(first, calls);
    for (const call of calls) await scene.archived(first, call);
    await first.stop();
    const random = seeded(SEED);
    const heardAtAll = new Set<string>();
    for (let run = 0; run < runs(1, 30); run += 1) {
      const before = await heardOnRecord(scene.embedded.path);
      await using service = await startService('serve', env);
      const listening = calls.map((call) => listen(`${service.url}/console/media/${pathOf(call)}`));
      // The first byte of one of them (of the first run surely), or none at all yet: in between a record could be missing.
      const victim = run === 0 ? 0 : Math.floor(random() * (LISTENERS + 1));
      await (listening[victim]?.begun ?? Promise.resolve());
      await service.kill();
      const bytes = await Promise.all(listening.map(({ ended }) => ended));
      const heard = calls.filter((_, index) => (bytes[index] ?? 0) > 0);
      const after = await heardOnRecord(scene.embedded.path);
      for (const call of heard) {
        heardAtAll.add(keyOf(call));
        assert.ok(
          countOf(after, call) > countOf(before, call),
          `run ${String(run)}: ${keyOf(call)} was heard without a record`,
        );
      }
    }
    assert.ok(heardAtAll.size > 0, 'somebody heard something');
  },
);

interface Listening {
  /** The first byte, or the end without one. */
  readonly begun: Promise<void>;
  /** Bytes that came. */
  readonly ended: Promise<number>;
}

function listen(url: string): Listening {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const ended = (async (): Promise<number> => {
    let bytes = 0;
    try {
      const [answer] = (await once(request(url), 'response', { signal: patience() })) as [IncomingMessage];
      for await (const chunk of answer) {
        bytes += (chunk as Buffer).length;
        begin();
      }
    } catch {
      // Killed midway, as meant.
    }
    begin();
    return bytes;
  })();
  return { begun, ended };
}

async function heardOnRecord(root: string): Promise<readonly string[]> {
  const audit = new FolderAudit({ root });
  const keys: string[] = [];
  for await (const { action, recordingId = '', conversationId } of audit.read(
    { from: '2020-01-01', to: '2099-01-01' },
    patience(),
  ))
    if (action === 'listened') keys.push(keyOf({ recordingId, conversationId }));
  await audit.close();
  return keys;
}

function countOf(keys: readonly string[], call: Recording): number {
  return keys.filter((key) => key === keyOf(call)).length;
}
