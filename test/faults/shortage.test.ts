/** A machine without room for another file, process or page: the work goes back, the service lives, and goes on when there is room. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Recording } from '../../src/recording.ts';
import { dial, type Wire } from '../http/far-ends.ts';
import { KEY, openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { type Cgroup, limitFiles, makeCgroup, noCgroup, NO_PRLIMIT, openFiles } from '../support/limits.ts';
import { send, tokenHeader } from '../support/service/senders.ts';
import { type Service, startService, until } from '../support/service/service.ts';

const HANG = { timeout: 400_000 };

interface Shortage {
  /** As spawn(2) says it. */
  readonly code: string;
  readonly skip: string | false;
  /** From now on the process can start no other; resolves with what ends it. */
  readonly begin: (pid: number) => Promise<{ end(): Promise<void> }>;
}

const SHORTAGES: readonly Shortage[] = [
  {
    code: 'EMFILE',
    skip: NO_PRLIMIT,
    begin: async (pid) => {
      await limitFiles(pid, openFiles(pid) + 2);
      return { end: () => limitFiles(pid, 1024) };
    },
  },
  {
    code: 'EAGAIN',
    skip: noCgroup('pids'),
    begin: async (pid) => {
      const group = makeCgroup('pids');
      group.add(pid);
      group.set('pids.max', Number(group.get('pids.current')));
      return { end: async () => group[Symbol.dispose]() };
    },
  },
];

for (const { code, skip, begin } of SHORTAGES) {
  test(
    `an encoder that cannot be started (${code}) gives the work back uncounted, and a listener 429; then all goes on (FF-14)`,
    { ...HANG, skip },
    async () => {
      await using scene = await openFaultScene();
      await using service = await startService('serve', scene.env);
      const [queued, heard] = [scene.add(FIXTURES.wav), scene.add(FIXTURES.wav)];
      const media = [queued, heard].map(({ recordingId }) => `media:${recordingId}:0`);
      // Everything is open that is needed up to the encoder.
      for (const route of media) scene.genesys.fault(route, 'stall-for-3s-after-0K');
      await scene.accept(service, queued);
      const listening = listen(service, heard);
      for (const route of media) await scene.genesys.reached(route, 1, patience());
      const shortage = await begin(service.pid);
      const { outcome, reason, afterMs } = await service.logged({ code: 'busy' }, patience());
      // What has waited for longer waits for as long again.
      assert.ok(outcome === 'wait' && Number(afterMs) >= 2000, `${String(outcome)} ${String(afterMs)}`);
      assert.match(String(reason), new RegExp(`cannot start another encoder now \\(${code}\\)`));
      const refused = await listening;
      assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '2']);
      await refused.body?.cancel();
      await shortage.end();

      assert.equal((await scene.archived(service, queued)).attempt, 1, 'it used up no attempt');
      const response = await listen(service, heard);
      assert.equal(response.status, 200);
      assert.ok((await response.arrayBuffer()).byteLength > 50_000);
      assert.equal((await service.stop()).code, 0);
    },
  );
}

test(
  'out of file descriptors it answers those it has, loses nothing it took, and recovers by itself (PR-04)',
  { ...HANG, skip: NO_PRLIMIT },
  async () => {
    await using scene = await openFaultScene();
    await using service = await startService('serve', scene.env);
    const port = Number(new URL(service.url).port);
    const kept = await dial(port);
    assert.match(await ask(kept, 'GET /healthz'), /^HTTP\/1\.1 200 /);
    await limitFiles(service.pid, openFiles(service.pid) + 20);
    const crowd = await Promise.all(Array.from({ length: 60 }, () => dial(port)));
    // Those beyond the limit are let go at once: nobody waits in a queue that is never served.
    await until(() => (crowd.filter(({ socket }) => socket.closed).length >= 30 ? true : undefined), patience());
    assert.match(await ask(kept, 'GET /healthz'), /^HTTP\/1\.1 200 /);
    for (const { socket } of crowd) socket.destroy();

    const recording = scene.add(FIXTURES.wav);
    await until(async () => {
      const answer = await send(service.url, recording, tokenHeader('canary-webhook-token')).catch(() => undefined);
      return answer?.status === 202 || undefined;
    }, patience());
    await scene.archived(service, recording);
    assert.equal((await service.stop()).code, 0);
    kept.socket.destroy();
  },
);

test(
  'within 384 MB two slots archive one recording after the other, and nothing is killed for memory (PR-07)',
  { ...HANG, skip: noCgroup('memory') },
  async (t) => {
    await using scene = await openFaultScene();
    using group = makeCgroup('memory');
    group.set('memory.limit_in_bytes', 384 * 1024 * 1024);
    const service = await bornIn(group, () => startService('serve', scene.env));
    try {
      const recordings = Array.from({ length: 4 }, () => [scene.add(FIXTURES.wav), scene.add(FIXTURES.mp4)]).flat();
      await scene.accept(service, recordings);
      for (const recording of recordings) assert.equal((await scene.archived(service, recording)).attempt, 1);
      assert.match(group.get('memory.oom_control'), /^oom_kill 0$/m);
      assert.ok(Number(group.get('memory.max_usage_in_bytes')) > 50 * 1024 ** 2, 'it was born in this group');
      t.diagnostic(
        `at most ${String(Math.round(Number(group.get('memory.max_usage_in_bytes')) / 1024 ** 2))} MB with its page cache`,
      );
    } finally {
      await service[Symbol.asyncDispose]();
    }
  },
);

/** A child is charged to the group its parent is in when it is born. */
async function bornIn<T>(group: Cgroup, start: () => Promise<T>): Promise<T> {
  group.add(process.pid);
  try {
    return await start();
  } finally {
    group.leave(process.pid);
  }
}

function listen(service: Service, { recordingId, conversationId = '' }: Recording): Promise<Response> {
  const url = `${service.url}/transcode?id=${recordingId}&conversationId=${conversationId}`;
  return fetch(url, { headers: { 'x-api-key': KEY }, signal: patience() });
}

/** On a connection that stays. */
async function ask(wire: Wire, request: string): Promise<string> {
  const before = wire.text().length;
  wire.socket.write(`${request} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await until(() => /\r\n\r\n.*\}/s.test(wire.text().slice(before)) || undefined, patience());
  return wire.text().slice(before);
}
