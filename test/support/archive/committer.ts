/**
 * A program that archives recordings one after the other and says so on stdout, for tests that kill it.
 *   node archive-committer.ts FOLDER PREFIX COUNT [KILL_AT]
 * KILL_AT n: it kills itself (SIGKILL) in place of its n-th change of the file system; a write is done by half first.
 */
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { Recording } from '../../../src/recording.ts';

const [folder = '', prefix = '', count = '0', killAt = '0'] = process.argv.slice(2);
let changes = 0;

if (Number(killAt) > 0) {
  for (const name of ['open', 'mkdir', 'rename', 'rm']) intercept(fs, name);
  await using file = await fs.open(import.meta.filename);
  const handle: unknown = Object.getPrototypeOf(file);
  if (typeof handle !== 'object' || handle === null) throw new Error('no prototype of file handles');
  for (const name of ['writeFile', 'sync']) intercept(handle, name);
  syncBuiltinESMExports();
}

const { openFolderArchive } = await import('../../../src/archive/folder/folder.ts');
const { Failure } = await import('../../../src/failure.ts');
const { failureOf, store } = await import('./content.ts');
const { committedContent, HOLD_BACK_BYTES } = await import('./committed.ts');
const archive = openFolderArchive({ path: folder, linkKeys: [], publicUrl: '', holdBackBytes: HOLD_BACK_BYTES });
changes = 0;
for (let n = 0; n < Number(count); n += 1)
  await commit({ recordingId: `${prefix}-${String(n)}`, conversationId: 'C1' });
writeSync(1, `changes ${String(changes)}\n`);

async function commit(recording: Recording): Promise<void> {
  try {
    await archive.recordFailure(recording, failureOf(recording), AbortSignal.timeout(300_000));
    await store(archive, recording, committedContent(recording));
    writeSync(1, `archived ${recording.recordingId}\n`);
  } catch (error) {
    writeSync(1, `${Failure.from(error).code} ${recording.recordingId}\n`);
  }
}

function intercept(owner: object, name: string): void {
  const original: unknown = Reflect.get(owner, name);
  if (typeof original !== 'function') throw new Error(`no function ${name}`);
  Reflect.set(owner, name, async function (this: unknown, ...args: unknown[]): Promise<unknown> {
    changes += 1;
    if (changes === Number(killAt)) {
      const [data] = args;
      if (name === 'writeFile' && Buffer.isBuffer(data)) {
        await Reflect.apply(original, this, [data.subarray(0, Math.ceil(data.length / 2))]);
      }
      process.kill(process.pid, 'SIGKILL');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    }
    return Reflect.apply(original, this, args);
  });
}
