/** The way of one recording over real parts: a simulated Genesys Cloud, the folder archive, ffmpeg. What comes out is whole, or nothing does. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Archive, Deposit } from '../src/archive/archive.ts';
import { openFolderArchive, type FolderArchive } from '../src/archive/folder/folder.ts';
import type { Manifest } from '../src/archive/manifest.ts';
import { verifyStored } from '../src/archive/verify.ts';
import { Failure } from '../src/failure.ts';
import { createGenesys } from '../src/genesys/open-genesys.ts';
import type { Genesys } from '../src/genesys/genesys.ts';
import { Slots } from '../src/media/encoder/slots.ts';
import { levelFactsOf, parseLevels } from '../src/levels.ts';
import { createMetrics, type Metrics } from '../src/telemetry/metrics.ts';
import type { LiveWebm } from '../src/media/live.ts';
import { Pipeline } from '../src/pipeline.ts';
import { pathOf, type Recording } from '../src/recording.ts';
import { filesIn } from './support/archive/folder.ts';
import { openStaging } from './support/encoders/fake.ts';
import { failureOf } from './support/failure-of.ts';
import { ffmpeg, probeComplaints, probeDuration } from './support/media/ffmpeg.ts';
import { bytesOfFixture, type Fixture, FIXTURES, simulated, sourceFacts } from './support/media/fixtures.ts';
import { type SimulatedRecording, startGenesysServer } from './support/genesys/server.ts';
import { oggOpus, type OpusPage } from './support/media/ogg-write.ts';
import { checkWebm } from './support/media/webm-check.ts';
import { makingWith } from './support/media/making.ts';

const HANG_GUARD = { timeout: 400_000 };
const running = new AbortController().signal;

const staging = await openStaging();
after(() => staging[Symbol.asyncDispose]());
const server = await startGenesysServer({ rateLimit: { allowed: 10_000, windowS: 60 } });
after(() => server.close());

/** An archive of its own, and a pipeline over it. Times between tries are short; nothing else is. */
interface Place extends AsyncDisposable {
  readonly pipeline: Pipeline;
  readonly archive: FolderArchive;
  readonly path: string;
  readonly slots: Slots;
  readonly metrics: Metrics;
  readonly genesys: Genesys;
  /** A second worker on the same archive. */
  another(): Pipeline;
  /** Every file in the archive folder. */
  files(): Promise<readonly string[]>;
}

async function open({ keepOriginal = false, maxDurationMs = 3_600_000, encoder = staging.real } = {}): Promise<Place> {
  const path = await mkdtemp(join(tmpdir(), 'pipeline-'));
  const archive = openFolderArchive({ path, linkKeys: ['key'], publicUrl: 'http://127.0.0.1' });
  const slots = new Slots({ slots: 2, maxWaiting: 4, archives: true });
  const metrics = createMetrics();
  const backoff = { baseMs: 1, capMs: 2 };
  const genesys = createGenesys(server.config(), {
    baseDelayMs: 1,
    mediaBaseDelayMs: 1,
    download: { backoff, idleMs: 5_000 },
  });
  const tools = makingWith({ ffmpeg: encoder, slots, maxDurationMs });
  const another = (): Pipeline => new Pipeline({ genesys, archive, tools, metrics, keepOriginal, version: '1.2.3' });
  return {
    pipeline: another(),
    archive,
    path,
    slots,
    metrics,
    genesys,
    another,
    files: async () => (await filesIn(path)).toSorted(),
    [Symbol.asyncDispose]: async () => {
      await genesys.close();
      await rm(path, { recursive: true });
    },
  };
}

let count = 0;

/** A new recording that the simulated Genesys knows. */
function add(fixture: Fixture, change: Partial<SimulatedRecording> = {}): Recording & { conversationId: string } {
  count += 1;
  const ids = { recordingId: `r-${String(count)}`, conversationId: `c-${String(count)}` };
  server.addRecording({ ...simulated(ids.recordingId, ids.conversationId, fixture), ...change });
  return ids;
}

function addBytes(contentType: string, ...channels: readonly Buffer[]): Recording & { conversationId: string } {
  const files = channels.map((bytes, index) => ({ channel: String(index), contentType, bytes }));
  return add(FIXTURES.opus, { files });
}

async function archive(
  { pipeline }: Pick<Place, 'pipeline'>,
  recording: Recording,
  signal = running,
): Promise<{ readonly manifest: Manifest; readonly fresh: boolean }> {
  return pipeline.archive({ recording, attempt: 2, traceparent: undefined }, signal);
}

/** Nothing to be seen of it, nothing left of it. */
async function assertNothing(place: Place, recording: Recording): Promise<void> {
  assert.deepEqual(await place.files(), []);
  assert.equal(await place.archive.find(recording, running), undefined);
  assert.deepEqual([place.slots.running, place.slots.waiting], [0, 0]);
}

async function bytesOf({ body }: LiveWebm): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** What a listener and the archive have in common: everything from the first Cluster on. */
function clustersOf(webm: Buffer, options?: { readonly live: boolean }): Buffer {
  return webm.subarray(checkWebm(webm, options).headBytes);
}

function stored({ path }: Place, recording: Recording): Promise<Buffer> {
  return readFile(join(path, 'recordings', pathOf(recording), 'recording.webm'));
}

function downloads(recording: Recording): number {
  return server.requests(`media:${recording.recordingId}:*`).length;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

// ── each kind of media ──────────────────────────────────────────────────────────────────────────────────────────

interface Made {
  readonly codecs: readonly string[];
  readonly channels: number;
  readonly why: RegExp;
  readonly extension: string;
}

const sound = { codecs: ['A_OPUS'], channels: 2 };
const picture = { codecs: ['V_VP9', 'A_OPUS'], channels: 2, extension: 'mp4' };
const MADE: Readonly<Record<keyof typeof FIXTURES, Made>> = {
  dual: { ...sound, why: /two mono Ogg Opus files/, extension: 'opus' },
  opus: { ...sound, why: /one Ogg Opus file/, extension: 'opus' },
  wav: { ...sound, why: /WAV.*is not what WebM may hold/, extension: 'wav' },
  ulaw: { ...sound, why: /WAV.*is not what WebM may hold/, extension: 'wav' },
  mp3: { ...sound, why: /MP3 is not what WebM may hold/, extension: 'mp3' },
  mp4: { ...picture, why: /MP4.*is not what WebM may hold$/ },
  mp4IndexLast: { ...picture, why: /its index is at the end and was read ahead by range/ },
  webm: { codecs: ['V_VP8'], channels: 0, why: /WebM with codecs every browser plays/, extension: 'webm' },
};

function isFixture(name: string): name is keyof typeof FIXTURES {
  return Object.hasOwn(FIXTURES, name);
}

for (const name of Object.keys(FIXTURES).filter(isFixture)) {
  const fixture: Fixture = FIXTURES[name];
  const made = MADE[name];
  test(`${fixture.files.join(' and ')}: ${fixture.way}, complete and proven by its manifest`, HANG_GUARD, async () => {
    await using place = await open({ keepOriginal: true });
    const recording = add(fixture, { durationMs: fixture.seconds * 1000 });
    const { manifest, fresh } = await archive(place, recording);
    assert.equal(fresh, true);
    assert.equal(manifest.way, fixture.way);
    assert.match(manifest.why, made.why);
    assert.equal(manifest.encoder === null, !fixture.way.startsWith('encode'));
    if (manifest.encoder !== null) assert.match(manifest.encoder, /^ffmpeg \S+/);
    const { startedAt, finishedAt, webm } = manifest;
    assert.ok(Date.parse(startedAt) <= Date.parse(finishedAt));
    assert.partialDeepStrictEqual(manifest, {
      version: 1,
      ...recording,
      api: 'recordings',
      attempt: 2,
      service: '1.2.3',
      medium: fixture.media === 'screen' ? 'video' : 'audio',
      recordedAt: '2026-08-05T09:12:03.412Z',
    });
    assert.deepEqual(webm.codecs, made.codecs);
    assert.equal(webm.channels, made.channels);
    assert.equal(webm.contentType, fixture.media === 'screen' ? 'video/webm' : 'audio/webm');
    await assertPlays(place, recording, { ...fixture, webm });
    await assertOriginals(place, recording, { fixture, manifest, extension: made.extension });
    await assertLevels(place, recording, manifest);
    assert.deepEqual(await archive(place, recording), { manifest, fresh: false });
    // An index at the end is read by ranges beside the one download.
    const whole = server.requests(`media:${recording.recordingId}:*`).filter(({ range }) => range === undefined);
    assert.equal(whole.length, fixture.files.length);
  });
}

/** What sounds has levels as long as it plays, and the picture of them in its manifest. */
async function assertLevels({ archive: stored }: Place, recording: Recording, manifest: Manifest): Promise<void> {
  const bytes = await stored.levels(manifest, running);
  const { channels, durationMs } = manifest.webm;
  if (channels === 0) {
    assert.deepEqual([bytes, manifest.levels], [undefined, undefined]);
    return;
  }
  const levels = parseLevels(bytes ?? Buffer.alloc(0));
  assert.ok(levels !== undefined, recording.recordingId);
  assert.deepEqual(
    levels.channels.map(({ values }) => values.length),
    Array.from({ length: channels }, () => Math.ceil(durationMs / 100)),
  );
  assert.deepEqual(levelFactsOf(levels), manifest.levels);
  const { speakingS = [], bothS = 0, silentS = 0 } = manifest.levels ?? {};
  const all = speakingS.reduce((sum, each) => sum + each, silentS - bothS);
  assert.ok(Math.abs(all - durationMs / 1000) < 0.2, `${String(all)} s`);
}

/** By our own walk through the file, by ffprobe, and by decoding all of it. */
async function assertPlays(
  place: Place,
  recording: Recording,
  { seconds, webm }: { readonly seconds: number; readonly webm: Manifest['webm'] },
): Promise<void> {
  const path = join(place.path, 'recordings', pathOf(recording), 'recording.webm');
  const bytes = await readFile(path);
  assert.deepEqual([bytes.length, sha256(bytes)], [webm.sizeBytes, webm.sha256]);
  assert.deepEqual(await verifyStored(place.archive, recording, running), []);
  const checked = checkWebm(bytes);
  assert.equal(checked.durationMs, webm.durationMs);
  assert.ok(Math.abs(webm.durationMs - seconds * 1000) < 150, `${String(webm.durationMs)} ms`);
  assert.ok(Math.abs((await probeDuration(path)) - seconds) < 0.15);
  assert.equal(await probeComplaints(path), '');
  assert.ok((await ffmpeg('-i', path, '-f', 'framemd5', 'pipe:1')).length > 1000);
}

async function assertOriginals(
  place: Place,
  recording: Recording,
  { fixture, manifest, extension }: { fixture: Fixture; manifest: Manifest; extension: string },
): Promise<void> {
  const folder = join(place.path, 'recordings', pathOf(recording));
  const only = fixture.files.length === 1;
  const names = fixture.files.map((_, index) => `original${only ? '' : `.${String(index)}`}.${extension}`);
  const facts = sourceFacts(fixture);
  assert.deepEqual(
    manifest.sources.map(({ sizeBytes, sha256, original }) => ({ sizeBytes, sha256, original })),
    facts.map((fact, index) => ({ ...fact, original: names[index] })),
  );
  const others = (await filesIn(folder)).filter((name) => name !== 'levels.bin');
  assert.deepEqual(others.toSorted(), [...names, 'manifest.json', 'recording.webm'].toSorted());
  for (const [index, file] of fixture.files.entries())
    assert.ok((await readFile(join(folder, names[index] ?? ''))).equals(bytesOfFixture(file)), file);
}

test('without ARCHIVE_ORIGINAL nothing lies beside the WebM but its manifest and its levels', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.dual);
  const { manifest } = await archive(place, recording);
  const folder = `recordings/${pathOf(recording)}`;
  const day = `days/2026-08-05/${recording.conversationId}.${recording.recordingId}`;
  assert.deepEqual(
    await place.files(),
    [day].concat(['levels.bin', 'manifest.json', 'recording.webm'].map((name) => `${folder}/${name}`)),
  );
  assert.deepEqual(
    manifest.sources,
    sourceFacts(FIXTURES.dual).map((fact, index) => ({ channel: String(index), contentType: 'audio/ogg', ...fact })),
  );
});

for (const fixture of [FIXTURES.dual, FIXTURES.wav])
  test(
    `who waits for an encoder is told once all is made and nothing is stored: ${fixture.way}`,
    HANG_GUARD,
    async () => {
      await using place = await open();
      const recording = add(fixture);
      const told: unknown[] = [];
      const onMade = (): void => {
        const visible = readdirSync(place.path, { recursive: true, encoding: 'utf8' });
        told.push([
          place.slots.running,
          visible.filter((name) => name.endsWith('.webm') && !name.startsWith('staging')),
        ]);
      };
      const work = { recording, attempt: 1, traceparent: undefined, onMade };
      const { manifest } = await place.pipeline.archive(work, running);
      assert.deepEqual(told, [[0, []]]);
      assert.deepEqual(await place.pipeline.archive(work, running), { manifest, fresh: false });
      assert.equal(told.length, 1, 'nothing is made of what is there');
    },
  );

test('invariant 8: neither a URL nor a signature is in the manifest', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.opus);
  await archive(place, recording);
  const text = await readFile(join(place.path, 'recordings', pathOf(recording), 'manifest.json'), 'utf8');
  assert.doesNotMatch(text, /https?:|X-Amz|ignature|127\.0\.0\.1/);
});

test('a recording without a conversation comes by the Media API', HANG_GUARD, async () => {
  await using place = await open();
  const files = [{ channel: 'media', contentType: 'audio/wav', bytes: bytesOfFixture('stereo-ulaw.wav') }];
  server.addRecording({ recordingId: 'alone', files });
  const { manifest } = await archive(place, { recordingId: 'alone', conversationId: undefined });
  assert.partialDeepStrictEqual(manifest, { api: 'media', conversationId: null, recordedAt: null });
  assert.ok((await place.files()).includes('recordings/_/alone/recording.webm'));
});

// ── nothing or everything ───────────────────────────────────────────────────────────────────────────────────────

/** Media that is not all there, in every way it can be. */
const BROKEN: readonly (readonly [string, Fixture, Partial<SimulatedRecording>, string | undefined, RegExp])[] = [
  ['a body shorter than its length', FIXTURES.wav, {}, 'length:+50000', /^(incomplete|upstream-)/],
  ['a body that breaks off', FIXTURES.opus, {}, 'return-broken-stream-after-64K', /^(incomplete|upstream-)/],
  ['a body longer than its length', FIXTURES.wav, {}, 'length:-50000', /^incomplete$/],
  ['an empty body', FIXTURES.wav, {}, 'body:zero', /^unreadable-media$/],
  ['a web page', FIXTURES.wav, {}, 'body:html', /^upstream-error$/],
  ['a WAV cut short', FIXTURES.wav, cut('stereo-pcm.wav', 400_000), undefined, /^incomplete$/],
  [
    'an Ogg Opus file cut in a page',
    FIXTURES.opus,
    cut('stereo.opus', 100_001),
    undefined,
    /^(incomplete|unreadable-media)$/,
  ],
  [
    'a WebM cut in a Cluster',
    FIXTURES.webm,
    cut('screen-vp8-silent.webm', 700_001),
    undefined,
    /^(incomplete|unreadable-media)$/,
  ],
  ['a duration that is not what Genesys says', FIXTURES.opus, { durationMs: 60_000 }, undefined, /^incomplete$/],
  [
    'an encoded duration that is not what Genesys says',
    FIXTURES.mp3,
    { durationMs: 20_000 },
    undefined,
    /^incomplete$/,
  ],
];

/** Once so, and from then on so that no byte more is gained by resuming. */
function breakDown(route: string, fault: string): void {
  const again = fault.startsWith('return-broken-stream') ? 'return-broken-stream-after-0K' : fault;
  server.fault(route, fault);
  server.fault(route, again, 40);
}

function cut(name: string, sizeBytes: number): Partial<SimulatedRecording> {
  return { files: [{ channel: '0', contentType: 'audio/wav', bytes: bytesOfFixture(name).subarray(0, sizeBytes) }] };
}

for (const [what, fixture, change, fault, code] of BROKEN) {
  test(`invariant 4: of ${what} nothing becomes visible`, HANG_GUARD, async () => {
    await using place = await open({ keepOriginal: true });
    const recording = add(fixture, change);
    if (fault !== undefined) breakDown(`media:${recording.recordingId}:*`, fault);
    const failure = await failureOf(archive(place, recording));
    assert.match(failure.code, code, failure.message);
    await assertNothing(place, recording);
  });
}

test('invariant 4: with one of two channels broken there is neither (SR-32)', HANG_GUARD, async () => {
  await using place = await open({ keepOriginal: true });
  const recording = add(FIXTURES.dual);
  breakDown(`media:${recording.recordingId}:1`, 'return-broken-stream-after-100K');
  await failureOf(archive(place, recording));
  await assertNothing(place, recording);
});

test(
  'invariant 4: media that changes while it is downloaded is not mixed, and the next attempt has the new one',
  HANG_GUARD,
  async () => {
    await using place = await open();
    const recording = add(FIXTURES.wav);
    server.fault(`media:${recording.recordingId}:0`, 'return-broken-stream-after-200K');
    const files = [{ channel: '0', contentType: 'audio/wav', bytes: bytesOfFixture('stereo-ulaw.wav') }];
    // Before the download goes on, after it has begun.
    const changed = server
      .reached(`media:${recording.recordingId}:0`, 1, running)
      .then(() => server.update(recording.recordingId, { files }));
    const failure = await failureOf(archive(place, recording));
    await changed;
    assert.equal(failure.retry, 'wait', failure.code);
    await assertNothing(place, recording);
    const { manifest } = await archive(place, recording);
    assert.equal(manifest.sources[0]?.sha256, sha256(bytesOfFixture('stereo-ulaw.wav')));
  },
);

/** Encoders of test/support/encoders: what they leave out, and how they end. */
const MISBEHAVING = [
  ['short', 'ends well after a part', 'incomplete'],
  ['crash-late', 'fails after it has written everything', 'encoder-failed'],
  ['crash-midway', 'gives the media up midway', 'unreadable-media'],
  ['killed', 'is killed midway', 'encoder-failed'],
] as const;

for (const [name, what, code] of MISBEHAVING) {
  test(
    `invariant 4: of an encoder that ${what} nothing becomes visible, and no listener takes it for all`,
    HANG_GUARD,
    async () => {
      await using place = await open({ encoder: await staging.fake(name), keepOriginal: true });
      const recording = add(FIXTURES.wav);
      // One cannot kill itself in its cage: that is for us to do, once it has written all it will.
      const end = async (): Promise<void> => (name === 'killed' ? staging.kill('sleep') : undefined);
      const [failure] = await Promise.all([failureOf(archive(place, recording)), end()]);
      assert.equal(failure.code, code, failure.message);
      await assertNothing(place, recording);
      const listening = place.pipeline.listen(recording, running);
      const [heard] = await Promise.all([failureOf(listening.then(bytesOf)), end()]);
      assert.equal(heard.code, code);
      assert.deepEqual(await staging.leftovers(), []);
    },
  );
}

test('a broken recording keeps no other from being archived', HANG_GUARD, async () => {
  await using place = await open();
  const [broken, whole] = [add(FIXTURES.wav, cut('stereo-pcm.wav', 300_000)), add(FIXTURES.wav)];
  const [first, second] = await Promise.allSettled([archive(place, broken), archive(place, whole)]);
  assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled']);
});

test('what was lost between the maker and the archive is noticed, and nothing is stored', HANG_GUARD, async () => {
  await using place = await open();
  const { archive: real, genesys, slots, metrics } = place;
  const begin = async (...args: Parameters<FolderArchive['begin']>): Promise<Deposit> => {
    const deposit = await real.begin(...args);
    let clusters = 0;
    return {
      clusters: {
        write: async (chunk) => {
          clusters += 1;
          await deposit.clusters.write(clusters === 2 ? Buffer.alloc(0) : chunk);
        },
      },
      original: (...opened) => deposit.original(...opened),
      keepLevels: (...kept) => deposit.keepLevels(...kept),
      commit: (...proof) => deposit.commit(...proof),
      [Symbol.asyncDispose]: () => deposit[Symbol.asyncDispose](),
    };
  };
  const lossy: Archive = Object.assign(openFolderArchive({ path: place.path, linkKeys: ['key'], publicUrl: '' }), {
    begin,
  });
  const tools = makingWith({ ffmpeg: staging.real, slots });
  const pipeline = new Pipeline({ genesys, archive: lossy, tools, metrics, keepOriginal: false, version: '1.2.3' });
  const recording = add(FIXTURES.opus);
  const failure = await failureOf(pipeline.archive({ recording, attempt: 1, traceparent: undefined }, running));
  assert.equal(failure.code, 'internal');
  assert.match(failure.message, /^The WebM has \d+ bytes, but \d+ reached the archive/);
  await assertNothing(place, recording);
});

test('a recording longer than MAX_DURATION_S is refused, by every way', HANG_GUARD, async () => {
  await using place = await open({ maxDurationMs: 10_000 });
  for (const fixture of [FIXTURES.opus, FIXTURES.wav]) {
    const recording = add(fixture);
    assert.equal((await failureOf(archive(place, recording))).code, 'media-too-large');
    await assertNothing(place, recording);
  }
});

test('what Genesys is not ready with leaves nothing behind, and downloads nothing', HANG_GUARD, async () => {
  await using place = await open({ keepOriginal: true });
  const recording = add(FIXTURES.opus, { states: ['transcoding'] });
  assert.equal((await failureOf(archive(place, recording))).code, 'not-ready');
  await assertNothing(place, recording);
  assert.equal(downloads(recording), 0);
});

test(
  'work that is stopped midway leaves nothing behind: no file, no encoder, no download (PR-01)',
  HANG_GUARD,
  async () => {
    for (const fixture of [FIXTURES.wav, FIXTURES.dual]) {
      await using place = await open({ keepOriginal: true });
      const recording = add(fixture);
      server.fault(`media:${recording.recordingId}:0`, 'stall-after-100K');
      const stop = new AbortController();
      const archiving = failureOf(archive(place, recording, stop.signal));
      await server.reached(`media:${recording.recordingId}:0`, 1, running);
      stop.abort(new Failure('stopped', 'Stopped by the test.'));
      assert.equal((await archiving).code, 'stopped');
      await assertNothing(place, recording);
    }
  },
);

// ── a way that does not fit ─────────────────────────────────────────────────────────────────────────────────────

/** Silence of so many packets of so many ms each, as CELT. */
function silence(packets: number, ms: 10 | 20): readonly Buffer[] {
  return Array.from({ length: packets }, () => Buffer.from([ms === 20 ? 0xf8 : 0xf0, 0xff, 0xfe]));
}

/** Mono silence in packets of 20 ms; behind so many seconds, in packets of 10 ms. */
function mono(seconds: number, changesAt = seconds): Buffer {
  const pages = Array.from({ length: seconds }, (_, page): OpusPage => {
    const packets =
      page === changesAt
        ? [...silence(2, 20), ...silence(96, 10)]
        : silence(page < changesAt ? 50 : 100, page < changesAt ? 20 : 10);
    return { packets, granule: (page + 1) * 48_000, last: page === seconds - 1 };
  });
  return oggOpus(pages);
}

test('two channels that turn out midway not to fit are encoded instead', HANG_GUARD, async () => {
  await using place = await open();
  const fitting = addBytes('audio/ogg', mono(5), mono(5));
  assert.equal((await archive(place, fitting)).manifest.way, 'join');
  const unfit = addBytes('audio/ogg', mono(5), mono(5, 4));
  const { manifest } = await archive(place, unfit);
  assert.equal(manifest.way, 'encode-audio');
  assert.match(manifest.why, /cannot be joined without decoding/);
  assert.ok(Math.abs(manifest.webm.durationMs - 5000) < 50, String(manifest.webm.durationMs));
  assert.equal(downloads(unfit), 4);
  assert.deepEqual(await verifyStored(place.archive, unfit, running), []);
});

test(
  'a listener to such channels hears them encoded, unless he has heard of the others already',
  HANG_GUARD,
  async () => {
    await using place = await open();
    const short = addBytes('audio/ogg', mono(5), mono(5, 0));
    const heard = await bytesOf(await place.pipeline.listen(short, running));
    assert.ok((checkWebm(heard, { live: true }).blocks.at(-1)?.timeMs ?? 0) > 4_500);
    const long = addBytes('audio/ogg', mono(90), mono(90, 89));
    const { body } = await place.pipeline.listen(long, running);
    const iterator = body[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).done, false);
    const rest = bytesOf({ contentType: '', body: { [Symbol.asyncIterator]: () => iterator } });
    assert.equal((await failureOf(rest)).code, 'unsupported-media');
  },
);

// ── sharing ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('archiving and listening at once is one download and one encoder, and both get the same', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.ulaw);
  server.fault(`media:${recording.recordingId}:0`, 'stall-for-0.5s-after-100K');
  const archiving = archive(place, recording);
  await server.reached(`media:${recording.recordingId}:0`, 1, running);
  const listeners = await Promise.all([1, 2].map(() => place.pipeline.listen(recording, running)));
  const heard = await Promise.all(listeners.map(bytesOf));
  const { fresh } = await archiving;
  assert.equal(fresh, true);
  assert.deepEqual(
    listeners.map(({ contentType }) => contentType),
    ['audio/webm', 'audio/webm'],
  );
  const clusters = clustersOf(await stored(place, recording));
  for (const webm of heard) assert.ok(clustersOf(webm, { live: true }).equals(clusters));
  assert.deepEqual([downloads(recording), server.requests(`recording:${recording.recordingId}`).length], [1, 1]);
});

test('who leaves a making that others need takes nothing from them', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.wav);
  server.fault(`media:${recording.recordingId}:0`, 'stall-for-0.5s-after-600K');
  const archiving = archive(place, recording);
  await server.reached(`media:${recording.recordingId}:0`, 1, running);
  const leave = new AbortController();
  const listening = await place.pipeline.listen(recording, leave.signal);
  leave.abort(new Failure('stopped', 'The listener left.'));
  assert.equal((await failureOf(bytesOf(listening))).code, 'stopped');
  assert.equal((await archiving).fresh, true);
  assert.equal(downloads(recording), 1);
});

test('work that is stopped leaves the listener his stream', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.wav);
  server.fault(`media:${recording.recordingId}:0`, 'stall-for-0.5s-after-600K');
  const stop = new AbortController();
  const archiving = failureOf(archive(place, recording, stop.signal));
  await server.reached(`media:${recording.recordingId}:0`, 1, running);
  const listening = await place.pipeline.listen(recording, running);
  stop.abort(new Failure('stopped', 'The worker stops.'));
  assert.equal((await archiving).code, 'stopped');
  const last = checkWebm(await bytesOf(listening), { live: true }).blocks.at(-1);
  assert.ok((last?.timeMs ?? 0) > 29_000, String(last?.timeMs));
  assert.equal(downloads(recording), 1);
  assert.deepEqual(await place.files(), []);
});

test('the last listener who leaves stops the download and the encoder', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.wav);
  server.fault(`media:${recording.recordingId}:0`, 'stall-after-600K');
  const leave = new AbortController();
  const listening = await place.pipeline.listen(recording, leave.signal);
  assert.equal(place.slots.running, 1);
  leave.abort(new Failure('stopped', 'The listener left.'));
  assert.equal((await failureOf(bytesOf(listening))).code, 'stopped');
  while (place.slots.running > 0) await new Promise((resolve) => setImmediate(resolve));
  await assertNothing(place, recording);
});

test('invariant 3: asked for many times at once, by two workers, it is one object', HANG_GUARD, async () => {
  await using place = await open();
  const recording = add(FIXTURES.opus);
  server.fault(`media:${recording.recordingId}:0`, 'stall-for-0.3s-after-64K', 2);
  const other = { pipeline: place.another() };
  const results = await Promise.all([place, place, place, other, other].map((each) => archive(each, recording)));
  const [first] = results;
  for (const { manifest } of results) assert.deepEqual(manifest, first?.manifest);
  assert.equal(downloads(recording), 2, 'one for each worker');
  assert.equal((await place.files()).length, 4);
  assert.deepEqual(await verifyStored(place.archive, recording, running), []);
});

/** As large as a packet can be, and each another. */
function largest(number: number): Buffer {
  const bytes = Buffer.alloc(1275, number & 0xff);
  bytes[0] = 0xf8;
  bytes.writeUInt32LE(number, 1);
  return bytes;
}

/** An Ogg Opus file of 200 s whose WebM is larger than what a making keeps. */
function large(): Buffer {
  const pages = Array.from({ length: 250 }, (_, page): OpusPage => {
    const packets = Array.from({ length: 40 }, (_unused, index) => largest(page * 40 + index));
    return { packets, granule: (page + 1) * 40 * 960, last: page === 249 };
  });
  return oggOpus(pages);
}

test('a listener left behind goes on with a making of its own and hears everything, once', HANG_GUARD, async () => {
  await using place = await open();
  const recording = addBytes('audio/ogg', large());
  const listening = await place.pipeline.listen(recording, running);
  const body = listening.body[Symbol.asyncIterator]();
  const heard: Buffer[] = [];
  for (let chunks = 0; chunks < 4; chunks += 1) {
    const step = await body.next();
    if (step.done !== true) heard.push(step.value);
  }
  const { manifest } = await archive(place, recording);
  assert.ok(manifest.webm.sizeBytes > 10 * 1024 * 1024);
  assert.equal(downloads(recording), 1, 'the listener set out first, and archiving joined in');
  heard.push(await bytesOf({ ...listening, body: { [Symbol.asyncIterator]: () => body } }));
  assert.equal(downloads(recording), 2);
  const clusters = clustersOf(await stored(place, recording));
  assert.ok(clustersOf(Buffer.concat(heard), { live: true }).equals(clusters));
});

test('a listener left behind before he heard anything hears all of it, head first', HANG_GUARD, async () => {
  await using place = await open();
  const recording = addBytes('audio/ogg', large());
  const listening = await place.pipeline.listen(recording, running);
  await archive(place, recording);
  const heard = await bytesOf(listening);
  assert.ok(clustersOf(heard, { live: true }).equals(clustersOf(await stored(place, recording))));
});

test('a listener left behind whose recording has changed meanwhile is broken off', HANG_GUARD, async () => {
  await using place = await open();
  const bytes = large();
  const recording = addBytes('audio/ogg', bytes);
  const listening = await place.pipeline.listen(recording, running);
  const body = listening.body[Symbol.asyncIterator]();
  for (let chunks = 0; chunks < 4; chunks += 1) await body.next();
  await archive(place, recording);
  // Whole in itself, but not what was heard: other bytes, or fewer than were heard.
  const files = [{ channel: '0', contentType: 'audio/ogg', bytes: bytesOfFixture('stereo.opus') }];
  server.update(recording.recordingId, { files });
  assert.equal((await failureOf(bytesOf({ ...listening, body: { [Symbol.asyncIterator]: () => body } }))).code, 'busy');
});

// ── a live stream ───────────────────────────────────────────────────────────────────────────────────────────────

test('a live stream says its duration where it is known beforehand', HANG_GUARD, async () => {
  await using place = await open();
  const listening = await place.pipeline.listen(add(FIXTURES.wav), running);
  const { durationMs } = checkWebm(await bytesOf(listening), { live: true });
  assert.ok(Math.abs((durationMs ?? 0) - 30_000) < 150, String(durationMs));
});

test('the figures count what came in and what was stored, once', HANG_GUARD, async () => {
  await using place = await open();
  const { manifest } = await archive(place, add(FIXTURES.dual));
  const sizeBytes = sourceFacts(FIXTURES.dual).reduce((sum, fact) => sum + fact.sizeBytes, 0);
  const text = await place.metrics.text();
  assert.match(text, new RegExp(`bytes_total{direction="in"} ${String(sizeBytes)}\\n`));
  assert.match(text, new RegExp(`bytes_total{direction="out"} ${String(manifest.webm.sizeBytes)}\\n`));
});
