/** More events at once than the disk takes: each is durable or refused with the time to come back, none is answered for and dropped. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Agent, request } from 'undici';
import { openSqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { start } from '../http/far-ends.ts';
import { until } from '../support/service/service.ts';
import { keysOf } from '../support/keys.ts';

const EVENTS = 6000;
const LANES = 200;
/** Sent before the disk is held up, and in all by the time it goes on. */
const FREE = 2000;
const TOKEN = 'a-webhook-token';

interface Ledger {
  readonly sent: Set<string>;
  readonly acked: Set<string>;
  readonly refused: Set<string>;
  readonly tookMs: number[];
}

test('invariant 1: a burst that meets a held-up disk is answered 202 or 503 with Retry-After, and every 202 is on the disk (IN-18)', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'burst-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'queue.db');
  const ledger: Ledger = { sent: new Set(), acked: new Set(), refused: new Set(), tookMs: [] };
  const queue = openSqliteQueue({ path });
  await using app = await start({
    webhook: { auth: { required: true, secrets: [], tokens: keysOf(TOKEN) }, queue, deadlineMs: 500 },
  });
  const agent = new Agent({ connections: LANES });
  const began = performance.now();
  const holdUp = Promise.withResolvers<void>();
  const lanes = Array.from({ length: LANES }, () => sendMany(app.url, agent, { ledger, free: holdUp }));
  await holdUp.promise;
  using other = new DatabaseSync(path, { timeout: 10_000 });
  other.exec('BEGIN IMMEDIATE');
  await until(() => (ledger.refused.size > 0 ? true : undefined), patience()).finally(() => other.exec('ROLLBACK'));
  await Promise.all(lanes);
  const seconds = (performance.now() - began) / 1000;
  await agent.close();
  await queue.close();

  assert.equal(ledger.sent.size, EVENTS);
  assert.equal(ledger.acked.size + ledger.refused.size, EVENTS, 'each was answered');
  assert.ok(ledger.acked.size >= FREE && ledger.refused.size > 0, 'it was both free and held up');
  const durable = await everythingOn(path);
  assert.deepEqual(
    [...ledger.acked].filter((id) => !durable.has(id)),
    [],
    'answered for and dropped',
  );
  assert.deepEqual(
    [...durable].filter((id) => !ledger.sent.has(id)),
    [],
    'nobody sent it',
  );
  const sorted = ledger.tookMs.toSorted((a, b) => a - b);
  t.diagnostic(
    `${String(EVENTS)} events, ${String(Math.round(EVENTS / seconds))} a second, ${String(ledger.refused.size)} refused ` +
      `while the disk was held up, p99 of the others ${String(Math.round(sorted[Math.floor(sorted.length * 0.99)] ?? 0))} ms`,
  );
});

/** The bound of a wait: decides nothing but whether the test hangs. */
function patience(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

/** One event after the other until all lanes together have sent them all. */
async function sendMany(
  url: string,
  agent: Agent,
  { ledger, free }: { readonly ledger: Ledger; readonly free: PromiseWithResolvers<void> },
): Promise<void> {
  while (ledger.sent.size < EVENTS) {
    const recordingId = `burst-${String(ledger.sent.size)}`;
    ledger.sent.add(recordingId);
    const began = performance.now();
    const answer = await request(`${url}/webhooks/genesys`, {
      dispatcher: agent,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-webhook-token': TOKEN },
      body: JSON.stringify({ recordingId, conversationId: 'burst' }),
    });
    await answer.body.dump();
    if (answer.statusCode === 202) {
      ledger.acked.add(recordingId);
      ledger.tookMs.push(performance.now() - began);
      if (ledger.acked.size === FREE) free.resolve();
    } else {
      assert.equal(answer.statusCode, 503);
      assert.ok(Number(answer.headers['retry-after']) >= 1, 'it says when to come back');
      ledger.refused.add(recordingId);
    }
  }
}

/** As a service that starts anew finds it. */
async function everythingOn(path: string): Promise<ReadonlySet<string>> {
  const queue = openSqliteQueue({ path });
  const { ready = 0 } = (await queue.depth()) ?? {};
  const found = new Set<string>();
  const over = new AbortController();
  const handle = async ({ message }: { readonly message: object }) => {
    if ('recordingId' in message && typeof message.recordingId === 'string') found.add(message.recordingId);
    if (found.size === ready) over.abort();
    return { outcome: 'done' } as const;
  };
  await queue.consume(handle, 100, over.signal);
  await queue.close();
  return found;
}
