/** What an index says, of real files and of hostile ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../../src/failure.ts';
import { boxesIn } from '../../../src/media/mp4/box.ts';
import { parseMovie, type Movie } from '../../../src/media/mp4/movie.ts';
import { make, allClusters } from '../../support/media/made.ts';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { withFile } from '../../support/media/files.ts';
import { bytesOfFixture } from '../../support/media/fixtures.ts';
import { boxOf } from '../../support/media/mp4-write.ts';

function movieOf(mp4: Buffer): Movie {
  const moov = boxesIn({ type: 'file', body: mp4, offset: 0 }).find(({ type }) => type === 'moov');
  return parseMovie(moov ?? assert.fail('no moov'));
}

const tone = (hertz: number, seconds: number, layout = 'mono'): readonly string[] => [
  '-f',
  'lavfi',
  '-i',
  `sine=frequency=${String(hertz)}:sample_rate=16000:duration=${String(seconds)},aformat=channel_layouts=${layout}`,
];

const near = (actual: number | undefined, expected: number): boolean =>
  actual !== undefined && Math.abs(actual - expected) < 0.05;

test('tracks, channels and times of what ffmpeg writes are read', async () => {
  const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=10:duration=2'];
  const inputs = [...tone(400, 1.5), ...tone(500, 2.5, 'stereo'), ...picture, ...tone(600, 1, '5.1')];
  const maps = ['-map', '0', '-map', '1', '-map', '2', '-map', '3', '-c:v', 'libx264'];
  const mp4 = await withFile('a.mp4', (path) => ffmpeg(...inputs, ...maps, '-c:a', 'aac', path));
  const { tracks, headerMs, isFragmented, endByte } = movieOf(mp4);
  assert.deepEqual(
    tracks.map(({ kind, codec, channels }) => [kind, codec, channels]),
    [
      ['sound', 'mp4a', 1],
      ['sound', 'mp4a', 2],
      ['picture', 'avc1', undefined],
      ['sound', 'mp4a', 6],
    ],
  );
  for (const [index, seconds] of [1.5, 2.5, 2, 1].entries()) assert.ok(near(tracks[index]?.endS, seconds));
  assert.ok(near((headerMs ?? 0) / 1000, 2.5));
  assert.equal(isFragmented, false);
  assert.equal(endByte, mp4.indexOf('moov') - 4);
});

test('a late start, ALAC and PCM of QuickTime are read', async () => {
  const late = await withFile('a.mp4', (path) =>
    ffmpeg(...tone(400, 2), '-itsoffset', '1.5', ...tone(500, 2), '-map', '0', '-map', '1', '-c:a', 'aac', path),
  );
  const [, second] = movieOf(late).tracks;
  assert.ok(Math.abs((second?.startS ?? 0) - 1.5) < 0.1 && near(second?.endS, 3.5), JSON.stringify(second));
  const alac = await withFile('a.m4a', (path) => ffmpeg(...tone(400, 2, 'stereo'), '-c:a', 'alac', path));
  assert.partialDeepStrictEqual(movieOf(alac).tracks, [{ codec: 'alac', channels: 2, sampleRate: 16_000 }]);
  const pcm = await withFile('a.mov', (path) => ffmpeg(...tone(400, 2, '7.1'), '-c:a', 'pcm_s24le', path));
  const [surround] = movieOf(pcm).tracks;
  assert.partialDeepStrictEqual(surround, { channels: 8, sampleRate: 16_000, samples: 32_000 });
  // From version 9 on, ffmpeg calls it by the general name, with a description of version 2.
  assert.match(surround?.codec ?? '', /^(in24|lpcm)$/);
});

test('the sum of fragments is read where the index announces it', () => {
  const bytes = bytesOfFixture('screen-faststart.mp4');
  const moov = boxesIn({ type: 'file', body: bytes, offset: 0 }).find(({ type }) => type === 'moov');
  const scale = movieOf(bytes).headerMs;
  assert.ok(near((scale ?? 0) / 1000, 20));
  const mehd = boxOf('mehd', Buffer.from('0000000000004e20', 'hex'));
  const trex = boxOf('trex', Buffer.from('000000000000000100000001000002000000000000000000', 'hex'));
  const body = Buffer.concat([moov?.body ?? Buffer.alloc(0), boxOf('mvex', Buffer.concat([mehd, trex]))]);
  const { fragmentsMs, isFragmented, tracks } = parseMovie({ type: 'moov', body, offset: 0 });
  assert.equal(isFragmented, true);
  assert.ok(fragmentsMs !== undefined && fragmentsMs > 0);
  assert.equal(tracks[0]?.fragmentUnits, 512);
});

// ── hostile ─────────────────────────────────────────────────────────────────────────────────────────────────────

const LAST = bytesOfFixture('screen-moov-last.mp4');
const MOOV = LAST.indexOf('moov') - 4;

async function refusalOf(mp4: Buffer): Promise<Failure> {
  try {
    await allClusters(await make({ files: [mp4] }));
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error;
  }
  return assert.fail('it was archived');
}

function nested(type: string, levels: number): Buffer {
  const heads = Array.from({ length: levels }, (_, level) => boxOf(type, Buffer.alloc(0), (levels - level) * 8));
  return Buffer.concat(heads);
}

/** The index with one 32-bit number of a box changed. */
function changed(type: string, at: number, value: number): Buffer {
  const copy = Buffer.from(LAST);
  copy.writeUInt32BE(value, copy.indexOf(type, MOOV, 'latin1') + 4 + at);
  return copy;
}

const withIndex = (...boxes: readonly Buffer[]): Buffer =>
  Buffer.concat([LAST.subarray(0, MOOV), boxOf('moov', Buffer.concat(boxes))]);

const HOSTILE: readonly (readonly [string, Buffer])[] = [
  ['20,000 boxes in each other', withIndex(nested('trak', 20_000))],
  ['20,000 unknown boxes in each other', withIndex(nested('mdia', 20_000))],
  [
    '100,000 boxes side by side',
    withIndex(Buffer.concat(Array.from({ length: 100_000 }, () => boxOf('free', Buffer.alloc(0))))),
  ],
  ['65 tracks', withIndex(...Array.from({ length: 65 }, () => boxOf('trak', Buffer.alloc(0))))],
  ['2^32 - 1 entries of stts', changed('stts', 4, 0xffff_ffff)],
  ['2^32 - 1 entries of stsc', changed('stsc', 4, 0xffff_ffff)],
  ['2^32 - 1 entries of stsz', changed('stsz', 8, 0xffff_ffff)],
  ['2^32 - 1 entries of stco', changed('stco', 4, 0xffff_ffff)],
  ['a track longer than the index', changed('trak', -8, 0x7fff_ffff)],
  ['a track of 4 bytes', changed('trak', -8, 4)],
  ['an index of nothing', withIndex()],
  ['a compressed index', withIndex(boxOf('cmov', Buffer.alloc(20)))],
];

for (const [what, mp4] of HOSTILE) {
  test(`(B9) an index with ${what} is refused for good, naming it`, { timeout: 300_000 }, async () => {
    const { code, retry, message } = await refusalOf(mp4);
    assert.ok(code === 'unreadable-media' || code === 'unsupported-media', `${code}: ${message}`);
    assert.equal(retry, 'never');
    assert.match(message, /MP4|media/);
  });
}
