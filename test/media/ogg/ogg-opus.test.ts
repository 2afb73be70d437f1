import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import type { Packet } from '../../../src/media/packet.ts';
import { WebmWriter } from '../../../src/media/webm/writer.ts';
import { decodeOpus, ffmpeg, probeComplaints, probeDuration } from '../../support/media/ffmpeg.ts';
import { oggOpus, oggPage } from '../../support/media/ogg-write.ts';
import { allPackets, opusHead, source, writeWebm } from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const FIXTURES = path.join(import.meta.dirname, '../../fixtures');
const SILENCE = Buffer.from([0xf8, 0xff, 0xfe]);
let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'ogg-opus-'))));
after(() => rm(folder, { recursive: true }));

function silence(count: number): Buffer[] {
  return Array.from({ length: count }, () => SILENCE);
}

async function read(bytes: Buffer, chunkSize?: number): Promise<Packet[]> {
  return allPackets(await readOggOpus(source(bytes, chunkSize)));
}

function held(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function timesMs(packets: readonly Packet[]): number[] {
  return packets.map((packet) => packet.timeNs / 1e6);
}

function fails(code: FailureCode, text: string) {
  return (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, new RegExp(text));
    return true;
  };
}

test('re-wraps recordings so that every sample is decoded as before', async () => {
  for (const [name, channels, seconds] of [
    ['dual-0.opus', 1, 90],
    ['stereo.opus', 2, 30],
  ] as const) {
    const original = path.join(FIXTURES, name);
    const stream = await readOggOpus(source(await readFile(original), 65_536));
    const { file, result } = await writeWebm(stream);
    assert.equal(stream.hasEndMark, true);
    assert.equal(result.durationMs, seconds * 1000, 'exactly what is heard');
    assert.deepEqual([result.channels, result.codecs], [channels, ['A_OPUS']]);
    checkWebm(file);
    const webm = path.join(folder, `${name}.webm`);
    await writeFile(webm, file);
    assert.equal(await probeComplaints(webm), '');
    assert.equal(await probeDuration(webm), seconds);
    assert.deepEqual(await decodeOpus(webm, channels), await decodeOpus(original, channels));
  }
});

test('re-wraps every frame length and bandwidth sample for sample', async () => {
  for (const args of [
    ['-frame_duration', '2.5', '-application', 'lowdelay'],
    ['-frame_duration', '5'],
    ['-frame_duration', '10', '-cutoff', '4000'],
    ['-frame_duration', '40', '-cutoff', '8000', '-b:a', '12k'],
    ['-frame_duration', '60', '-b:a', '8k', '-application', 'voip'],
    ['-frame_duration', '20', '-application', 'voip', '-b:a', '10k', '-fec', '1', '-packet_loss', '20'],
    ['-frame_duration', '120', '-b:a', '16k'],
  ]) {
    const original = path.join(folder, 'generated.opus');
    const webm = path.join(folder, 'generated.webm');
    const input = ['-y', '-t', '3.217', '-i', `${FIXTURES}/dual-0.opus`, '-c:a', 'libopus', ...args];
    await writeFile(original, await ffmpeg(...input, '-f', 'ogg', 'pipe:1'));
    const { file, result } = await writeWebm(await readOggOpus(source(await readFile(original))));
    await writeFile(webm, file);
    checkWebm(file);
    const decoded = await decodeOpus(original, 1);
    assert.ok(Math.abs(result.durationMs - (decoded[0]?.length ?? 0) / 48) < 0.001, args.join(' '));
    assert.deepEqual(await decodeOpus(webm, 1), decoded, args.join(' '));
  }
});

test('reads the same whatever the chunks are', async () => {
  const bytes = (await readFile(`${FIXTURES}/stereo.opus`)).subarray(0, 20_000);
  const whole = oggOpus([
    { packets: silence(50), granule: 48_000 },
    { packets: silence(7), granule: 54_000, last: true },
  ]);
  const packets = await read(whole, whole.length);
  for (const size of [1, 13, 300]) assert.deepEqual(await read(whole, size), packets);
  await assert.rejects(read(bytes), fails('incomplete', 'byte 20000,'));
});

test('trims the end where the last page says so', async () => {
  const packets = await read(oggOpus([{ packets: silence(3), granule: 2000, last: true }]));
  assert.deepEqual(timesMs(packets), [0, 20, 40]);
  assert.ok(Math.abs((packets[2]?.discardPaddingNs ?? 0) - (880 / 48) * 1e6) < 1);
  const earlier = await read(
    oggOpus([
      { packets: silence(5), granule: 4800 },
      { packets: silence(5), granule: 6000, last: true },
    ]),
  );
  assert.equal(earlier.length, 7, 'packets that are trimmed off entirely are left out');
  assert.equal(earlier[6]?.discardPaddingNs, 15e6);
});

test('lets an empty last page trim the packet before', async () => {
  const packets = await read(
    oggOpus([
      { packets: silence(5), granule: 4800 },
      { packets: [], granule: 4320, last: true },
    ]),
  );
  assert.deepEqual([packets.length, packets[4]?.discardPaddingNs], [5, 10e6]);
  const untouched = await read(
    oggOpus([
      { packets: silence(5), granule: 4800 },
      { packets: [], granule: -1, last: true },
    ]),
  );
  assert.equal(untouched[4]?.discardPaddingNs, undefined);
  const tooMuch = oggOpus([
    { packets: silence(5), granule: 4800 },
    { packets: [], granule: 0, last: true },
  ]);
  await assert.rejects(read(tooMuch), fails('unreadable-media', 'trimmed'));
});

test('keeps gaps as gaps in time, and takes rounded positions for none (ME-09)', async () => {
  const gap = await read(
    oggOpus([
      { packets: silence(2), granule: 1920 },
      { packets: silence(2), granule: 1920 + 48_000 + 1920 },
      { packets: silence(1), granule: 1920 + 48_000 + 2880, last: true },
    ]),
  );
  assert.deepEqual(timesMs(gap), [0, 20, 1040, 1060, 1080]);
  assert.equal(gap[4]?.discardPaddingNs, undefined);
  const rounded = await read(
    oggOpus([
      { packets: silence(1), granule: 960 },
      { packets: silence(1), granule: 1968 },
      { packets: silence(1), granule: 2840 },
      { packets: silence(1), granule: 3840, last: true },
    ]),
  );
  assert.deepEqual(timesMs(rounded), [0, 20, 40, 60]);
});

test('tells where a stream that had already been running begins', async () => {
  const stream = await readOggOpus(source(oggOpus([{ packets: silence(2), granule: 48_000, last: true }])));
  assert.equal(stream.startSamples, 48_000 - 1920);
  assert.deepEqual(timesMs(await allPackets(stream)), [0, 20]);
});

test('continues in time where streams are chained', async () => {
  const first = oggOpus([{ packets: silence(3), granule: 2400, last: true }]);
  const second = oggOpus([{ packets: silence(2), granule: 1920, last: true }], opusHead(1), 8);
  const packets = await read(Buffer.concat([first, second]));
  // The second is heard from 2400 on; its pre-skip of 312 samples lies before.
  assert.deepEqual(timesMs(packets), [0, 20, 40, 43.5, 63.5]);
  assert.equal(packets[2]?.discardPaddingNs, 10e6);
  const stereo = oggOpus([{ packets: silence(2), granule: 1920, last: true }], opusHead(2), 8);
  await assert.rejects(read(Buffer.concat([first, stereo])), fails('unsupported-media', 'chains'));
});

test('says whether the end was marked', async () => {
  const stream = await readOggOpus(source(oggOpus([{ packets: silence(2), granule: 1920 }])));
  assert.equal((await allPackets(stream)).length, 2);
  assert.equal(stream.hasEndMark, false);
});

test('leaves other codecs to an encoder', async () => {
  const flac = await ffmpeg('-t', '1', '-i', `${FIXTURES}/dual-0.opus`, '-c:a', 'flac', '-f', 'ogg', 'pipe:1');
  await assert.rejects(readOggOpus(source(flac)), fails('unsupported-media', 'other than Opus'));
});

test('says for every cut within a page that the end is missing (ME-13)', async () => {
  const whole = oggOpus([
    { packets: silence(5), granule: 4800 },
    { packets: silence(5), granule: 9600, last: true },
  ]);
  const boundaries = new Set<number>();
  for (let at = whole.indexOf('OggS', 1); at !== -1; at = whole.indexOf('OggS', at + 1)) boundaries.add(at);
  for (let end = 0; end < whole.length; end += 1) {
    const cut = read(whole.subarray(0, end), 64);
    if (boundaries.has(end) && end > 50) assert.ok((await cut).length < 10);
    else await assert.rejects(cut, fails('incomplete', '.'));
  }
});

test('names the byte of what Opus does not allow', async () => {
  const headers = oggOpus([]);
  const at = headers.length;
  const head = oggPage({ packets: [opusHead(1)], granule: 0, flags: 2 });
  const cases: readonly (readonly [string, Buffer, string])[] = [
    [
      'time that runs backwards',
      oggOpus([
        { packets: silence(5), granule: 4800 },
        { packets: silence(5), granule: 4800 },
      ]),
      'backwards',
    ],
    ['a start before zero', oggOpus([{ packets: silence(5), granule: 960 }]), `byte ${at}: the first granule`],
    [
      'a leap of years',
      oggOpus([
        { packets: silence(1), granule: 960 },
        { packets: silence(1), granule: 2 ** 50 },
      ]),
      'jumps',
    ],
    ['sound without position', oggOpus([{ packets: silence(1), granule: -1 }]), 'no granule'],
    ['more than 120 ms', oggOpus([{ packets: [Buffer.from([0xfb, 7])], granule: 9600 }]), 'invalid Opus packet'],
    [
      'no comments',
      Buffer.concat([head, oggPage({ packets: [SILENCE], granule: 960, sequence: 1 })]),
      'comment header',
    ],
    ['two headers in a page', oggPage({ packets: [opusHead(1), SILENCE], flags: 2 }), 'shares its page'],
  ];
  for (const [name, bytes, text] of cases) {
    await assert.rejects(read(bytes), fails('unreadable-media', text), name);
  }
  await assert.rejects(read(headers.subarray(0, head.length)), fails('incomplete', 'headers'));
});

test('invariant 6: six hours are re-wrapped within 64 MB, counted over 125 MB written', async () => {
  const packet = Buffer.alloc(120, 0x48);
  async function* hours(): AsyncGenerator<Buffer> {
    yield oggOpus([]);
    for (let page = 1; page <= 6 * 3600; page += 1) {
      const packets = Array.from({ length: 50 }, () => packet);
      yield oggPage({ packets, granule: page * 48_000, sequence: page + 1, flags: page === 6 * 3600 ? 4 : 0 });
    }
  }
  const start = held();
  const stream = await readOggOpus(hours());
  const writer = new WebmWriter(stream.tracks);
  let [most, bytes] = [0, 0];
  for await (const batch of stream.packets) {
    for (const cluster of writer.add(batch)) {
      bytes += cluster.length;
      most = Math.max(most, held() - start);
    }
  }
  assert.ok(bytes > 120 * 1024 * 1024);
  assert.ok(most < 64 * 1024 * 1024, `${most} bytes over the start`);
});

test('makes no file of a stream without a sample (ME-04)', async () => {
  const empty = await readOggOpus(source(oggOpus([{ packets: [], granule: 0, last: true }])));
  await assert.rejects(writeWebm(empty), fails('unreadable-media', 'no sound'));
  const trimmed = await readOggOpus(source(oggOpus([{ packets: silence(1), granule: 0, last: true }])));
  await assert.rejects(writeWebm(trimmed), fails('unreadable-media', 'no sound'));
});
