/** A long recording on its way into the bucket, in a process of its own whose memory is looked at. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { startGcsServer, type GcsServer } from '../../support/gcs/server.ts';

const PROGRAM = fileURLToPath(new URL('../../support/archive/streamer.ts', import.meta.url));
/** The peak settles some tens of MiB above the start, differently in each run; bytes that were held would add 256. */
const SLACK_MIB = 128;

test(
  'invariant 6: five times the recording takes the same memory, written, read back and composed',
  { timeout: 300_000 },
  async (t) => {
    const server = await startGcsServer({ sharing: true });
    try {
      const short = await peakMiB(server, 64);
      const long = await peakMiB(server, 320);
      t.diagnostic(`peak of the process: ${String(short)} MiB for 64 MiB, ${String(long)} MiB for 320 MiB`);
      assert.ok(long - short < SLACK_MIB, `${String(short)} MiB grew to ${String(long)} MiB`);
      assert.equal(
        server.store.objects.get('recordings/C1/size-320/recording.webm')?.sizeBytes,
        320 * 1024 ** 2 + 5_004,
      );
      server.assertSound();
    } finally {
      await server.close();
    }
  },
);

async function peakMiB(server: GcsServer, mebibytes: number): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    PROGRAM,
    server.url,
    server.bucket,
    String(mebibytes),
  ]);
  const figures: unknown = JSON.parse(stdout);
  assert.ok(
    typeof figures === 'object' && figures !== null && 'peakMiB' in figures && typeof figures.peakMiB === 'number',
  );
  return figures.peakMiB;
}
