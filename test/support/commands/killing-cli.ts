/**
 * A program that is `archiver`, but for this: `node killing-cli.ts KILL_AT COMMAND …` kills itself (SIGKILL) in place of its n-th
 * change of the file system; a write is done by half first.
 */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const [killAt = '0', ...args] = process.argv.slice(2);
let changes = 0;

for (const name of ['open', 'mkdir', 'rename', 'rm', 'unlink', 'rmdir', 'link']) intercept(fs, name);
{
  await using file = await fs.open(import.meta.filename);
  const handle: unknown = Object.getPrototypeOf(file);
  if (typeof handle !== 'object' || handle === null) throw new Error('no prototype of file handles');
  for (const name of ['writeFile', 'sync', 'datasync']) intercept(handle, name);
}
syncBuiltinESMExports();
process.argv = [process.argv[0] ?? 'node', 'archiver', ...args];
changes = 0;
await import('../../../src/cli.ts');

function intercept(owner: object, name: string): void {
  const original: unknown = Reflect.get(owner, name);
  if (typeof original !== 'function') throw new Error(`no function ${name}`);
  Reflect.set(owner, name, async function (this: unknown, ...given: unknown[]): Promise<unknown> {
    changes += 1;
    if (changes === Number(killAt)) {
      const [data] = given;
      if (name === 'writeFile' && typeof data === 'string')
        await Reflect.apply(original, this, [data.slice(0, Math.ceil(data.length / 2))]);
      process.kill(process.pid, 'SIGKILL');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    }
    return Reflect.apply(original, this, given);
  });
}
