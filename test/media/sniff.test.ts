import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { requireMedia, sniff, SNIFF_BYTES, type Media, type RefusedMedia } from '../../src/media/sniff.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { chunk, wav } from '../support/media/wav.ts';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
const TONE = ['-f', 'lavfi', '-i', 'sine=sample_rate=16000:duration=0.5'];

const FIXTURE_FACTS: readonly (readonly [string, Partial<Media>])[] = [
  ['dual-0.opus', { kind: 'ogg-opus', codec: 'opus', channels: 1 }],
  ['stereo.opus', { kind: 'ogg-opus', codec: 'opus', channels: 2 }],
  ['stereo-pcm.wav', { kind: 'wav', codec: 'pcm', channels: 2, sampleRate: 8000 }],
  ['stereo-ulaw.wav', { kind: 'wav', codec: 'µ-law', channels: 2, sampleRate: 8000 }],
  ['stereo.mp3', { kind: 'mp3' }],
  ['screen-faststart.mp4', { kind: 'mp4' }],
  ['screen-moov-last.mp4', { kind: 'mp4' }],
  ['screen-vp8-silent.webm', { kind: 'webm' }],
];

for (const [name, expected] of FIXTURE_FACTS) {
  test(`${name} is ${expected.kind ?? ''}, by 64 bytes and by 4 KiB`, async () => {
    const file = await readFile(join(FIXTURES, name));
    for (const size of [64, SNIFF_BYTES]) assert.partialDeepStrictEqual(sniff(file.subarray(0, size)), expected);
  });
}

const MADE_FACTS: readonly (readonly [readonly string[], Partial<Media>])[] = [
  [['-c:a', 'libvorbis', '-f', 'ogg'], { kind: 'ogg-vorbis', codec: 'vorbis', channels: 1, sampleRate: 16_000 }],
  [['-c:a', 'flac', '-f', 'ogg'], { kind: 'ogg', codec: 'flac' }],
  [['-c:a', 'flac', '-ac', '2', '-f', 'flac'], { kind: 'flac', channels: 2, sampleRate: 16_000 }],
  [['-c:a', 'aac', '-f', 'adts'], { kind: 'aac-adts', codec: 'adts', channels: 1, sampleRate: 16_000 }],
  [
    ['-c:a', 'libmp3lame', '-id3v2_version', '0', '-write_xing', '0', '-f', 'mp3'],
    { kind: 'mp3', codec: 'mp3', channels: 1, sampleRate: 16_000 },
  ],
  [['-c:a', 'mp2', '-f', 'mp2'], { kind: 'mp3', codec: 'mp2', channels: 1, sampleRate: 16_000 }],
  [['-c:a', 'pcm_alaw', '-f', 'wav'], { kind: 'wav', codec: 'a-law', channels: 1, sampleRate: 16_000 }],
  [['-c:a', 'pcm_s24le', '-ac', '6', '-f', 'wav'], { kind: 'wav', codec: 'pcm', channels: 6 }],
  [['-c:a', 'pcm_s16le', '-rf64', 'always', '-f', 'wav'], { kind: 'wav', codec: 'pcm', channels: 1 }],
  [['-c:a', 'adpcm_ima_wav', '-f', 'wav'], { kind: 'wav', codec: 'ima adpcm' }],
  [['-c:a', 'libmp3lame', '-f', 'wav'], { kind: 'wav', codec: 'mp3' }],
  [['-c:a', 'libopus', '-f', 'matroska'], { kind: 'webm' }],
  [['-c:a', 'aac', '-f', 'mp4', '-movflags', 'frag_keyframe+empty_moov'], { kind: 'mp4' }],
  [['-c:a', 'aac', '-f', 'mov', '-movflags', 'frag_keyframe+empty_moov'], { kind: 'mp4' }],
];

for (const [args, expected] of MADE_FACTS) {
  test(`what ffmpeg writes by ${args.join(' ')} is ${expected.kind ?? ''}`, async () => {
    const head = (await ffmpeg(...TONE, ...args, 'pipe:1')).subarray(0, SNIFF_BYTES);
    assert.partialDeepStrictEqual(sniff(head), expected);
  });
}

function id3(sizeBytes: number): Buffer {
  const size = [21, 14, 7, 0].map((shift) => (sizeBytes >> shift) & 0x7f);
  return Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, ...size]), Buffer.alloc(sizeBytes)]);
}

test('MPEG frames behind junk are found where several follow each other, and one by chance is none', async () => {
  const mp3 = await ffmpeg(...TONE, '-c:a', 'libmp3lame', '-id3v2_version', '0', '-f', 'mp3', 'pipe:1');
  const junk = Buffer.alloc(2_000, 0x81);
  junk[10] = 0xff;
  // A frame of 44.1 kHz, and nothing like it behind.
  junk.set([0xff, 0xfb, 0x90, 0x64], 100);
  assert.equal(sniff(Buffer.concat([junk, junk])).kind, 'refused');
  const found = sniff(Buffer.concat([junk, mp3]).subarray(0, SNIFF_BYTES));
  assert.partialDeepStrictEqual(found, { kind: 'mp3', codec: 'mp3', sampleRate: 16_000 });
});

test('MP3 behind an ID3v2 tag is MP3, be the tag shorter or longer than the head', async () => {
  const mp3 = await ffmpeg(...TONE, '-c:a', 'libmp3lame', '-id3v2_version', '0', '-f', 'mp3', 'pipe:1');
  const short = sniff(Buffer.concat([id3(500), mp3]).subarray(0, SNIFF_BYTES));
  assert.partialDeepStrictEqual(short, { kind: 'mp3', codec: 'mp3', sampleRate: 16_000 });
  const long = sniff(Buffer.concat([id3(9000), mp3]).subarray(0, SNIFF_BYTES));
  assert.partialDeepStrictEqual(long, { kind: 'mp3', codec: undefined });
});

test('an ID3v2 tag in front of something else makes no MP3 of it', () => {
  const text = Buffer.concat([id3(50), Buffer.from('#EXTM3U\nhttp://127.0.0.1/x.ts\n'.repeat(5))]);
  assert.equal(sniff(text).kind, 'refused');
});

test('WAV with other chunks in front of its format is WAV', () => {
  const plain = wav(100, { channels: 2 });
  const early = Buffer.concat([plain.subarray(0, 12), chunk('bext', Buffer.alloc(603)), plain.subarray(12)]);
  assert.partialDeepStrictEqual(sniff(early), { kind: 'wav', codec: 'pcm', channels: 2 });
});

const CODES: Readonly<Partial<Record<RefusedMedia['found'], string>>> = {
  empty: 'incomplete',
  html: 'upstream-error',
  xml: 'upstream-error',
  json: 'upstream-error',
  text: 'upstream-error',
};

const REFUSED: readonly (readonly [string, Buffer | string, RefusedMedia['found']])[] = [
  ['nothing', '', 'empty'],
  ['a zip', 'PK\x03\x04\x14\0\0\0\x08\0recording.wav', 'zip'],
  ['a playlist', '#EXTM3U\n#EXTINF:10,\nhttp://169.254.169.254/\n', 'playlist'],
  ['a playlist behind blanks', '\uFEFF \r\n#EXTM3U\n', 'playlist'],
  ['a list of files', "ffconcat version 1.0\nfile '/etc/passwd'\n", 'playlist'],
  ['a DASH manifest', '<?xml version="1.0"?><MPD><BaseURL>http://x/</BaseURL></MPD>', 'xml'],
  ['a page', '<!DOCTYPE html><html><body>Sign in</body></html>', 'html'],
  ['a page without a doctype', '\n<html lang="en">', 'html'],
  ['S3 saying no', '<Error><Code>AccessDenied</Code></Error>', 'xml'],
  ['JSON', '{"status": 404, "message": "not found"}', 'json'],
  ['a session description', 'v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n', 'session description'],
  ['an email', 'From: a@example.com\r\nSubject: hello\r\n\r\nhello', 'email'],
  ['a chat', 'agent: how may I help you?\ncustomer: hello\n', 'text'],
  ['zeros', Buffer.alloc(4096), 'unknown'],
  ['a playlist labelled RIFF WAVE', 'RIFF\x24\0\0\0WAVE#EXTM3U\nfile:///etc/passwd\n', 'unknown'],
  ['RIFF that is no WAVE', 'RIFF\x24\0\0\0AVI LIST', 'AVI'],
  ['WAVE without a format', 'RIFF\x24\0\0\0WAVEdata\x10\0\0\0', 'unknown'],
  ['a photo', Buffer.from('0000001c66747970686569630000', 'hex'), 'unknown'],
  ['one frame header by chance', Buffer.concat([Buffer.from('fffb9064', 'hex'), Buffer.alloc(4092)]), 'unknown'],
];

for (const [name, head, found] of REFUSED) {
  test(`${name}: refused as ${found} (ME-10)`, () => {
    const sniffed = sniff(Buffer.isBuffer(head) ? head : Buffer.from(head, 'utf8'));
    assert.deepEqual(sniffed, { kind: 'refused', found });
    assert.throws(
      () => requireMedia(sniffed),
      (error) => error instanceof Failure && error.code === (CODES[found] ?? 'unsupported-media'),
    );
  });
}

test('no head of any length, true or cut, makes it throw', async () => {
  const files = await Promise.all(FIXTURE_FACTS.map(([name]) => readFile(join(FIXTURES, name))));
  const heads: readonly Buffer[] = [...files, id3(20), wav(10)];
  for (const head of heads) {
    for (let size = 0; size <= 300; size += 1) assert.ok(sniff(head.subarray(0, size)).kind);
  }
});
