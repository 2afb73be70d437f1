import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { type OggPage, OggParser, pageChecksum, viewsOf } from '../../../src/media/ogg/ogg.ts';
import { oggPage, sealed } from '../../support/media/ogg-write.ts';

const FIXTURES = path.join(import.meta.dirname, '../../fixtures');

function parse(bytes: Buffer, chunkSize = bytes.length): OggPage[] {
  const parser = new OggParser();
  const pages: OggPage[] = [];
  for (let at = 0; at < bytes.length; at += chunkSize) pages.push(...parser.push(bytes.subarray(at, at + chunkSize)));
  pages.push(...parser.end());
  return pages;
}

function fails(code: FailureCode, text: string) {
  return (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, new RegExp(text));
    return true;
  };
}

const FIRST = oggPage({ packets: [Buffer.from('head')], granule: 0, flags: 2 });

test('reads real files whole, whatever the chunks are', async () => {
  const bytes = await readFile(`${FIXTURES}/dual-0.opus`);
  const pages = parse(bytes);
  assert.equal(pages.flatMap((page) => viewsOf(page.packets)).length, 2 + 4501);
  assert.equal(pages.at(-1)?.isLast, true);
  assert.deepEqual(parse(bytes, 777), pages);
  assert.deepEqual(parse(bytes.subarray(0, pages[3]?.offset), 1), pages.slice(0, 3));
});

test('computes the checksum of the specification', () => {
  // The polynomial, its bit order and its start value in one number: the CRC of the single byte 1 is the polynomial itself.
  const page = Buffer.alloc(27);
  page[26] = 1;
  assert.equal(pageChecksum(page), 0x04c11db7);
});

test('notices every single changed bit of a page', () => {
  const page = oggPage({ packets: [Buffer.from('some packet')], granule: 5, sequence: 1 });
  for (let bit = 0; bit < page.length * 8; bit += 1) {
    const broken = Buffer.from(page);
    broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => parse(Buffer.concat([FIRST, broken])), Failure, `bit ${bit}`);
  }
});

test('joins packets over as many pages as they take', () => {
  const long = Buffer.alloc(255 * 400, 3);
  const pages = parse(
    Buffer.concat([
      FIRST,
      oggPage({ packets: [Buffer.from('a'), long.subarray(0, 255 * 200)], open: true, sequence: 1, granule: 9 }),
      oggPage({ packets: [long.subarray(0, 255 * 199)], open: true, flags: 1, sequence: 2 }),
      oggPage({
        packets: [long.subarray(0, 255), Buffer.alloc(0), Buffer.from('b')],
        flags: 1,
        sequence: 3,
        granule: 11,
      }),
    ]),
    1000,
  );
  assert.deepEqual(
    pages.map((page) => viewsOf(page.packets).map((packet) => packet.length)),
    [[4], [1], [], [255 * 400, 0, 1]],
  );
  assert.deepEqual(
    pages.map((page) => page.granule),
    [0, 9, -1, 11],
  );
});

test('reads one stream behind the other', () => {
  const second = oggPage({ packets: [Buffer.from('head')], granule: 0, flags: 2, serial: 8 });
  const last = oggPage({ packets: [Buffer.from('x')], granule: 1, sequence: 1, flags: 4 });
  assert.equal(parse(Buffer.concat([FIRST, last, second])).length, 3);
  assert.equal(parse(Buffer.concat([FIRST, last, FIRST, last])).length, 4, 'also where the number is the same again');
});

test('says for every cut that the end is missing, and where', () => {
  const whole = Buffer.concat([FIRST, oggPage({ packets: [Buffer.alloc(300)], granule: 1, sequence: 1 })]);
  for (let end = 0; end < whole.length; end += 1) {
    if (end === FIRST.length) continue;
    assert.throws(() => parse(whole.subarray(0, end), 9), fails('incomplete', `byte ${end},`));
  }
  const open = oggPage({ packets: [Buffer.alloc(255)], open: true, sequence: 1 });
  assert.throws(() => parse(Buffer.concat([FIRST, open])), fails('incomplete', 'in the middle of a packet'));
});

test('names the byte of what is out of place', () => {
  const x = [Buffer.from('x')];
  const at = FIRST.length;
  const cases: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['no page', [Buffer.from('RIFF this is a wave file, no Ogg stream')], 'byte 0: no page'],
    ['junk behind a page', [FIRST, Buffer.alloc(40)], `byte ${at}: no page`],
    ['a page in the middle', [oggPage({ packets: x })], 'byte 0: the stream does not begin'],
    [
      'another version',
      [FIRST, sealed(withByte(oggPage({ packets: x, sequence: 1 }), 4, 1))],
      `byte ${at}: the page has`,
    ],
    ['a lost page', [FIRST, oggPage({ packets: x, sequence: 2 })], `byte ${at}: page 2 follows page 0`],
    ['a repeated page', [FIRST, oggPage({ packets: x, sequence: 0 })], `byte ${at}: page 0`],
    ['a stranger', [FIRST, oggPage({ packets: x, sequence: 1, serial: 9 })], `byte ${at}: another stream`],
    ['a stream that begins twice', [FIRST, FIRST], `byte ${at}: a stream begins twice`],
    [
      'a continued nothing',
      [FIRST, oggPage({ packets: x, flags: 1, sequence: 1 })],
      `byte ${at}: a packet is continued`,
    ],
    [
      'a packet that is not continued',
      [FIRST, oggPage({ packets: [Buffer.alloc(255)], open: true, sequence: 1 }), oggPage({ packets: x, sequence: 2 })],
      'a packet is not continued',
    ],
    [
      'a page behind the last, and one lost between them',
      [FIRST, oggPage({ packets: x, flags: 4, sequence: 1 }), oggPage({ packets: x, sequence: 3 })],
      'page 3 follows page 1',
    ],
    ['an impossible granule position', [FIRST, oggPage({ packets: x, sequence: 1, granule: -2 })], 'granule'],
  ];
  for (const [name, pages, text] of cases) {
    assert.throws(() => parse(Buffer.concat(pages)), fails('unreadable-media', text), name);
  }
});

test('reads streams side by side, and only one page further where one is marked as the last', () => {
  const x = [Buffer.from('x')];
  const pages = parse(
    Buffer.concat([
      FIRST,
      oggPage({ packets: x, flags: 2, serial: 9 }),
      oggPage({ packets: [Buffer.from('fishead\0')], flags: 2, serial: 10 }),
      oggPage({ packets: x, granule: 1, sequence: 1, flags: 4 }),
      oggPage({ packets: x, granule: 1, sequence: 1, flags: 4, serial: 9 }),
      oggPage({ packets: x, granule: 2, sequence: 2, flags: 4 }),
      oggPage({ packets: x, granule: 0, sequence: 1, flags: 4, serial: 10 }),
    ]),
  );
  assert.deepEqual(
    pages.map(({ serial, granule, isFirst, isLast }) => [serial, granule, isFirst, isLast]),
    [
      [7, 0, true, false],
      [9, -1, true, false],
      [7, 1, false, false],
      [7, 2, false, true],
      [9, 1, false, true],
    ],
  );
});

test('takes no more streams side by side than a recording has (B9)', () => {
  const pages = Array.from({ length: 5000 }, (_, i) => oggPage({ packets: [], flags: 2, serial: i }));
  assert.throws(() => parse(Buffer.concat(pages)), fails('unsupported-media', 'more than 8 streams'));
});

test('does not collect a packet that never ends', () => {
  const parser = new OggParser();
  parser.push(FIRST);
  const endless = () => {
    for (let sequence = 1; sequence < 1000; sequence += 1) {
      parser.push(oggPage({ packets: [Buffer.alloc(255 * 255)], open: true, flags: sequence === 1 ? 0 : 1, sequence }));
    }
  };
  assert.throws(endless, fails('unreadable-media', 'larger than any'));
});

function withByte(page: Buffer, at: number, value: number): Buffer {
  page[at] = value;
  return page;
}
