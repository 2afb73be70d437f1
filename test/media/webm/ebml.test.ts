import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../support/generated.ts';
import {
  childrenOf,
  element,
  floatElement,
  readFloat,
  readHead,
  readSint,
  readUtf8,
  readUint,
  sintElement,
  sizeBytes,
  sizeWidth,
  textElement,
  uintElement,
  UNKNOWN_SIZE,
} from '../../../src/media/webm/ebml.ts';
import { Failure } from '../../../src/failure.ts';

function only(bytes: Buffer) {
  const [child, ...rest] = [...childrenOf({ content: bytes, offset: 0 })];
  assert.equal(rest.length, 0);
  assert.ok(child !== undefined);
  return child;
}

function damage(bytes: readonly number[]): () => unknown {
  return () => [...childrenOf({ content: Buffer.from(bytes), offset: 1000 })];
}

function isAt(offset: number): (error: unknown) => boolean {
  return (error) =>
    error instanceof Failure && error.code === 'unreadable-media' && error.message.includes(`byte ${offset}:`);
}

test('writes the sizes of RFC 8794 table 2', () => {
  assert.equal(sizeBytes(0).toString('hex'), '80');
  assert.equal(sizeBytes(126).toString('hex'), 'fe');
  assert.equal(sizeBytes(127).toString('hex'), '407f', '127 in one byte would mean unknown');
  assert.equal(sizeBytes(127, 2).toString('hex'), '407f');
  assert.equal(sizeBytes(1, 8).toString('hex'), '0100000000000001');
  assert.equal(sizeWidth(2 ** 14 - 2), 2);
  assert.equal(sizeWidth(2 ** 14 - 1), 3);
});

test('reads back every size it writes, at every width', () => {
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }), fc.nat({ max: 7 }), (size, extra) => {
      const width = Math.min(8, sizeWidth(size) + extra);
      const head = readHead(Buffer.concat([Buffer.from([0xec]), sizeBytes(size, width)]), 0, 0);
      assert.deepEqual(head, { id: 0xec, size, headLength: 1 + width });
    }),
  );
});

test('reads back integers, numbers and texts', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true }),
      (n, i, d) => {
        assert.equal(readUint(only(uintElement(0xd7, n))), n);
        assert.equal(readSint(only(sintElement(0x75a2, i))), i);
        if (Number.isFinite(d)) assert.equal(readFloat(only(floatElement(0x4489, d))), d);
      },
    ),
  );
  assert.equal(readUtf8(only(textElement(0x4282, 'webm'))), 'webm');
  assert.equal(readUtf8(only(textElement(0x4282, 'webm\0\0'))), 'webm');
});

test('tells an unknown size from a large one', () => {
  const segment = Buffer.from([0x18, 0x53, 0x80, 0x67]);
  assert.equal(readHead(Buffer.concat([segment, UNKNOWN_SIZE]), 0, 0)?.size, undefined);
  assert.equal(readHead(Buffer.concat([segment, Buffer.from([0xff])]), 0, 0)?.size, undefined);
  assert.equal(readHead(Buffer.concat([segment, Buffer.from([0xfe])]), 0, 0)?.size, 126);
});

test('asks for more where an element head is cut', () => {
  const head = element(0x1549a966, Buffer.alloc(300)).subarray(0, 6);
  for (let end = 0; end < 6; end += 1) assert.equal(readHead(head.subarray(0, end), 0, 0), undefined);
  assert.equal(readHead(head, 0, 0)?.size, 300);
});

test('names the byte of damage, counted from the start of the file', () => {
  assert.throws(damage([0xec, 0x80, 0x00]), isAt(1002), 'no id');
  assert.throws(damage([0xec, 0x00]), isAt(1001), 'no size');
  assert.throws(damage([0xec, 0x82, 0x00]), isAt(1000), 'longer than its parent');
  assert.throws(damage([0xec, 0xff]), isAt(1000), 'unknown size inside a parent');
  assert.throws(damage([0xec, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), isAt(1001), 'beyond 2^53');
});
