import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { Failure } from '../../../src/failure.ts';
import { type Cage, isLoose, type Layer, LAYER_NAMES, WAYS } from '../../../src/media/encoder/cage.ts';
import { checkFfmpeg, requireFfmpeg } from '../../../src/media/encoder/check.ts';
import { findProgram, surroundingsOf } from '../../../src/media/encoder/tools.ts';
import { findCage } from '../../../src/media/encoder/trial.ts';

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

test('finds the ffmpeg on PATH, says its version and how it is caged', async () => {
  assert.match(real.version, /^ffmpeg \S+$/);
  assert.ok(real.path.startsWith('/'));
  if (process.platform === 'linux') assert.deepEqual(real.cage.layers.slice(0, 2), ['limits', 'tether']);
  else assert.equal(real.cage.level, 'none');
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

test('without any tool it runs uncaged, and says what is open and why', async () => {
  const plain = await checkFfmpeg({ searchPath: await only('ffmpeg') });
  assert.equal(plain.cage.level, 'none');
  assert.deepEqual(plain.cage.open, ['network', 'files', 'parent', 'signals']);
  assert.deepEqual(
    plain.cage.missing.map(({ layer }) => layer),
    LAYER_NAMES,
  );
});

test('where the cage is required, nothing but a full one is taken, and what is open and why is named (B1)', async () => {
  const searchPath = await only('ffmpeg');
  const words = ['ENCODER_CAGE=required', WAYS.network, WAYS.files, WAYS.parent, WAYS.signals, 'bubblewrap'];
  await assert.rejects(checkFfmpeg({ searchPath, cage: 'required' }), misconfigured(...words));
});

const linux = process.platform === 'linux' ? false : 'Linux only';
const rootAlone = process.getuid?.() === 0 ? linux : 'root only';

test('a layer that cannot be had is left out alone, with what its tool said', { skip: rootAlone }, async () => {
  const refuses = 'case "$*" in *--reuid*) echo "not today" >&2; exit 1;; esac';
  const { cage } = await checkFfmpeg({
    searchPath: await pathWith('setpriv', `${refuses}; exec ${await tool('setpriv')} "$@"`),
  });
  assert.deepEqual(cage.layers, without(real.cage.layers, 'nobody'));
  assert.deepEqual(reasonFor(cage, 'nobody'), 'not today');
});

test('what needs a tool goes with it', { skip: linux }, async () => {
  const { cage } = await checkFfmpeg({ searchPath: await pathWith('setpriv', 'exit 1') });
  assert.deepEqual(cage.layers, ['limits']);
  assert.equal(cage.level, 'partial');
});

for (const kills of [1, 2, 4]) {
  test(
    `a trial that is killed is tried again: ${String(kills)} of them loosen nothing (F4)`,
    { skip: linux },
    async () => {
      const { cage } = await checkFfmpeg({ searchPath: await mishaps(kills, 'kill -KILL $$') });
      assert.deepEqual(cage, real.cage);
    },
  );
}

test('a trial that never ends is tried again, and loosens nothing (F4)', { skip: linux }, async () => {
  const { path, confinement } = real;
  const surroundings = await surroundingsOf(path, await mishaps(1, 'exec sleep 600'));
  const found = await findCage({ path, searchPath: PATH, ...surroundings, trialMs: 3000 });
  assert.deepEqual(found.cage, real.cage);
  assert.deepEqual(found.confinement.layers, confinement.layers);
});

test('trials that are killed again and again loosen the cage, and it is said (F4)', { skip: linux }, async () => {
  const { cage } = await checkFfmpeg({ searchPath: await mishaps(1000, 'kill -KILL $$') });
  assert.deepEqual(cage.layers, without(real.cage.layers, 'limits'));
  assert.match(reasonFor(cage, 'limits') ?? '', /SIGKILL/);
  assert.ok(isLoose(cage));
});

/** A path with a prlimit that fails so often in this way before it works; whatever else is around an encoder is inside it. */
async function mishaps(times: number, how: string): Promise<string> {
  const count = join(await mkdtemp(join(folder, 'count-')), 'count');
  await writeFile(count, '0');
  await chmod(dirname(count), 0o755);
  await chmod(count, 0o666);
  const script = `n=$(cat ${count}); echo $((n + 1)) > ${count}; [ $n -ge ${String(times)} ] || ${how}`;
  return pathWith('prlimit', `${script}\nexec ${await tool('prlimit')} "$@"`);
}

/** A path with nothing but this program. */
async function only(name: string): Promise<string> {
  const bin = await mkdtemp(join(folder, 'only-'));
  await chmod(bin, 0o755);
  await symlink(await tool(name), join(bin, name));
  return bin;
}

async function tool(name: string): Promise<string> {
  return (await findProgram(name, PATH)) ?? assert.fail(`there is no ${name}`);
}

function reasonFor(cage: Cage, layer: Layer): string | undefined {
  return cage.missing.find((one) => one.layer === layer)?.reason;
}

function without(layers: readonly Layer[], layer: Layer): readonly Layer[] {
  return layers.filter((one) => one !== layer);
}
