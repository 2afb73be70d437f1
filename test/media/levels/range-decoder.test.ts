/** The symbols of a frame, read again as they were written by an encoder of another make. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { OpusLevel } from '../../../src/media/levels/opus-level.ts';
import { RangeDecoder } from '../../../src/media/levels/range-decoder.ts';
import { RangeEncoder } from '../../support/media/range-encoder.ts';
import { SEED } from '../../support/soak.ts';

type Written = (encoder: RangeEncoder) => (decoder: RangeDecoder) => void;

const TABLES = [
  [224, 112, 44, 15, 3, 2, 1, 0],
  [250, 245, 234, 203, 71, 50, 42, 38, 0],
  [230, 0],
  [255, 252, 226, 155, 61, 11, 2, 0],
];

const bits = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 15 })).map(([isSet, power]): Written => (encoder) => {
  encoder.bit(isSet, power);
  return (decoder) => assert.equal(decoder.bit(power), isSet);
});
const symbols = fc.tuple(fc.constantFrom(...TABLES), fc.nat(8)).map(([table, wanted]): Written => (encoder) => {
  const symbol = Math.min(wanted, table.length - 1);
  encoder.symbol(symbol, table);
  return (decoder) => assert.equal(decoder.symbol(Uint8Array.from(table)), symbol);
});
const numbers = fc.tuple(fc.integer({ min: 2, max: 256 }), fc.nat(255)).map(([count, wanted]): Written => (encoder) => {
  encoder.uniform(wanted % count, count);
  return (decoder) => assert.equal(decoder.uniform(count), wanted % count);
});
const far = fc.integer({ min: -400, max: 400 });
const near = fc.integer({ min: -6, max: 6 });
const steps = fc.tuple(fc.oneof(near, far), fc.integer({ min: 21, max: 190 }), fc.integer({ min: 6, max: 179 }));
const energies = fc.array(steps, { minLength: 1, maxLength: 26 }).map((list): Written => (encoder) => {
  const written = list.map(([wanted, none, decay]) => encoder.laplace(wanted, none << 7, decay << 6));
  const model = Int32Array.from(list, ([, none, decay]) => (none << 23) | (decay << 6));
  return (decoder) => {
    const found = new Int32Array(list.length);
    assert.equal(decoder.steps(model, 1e6, found), list.length);
    assert.deepEqual([...found], written);
  };
});

test('whatever was written is read again, in any order', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(bits, symbols, numbers, energies), { minLength: 1, maxLength: 60 }), (list) => {
      const encoder = new RangeEncoder();
      const reads = list.map((write) => write(encoder));
      const bytes = encoder.bytes();
      const decoder = new RangeDecoder();
      decoder.begin(Uint8Array.from([7, ...bytes, 9]), 1, bytes.length + 1);
      for (const read of reads) read(decoder);
      assert.ok(decoder.tell <= bytes.length * 8);
    }),
    { numRuns: 600, seed: SEED },
  );
});

test('steps of energy are read as long as 15 bits are left of the frame, and none of what is behind them', () => {
  const model = new Int32Array(26).fill((72 << 23) | (127 << 6));
  const bytes = Uint8Array.from({ length: 40 }, (_, index) => (index * 151 + 89) & 255);
  const all = new Int32Array(26);
  const decoder = new RangeDecoder();
  decoder.begin(bytes, 0, bytes.length);
  assert.equal(decoder.steps(model, 8 * bytes.length, all), 26);
  for (let bits = 0; bits < 80; bits += 1) {
    const some = new Int32Array(26);
    decoder.begin(bytes, 0, bytes.length);
    const count = decoder.steps(model, bits, some);
    assert.ok(count === 26 || bits - decoder.tell < 15);
    assert.deepEqual([...some], [...all.subarray(0, count), ...new Int32Array(26 - count)]);
    if (count > 0) {
      decoder.begin(bytes, 0, bytes.length);
      decoder.steps(model.subarray(0, count - 1), bits, some);
      assert.ok(bits - decoder.tell >= 15);
    }
  }
});

test('bits from the end come last byte first, lowest bit first, and are zeros in front of the beginning', () => {
  const decoder = new RangeDecoder();
  decoder.begin(Uint8Array.of(0xff, 0b1010_0110, 0b0101_1100, 0xff), 1, 3);
  assert.deepEqual([decoder.raw(3), decoder.raw(7), decoder.raw(6), decoder.raw(5)], [0b100, 0b100_1011, 0b101001, 0]);
});

const HIGH = [255, 252, 226, 155, 61, 11, 2, 0];
const LOW = [224, 192, 160, 128, 96, 64, 32, 0];
const STEP = [
  250, 245, 234, 203, 71, 50, 42, 38, 35, 33, 31, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13,
  12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
];

/** A frame of SILK of 20 ms in which somebody speaks, voiced, at a gain; then steps of it. */
function speaking(gain: number, ...steps: readonly number[]): Uint8Array {
  const encoder = new RangeEncoder().bit(true, 1).bit(false, 1).symbol(2, [232, 158, 10, 0]);
  encoder.symbol(gain >> 3, HIGH).symbol(gain & 7, LOW);
  for (const step of steps) encoder.symbol(step + 4, STEP);
  // What follows is not read.
  return Uint8Array.from([...encoder.bytes(), 1, 2, 3]);
}

function levelOf(...frames: readonly Uint8Array[]): number {
  const level = new OpusLevel();
  level.begin(0x48);
  for (const frame of frames) level.read(frame, 0, frame.length);
  return level.left;
}

const still = [0, 0, 0] as const;

test('a gain falls by 16 steps between two frames, at most, as it does in the decoder (RFC 6716 §4.2.7.4)', () => {
  assert.equal(levelOf(speaking(50, ...still), speaking(10, ...still)), levelOf(speaking(34, ...still)));
  assert.equal(levelOf(speaking(20, ...still), speaking(10, ...still)), levelOf(speaking(10, ...still)));
});

test('steps within a frame count twice beyond a threshold, and end at the ends', () => {
  const meanOf = (...gains: readonly number[]): number =>
    gains.reduce((sum, gain) => sum + levelOf(speaking(gain, ...still)), 0) / gains.length;
  const near = (a: number, b: number): void => assert.ok(Math.abs(a / b - 1) < 1e-9, `${String(a)}, not ${String(b)}`);
  near(levelOf(speaking(30, 3, -4, 0)), meanOf(30, 33, 29, 29));
  // 8 and the gain are the threshold: 2 * 12 - 10 is 14 from 2.
  near(levelOf(speaking(2, 12, 0, 0)), meanOf(2, 16, 16, 16));
  near(levelOf(speaking(62, 30, 0, 0)), meanOf(62, 63, 63, 63));
  near(levelOf(speaking(1, -4, 0, 0)), meanOf(1, 0, 0, 0));
});
