/** Ogg files that every player plays to their end although they are not as the specification has them: archived whole, and damage in them refused. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Failure } from '../../../src/failure.ts';
import { decodeOpus, ffmpeg } from '../../support/media/ffmpeg.ts';
import { pathOfFixture } from '../../support/media/fixtures.ts';
import { archived } from '../../support/media/made.ts';
import { flagged, oggPage, pagesOf, withSkeleton } from '../../support/media/ogg-write.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const run = promisify(execFile);
let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'ogg-tolerated-'))));
after(() => rm(folder, { recursive: true }));

/** The first four seconds of a call, a page each 200 ms. */
const SHORT = ['-t', '4', '-page_duration', '200000', '-f', 'ogg', 'pipe:1'];
const OPUS = await ffmpeg('-i', pathOfFixture('stereo.opus'), '-c', 'copy', ...SHORT);
const VORBIS = await ffmpeg('-i', pathOfFixture('stereo-pcm.wav'), '-c:a', 'libvorbis', ...SHORT);

type Change = (file: Buffer) => Buffer;

const serialOf = (file: Buffer): number => file.readUInt32LE(14);

function changed(file: Buffer, change: (pages: Buffer[]) => Buffer[]): Buffer {
  return Buffer.concat(change(pagesOf(file)));
}

function id3(sizeBytes: number, footer = false): Buffer {
  const tag = Buffer.alloc(10 + sizeBytes + (footer ? 10 : 0));
  tag.write(`ID3\x04\0${footer ? '\x10' : '\0'}`, 'latin1');
  for (let i = 0; i < 4; i += 1) tag.writeUInt8((sizeBytes >> (7 * (3 - i))) & 0x7f, 6 + i);
  return tag;
}

const ID3V1 = Buffer.alloc(128);
ID3V1.write('TAGa call');
const APE = Buffer.concat([Buffer.from('APETAGEX\xd0\x07\0\0', 'latin1'), Buffer.alloc(180, 1)]);

const TOLERATED: Readonly<Record<string, Change>> = {
  'a Skeleton stream beside the sound': (file) => withSkeleton(file, isVorbis(file) ? 3 : 2),
  'a mark of the end on every page': (file) =>
    changed(file, (pages) => pages.map((page, i) => (i < 3 ? page : flagged(page, (page[5] ?? 0) | 4)))),
  'a mark of the end a second early': (file) =>
    changed(file, (pages) =>
      pages.map((page, i) => (i === pages.length - 5 ? flagged(page, (page[5] ?? 0) | 4) : page)),
    ),
  'an empty packet on a last page of its own': (file) =>
    changed(file, (pages) => {
      const last = pages.at(-1) ?? page0;
      const granule = Number(last.readBigInt64LE(6));
      const sequence = last.readUInt32LE(18) + 1;
      const end = { packets: [Buffer.alloc(0)], granule, serial: serialOf(file), sequence, flags: 4 };
      return [...pages.slice(0, -1), flagged(last, (last[5] ?? 0) & ~4), oggPage(end)];
    }),
  'a mark of the beginning on the second page': (file) =>
    changed(file, (pages) => pages.with(1, flagged(pages[1] ?? page0, 2))),
  'an ID3 tag in front': (file) => Buffer.concat([id3(700), file]),
  'two ID3 tags in front, one with a footer': (file) => Buffer.concat([id3(300), id3(1200, true), file]),
  'an ID3v1 tag behind': (file) => Buffer.concat([file, ID3V1]),
  'an APE tag and an ID3v1 tag behind': (file) => Buffer.concat([file, APE, ID3V1]),
  'zeros behind, up to the next block': (file) => Buffer.concat([file, Buffer.alloc(4096 - (file.length % 4096))]),
  'CR LF behind': (file) => Buffer.concat([file, Buffer.from('\r\n')]),
  'the end of a form behind': (file) => Buffer.concat([file, Buffer.from('\r\n--e0f1a2b3c4d5--\r\n')]),
};

const page0 = Buffer.alloc(27);
const isVorbis = (file: Buffer): boolean => file.includes('vorbis');

/** Milliseconds and sound that a decoder gives. */
async function heard(bytes: Buffer, name: string): Promise<Float32Array> {
  const file = path.join(folder, name);
  await writeFile(file, bytes);
  if (!isVorbis(bytes)) return (await decodeOpus(file, 2))[0] ?? new Float32Array();
  const raw = await ffmpeg('-i', file, '-ac', '1', '-ar', '48000', '-f', 'f32le', 'pipe:1');
  return new Float32Array(new Uint8Array(raw).buffer);
}

for (const [what, change] of Object.entries(TOLERATED)) {
  test(`an Ogg with ${what} is archived whole (D, good files)`, async () => {
    const opus = await archived([change(OPUS)]);
    assert.equal(opus.way, 'rewrap');
    assert.equal(opus.result.note, undefined, 'its end is known');
    checkWebm(opus.file);
    assert.deepEqual(await heard(opus.file, 'made.webm'), await heard(OPUS, 'source.opus'));
    const vorbis = await archived([change(VORBIS)]);
    assert.equal(vorbis.way, 'encode-audio');
    const lateMs = ((await heard(vorbis.file, 'made.webm')).length - (await heard(VORBIS, 'source.ogg')).length) / 48;
    assert.ok(Math.abs(lateMs) < 25, `${lateMs} ms`);
  });
}

test('what `oggenc -k` writes is archived whole (D, good files)', { skip: await lacks('oggenc') }, async () => {
  const file = path.join(folder, 'skeleton.ogg');
  await run('oggenc', ['-Q', '-k', '-o', file, pathOfFixture('stereo-pcm.wav')]);
  const made = await archived([await readFile(file)]);
  assert.ok(Math.abs(made.result.durationMs - 30_000) < 25, String(made.result.durationMs));
});

async function lacks(program: string): Promise<string | false> {
  return run(program, ['--version']).then(
    () => false,
    () => `${program} is not installed`,
  );
}

test('a Vorbis that was captured midway plays as long as what was captured (D, good files)', async () => {
  for (const seconds of [1, 3600, 90_000]) {
    const [head = page0, comments = page0, ...sound] = pagesOf(VORBIS);
    const moved = sound.map((page) => {
      const granule = page.readBigInt64LE(6);
      if (granule > 0n) page.writeBigInt64LE(granule + BigInt(seconds * 8000), 6);
      return flagged(page, page[5] ?? 0);
    });
    const { result } = await archived([Buffer.concat([head, comments, ...moved])]);
    // ffmpeg takes the first packet, which gives no sound, for silence of its length.
    assert.ok(Math.abs(result.durationMs - 4000) < 40, `${result.durationMs} ms`);
  }
});

// ── what is tolerated hides no damage ───────────────────────────────────────────────────────────────────────────

type Damage = (bytes: Buffer, at: number) => Buffer;

const DAMAGES: Readonly<Record<string, Damage>> = {
  'a changed bit': (bytes, at) => bytes.fill((bytes[at] ?? 0) ^ 16, at, at + 1),
  '300 bytes of zeros': (bytes, at) => bytes.fill(0, at, at + 300),
  '300 bytes lost': (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 300)]),
  '300 bytes doubled': (bytes, at) => Buffer.concat([bytes.subarray(0, at + 300), bytes.subarray(at)]),
};

test('damage in any of them is refused with its byte, or all of the sound is there', async () => {
  const whole = await heard(OPUS, 'source.opus');
  for (const [what, change] of Object.entries(TOLERATED)) {
    const good = change(OPUS);
    for (const [name, damage] of Object.entries(DAMAGES)) {
      for (const at of Array.from({ length: 23 }, (_, i) => Math.floor((good.length * i) / 23))) {
        await assertHonest(damage(Buffer.from(good), at), whole, `${what}, ${name} at ${at}`);
      }
    }
  }
});

/** Cut anywhere it is refused, or has no end mark (which something else then has to prove), or only lost what is no sound. */
test('what is cut off is missed', async () => {
  const whole = await heard(OPUS, 'source.opus');
  for (const [what, change] of Object.entries(TOLERATED)) {
    const good = change(OPUS);
    for (const at of Array.from({ length: 40 }, (_, i) => good.length - 1 - i * i * 3)) {
      await assertHonest(good.subarray(0, at), whole, `${what}, cut at ${at}`);
    }
  }
});

async function assertHonest(bytes: Buffer, whole: Float32Array, what: string): Promise<void> {
  try {
    const { file, result } = await archived([bytes]);
    if (result.note === 'it ends without its end mark') return;
    assert.deepEqual(await heard(file, 'damaged.webm'), whole, what);
  } catch (error) {
    assert.ok(error instanceof Failure, `${what}: ${String(error)}`);
    assert.ok(
      ['unreadable-media', 'incomplete', 'unsupported-media'].includes(error.code),
      `${what}: ${error.message}`,
    );
    assert.match(error.message, /\d/, 'says where');
  }
}

test('more of the media behind its end is not taken for a tag', async () => {
  const link = pagesOf(OPUS);
  const second = pagesOf(OPUS).map((page) => {
    page.writeUInt32LE(99, 14);
    return flagged(page, page[5] ?? 0);
  });
  const chained = Buffer.concat([...link, ...second]);
  for (const at of [OPUS.length, OPUS.length + 1, OPUS.length + 3]) {
    const broken = Buffer.from(chained).fill(0, at, at + 60);
    await assert.rejects(archived([broken]), /damaged at byte \d+/, `zeros from ${at} on`);
  }
  await assert.rejects(archived([Buffer.concat([OPUS, Buffer.alloc(2 ** 20 + 1)])]), /too much stands behind/);
});
