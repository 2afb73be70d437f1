/** Ogg Opus that has to be encoded (chained, of several gains, beside another file): every link in step and at its own level. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { levelPackets, levelTrack } from '../../src/media/flac-level.ts';
import { WebmWriter } from '../../src/media/webm/writer.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { amplitudeOf, clippedShare, decibels, hear, stretchesOf } from '../support/media/hear.ts';
import { archived } from '../support/media/made.ts';
import { pagesOf, sealed } from '../support/media/ogg-write.ts';

const HANG = { timeout: 400_000 };
const AMPLITUDE = 0.3;

interface LinkWish {
  readonly hertz: number;
  readonly seconds?: number;
  readonly gainDb?: number;
  readonly stereo?: true;
  readonly codec?: readonly string[];
}

const refusal = (message: RegExp): { code: string; message: RegExp } => ({ code: 'unsupported-media', message });

let serial = 0;

/** One link: a tone, on both sides where it is stereo, whose header asks for a gain. */
async function link({
  hertz,
  seconds = 1,
  gainDb = 0,
  stereo,
  codec = ['libopus', '-b:a', '48k'],
}: LinkWish): Promise<Buffer> {
  const tone = `${String(AMPLITUDE)}*sin(2*PI*${String(hertz)}*t)`;
  const sound = `aevalsrc='${stereo === true ? `${tone}|${tone}` : tone}':s=48000:d=${String(seconds)}`;
  const file = await ffmpeg('-f', 'lavfi', '-i', sound, '-c:a', ...codec, '-f', 'ogg', 'pipe:1');
  serial += 1;
  const pages = pagesOf(file).map((page) => {
    page.writeUInt32LE(serial, 14);
    const head = page.indexOf('OpusHead');
    if (head >= 0) page.writeInt16LE(Math.round(gainDb * 256), head + 16);
    return sealed(page);
  });
  return Buffer.concat(pages);
}

const chain = async (...links: readonly LinkWish[]): Promise<Buffer> =>
  Buffer.concat(await Promise.all(links.map(link)));

/** A leg of many short links, each at another level. */
const stairs = Array.from({ length: 12 }, (_, step): LinkWish => ({ hertz: 500, seconds: 0.5, gainDb: -2 * step }));

interface Heard {
  readonly at: number;
  readonly hertz: number;
  readonly gainDb: number;
}

const heardOf = (links: readonly LinkWish[]): readonly Heard[] => {
  let end = 0;
  return links.map(({ hertz, seconds = 1, gainDb = 0 }) => {
    end += seconds;
    return { at: end - seconds, hertz, gainDb };
  });
};

const LEGS: Readonly<Record<string, readonly (readonly LinkWish[])[]>> = {
  'a second link 12 dB softer (MPD#957)': [[{ hertz: 440 }, { hertz: 440, gainDb: -12 }]],
  'a second link 6 dB louder': [[{ hertz: 440 }, { hertz: 700, gainDb: 6 }]],
  'links that get softer and louder again': [
    [{ hertz: 440, gainDb: -6 }, { hertz: 700, gainDb: 3.5 }, { hertz: 440, gainDb: -20 }, { hertz: 900 }],
  ],
  'twelve links, each of another gain': [stairs],
  'stereo, and mono behind it': [
    [
      { hertz: 440, stereo: true },
      { hertz: 700, gainDb: -9 },
    ],
  ],
  'two legs, the first of which is chained': [
    [{ hertz: 440 }, { hertz: 440, gainDb: -12 }],
    [{ hertz: 700, seconds: 3 }],
  ],
  'two legs that are chained both': [
    [{ hertz: 440 }, { hertz: 500, gainDb: -6 }],
    [
      { hertz: 700, seconds: 0.5, gainDb: 4 },
      { hertz: 900, seconds: 2.1, gainDb: -10 },
    ],
  ],
  'a leg beside FLAC': [[{ hertz: 440 }, { hertz: 440, gainDb: -12 }], [{ hertz: 700, codec: ['flac'], seconds: 2 }]],
};

for (const [what, legs] of Object.entries(LEGS)) {
  test(`(D10) ${what}: each is heard when it was recorded, at the level that its header asks for`, HANG, async () => {
    const made = await archived(await Promise.all(legs.map((links) => chain(...links))));
    assert.equal(made.way, 'encode-audio');
    const sides = await hear(made.file, made.result.channels);
    for (const [side, links] of legs.entries()) {
      const sound = sides[side] ?? assert.fail('a side is missing');
      for (const { at, hertz, gainDb } of heardOf(links)) {
        const apart = decibels(amplitudeOf(sound, hertz, [at + 0.1, at + 0.4]) / AMPLITUDE) - gainDb;
        assert.ok(Math.abs(apart) < 0.5, `${String(hertz)} Hz at ${String(at)} s: ${apart.toFixed(2)} dB`);
      }
      const [first = [NaN, NaN]] = stretchesOf(sound);
      const endS = links.reduce((sum, { seconds = 1 }) => sum + seconds, 0);
      if (what !== 'twelve links, each of another gain')
        assert.ok(first[0] < 0.02 && Math.abs(first[1] - endS) < 0.02, JSON.stringify(stretchesOf(sound)));
    }
  });
}

test('(D10) a link that its gain would lift above full scale does not clip', HANG, async () => {
  const made = await archived([await chain({ hertz: 440 }, { hertz: 440, gainDb: 15 })]);
  const [sound = new Float32Array()] = await hear(made.file, 1);
  // Of a louder tone more than half would be; one of 96,000 is where ffmpeg 9 rounds.
  assert.ok(clippedShare(sound) < 0.0001);
  assert.ok(amplitudeOf(sound, 440, [1.2, 1.8]) > 0.85);
});

test('(D10) what one decoder cannot play is refused by name', HANG, async () => {
  const refused: readonly (readonly [string, Buffer, RegExp])[] = [
    [
      'stereo behind mono',
      await chain({ hertz: 440 }, { hertz: 440, stereo: true }),
      /chains streams of different channels/,
    ],
    ['Vorbis behind it', await chain({ hertz: 440 }, { hertz: 440, codec: ['libvorbis'] }), /other than Opus/],
    [
      'Opus behind Vorbis',
      await chain({ hertz: 440, codec: ['libvorbis'] }, { hertz: 440 }),
      /chains vorbis .* and opus/,
    ],
    ['a gain of 90 dB', await chain({ hertz: 440 }, { hertz: 440, gainDb: 90 }), /a gain of 90\.0 dB/],
  ];
  for (const [what, file, text] of refused) {
    await assert.rejects(archived([file]), refusal(text), what);
  }
});

test('(D7) a chained leg of another codec beside a second file is refused, not laid over itself', HANG, async () => {
  for (const codec of [['libvorbis'], ['flac']]) {
    const chained = await chain({ hertz: 440, codec }, { hertz: 700, codec });
    const other = await chain({ hertz: 900, codec, seconds: 5 });
    await assert.rejects(archived([chained, other]), refusal(/whose times cannot be told/));
    await assert.rejects(archived([other, chained]), refusal(/whose times cannot be told/));
    assert.equal((await archived([chained])).way, 'encode-audio');
  }
});

test('a level is FLAC that another decoder reads, to the sample and to 0.01 dB', HANG, async () => {
  for (const channels of [1, 2]) {
    const writer = new WebmWriter([levelTrack(channels)]);
    const spans = [
      { start: 0, samples: 7, gainDb: 0 },
      { start: 7, samples: 200_001, gainDb: -12 },
      { start: 200_008, samples: 48_000, gainDb: 47.9 },
      { start: 248_008, samples: 65_535, gainDb: -40 },
      { start: 3_000_000_000, samples: 120, gainDb: 6 },
    ];
    const packets = spans.flatMap((span) => [...levelPackets(span, { track: 0, channels })]);
    const bytes = [...writer.add(packets), ...writer.end()];
    await withFile('level.mkv', async (path) => {
      await writeFile(path, Buffer.concat([writer.result().head, ...bytes]));
      const strict = ['-err_detect', 'crccheck+bitstream+buffer+explode', '-xerror'];
      const raw = await ffmpeg(...strict, '-i', path, '-f', 'f32le', '-af', 'asetpts=N/SR/TB', 'pipe:1');
      const values = new Float32Array(new Uint8Array(raw).buffer);
      const told = spans.reduce((sum, { samples }) => sum + samples, 0);
      assert.equal(values.length, told * channels);
      let at = 0;
      for (const { samples, gainDb } of spans) {
        for (const value of [values[at * channels], values[(at + samples) * channels - 1]])
          assert.ok(Math.abs(decibels(value ?? 0) - (gainDb - 48)) < 0.01, `${String(gainDb)} dB`);
        at += samples;
      }
    });
  }
});
