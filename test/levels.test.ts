/** The bytes of levels.bin, and what a list shows of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from './support/generated.ts';
import {
  encodeLevels,
  levelFactsOf,
  type Levels,
  parseLevels,
  PICTURE_COLUMNS,
  type SpeechSpan,
} from '../src/levels.ts';
import { SEED } from './support/soak.ts';

/** Some tenths of seconds of one or two channels, with spans of speech anywhere. */
function anyLevels(): fc.Arbitrary<Levels> {
  const shape = fc.record({ length: fc.nat(400), count: fc.integer({ min: 0, max: 2 }), cuts: fc.array(fc.nat(400)) });
  return shape.map(({ length, count, cuts }) => ({
    channels: Array.from({ length: count }, (_, channel) => ({
      values: Uint8Array.from({ length }, (_value, at) => (at * 37 + channel * 11) & 255),
      speech: spansBetween(cuts.map((cut) => (cut + channel * 3) % (length + 1))),
    })),
  }));
}

function spansBetween(cuts: readonly number[]): readonly SpeechSpan[] {
  const sorted = [...new Set(cuts)].toSorted((a, b) => a - b);
  return sorted.flatMap((start, index) => {
    const end = sorted[index + 1];
    return index % 2 === 0 && end !== undefined ? [{ start, end }] : [];
  });
}

test('what was written is read again, and lies as the layout says', () => {
  fc.assert(
    fc.property(anyLevels(), (levels) => {
      const bytes = encodeLevels(levels);
      assert.deepEqual(parseLevels(bytes), levels);
      assert.equal(Buffer.from(bytes.subarray(0, 4)).toString(), 'LVLS');
      assert.equal(bytes[5], levels.channels.length);
      const spans = levels.channels.flatMap(({ speech }) => speech).length;
      const values = levels.channels.reduce((sum, each) => sum + each.values.length, 0);
      assert.equal(bytes.length, 20 + 8 * spans + values);
    }),
    { numRuns: 200, seed: SEED },
  );
});

test('levels.bin is read byte for byte as version 1 is written down', () => {
  const bytes = Buffer.from(
    [
      '4c564c53',
      '01',
      '02',
      '0a00',
      '04000000',
      '01000000',
      '00000000',
      '0100000003000000',
      '00c8ff01',
      '00000000',
    ].join(''),
    'hex',
  );
  const levels = parseLevels(bytes);
  assert.deepEqual(levels, {
    channels: [
      { values: Buffer.from([0, 200, 255, 1]), speech: [{ start: 1, end: 3 }] },
      { values: Buffer.alloc(4), speech: [] },
    ],
  });
  assert.deepEqual(Buffer.from(encodeLevels(levels ?? { channels: [] })), bytes);
});

test('what is cut, padded, of another version or not levels at all is told apart, and nothing throws', () => {
  const levels = { channels: [{ values: new Uint8Array(50).fill(9), speech: [{ start: 3, end: 8 }] }] };
  const bytes = encodeLevels(levels);
  for (let end = 0; end < bytes.length; end += 1) assert.equal(parseLevels(bytes.subarray(0, end)), undefined);
  assert.equal(parseLevels(Buffer.concat([bytes, Buffer.alloc(1)])), undefined);
  for (const [at, value] of [
    [0, 0x4d],
    [4, 2],
    [5, 3],
    [6, 20],
    [8, 0xff],
    [12, 2],
    [15, 0xff],
    [16, 1],
    [20, 8],
    [24, 51],
    [24, 3],
  ] as const) {
    const changed = Uint8Array.from(bytes);
    changed[at] = value;
    assert.equal(parseLevels(changed), undefined, `byte ${String(at)}`);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
      parseLevels(noise);
      parseLevels(Buffer.concat([bytes.subarray(0, 12), noise]));
    }),
    { numRuns: 500, seed: SEED },
  );
});

function channel(
  length: number,
  level: number,
  ...spans: readonly (readonly [number, number])[]
): Levels['channels'][0] {
  const values = new Uint8Array(length);
  for (const [start, end] of spans) values.fill(level, start, end);
  return { values, speech: spans.map(([start, end]) => ({ start, end })) };
}

test('the figures are those of the spans: each side, both at once, nobody, and the longest of that', () => {
  const facts = levelFactsOf({
    channels: [channel(560, 200, [0, 100], [300, 340]), channel(560, 180, [90, 150], [350, 400])],
  });
  assert.deepEqual(
    { ...facts, picture: undefined },
    { picture: undefined, speakingS: [14, 11], bothS: 1, silentS: 32, longestSilenceS: 16 },
  );
});

test('the picture has 28 columns, high where much is said and loudly, empty where nothing is', () => {
  const [left = '', right = ''] = levelFactsOf({
    channels: [channel(560, 200, [0, 280]), channel(560, 180, [280, 290], [300, 560])],
  }).picture;
  assert.match(left, /^f{14}0{14}$/);
  assert.match(right, /^0{14}[1-9a-e]f{13}$/);
});

test('a recording of no time, or of less than a column a tenth, has a picture as well', () => {
  assert.deepEqual(levelFactsOf({ channels: [] }), {
    picture: [],
    speakingS: [],
    bothS: 0,
    silentS: 0,
    longestSilenceS: 0,
  });
  for (const length of [0, 1, 5, 27, 28, 29]) {
    const { picture } = levelFactsOf({
      channels: [channel(length, 100, ...(length > 1 ? [[0, length] as const] : []))],
    });
    assert.equal(picture[0]?.length, PICTURE_COLUMNS);
  }
});
