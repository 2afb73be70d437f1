/** A token that is revoked, a 429 that names its time, an outage, at each step of a look: the day ends right, and no time that was asked for is shortened. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf } from '../support/commands/run.ts';
import { type GenesysServer, type LoggedRequest, startGenesysServer } from '../support/genesys/server.ts';

const DAY = '2026-11-25';
const COUNT = 25;
const STEPS = [
  'analytics-availability',
  'analytics-job',
  'analytics-state',
  'analytics-results',
  'list:',
  'analytics-query',
];
const RETRY_AFTER_S = 2;

async function setUp(t: TestContext): Promise<{ readonly server: GenesysServer; readonly path: string }> {
  const server = await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } });
  const folder = await mkdtemp(join(tmpdir(), 'trouble-midway-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  Object.assign(server.analytics, { pendingPolls: 0, pageSize: 10 });
  for (let index = 0; index < COUNT; index += 1) {
    const conversationId = `c${String(index)}`;
    // Complete without anything being stored.
    server.addRecording({
      recordingId: `r${String(index)}`,
      conversationId,
      startTime: `${DAY}T10:00:00.000Z`,
      media: 'chat',
    });
    server.analyze({ conversationId, start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
  }
  return { server, path: join(folder, 'archive') };
}

const isCall = ({ route }: LoggedRequest): boolean => route !== 'token';

for (const [name, trouble] of [
  ['its token is revoked', (server: GenesysServer) => server.revokeTokens()],
  [
    'is answered 429',
    (server: GenesysServer, route: string) => server.fault(route, `retry-after:${String(RETRY_AFTER_S)}`),
  ],
  ['is answered 503', (server: GenesysServer, route: string) => server.fault(route, 'return-503')],
  ['the connection breaks', (server: GenesysServer, route: string) => server.fault(route, 'return-reset-connection')],
] as const)
  test(`reconcile: at each step of the look ${name}, and the day is complete all the same`, async (t) => {
    const { server, path } = await setUp(t);
    const ends = await Promise.allSettled(
      STEPS.map(async (step, index) => {
        // One server for each step: they wait side by side.
        const own = index === 0 ? { server, path } : await setUp(t);
        let isOver = false;
        own.server.organization.onRequest = (route) => {
          if (isOver || !route.startsWith(step)) return;
          isOver = true;
          trouble(own.server, route);
        };
        const env = { ...own.server.environment(), ARCHIVE_URL: `file:${own.path}`, LOG_LEVEL: 'error' };
        const printed = await runInProcess(['reconcile', '--from', DAY, '--to', DAY, '--json'], env);
        const where = `${step}: ${printed.stdout}${printed.stderr}`;
        assert.equal(printed.code, 0, where);
        const day = linesOf(printed).find(({ type }) => type === 'day');
        assert.deepEqual(
          [day?.['verdict'], day?.['conversations'], day?.['noMedia']],
          ['complete', COUNT, COUNT],
          where,
        );
        assert.equal(isOver, true, where);
        if (name === 'is answered 429') assertWaited(own.server.requests().filter(isCall), step);
      }),
    );
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  });

/** Behind the call that was refused nothing is sent for so long, but what was out already. */
function assertWaited(calls: readonly LoggedRequest[], step: string): void {
  const refused = calls.findIndex(({ route }) => route.startsWith(step));
  const from = calls[refused]?.at ?? NaN;
  const again = calls.findIndex(({ route }, index) => index > refused && route === calls[refused]?.route);
  const waitedMs = (calls[again]?.at ?? NaN) - from;
  assert.ok(waitedMs >= RETRY_AFTER_S * 1_000, `${step}: again after ${String(waitedMs)} ms`);
}
