/** Files that players play to their end, although something about them is odd: archived whole, at their level, and no longer than they sound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { failureOf } from '../support/failure-of.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { amplitudeOf, decibels, hear, HEARD_RATE, stretchesOf } from '../support/media/hear.ts';
import { archived } from '../support/media/made.ts';
import { boxOf } from '../support/media/mp4-write.ts';
import { chunk, voicesWav, wav } from '../support/media/wav.ts';

const HANG = { timeout: 400_000 };

/** A tone with a pause in it, so that what is lost or moved shows. */
const PATTERN = "aevalsrc='0.3*sin(2*PI*440*t)*not(between(t,1,1.5))':s=16000:d=3";
const HEARD: readonly (readonly [number, number])[] = [
  [0, 1],
  [1.5, 3],
];

const made = (...args: readonly string[]): Promise<Buffer> => ffmpeg('-f', 'lavfi', '-i', PATTERN, ...args, 'pipe:1');
const inFile = (name: string, ...args: readonly string[]): Promise<Buffer> =>
  withFile(name, (path) => ffmpeg('-f', 'lavfi', '-i', PATTERN, ...args, path));

const MP3 = await made('-c:a', 'libmp3lame', '-b:a', '48k', '-id3v2_version', '0', '-write_xing', '0', '-f', 'mp3');
const TAGGED = await made('-c:a', 'libmp3lame', '-b:a', '48k', '-metadata', 'title=a call', '-f', 'mp3');
const ADTS = await made('-c:a', 'aac', '-f', 'adts');
const FLAC = await inFile('a.flac', '-c:a', 'flac');
const WAV = await inFile('a.wav');
const MP4 = await inFile('a.mp4', '-c:a', 'aac');
const M4A = await inFile('a.m4a', '-c:a', 'alac');
const FRAGMENTED = await made('-c:a', 'aac', '-frag_duration', '500000', '-movflags', 'empty_moov', '-f', 'mp4');
const MATROSKA = await inFile('a.mkv', '-c:a', 'pcm_s16le');
const PIPED = await made('-c:a', 'pcm_s16le', '-f', 'matroska');

function id3(sizeBytes: number, fill = 0): Buffer {
  const size = [21, 14, 7, 0].map((shift) => (sizeBytes >> shift) & 0x7f);
  return Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, ...size]), Buffer.alloc(sizeBytes, fill)]);
}

const ID3V1 = Buffer.concat([Buffer.from('TAGa call'), Buffer.alloc(119)]);

/** APEv2 of one item, with its header or, as older taggers leave it, without. */
function ape(hasHeader: boolean): Buffer {
  const item = Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('Title\0a call')]);
  const part = (flags: number): Buffer => {
    const bytes = Buffer.alloc(32);
    bytes.write('APETAGEX', 'latin1');
    bytes.writeUInt32LE(2000, 8);
    bytes.writeUInt32LE(item.length + 32, 12);
    bytes.writeUInt32LE(1, 16);
    bytes.writeUInt32LE(flags >>> 0, 20);
    return bytes;
  };
  return hasHeader ? Buffer.concat([part(0xa000_0000), item, part(0x8000_0000)]) : Buffer.concat([item, part(0)]);
}

function withDataSize(file: Buffer, change: (sizeBytes: number) => number): Buffer {
  const copy = Buffer.from(file);
  const at = copy.indexOf('data', 12, 'latin1') + 4;
  copy.writeUInt32LE(change(copy.readUInt32LE(at)), at);
  return copy;
}

function withTag(file: Buffer, tag: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt16LE(tag, copy.indexOf('fmt ', 12, 'latin1') + 8);
  return copy;
}

/** Encoders of MP3 and AAC begin up to 70 ms late by themselves. */
const LATE_S = 0.16;

/** Noise without a run of frames in it. */
const junk = (sizeBytes: number): Buffer =>
  Buffer.from(Array.from({ length: sizeBytes }, (_, index) => ((index * 2_654_435_761) >>> 13) & 0x7f));

const TEXT = Buffer.from('\r\n--boundary-3829--\r\n');
const CRLF = Buffer.from('\r\n');
const ZEROS = Buffer.alloc(700);
const join = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);

const samplesOf = (file: Buffer): Buffer => file.subarray(file.indexOf('data', 12, 'latin1') + 8);
const riff = (...chunks: readonly Buffer[]): Buffer => {
  const head = Buffer.from('RIFF\0\0\0\0WAVE');
  head.writeUInt32LE(4 + chunks.reduce((sum, { length }) => sum + length, 0), 4);
  return join(head, ...chunks);
};
const formatOf = (file: Buffer): Buffer => file.subarray(12, 36);

function inTwoChunks(file: Buffer): Buffer {
  const samples = samplesOf(file);
  const [first, second] = [samples.subarray(0, 40_000), samples.subarray(40_000)];
  return riff(formatOf(file), chunk('data', first), chunk('LIST', Buffer.from('INFO')), chunk('data', second));
}

const withHalf = (file: Buffer): Buffer => riff(formatOf(file), chunk('data', join(samplesOf(file), Buffer.from([7]))));

function withChunks(file: Buffer): Buffer {
  const odd = ['_PMX', '.smp', '3DIM', '(c) '].map((name) => chunk(name, Buffer.alloc(30, 0x99)));
  return riff(...odd, formatOf(file), ...odd, chunk('data', samplesOf(file)), ...odd);
}

/** WAVEFORMATEXTENSIBLE of 32 bit, of which the upper 24 are valid. */
function inMoreBits(file: Buffer): Buffer {
  const samples = samplesOf(file);
  const wide = Buffer.alloc(samples.length * 2);
  for (let at = 0; at < samples.length; at += 2) samples.copy(wide, at * 2 + 2, at, at + 2);
  const format = Buffer.from('feff010000000000000000000400200016001800040000000100000000001000800000aa00389b71', 'hex');
  format.writeUInt16LE(0xfffe, 0);
  format.writeUInt32LE(16_000, 4);
  format.writeUInt32LE(64_000, 8);
  return riff(chunk('fmt ', format), chunk('data', wide));
}

function withFrameBytes(file: Buffer, frameBytes: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt16LE(frameBytes, copy.indexOf('fmt ', 12, 'latin1') + 20);
  return copy;
}

const GOOD: Readonly<Record<string, Buffer>> = {
  'a WAV as it is': WAV,
  'a WAV that announces 2,000,000,000 bytes (pocket-tts#229)': withDataSize(WAV, () => 2_000_000_000),
  'a WAV that announces 44 bytes more than it has (record#96)': withDataSize(wavOf(WAV), (size) => size + 44),
  'a WAV that announces what RIFF announces': withDataSize(wavOf(WAV), (size) => size + 36),
  'a WAV that announces nothing': withDataSize(WAV, () => 0),
  'a WAV with text behind it': join(WAV, TEXT),
  'a WAV with an ID3v1 tag behind it': join(WAV, ID3V1),
  'a WAV with zeros behind it': join(WAV, ZEROS),
  'a WAV behind an ID3v2 tag': join(id3(300), WAV),
  'a WAV whose sound lies in two chunks': inTwoChunks(WAV),
  'a WAV with half a sample behind its last one': withHalf(WAV),
  'a WAV of no size with half a sample behind its last one': withDataSize(withHalf(WAV), () => 0),
  'a WAV with chunks of odd names around its sound': withChunks(WAV),
  'a WAV of 24 bit in 32': inMoreBits(WAV),
  'a WAV that tells half the size of a frame': withFrameBytes(WAV, 1),
  'G.722 in WAV': await made('-c:a', 'g722', '-f', 'wav'),
  'G.722 in WAV by its other number': withTag(await made('-c:a', 'g722', '-f', 'wav'), 0x65),
  'ALAC in M4A': M4A,
  'MP3 with two ID3v2 tags (getID3#209)': join(id3(200), id3(5000), MP3),
  'MP3 with zeros behind its ID3v2 tag': join(id3(200), ZEROS, MP3),
  'MP3 with an ID3v2 tag of 300 kB': join(id3(300_000, 0x7f), MP3),
  'MP3 with junk in front (mmmagic#35)': join(junk(1500), MP3),
  'MP3 with 20 kB of junk in front': join(junk(20_000), MP3),
  'MP3 with an ID3v1 tag behind it': join(MP3, ID3V1),
  'MP3 with an APEv2 tag behind it': join(MP3, ape(true)),
  'MP3 with an APEv2 tag without header behind it': join(MP3, ape(false)),
  'MP3 with APEv2 and ID3v1 behind it': join(TAGGED, ape(true), ID3V1),
  'MP3 with text behind it': join(MP3, TEXT),
  'MP3 with zeros behind it': join(MP3, ZEROS),
  'AAC behind an ID3v2 tag': join(id3(400), ADTS),
  'AAC behind an ID3v2 tag of 100 kB': join(id3(100_000), ADTS),
  'AAC with an ID3v1 tag behind it': join(ADTS, ID3V1),
  'FLAC behind an ID3v2 tag': join(id3(333), FLAC),
  'FLAC behind an ID3v2 tag of 100 kB': join(id3(100_000), FLAC),
  'FLAC with an ID3v1 tag behind it': join(FLAC, ID3V1),
  'MP4 with text behind it (cordova-plugin-background-upload#86)': join(MP4, TEXT),
  'MP4 with CR LF behind it (node-httpreq#13)': join(MP4, CRLF),
  'MP4 with zeros behind it': join(MP4, ZEROS),
  'MP4 with an unknown box behind it': join(MP4, boxOf('beam', Buffer.alloc(50))),
  'MP4 with its index in front and text behind it': join(
    await inFile('b.mp4', '-c:a', 'aac', '-movflags', '+faststart'),
    TEXT,
  ),
  'fragmented MP4 with CR LF behind it': join(FRAGMENTED, CRLF),
  'fragmented MP4 that begins at 3600 s': await made(
    '-c:a',
    'aac',
    '-output_ts_offset',
    '3600',
    '-frag_duration',
    '500000',
    '-movflags',
    'empty_moov',
    '-f',
    'mp4',
  ),
  'Matroska with text behind it': join(MATROSKA, TEXT),
  'Matroska without sizes, with text behind it': join(PIPED, TEXT),
  'Matroska that begins at 3600 s': await inFile('b.mkv', '-c:a', 'pcm_s16le', '-output_ts_offset', '3600'),
  'Matroska without sizes that begins at 3600 s': await made(
    '-c:a',
    'pcm_s16le',
    '-output_ts_offset',
    '3600',
    '-f',
    'matroska',
  ),
};

/** Without the chunks that ffmpeg puts in front of the sound. */
function wavOf(file: Buffer): Buffer {
  const samples = file.subarray(file.indexOf('data', 12, 'latin1') + 8);
  return join(wav(0, { sampleRate: 16_000, declaredBytes: samples.length }), samples);
}

for (const [what, file] of Object.entries(GOOD)) {
  test(`${what}: archived whole`, HANG, async () => {
    const made_ = await archived([file]);
    const [sound = new Float32Array()] = await hear(made_.file, made_.result.channels);
    const heard = stretchesOf(sound);
    assert.equal(heard.length, 2, JSON.stringify(heard));
    const lateS = heard[0]?.[0] ?? 0;
    assert.ok(lateS < LATE_S, `begins at ${String(lateS)} s`);
    for (const [index, [from, to]] of HEARD.entries()) {
      const [a = 0, b = 0] = heard[index] ?? [];
      assert.ok(Math.abs(a - lateS - from) < 0.02 && Math.abs(b - lateS - to) < 0.03, JSON.stringify(heard));
    }
    assert.ok(Math.abs(decibels(amplitudeOf(sound, 440, [lateS + 0.1, lateS + 0.9]) / 0.3)) < 0.6);
    assert.ok(sound.length / HEARD_RATE < 3.2, String(sound.length / HEARD_RATE));
  });
}

test('MP3s behind each other, with tags between them, play one after the other', HANG, async () => {
  for (const file of [
    join(MP3, MP3),
    join(TAGGED, TAGGED),
    join(MP3, ID3V1, id3(500), MP3),
    join(TAGGED, ape(true), TAGGED),
  ]) {
    const { file: webm, result } = await archived([file]);
    const [sound = new Float32Array()] = await hear(webm, result.channels);
    assert.equal(stretchesOf(sound).length, 4);
    assert.ok(Math.abs(sound.length / HEARD_RATE - 6) < 0.3, String(sound.length / HEARD_RATE));
  }
});

test('WAVs behind each other play one after the other', HANG, async () => {
  const { file, result } = await archived([join(WAV, WAV)]);
  const [sound = new Float32Array()] = await hear(file, result.channels);
  assert.equal(stretchesOf(sound).length, 3);
  assert.ok(Math.abs(sound.length / HEARD_RATE - 6) < 0.02);
});

/** Whole, then cut at its end by ffmpeg: 3 s and 2 s with the same pause in each. */
const documents = (...args: readonly string[]): readonly (() => Promise<Buffer>)[] => [
  () => inFile('a.mkv', ...args),
  () => made(...args, '-f', 'matroska'),
];

for (const [codec, args] of Object.entries({
  PCM: ['-c:a', 'pcm_s16le'],
  AAC: ['-c:a', 'aac', '-b:a', '96k'],
  FLAC: ['-c:a', 'flac'],
})) {
  test(`(D3) Matroska of ${codec} one behind the other, with sizes and without: all play in order`, HANG, async () => {
    const halves = [...documents(...args), ...documents(...args, '-output_ts_offset', '3600')];
    for (const [index, first] of halves.entries()) {
      const second = halves[(index + 1) % halves.length] ?? first;
      const { file, result } = await archived([join(await first(), await second())]);
      const [sound = new Float32Array()] = await hear(file, result.channels);
      const heard = stretchesOf(sound).map((stretch) => stretch.map((at) => Number(at.toFixed(2))));
      assert.ok(
        Math.abs(sound.length / HEARD_RATE - 6) < 0.15,
        `${codec} ${String(index)}: ${String(sound.length / HEARD_RATE)} s`,
      );
      const begins = heard.map(([from]) => from ?? 0);
      for (const due of [1.5, 4.5])
        assert.ok(
          begins.some((from) => from > due - 0.02 && from < due + LATE_S),
          `${codec} ${String(index)}: ${JSON.stringify(heard)}`,
        );
    }
  });
}

test('(D3) a second Matroska of other tracks, and one that is cut, are refused', HANG, async () => {
  const stereo = await inFile('a.mkv', '-c:a', 'pcm_s16le', '-ac', '2');
  await assert.rejects(archived([join(MATROSKA, stereo)]), {
    code: 'unsupported-media',
    message: /A second Matroska document, of other tracks or times/,
  });
  const cut = MATROSKA.subarray(0, Math.floor(MATROSKA.length * 0.7));
  for (const file of [join(MATROSKA, cut), join(cut, MATROSKA)]) {
    await assert.rejects(archived([file]), { code: /incomplete|unreadable-media/ }, String(file.length));
  }
});

test('(C11) media that is called compressed and is not is archived; what is compressed waits', HANG, async () => {
  const opus = await made('-c:a', 'libopus', '-f', 'ogg');
  for (const file of [WAV, MP3, MP4, MATROSKA, opus])
    assert.notEqual((await archived([file], { isCalledCompressed: true })).result.packets, 0);
  for (const file of [gzipSync(WAV), deflateSync(MP4), brotliCompressSync(opus)]) {
    const failure = await failureOf(archived([file], { isCalledCompressed: true }));
    assert.deepEqual([failure.code, failure.sort], ['upstream-error', 'surroundings']);
  }
});

test('what a WAV announces beyond what is there is settled by Genesys', HANG, async () => {
  const wrong = withDataSize(WAV, (size) => size * 3);
  const { result } = await archived([wrong], { seconds: 3 });
  assert.match(result.note ?? '', /its header announces \d+ bytes of sound more than there are/);
  for (const seconds of [undefined, 2.5, 9]) {
    await assert.rejects(archived([wrong], { seconds }), { code: 'incomplete' }, String(seconds));
  }
});

test(
  'what begins behind the sound of a WAV and is longer than the file is no chunk: the sound may go on there',
  HANG,
  async () => {
    const long = withDataSize(join(WAV, Buffer.from('wave'), Buffer.alloc(4, 1)), (size) => size);
    await assert.rejects(archived([join(long, Buffer.alloc(500, 0x99))]), { code: 'incomplete' });
  },
);

test('a WAV of two channels in a codec of one is refused by its name', HANG, async () => {
  const copy = Buffer.from(GOOD['G.722 in WAV'] ?? Buffer.alloc(0));
  copy.writeUInt16LE(2, copy.indexOf('fmt ', 12, 'latin1') + 10);
  await assert.rejects(archived([copy]), { code: 'unsupported-media', message: /g\.722 of 2 channels/ });
});

/** The frames of {@link MP3}, which have one size and one header, behind one that counts them. */
function withVbri(frames: number): Buffer {
  const head = Buffer.concat([MP3.subarray(0, 4), Buffer.alloc(MP3.indexOf(MP3.subarray(0, 2), 4) - 4)]);
  head.write('VBRI\0\x01', 36, 'latin1');
  head.writeUInt32BE(frames, 36 + 14);
  return join(head, MP3);
}

test('(D1) an MP3 of fewer frames than its VBRI tag counts is refused', HANG, async () => {
  const frames = MP3.length / MP3.indexOf(MP3.subarray(0, 2), 4);
  assert.ok((await archived([withVbri(frames)])).result.durationMs > 3000);
  await assert.rejects(archived([withVbri(frames * 2)]), { code: 'incomplete', message: /frames early/ });
});

test('two voices of another tool are told by their number, not by a mask', HANG, async () => {
  const { result } = await archived([
    voicesWav({
      voices: [
        [0.2, 400],
        [0.2, 600],
      ],
      mask: 0x30,
      seconds: 0.5,
    }),
  ]);
  assert.equal(result.channels, 2);
});
