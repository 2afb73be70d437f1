import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { joinMono } from '../../src/media/ogg/join.ts';
import { readOggOpus } from '../../src/media/ogg/ogg-opus.ts';
import { WebmWriter } from '../../src/media/webm/writer.ts';
import { readWebm } from '../../src/media/webm/reader.ts';
import { findChromium, launchChromium, openContext, serveFiles } from '../support/browser/browser.ts';
import { decodeOpus } from '../support/media/ffmpeg.ts';
import { oggOpus } from '../support/media/ogg-write.ts';
import { allPackets, opusHead, source, writeWebm } from '../support/media/packets.ts';
import { checkWebm } from '../support/media/webm-check.ts';

const FIXTURES = path.join(import.meta.dirname, '../fixtures');
const executable = findChromium();
const skip = executable === undefined ? 'there is no Chromium on the PATH' : false;
let browser: Browser | undefined;
before(async () => {
  if (executable !== undefined) browser = await launchChromium(executable);
});
after(() => browser?.close());

/** What the functions of test/support/browser/player.html answer. */
interface Decoded {
  readonly channels: number;
  readonly duration: number;
  /** Of each channel, the loudness of each second. */
  readonly loudness: readonly (readonly number[])[];
}

interface Seen {
  readonly duration: number;
  readonly seekable: readonly number[];
  readonly time: number;
  readonly width: number;
  readonly height: number;
}

interface Heard {
  readonly duration: number;
  readonly seekable: readonly number[];
  readonly time: number;
  /** Of each channel, the loudest sample. */
  readonly peaks: readonly number[];
}

async function fixture(name: string): Promise<Buffer> {
  return readFile(path.join(FIXTURES, name));
}

async function openPage(url: string): Promise<Page> {
  assert.ok(browser !== undefined);
  const page = await (await openContext(browser)).newPage();
  await page.goto(url);
  return page;
}

async function joinedCall(): Promise<Buffer> {
  const left = await readOggOpus(source(await fixture('dual-0.opus')));
  const right = await readOggOpus(source(await fixture('dual-1.opus')));
  return (await writeWebm(await joinMono(left, right))).file;
}

/** An hour of speech: the fixture's packets over and over. */
async function hour(): Promise<Buffer> {
  const packets = await allPackets(await readOggOpus(source(await fixture('stereo.opus'))));
  const pages = Array.from({ length: 3600 }, (_, page) => ({
    packets: Array.from({ length: 50 }, (_, i) => packets[(page * 50 + i) % packets.length]?.data ?? Buffer.alloc(0)),
    granule: (page + 1) * 48_000 + (page === 3599 ? 312 - 960 : 0),
    last: page === 3599,
  }));
  return (await writeWebm(await readOggOpus(source(oggOpus(pages, opusHead(2)), 65_536)))).file;
}

/** Loudness of each second of each channel. */
function loudness(planes: readonly Float32Array[]): number[][] {
  return planes.map((plane) =>
    Array.from({ length: Math.floor(plane.length / 48_000) }, (_, second) => {
      const part = plane.subarray(second * 48_000, (second + 1) * 48_000);
      return Math.sqrt(part.reduce((sum, sample) => sum + sample * sample, 0) / part.length);
    }),
  );
}

test('Chromium decodes both channels of a joined call, each on its own side', { skip, timeout: 400_000 }, async () => {
  const bytes = await joinedCall();
  await using server = await serveFiles(new Map([['call.webm', bytes]]), 1e9);
  const page = await openPage(server.url);
  const decoded = await page.evaluate<Decoded>("decode('call.webm')");
  await page.close();
  assert.equal(decoded.channels, 2);
  assert.ok(Math.abs(decoded.duration - 90) < 0.05, `${decoded.duration} s`);
  const mono = await Promise.all(
    ['dual-0.opus', 'dual-1.opus'].map((name) => decodeOpus(path.join(FIXTURES, name), 1)),
  );
  const expected = loudness(mono.flat());
  for (const [channel, seconds] of expected.entries()) {
    for (const [second, level] of seconds.slice(0, 89).entries()) {
      const actual = decoded.loudness[channel]?.[second] ?? Number.NaN;
      assert.ok(
        Math.abs(actual - level) < 0.002 + level * 0.02,
        `channel ${channel}, second ${second}: ${actual}, ${level}`,
      );
    }
  }
});

test(
  'Chromium plays a joined call from where it is asked to, the right voice on the right side',
  { skip },
  async () => {
    await using server = await serveFiles(new Map([['call.webm', await joinedCall()]]), 2e6);
    const page = await openPage(server.url);
    // At 33 s only the agent speaks (channel 1), at 81 s (90 %) only the customer (channel 0).
    for (const [target, speaker] of [
      [33, 1],
      [81, 0],
    ] as const) {
      const heard = await page.evaluate<Heard>(`playFrom('call.webm', ${target})`);
      assert.ok(Math.abs(heard.duration - 90) < 0.05, `${heard.duration} s`);
      assert.deepEqual(heard.seekable, [0, heard.duration]);
      assert.ok(heard.time > target && heard.time < target + 30, `plays on from ${target}: ${heard.time}`);
      const [speaking = 0, silent = 1] = [heard.peaks[speaker], heard.peaks[1 - speaker]];
      assert.ok(speaking > 0.05 && silent < 0.02, `at ${target} s: ${heard.peaks.join()}`);
    }
    await page.close();
  },
);

test('Chromium reads less than 2 % of an hour to seek to 90 % of it', { skip, timeout: 400_000 }, async () => {
  const bytes = await hour();
  await using server = await serveFiles(new Map([['hour.webm', bytes]]), 1e6);
  const page = await openPage(server.url);
  const seen = await page.evaluate<Seen>("seekTo('hour.webm', 0.9)");
  const sent = server.sent.map(({ start, bytes }) => ({ start, bytes }));
  await page.close();
  assert.ok(Math.abs(seen.duration - 3600) < 0.05, `${seen.duration} s`);
  assert.deepEqual(seen.seekable, [0, seen.duration]);
  assert.ok(Math.abs(seen.time - 3240) < 0.05);
  const total = sent.reduce((sum, answer) => sum + answer.bytes, 0);
  assert.ok(total < bytes.length * 0.02, `${total} of ${bytes.length} bytes: ${JSON.stringify(sent)}`);
});

test('Chromium shows and seeks a re-wrapped screen recording', { skip, timeout: 400_000 }, async () => {
  const { file } = await writeWebm(await readWebm(source(await fixture('screen-vp8-silent.webm'))));
  await using server = await serveFiles(new Map([['screen.webm', file]]), 1e7);
  const page = await openPage(server.url);
  const seen = await page.evaluate<Seen>("seekTo('screen.webm', 0.9)");
  await page.close();
  assert.deepEqual([seen.width, seen.height], [1280, 720]);
  assert.ok(Math.abs(seen.duration - 20) < 0.05, `${seen.duration} s`);
  assert.ok(Math.abs(seen.time - 18) < 0.05);
});

test('Chromium knows the length of a live stream whose source told it', { skip, timeout: 400_000 }, async () => {
  const stream = await readOggOpus(source(await fixture('stereo.opus')));
  const writer = new WebmWriter(stream.tracks, { durationMs: 30_000 });
  const clusters: Buffer[] = [];
  for await (const batch of stream.packets) clusters.push(...writer.add(batch));
  const live = Buffer.concat([writer.liveHead, ...clusters, ...writer.end()]);
  checkWebm(live, { live: true });
  await using server = await serveFiles(new Map([['live.webm', live]]), 1e7);
  const page = await openPage(server.url);
  const heard = await page.evaluate<Heard>("playFrom('live.webm', 0)");
  await page.close();
  assert.equal(heard.duration, 30);
  assert.ok(heard.time > 0);
});
