/** Every voice is heard at its level, whatever the channels and tracks it comes in: judged by what libopus decodes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archived } from '../../support/media/made.ts';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { amplitudeOf, decibels, hear, clippedShare } from '../../support/media/hear.ts';
import { voicesWav, type Voices } from '../../support/media/wav.ts';

const HANG = { timeout: 400_000 };
const MIDDLE = [0.2, 0.9] as const;
const SLACK_DB = 0.5;

/** Of the encoder's bands, apart from each other. */
const hertzOf = (channel: number): number => 300 + 140 * channel;

async function heard(...files: readonly Buffer[]): Promise<readonly Float32Array[]> {
  const { file, result } = await archived(files);
  return hear(file, result.channels);
}

function assertLevel(
  sound: Float32Array | undefined,
  [amplitude, hertz]: readonly [number, number],
  what: string,
  slackDb = SLACK_DB,
): void {
  const apart = decibels(amplitudeOf(sound ?? new Float32Array(), hertz, MIDDLE) / amplitude);
  assert.ok(Math.abs(apart) <= slackDb, `${what}: ${apart.toFixed(2)} dB`);
}

const quiet = (channels: number): readonly (readonly [number, number])[] =>
  Array.from({ length: channels }, (_, channel) => [0, hertzOf(channel)] as const);

/** One voice, on one channel of several. */
function lonely(channels: number, channel: number, mask?: number): Voices {
  const voices = quiet(channels).with(channel, [0.25, hertzOf(channel)]);
  return mask === undefined ? { voices } : { voices, mask };
}

// ── channels of one file ────────────────────────────────────────────────────────────────────────────────────────

for (const channels of [1, 2, 3, 4, 5, 6, 7, 8, 12]) {
  test(`(D5) ${String(channels)} channels: a voice on any one of them keeps its level`, HANG, async () => {
    for (const channel of new Set([0, 3, channels - 1].filter((each) => each < channels))) {
      const sound = await heard(voicesWav(lonely(channels, channel)));
      assert.equal(sound.length, channels === 1 ? 1 : 2);
      assertLevel(sound[channel % 2], [0.25, hertzOf(channel)], `channel ${String(channel)}`);
    }
  });
}

/** Left, right, centre, low frequencies, back, sides, top …: what a mask calls the channels. */
const MASKS: readonly (readonly [channels: number, mask: number, what: string])[] = [
  [1, 0x1, 'left (D9)'],
  [1, 0x2, 'right (D9)'],
  [1, 0x8, 'low frequencies'],
  [1, 0x10, 'back left'],
  [2, 0x30, 'back left and right'],
  [2, 0x600, 'side left and right'],
  [2, 0xc, 'centre and low frequencies'],
  [2, 0x5, 'left and centre'],
  [2, 0x7, 'one more than there are'],
  [3, 0x107, 'a back centre in place of one'],
  [4, 0x33, 'quadraphonic'],
  [6, 0x3f, '5.1'],
  [6, 0x60f, '5.1 with sides'],
  [6, 0x3f000, 'all at the top'],
  [8, 0x63f, '7.1'],
];

for (const [channels, mask, what] of MASKS) {
  test(`(D5) a mask of ${what}: every channel keeps its level`, HANG, async () => {
    const voices = Array.from({ length: channels }, (_, channel) => [0.1, hertzOf(channel)] as const);
    const sound = await heard(voicesWav({ voices, mask }));
    for (const [channel, [amplitude, hertz]] of voices.entries())
      assertLevel(sound[channel % sound.length], [amplitude, hertz], `channel ${String(channel)}`);
  });
}

test('(D5) eight loud voices at once do not clip', HANG, async () => {
  const voices = Array.from({ length: 8 }, (_, channel) => [0.9, hertzOf(channel)] as const);
  for (const sound of await heard(voicesWav({ voices })))
    assert.ok(clippedShare(sound) < 0.03, String(clippedShare(sound)));
});

const RATES = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

for (const sampleRate of RATES) {
  test(`at ${String(sampleRate)} Hz two voices keep their level and their side`, HANG, async () => {
    const voices = [[0.4, 500] as const, [0.2, 700] as const];
    const sound = await heard(voicesWav({ voices, sampleRate }));
    assertLevel(sound[0], [0.4, 500], 'left');
    assertLevel(sound[1], [0.2, 700], 'right');
    assert.ok(decibels(amplitudeOf(sound[1] ?? new Float32Array(), 500, MIDDLE) / 0.4) < -30);
  });
}

const CODECS: readonly (readonly [codec: string, container: string, most: number])[] = [
  ['pcm_u8', 'wav', 8],
  ['pcm_s16le', 'wav', 8],
  ['pcm_s24le', 'wav', 8],
  ['pcm_f32le', 'wav', 8],
  ['pcm_mulaw', 'wav', 2],
  ['pcm_alaw', 'wav', 2],
  ['adpcm_ima_wav', 'wav', 2],
  ['adpcm_ms', 'wav', 2],
  ['libgsm_ms', 'wav', 1],
  ['libmp3lame', 'mp3', 2],
  ['libmp3lame', 'wav', 2],
  ['aac', 'adts', 6],
  ['flac', 'flac', 8],
  ['libvorbis', 'ogg', 6],
  ['flac', 'ogg', 2],
];

for (const [codec, container, most] of CODECS) {
  test(`${codec} in ${container}: every channel is heard at its level`, HANG, async () => {
    const rate = codec === 'libgsm_ms' ? '8000' : '16000';
    for (const channels of [1, 2, 6, 8].filter((count) => count <= most)) {
      const voices = Array.from({ length: channels }, (_, channel) => [0.15, hertzOf(channel)] as const);
      const layout = { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' }[channels] ?? '';
      const source = [
        '-f',
        'lavfi',
        '-i',
        `aevalsrc=${voices.map(([a, f]) => `${String(a)}*sin(2*PI*${String(f)}*t)`).join('|')}:c=${layout}:s=${rate}:d=1.2`,
      ];
      const file = await ffmpeg(
        ...source,
        ...(codec === 'aac' ? ['-b:a', `${String(64 * channels)}k`] : []),
        '-c:a',
        codec,
        '-f',
        container,
        'pipe:1',
      );
      const sound = await heard(file);
      for (const [channel, [amplitude, hertz]] of voices.entries()) {
        // Low frequencies are all that is left of that channel by lossy codecs.
        if (channel === 3 && channels > 4 && ['aac', 'libvorbis'].includes(codec)) continue;
        // Lame itself takes 0.45 dB off a tone.
        const slackDb = codec === 'libmp3lame' ? 1 : SLACK_DB;
        assertLevel(
          sound[channel % sound.length],
          [amplitude, hertz],
          `${String(channel)} of ${String(channels)}`,
          slackDb,
        );
      }
    }
  });
}

// ── two files ───────────────────────────────────────────────────────────────────────────────────────────────────

const stereo = (left: number, right: number, hertz: readonly [number, number] = [440, 440]): Buffer =>
  voicesWav({
    voices: [
      [left, hertz[0]],
      [right, hertz[1]],
    ],
  });

const LEGS: readonly (readonly [what: string, leg: Buffer, hertz: readonly number[], amplitude: number])[] = [
  ['mono', voicesWav({ voices: [[0.5, 440]] }), [440], 0.5],
  ['mono, called left', voicesWav({ voices: [[0.5, 440]], mask: 1 }), [440], 0.5],
  ['stereo of equal channels', stereo(0.5, 0.5), [440], 0.5],
  ['stereo of equal channels, loud', stereo(0.9, 0.9), [440], 0.9],
  ['stereo with a voice on its left alone', stereo(0.5, 0), [440], 0.5],
  ['stereo with a voice on its right alone', stereo(0, 0.5), [440], 0.5],
  ['stereo with a louder left', stereo(0.5, 0.2), [440], 0.5],
  ['stereo of two voices', stereo(0.3, 0.3, [440, 700]), [440, 700], 0.3],
  ['six channels with a voice on the fourth', voicesWav({ voices: quiet(6).with(3, [0.5, 440]) }), [440], 0.5],
];

for (const [what, leg, hertz, amplitude] of LEGS) {
  test(`(D9) a leg of a call, ${what}, keeps its level and does not clip`, HANG, async () => {
    const other = voicesWav({ voices: [[0.25, 900]] });
    for (const [files, side] of [
      [[leg, other], 0],
      [[other, leg], 1],
    ] as const) {
      const sound = await heard(...files);
      for (const each of hertz) assertLevel(sound[side], [amplitude, each], `side ${String(side)}`);
      assertLevel(sound[1 - side], [0.25, 900], 'the other');
      for (const channel of sound) assert.ok(clippedShare(channel) < 0.001, String(clippedShare(channel)));
    }
  });
}

test('(D9) a stereo leg with an inverted channel is not silence', HANG, async () => {
  const inverted = await ffmpeg(
    '-f',
    'lavfi',
    '-i',
    'aevalsrc=0.4*sin(880*PI*t)|-0.4*sin(880*PI*t):s=16000:d=1.2',
    '-f',
    'wav',
    'pipe:1',
  );
  assertLevel((await heard(inverted, voicesWav({ voices: [[0.2, 700]] })))[0], [0.4, 440], 'left');
});
