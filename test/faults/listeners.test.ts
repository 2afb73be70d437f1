/** Listeners that take too much, too little or nothing, against the real service: archiving goes on, and what they cost is bounded. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { FLIGHTS, LISTENERS } from '../../src/bounds.ts';
import type { Recording } from '../../src/recording.ts';
import { type FaultScene, KEY, openFaultScene, patience } from '../support/fault-scene.ts';
import { bytesOfFixture, FIXTURES } from '../support/media/fixtures.ts';
import { oggOpus, type OpusPage } from '../support/media/ogg-write.ts';
import { type Service, startService, until } from '../support/service/service.ts';

const HANG = { timeout: 180_000 };
const MIB = 1024 ** 2;

/** A listener who reads the head of the answer, and then nothing. */
interface Stopped {
  readonly status: number;
  readonly head: string;
  readonly socket: Socket;
  readonly isOver: () => boolean;
}

async function listenAndStop(service: Service, { recordingId, conversationId = '' }: Recording): Promise<Stopped> {
  const { port } = new URL(service.url);
  const socket = connect({ port: Number(port), host: '127.0.0.1' });
  let over = false;
  socket.on('error', () => undefined).on('close', () => (over = true));
  await once(socket, 'connect');
  socket.write(
    `GET /transcode?id=${recordingId}&conversationId=${conversationId} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n\r\n`,
  );
  const [chunk] = await once(socket, 'data', { signal: patience() });
  socket.pause();
  const head = String(chunk).split('\r\n\r\n')[0] ?? '';
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, socket, isOver: () => over };
}

async function figure(service: Service, name: string): Promise<number> {
  const text = await (await fetch(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } })).text();
  return Number(new RegExp(`^archiver_${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** 13 MB of Opus for 200 s: no connection takes so much for a listener that does not read. */
const LARGE = oggOpus(
  Array.from({ length: 250 }, (_, page): OpusPage => {
    const packets = Array.from({ length: 40 }, (_unused, index) => {
      const bytes = Buffer.alloc(1275, index);
      bytes[0] = 0xf8;
      bytes.writeUInt32LE(page * 40 + index, 1);
      return bytes;
    });
    return { packets, granule: (page + 1) * 40 * 960, last: page === 249 };
  }),
);

function addLarge(scene: FaultScene): Recording & { conversationId: string } {
  return scene.add(FIXTURES.opus, { files: [{ channel: '0', contentType: 'audio/ogg', bytes: LARGE }] });
}

function leave(listeners: readonly Stopped[]): void {
  for (const { socket } of listeners) socket.destroy();
}

test(
  'sixty listeners of one key who stop reading Opus: some get 429, what is kept for all is bounded, and archiving goes on (A3)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    await using service = await startService('serve', scene.env);
    const recordings = Array.from({ length: 60 }, () => addLarge(scene));
    const listeners = await Promise.all(recordings.map((recording) => listenAndStop(service, recording)));
    const refused = listeners.filter(({ status }) => status === 429);
    assert.equal(listeners.filter(({ status }) => status === 200).length, LISTENERS.livePerKey);
    assert.equal(refused.length, 60 - LISTENERS.livePerKey);
    for (const { head } of refused) assert.match(head, /^retry-after: \d+$/im);
    const event = scene.add(FIXTURES.wav);
    await scene.accept(service, event);
    await scene.archived(service, event);
    assert.ok((await figure(service, 'webm_held_bytes')) <= FLIGHTS.allBytes + LISTENERS.live * MIB);
    assert.equal(await figure(service, 'listeners'), LISTENERS.livePerKey);
    leave(listeners);
    await until(async () => ((await figure(service, 'webm_held_bytes')) === 0 ? true : undefined), patience());
    assert.equal(await figure(service, 'listeners'), 0);
  },
);

for (const slots of [1, 2]) {
  test(
    `two listeners whose encoders never end do not keep a recording from being archived, with ${String(slots)} slots (A2)`,
    HANG,
    async () => {
      await using scene = await openFaultScene();
      await using service = await startService('serve', { ...scene.env, TRANSCODE_SLOTS: String(slots) });
      const [one, two] = [scene.add(FIXTURES.wav), scene.add(FIXTURES.wav)];
      for (const { recordingId } of [one, two]) scene.genesys.fault(`media:${recordingId}:0`, 'stall-after-600K', 99);
      const first = await listenAndStop(service, one);
      assert.equal(first.status, 200);
      // It waits for an encoder of its own meanwhile.
      const second = listenAndStop(service, two).catch(() => undefined);
      await until(async () => ((await figure(service, 'encoders_waiting')) === 1 ? true : undefined), patience());
      const event = scene.add(FIXTURES.wav);
      await scene.accept(service, event);
      await scene.archived(service, event);
      const waited = await second;
      if (slots === 1) {
        // It was lent only; then it is lent to the next.
        first.socket.resume();
        await until(() => (first.isOver() ? true : undefined), patience());
        assert.equal(waited?.status, 200);
      } else {
        assert.equal(first.isOver(), false, 'of two it has its own');
        assert.deepEqual([waited?.status, /^retry-after: \d+$/im.test(waited?.head ?? '')], [429, true]);
      }
      leave([first, ...(waited === undefined ? [] : [waited])]);
    },
  );
}

/** The index comes last, nobody says how long it is, and there are no ranges; the end comes when it is let go on. */
function withoutRanges(goOn: Promise<void>): () => Readable {
  const bytes = bytesOfFixture('screen-moov-last.mp4');
  return () =>
    Readable.from(
      (async function* () {
        yield bytes.subarray(0, 100_000);
        await goOn;
        yield bytes.subarray(100_000);
      })(),
      { objectMode: false },
    );
}

test(
  'twelve listeners to MP4 with its index last from a host without ranges make no more spools than listeners have encoders (A8)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    await using service = await startService('serve', scene.env);
    const add = (goOn: Promise<void>): Recording & { conversationId: string } =>
      scene.add(FIXTURES.mp4IndexLast, {
        files: [{ channel: 'S', contentType: 'video/mp4', stream: withoutRanges(goOn) }],
      });
    const go = Promise.withResolvers<void>();
    const recordings = Array.from({ length: 12 }, () => add(go.promise));
    const answers = recordings.map((recording) => listenAndStop(service, recording));
    await until(() => (spoolsOf(service).length > 0 ? true : undefined), patience());
    // One plays, four wait, seven are refused at once.
    await until(async () => ((await figure(service, 'encoders_waiting')) === 4 ? true : undefined), patience());
    assert.equal(spoolsOf(service).length, 1);
    assert.ok((await figure(service, 'spooled_bytes')) > 0);
    const event = add(Promise.resolve());
    await scene.accept(service, event);
    const { why } = await scene.archived(service, event);
    assert.match(why, /spooled to disk/);
    assert.equal(spoolsOf(service).length, 1);
    go.resolve();
    const listeners = await Promise.all(answers);
    assert.ok(listeners.filter(({ status }) => status === 200).length >= 1);
    assert.ok(listeners.filter(({ status }) => status === 429).length >= 7);
    assert.deepEqual(
      listeners.filter(({ status }) => status !== 200 && status !== 429).map(({ head }) => head),
      [],
    );
    leave(listeners);
    await until(() => (spoolsOf(service).length === 0 ? true : undefined), patience());
  },
);

/** Files it has open that have no name any more. */
function spoolsOf({ pid }: Service): readonly string[] {
  const folder = `/proc/${String(pid)}/fd`;
  return readdirSync(folder)
    .map((name) => {
      try {
        return readlinkSync(`${folder}/${name}`);
      } catch {
        return '';
      }
    })
    .filter((path) => path.includes('archiver-spool-'));
}

test(
  'two hundred listeners who stop reading what is archived: those beyond the bound get 429, and every event is archived (A3)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    await using service = await startService('serve', scene.env);
    const large = addLarge(scene);
    await scene.accept(service, large);
    await scene.archived(service, large);
    const listeners = await Promise.all(Array.from({ length: 200 }, () => listenAndStop(service, large)));
    assert.equal(listeners.filter(({ status }) => status === 200).length, LISTENERS.perKey);
    assert.equal(listeners.filter(({ status }) => status === 429).length, 200 - LISTENERS.perKey);
    const events = [FIXTURES.wav, FIXTURES.opus, FIXTURES.dual, FIXTURES.mp3].map((fixture) => scene.add(fixture));
    await scene.accept(service, events);
    for (const event of events) await scene.archived(service, event);
    assert.equal(await figure(service, 'listeners'), LISTENERS.perKey);
    assert.equal(await figure(service, 'webm_held_bytes'), 0, 'what is read from the archive is kept nowhere');
    leave(listeners);
  },
);
