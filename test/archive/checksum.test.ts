/** CRC32C against published values and a bit-by-bit reference, and its combination against concatenation. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { combineCrc32c, crc32c, createChecksum, createCrc32c, encodeCrc32c } from '../../src/archive/checksum.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

test('CRC32C equals the values of RFC 3720 appendix B.4 and of the catalogue of CRCs', () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, n) => n);
  for (const [input, expected] of [
    [Buffer.from('123456789'), 0xe3069283],
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [ascending, 0x46dd794e],
    [ascending.toReversed(), 0x113fdb5c],
    [Buffer.alloc(0), 0],
  ] as const) {
    assert.equal(crc32c(input).toString(16), expected.toString(16));
  }
});

test('CRC32C equals the bit-by-bit definition for any bytes, wherever they lie in memory', () => {
  fc.assert(
    fc.property(bytes, fc.nat(7), (input, offset) => {
      const shifted = new Uint8Array(input.length + 16).subarray(offset, offset + input.length);
      shifted.set(input);
      assert.equal(crc32c(shifted), reference(input));
    }),
  );
});

test('chunks, however they are cut, give the CRC32C of the whole', () => {
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 6 }), (chunks) => {
      const crc = createCrc32c();
      for (const chunk of chunks) crc.update(chunk);
      assert.equal(crc.value, reference(Buffer.concat(chunks)));
    }),
  );
});

test('the CRC32C of two parts combines to that of the whole', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const whole = reference(Buffer.concat([a, b]));
      assert.equal(combineCrc32c(reference(a), reference(b), b.length), whole);
    }),
  );
});

test('combines lengths beyond 32 bits: zeros are counted without being read', () => {
  const gibibyte = 2 ** 30;
  let zeros = crc32c(Buffer.alloc(2 ** 20));
  for (let size = 2 ** 20; size < gibibyte; size *= 2) zeros = combineCrc32c(zeros, zeros, size);
  let five = 0;
  for (let n = 0; n < 5; n += 1) five = combineCrc32c(five, zeros, gibibyte);
  const head = crc32c(Buffer.from('head'));
  let oneByOne = head;
  for (let n = 0; n < 5; n += 1) oneByOne = combineCrc32c(oneByOne, zeros, gibibyte);
  assert.equal(combineCrc32c(head, five, 5 * gibibyte), oneByOne);
  assert.notEqual(oneByOne, head);
});

test('a CRC32C is stated in base64, highest byte first', () => {
  assert.equal(encodeCrc32c(crc32c(Buffer.from('123456789'))), '4waSgw==');
  assert.equal(encodeCrc32c(0), 'AAAAAA==');
});

test('a checksum states size, SHA-256 and CRC32C so far, and can be asked again', () => {
  const checksum = createChecksum();
  assert.deepEqual(checksum.stored(), { sizeBytes: 0, sha256: sha256(''), crc32c: 'AAAAAA==' });
  checksum.update(Buffer.from('1234'));
  checksum.update(Buffer.from('56789'));
  const expected = { sizeBytes: 9, sha256: sha256('123456789'), crc32c: '4waSgw==' };
  assert.deepEqual(checksum.stored(), expected);
  assert.deepEqual(checksum.stored(), expected);
});

function reference(input: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of input) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
