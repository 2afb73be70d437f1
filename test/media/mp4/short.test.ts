/** Short MP4s over a real download: what has been read to its end is not asked for again, and is archived. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDownloader } from '../../../src/download/download.ts';
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { Slots } from '../../../src/media/encoder/slots.ts';
import { makeWebm } from '../../../src/media/make-webm.ts';
import { SNIFF_BYTES } from '../../../src/media/sniff.ts';
import { createMediaHost, serving } from '../../support/genesys/media-host.ts';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { boxOf } from '../../support/media/mp4-write.ts';
import { allClusters } from '../../support/media/made.ts';
import { checkWebm } from '../../support/media/webm-check.ts';
import { withFile } from '../../support/media/files.ts';
import { Purpose } from '../../../src/media/purpose.ts';
import { makingWith } from '../../support/media/making.ts';

const NEVER = new AbortController().signal;
const FFMPEG = await checkFfmpeg();

/** A second of a black screen, 10 frames: ftyp, free, mdat, moov. */
const SCREEN = await withFile('screen.mp4', async (path) =>
  ffmpeg('-y', '-f', 'lavfi', '-i', 'color=black:size=320x240:rate=10:duration=1', '-c:v', 'libx264', path),
);
/** The smallest that ffmpeg writes: a fiftieth of a second of sound, ftyp, wide, mdat, moov. */
const SOUND = await withFile('sound.mov', async (path) =>
  ffmpeg(
    '-y',
    '-f',
    'lavfi',
    '-i',
    'sine=sample_rate=8000:duration=0.02',
    '-c:a',
    'pcm_mulaw',
    '-fflags',
    '+bitexact',
    path,
  ),
);

/** The same with so many bytes of `free` in front of the media or behind it. */
function padded(mp4: Buffer, sizeBytes: number, place: 'front' | 'behind'): Buffer {
  const moov = mp4.indexOf('moov') - 4;
  const at = place === 'behind' ? moov : mp4.readUInt32BE(0);
  const padding = boxOf('free', Buffer.alloc(sizeBytes - mp4.length - 8));
  const whole = Buffer.concat([mp4.subarray(0, at), padding, mp4.subarray(at)]);
  const table = whole.indexOf('stco');
  if (place === 'front') whole.writeUInt32BE(whole.readUInt32BE(table + 12) + padding.length, table + 12);
  return whole;
}

async function durationOf(mp4: Buffer): Promise<number> {
  const host = await createMediaHost(serving(mp4));
  const config = { apiUrl: 'https://api.mypurecloud.com', mediaHosts: [{ origin: host.origin }], maxMediaBytes: 1e6 };
  const downloader = createDownloader(config);
  try {
    const open = (signal: AbortSignal) => downloader.open(async () => ({ url: host.url(), headers: {} }), signal);
    const order = {
      files: [{ channel: '0', open }],
      durationMs: undefined,
      ways: 'any',
      purpose: new Purpose('archiving'),
    } as const;
    const tools = makingWith({ ffmpeg: FFMPEG, slots: new Slots({ slots: 1, maxWaiting: 1, archives: true }) });
    const made = await makeWebm(order, tools, NEVER);
    const clusters = await allClusters(made);
    const { head, durationMs } = made.result();
    checkWebm(Buffer.concat([head, ...clusters]));
    return durationMs;
  } finally {
    await downloader.close();
    await host.close();
  }
}

const around = [-2, -1, 0, 1, 2, 9].map((more) => SNIFF_BYTES + more);
const SIZES = [SCREEN.length, SCREEN.length + 8, 2000, 3000, ...around, 6000, 65_535, 65_536, 65_537];

for (const size of SIZES) {
  test(`(A1) a screen of ${String(size)} bytes with its index behind is archived`, { timeout: 300_000 }, async () => {
    for (const place of size === SCREEN.length ? [] : (['front', 'behind'] as const)) {
      assert.ok(Math.abs((await durationOf(padded(SCREEN, size, place))) - 1000) < 110);
    }
    if (size === SCREEN.length) assert.ok(Math.abs((await durationOf(SCREEN)) - 1000) < 110);
  });
}

test(
  `(A1) a sound of ${String(SOUND.length)} bytes with its index behind is archived`,
  { timeout: 300_000 },
  async () => {
    assert.ok(SOUND.length < 1000);
    assert.ok(Math.abs((await durationOf(SOUND)) - 20) < 20);
  },
);
