import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { addressOf, Witness } from '../../src/http/witness.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { found } from '../support/archive/found.ts';
import { keysOf } from '../support/keys.ts';
import { ListAudit, MapArchive, start } from './far-ends.ts';

const KEY = 'k'.repeat(32);

async function setUp(t: { after(work: () => Promise<void>): void }, audit: ListAudit, proxies = 0) {
  const archive = new MapArchive();
  for (const recordingId of ['r1', 'r2']) archive.put({ recordingId, conversationId: 'c1' }, Buffer.from('webm bytes'));
  const listen = async (): Promise<never> => Promise.reject(new Failure('not-found', 'Genesys does not know it.'));
  const auth = { required: true, keys: keysOf(KEY) };
  const service = await start({
    audit,
    proxies,
    auth,
    playback: { transcode: { listen, archive }, recordings: { archive, linkLifetimeS: 900 } },
  });
  t.after(() => service.close(0));
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${service.url}${path}`, { headers: { 'x-api-key': KEY, ...headers }, redirect: 'manual' });
  return { archive, ask, service };
}

test('invariant 14: no byte of a recording, no link and no listing leaves before it is on record', async (t) => {
  const audit = new ListAudit();
  const held = Promise.withResolvers<void>();
  let waiting = 0;
  audit.before = async () => {
    waiting += 1;
    await held.promise;
  };
  const { ask } = await setUp(t, audit);
  const paths = ['/transcode?id=r1&conversationId=c1', '/recordings', '/recordings/c1/r1', '/recordings/c1/r1/link'];
  const answers: number[] = [];
  const asked = paths.map(async (path) => answers.push((await ask(path)).status));
  while (waiting < paths.length) await new Promise((resolve) => setImmediate(resolve));
  // Everything else has had its time: what is looked up lies in memory.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(answers, []);
  held.resolve();
  await Promise.all(asked);
  assert.deepEqual(answers, [200, 200, 200, 200]);
  assert.deepEqual(audit.entries.map(({ action }) => action).toSorted(), ['linked', 'listened', 'looked', 'looked']);
});

test('invariant 14: where the record cannot be written nothing is played, shown or linked (503)', async (t) => {
  const audit = new ListAudit();
  audit.before = async () => Promise.reject(new Failure('archive-unavailable', 'The audit cannot be written.'));
  const { ask } = await setUp(t, audit);
  for (const path of [
    '/transcode?id=r1&conversationId=c1',
    '/recordings',
    '/recordings/c1/r1',
    '/recordings/c1/r1/link',
  ]) {
    const answer = await ask(path);
    assert.equal(answer.status, 503, path);
    assert.doesNotMatch(await answer.text(), /webm bytes|signature/);
  }
});

test('a record says who by the name of the key, how, from where, which recording and which request', async (t) => {
  const audit = new ListAudit();
  const { ask } = await setUp(t, audit);
  const answer = await ask('/transcode?id=r1&conversationId=c1');
  const [entry] = audit.entries;
  assert.deepEqual(
    { ...entry, who: undefined },
    {
      action: 'listened',
      who: undefined,
      way: 'key',
      from: '127.0.0.1',
      conversationId: 'c1',
      recordingId: 'r1',
      requestId: answer.headers.get('x-request-id') ?? '',
      about: undefined,
    },
  );
  assert.ok(entry?.who !== undefined && !entry.who.includes(KEY));
});

test('the ranges of one listen are one record, another recording or listener is another; HEAD brings nothing and is none', async (t) => {
  const audit = new ListAudit();
  const { ask, service } = await setUp(t, audit);
  for (let index = 0; index < 5; index++)
    await ask('/transcode?id=r1&conversationId=c1', { range: `bytes=${String(index)}-` });
  assert.equal(audit.entries.length, 1);
  await fetch(`${service.url}/transcode?id=r1&conversationId=c1`, { method: 'HEAD', headers: { 'x-api-key': KEY } });
  assert.equal(audit.entries.length, 1);
  await ask('/transcode?id=r2&conversationId=c1');
  assert.deepEqual(
    audit.entries.map(({ recordingId }) => recordingId),
    ['r1', 'r2'],
  );
});

test('nobody is on record as a listener of what the archive does not give out, nor as given a link to what is not there', async (t) => {
  const audit = new ListAudit();
  const { ask } = await setUp(t, audit);
  for (const [path, status, headers] of [
    ['/recordings/c1/none/link', 404, {}],
    ['/transcode?id=r1&conversationId=c1', 416, { range: 'bytes=999-' }],
    ['/transcode?id=r1&conversationId=c1', 412, { 'if-match': '"of another version"' }],
  ] as const)
    assert.equal((await ask(path, headers)).status, status, path);
  assert.deepEqual(audit.entries, []);
});

test('who could not be given a link is not on record as given one', async (t) => {
  const audit = new ListAudit();
  const { archive, ask } = await setUp(t, audit);
  archive.link = async () => Promise.reject(new Failure('archive-unavailable', 'The link could not be signed now.'));
  assert.equal((await ask('/recordings/c1/r1/link')).status, 503);
  assert.deepEqual(audit.entries, []);
});

test('who plays a link is on record by the name it was given to, with the request it was given out in; one of before is a link alone', async (t) => {
  const audit = new ListAudit();
  const harness = await openFolderHarness();
  t.after(() => harness.close());
  const { archive } = harness;
  const call = { recordingId: 'r1', conversationId: 'c1' };
  await store(archive, call, { head: bytesOf('head', 10), clusters: [bytesOf('cluster', 100)] });
  const listen = async (): Promise<never> => Promise.reject(new Failure('not-found', 'Genesys does not know it.'));
  await using service = await start({
    audit,
    auth: { required: true, keys: [{ name: 'maya', secret: KEY, lastDay: undefined }] },
    playback: { transcode: { listen, archive }, recordings: { archive, linkLifetimeS: 900 } },
    media: archive,
  });
  const asked = await fetch(`${service.url}/recordings/c1/r1/link`, { headers: { 'x-api-key': KEY } });
  const { url } = (await asked.json()) as { readonly url: string };
  assert.doesNotMatch(url, /maya/);
  const path = url.slice(url.indexOf('/media/'));
  // Whoever has the link: no key.
  const played = await fetch(`${service.url}${path}`);
  assert.equal(played.status, 200);
  await played.bytes();
  const [linked, listened] = audit.entries;
  assert.deepEqual([linked?.action, linked?.who, linked?.way], ['linked', 'maya', 'key']);
  assert.deepEqual([listened?.action, listened?.who, listened?.way], ['listened', 'maya', 'link']);
  assert.deepEqual(listened?.about, { linked: linked?.requestId });
  assert.ok(linked?.requestId !== undefined && linked.requestId !== '');
  const { url: unnamed } = await archive.link(
    await found(archive, call),
    { lifetimeS: 60 },
    AbortSignal.timeout(60_000),
  );
  const answer = await fetch(`${service.url}${unnamed.slice(unnamed.indexOf('/media/'))}`);
  await answer.bytes();
  assert.deepEqual([audit.entries.at(-1)?.who, audit.entries.at(-1)?.about], ['link', undefined]);
  // Nothing of a link that was tampered with is on record as anybody's listen.
  const forged = await fetch(
    `${service.url}${path.replace(/to=(.)/, (_, first) => `to=${first === 'A' ? 'B' : 'A'}`)}`,
  );
  assert.deepEqual([forged.status, audit.entries.length], [403, 3]);
  assert.ok(!service.lines.some((line) => line.includes(new URL(url).searchParams.get('to') ?? '?')), 'no log has it');
});

test('a listing is on record by the fields that were asked for, never by their values', async (t) => {
  const audit = new ListAudit();
  const { ask } = await setUp(t, audit);
  await ask('/recordings?conversationId=canary-conversation&limit=5');
  assert.deepEqual(
    audit.entries.map(({ about }) => about),
    [{ fields: 'conversationId,limit' }],
  );
  assert.doesNotMatch(JSON.stringify(audit.entries), /canary/);
});

test('a listen that could not be put on record is put on record the next time', async (t) => {
  const audit = new ListAudit();
  audit.before = async () => Promise.reject(new Failure('archive-unavailable', 'The audit cannot be written.'));
  const { ask } = await setUp(t, audit);
  assert.equal((await ask('/transcode?id=r1&conversationId=c1')).status, 503);
  audit.before = async () => undefined;
  assert.equal((await ask('/transcode?id=r1&conversationId=c1')).status, 200);
  assert.equal(audit.entries.length, 1);
});

test('of more listens than are remembered the oldest is put on record anew', async () => {
  const audit = new ListAudit();
  const witness = new Witness(audit, { proxies: 0, now: () => 0 });
  const listen = (recordingId: string): Promise<void> =>
    witness.record({ headers: {}, socket: { remoteAddress: '10.0.0.9' } } as never, {
      action: 'listened',
      way: 'link',
      who: 'somebody',
      recording: { recordingId, conversationId: 'c' },
    });
  for (let index = 0; index < 5_000; index += 1) await listen(String(index));
  await listen('0');
  assert.equal(audit.entries.length, 5_000);
  await listen('one more');
  await listen('1');
  assert.equal(audit.entries.length, 5_001);
  await listen('0');
  assert.equal(audit.entries.length, 5_002);
});

test('an address is believed only as far as proxies are', () => {
  const from = (header: string | undefined, proxies: number): string | undefined =>
    addressOf(
      {
        headers: header === undefined ? {} : { 'x-forwarded-for': header },
        socket: { remoteAddress: '10.0.0.9' },
      } as never,
      proxies,
    );
  assert.equal(from('1.1.1.1', 0), '10.0.0.9');
  assert.equal(from('6.6.6.6, 1.1.1.1', 1), '1.1.1.1');
  assert.equal(from('6.6.6.6, 1.1.1.1, 10.0.0.1', 2), '1.1.1.1');
  assert.equal(from(undefined, 1), '10.0.0.9');
  assert.equal(from('1.1.1.1', 3), '10.0.0.9');
  assert.equal(from('evil\r\nname', 1), '10.0.0.9');
  assert.equal(from('2001:db8::1', 1), '2001:db8::1');
});
