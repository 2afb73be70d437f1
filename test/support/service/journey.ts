/**
 * An environment (a queue and an archive) → the proof that the way of a recording works there: from signed event to
 * verified manifest, with only the far ends simulated. The service is the real process; it is looked at only from outside.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Archive, Entry } from '../../../src/archive/archive.ts';
import type { Manifest } from '../../../src/archive/manifest.ts';
import { verifyStored } from '../../../src/archive/verify.ts';
import { keyOf, pathOf, type Recording } from '../../../src/recording.ts';
import { Caller, errorIn, fieldsOf } from './caller.ts';
import { type Census, NO_CENSUS, survivors, takeCensus } from './children.ts';
import { probeDuration } from '../media/ffmpeg.ts';
import { bytesOfFixture, type Fixture, FIXTURES, simulated, sourceFacts } from '../media/fixtures.ts';
import { type GenesysServer, type SimulatedRecording, startGenesysServer } from '../genesys/server.ts';
import { basic, bearer, hubSignature, type Proof, send, standardWebhook, tokenHeader, unsigned } from './senders.ts';
import { type LogEntry, type Service, startService, startServices } from './service.ts';
import { wav } from '../media/wav.ts';
import { checkWebm } from '../media/webm-check.ts';

/** Where a journey takes place: empty, and nobody else's. */
export interface Environment {
  /** QUEUE_URL, ARCHIVE_URL and whatever they need. */
  readonly env: Readonly<Record<string, string>>;
  /** The same archive, for a look at it that does not pass through the service. */
  readonly archive: Archive;
  close(): Promise<void>;
}

const SLOTS = 2;
const BURST = 20;
const HANG_GUARD = { timeout: 540_000 };

const SECRETS = {
  client: `canary-client-${randomUUID()}`,
  webhook: `whsec_${randomBytes(24).toString('base64')}`,
  hub: `canary-hub-${randomUUID()}`,
  token: `canary-token-${randomUUID()}`,
  key: `canary-key-${randomUUID()}`,
  link: `canary-link-${randomUUID()}`,
} as const;

const SIGNED = standardWebhook(SECRETS.webhook);

interface World extends AsyncDisposable {
  readonly environment: Environment;
  readonly genesys: GenesysServer;
  readonly service: Service;
  readonly caller: Caller;
  readonly census: Census;
  /** For what ffprobe is shown. */
  readonly folder: string;
}

/** Registers the tests of the journey in the environment that `open` makes. */
export function journey(name: string, open: () => Promise<Environment>): void {
  describe(`the journey (${name})`, HANG_GUARD, () => {
    const entered = new AsyncDisposableStack();
    let world: World;
    before(async () => {
      world = entered.use(await enter(open));
    });
    after(() => entered.disposeAsync());
    describe('all at once', { ...HANG_GUARD, concurrency: 64 }, () => passages(() => world));
    describe('afterwards', HANG_GUARD, () => conclusions(() => world));
  });
  test(
    `invariant 3: receiver, two workers and playback archive each recording once, whatever is sent twice (${name})`,
    HANG_GUARD,
    () => deployables(open),
  );
}

async function enter(open: () => Promise<Environment>): Promise<World> {
  await using opened = new AsyncDisposableStack();
  const environment = await open();
  opened.defer(() => environment.close());
  const folder = await mkdtemp(join(tmpdir(), 'journey-'));
  opened.defer(() => rm(folder, { recursive: true }));
  const genesys = opened.adopt(await simulatedGenesys(), (server) => server.close());
  const service = opened.use(await startService('serve', environmentOf(environment, genesys)));
  const census = opened.use(takeCensus(service.pid, 20));
  const kept = opened.move();
  const caller = new Caller(service.url, SECRETS.key);
  return { environment, genesys, service, caller, census, folder, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function simulatedGenesys(): Promise<GenesysServer> {
  return startGenesysServer({ clients: [{ id: 'journey-client', secret: SECRETS.client }], mediaUrlLifetimeS: 120 });
}

function environmentOf({ env }: Environment, genesys: GenesysServer): Record<string, string> {
  return {
    ...genesys.environment(),
    WEBHOOK_SECRETS: `${SECRETS.webhook},${SECRETS.hub}`,
    WEBHOOK_TOKENS: SECRETS.token,
    API_KEYS: SECRETS.key,
    LINK_KEYS: SECRETS.link,
    TRANSCODE_SLOTS: String(SLOTS),
    LOG_LEVEL: 'debug',
    ...env,
  };
}

// ── the passages: each is the way of one recording, or of a few ──────────────────────────────────────────────────

function passages(world: () => World): void {
  test('one event for a whole call archives its recordings once Genesys is ready, and waiting is no attempt (SR-26)', async () => {
    const { genesys, caller, service } = world();
    // Two are for the worker, one for the listener who asks too early.
    const states = ['transcoding', 'transcoding-stub', 'transcoding'] as const;
    const call = add(world(), 'call', FIXTURES.dual, { states });
    const screen = add(world(), 'call', FIXTURES.webm);
    const chat = add(world(), 'call', FIXTURES.opus, { media: 'chat' });
    const detail = {
      topicName: 'v2.detail.events.conversation.call.customer.end',
      eventBody: { conversationId: 'call', mediaType: 'VOICE' },
    };
    const template = 'v2.detail.events.conversation.{id}.customer.end';
    await accept(world(), { 'detail-type': template, source: 'aws.partner/genesys.com', detail }, SIGNED);
    const notReady = await caller.json(`/transcode?id=${call.recordingId}&conversationId=call`);
    assert.deepEqual(errorIn(notReady), { status: 409, code: 'not-ready' });
    assert.ok(Number(notReady.headers.get('retry-after')) > 0);
    await prove(world(), screen, FIXTURES.webm);
    await service.logged({ code: 'no-media', recordingId: chat.recordingId }, patience());
    assert.equal((await caller.json(`/recordings/${pathOf(chat)}`)).body['status'], 'no-media');
    const { attempt } = await prove(world(), call, FIXTURES.dual);
    assert.equal(attempt, 1);
    assert.equal(genesys.requests(`recording:${call.recordingId}`).length, 4);
  });

  const kinds: readonly (readonly [string, Fixture, Proof, (recording: Recording) => unknown])[] = [
    ['its two ids, signed in hex', FIXTURES.wav, hubSignature(SECRETS.hub, 'hex'), (recording) => recording],
    [
      'id instead of recordingId, signed in base64',
      FIXTURES.ulaw,
      hubSignature(SECRETS.hub, 'base64'),
      ({ recordingId, conversationId }) => ({ id: recordingId, conversationId }),
    ],
    ['a Genesys notification, with a bearer token', FIXTURES.mp3, bearer(SECRETS.token), notification],
    ['an array, with a token header', FIXTURES.mp4, tokenHeader(SECRETS.token), (recording) => [recording]],
    [
      'a list of events, with a password',
      FIXTURES.mp4IndexLast,
      basic(SECRETS.token),
      (recording) => ({ events: [recording] }),
    ],
  ];
  for (const [what, fixture, proof, event] of kinds) {
    test(`an event of ${what}, archives ${fixture.files.join(' and ')}`, async () => {
      const recording = add(world(), undefined, fixture);
      await accept(world(), event(recording), proof);
      await prove(world(), recording, fixture);
    });
  }

  test('a recording id alone is archived by the Media API', async () => {
    const recording = addAlone(world(), FIXTURES.opus);
    await accept(world(), { recordingId: recording.recordingId }, SIGNED);
    assert.equal((await prove(world(), recording, FIXTURES.opus)).api, 'media');
  });

  test('recording and conversation events in either order come to the same (IN-20)', async () => {
    const [first, second] = [add(world(), undefined, FIXTURES.opus), add(world(), undefined, FIXTURES.opus)];
    await accept(world(), first, SIGNED);
    await accept(world(), { conversationId: first.conversationId }, SIGNED);
    await accept(world(), { conversationId: second.conversationId }, SIGNED);
    await accept(world(), second, SIGNED);
    for (const recording of [first, second]) await prove(world(), recording, FIXTURES.opus);
  });

  test('a media URL that has expired is asked for anew (SR-04)', async () => {
    const { genesys } = world();
    const recording = add(world(), undefined, FIXTURES.opus);
    genesys.fault(`media:${recording.recordingId}:0`, 'return-403');
    await accept(world(), recording, SIGNED);
    await prove(world(), recording, FIXTURES.opus);
    assert.equal(genesys.requests(`recording:${recording.recordingId}`).length, 2);
  });

  test('invariant 7: Retry-After is waited for in full, of the API and of the media host (SR-07)', async () => {
    const { genesys } = world();
    const recording = add(world(), undefined, FIXTURES.opus);
    const routes = [`recording:${recording.recordingId}`, `media:${recording.recordingId}:0`];
    for (const route of routes) genesys.fault(route, 'return-429;retry-after:2');
    await accept(world(), recording, SIGNED);
    await prove(world(), recording, FIXTURES.opus);
    for (const route of routes) {
      const [refused, next] = genesys.requests(route);
      assert.ok(refused !== undefined && next !== undefined, `${route} was asked again`);
      assert.ok(next.at - refused.at >= 2_000, `${route} was asked again after ${String(next.at - refused.at)} ms`);
    }
  });

  test('an overloaded Genesys is asked again', async () => {
    const { genesys } = world();
    const recording = add(world(), undefined, FIXTURES.opus);
    genesys.fault(`metadata:${recording.recordingId}`, 'return-503');
    genesys.fault(`recording:${recording.recordingId}`, 'return-504');
    genesys.fault(`media:${recording.recordingId}:0`, 'return-503');
    await accept(world(), recording, SIGNED);
    await prove(world(), recording, FIXTURES.opus);
  });

  test('a token that was revoked is replaced (SR-01)', async () => {
    const { genesys } = world();
    const recording = add(world(), undefined, FIXTURES.opus);
    const before = genesys.requests('token').length;
    genesys.revokeTokens();
    await accept(world(), recording, SIGNED);
    await prove(world(), recording, FIXTURES.opus);
    assert.ok(genesys.requests('token').length > before);
  });

  test('a download that breaks is resumed where it broke (SR-17)', async () => {
    const { genesys } = world();
    const recording = add(world(), undefined, FIXTURES.ulaw);
    genesys.fault(`media:${recording.recordingId}:0`, 'return-broken-stream-after-200K');
    await accept(world(), recording, SIGNED);
    await prove(world(), recording, FIXTURES.ulaw);
    const [whole, rest] = genesys.requests(`media:${recording.recordingId}:0`);
    assert.equal(whole?.range, undefined);
    const from = Number(/^bytes=(\d+)-$/.exec(rest?.range ?? '')?.[1]);
    assert.ok(from > 0 && from <= 200 * 1024, `it went on at ${String(from)}`);
  });

  test('what Genesys has deleted is recorded as a failure with its reason (SR-06)', async () => {
    const { service, caller } = world();
    const recording = add(world(), undefined, FIXTURES.opus, { fileState: 'DELETED' });
    await accept(world(), recording, SIGNED);
    await service.logged({ outcome: 'dead', recordingId: recording.recordingId }, patience());
    const { body } = await caller.json(`/recordings/${pathOf(recording)}`);
    assert.equal(body['status'], 'failed');
    assert.equal(fieldsOf(body['failure'])['code'], 'gone');
    const live = await caller.json(transcodePath(recording));
    assert.deepEqual(errorIn(live), { status: 404, code: 'gone' });
  });

  test('invariant 4: of truncated media nothing becomes visible, until the whole is there (SR-15)', async () => {
    const { genesys, service } = world();
    const bytes = bytesOfFixture('stereo-pcm.wav').subarray(0, 400_000);
    const recording = add(world(), undefined, FIXTURES.wav, {
      files: [{ channel: '0', contentType: 'audio/wav', bytes }],
    });
    await accept(world(), recording, SIGNED);
    await service.logged({ code: 'incomplete', recordingId: recording.recordingId }, patience());
    await absent(world(), recording);
    const live = await world().caller.get(transcodePath(recording));
    assert.equal(live.status, 200);
    await assert.rejects(live.arrayBuffer(), 'a listener is not told that this was all');
    const whole = simulated(recording.recordingId, recording.conversationId, FIXTURES.wav);
    genesys.update(recording.recordingId, { files: whole.files ?? [] });
    const { attempt } = await prove(world(), recording, FIXTURES.wav);
    assert.ok(attempt > 1, 'a failed attempt counts');
  });

  test('with one of two channels missing nothing is stored; a new event tries again, and ends the failure (SR-32)', async () => {
    const { genesys, service, caller } = world();
    const recording = add(world(), undefined, FIXTURES.dual);
    const channel = `media:${recording.recordingId}:1`;
    // However often a fresh URL is asked for: whether the channel is gone is for Genesys to say, which is next.
    genesys.fault(channel, 'return-404', 1_000);
    await accept(world(), recording, SIGNED);
    await service.logged({ code: 'upstream-error', recordingId: recording.recordingId }, patience());
    await absent(world(), recording);
    genesys.update(recording.recordingId, { fileState: 'DELETED' });
    await accept(world(), recording, SIGNED);
    await service.logged({ outcome: 'dead', recordingId: recording.recordingId }, patience());
    assert.equal((await caller.json(`/recordings/${pathOf(recording)}`)).body['status'], 'failed');
    genesys.mend(channel);
    genesys.update(recording.recordingId, { fileState: 'AVAILABLE' });
    await accept(world(), recording, SIGNED);
    await prove(world(), recording, FIXTURES.dual);
    assert.equal(await world().environment.archive.failureOf(recording, patience()), undefined);
  });

  test('invariant 9: media is not fetched from a host that is not listed (SR-22)', async () => {
    const { genesys, service } = world();
    const recording = add(world(), undefined, FIXTURES.opus);
    const stranger = await openStranger();
    try {
      genesys.fault(`media:${recording.recordingId}:0`, `redirect:${stranger.origin}/media`);
      await accept(world(), recording, SIGNED);
      const { outcome } = await service.logged(
        { code: 'host-refused', recordingId: recording.recordingId },
        patience(),
      );
      assert.equal(outcome, 'wait');
      assert.equal(stranger.connections, 0);
      // Genesys names a host that is listed from now on: it comes by itself.
      await prove(world(), recording, FIXTURES.opus);
    } finally {
      await stranger.close();
    }
  });

  test('invariant 3: the same event twenty times at once, and once more later, is one object (IN-19)', async () => {
    const recording = add(world(), undefined, FIXTURES.dual);
    await Promise.all(Array.from({ length: 20 }, () => accept(world(), recording, SIGNED)));
    const manifest = await prove(world(), recording, FIXTURES.dual);
    await accept(world(), recording, SIGNED);
    // Another conversation event resolves to it once more: that is through when its other recording is.
    const other = add(world(), recording.conversationId, FIXTURES.opus);
    await accept(world(), { conversationId: recording.conversationId }, SIGNED);
    await prove(world(), other, FIXTURES.opus);
    assert.deepEqual(await world().caller.manifest(recording), manifest);
  });

  test('a recording that nobody archived is played while it is made', async () => {
    const { caller, folder } = world();
    const recording = addAlone(world(), FIXTURES.wav);
    const response = await caller.get(transcodePath(recording));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'audio/webm');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const bytes = Buffer.from(await response.arrayBuffer());
    const last = checkWebm(bytes, { live: true }).blocks.at(-1);
    assert.ok(
      Math.abs((last?.timeMs ?? 0) / 1000 - FIXTURES.wav.seconds) < 0.15,
      `its last block is at ${String(last?.timeMs)}`,
    );
    await assertSeconds(bytes, FIXTURES.wav.seconds, join(folder, `${recording.recordingId}.webm`));
    assert.equal((await caller.json(`/recordings/${pathOf(recording)}`)).status, 404);
  });

  test('a caller learns what is wrong by status and code', async () => {
    const { caller, service } = world();
    const cases = [
      ['/transcode', 400, 'bad-request'],
      ['/transcode?id=nobody&conversationId=nowhere', 404, 'not-found'],
      ['/transcode?id=nobody', 404, 'not-found'],
      ['/recordings/nowhere/nobody', 404, 'not-found'],
      ['/recordings/nowhere/nobody/link', 404, 'not-found'],
      ['/recordings?from=yesterday', 400, 'bad-request'],
    ] as const;
    for (const [path, status, code] of cases)
      assert.deepEqual(errorIn(await caller.json(path)), { status, code }, path);
    const stranger = new Caller(service.url, 'no key of ours');
    const refused = await stranger.json('/transcode?id=nobody');
    assert.deepEqual(errorIn(refused), { status: 401, code: 'unauthorized' });
  });

  test('an event that nobody signed is refused, and one that concerns nobody is counted', async () => {
    const { genesys, service } = world();
    const recording = add(world(), undefined, FIXTURES.opus);
    for (const proof of [
      unsigned,
      hubSignature('guessed', 'hex'),
      bearer('guessed'),
      standardWebhook('whsec_Z3Vlc3M='),
    ])
      assert.equal((await send(service.url, recording, proof)).status, 401);
    const topic = { topicName: 'v2.users.u1.presence', eventBody: { id: recording.recordingId } };
    const { status, body } = await send(service.url, topic, SIGNED);
    assert.equal(status, 202);
    assert.deepEqual(JSON.parse(body), { accepted: 0, ignored: 1 });
    // Whatever was queued before this one has been taken up when this one is done.
    const last = add(world(), undefined, FIXTURES.opus);
    await accept(world(), last, SIGNED);
    await prove(world(), last, FIXTURES.opus);
    assert.equal(genesys.requests(`metadata:${recording.recordingId}`).length, 0);
    await absent(world(), recording);
  });

  test(`a burst of ${String(BURST)} recordings is archived`, async () => {
    const files = [{ channel: '0', contentType: 'audio/wav', bytes: wav(16_000, { channels: 2, tag: 7 }) }];
    const burst = Array.from({ length: BURST }, () => add(world(), undefined, FIXTURES.ulaw, { files }));
    await accept(world(), { events: burst }, SIGNED);
    for (const recording of burst) {
      const { way } = await archived(world(), recording);
      assert.equal(way, 'encode-audio');
    }
  });
}

// ── and what has to hold when all of them are through ────────────────────────────────────────────────────────────

function conclusions(world: () => World): void {
  test('every fault was met', () => world().genesys.assertFaultsUsed());

  test(`invariant 5: never were there more than ${String(SLOTS)} encoders`, { skip: NO_CENSUS }, (t) => {
    const { census } = world();
    t.diagnostic(`${String(census.samples)} samples, at most ${String(census.most)} encoders`);
    assert.ok(census.samples > 100);
    assert.equal(census.most, SLOTS, census.names.join(', '));
  });

  test('invariants 2 and 3: every recording is listed once, and is what its manifest says', async (t) => {
    const { environment, caller } = world();
    const entries = await listing(environment.archive);
    const archived = entries.filter((entry) => entry.status === 'archived');
    for (const { recording } of archived)
      assert.deepEqual(await verifyStored(environment.archive, recording, patience()), [], pathOf(recording));
    const listed = (await caller.json('/recordings?limit=1000')).body['recordings'];
    assert.ok(Array.isArray(listed));
    assert.deepEqual(namesIn(listed), namesIn(entries.map(({ status, recording }) => ({ status, ...recording }))));
    assert.equal(new Set(namesIn(listed)).size, entries.length);
    t.diagnostic(`${String(archived.length)} archived, ${String(entries.length - archived.length)} not`);
  });

  test('invariant 8: no secret, token, signature or link is in the log, the manifests, the errors or the metrics', async () => {
    const { genesys, caller, service, environment } = world();
    await caller.text('/metrics');
    await caller.text('/readyz');
    const records = JSON.stringify(await listing(environment.archive));
    const told = [service.output(), records, ...caller.texts].join('\n');
    const given = genesys.secrets();
    assert.ok(given.length > 20 && caller.linkSignatures.length > 10, 'there was something to be found');
    const encoded = Object.values(SECRETS).map((secret) => encodeURIComponent(secret));
    const inside = SECRETS.webhook.slice('whsec_'.length);
    const canaries = [...Object.values(SECRETS), ...encoded, inside, ...given, ...caller.linkSignatures];
    assert.deepEqual(
      canaries.filter((canary) => told.includes(canary)),
      [],
    );
    assert.doesNotMatch(told, /X-Amz-Signature=/i);
  });

  test('invariant 9: no Authorization ever reached the media host', () => {
    const { genesys } = world();
    const requests = genesys.requests('media:*');
    assert.ok(requests.length > BURST);
    assert.deepEqual(
      requests.filter(({ hasAuthorization }) => hasAuthorization),
      [],
    );
    assert.deepEqual(genesys.requests('unknown'), [], 'and nobody asked what does not exist');
  });

  test('invariants 5 and 10: SIGTERM ends the service within 8 s, with exit code 0, and no encoder outlives it', async (t) => {
    const { service } = world();
    const encoders = service.encoders();
    const { code, ms } = await service.stop();
    t.diagnostic(`${String(Math.round(ms))} ms, ${String(encoders.length)} encoders`);
    assert.equal(code, 0, service.output().slice(-2_000));
    assert.ok(ms < 8_000);
    assert.deepEqual(await survivors(encoders, 0), []);
  });
}

/** The three deployables as they are deployed, each a process of its own. */
async function deployables(open: () => Promise<Environment>): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const environment = await open();
  opened.defer(() => environment.close());
  const genesys = opened.adopt(await simulatedGenesys(), (server) => server.close());
  const env = { ...environmentOf(environment, genesys), TRANSCODE_SLOTS: '1' };
  const commands = ['receiver', 'worker', 'worker', 'playback'];
  const [receiver, left, right, playback] = await startServices(commands, env, opened);
  assert.ok(receiver && left && right && playback);
  const caller = new Caller(playback.url, SECRETS.key);
  const recordings = Array.from({ length: 12 }, (_, index) => ({
    recordingId: `shared-${String(index)}`,
    conversationId: 'shared',
  }));
  for (const { recordingId } of recordings) genesys.addRecording(simulated(recordingId, 'shared', FIXTURES.opus));
  for (const event of [...recordings, ...recordings, { conversationId: 'shared' }])
    assert.equal((await send(receiver.url, event, SIGNED)).status, 202);
  for (const { recordingId } of recordings) {
    const fields = { message: 'Recording was archived.', recordingId };
    await Promise.any([left, right].map((worker) => worker.logged(fields, patience())));
  }
  for (const recording of recordings) await caller.manifest(recording);
  const entries = await listing(environment.archive);
  assert.deepEqual(
    entries.map(({ recording }) => String(recording.recordingId)).toSorted(),
    recordings.map(({ recordingId }) => recordingId).toSorted(),
  );
  for (const recording of recordings)
    assert.deepEqual(await verifyStored(environment.archive, recording, patience()), []);
  const made = [left, right].map((worker) => worker.entries().filter(isArchived).length);
  assert.ok(Math.min(...made) > 0, `both worked: ${made.join(' and ')}`);
  for (const service of [receiver, left, right, playback]) assert.equal((await service.stop()).code, 0);
}

// ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

let count = 0;

/** A new recording that Genesys knows; in a conversation of its own unless told. */
function add(
  { genesys }: World,
  conversationId: string | undefined,
  fixture: Fixture,
  change: Partial<SimulatedRecording> = {},
): Recording & { readonly conversationId: string } {
  count += 1;
  const recording = { recordingId: `r-${String(count)}`, conversationId: conversationId ?? `c-${String(count)}` };
  genesys.addRecording({ ...simulated(recording.recordingId, recording.conversationId, fixture), ...change });
  return recording;
}

/** One that only the Media API knows. */
function addAlone({ genesys }: World, fixture: Fixture): Recording {
  count += 1;
  const recordingId = `alone-${String(count)}`;
  const { files = [] } = simulated(recordingId, undefined, fixture);
  genesys.addRecording({ recordingId, files: files.map((file) => ({ ...file, channel: 'media' })) });
  return { recordingId, conversationId: undefined };
}

function notification({ recordingId, conversationId }: Recording): object {
  return {
    topicName: `v2.users.5a1f0c7e.conversations.${conversationId ?? ''}.recordings`,
    eventBody: { id: recordingId, conversationId },
    metadata: { CorrelationId: randomUUID() },
  };
}

async function accept({ service }: World, event: unknown, proof: Proof): Promise<void> {
  const { status, body } = await send(service.url, event, proof);
  assert.equal(status, 202, body);
}

async function archived({ service, caller, environment }: World, recording: Recording): Promise<Manifest> {
  await service.logged({ message: 'Recording was archived.', ...idsOf(recording) }, patience());
  const manifest = await caller.manifest(recording);
  assert.deepEqual(await verifyStored(environment.archive, recording, patience()), []);
  return manifest;
}

/** Waits until it is archived; then everything that can be told of it from outside has to be as it was in Genesys. */
async function prove(world: World, recording: Recording, fixture: Fixture): Promise<Manifest> {
  const { caller, folder } = world;
  const manifest = await archived(world, recording);
  const { webm } = manifest;
  assert.equal(manifest.way, fixture.way, manifest.why);
  assert.deepEqual(
    manifest.sources.map(({ sizeBytes, sha256 }) => ({ sizeBytes, sha256 })),
    sourceFacts(fixture),
  );
  const link = await caller.link(recording);
  const bytes = Buffer.from(await (await fetch(link)).arrayBuffer());
  assert.equal(createHash('sha256').update(bytes).digest('hex'), webm.sha256);
  assert.equal(checkWebm(bytes).durationMs, webm.durationMs);
  await assertSeconds(bytes, fixture.seconds, join(folder, `${keyOf(recording)}.webm`));
  const range = { range: 'bytes=1000-1999' };
  for (const part of [await fetch(link, { headers: range }), await caller.get(transcodePath(recording), range)]) {
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), `bytes 1000-1999/${String(bytes.length)}`);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(1000, 2000));
  }
  return manifest;
}

async function assertSeconds(bytes: Buffer, seconds: number, path: string): Promise<void> {
  await writeFile(path, bytes);
  const actual = await probeDuration(path);
  assert.ok(Math.abs(actual - seconds) < 0.15, `it plays ${String(actual)} s instead of ${String(seconds)} s`);
}

/** Neither by the service nor in the archive itself. */
async function absent({ caller, environment }: World, recording: Recording): Promise<void> {
  assert.equal((await caller.json(`/recordings/${pathOf(recording)}`)).status, 404);
  assert.equal((await caller.json(`/recordings/${pathOf(recording)}/link`)).status, 404);
  assert.equal(await environment.archive.find(recording, patience()), undefined);
}

export async function listing(archive: Archive): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  let cursor: string | undefined;
  do {
    const page = await archive.list({ limit: 1000, ...(cursor === undefined ? {} : { cursor }) }, patience());
    entries.push(...page.entries);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return entries;
}

function transcodePath({ recordingId, conversationId }: Recording): string {
  return `/transcode?id=${recordingId}${conversationId === undefined ? '' : `&conversationId=${conversationId}`}`;
}

function idsOf({ recordingId, conversationId }: Recording): LogEntry {
  return conversationId === undefined ? { recordingId } : { recordingId, conversationId };
}

function namesIn(list: readonly unknown[]): string[] {
  return list.map((entry) => nameIn(fieldsOf(entry))).toSorted();
}

function nameIn({ status, recordingId, conversationId }: LogEntry): string {
  return [status, conversationId ?? '_', recordingId ?? '_'].map(String).join(' ');
}

function isArchived({ message }: LogEntry): boolean {
  return message === 'Recording was archived.';
}

/** A host that is on no list and only counts who comes. */
async function openStranger(): Promise<{ origin: string; readonly connections: number; close(): Promise<void> }> {
  let connections = 0;
  const server: Server = createServer((_, response) => response.end()).on('connection', () => (connections += 1));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    origin: `http://127.0.0.1:${String(address.port)}`,
    get connections() {
      return connections;
    },
    async close() {
      server.close();
      await once(server, 'close');
    },
  };
}

/** The bound of every wait: generous, since it decides nothing but whether the test hangs. */
function patience(): AbortSignal {
  return AbortSignal.timeout(400_000);
}
