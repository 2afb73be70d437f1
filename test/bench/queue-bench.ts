/** Measures the queue file: durable publishes per second and their latency, and messages taken and settled per second. Run by hand. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { openSqliteQueue } from '../../src/queue/sqlite/sqlite.ts';

const NEVER = new AbortController().signal;
const SECONDS = 3;

const folder = await mkdtemp(join(process.env['BENCH_FOLDER'] ?? tmpdir(), 'queue-bench-'));
try {
  for (const publishers of [1, 16, 64, 256]) await measurePublish(publishers);
  await measurePublish(64, 5000);
  for (const slots of [1, 4, 64]) await measureConsume(slots);
} finally {
  await rm(folder, { recursive: true });
}

/** `perSecond`: at a fixed rate in bursts every 10 ms, else as fast as it goes. */
async function measurePublish(publishers: number, perSecond?: number): Promise<void> {
  await onFreshQueue(async (queue) => {
    const latenciesMs: number[] = [];
    const startedMs = performance.now();
    const endMs = startedMs + SECONDS * 1000;
    const cpu = process.cpuUsage();
    if (perSecond === undefined)
      await Promise.all(Array.from({ length: publishers }, () => publishUntil(queue, endMs, latenciesMs)));
    else await publishAtRate(queue, perSecond, endMs, latenciesMs);
    const tookS = (performance.now() - startedMs) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const sorted = latenciesMs.toSorted((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2);
    print(
      perSecond === undefined ? `publish, ${String(publishers)} at once` : `publish, ${String(perSecond)}/s in bursts`,
      `${(sorted.length / tookS).toFixed(0)}/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(0.99999)} ms, CPU ${((user + system) / 1e4 / tookS).toFixed(0)} %`,
    );
  });
}

async function publishUntil(queue: SqliteQueue, endMs: number, latenciesMs: number[]): Promise<void> {
  while (performance.now() < endMs) await publishOne(queue, latenciesMs);
}

async function publishAtRate(
  queue: SqliteQueue,
  perSecond: number,
  endMs: number,
  latenciesMs: number[],
): Promise<void> {
  const startedMs = performance.now();
  const published: Promise<void>[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    while (published.length < ((nowMs - startedMs) / 1000) * perSecond) published.push(publishOne(queue, latenciesMs));
    if (nowMs >= endMs) resolve();
  }, 10);
  await promise;
  clearInterval(timer);
  await Promise.all(published);
}

async function publishOne(queue: SqliteQueue, latenciesMs: number[]): Promise<void> {
  const startedMs = performance.now();
  const ids = { recordingId: crypto.randomUUID(), conversationId: crypto.randomUUID() };
  await queue.publish([{ kind: 'recording', ...ids }], NEVER);
  latenciesMs.push(performance.now() - startedMs);
}

async function measureConsume(slots: number): Promise<void> {
  await onFreshQueue(async (queue) => {
    const total = 10_000;
    const messages = Array.from({ length: total }, () => crypto.randomUUID()).map(
      (recordingId) => ({ kind: 'recording', recordingId, conversationId: crypto.randomUUID() }) as const,
    );
    await queue.publish(messages, NEVER);
    const stopping = new AbortController();
    let delivered = 0;
    const startedMs = performance.now();
    await queue.consume(
      async () => {
        delivered += 1;
        if (delivered === total) stopping.abort();
        return { outcome: 'done' };
      },
      slots,
      stopping.signal,
    );
    const perSecond = (total / (performance.now() - startedMs)) * 1000;
    print(`take and settle, ${String(slots)} slots`, `${perSecond.toFixed(0)}/s`);
  });
}

async function onFreshQueue(measure: (queue: SqliteQueue) => Promise<void>): Promise<void> {
  const queue = openSqliteQueue({ path: join(folder, crypto.randomUUID(), 'queue.db') });
  try {
    await measure(queue);
  } finally {
    await queue.close();
  }
}

function print(what: string, figures: string): void {
  process.stdout.write(`${what.padEnd(28)} ${figures}\n`);
}
