/** More than 4 GiB in one file, and files behind 4 GiB: by the real limits of the format. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { ZipFile } from '../../src/export/zip-file.ts';
import { runs } from '../support/soak.ts';
import { readZip } from '../support/zip.ts';

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'zip-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'large.zip');
}

const CHUNK = Buffer.alloc(16 << 20, 7);

test('4 GiB and a little more, and what lies behind it', { skip: runs(0, 1) === 0, timeout: 600_000 }, async (t) => {
  const path = await temporary(t);
  const file = await open(path, 'wx');
  const zip = new ZipFile(file, { at: new Date() });
  const { signal } = new AbortController();
  const chunks = function* (): Generator<Buffer> {
    for (let count = 0; count < 257; count += 1) yield CHUNK;
  };
  await zip.add('small', Readable.from([Buffer.from('small')]), signal);
  await zip.add('large', Readable.from(chunks()), signal);
  await zip.add('behind', Readable.from([Buffer.from('behind')]), signal);
  await zip.finish();
  await file.close();
  assert.deepEqual(
    (await readZip(path)).map(({ name, sizeBytes, isZip64 }) => [name, sizeBytes, isZip64]),
    [
      ['small', 5, false],
      ['large', 257 * CHUNK.length, true],
      ['behind', 6, true],
    ],
  );
  const read = spawnSync('unzip', ['-tqq', path], { encoding: 'utf8' });
  if (read.error === undefined) assert.equal(read.status, 0, read.stdout + read.stderr);
});

test('none, a few and more than 65,535 files are zip files as well', { timeout: 600_000 }, async (t) => {
  for (const count of [0, runs(300, 70_000)]) {
    const path = await temporary(t);
    const file = await open(path, 'wx');
    const zip = new ZipFile(file, { at: new Date() });
    for (let index = 0; index < count; index += 1)
      await zip.add(`f${String(index)}`, Readable.from([Buffer.from([index % 256])]), new AbortController().signal);
    await zip.finish();
    await file.close();
    assert.equal((await readZip(path)).length, count);
    const python = spawnSync('python3', [
      '-c',
      'import sys,zipfile; print(len(zipfile.ZipFile(sys.argv[1]).namelist()))',
      path,
    ]);
    if (python.error === undefined) assert.equal(python.stdout.toString().trim(), String(count));
  }
});
