/** Media that says more than it should, or other than it is: whose tags are nobody's business, whose samples lie elsewhere, whose clock is strange, that has no end. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { filesIn } from '../support/archive/folder.ts';
import { KEY, type FaultScene, openFaultScene, patience, statusOf } from '../support/fault-scene.ts';
import { ffmpeg, probeDuration } from '../support/media/ffmpeg.ts';
import { bytesOfFixture, FIXTURES, pathOfFixture } from '../support/media/fixtures.ts';
import { oggPage, oggOpus } from '../support/media/ogg-write.ts';
import { type Service, startService } from '../support/service/service.ts';
import type { Recording } from '../../src/recording.ts';

const HANG = { timeout: 540_000 };
const folder = await mkdtemp(join(tmpdir(), 'hostile-'));
after(() => rm(folder, { recursive: true }));

function addBytes(scene: FaultScene, contentType: string, ...files: readonly Buffer[]): Recording {
  return scene.add(FIXTURES.opus, {
    files: files.map((bytes, index) => ({ channel: String(index), contentType, bytes })),
  });
}

// ── tags (ME-14) ────────────────────────────────────────────────────────────────────────────────────────────────

const CANARY = 'canary-Anna-Example-4915112345678';
const TAGS = ['title', 'comment', 'artist', 'description'].flatMap((name) => [
  '-metadata',
  `${name}=<script>${CANARY}</script>\u0007\u001b[31m`,
]);
const CHAPTERS = `;FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=${CANARY}\n`;

/** A fixture with its packets as they are, and tags wherever its container has room for them. */
async function tagged(name: string, format: string, ...more: readonly string[]): Promise<Buffer> {
  const chapters = join(folder, 'chapters.txt');
  await writeFile(chapters, CHAPTERS);
  const path = join(folder, `tagged.${format}`);
  const inputs = ['-i', pathOfFixture(name), '-i', chapters, '-map', '0', '-map_metadata', '1', '-c', 'copy'];
  const tracks = ['-metadata:s:0', `title=${CANARY}`, '-metadata:s:0', `handler_name=${CANARY}`];
  await ffmpeg('-y', ...inputs, ...TAGS, ...tracks, ...more, '-f', format, path);
  const bytes = await readFile(path);
  assert.ok(bytes.includes(CANARY), `${format} has no room for tags`);
  return bytes;
}

test(
  'invariant 8: tags, titles and chapters of the media reach neither archive, queue, log nor figures (ME-14)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const attachment = join(folder, 'note.txt');
    await writeFile(attachment, CANARY);
    const attach = ['-attach', attachment, '-metadata:s:t', 'mimetype=text/plain'];
    const mono = ['dual-0.opus', 'dual-1.opus'] as const;
    const recordings = [
      addBytes(scene, 'audio/wav', await tagged('stereo-pcm.wav', 'wav')),
      addBytes(scene, 'audio/mpeg', await tagged('stereo.mp3', 'mp3')),
      addBytes(scene, 'audio/ogg', await tagged('stereo.opus', 'ogg')),
      addBytes(scene, 'audio/ogg', await tagged(mono[0], 'ogg'), await tagged(mono[1], 'ogg')),
      addBytes(scene, 'video/mp4', await tagged('screen-faststart.mp4', 'mp4', '-movflags', '+faststart')),
      addBytes(scene, 'video/webm', await tagged('screen-vp8-silent.webm', 'webm')),
      addBytes(scene, 'video/webm', await tagged('screen-vp8-silent.webm', 'matroska', ...attach)),
    ];
    await using service = await startService('serve', { ...scene.env, LOG_LEVEL: 'debug' });
    await scene.accept(service, recordings);
    const ways = new Set<string>();
    for (const recording of recordings) ways.add((await scene.archived(service, recording)).way);
    assert.deepEqual([...ways].toSorted(), ['encode-audio', 'encode-video', 'join', 'rewrap']);
    const told = [
      service.output(),
      await (await fetch(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })).text(),
    ];
    await service.stop();
    for (const text of told) assert.ok(!text.includes(CANARY));
    const files = await filesIn(scene.folder);
    assert.ok(files.length > 3 * recordings.length);
    for (const file of files) {
      const bytes = await readFile(join(scene.folder, file));
      assert.ok(!bytes.includes(CANARY), file);
      // The escape and the bell of a terminal.
      assert.ok(!bytes.includes('\u0007\u001b[31m'), file);
    }
  },
);

// ── samples elsewhere (ME-11) ───────────────────────────────────────────────────────────────────────────────────

const CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'dinf']);

/** The same boxes, with every data reference as `dref` makes it (ISO/IEC 14496-12 §8.7.2). */
function rewritten(boxes: Buffer, dref: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= boxes.length;) {
    const size = boxes.readUInt32BE(at);
    const type = boxes.toString('latin1', at + 4, at + 8);
    const body = boxes.subarray(at + 8, at + size);
    parts.push(box(type, type === 'dref' ? dref : CONTAINERS.has(type) ? rewritten(body, dref) : body));
    at += size;
  }
  return Buffer.concat(parts);
}

function box(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(8 + body.length);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
}

/** One reference of QuickTime's kind: an alias record whose second field of variable length is an absolute path. */
function aliasTo(path: string): Buffer {
  const name = Buffer.from(path.length % 2 === 0 ? path : `${path}\0`);
  const field = Buffer.alloc(4);
  field.writeUInt16BE(2);
  field.writeUInt16BE(name.length, 2);
  const alias = box('alis', Buffer.concat([Buffer.alloc(4 + 150), field, name, Buffer.from('ffff0000', 'hex')]));
  return Buffer.concat([Buffer.from('0000000000000001', 'hex'), alias]);
}

/** `url ` with a location, as MP4 has it. */
function urlTo(url: string): Buffer {
  const location = box('url ', Buffer.concat([Buffer.alloc(4), Buffer.from(`${url}\0`)]));
  return Buffer.concat([Buffer.from('0000000000000001', 'hex'), location]);
}

test(
  'invariant 9: an MP4 whose samples lie in another file or at a URL is refused, and neither is opened (ME-11)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const elsewhere = join(folder, 'elsewhere.mp4');
    const whole = bytesOfFixture('screen-faststart.mp4');
    await writeFile(elsewhere, whole);
    // The index alone: whatever is seen of it was fetched from elsewhere.
    const index = whole.subarray(0, whole.indexOf('mdat', 0, 'latin1') - 4);
    const nothing = box('mdat', Buffer.alloc(0));
    const [aliased, located] = [aliasTo(elsewhere), urlTo(`${scene.genesys.mediaOrigin}/canary`)].map((dref) =>
      Buffer.concat([rewritten(index, dref), nothing]),
    );
    assert.ok(aliased !== undefined && located !== undefined);
    // It is as hostile as it is meant to be: an ffmpeg that is allowed to plays the other file.
    const crafted = join(folder, 'crafted.mp4');
    await writeFile(crafted, aliased);
    const allowed = ['-enable_drefs', '1', '-use_absolute_path', '1', '-i', crafted];
    const frames = await ffmpeg(...allowed, '-map', '0:v', '-frames:v', '5', '-f', 'rawvideo', 'pipe:1');
    assert.ok(frames.length > 0);

    await using service = await startService('serve', scene.env);
    const recordings = [addBytes(scene, 'video/mp4', aliased), addBytes(scene, 'video/mp4', located)];
    await scene.accept(service, recordings);
    for (const recording of recordings) {
      const { recordingId } = recording;
      const { code } = await service.logged({ message: 'Recording was not archived.', recordingId }, patience());
      assert.ok(['unreadable-media', 'encoder-failed'].includes(String(code)), String(code));
      assert.equal(await scene.embedded.archive.find(recording, patience()), undefined);
    }
    assert.deepEqual(scene.genesys.requests('unknown'), [], 'nothing was fetched from the URL');
  },
);

// ── clocks (ME-09) ──────────────────────────────────────────────────────────────────────────────────────────────

const TONE = 'sine=frequency=440:sample_rate=8000:duration=4';
const GAP = ['-f', 'lavfi', '-i', TONE, '-af', "asetpts='PTS+if(gte(T,2),5,0)/TB'"];
const PICTURES = ['-f', 'lavfi', '-i', 'testsrc=size=160x120:rate=10:duration=4'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac'];

/** Arguments that make the file, and how long it lasts to a player. */
const CLOCKS: readonly (readonly [name: string, format: string, args: readonly string[], seconds: number])[] = [
  ['sound with a hole of 5 s', 'matroska', [...GAP, '-c:a', 'pcm_s16le'], 9],
  ['sound with a hole of 5 s, to be re-wrapped', 'webm', [...GAP, '-c:a', 'libopus'], 9],
  [
    'times below zero',
    'matroska',
    ['-f', 'lavfi', '-i', TONE, '-c:a', 'pcm_s16le', '-output_ts_offset', '-1', '-avoid_negative_ts', 'disabled'],
    4,
  ],
  [
    'sound that begins 3 s after the pictures',
    'mp4',
    [...PICTURES, '-itsoffset', '3', '-f', 'lavfi', '-i', TONE, ...H264],
    7,
  ],
  [
    'pictures that begin 3 s after the sound',
    'mp4',
    ['-f', 'lavfi', '-i', TONE, '-itsoffset', '3', ...PICTURES, ...H264],
    7,
  ],
  [
    'an edit that skips the first second',
    'mp4',
    ['-f', 'lavfi', '-i', TONE, ...PICTURES, ...H264, '-output_ts_offset', '-1', '-avoid_negative_ts', 'disabled'],
    3,
  ],
];

test(
  'media with gaps, late starts or times below zero is archived as long as it plays, or refused: never shorter (ME-09)',
  HANG,
  async (t) => {
    await using scene = await openFaultScene();
    await using service = await startService('serve', scene.env);
    for (const [name, format, args, seconds] of CLOCKS) {
      const path = join(folder, `clock.${format}`);
      await ffmpeg('-y', ...args, '-movflags', '+faststart', '-f', format, path).catch(async () =>
        ffmpeg('-y', ...args, '-f', format, path),
      );
      const recording = addBytes(scene, format === 'mp4' ? 'video/mp4' : 'video/webm', await readFile(path));
      await scene.accept(service, recording);
      const { recordingId } = recording;
      const archived = service.logged({ message: 'Recording was archived.', recordingId }, patience());
      const refused = service.logged({ message: 'Recording was not archived.', recordingId }, patience());
      const ended = await Promise.race([archived, refused]);
      for (const other of [archived, refused]) other.catch(() => undefined);
      if (ended['code'] === undefined) {
        const { way, webm } = await scene.whole(recording);
        const stored = join(
          scene.embedded.path,
          'recordings',
          recording.conversationId ?? '_',
          recordingId,
          'recording.webm',
        );
        const [probed, source] = [await probeDuration(stored), await probeDuration(path)];
        t.diagnostic(
          `${name}: ${way}, ${String(webm.durationMs / 1000)} s, probed ${String(probed)}, source ${String(source)}`,
        );
        assert.ok(
          webm.durationMs >= seconds * 1000 - 150,
          `${name}: ${String(webm.durationMs)} ms of ${String(seconds)} s`,
        );
        assert.ok(Math.abs(probed - webm.durationMs / 1000) < 0.1, name);
      } else {
        t.diagnostic(`${name}: ${JSON.stringify(ended['reason'])}`);
        assert.match(JSON.stringify(ended['code']), /^"(?:unreadable-media|incomplete|unsupported-media)"$/, name);
      }
    }
  },
);

// ── length (ME-05) ──────────────────────────────────────────────────────────────────────────────────────────────

/** Frames of 20 ms, 10 bytes each. */
function hours(count: number): Buffer {
  const packets = Array.from({ length: 250 }, () => Buffer.alloc(10, 0x48));
  const pages = Array.from({ length: count * 720 }, (_, i) =>
    oggPage({ packets, granule: (i + 1) * 240_000, sequence: i + 2, flags: i + 1 === count * 720 ? 4 : 0 }),
  );
  return Buffer.concat([oggOpus([]), ...pages]);
}

/** The most memory it has ever held, bytes. */
function mostOf({ pid }: Service): number {
  return Number(statusOf(pid, 'VmHWM')) * 1024;
}

/** What is garbage is collected at once, so that what is kept shows; and what does not fit is a crash. */
const FRUGAL = '--max-semi-space-size=4 --max-old-space-size=150';

const unseen = statusOf(process.pid, 'VmHWM') === undefined ? 'needs /proc' : false;

test(
  'invariant 6: 24 h are refused where the policy says 12, else archived in the memory of six (ME-05)',
  { ...HANG, skip: unseen },
  async (t) => {
    await using scene = await openFaultScene();
    const [short, long] = [addBytes(scene, 'audio/ogg', hours(6)), addBytes(scene, 'audio/ogg', hours(24))];
    {
      await using service = await startService('serve', scene.env);
      await scene.accept(service, long);
      const { outcome } = await service.logged({ code: 'media-too-large', recordingId: long.recordingId }, patience());
      // What the operator can allow waits for it.
      assert.equal(outcome, 'wait');
      await service.stop();
    }
    await using service = await startService('serve', { ...scene.env, MAX_DURATION_S: '90000', NODE_OPTIONS: FRUGAL });
    await scene.accept(service, short);
    assert.equal((await scene.archived(service, short)).webm.durationMs, 6 * 3_600_000 - 6.5);
    const before = mostOf(service);
    await scene.accept(service, long);
    const { attempt, webm } = await scene.archived(service, long);
    assert.deepEqual([attempt, webm.durationMs], [1, 86_400_000 - 6.5]);
    const grown = mostOf(service) - before;
    t.diagnostic(
      `${String(Math.round(grown / 1024 ** 2))} MB more for 24 h (${String(Math.round(webm.sizeBytes / 1024 ** 2))} MB) than for six`,
    );
    assert.ok(grown < 64 * 1024 ** 2, `${String(grown)} bytes`);
  },
);
