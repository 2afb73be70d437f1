import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { Encoders } from '../../../src/media/encoder/encoders.ts';
import { encodeArguments, limitsOf } from '../../../src/media/encoder/arguments.ts';
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { confine } from '../../../src/media/encoder/confine.ts';
import type { EncoderProcess } from '../../../src/media/encoder/process.ts';
import type { Media } from '../../../src/media/sniff.ts';
import { type Child, familyOf } from '../../support/service/children.ts';
import { until } from '../../support/service/service.ts';

const linux = process.platform === 'linux' ? {} : { skip: 'the census of processes reads /proc' };
const ffmpeg = await checkFfmpeg();

function order(sampleRate: number, listened = true) {
  const wav: Media = { kind: 'wav', codec: 'pcm', channels: 2, sampleRate };
  const plan = { media: [wav], maxDurationMs: 60_000, listened };
  return { args: encodeArguments(plan), limits: limitsOf(plan), inputs: 1, listened };
}

/** Process ids of our living ffmpeg children. */
function census(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return state !== 'Z' && Number(parent) === process.pid ? [Number(pid)] : [];
      } catch {
        return [];
      }
    });
}

/** Eight seconds of silence. */
const WAV = Buffer.alloc(44 + 256_000);
WAV.write(
  'RIFF\x24\xe8\x03\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\0\xe8\x03\0',
  'latin1',
);

/** Enough of it for an answer: ffmpeg looks at 64 KiB of PCM before it begins. */
async function begin(child: EncoderProcess): Promise<void> {
  child.inputs[0]?.write(WAV.subarray(0, 128_000));
  await once(child.output, 'readable');
}

async function finish(child: EncoderProcess): Promise<number> {
  child.inputs[0]?.end(WAV.subarray(128_000));
  let size = 0;
  for await (const chunk of child.output) size += (chunk as Buffer).length;
  assert.equal((await child.ended).code, 0);
  return size;
}

/** Where nobody listens it may answer only at the end. */
function work(child: EncoderProcess): Promise<number> {
  child.inputs[0]?.write(WAV.subarray(0, 128_000));
  return finish(child);
}

async function use(child: EncoderProcess): Promise<number> {
  await begin(child);
  return finish(child);
}

async function closeAll(encoders: Encoders): Promise<void> {
  await encoders.close();
  assert.deepEqual(census(), []);
}

test('after somebody listened the next encoder is there already, and gives the same', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2);
  const first = await use(await encoders.start(order(8000)));
  const waiting = census();
  assert.equal(waiting.length, 1);
  const child = await encoders.start(order(8000));
  assert.ok(census().includes(waiting[0] ?? 0), 'the one that waited is the one that works');
  assert.equal(await use(child), first);
  await closeAll(encoders);
});

/** All that this process has started, once ffmpeg itself is among it. */
function familyWithFfmpeg(): readonly Child[] | undefined {
  const family = familyOf(process.pid);
  return family.some(({ name }) => name === 'ffmpeg') ? family : undefined;
}

test(
  'an encoder nobody listens to leaves the cores to the service, also where the kernel shares them between sessions',
  linux,
  async (t) => {
    const groups = existsSync('/proc/self/autogroup');
    if (!groups) t.diagnostic('this kernel has no autogroups');
    for (const [listened, nice] of [
      [true, getPriority()],
      [false, Math.min(getPriority() + 10, 19)],
    ] as const) {
      const encoders = new Encoders(ffmpeg, 1);
      const child = await encoders.start(order(8000, listened));
      const [pid = 0] = census();
      // Once ffmpeg itself is there, all that its cage has started is there, too.
      const family = await until(() => familyWithFfmpeg(), AbortSignal.timeout(60_000));
      for (const member of family) assert.equal(getPriority(member.pid), nice);
      if (groups)
        assert.match(readFileSync(`/proc/${String(pid)}/autogroup`, 'utf8'), listened ? /nice 0$/m : /nice 10$/m);
      await work(child);
      await encoders.close();
    }
  },
);

test('who gives way is told so by the first program of its cage, before any other can start one', linux, () => {
  const { confinement, path } = ffmpeg;
  const command = (givesWay: boolean) => confine(confinement, { path, ...order(8000), givesWay }).command;
  const { nice } = confinement.tools;
  assert.ok(nice !== undefined && confinement.layers.length > 0);
  assert.deepEqual(command(true), [nice, '-n', '10', ...command(false)]);
});

test('nothing is started ahead where nobody listens', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2);
  await work(await encoders.start(order(8000, false)));
  assert.deepEqual(census(), []);
  await encoders.close();
});

test('invariant 5: those that wait for work count: never more processes than slots', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2);
  const first = await encoders.start(order(8000));
  assert.equal(census().length, 1, 'nothing else is started before it has answered');
  await begin(first);
  assert.equal(census().length, 2, 'one works, one waits');
  const other = await encoders.start(order(16_000));
  assert.equal(census().length, 2, 'the one that waited has given way');
  await Promise.all([finish(first), use(other)]);
  await closeAll(encoders);
});

test('one that waits too long is gone, and another is started when it is needed', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2, 50);
  await use(await encoders.start(order(8000)));
  while (census().length > 0)
    await once(process, 'unreachable', { signal: AbortSignal.timeout(20) }).catch(() => undefined);
  await use(await encoders.start(order(8000)));
  await closeAll(encoders);
});

test('one that dies while it waits is replaced when it is needed', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2);
  const first = await encoders.start(order(8000));
  const [working] = census();
  await begin(first);
  const [waiting, ...more] = census().filter((pid) => pid !== working);
  assert.ok(waiting !== undefined && more.length === 0);
  process.kill(waiting, 'SIGKILL');
  await finish(first);
  await use(await encoders.start(order(8000)));
  await closeAll(encoders);
});

test('invariant 10: close ends what still works, and returns when it is gone', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2);
  const child = await encoders.start(order(8000));
  await begin(child);
  assert.equal(census().length, 2);
  await closeAll(encoders);
  assert.equal((await child.ended).signal, 'SIGKILL');
});

test('after close nothing is started ahead', linux, async () => {
  const encoders = new Encoders(ffmpeg, 2);
  await encoders.close();
  await use(await encoders.start(order(8000)));
  assert.deepEqual(census(), []);
});
