/** Writes audit records until it is killed, and prints the id of each that it was told is durable: `writer.ts ROOT PREFIX`. */
import { FolderAudit } from '../../../src/audit/folder-audit.ts';

const [root = '', prefix = ''] = process.argv.slice(2);
const audit = new FolderAudit({ root });
for (let index = 0; index < 10_000; index++) {
  const ids = [0, 1, 2].map((part) => `${prefix}${String(index)}-${String(part)}`);
  await Promise.all(
    ids.map(async (recordingId) => {
      await audit.record({ action: 'listened', who: 'w', way: 'key', recordingId }, new AbortController().signal);
      process.stdout.write(`${recordingId}\n`);
    }),
  );
}
