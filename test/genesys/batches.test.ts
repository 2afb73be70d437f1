/** Originals asked for a hundred at a time: calls counted at the simulated Genesys, and whatever a batch does not give fetched by itself. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { Failure } from '../../src/failure.ts';
import { OriginalBatches } from '../../src/genesys/batches.ts';
import type { ExpectedRecording } from '../../src/genesys/census.ts';
import { createGenesys, type OpenGenesys } from '../../src/genesys/open-genesys.ts';
import {
  type GenesysServer,
  type SimulatedClient,
  type SimulatedRecording,
  startGenesysServer,
} from '../support/genesys/server.ts';

const START = '2026-11-25T10:00:00.000Z';

interface Scene {
  readonly server: GenesysServer;
  readonly genesys: OpenGenesys;
  readonly signal: AbortSignal;
  /** Expected together, then located one after the other: the routes that were asked for, without the token. */
  readonly locateAll: (recordings: readonly ExpectedRecording[]) => Promise<readonly string[]>;
}

async function setUp(t: TestContext, clients?: readonly SimulatedClient[]): Promise<Scene> {
  const server = await startGenesysServer({
    rateLimit: { allowed: 100_000, windowS: 60 },
    ...(clients === undefined ? {} : { clients }),
  });
  const genesys = createGenesys(server.config(), { patienceMs: 2_000, baseDelayMs: 1, batchPollMs: 1 });
  t.after(async () => {
    await genesys.close();
    await server.close();
  });
  const signal = AbortSignal.any([t.signal, AbortSignal.timeout(200_000)]);
  return {
    server,
    genesys,
    signal,
    locateAll: async (recordings) => {
      const before = server.requests().length;
      genesys.expect(recordings);
      for (const { recordingId, conversationId } of recordings) {
        const located = await genesys.locate({ recordingId, conversationId }, 'worker', signal);
        const bytes = await buffer(await (located.files[0] ?? assert.fail('no file')).open(signal));
        assert.equal(bytes.toString(), `sound of ${recordingId}`);
        assert.equal(located.recordedAt?.toISOString(), START);
      }
      const routes = server
        .requests()
        .slice(before)
        .map(({ route }) => route);
      return routes.filter((route) => route !== 'token' && !route.startsWith('media:'));
    },
  };
}

function add(server: GenesysServer, index: number, more: Partial<SimulatedRecording> = {}): ExpectedRecording {
  const ids = { recordingId: `r-${String(index)}`, conversationId: `c-${String(index)}` };
  const file = { channel: '0', contentType: 'audio/ogg', bytes: Buffer.from(`sound of ${ids.recordingId}`) };
  server.addRecording({ ...ids, startTime: START, files: [file], ...more });
  return { ...ids, startedAt: new Date(START), endedAt: undefined };
}

const kinds = (routes: readonly string[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const route of routes.map((each) => each.replace(/:.*/, ''))) counts[route] = (counts[route] ?? 0) + 1;
  return counts;
};

test('250 recordings take three batches and no call of their own', async (t) => {
  const { server, locateAll } = await setUp(t);
  const recordings = Array.from({ length: 250 }, (_, index) => add(server, index));
  // The simulated batch is ready at the second question.
  assert.deepEqual(kinds(await locateAll(recordings)), { batch: 3, 'batch-status': 6 });
});

test('whoever stops waits for no batch', async () => {
  const api = { ask: () => new Promise<never>(() => undefined) };
  const batches = new OriginalBatches({ api, downloader: undefined } as never);
  const recording = { recordingId: 'r', conversationId: 'c' };
  batches.expect([{ ...recording, startedAt: new Date(START), endedAt: undefined }]);
  const stop = new AbortController();
  const taken = batches.take(recording, stop.signal);
  stop.abort(new Failure('stopped', 'The service is stopping.'));
  await assert.rejects(taken, { message: 'The service is stopping.' });
});

const OWN_WAY = { metadata: 1, recording: 1 };

const LISTED = { media: 'audio', fileState: 'AVAILABLE' } as const;

const LEFT: Readonly<Record<string, Partial<SimulatedRecording>>> = {
  'of two files, whose sides a batch does not name': {
    files: ['0', '1'].map((channel) => ({
      channel,
      contentType: 'audio/ogg',
      bytes: Buffer.from('sound of r-0'),
    })),
  },
  'that the batch calls an archive of a chat': {
    files: [{ channel: '0', contentType: 'application/zip', bytes: Buffer.from('sound of r-0') }],
  },
};

for (const [name, odd] of Object.entries(LEFT))
  test(`a recording ${name} goes its own way, the others of its batch do not`, async (t) => {
    const { server, locateAll } = await setUp(t);
    const recordings = [add(server, 0, odd), add(server, 1)];
    assert.deepEqual(kinds(await locateAll(recordings)), { batch: 1, 'batch-status': 2, ...OWN_WAY });
  });

test('what its list told of a recording that no batch gives is not asked for again', async (t) => {
  const { server, locateAll } = await setUp(t);
  const recordings = [0, 1, 2].map((index) => ({ ...add(server, index), ...LISTED }));
  const sides = ['0', '1'].map((channel) => ({
    channel,
    contentType: 'audio/ogg',
    bytes: Buffer.from('sound of r-1'),
  }));
  server.update('r-1', { files: sides });
  assert.deepEqual(kinds(await locateAll(recordings)), { batch: 1, 'batch-status': 2, recording: 1 });
});

for (const fileState of ['', 'UPLOADING', 'ARCHIVED'])
  test(`a list that does not say that there is media (${fileState || 'nothing'}) is not relied on`, async (t) => {
    const { server, locateAll } = await setUp(t);
    const one = { ...add(server, 0), startedAt: undefined, media: 'audio', fileState };
    assert.deepEqual(kinds(await locateAll([one])), OWN_WAY);
  });

test('with several clients a batch is asked about by the one that asked for it', async (t) => {
  const clients = ['a', 'b', 'c'].map((id) => ({ id, secret: `secret of ${id}` }));
  const { server, locateAll } = await setUp(t, clients);
  const routes = await locateAll(Array.from({ length: 120 }, (_, index) => add(server, index)));
  assert.deepEqual(kinds(routes), { batch: 2, 'batch-status': 4 });
});

for (const counts of [
  '"expectedResultCount":0,"resultCount":0',
  '"expectedResultCount":1,"resultCount":1',
  '"resultCount":2',
])
  test(`a batch that is under way and has all that it expects so far (${counts}) is not over`, async (t) => {
    const { server, locateAll } = await setUp(t);
    const asked = [0, 1, 2].map((index) => add(server, index));
    server.fault('batch-status:*', `body:text:{"status":"InProgress",${counts},"results":[]}`);
    assert.deepEqual(kinds(await locateAll(asked)), { batch: 1, 'batch-status': 2 });
  });

test('a batch that tells no status is over once it has all that it expects', async (t) => {
  const { server, locateAll } = await setUp(t);
  const asked = [0, 1].map((index) => add(server, index));
  const ids = '"conversationId":"c-0","recordingId":"r-0"';
  server.fault(
    'batch-status:*',
    `body:text:{"expectedResultCount":1,"resultCount":1,"results":[{${ids},"errorMsg":"x"}]}`,
  );
  assert.deepEqual(kinds(await locateAll(asked)), { batch: 1, 'batch-status': 1, recording: 2, metadata: 2 });
});

test('what a batch does not know goes its own way, and is what that says', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const gone = { recordingId: 'nobody', conversationId: 'c-9', startedAt: new Date(START), endedAt: undefined };
  genesys.expect([add(server, 0), gone]);
  await assert.rejects(genesys.locate({ recordingId: 'nobody', conversationId: 'c-9' }, 'worker', signal), {
    code: 'not-found',
  });
});

test('a recording whose list told no start is not asked for in a batch', async (t) => {
  const { server, locateAll } = await setUp(t);
  assert.deepEqual(kinds(await locateAll([{ ...add(server, 0), startedAt: undefined }])), OWN_WAY);
});

for (const fault of ['return-403', 'return-404', 'return-400'])
  test(`a client that is refused a batch (${fault}) asks one by one, and for no batch again`, async (t) => {
    const { server, genesys, locateAll } = await setUp(t);
    server.fault('batch', fault, 5);
    const [first, second] = [add(server, 0), add(server, 1)];
    assert.deepEqual(kinds(await locateAll([first])), { batch: 1, ...OWN_WAY });
    genesys.expect([second]);
    assert.deepEqual(kinds(await locateAll([second])), OWN_WAY);
  });

test('a link that has run out is no loss: the next try asks for the recording itself', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const one = add(server, 0);
  genesys.expect([one]);
  const located = await genesys.locate(one, 'worker', signal);
  server.expireMediaUrls();
  const [file] = located.files;
  await assert.rejects(async () => buffer(await (file ?? assert.fail('no file')).open(signal)), /run out/);
  const again = await genesys.locate(one, 'worker', signal);
  assert.equal(
    (await buffer(await (again.files[0] ?? assert.fail('no file')).open(signal))).toString(),
    'sound of r-0',
  );
  assert.equal(server.requests('recording:r-0').length, 1);
});

test('the span of its list is held against what comes', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const one = { ...add(server, 0), endedAt: new Date(Date.parse(START) + 90_000) };
  genesys.expect([one]);
  assert.equal((await genesys.locate(one, 'worker', signal)).durationMs, 90_000);
});

test('a batch that never ends is left when its client closes', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.fault('batch-status', 'return-503', 1_000);
  const one = add(server, 0);
  genesys.expect([one]);
  const locating = genesys.locate(one, 'worker', signal);
  locating.catch(() => undefined);
  await server.reached('batch-status:*', 1, signal);
  await genesys.close();
  await assert.rejects(locating);
});
