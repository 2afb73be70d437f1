import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import {
  nsToSamples,
  opusHeadBytes,
  packetSamples,
  parseOpusHead,
  parsePacket,
  samplesToNs,
  writeSelfDelimited,
} from '../../src/media/opus.ts';
import { lostLike, silenceLike } from '../../src/media/opus-silence.ts';
import { opusHead } from '../support/media/packets.ts';

/** A packet of frames of these sizes: TOC, whatever stands between, then the frames. */
function packet(toc: number, between: readonly number[], sizes: readonly number[], padding = 0): Buffer {
  const frames = sizes.map((size, i) => Buffer.alloc(size, i + 1));
  return Buffer.concat([Buffer.from([toc, ...between]), ...frames, Buffer.alloc(padding)]);
}

function selfDelimited(bytes: Buffer): Buffer | undefined {
  const target = Buffer.alloc(bytes.length + 2);
  const end = writeSelfDelimited(target, 0, bytes);
  return end === undefined ? undefined : target.subarray(0, end);
}

test('knows how long each of the 32 configurations lasts', () => {
  const ms = Array.from({ length: 32 }, (_, config) => (packetSamples(Buffer.from([config << 3])) ?? 0) / 48);
  const silk = [10, 20, 40, 60];
  const celt = [2.5, 5, 10, 20];
  assert.deepEqual(ms, [silk, silk, silk, [10, 20, 10, 20], celt, celt, celt, celt].flat());
  assert.equal(packetSamples(Buffer.from([0xf9])), 1920, 'two frames');
  assert.equal(packetSamples(Buffer.from([0xfb, 6])), 5760);
  assert.equal(packetSamples(Buffer.from([0xfb, 7])), undefined, 'more than 120 ms');
  assert.equal(packetSamples(Buffer.from([0xfb, 0])), undefined, 'no frame');
  assert.equal(packetSamples(Buffer.from([0xfb])), undefined, 'no frame count');
  assert.equal(packetSamples(Buffer.alloc(0)), undefined);
});

test('takes packets of all four codes apart', () => {
  assert.deepEqual(parsePacket(packet(0xf8, [], [9]))?.sizes, [9]);
  assert.deepEqual(parsePacket(Buffer.from([0xf8]))?.sizes, [0], 'DTX');
  assert.deepEqual(parsePacket(packet(0xf9, [], [8, 8]))?.sizes, [8, 8]);
  assert.deepEqual(parsePacket(packet(0xfa, [3], [3, 5]))?.sizes, [3, 5]);
  assert.deepEqual(parsePacket(packet(0xfa, [252, 1], [256, 5]))?.sizes, [256, 5]);
  assert.deepEqual(parsePacket(packet(0xfb, [3], [4, 4, 4])), {
    toc: 0xfb,
    code: 3,
    sizes: [4, 4, 4],
    start: 2,
    padding: 0,
  });
  assert.deepEqual(parsePacket(packet(0xfb, [0x83, 1, 2], [1, 2, 7]))?.sizes, [1, 2, 7]);
  assert.deepEqual(parsePacket(packet(0xfb, [0xc2, 255, 6, 1], [1, 2], 260)), {
    toc: 0xfb,
    code: 3,
    sizes: [1, 2],
    start: 5,
    padding: 260,
  });
});

test('refuses what RFC 6716 section 3.4 forbids', () => {
  const forbidden = [
    packet(0xf8, [], [1276]),
    packet(0xf9, [], [8, 9]),
    packet(0xfa, [9], [3]),
    packet(0xfa, [], []),
    packet(0xfa, [252], []),
    packet(0xfb, [3], [4, 4, 5]),
    packet(0xfb, [0x83, 200, 200], [5]),
    packet(0xfb, [0x41, 200], [5]),
    packet(0xfb, [0x41, 255, 255], []),
  ];
  for (const bytes of forbidden) assert.equal(parsePacket(bytes), undefined, bytes.toString('hex').slice(0, 20));
});

test('makes packets self-delimiting as RFC 6716 appendix B draws them', () => {
  const cases: readonly (readonly [Buffer, Buffer])[] = [
    [packet(0xf8, [], [9]), packet(0xf8, [9], [9])],
    [packet(0xf8, [], []), packet(0xf8, [0], [])],
    [packet(0xf8, [], [251]), packet(0xf8, [251], [251])],
    [packet(0xf8, [], [252]), packet(0xf8, [252, 0], [252])],
    [packet(0xf8, [], [255]), packet(0xf8, [255, 0], [255])],
    [packet(0xf8, [], [256]), packet(0xf8, [252, 1], [256])],
    [packet(0xf8, [], [300]), packet(0xf8, [252, 12], [300])],
    [packet(0xf8, [], [1275]), packet(0xf8, [255, 255], [1275])],
    [packet(0xf9, [], [8, 8]), packet(0xf9, [8], [8, 8])],
    [packet(0xfa, [3], [3, 5]), packet(0xfa, [3, 5], [3, 5])],
    [packet(0xfb, [3], [4, 4, 4]), packet(0xfb, [3, 4], [4, 4, 4])],
    [packet(0xfb, [0x83, 1, 2], [1, 2, 7]), packet(0xfb, [0x83, 1, 2, 7], [1, 2, 7])],
    [packet(0xfb, [0xc2, 4, 1], [1, 2], 4), packet(0xfb, [0xc2, 4, 1, 2], [1, 2], 4)],
  ];
  for (const [plain, expected] of cases) assert.deepEqual(selfDelimited(plain), expected);
});

test('never reads or writes outside a packet, whatever is in it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const framing = parsePacket(Buffer.from(bytes));
      const written = selfDelimited(Buffer.from(bytes));
      assert.equal(framing === undefined, written === undefined);
      if (framing === undefined) return;
      const sum = framing.sizes.reduce((total, size) => total + size, 0);
      assert.equal(framing.start + sum + framing.padding, bytes.length);
      assert.ok(framing.sizes.length >= 1 && framing.sizes.length <= 48);
    }),
    { numRuns: 20_000 },
  );
});

test('makes silence that lasts as long as what it stands in for', () => {
  for (let toc = 0; toc < 256; toc += 1) {
    for (let count = 1; count <= 48; count += 1) {
      const like = Buffer.from((toc & 3) === 3 ? [toc, count] : [toc]);
      const samples = packetSamples(like);
      for (const made of [silenceLike(like), lostLike(like)]) {
        assert.equal(made === undefined, samples === undefined);
        if (made === undefined) continue;
        assert.equal(packetSamples(made), samples);
        assert.notEqual(parsePacket(made), undefined);
        assert.equal((made[0] ?? 0) & 4, toc & 4, 'as many channels');
      }
    }
  }
  assert.deepEqual(silenceLike(Buffer.from([0xf8])), Buffer.from([0xf8, 0xff, 0xfe]));
});

test('converts every sample to nanoseconds and back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (samples) => assert.equal(nsToSamples(samplesToNs(samples)), samples)),
  );
  assert.equal(samplesToNs(312), 6_500_000);
});

test('reads and writes identification headers', () => {
  for (const channels of [1, 2] as const) {
    const head = parseOpusHead(opusHead(channels));
    assert.ok(head !== undefined);
    assert.deepEqual([head.channels, head.preSkip, head.streams, head.coupled], [channels, 312, 1, channels - 1]);
    assert.deepEqual(opusHeadBytes(head), opusHead(channels));
  }
  const dual = { ...(parseOpusHead(opusHead(2)) ?? assert.fail()), mappingFamily: 1, streams: 2, coupled: 0 };
  assert.deepEqual(parseOpusHead(opusHeadBytes(dual)), dual);
  assert.deepEqual(parseOpusHead(Buffer.concat([opusHead(1), Buffer.from('more')]))?.channels, 1);
});

test('refuses identification headers that contradict themselves', () => {
  const family1 = opusHead(2);
  family1.writeUInt8(1, 18);
  const tables = [[], [0, 0, 0, 0], [1, 2, 0, 0], [2, 0, 0, 2], [2, 0, 0]];
  const changes: readonly (readonly [number, number])[] = [
    [7, 0],
    [8, 16],
    [9, 0],
    [9, 3],
  ];
  const changed = changes.map(([at, value]) => opusHead(2).fill(value, at, at + 1));
  const mapped = tables.map((table) => Buffer.concat([family1, Buffer.from(table)]));
  for (const bytes of [...changed, ...mapped, opusHead(1).subarray(0, 18)]) {
    assert.equal(parseOpusHead(bytes), undefined, bytes.toString('hex'));
  }
});
