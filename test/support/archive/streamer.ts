/** `ENDPOINT BUCKET MEBIBYTES` → one recording of that size in the bucket, and says what memory that took. */
import { openBucketArchive } from '../../../src/archive/bucket/bucket.ts';
import { bytesOf, manifestOf } from './content.ts';

const PIECE_BYTES = 64 * 1024;

const [apiEndpoint, bucket = '', mebibytes = '1'] = process.argv.slice(2);
const block = bytesOf('block', 1024 * 1024);
const recording = { recordingId: `size-${mebibytes}`, conversationId: 'C1' };
const archive = openBucketArchive({ bucket, prefix: '', apiEndpoint });
const startedMs = performance.now();
await archive.check(AbortSignal.timeout(300_000));
{
  await using deposit = await archive.begin(recording, AbortSignal.timeout(600_000));
  for (let left = Number(mebibytes); left > 0; left -= 1) {
    for (let at = 0; at < block.length; at += PIECE_BYTES) {
      await deposit.clusters.write(block.subarray(at, at + PIECE_BYTES));
    }
  }
  const head = Buffer.concat([Buffer.from('1a45dfa3', 'hex'), bytesOf('head', 5_000)]);
  await deposit.commit(head, 'audio/webm', (stored) => manifestOf(recording, stored));
}
await archive.close();
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
const cpuS = (userCPUTime + systemCPUTime) / 1e6;
const seconds = (performance.now() - startedMs) / 1000;
process.stdout.write(`${JSON.stringify({ peakMiB: Math.round(maxRSS / 1024), cpuS, seconds })}\n`);
