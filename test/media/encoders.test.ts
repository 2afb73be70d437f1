import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { createEncoders } from '../../src/media/encoders.ts';
import { encodeArguments, limitsOf } from '../../src/media/ffmpeg-arguments.ts';
import { checkFfmpeg } from '../../src/media/ffmpeg-check.ts';
import type { EncoderProcess } from '../../src/media/ffmpeg-process.ts';
import type { Media } from '../../src/media/sniff.ts';

const linux = process.platform === 'linux' ? {} : { skip: 'the census of processes reads /proc' };
const ffmpeg = await checkFfmpeg();

function order(sampleRate: number) {
  const wav: Media = { kind: 'wav', codec: 'pcm', channels: 2, sampleRate };
  const plan = { media: [wav], maxDurationMs: 60_000 };
  return { args: encodeArguments(plan), limits: limitsOf(plan), inputs: 1 };
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

/** One second of silence through it. */
async function use(child: EncoderProcess): Promise<number> {
  const wav = Buffer.alloc(44 + 32_000);
  wav.write('RIFF\xa4\x7d\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\0\x7d\0\0', 'latin1');
  child.inputs[0]?.end(wav);
  let size = 0;
  for await (const chunk of child.output) size += (chunk as Buffer).length;
  assert.equal((await child.ended).code, 0);
  return size;
}

test('after somebody listened the next encoder is there already, and gives the same', linux, async () => {
  const encoders = createEncoders(ffmpeg, 2);
  const first = await use(await encoders.start(order(8000), true));
  const waiting = census();
  assert.equal(waiting.length, 1);
  const child = await encoders.start(order(8000), false);
  assert.ok(census().includes(waiting[0] ?? 0), 'the one that waited is the one that works');
  assert.equal(await use(child), first);
  await encoders.close();
  assert.deepEqual(census(), []);
});

test('nothing is started ahead where nobody listens', linux, async () => {
  const encoders = createEncoders(ffmpeg, 2);
  await use(await encoders.start(order(8000), false));
  assert.deepEqual(census(), []);
  await encoders.close();
});

test('invariant 5: those that wait for work count: never more processes than slots', linux, async () => {
  const encoders = createEncoders(ffmpeg, 2);
  const first = await encoders.start(order(8000), true);
  assert.equal(census().length, 2, 'one works, one waits');
  const other = await encoders.start(order(16_000), true);
  assert.equal(census().length, 2, 'the one that waited has given way');
  await Promise.all([use(first), use(other)]);
  await encoders.close();
  assert.deepEqual(census(), []);
});

test('one that waits too long, or dies while it waits, is replaced when it is needed', linux, async () => {
  const encoders = createEncoders(ffmpeg, 2, 50);
  await use(await encoders.start(order(8000), true));
  while (census().length > 0)
    await once(process, 'unreachable', { signal: AbortSignal.timeout(20) }).catch(() => undefined);
  const again = await encoders.start(order(8000), true);
  const [working, waiting] = census();
  process.kill(Math.max(working ?? 0, waiting ?? 0), 'SIGKILL');
  await use(again);
  await use(await encoders.start(order(8000), false));
  await encoders.close();
  assert.deepEqual(census(), []);
});

test('after close nothing is started ahead', linux, async () => {
  const encoders = createEncoders(ffmpeg, 2);
  await encoders.close();
  await use(await encoders.start(order(8000), true));
  assert.deepEqual(census(), []);
});
