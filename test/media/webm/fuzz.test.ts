import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { Failure } from '../../../src/failure.ts';
import {
  element,
  floatElement,
  ID,
  sintElement,
  textElement,
  uintElement,
  UNKNOWN_SIZE,
} from '../../../src/media/webm/ebml.ts';
import { readWebm } from '../../../src/media/webm/reader.ts';
import { WebmWriter } from '../../../src/media/webm/writer.ts';
import {
  OPUS_TRACK,
  opusHead,
  opusPacket,
  source,
  videoPacket,
  VP8_TRACK,
  writeWebm,
} from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 10_000);

function written(): Buffer {
  const writer = new WebmWriter([VP8_TRACK, OPUS_TRACK]);
  const clusters = writer.add([
    videoPacket(0, true, 20),
    opusPacket(0, 1),
    opusPacket(20, 1),
    videoPacket(900, true, 300),
  ]);
  clusters.push(...writer.add([{ ...opusPacket(920, 1), discardPaddingNs: 5e6 }]), ...writer.end());
  return Buffer.concat([writer.result().head, ...clusters]);
}

function open(id: number): Buffer {
  return Buffer.concat([element(id).subarray(0, 4), UNKNOWN_SIZE]);
}

/** A block of track 1 at a time, from its flags on. */
function block(id: number, timeMs: number, ...bytes: readonly number[]): Buffer {
  return element(id, Buffer.from([0x81, 0, timeMs, ...bytes]));
}

/** Open sizes, all lacings, groups, things to skip: what our own writer does not write. */
function foreign(): Buffer {
  const entry = element(
    ID.TrackEntry,
    uintElement(ID.TrackNumber, 1),
    uintElement(ID.TrackType, 2),
    textElement(ID.CodecID, 'A_OPUS'),
    element(ID.CodecPrivate, opusHead(1)),
    element(ID.Audio, floatElement(ID.SamplingFrequency, 48_000)),
  );
  const frame = [0xf8, 0xff, 0xfe];
  return Buffer.concat([
    element(ID.EBML, textElement(ID.DocType, 'matroska')),
    open(ID.Segment),
    element(ID.Void, Buffer.alloc(30)),
    element(ID.Info, uintElement(ID.TimestampScale, 1_000_000), floatElement(ID.Duration, 100)),
    element(ID.Tracks, entry),
    open(ID.Cluster),
    uintElement(ID.Timestamp, 0),
    block(ID.SimpleBlock, 5, 0x02, 2, 3, 3, ...frame, ...frame, ...frame),
    block(ID.SimpleBlock, 65, 0x04, 1, ...frame, ...frame),
    block(ID.SimpleBlock, 105, 0x06, 2, 0x83, 0xbf, ...frame, ...frame, ...frame),
    element(ID.Tags, Buffer.alloc(20)),
    open(ID.Cluster),
    uintElement(ID.Timestamp, 500),
    element(
      ID.BlockGroup,
      block(ID.Block, 5, 0, ...frame),
      uintElement(ID.BlockDuration, 20),
      sintElement(ID.DiscardPadding, 1000),
    ),
  ]);
}

const SEEDS = [written(), foreign()];

/** Whatever comes in: a sound WebM or a Failure of a kind that says what is wrong with the media. Returns whether it was one. */
async function survives(bytes: Buffer, chunkSize: number): Promise<boolean> {
  try {
    const { file } = await writeWebm(await readWebm(source(bytes, chunkSize)));
    checkWebm(file);
    assert.ok(file.length < bytes.length * 20 + 2000, 'nothing grows out of proportion');
    return true;
  } catch (error) {
    assert.ok(error instanceof Failure, error instanceof Error ? error.stack : String(error));
    assert.ok(['unreadable-media', 'incomplete', 'unsupported-media', 'no-media'].includes(error.code), error.code);
    return false;
  }
}

const seed = fc.constantFrom(...SEEDS);
const edit = fc.tuple(fc.nat({ max: 2000 }), fc.nat({ max: 255 }));

test('survives every cut, every changed bit and every lost or doubled byte of a WebM', async () => {
  for (const bytes of SEEDS) {
    assert.equal(await survives(bytes, 50), true);
    for (let at = 0; at < bytes.length; at += 1) {
      await survives(bytes.subarray(0, at), 64);
      await survives(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]), 64);
      await survives(Buffer.concat([bytes.subarray(0, at + 1), bytes.subarray(at)]), 64);
      for (let bit = 0; bit < 8; bit += 1) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ (1 << bit);
        await survives(changed, 4096);
      }
    }
  }
});

test('survives any changes to a WebM (ME-01)', async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(
      seed,
      fc.array(edit, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(23, 100, 5000),
      async (bytes, edits, size) => {
        const changed = Buffer.from(bytes);
        for (const [at, value] of edits) changed[at % changed.length] = value;
        if (await survives(changed, size)) accepted += 1;
      },
    ),
    { numRuns: RUNS },
  );
  assert.ok(accepted > RUNS / 50, `${accepted} were accepted: the changes reach beyond the head`);
});

const IDS = Object.values(ID);
const node: fc.Arbitrary<Buffer> = fc.letrec<{ node: Buffer }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc
      .tuple(fc.constantFrom(...IDS), fc.uint8Array({ maxLength: 12 }))
      .map(([id, bytes]) => element(id, Buffer.from(bytes))),
    fc
      .tuple(fc.constantFrom(...IDS), fc.array(tie('node'), { maxLength: 4 }))
      .map(([id, nodes]) => element(id, ...nodes)),
  ),
})).node;

test('survives any tree of elements behind a sound head', async () => {
  const [, bytes = Buffer.alloc(0)] = SEEDS;
  const head = bytes.subarray(0, bytes.indexOf(Buffer.from([0x1f, 0x43, 0xb6, 0x75])));
  await fc.assert(
    fc.asyncProperty(fc.array(node, { maxLength: 6 }), fc.boolean(), async (nodes, withHead) => {
      const cluster = element(ID.Cluster, uintElement(ID.Timestamp, 3), ...nodes);
      await survives(Buffer.concat(withHead ? [head, cluster] : nodes), 100);
    }),
    { numRuns: RUNS / 2 },
  );
});
