/** Ogg Speex of every mode and shape is heard whole, in time and at its level, whatever ffmpeg makes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { framesOfSpeex } from '../../../src/media/ogg/speex.ts';
import { failureOf } from '../../support/failure-of.ts';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { amplitudeOf, decibels, hear, stretchesOf } from '../../support/media/hear.ts';
import { archived } from '../../support/media/made.ts';
import { pagesOf, sealed } from '../../support/media/ogg-write.ts';

const HANG = { timeout: 400_000 };

/** A tone with a pause; 153 frames, so that few numbers of frames to a packet come out even. */
const speex = (rate: number, frames: number, channels = 1): Promise<Buffer> => {
  const tone = '0.3*sin(2*PI*440*t)*not(between(t,1,1.5))';
  const sound = `aevalsrc='${Array.from({ length: channels }, () => tone).join('|')}':s=${String(rate)}:d=3.05`;
  const codec = ['-c:a', 'libspeex', '-frames_per_packet', String(frames), '-page_duration', '200000'];
  return ffmpeg('-f', 'lavfi', '-i', sound, ...codec, '-f', 'ogg', 'pipe:1');
};

async function assertHeard(file: Buffer, expected: readonly (readonly [number, number])[]) {
  const made = await archived([file]);
  const [fromS = 0, lastS = 0] = expected.at(-1) ?? [];
  for (const sound of await hear(made.file, made.result.channels)) {
    const heard = stretchesOf(sound);
    const isSame =
      heard.length === expected.length &&
      expected.every((ends, index) => ends.every((at, side) => Math.abs((heard[index]?.[side] ?? NaN) - at) < 0.03));
    assert.ok(isSame, `${JSON.stringify(heard)} instead of ${JSON.stringify(expected)}`);
    assert.ok(Math.abs(decibels(amplitudeOf(sound, 440, [fromS + 0.2, fromS + 0.5]) / 0.3)) < 1);
  }
  assert.ok(Math.abs(made.result.durationMs / 1000 - lastS) < 0.04, String(made.result.durationMs));
}

const HEARD = [
  [0, 1],
  [1.5, 3.05],
] as const;

for (const rate of [8_000, 16_000, 32_000]) {
  test(`Speex of ${String(rate)} Hz is heard whole, however many frames its packets have`, HANG, async () => {
    for (const frames of [1, 2, 4, 8]) await assertHeard(await speex(rate, frames), HEARD);
    await assertHeard(await speex(rate, 4, 2), HEARD);
  });
}

/** Without some of its pages, as if they had never been: the others are numbered anew. */
function withoutPages(file: Buffer, isLeftOut: (page: number) => boolean): Buffer {
  const pages = pagesOf(file).filter((_, page) => !isLeftOut(page));
  for (const [number, page] of pages.entries()) page.writeUInt32LE(number, 18);
  return Buffer.concat(pages.map(sealed));
}

test('(D8) a hole in Speex is silence in its place', HANG, async () => {
  // Each page of sound has 0.2 s, the first of them as third page: 2.0 to 2.4 s are left out.
  const file = withoutPages(await speex(16_000, 5), (page) => page === 12 || page === 13);
  const heard = [HEARD[0], [1.5, 2], [2.4, 3.05]] as const;
  await assertHeard(file, heard);
});

test(
  'Speex that was captured midway begins with what was captured, and beside another file where it belongs',
  HANG,
  async () => {
    const whole = await speex(8_000, 5);
    const late = withoutPages(whole, (page) => page >= 2 && page < 5);
    await assertHeard(late, [
      [0, 0.4],
      [0.9, 2.45],
    ]);
    const made = await archived([whole, late]);
    const [left = [], right = []] = (await hear(made.file, 2)).map((sound) => stretchesOf(sound));
    for (const [sound, startS] of [
      [left, 0],
      [right, 0.6],
    ] as const)
      assert.ok(Math.abs((sound[0]?.[0] ?? NaN) - startS) < 0.03, JSON.stringify(sound));
  },
);

test('one Speex behind the other, as cat chains them, are heard one after the other', HANG, async () => {
  const file = await speex(16_000, 4);
  await assertHeard(Buffer.concat([file, file]), [HEARD[0], [1.5, 4.06], [4.56, 6.11]]);
  const other = Buffer.concat([file, await speex(8_000, 4)]);
  const failure = await failureOf(archived([other]));
  assert.equal(
    failure.message,
    'The Ogg file chains streams of Speex that cannot be decoded as one: ask Genesys for another format.',
  );
});

test('damage is named by its byte, and what no decoder is told of by its rate', HANG, async () => {
  const file = await speex(8_000, 4);
  const [head = file, comments = file, first = file, ...rest] = pagesOf(file).map((page) => Buffer.from(page));
  const offset = head.length + comments.length;
  const damaged = Buffer.from(first);
  damaged[27 + (damaged[26] ?? 0)] = 0b0110_0000;
  const invalid = await failureOf(archived([Buffer.concat([head, comments, sealed(damaged), ...rest])]));
  assert.equal(invalid.code, 'unreadable-media');
  assert.match(
    invalid.message,
    new RegExp(`damaged at byte ${String(offset)}: the page holds an invalid Speex packet`),
  );
  const odd = Buffer.from(head);
  odd.writeUInt32LE(11_025, 28 + 36);
  const unknown = await failureOf(archived([Buffer.concat([sealed(odd), comments, first, ...rest])]));
  assert.match(unknown.message, /^The Ogg file has Speex at 11025 Hz/);
  assert.equal((await failureOf(archived([file.subarray(0, -1)]))).code, 'incomplete');
  const unmarked = file.subarray(0, file.length - (rest.at(-1)?.length ?? 0));
  assert.equal((await failureOf(archived([unmarked], { chunked: true }))).code, 'incomplete');
});

/** A packet of bits, filled up with ones behind a zero. */
function packet(bits: string): Buffer {
  const padded = bits.length % 8 === 0 ? bits : `${bits}0`.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from((padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

test('frames are cut where they end: with their messages, without bands that nobody announced', () => {
  const narrow = `00001${'10'.repeat(19)}`;
  const silent = '00000';
  const band = `1001${'01'.repeat(16)}`;
  const message = '01110100110101010';
  const user = `0110100010${'1'.repeat(16)}`;
  const cases = [
    [0, [narrow]],
    [0, [silent, narrow, silent]],
    [1, [`${narrow}${band}`, narrow, `${silent}${band}`]],
    [2, [`${narrow}${band}${band}`, `${silent}1000`]],
    [0, [`${message}${narrow}`, `${user}${message}${silent}`]],
  ] as const;
  for (const [mode, frames] of cases)
    for (const end of ['', '01111', '0111101111'])
      assert.deepEqual(framesOfSpeex(packet(frames.join('') + end), { mode }), frames.map(packet));
  assert.deepEqual(framesOfSpeex(packet(`${narrow}${band}${silent}`), { mode: 0 }), [packet(narrow), packet(silent)]);
  for (const bad of ['01001', '01010', '01100', narrow.slice(0, 30), silent.repeat(65)])
    assert.equal(framesOfSpeex(packet(bad), { mode: 0 }), undefined, bad);
  assert.equal(framesOfSpeex(packet(`${narrow}1111${'0'.repeat(40)}`), { mode: 1 }), undefined);
});
