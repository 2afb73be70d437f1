import assert from 'node:assert/strict';
import { test } from 'node:test';
import { release } from '../src/memory.ts';

test('released bytes are gone, and their memory with them', () => {
  const bytes = Buffer.allocUnsafeSlow(65_536).fill(1);
  const { buffer } = bytes;
  release(bytes);
  assert.deepEqual([bytes.length, buffer.byteLength], [0, 0]);
});

test('what shares its memory with other bytes is not released', () => {
  const whole = Buffer.allocUnsafeSlow(65_536).fill(1);
  const part = whole.subarray(1);
  release(part);
  assert.deepEqual([part.length, whole.length, whole[65_535]], [65_535, 65_536, 1]);
  const pooled = Buffer.from('short');
  release(pooled);
  assert.equal(pooled.toString(), 'short');
});
