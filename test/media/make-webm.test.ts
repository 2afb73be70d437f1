/** Media that ends without its end mark was perhaps cut there: what else has to tell that it was not (invariants 2 and 4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { ID, idBytes } from '../../src/media/webm/ebml.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { bytesOfFixture, pathOfFixture } from '../support/media/fixtures.ts';
import { allClusters, make, type Asked } from '../support/media/made.ts';
import { checkWebm } from '../support/media/webm-check.ts';

// ── the media ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Pages and Clusters of these recordings are a second long, but for the last, which holds one packet. */
const PAGE = Buffer.from('OggS');
const CLUSTER = idBytes(ID.Cluster);
const DURATION = Buffer.concat([idBytes(ID.Duration), Buffer.from([0x88])]);

/** Without as many pages or Clusters at its end. */
function without(count: number, start: Buffer, bytes: Buffer): Buffer {
  let end = bytes.length;
  for (let left = count; left > 0; left -= 1) end = bytes.lastIndexOf(start, end - 1);
  assert.ok(end > 0);
  return bytes.subarray(0, end);
}

/** As ffmpeg writes it into a pipe: the Segment has no size, and a Duration only where `-t` says one. */
function piped(name: string, ...args: readonly string[]): Promise<Buffer> {
  return ffmpeg('-i', pathOfFixture(name), '-map_metadata', '-1', '-c', 'copy', ...args, '-f', 'webm', 'pipe:1');
}

/** The Duration becomes an element that nobody reads (Void). */
function withoutDuration(bytes: Buffer): Buffer {
  const at = bytes.indexOf(DURATION);
  assert.ok(at > 0);
  const changed = Buffer.from(bytes);
  changed.set([ID.Void, 0x89], at);
  return changed;
}

const OPUS = bytesOfFixture('stereo.opus');
const UNMARKED = without(1, PAGE, OPUS);
/** Two seconds short: less than the three that Genesys' duration may be off otherwise. */
const CUT = without(3, PAGE, OPUS);
const [LEFT, RIGHT] = [bytesOfFixture('dual-0.opus'), bytesOfFixture('dual-1.opus')];
const SIZED = withoutDuration(bytesOfFixture('screen-vp8-silent.webm'));
const PIPED = await piped('stereo.opus');
const PIPED_WITH_DURATION = await piped('stereo.opus', '-t', '30');
const PIPED_PICTURES = await piped('screen-vp8-silent.webm');
const VORBIS = await ffmpeg('-i', pathOfFixture('stereo-pcm.wav'), '-c:a', 'libvorbis', '-f', 'ogg', 'pipe:1');
const UNMARKED_VORBIS = without(1, PAGE, VORBIS);

// ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────

interface Case extends Asked {
  readonly what: string;
  /** Refused with these words. */
  readonly refused?: RegExp;
  /** Says so in the manifest. */
  readonly noted?: true;
  readonly way?: 'encode-audio';
}

const BY_SOURCE = /^The WebM plays 27\.97 s, but by its source it should be 30\.00 s; nothing was stored\.$/;
const BEFORE = /^The media ends without its end mark, (1\.5|2\.0)\d s before Genesys says; nothing was stored\.$/;
const AFTER = /^The media ends without its end mark, 1\.\d\d s after Genesys says; nothing was stored\.$/;
const UNPROVEN =
  /^The media ends without its end mark, and nothing else tells how long it should be; nothing was stored\.$/;

const CASES: Readonly<Record<string, readonly Case[]>> = {
  '1. its end is marked': [
    { what: 'an Ogg', files: [OPUS] },
    { what: 'an Ogg, chunked', files: [OPUS], chunked: true },
    { what: 'an Ogg, within the slack of Genesys', files: [OPUS], seconds: 32.5 },
    { what: 'two channels, within the slack of Genesys', files: [LEFT, RIGHT], seconds: 92.5 },
    { what: 'a WebM with sizes, chunked', files: [SIZED], chunked: true },
    { what: 'a WebM with sizes, within the slack of Genesys', files: [SIZED], seconds: 17.5 },
  ],
  '2. its header tells how long it is': [
    { what: 'a piped WebM, chunked', files: [PIPED_WITH_DURATION], chunked: true },
    { what: 'a piped WebM, within the slack of Genesys', files: [PIPED_WITH_DURATION], seconds: 32.5 },
    { what: 'a piped WebM that was cut', files: [without(3, CLUSTER, PIPED_WITH_DURATION)], refused: BY_SOURCE },
  ],
  '3. Genesys tells how long it is': [
    { what: 'an Ogg', files: [UNMARKED], seconds: 30.9 },
    { what: 'an Ogg, chunked', files: [UNMARKED], seconds: 29.1, chunked: true },
    { what: 'an Ogg that was cut', files: [CUT], seconds: 30, refused: BEFORE },
    { what: 'an Ogg that is longer', files: [UNMARKED], seconds: 28.5, refused: AFTER },
    { what: 'two channels, one unmarked', files: [LEFT, without(1, PAGE, RIGHT)], seconds: 90.9 },
    {
      what: 'two channels, the first unmarked',
      files: [without(1, PAGE, LEFT), RIGHT],
      seconds: 91.5,
      refused: BEFORE,
    },
    {
      what: 'two channels, the second unmarked',
      files: [LEFT, without(1, PAGE, RIGHT)],
      seconds: 91.5,
      refused: BEFORE,
    },
    { what: 'a piped WebM', files: [PIPED], seconds: 30.9, chunked: true },
    { what: 'a piped WebM that was cut', files: [without(3, CLUSTER, PIPED)], seconds: 30, refused: BEFORE },
    { what: 'a piped WebM whose last picture stays', files: [PIPED_PICTURES], seconds: 25 },
    {
      what: 'a piped WebM whose last picture stays too long',
      files: [PIPED_PICTURES],
      seconds: 27,
      refused: /^The media ends without its end mark, [67]\.\d\d s before Genesys says; nothing was stored\.$/,
    },
  ],
  '4. only the announced size tells that it is all': [
    { what: 'an Ogg', files: [UNMARKED], noted: true },
    { what: 'two channels, the first unmarked', files: [without(1, PAGE, LEFT), RIGHT], noted: true },
    { what: 'two channels, the second unmarked', files: [LEFT, without(1, PAGE, RIGHT)], noted: true },
    { what: 'a piped WebM', files: [PIPED], noted: true },
    { what: 'a Vorbis, to be encoded', files: [UNMARKED_VORBIS], noted: true, way: 'encode-audio' },
  ],
  '5. nothing tells': [
    { what: 'an Ogg, chunked', files: [UNMARKED], chunked: true, refused: UNPROVEN },
    {
      what: 'an Ogg of headers alone, chunked',
      files: [OPUS.subarray(0, nthPage(2))],
      chunked: true,
      refused: UNPROVEN,
    },
    { what: 'a piped WebM, chunked', files: [PIPED], chunked: true, refused: UNPROVEN },
    {
      what: 'a Vorbis, to be encoded, chunked',
      files: [UNMARKED_VORBIS],
      chunked: true,
      refused: UNPROVEN,
      way: 'encode-audio',
    },
  ],
};

for (const [rule, cases] of Object.entries(CASES)) {
  for (const each of cases) {
    const { what, refused } = each;
    test(`invariants 2 and 4: ${rule}: ${what}: ${refused === undefined ? 'made' : 'refused'} (ME-13)`, async () => {
      const made = await make(each);
      assert.equal(made.way, each.way ?? (each.files.length === 2 ? 'join' : 'rewrap'));
      if (refused === undefined) {
        const clusters = await allClusters(made);
        checkWebm(Buffer.concat([made.result().head, ...clusters]));
        assert.equal(made.result().note, each.noted === true ? 'it ends without its end mark' : undefined);
        return;
      }
      await assert.rejects(allClusters(made), (error) => {
        assert.ok(error instanceof Failure, String(error));
        assert.match(error.message, refused);
        assert.deepEqual([error.code, error.retry], ['incomplete', 'again']);
        return true;
      });
      assert.throws(() => made.result(), /before the WebM was complete/);
    });
  }
}

// ── damage that ffmpeg passes over ──────────────────────────────────────────────────────────────────────────────

const FLAC = await ffmpeg('-i', pathOfFixture('stereo-pcm.wav'), '-c:a', 'flac', '-f', 'flac', 'pipe:1');
/** Packets of another duration than those of the other channel: the two cannot be joined as they are. */
const SIXTY_MS = ['-c:a', 'libopus', '-frame_duration', '60'];
const LONG_FRAMES = await ffmpeg('-i', pathOfFixture('dual-1.opus'), ...SIXTY_MS, '-f', 'ogg', 'pipe:1');

/** Where a page in the middle of an Ogg begins, and where the next one does. */
function middlePage(bytes: Buffer): readonly [number, number] {
  const start = bytes.indexOf(PAGE, bytes.length / 2);
  const end = bytes.indexOf(PAGE, start + 1);
  assert.ok(start > 0 && end > start);
  return [start, end];
}

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(at) ^ 0x10, at);
  return changed;
}

const damagedPage = (bytes: Buffer): Buffer => flipped(bytes, middlePage(bytes)[1] - 20);

function withoutPage(bytes: Buffer): Buffer {
  const [start, end] = middlePage(bytes);
  return withoutBytes(bytes, start, end - start);
}

function withoutBytes(bytes: Buffer, at: number, count: number): Buffer {
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]);
}

const CHECKSUM = /^The Ogg stream is damaged at byte \d+: the checksum of the page is wrong\.$/;

const PASSED_OVER: readonly (readonly [string, readonly Buffer[], RegExp])[] = [
  ['a damaged page of Vorbis', [damagedPage(VORBIS)], CHECKSUM],
  ['a lost page of Vorbis', [withoutPage(VORBIS)], /: page \d+ follows page \d+: some are missing\.$/],
  ['a damaged page of a channel that cannot be joined', [LEFT, damagedPage(LONG_FRAMES)], CHECKSUM],
  ['a damaged frame of FLAC', [flipped(FLAC, FLAC.length / 2)], /^The media is damaged/],
];

for (const [what, files, words] of PASSED_OVER) {
  test(`invariant 4: ${what}: refused (ME-13)`, async () => {
    await assert.rejects(
      async () => allClusters(await make({ files })),
      (error) => {
        assert.ok(error instanceof Failure, String(error));
        assert.match(error.message, words);
        assert.equal(error.code, 'unreadable-media');
        return true;
      },
    );
  });
}

test('the same media without the damage is encoded whole', async () => {
  for (const files of [[VORBIS], [LEFT, LONG_FRAMES], [FLAC]]) {
    const made = await make({ files });
    assert.equal(made.way, 'encode-audio');
    const clusters = await allClusters(made);
    checkWebm(Buffer.concat([made.result().head, ...clusters]));
  }
});

/** Where a page of the recording begins, counted from 0. */
function nthPage(index: number): number {
  let at = 0;
  for (let left = index; left > 0; left -= 1) at = OPUS.indexOf(PAGE, at + 1);
  return at;
}
