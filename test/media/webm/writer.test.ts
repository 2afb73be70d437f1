import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Failure } from '../../../src/failure.ts';
import type { Packet, Track } from '../../../src/media/packet.ts';
import { WebmWriter } from '../../../src/media/webm/writer.ts';
import { ffmpeg, probeComplaints, probeDuration } from '../../support/media/ffmpeg.ts';
import { OPUS_TRACK, opusPacket, VP8_TRACK, videoPacket } from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'webm-writer-'))));
after(() => rm(folder, { recursive: true }));

function write(tracks: readonly Track[], packets: readonly Packet[], batch = 50): Written {
  const writer = new WebmWriter(tracks);
  const clusters: Buffer[] = [];
  for (let at = 0; at < packets.length; at += batch) clusters.push(...writer.add(packets.slice(at, at + batch)));
  clusters.push(...writer.end());
  return { writer, clusters, file: Buffer.concat([writer.result().head, ...clusters]) };
}

interface Written {
  readonly writer: WebmWriter;
  readonly clusters: readonly Buffer[];
  readonly file: Buffer;
}

function sound(milliseconds: number, track = 0): Packet[] {
  return Array.from({ length: milliseconds / 20 }, (_, i) => opusPacket(i * 20, track));
}

test('gives every file SeekHead, Duration and Cues in front, all of which point where they should', async () => {
  const { file, writer } = write([OPUS_TRACK], sound(60_000));
  const checked = checkWebm(file);
  assert.equal(checked.durationMs, 60_000 - 6.5, 'without the codec delay');
  assert.equal(writer.result().durationMs, checked.durationMs);
  assert.equal(checked.blocks.length, 3000);
  const gaps = checked.cues.map((cue, i) => (checked.cues[i + 1]?.timeMs ?? 60_000) - cue.timeMs);
  assert.ok(Math.max(...gaps) <= 10_000, `a Cue at least every 10 s, got ${gaps.join()}`);
  const name = path.join(folder, 'sound.webm');
  await writeFile(name, file);
  assert.equal(await probeComplaints(name), '');
  assert.ok(Math.abs((await probeDuration(name)) - 59.9935) < 0.001);
});

test('is exact at every size the Cues and positions can have', () => {
  for (const count of [1, 2, 7, 100, 1000, 3000]) {
    const packets = Array.from({ length: count }, (_, i) => ({
      ...opusPacket(i * 6000),
      data: Buffer.alloc(1 + (i % 700)),
    }));
    checkWebm(write([OPUS_TRACK], packets).file);
  }
});

test('begins a live stream with short Clusters that grow', () => {
  const { clusters, writer } = write([OPUS_TRACK], sound(60_000));
  const { clusters: found } = checkWebm(Buffer.concat([writer.liveHead, ...clusters]), { live: true });
  assert.deepEqual(
    found.slice(0, 7).map((cluster) => cluster.timeMs),
    [0, 200, 600, 1400, 3000, 6200, 11_200],
  );
});

test('hands out the first Cluster as soon as it is full, and each byte once', () => {
  const writer = new WebmWriter([OPUS_TRACK]);
  const clusters = sound(1000).flatMap((packet) => writer.add([packet]));
  assert.equal(clusters.length, 2);
  assert.equal(writer.packets, 50);
  clusters.push(...writer.end());
  assert.equal(checkWebm(Buffer.concat([writer.result().head, ...clusters])).blocks.length, 50);
  assert.deepEqual(writer.end(), []);
});

test('states the duration in the live head only where it is known', () => {
  const known = new WebmWriter([OPUS_TRACK], { durationMs: 1234 });
  assert.equal(checkWebm(known.liveHead, { live: true }).durationMs, 1234);
  assert.equal(checkWebm(new WebmWriter([OPUS_TRACK]).liveHead, { live: true }).durationMs, undefined);
});

test('writes discarded samples into the last block and takes them off the duration', async () => {
  const packets = [...sound(1000), { ...opusPacket(1000), discardPaddingNs: 13_500_000 }];
  const { file } = write([OPUS_TRACK], packets);
  const checked = checkWebm(file);
  assert.equal(checked.blocks.at(-1)?.discardPaddingNs, 13_500_000);
  assert.equal(checked.durationMs, 1000);
});

test('begins video Clusters at keyframes and points Cues at nothing else', () => {
  const frames = Array.from({ length: 400 }, (_, i) => videoPacket(i * 50, i % 60 === 0));
  const checked = checkWebm(write([VP8_TRACK], frames).file);
  assert.deepEqual(
    checked.cues.map((cue) => cue.timeMs),
    [0, 3000, 6000, 9000, 12_000, 15_000, 18_000],
  );
  assert.equal(checked.durationMs, 20_000, 'the last frame lasts as long as the one before');
});

test('does not begin a Cluster at every frame of a stream of keyframes', () => {
  const frames = Array.from({ length: 200 }, (_, i) => videoPacket(i * 50, true));
  assert.ok(checkWebm(write([VP8_TRACK], frames).file).clusters.length <= 22);
});

test('interleaves tracks by time although they come in runs', () => {
  const video = Array.from({ length: 40 }, (_, i) => videoPacket(i * 50, i === 0));
  const audio = sound(2000, 1);
  const { file } = write([VP8_TRACK, OPUS_TRACK], [...video.slice(0, 30), ...audio, ...video.slice(30)], 7);
  const { blocks } = checkWebm(file);
  assert.equal(blocks.length, 140);
  const times = blocks.map((block) => block.timeMs);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
});

test('holds back no more than two seconds for a track that stays silent', () => {
  const writer = new WebmWriter([VP8_TRACK, OPUS_TRACK]);
  const clusters = Array.from({ length: 200 }, (_, i) => writer.add([videoPacket(i * 50, i % 20 === 0)])).flat();
  assert.ok(clusters.length >= 7, `${clusters.length} Clusters of ten seconds`);
});

test('keeps Clusters below a bound however large the frames are', () => {
  const frames = Array.from({ length: 20 }, (_, i) => videoPacket(i * 10, i === 0, 1024 * 1024));
  const { file } = write([VP8_TRACK], frames, 1);
  const { clusters } = checkWebm(file);
  assert.ok(Math.max(...clusters.map((cluster) => cluster.size)) < 6 * 1024 * 1024);
});

test('points a Cue at a keyframe that comes behind the first sound of its Cluster', () => {
  const { file } = write([VP8_TRACK, OPUS_TRACK], [...sound(100, 1), videoPacket(7, true), videoPacket(57, false)]);
  assert.deepEqual(
    checkWebm(file).cues.map(({ track, timeMs }) => [track, timeMs]),
    [[1, 7]],
  );
});

test('falls back to Cues for the sound where a video track stays empty', () => {
  const { file } = write([VP8_TRACK, OPUS_TRACK], sound(20_000, 1));
  assert.ok(checkWebm(file).cues.every((cue) => cue.track === 2));
});

test('refuses a video without a keyframe', () => {
  const writer = new WebmWriter([VP8_TRACK, OPUS_TRACK]);
  writer.add([opusPacket(0, 1), videoPacket(20, false)]);
  writer.end();
  assert.throws(
    () => writer.result(),
    (error) => error instanceof Failure && error.code === 'unreadable-media',
  );
});

test('survives times that jump and stand still', () => {
  const times = [0, 20, 20, 40, 90_000, 90_020, 200_000_000, 200_000_020];
  const { file } = write(
    [OPUS_TRACK],
    times.map((time) => opusPacket(time)),
  );
  assert.deepEqual(
    checkWebm(file).blocks.map((block) => block.timeMs),
    times,
  );
});

test('needs less than 20 bytes of Cues for five seconds: 12 hours stay below 170 kB', () => {
  const packets = Array.from({ length: 12 * 3600 }, (_, i) => ({ ...opusPacket(i * 1000), data: Buffer.alloc(400) }));
  const { file, writer } = write([OPUS_TRACK], packets);
  const { cues } = checkWebm(file);
  assert.ok(cues.length > 8000);
  assert.ok(writer.result().head.length < 170_000, `${writer.result().head.length} bytes`);
});

test('shows the last picture for as long as the source says, in the file itself (D11)', async () => {
  for (const [keyframe, untilMs] of [
    [true, 20_000],
    [false, 20_000],
    [false, undefined],
  ] as const) {
    const writer = new WebmWriter([VP8_TRACK]);
    const clusters = writer.add([videoPacket(0, true), videoPacket(100, keyframe)]);
    clusters.push(...writer.end(untilMs));
    const { head, durationMs } = writer.result();
    const expectedMs = untilMs ?? 200;
    assert.equal(durationMs, expectedMs);
    const file = Buffer.concat([head, ...clusters]);
    const checked = checkWebm(file);
    assert.equal(checked.durationMs, expectedMs);
    assert.equal(checked.blocks.at(-1)?.keyframe, keyframe);
    const name = path.join(folder, 'still.webm');
    await writeFile(name, file);
    const shown = await ffmpeg('-i', name, '-c', 'copy', '-f', 'framehash', 'pipe:1');
    assert.match(shown.toString(), new RegExp(`^0, +100, +100, +${String(expectedMs - 100)},`, 'm'));
  }
});

test('closes a Cluster by its packets, however small they are (A9)', () => {
  const frames = Array.from({ length: 20_000 }, (_, i) => ({ ...videoPacket(0, i === 0), data: Buffer.from([1]) }));
  const { clusters } = write([VP8_TRACK], frames);
  const blocks = clusters.map((cluster) => cluster.length / 7);
  assert.ok(Math.max(...blocks) < 4200, String(blocks));
});

test('refuses to make a file of nothing (ME-04)', () => {
  const writer = new WebmWriter([OPUS_TRACK]);
  assert.deepEqual(writer.end(), []);
  assert.throws(
    () => writer.result(),
    (error) => error instanceof Failure && error.code === 'unreadable-media',
  );
  assert.throws(() => new WebmWriter([]), Failure);
});
