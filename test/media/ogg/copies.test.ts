/** Ogg Opus as ffmpeg writes it when it copies (looped, cut, moved, one behind the other): what every player plays is archived. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import { OpusSource } from '../../../src/media/opus-source.ts';
import { decodeOpus, ffmpeg } from '../../support/media/ffmpeg.ts';
import { pathOfFixture } from '../../support/media/fixtures.ts';
import { archived } from '../../support/media/made.ts';
import { oggOpus } from '../../support/media/ogg-write.ts';
import { allPackets, opusHead, source } from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

/** Fewer on a developer's wish, e.g. FUZZ_RUNS=500. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 2_000);
const CALL = pathOfFixture('stereo.opus');
const COPY = ['-c', 'copy', '-f', 'ogg', 'pipe:1'];
let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'ogg-copies-'))));
after(() => rm(folder, { recursive: true }));

// ── what ffmpeg writes ──────────────────────────────────────────────────────────────────────────────────────────

/** Encoded sound lies on the granule positions: each overlap shortens it by less than a packet. */
const SLACK_MS = { rewrap: 0.001, 'encode-audio': 60 } as const;

const COPIES: readonly (readonly [what: string, way: keyof typeof SLACK_MS, make: () => Promise<Buffer>])[] = [
  ['moved by -itsoffset', 'rewrap', () => ffmpeg('-itsoffset', '3.0071', '-i', CALL, ...COPY)],
  ['cut at its beginning by -ss', 'rewrap', () => ffmpeg('-ss', '5', '-i', CALL, ...COPY)],
  ['cut at its beginning, with its times kept', 'rewrap', () => ffmpeg('-ss', '5', '-copyts', '-i', CALL, ...COPY)],
  ['cut at both ends', 'rewrap', () => ffmpeg('-i', CALL, '-ss', '5', '-t', '10', ...COPY)],
  ['with a page for every packet', 'rewrap', () => ffmpeg('-i', CALL, '-page_duration', '20000', ...COPY)],
  ['out of a WebM', 'rewrap', fromWebm],
  ['looped', 'encode-audio', () => ffmpeg('-stream_loop', '2', '-i', CALL, ...COPY)],
  ['looped and cut', 'encode-audio', () => ffmpeg('-stream_loop', '2', '-t', '70', '-i', CALL, ...COPY)],
  [
    'looped, with a page for every packet',
    'encode-audio',
    () => ffmpeg('-stream_loop', '1', '-i', CALL, '-page_duration', '20000', ...COPY),
  ],
  ['one behind the other', 'encode-audio', concatenated],
];

for (const [what, way, make] of COPIES) {
  test(`a recording that ffmpeg copied, ${what}, plays as long as before (ME-09)`, { timeout: 400_000 }, async () => {
    const bytes = await make();
    const made = await archived([bytes]);
    assert.equal(made.way, way);
    const heardMs = await playedMs(bytes);
    assert.ok(
      Math.abs(made.result.durationMs - heardMs) <= SLACK_MS[way],
      `${made.result.durationMs} of ${heardMs} ms`,
    );
    checkWebm(made.file);
  });
}

test('a recording behind itself, as cat chains them, plays twice', async () => {
  const bytes = await readFile(CALL);
  const made = await archived([Buffer.concat([bytes, bytes])]);
  assert.deepEqual([made.way, made.result.durationMs], ['rewrap', 60_000]);
  checkWebm(made.file);
});

test('two channels that ffmpeg looped are joined by an encoder, at their length', { timeout: 400_000 }, async () => {
  const files = await Promise.all(
    ['dual-0.opus', 'dual-1.opus'].map((name) =>
      ffmpeg('-stream_loop', '1', '-t', '100', '-i', pathOfFixture(name), ...COPY),
    ),
  );
  const made = await archived(files);
  assert.deepEqual([made.way, made.result.channels], ['encode-audio', 2]);
  assert.ok(
    Math.abs(made.result.durationMs - (await playedMs(files[0] ?? Buffer.alloc(0)))) <= 60,
    String(made.result.durationMs),
  );
});

test('what begins before zero is refused, as RFC 7845 §4.5 asks and ffmpeg does', async () => {
  for (const [offset, text] of [
    ['-0.5', 'the first granule position is too small'],
    ['-3', 'the granule position is out of range'],
  ] as const) {
    const bytes = await ffmpeg('-itsoffset', offset, '-i', CALL, ...COPY);
    await assert.rejects(archived([bytes]), fails('unreadable-media', text), offset);
  }
});

async function fromWebm(): Promise<Buffer> {
  const webm = path.join(folder, 'call.webm');
  await writeFile(webm, await ffmpeg('-i', CALL, '-c', 'copy', '-f', 'webm', 'pipe:1'));
  return ffmpeg('-i', webm, ...COPY);
}

async function concatenated(): Promise<Buffer> {
  const list = path.join(folder, 'list.txt');
  await writeFile(list, `file '${CALL}'\nfile '${CALL}'\n`);
  return ffmpeg('-f', 'concat', '-safe', '0', '-i', list, ...COPY);
}

/** Of what a decoder gives. */
async function playedMs(bytes: Buffer): Promise<number> {
  const name = path.join(folder, 'played.opus');
  await writeFile(name, bytes);
  const head = bytes.indexOf('OpusHead');
  const [samples] = await decodeOpus(name, bytes.readUInt8(head + 9));
  return (samples?.length ?? 0) / 48;
}

// ── damage is never left to an encoder, which would conceal it ──────────────────────────────────────────────────

const FRAME = Buffer.from([0xf8, 0xff, 0xfe]);
const OVERLAP = [
  { packets: [FRAME, FRAME], granule: 1920 },
  { packets: [FRAME, FRAME], granule: 3500 },
  { packets: [FRAME, FRAME], granule: 5420 },
  { packets: [FRAME], granule: 6380, last: true },
];
const FRAMES = [{ packets: [FRAME], granule: 960, last: true }];
const WHOLE = oggOpus(FRAMES);
/** By 12 dB. */
const QUIETER = opusHead(1);
QUIETER.writeInt16LE(-12 * 256, 16);
/** Each needs an encoder. */
const UNFIT: readonly Buffer[] = [
  oggOpus(OVERLAP),
  Buffer.concat([WHOLE, oggOpus([{ packets: [FRAME, FRAME], granule: 1920, last: true }], QUIETER, 8)]),
  Buffer.concat([oggOpus(FRAMES, opusHead(2)), oggOpus(FRAMES, QUIETER, 8)]),
];
/** What is whole before a second link begins. */
const STARTS = [WHOLE, oggOpus(FRAMES, opusHead(2))];

/** As it passes on its way to the encoder. @throws Failure where it is damaged, or may have been cut where it ends */
async function pass(bytes: Buffer): Promise<void> {
  const passing = new OpusSource();
  for await (const _ of passing.through(source(bytes, 64)));
  if (passing.lacksEndMark) throw new Failure('incomplete', 'The end is not marked.');
}

test('what needs an encoder says so, and is whole only with its last byte', async () => {
  for (const bytes of UNFIT) {
    await assert.rejects(async () => allPackets(await readOggOpus(source(bytes, 64))), unfit);
    await pass(bytes);
    for (let end = 0; end < bytes.length; end += 1) {
      const cut = bytes.subarray(0, end);
      if (!STARTS.some((start) => cut.equals(start))) await assert.rejects(pass(cut), isDamage, `cut at ${end}`);
    }
  }
});

test('invariant 4: no changed byte and no lost page of what needs an encoder passes on to one', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...UNFIT), fc.nat(), fc.nat({ max: 254 }), async (bytes, at, add) => {
      const changed = Buffer.from(bytes);
      changed[at % changed.length] = ((changed[at % changed.length] ?? 0) + 1 + add) & 255;
      await assert.rejects(pass(changed), isDamage);
    }),
    { numRuns: RUNS },
  );
  for (const bytes of UNFIT) {
    const pages = bytes.toString('latin1').split(/(?=OggS)/);
    for (let lost = 0; lost < pages.length; lost += 1) {
      const rest = Buffer.from(pages.toSpliced(lost, 1).join(''), 'latin1');
      await assert.rejects(pass(rest), isDamage, `page ${lost}`);
    }
  }
});

test('a chained stream that was cut before its last page counts as one without end', async () => {
  const cut = oggOpus([{ packets: [FRAME], granule: 960 }]);
  const whole = oggOpus([{ packets: [FRAME], granule: 960, last: true }], opusHead(1), 8);
  const stream = await readOggOpus(source(Buffer.concat([cut, whole])));
  assert.equal((await allPackets(stream)).length, 2);
  assert.equal(stream.hasEndMark, false);
});

test('a channel that does not fit does not hide that the other is damaged', async () => {
  const pages = Array.from({ length: 40 }, (_, i) => ({ packets: [FRAME], granule: 960 * (i + 1), last: i === 39 }));
  const good = oggOpus(pages);
  const broken = Buffer.from(good);
  broken[broken.length - 1] = 0;
  const stereo = oggOpus([{ packets: [FRAME], granule: 960, last: true }], opusHead(2));
  for (const misfit of [stereo, oggOpus(OVERLAP)]) {
    for (const files of [
      [misfit, good],
      [good, misfit],
    ]) {
      assert.equal((await archived(files)).way, 'encode-audio');
    }
    const { note } = (await archived([misfit, oggOpus(pages.slice(0, -1))])).result;
    assert.equal(note, 'it ends without its end mark');
    for (const [other, code] of [
      [broken, 'unreadable-media'],
      [good.subarray(0, -1), 'incomplete'],
    ] as const) {
      await assert.rejects(archived([misfit, other]), fails(code, '.'));
      await assert.rejects(archived([other, misfit]), fails(code, '.'));
    }
  }
});

const unfit = fails('unsupported-media', '.');

function isDamage(error: unknown): boolean {
  assert.ok(error instanceof Failure, String(error));
  assert.ok(['unreadable-media', 'incomplete'].includes(error.code), `${error.code}: ${error.message}`);
  return true;
}

function fails(code: FailureCode, text: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, new RegExp(text));
    return true;
  };
}
