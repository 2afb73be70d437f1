/** Zip files, judged by readers of others: Python, Info-ZIP and Java where they are installed, and one of the tests' own that lets nothing pass. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { ZipFile, type ZipOptions } from '../../src/export/zip-file.ts';
import { readZip } from '../support/zip.ts';

const AT = new Date('2026-11-29T02:03:04.000Z');
const { signal } = new AbortController();

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'zip-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'case.zip');
}

type Contents = readonly (readonly [string, Buffer])[];

async function make(path: string, contents: Contents, options: Partial<ZipOptions> = {}): Promise<void> {
  await using file = await open(path, 'wx');
  const zip = new ZipFile(file, { at: AT, ...options });
  for (const [name, bytes] of contents) await zip.add(name, inChunks(bytes), signal);
  await zip.finish();
}

/** Of odd sizes, empty ones among them. */
function inChunks(bytes: Buffer): Readable {
  const cuts = [0, 1, 1, 8, Math.floor(bytes.length / 3), bytes.length].filter((cut) => cut <= bytes.length);
  return Readable.from(
    cuts.toSorted((a, b) => a - b).map((cut, index, all) => bytes.subarray(all[index - 1] ?? 0, cut)),
  );
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const CONTENTS: Contents = [
  ['index.html', Buffer.from('<p>page</p>')],
  ['recordings/c/r/recording.webm', randomBytes(300_000)],
  ['empty', Buffer.alloc(0)],
  ['conversations/c/Gespräch.json', Buffer.from('{"text":"Grüße"}')],
  ['one', Buffer.from([0])],
];

/** What Python's own reader finds wrong, or the sums of what it reads. */
const PYTHON = `
import sys, zipfile, hashlib, json
with zipfile.ZipFile(sys.argv[1]) as z:
    assert z.testzip() is None
    assert all(i.compress_type == 0 for i in z.infolist())
    print(json.dumps([[i.filename, i.file_size, hashlib.sha256(z.read(i)).hexdigest(), list(i.date_time), i.external_attr >> 16] for i in z.infolist()]))
`;

/** As a stream, from the first byte on: what Windows and mail scanners do. */
const JAVA_LISTS = ['jar', 'tf'] as const;

function assertReadByOthers(path: string, contents: Contents): void {
  const python = spawnSync('python3', ['-c', PYTHON, path], { encoding: 'utf8' });
  if (python.error === undefined) {
    assert.equal(python.status, 0, python.stderr);
    assert.deepEqual(
      JSON.parse(python.stdout),
      contents.map(([name, bytes]) => [name, bytes.length, sha256(bytes), [2026, 11, 29, 2, 3, 4], 0o100600]),
    );
  }
  // In a container there is hardly ever a locale.
  for (const LC_ALL of ['C', 'C.UTF-8'])
    for (const [program, ...args] of [['unzip', '-tqq'], ['zip', '-T'], JAVA_LISTS] as const) {
      const read = spawnSync(program, [...args, path], { encoding: 'utf8', env: { ...process.env, LC_ALL } });
      if (read.error === undefined) assert.equal(read.status, 0, `${LC_ALL} ${program}: ${read.stdout}${read.stderr}`);
    }
}

for (const [name, options] of [
  ['as they are', {}],
  ['by Zip64 throughout, as behind 4 GiB', { zip64From: 0 }],
  ['some of them by Zip64', { zip64From: 5_000 }],
] as const)
  test(`what goes in comes out, whoever reads it: ${name}`, async (t) => {
    const path = await temporary(t);
    await make(path, CONTENTS, options);
    assert.deepEqual(
      (await readZip(path)).map((entry) => [entry.name, entry.sizeBytes, entry.sha256]),
      CONTENTS.map(([file, bytes]) => [file, bytes.length, sha256(bytes)]),
    );
    assertReadByOthers(path, CONTENTS);
  });

test('what was added last can be taken back, and leaves no byte', async (t) => {
  const path = await temporary(t);
  const file = await open(path, 'wx');
  const zip = new ZipFile(file, { at: AT });
  await zip.add('kept', Readable.from([Buffer.from('kept')]), signal);
  await zip.add('canary', Readable.from([Buffer.from('canary bytes')]), signal);
  await zip.takeBack();
  await zip.add('next', Readable.from([Buffer.from('next')]), signal);
  await zip.finish();
  await file.close();
  assert.deepEqual(
    (await readZip(path)).map((entry) => entry.name),
    ['kept', 'next'],
  );
  assert.doesNotMatch((await readFile(path)).toString('latin1'), /canary/);
});

test('until it is finished no reader takes it for a zip file, wherever it was cut', async (t) => {
  const path = await temporary(t);
  await make(path, CONTENTS.slice(0, 2));
  const whole = await readFile(path);
  const cuts = [...Array.from({ length: 60 }, (_, index) => whole.length - 1 - index), 300_000, 200, 40, 3];
  for (const cut of cuts) {
    const at = `${path}.${String(cut)}`;
    await writeFile(at, whole.subarray(0, cut));
    await assert.rejects(readZip(at), `cut at ${String(cut)}`);
  }
});
