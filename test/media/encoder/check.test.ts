import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Failure } from '../../../src/failure.ts';
import { checkFfmpeg, requireFfmpeg } from '../../../src/media/encoder/check.ts';

const PATH = process.env['PATH'] ?? '';
const real = await checkFfmpeg();
const folder = await mkdtemp(join(tmpdir(), 'archiver-ffmpeg-'));
await chmod(folder, 0o755);
after(() => rm(folder, { recursive: true }));

/** Puts a script first on the path, in ffmpeg's name. */
async function pathWith(name: string, script: string): Promise<string> {
  const bin = await mkdtemp(join(folder, 'bin-'));
  await chmod(bin, 0o755);
  await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return `${bin}:${PATH}`;
}

function misconfigured(...words: readonly string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, 'misconfigured');
    for (const word of words) assert.ok(error.message.includes(word), `${word} is not in: ${error.message}`);
    return true;
  };
}

test('finds the ffmpeg on PATH, says its version and how it is confined', async () => {
  assert.match(real.version, /^ffmpeg \S+$/);
  assert.ok(real.path.startsWith('/'));
  const expected = process.platform === 'linux' ? /^prlimit\+setpriv/ : /^none$/;
  assert.match(real.sandbox, expected);
  await requireFfmpeg(real);
});

test('where there is none it says how to install it (FF-01)', async () => {
  await assert.rejects(
    checkFfmpeg({ searchPath: folder }),
    misconfigured('apt-get install ffmpeg', 'brew install ffmpeg'),
  );
  await assert.rejects(
    requireFfmpeg({ ...real, path: join(folder, 'ffmpeg') }),
    misconfigured('apt-get install ffmpeg'),
  );
});

test('one that does not run is none (FF-01)', async () => {
  await assert.rejects(checkFfmpeg({ searchPath: await pathWith('ffmpeg', 'exit 1') }), misconfigured('does not run'));
});

test('names every encoder and format that it lacks (FF-02)', async () => {
  const script = `exec ${real.path} "$@" | grep -v -e 'libopus' -e 'WebM$' -e 'MPEG audio layer 2/3)$'`;
  const words = ['the encoder libopus', 'the muxer webm', 'the demuxer mp3', 'apt-get install ffmpeg'];
  await assert.rejects(checkFfmpeg({ searchPath: await pathWith('ffmpeg', script) }), misconfigured(...words));
});

test('one that has everything and still cannot convert is told apart at the start (FF-02)', async () => {
  const script = `case "$*" in *pipe:1) echo 'Unrecognized option' >&2; exit 1;; esac; exec ${real.path} "$@"`;
  const searchPath = await pathWith('ffmpeg', script);
  await assert.rejects(checkFfmpeg({ searchPath }), misconfigured('cannot convert'));
});

test('without prlimit and setpriv it runs unconfined, and says so', async () => {
  const bin = await mkdtemp(join(folder, 'plain-'));
  await symlink(real.path, join(bin, 'ffmpeg'));
  const plain = await checkFfmpeg({ searchPath: bin });
  assert.equal(plain.sandbox, 'none');
});

const linux = process.platform === 'linux' ? false : 'Linux only';

test('programs that may not do their work are left out, the tighter first', { skip: linux }, async () => {
  const noDrop = await pathWith(
    'setpriv',
    `case "$*" in *--reuid*) exit 1;; esac; exec ${real.confinement.setpriv ?? ''} "$@"`,
  );
  assert.equal((await checkFfmpeg({ searchPath: noDrop })).sandbox, 'prlimit+setpriv');
  const noSetpriv = await pathWith('setpriv', 'exit 1');
  assert.equal((await checkFfmpeg({ searchPath: noSetpriv })).sandbox, 'prlimit');
});
