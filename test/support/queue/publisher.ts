/** A process that publishes so many messages one after the other to the queue file named by its first argument; prints "acked" or "refused" for each. */
import { writeSync } from 'node:fs';
import { openSqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';

const [path = '', count = ''] = process.argv.slice(2);
const queue = openSqliteQueue({ path });
const never = new AbortController().signal;

for (let index = 0; index < Number(count); index += 1) {
  const recordingId = `r-${String(index)}`;
  const outcome = await queue.publish([{ kind: 'recording', recordingId, conversationId: undefined }], never).then(
    () => 'acked',
    (error: unknown) => `refused (${String(error)})`,
  );
  writeSync(1, `${outcome} ${recordingId}\n`);
}
process.exit();
