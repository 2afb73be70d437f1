import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { Failure } from '../../../src/failure.ts';
import { Spools, type Spool } from '../../../src/media/mp4/spool.ts';
import { streamableMp4 } from '../../../src/media/mp4/stream.ts';
import { Purpose } from '../../../src/media/purpose.ts';

const LAST = new URL('../../fixtures/screen-moov-last.mp4', import.meta.url);
const FIRST = new URL('../../fixtures/screen-faststart.mp4', import.meta.url);
const signal = AbortSignal.timeout(300_000);

function chunked(bytes: Buffer, size: number): AsyncIterable<Buffer> {
  return {
    async *[Symbol.asyncIterator]() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    },
  };
}

function ranges(bytes: Buffer): (start: number, end: number) => Promise<Buffer> {
  return async (start, end) => Buffer.from(bytes.subarray(start, end + 1));
}

async function collect(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function runFfmpeg(args: readonly string[], input: Buffer): Buffer {
  const { status, stdout, stderr } = spawnSync('ffmpeg', ['-v', 'error', ...args], {
    input,
    maxBuffer: 1 << 28,
    timeout: 300_000,
  });
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

const openSpool = (): Promise<Spool> => new Spools().open(new Purpose('archiving'));

const known = new Map<string, string>();

/** MD5 over every decoded frame and sample, read from a pipe as the encoder does; the same bytes are decoded once. */
function decoded(mp4: Buffer): string {
  const name = createHash('sha256').update(mp4).digest('hex');
  const md5 =
    known.get(name) ?? runFfmpeg(['-f', 'mov', '-i', 'pipe:0', '-map', '0', '-f', 'md5', 'pipe:1'], mp4).toString();
  known.set(name, md5);
  return md5;
}

test('an MP4 with its index in front passes as it is', async () => {
  const bytes = await readFile(FIRST);
  const mp4 = await streamableMp4(
    { bytes: createReadStream(FIRST), sizeBytes: undefined, readRange: undefined, openSpool },
    signal,
  );
  assert.equal(mp4.note, undefined);
  assert.deepEqual(await collect(mp4.bytes), bytes);
});

for (const size of [1_000, 65_536, 10_000_000]) {
  test(`an MP4 with its index at the end decodes from a pipe like the faststart file, in chunks of ${String(size)} (ME-03)`, async () => {
    const bytes = await readFile(LAST);
    const mp4 = await streamableMp4(
      { bytes: chunked(bytes, size), sizeBytes: bytes.length, readRange: ranges(bytes), openSpool },
      signal,
    );
    const streamed = await collect(mp4.bytes);
    assert.match(mp4.note ?? '', /range/);
    assert.equal(decoded(streamed), decoded(await readFile(FIRST)));
  });
}

test('without ranges the media is spooled, and gives the same bytes', async () => {
  const bytes = await readFile(LAST);
  const ranged = await streamableMp4(
    { bytes: chunked(bytes, 50_000), sizeBytes: bytes.length, readRange: ranges(bytes), openSpool },
    signal,
  );
  const spooled = await streamableMp4(
    { bytes: chunked(bytes, 50_000), sizeBytes: undefined, readRange: undefined, openSpool },
    signal,
  );
  assert.match(spooled.note ?? '', /spooled/);
  const hash = async (all: AsyncIterable<Buffer>): Promise<string> =>
    createHash('sha256')
      .update(await collect(all))
      .digest('hex');
  assert.equal(await hash(spooled.bytes), await hash(ranged.bytes));
});

test('a fragmented MP4 passes as it is', async () => {
  const input = await readFile(FIRST);
  const fragmented = runFfmpeg(
    ['-f', 'mov', '-i', 'pipe:0', '-c', 'copy', '-movflags', 'frag_keyframe+empty_moov', '-f', 'mp4', 'pipe:1'],
    input,
  );
  const mp4 = await streamableMp4(
    { bytes: chunked(fragmented, 10_000), sizeBytes: undefined, readRange: undefined, openSpool },
    signal,
  );
  assert.deepEqual(await collect(mp4.bytes), fragmented);
});

test('media that changes between the index and the rest is refused', async () => {
  const bytes = await readFile(LAST);
  const changed = Buffer.from(bytes);
  changed.writeUInt8((changed.at(-1) ?? 0) ^ 1, changed.length - 1);
  const mp4 = await streamableMp4(
    { bytes: chunked(changed, 50_000), sizeBytes: bytes.length, readRange: ranges(bytes), openSpool },
    signal,
  );
  await assert.rejects(collect(mp4.bytes), (error) => error instanceof Failure && error.code === 'incomplete');
});

test('the source is read to its end and closed, also when nobody reads further', async () => {
  const bytes = await readFile(LAST);
  let closed = false;
  const source = {
    async *[Symbol.asyncIterator]() {
      try {
        yield* chunked(bytes, 50_000);
      } finally {
        closed = true;
      }
    },
  };
  const mp4 = await streamableMp4(
    { bytes: source, sizeBytes: bytes.length, readRange: ranges(bytes), openSpool },
    signal,
  );
  for await (const _ of mp4.bytes) break;
  assert.equal(closed, true);
});

test(
  'damaged and truncated files end in a Failure or in bytes, never in anything else (10,000 cases)',
  { timeout: 300_000 },
  async () => {
    // Small enough to be damaged often: the boxes of a real file with a short mdat.
    const whole = await readFile(LAST);
    const ftyp = whole.subarray(0, whole.readUInt32BE(0));
    const moov = whole.subarray(whole.indexOf('moov') - 4);
    const mdat = Buffer.concat([Buffer.from([0, 0, 0, 40]), Buffer.from('mdat'), Buffer.alloc(32, 7)]);
    const small = Buffer.concat([ftyp, mdat, moov]);
    const change = fc.record({ at: fc.nat(small.length - 1), value: fc.nat(255) });
    const damage = fc.record({
      cut: fc.oneof(fc.constant(small.length), fc.nat(small.length)),
      changes: fc.array(change, { maxLength: 6 }),
      head: fc.array(fc.record({ at: fc.nat(120), value: fc.nat(255) }), { maxLength: 2 }),
      size: fc.integer({ min: 500, max: 8_000 }),
      ranges: fc.integer({ min: 0, max: 9 }).map((tenth) => tenth > 0),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ cut, changes, head, size, ranges: hasRanges }) => {
        const bytes = Buffer.from(small.subarray(0, cut));
        for (const { at, value } of [...changes, ...head]) if (at < bytes.length) bytes[at] = value;
        try {
          const mp4 = await streamableMp4(
            {
              bytes: chunked(bytes, size),
              sizeBytes: bytes.length % 2 === 0 ? bytes.length : undefined,
              readRange: hasRanges ? ranges(bytes) : undefined,
              openSpool,
            },
            signal,
          );
          const out = await collect(mp4.bytes);
          assert.ok(out.length >= bytes.length && out.length <= bytes.length * 2 + 16);
        } catch (error) {
          assert.ok(error instanceof Failure, String(error));
        }
      }),
      { numRuns: 10_000 },
    );
  },
);
