/** MP4 with edit lists: what plays is what the edits say, in their order, or it is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { withFile } from '../../support/media/files.ts';
import { amplitudeOf, hear } from '../../support/media/hear.ts';
import { archived } from '../../support/media/made.ts';
import { type Edit, withEdits } from '../../support/media/mp4-edits.ts';

/** Every second has its own tone: what is moved, doubled or left out shows. */
const HERTZ = [400, 600, 800, 1000, 1200, 1400];
const TONES = HERTZ.map(
  (hertz, second) => `sin(2*PI*${String(hertz)}*t)*between(t,${String(second)},${String(second)}.99999)`,
);
const SOUND = `aevalsrc='0.3*(${TONES.join('+')})':s=48000:d=${String(HERTZ.length)}`;

/** What the encoder of AAC puts in front. */
const PRIMING_S = 1024 / 48_000;

const plain = await withFile('plain.mp4', (path) =>
  ffmpeg('-f', 'lavfi', '-i', SOUND, '-c:a', 'aac', '-b:a', '128k', '-use_editlist', '0', path),
);

const at = (second: number): number => second + PRIMING_S;

const CASES: readonly {
  readonly what: string;
  readonly edits: readonly Edit[];
  readonly version?: 1;
  readonly heard: readonly number[];
}[] = [
  { what: 'without the priming', edits: [[6, at(0)]], heard: [0, 1, 2, 3, 4, 5] },
  { what: 'of the middle', edits: [[3, at(2)]], heard: [2, 3, 4] },
  { what: 'of the middle, with wide numbers', edits: [[2, at(3)]], version: 1, heard: [3, 4] },
  {
    what: 'of two segments',
    edits: [
      [2, at(0)],
      [2, at(4)],
    ],
    heard: [0, 1, 4, 5],
  },
  {
    what: 'of a segment that comes twice',
    edits: [
      [2, at(1)],
      [2, at(1)],
    ],
    heard: [1, 2, 1, 2],
  },
  {
    what: 'behind a pause',
    edits: [
      [1, undefined],
      [2, at(3)],
    ],
    heard: [3, 4],
  },
  {
    what: 'behind two pauses',
    edits: [
      [0.5, undefined],
      [0.75, undefined],
      [6, at(0)],
    ],
    heard: [0, 1, 2, 3, 4, 5],
  },
  { what: 'that is longer than the media', edits: [[9, at(0)]], heard: [0, 1, 2, 3, 4, 5] },
];

for (const { what, edits, version, heard } of CASES) {
  test(`(D8) an edit list ${what} is played as it says`, async () => {
    const { file, result } = await archived([withEdits(plain, edits, version)]);
    const [sound = new Float32Array()] = await hear(file, result.channels);
    assert.ok(Math.abs(result.durationMs / 1000 - heard.length) < 0.05, String(result.durationMs));
    for (const [second, toneAt] of heard.entries()) {
      const hertz = HERTZ[toneAt] ?? 0;
      // Between two edits a frame of AAC that neither wants whole may come late by as much.
      const amplitude = amplitudeOf(sound, hertz, [second + 0.1, second + 0.9]);
      assert.ok(
        Math.abs(20 * Math.log10(amplitude / 0.3)) < 0.5,
        `second ${String(second)}: ${amplitude.toFixed(3)} of ${String(hertz)} Hz`,
      );
    }
  });
}

for (const [what, edits] of [
  [
    'between two segments',
    [
      [1, at(0)],
      [1, undefined],
      [2, at(3)],
    ],
  ],
  [
    'behind the last',
    [
      [2, at(1)],
      [2, undefined],
    ],
  ],
] as const satisfies readonly (readonly [string, readonly Edit[]])[]) {
  test(`(D8) an edit list with a pause ${what} is refused with its byte: ffmpeg would play some of the sound twice`, async () => {
    await assert.rejects(archived([withEdits(plain, edits)]), {
      code: 'unsupported-media',
      message: /elst.* at byte \d+ has a pause/,
    });
  });
}

test('(D8) an edit list that goes back, which a stream cannot, is refused and not played short', async () => {
  const turned: readonly Edit[] = [
    [2, at(4)],
    [1, at(1)],
  ];
  await assert.rejects(archived([withEdits(plain, turned)]), { code: 'incomplete', message: /ends at 2\.\d+ s, but/ });
});
