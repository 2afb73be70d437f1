/** A process that publishes to and consumes from the queue file named by its first argument, until it is killed; prints each id the queue acknowledged, and with a + each whose work was done. */
import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openSqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';

const [path = '', prefix = ''] = process.argv.slice(2);
const queue = openSqliteQueue({ path, leaseMs: 500, pollMs: 50, maxLost: 1000 });
const never = new AbortController().signal;

async function publish(lane: number): Promise<never> {
  for (let count = 0; ; count += 1) {
    const recordingId = `${prefix}-${String(lane)}-${String(count)}`;
    await queue.publish([{ kind: 'recording', recordingId, conversationId: undefined }], never);
    writeSync(1, `${recordingId}\n`);
    await delay(Math.random() * 4);
  }
}

const consuming = queue.consume(
  async ({ message }) => {
    await delay(Math.random() * 10);
    const lot = Math.random();
    if (lot < 0.1) return { outcome: 'again', afterMs: 20 };
    if (lot < 0.2) return { outcome: 'wait', afterMs: 20 };
    if (message.kind === 'recording') writeSync(1, `+${message.recordingId}\n`);
    return { outcome: 'done' };
  },
  4,
  never,
);

await Promise.all([consuming, ...[1, 2, 3, 4].map((lane) => publish(lane))]);
