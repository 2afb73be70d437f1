/** What the archive holds, played over HTTP from a real folder and a real bucket: what is answered, and what it costs. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import type { Archive } from '../../src/archive/archive.ts';
import { etagOf } from '../../src/archive/manifest.ts';
import { openBucketHarness, PREFIX } from '../support/archive/bucket.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { errorOf, MapArchive, start, type Started } from './far-ends.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const CONTENT = { head: bytesOf('head', 400), clusters: [bytesOf('one', 70_000), bytesOf('two', 30_000)] };
const BYTES = Buffer.concat([CONTENT.head, ...CONTENT.clusters]);
const STALE = '"of another version"';

function play(archive: Pick<Archive, 'findUnerased' | 'read'>): Promise<Started> {
  const listen = (): never => assert.fail('it was made although it is archived');
  return start({ auth: { required: false, keys: [] }, playback: { transcode: { listen, archive } } });
}

interface Asked {
  readonly what: string;
  readonly method?: 'HEAD';
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  /** First byte and last, of what comes back. */
  readonly part?: readonly [start: number, end: number];
  /** Requests to the bucket, at most. */
  readonly requests: number;
}

/** The entity tag stands for itself as ETAG. */
const ASKED: readonly Asked[] = [
  { what: 'the whole', headers: {}, status: 200, part: [0, BYTES.length - 1], requests: 5 },
  { what: 'a seek', headers: { range: 'bytes=70000-' }, status: 206, part: [70_000, BYTES.length - 1], requests: 5 },
  { what: 'one byte', headers: { range: 'bytes=0-0' }, status: 206, part: [0, 0], requests: 5 },
  {
    what: 'the end',
    headers: { range: 'bytes=-7' },
    status: 206,
    part: [BYTES.length - 7, BYTES.length - 1],
    requests: 5,
  },
  {
    what: 'a fresh If-Range',
    headers: { range: 'bytes=5-9', 'if-range': 'ETAG' },
    status: 206,
    part: [5, 9],
    requests: 5,
  },
  {
    what: 'a stale If-Range',
    headers: { range: 'bytes=5-9', 'if-range': STALE },
    status: 200,
    part: [0, BYTES.length - 1],
    requests: 5,
  },
  {
    what: 'a stale If-None-Match',
    headers: { 'if-none-match': STALE },
    status: 200,
    part: [0, BYTES.length - 1],
    requests: 5,
  },
  {
    what: 'a seek with a stale If-None-Match',
    headers: { 'if-none-match': STALE, range: 'bytes=1-2' },
    status: 206,
    part: [1, 2],
    requests: 5,
  },
  { what: 'a fresh If-None-Match', headers: { 'if-none-match': 'ETAG' }, status: 304, requests: 4 },
  { what: 'HEAD', method: 'HEAD', headers: { range: 'bytes=0-9' }, status: 200, requests: 4 },
  { what: 'a range outside', headers: { range: `bytes=${String(BYTES.length)}-` }, status: 416, requests: 4 },
];

const folder = await openFolderHarness();
const bucket = await openBucketHarness();
after(async () => {
  await folder.close();
  await bucket.close();
});

for (const [name, archive] of [
  ['a folder', folder.archive],
  ['a bucket', bucket.archive],
] as const) {
  const etag = etagOf(await store(archive, CALL, CONTENT));
  const app = await play(archive);
  after(() => app.close(0));
  for (const { what, method = 'GET', headers, status, part, requests } of ASKED) {
    test(`${what} from ${name} is ${String(status)} with the right bytes, and asks the archive once`, async () => {
      const before = bucket.server.seen.length;
      const told = Object.fromEntries(
        Object.entries(headers).map(([key, value]) => [key, value === 'ETAG' ? etag : value]),
      );
      const answer = await fetch(`${app.url}/transcode?id=R1&conversationId=C1`, { method, headers: told });
      const body = Buffer.from(await answer.arrayBuffer());
      assert.equal(answer.status, status);
      const seen = bucket.server.seen.slice(before).map(({ operation, name: object }) => `${operation} ${object}`);
      if (archive === bucket.archive) assert.ok(seen.length <= requests, seen.join(', '));
      if (status !== 416) assert.equal(answer.headers.get('etag'), etag);
      if (part !== undefined) assert.ok(body.equals(BYTES.subarray(part[0], part[1] + 1)), what);
      const length = part === undefined ? BYTES.length : part[1] - part[0] + 1;
      if (status < 300) assert.equal(answer.headers.get('content-length'), String(length));
    });
  }
}

test('what fails in the archive is counted as an answer from the archive (E7)', async () => {
  const failing: [what: string, archive: Pick<Archive, 'findUnerased' | 'read'>, headers: Record<string, string>][] =
    [];
  const stored = new MapArchive();
  stored.put(CALL, BYTES);
  const down = (): Promise<never> => Promise.reject(new Failure('archive-unavailable', 'The bucket does not answer.'));
  failing.push(['finding', { findUnerased: down, read: down }, {}]);
  failing.push(['reading', { findUnerased: (recording) => stored.findUnerased(recording), read: down }, {}]);
  failing.push(['a range outside', stored, { range: 'bytes=999999999-' }]);
  for (const [what, archive, headers] of failing) {
    await using app = await play(archive);
    await errorOf(await fetch(`${app.url}/transcode?id=R1&conversationId=C1`, { headers }));
    const text = await app.metrics.text();
    assert.match(text, /listens_total\{from="archive",result="failed"\} 1/, what);
    assert.doesNotMatch(text, /from="live"/, what);
  }
});

test('what is gone between finding and reading is 404, not a broken answer', async () => {
  const recording = { recordingId: 'R2', conversationId: 'C1' };
  for (const harness of [folder, bucket]) {
    const manifest = await store(harness.archive, recording, CONTENT);
    const gone = { ...manifest, recordingId: 'gone' };
    await using app = await play({ findUnerased: async () => gone, read: harness.archive.read.bind(harness.archive) });
    assert.equal((await errorOf(await fetch(`${app.url}/transcode?id=gone`))).status, 404);
  }
  assert.ok(bucket.server.names().some((name) => name.startsWith(`${PREFIX}/recordings/C1/R2/`)));
});

test('what is marked as erased is answered with 410 however it is asked for, though an erasure that was killed left all of it there', async () => {
  const recording = { recordingId: 'R3', conversationId: 'C3' };
  const asked = '/transcode?id=R3&conversationId=C3';
  const ranged = { range: 'bytes=0-9' };
  const signal = AbortSignal.timeout(60_000);
  const listen = (): never => assert.fail('it was made although it is archived');
  for (const { archive } of [folder, bucket]) {
    const manifest = await store(archive, recording, CONTENT);
    await using app = await start({
      auth: { required: false, keys: [] },
      playback: { transcode: { listen, archive }, recordings: { archive, linkLifetimeS: 60 } },
      media: folder.archive,
    });
    const link = new URL((await folder.archive.link(manifest, { lifetimeS: 60 }, signal)).url);
    assert.equal((await fetch(app.url + asked, { headers: ranged })).status, 206);
    await archive.notes.create('erased/C3.R3.json', '{"version":1}', signal);
    for (const [path, init] of [
      [asked, {}],
      [asked, { method: 'HEAD' }],
      [asked, { headers: ranged }],
      [asked, { headers: { 'if-none-match': etagOf(manifest) } }],
      [link.pathname + link.search, {}],
      ['/recordings/C3/R3', {}],
      ['/recordings/C3/R3/link', {}],
      ['/recordings/C3/R3/link?redirect', { redirect: 'manual' }],
    ] as const)
      assert.equal((await fetch(app.url + path, init)).status, 410, path);
  }
});
