/** Files that end before they should, wherever they were cut: refused with the byte or the second, never archived short. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { archived } from '../support/media/made.ts';

const HANG = { timeout: 120_000 };

const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=10:duration=4'];
const TONE = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=16000:duration=4'];
const FILM = [...PICTURE, ...TONE, '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '10'];
const inFile = (name: string, ...args: readonly string[]): Promise<Buffer> =>
  withFile(name, (path) => ffmpeg('-y', ...args, path));

const FRAGMENTS = ['-movflags', 'frag_keyframe+empty_moov', '-f', 'mp4', 'pipe:1'];

const CUT: readonly (readonly [string, Promise<Buffer>])[] = [
  ['Matroska of H.264 and PCM', inFile('a.mkv', ...FILM, '-c:a', 'pcm_s16le')],
  ['MP4 with its index in front', inFile('a.mp4', ...FILM, '-c:a', 'aac', '-movflags', '+faststart')],
  ['MP4 with its index behind', inFile('a.mp4', ...FILM, '-c:a', 'aac')],
  ['QuickTime', inFile('a.mov', ...FILM, '-c:a', 'pcm_s16le', '-movflags', '+faststart')],
  ['3GP', inFile('a.3gp', ...FILM, '-c:a', 'aac', '-movflags', '+faststart')],
  ['WAV', inFile('a.wav', ...TONE)],
  ['MP3', inFile('a.mp3', ...TONE)],
];

for (const [what, whole] of CUT) {
  test(`(D1) ${what}, cut at every tenth of its bytes: refused with byte or second`, HANG, async () => {
    const bytes = await whole;
    await archived([bytes]);
    for (let tenth = 1; tenth < 10; tenth += 1) {
      const cut = bytes.subarray(0, Math.floor((bytes.length * tenth) / 10));
      await assert.rejects(archived([cut]), (error) => {
        assert.ok(error instanceof Failure, String(error));
        assert.ok(['incomplete', 'unreadable-media'].includes(error.code), `${error.code}: ${error.message}`);
        assert.match(error.message, /byte \d+|\d s/);
        return true;
      });
    }
  });
}

const FRAMED: readonly (readonly [string, Promise<Buffer>])[] = [
  ['ADTS', inFile('a.aac', ...TONE, '-c:a', 'aac')],
  ['MP3 that counts nothing', inFile('a.mp3', ...TONE, '-write_xing', '0', '-id3v2_version', '0')],
];

for (const [what, whole] of FRAMED) {
  test(`(D1) ${what}, cut within the header of a frame or behind it: refused with its byte`, HANG, async () => {
    const bytes = await whole;
    const frame = bytes.indexOf(bytes.subarray(0, 2), Math.floor(bytes.length / 2));
    for (const kept of [1, 4, 9, 10]) {
      await assert.rejects(archived([bytes.subarray(0, frame + kept)]), (error) => {
        assert.ok(error instanceof Failure, String(error));
        assert.ok(['incomplete', 'unreadable-media'].includes(error.code), `${error.code}: ${error.message}`);
        assert.match(error.message, /byte \d+/);
        return true;
      });
    }
    await archived([bytes.subarray(0, frame)]);
  });
}

test('(D1) WAV that ends within its first moments: refused, as later on', HANG, async () => {
  const bytes = await inFile('a.wav', ...TONE);
  const start = bytes.indexOf('data') + 8;
  for (const ms of [0, 1, 10, 49, 50, 51, 200]) {
    const cut = archived([bytes.subarray(0, start + ms * 32)]);
    await assert.rejects(cut, { code: 'incomplete', message: /bytes before its sound does/ }, `${String(ms)} ms`);
  }
});

test('(D1) fragmented MP4, cut between two fragments: refused by Genesys, or said in the manifest', HANG, async () => {
  const bytes = await ffmpeg(...FILM, '-c:a', 'aac', ...FRAGMENTS);
  assert.doesNotMatch((await archived([bytes], { seconds: 4 })).why, /end mark/);
  const third = bytes.indexOf('moof', bytes.indexOf('moof', bytes.indexOf('moof') + 4) + 4) - 4;
  const cut = bytes.subarray(0, third);
  await assert.rejects(archived([cut], { seconds: 12 }), { code: 'incomplete' });
  await assert.rejects(archived([cut], { chunked: true }), { code: 'incomplete' });
  assert.match((await archived([cut])).why, /ends without its end mark/);
});

test('(D1) a second MP4 behind the first is refused, not dropped', HANG, async () => {
  const mp4 = await inFile('a.mp4', ...TONE, '-c:a', 'aac');
  const fragments = ['-movflags', 'empty_moov', '-frag_duration', '500000'];
  const fragmented = await inFile('a.mp4', ...TONE, '-c:a', 'aac', ...fragments);
  for (const file of [
    [mp4, mp4],
    [fragmented, fragmented],
    [mp4, fragmented],
  ])
    await assert.rejects(archived([Buffer.concat(file)]), {
      code: 'unsupported-media',
      message: /second .* byte \d+/,
    });
});
