import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { Failure } from '../../../src/failure.ts';
import { joinMono } from '../../../src/media/ogg/join.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import { oggOpus, oggPage, sealed } from '../../support/media/ogg-write.ts';
import { opusHead, source, writeWebm } from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

/** Fewer on a developer's wish, e.g. FUZZ_RUNS=500. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 10_000);

const FRAME = Buffer.from([0xf8, 0xff, 0xfe]);
const LONG = Buffer.alloc(700, 0x48);
const CODE3 = Buffer.from([0xfb, 0x83, 1, 2, 9, 8, 7, 6, 5]);

/** Small, and with one of each: long packets, a gap, a trimmed end, a chained stream. */
const SEEDS: readonly Buffer[] = [
  oggOpus([
    { packets: [FRAME, LONG, FRAME], granule: 2880 },
    { packets: [FRAME, FRAME], granule: 20_000, last: true },
  ]),
  oggOpus(
    [
      { packets: [CODE3, CODE3], granule: 5760 },
      { packets: [CODE3], granule: 8000, last: true },
    ],
    opusHead(1),
    1,
  ),
  Buffer.concat([
    oggOpus([{ packets: [FRAME], granule: 900, last: true }]),
    oggOpus([{ packets: [FRAME, FRAME], granule: 1900, last: true }], opusHead(1), 9),
  ]),
  Buffer.concat([
    oggOpus([]),
    oggPage({ packets: [FRAME, Buffer.alloc(510, 0x48)], open: true, granule: 960, sequence: 2 }),
    oggPage({ packets: [FRAME.subarray(1), FRAME], flags: 5, granule: 4000, sequence: 3 }),
  ]),
];

/** Whatever comes in: a sound WebM or a Failure of a kind that says what is wrong with the media. Returns whether it was one. */
async function survives(work: () => Promise<Buffer>): Promise<boolean> {
  try {
    checkWebm(await work());
    return true;
  } catch (error) {
    assert.ok(error instanceof Failure, error instanceof Error ? error.stack : String(error));
    assert.ok(['unreadable-media', 'incomplete', 'unsupported-media'].includes(error.code), error.code);
    return false;
  }
}

async function rewrap(bytes: Buffer, chunkSize: number): Promise<Buffer> {
  return (await writeWebm(await readOggOpus(source(bytes, chunkSize)))).file;
}

/** Changes bytes and gives every page its checksum again, so that what is behind the checksum is reached. */
function resealed(bytes: Buffer): Buffer {
  for (let at = bytes.indexOf('OggS'); at !== -1;) {
    const next = bytes.indexOf('OggS', at + 4);
    if (bytes.length - at >= 27) sealed(bytes.subarray(at, next === -1 ? bytes.length : next));
    at = next;
  }
  return bytes;
}

const seed = fc.constantFrom(...SEEDS);
const edits = fc.array(fc.tuple(fc.nat({ max: 1200 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 });
const chunk = fc.constantFrom(29, 64, 100_000);

test('survives every cut and every changed byte of an Ogg Opus stream', async () => {
  for (const bytes of SEEDS) {
    assert.equal(await survives(() => rewrap(bytes, 100)), true);
    for (let end = 0; end < bytes.length; end += 1) await survives(() => rewrap(bytes.subarray(0, end), 64));
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at & 7));
      assert.equal(await survives(() => rewrap(changed, 64)), false, `byte ${at} is covered by a checksum`);
    }
  }
});

test('survives whatever stands behind right checksums (ME-01)', async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(seed, edits, chunk, async (bytes, changes, chunkSize) => {
      const changed = Buffer.from(bytes);
      for (const [at, value] of changes) changed[at % changed.length] = value;
      if (await survives(() => rewrap(resealed(changed), chunkSize))) accepted += 1;
    }),
    { numRuns: RUNS },
  );
  assert.ok(accepted > RUNS / 20, `${accepted} were accepted: the checksums do not hide the rest`);
});

const page = fc.record({
  packets: fc.array(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 6 },
  ),
  granule: fc.oneof(
    fc.constant(-1),
    fc.nat({ max: 20_000 }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(Number),
  ),
  last: fc.boolean(),
});

test('survives pages of any packets at any positions', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(page, { maxLength: 5 }), fc.uint8Array({ maxLength: 30 }), async (pages, head) => {
      const safe = pages.map((each) => ({ ...each, granule: Math.max(-(2 ** 62), Math.min(2 ** 62, each.granule)) }));
      await survives(() => rewrap(oggOpus(safe, head.length < 19 ? opusHead(1) : Buffer.from(head)), 200));
    }),
    { numRuns: RUNS / 4 },
  );
});

test('survives joining any two damaged channels', async () => {
  await fc.assert(
    fc.asyncProperty(seed, seed, edits, async (left, right, changes) => {
      const changed = Buffer.from(right);
      for (const [at, value] of changes) changed[at % changed.length] = value;
      await survives(async () => {
        const streams = [
          await readOggOpus(source(left, 64)),
          await readOggOpus(source(resealed(changed), 64)),
        ] as const;
        const joined = await joinMono(...streams);
        return (await writeWebm({ ...joined, packets: capped(joined.packets) })).file;
      });
    }),
    { numRuns: RUNS / 4 },
  );
});

/** A channel that claims to begin hours later is filled for hours: a caller stops at the longest recording it takes. */
async function* capped<T>(batches: AsyncIterable<readonly T[]>): AsyncGenerator<readonly T[]> {
  let count = 0;
  for await (const batch of batches) {
    yield batch;
    count += batch.length;
    if (count > 2000) return;
  }
}
