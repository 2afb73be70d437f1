/** A zip file of a case that does not come to its end: what fails on the way leaves nothing of it. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { CaseZip } from '../../src/export/case-zip.ts';
import { readZip } from '../support/zip.ts';

const { signal } = new AbortController();

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'case-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function* broken(): AsyncGenerator<Buffer> {
  yield Buffer.from('the beginning of it');
  await Promise.resolve();
  throw new Error('the disk is gone');
}

const NOTHING = { sizeBytes: 0, sha256: '' };

async function* endless(stop: AbortController): AsyncGenerator<Buffer> {
  for (let count = 0; ; count += 1) {
    if (count === 5) stop.abort(new Error('stopped'));
    await Promise.resolve();
    yield Buffer.alloc(1000);
  }
}

test('a source that breaks, a run that is stopped, one that is let go: no draft is left, and what lay there stays', async (t) => {
  const folder = await temporary(t);
  const path = join(folder, 'case.zip');
  await writeFile(path, 'an earlier one');
  for (const work of [
    (zip: CaseZip) =>
      assert.rejects(zip.copy('b', { source: Readable.from(broken()), stated: NOTHING }, signal), /the disk is gone/),
    async (zip: CaseZip) => {
      const stop = new AbortController();
      await assert.rejects(
        zip.copy('b', { source: Readable.from(endless(stop)), stated: NOTHING }, stop.signal),
        /stopped/,
      );
    },
    (zip: CaseZip) => zip.text('b', 'b'),
  ]) {
    const zip = new CaseZip(path, () => new Date());
    await zip.text('a', 'a');
    await work(zip);
    assert.equal((await readdir(folder)).length, 2, 'a draft beside it');
    await zip[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(folder), ['case.zip']);
    assert.equal(await readFile(path, 'utf8'), 'an earlier one');
  }
});

test('two exports into one file at once: one of them is it, whole', async (t) => {
  const folder = await temporary(t);
  const path = join(folder, 'case.zip');
  const zips = ['x', 'y'].map(() => new CaseZip(path, () => new Date()));
  for (const count of [1, 2, 3])
    await Promise.all(zips.map((zip, index) => zip.text(`f${String(count)}`, 'xy'.charAt(index).repeat(100_000))));
  await Promise.all(zips.map((zip) => zip.finish()));
  await Promise.all(zips.map((zip) => zip[Symbol.asyncDispose]()));
  const entries = await readZip(path);
  assert.equal(new Set(entries.slice(0, 3).map(({ sha256 }) => sha256)).size, 1, 'of one export alone');
  assert.deepEqual(await readdir(folder), ['case.zip']);
});
