/** A process that publishes so many messages to the queue file named by its first argument, each once the one before was worked on; prints "acked" for each. */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { openSqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';

const [path = '', count = ''] = process.argv.slice(2);
const queue = openSqliteQueue({ path });
const never = new AbortController().signal;
const worked = new EventTarget();

void queue.consume(
  async () => {
    worked.dispatchEvent(new Event('worked'));
    return { outcome: 'done' };
  },
  1,
  never,
);

for (let index = 0; index < Number(count); index += 1) {
  const recordingId = `r-${String(index)}`;
  const done = once(worked, 'worked');
  await queue.publish([{ kind: 'recording', recordingId, conversationId: undefined }], never);
  writeSync(1, `acked ${recordingId}\n`);
  await done;
}
process.exit();
