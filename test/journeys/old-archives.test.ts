/** An archive as version 0.1.0 left it, in a folder and in a bucket, with everything that came later: it is played, listed, verified, proven, indexed and added to. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { readIndexDay } from '../../src/archive/day-index.ts';
import {
  type ArchiveScene,
  openBucketScene,
  openFolderScene,
  runInProcess,
} from '../support/commands/archive-scene.ts';
import { linesOf } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { startService } from '../support/service/service.ts';

const FIXTURES = new URL('../fixtures/', import.meta.url);
const HANG = { timeout: 400_000 };
const signal = (): AbortSignal => AbortSignal.timeout(300_000);

/** What it holds: path as it is asked for now, day it started. GUIDs were taken in capitals then. */
const [CALL, CAPITALS] = ['7c0b1d2e-9a3f-4b5c-8d6e-0f1a2b3c4d5e', 'a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d'];
const RECORDINGS = [
  { conversationId: 'c-1', recordingId: 'stereo', day: '2026-11-20' },
  { conversationId: 'c-1', recordingId: 'dual', day: '2026-11-20' },
  { conversationId: CALL, recordingId: CAPITALS, day: '2026-11-21' },
  { conversationId: undefined, recordingId: 'alone', day: '2026-11-28' },
] as const;

interface DumpedObject {
  readonly name: string;
  readonly contentType: string;
  readonly cacheControl?: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly crc32c: string;
  readonly content: string;
}

/** By name, without the prefix of the archive. */
const DUMPED = new Map(
  (JSON.parse(readFileSync(new URL('bucket-0.1.0.json', FIXTURES), 'utf8')) as readonly DumpedObject[]).map(
    (object) => [object.name.replace('calls/', ''), object] as const,
  ),
);

async function openOld(t: TestContext, open: () => Promise<ArchiveScene>): Promise<ArchiveScene> {
  const scene = await open();
  t.after(() => scene.close());
  if (scene.path !== undefined) await cp(new URL('archive-0.1.0', FIXTURES), scene.path, { recursive: true });
  for (const { name, content, contentType, cacheControl, metadata, crc32c } of DUMPED.values())
    scene.server?.store.appear(name, [Buffer.from(content, 'base64')], { contentType, cacheControl, metadata, crc32c });
  return scene;
}

/** Name and SHA-256 of each object as 0.1.0 left it under recordings/: what must never change, whatever is laid beside it. */
async function recordingsIn({ path, server }: ArchiveScene): Promise<readonly string[]> {
  const dumped = [...DUMPED.keys()].filter((name) => name.startsWith('recordings/'));
  assert.ok(dumped.length > 10);
  const bytesOf = (name: string): Promise<Buffer> | Buffer =>
    path === undefined ? (server?.store.bytes(`calls/${name}`) ?? assert.fail()) : readFile(join(path, name));
  return Promise.all(
    dumped.map(
      async (name) =>
        `${name} ${createHash('sha256')
          .update(await bytesOf(name))
          .digest('hex')}`,
    ),
  );
}

for (const [name, open] of [
  ['a folder', openFolderScene],
  ['a bucket', openBucketScene],
] as const) {
  describe(`${name} that version 0.1.0 wrote`, () => {
    test(
      'is served: listed with every status, played whole, and an event for it makes nothing anew',
      HANG,
      async (t) => {
        const scene = await openOld(t, open);
        const before = await recordingsIn(scene);
        const genesys = await startGenesysServer();
        const folder = await mkdtemp(join(tmpdir(), 'old-queue-'));
        t.after(async () => {
          await genesys.close();
          await rm(folder, { recursive: true, force: true });
        });
        const env = {
          ...genesys.environment(),
          ...scene.env,
          LOG_LEVEL: 'info',
          METADATA_SERVER_DETECTION: 'none',
          QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
          WEBHOOK_AUTH: 'none',
          API_AUTH: 'none',
          RECONCILE: 'no',
        };
        await using service = await startService('serve', env);
        const list = async (query: string): Promise<readonly string[]> => {
          const answer = await fetch(`${service.url}/recordings?${query}`, { signal: signal() });
          const { recordings } = (await answer.json()) as { recordings: readonly Record<string, unknown>[] };
          return recordings.map((one) => `${String(one['recordingId'])} ${String(one['status'])}`);
        };
        assert.deepEqual((await list('')).toSorted(), [
          // As it lies there; it is asked for in either case.
          `${CAPITALS.toUpperCase()} archived`,
          'alone archived',
          'chat no-media',
          'dual archived',
          'gone failed',
          'stereo archived',
        ]);
        assert.deepEqual((await list('from=2026-11-20&to=2026-11-20')).toSorted(), [
          'dual archived',
          'stereo archived',
        ]);
        for (const { conversationId, recordingId } of RECORDINGS) {
          const ids = new URLSearchParams({
            id: recordingId,
            ...(conversationId === undefined ? {} : { conversationId }),
          });
          const played = await fetch(`${service.url}/transcode?${ids.toString()}`, { signal: signal() });
          assert.equal(played.status, 200, recordingId);
          const bytes = Buffer.from(await played.arrayBuffer());
          const path = `${conversationId ?? '_'}/${recordingId}`;
          const { manifest } = (await (await fetch(`${service.url}/recordings/${path}`)).json()) as {
            manifest: { webm: { sha256: string } };
          };
          assert.equal(createHash('sha256').update(bytes).digest('hex'), manifest.webm.sha256, recordingId);
        }
        for (const { conversationId, recordingId } of RECORDINGS) {
          const headers = { 'content-type': 'application/json' };
          const body = JSON.stringify({ recordingId, conversationId });
          const sent = await fetch(`${service.url}/webhooks/genesys`, { method: 'POST', headers, body });
          assert.equal(sent.status, 202);
          await service.logged({ message: 'Recording was archived already.', recordingId }, signal());
        }
        assert.equal((await service.stop()).code, 0);
        assert.equal(genesys.requests('media:*').length, 0);
        assert.deepEqual(await recordingsIn(scene), before);
      },
    );

    test('is verified, bytes read, without a finding', HANG, async (t) => {
      const scene = await openOld(t, open);
      const before = await recordingsIn(scene);
      for (const args of [['--all'], ['--all', '--read']]) {
        const verified = await scene.run('verify', ...args, '--json');
        assert.equal(verified.code, 0, verified.stdout + verified.stderr);
        assert.deepEqual(
          linesOf(verified).filter(({ type }) => type === 'finding'),
          [],
        );
      }
      assert.deepEqual(await recordingsIn(scene), before);
    });

    test('gets an index from what lies in it, and is compared with Genesys day by day', HANG, async (t) => {
      const scene = await openOld(t, open);
      const rebuilt = await scene.run('reconcile', '--index', '--json');
      assert.equal(rebuilt.code, 0, rebuilt.stdout + rebuilt.stderr);
      for (const { conversationId, recordingId, day } of RECORDINGS) {
        const rows = await readIndexDay(day, scene.archive.notes, signal());
        const row = rows.get(`${conversationId ?? '_'}.${recordingId}`);
        assert.equal(row?.status, 'archived', recordingId);
        assert.deepEqual([row.picture, row.agents], [[], []]);
      }
      const genesys = await startGenesysServer();
      t.after(() => genesys.close());
      for (const { conversationId, recordingId, day } of RECORDINGS) {
        if (conversationId === undefined) continue;
        genesys.addRecording({ conversationId, recordingId, files: [] });
        genesys.analyze({ conversationId, start: `${day}T08:00:00.000Z`, end: `${day}T09:00:00.000Z` });
      }
      const range = ['--from', '2026-11-20', '--to', '2026-11-21'];
      const printed = await runInProcess(['reconcile', ...range, '--json'], { ...genesys.environment(), ...scene.env });
      assert.equal(printed.code, 0, printed.stdout + printed.stderr);
      const days = linesOf(printed).filter(({ type }) => type === 'day');
      assert.deepEqual(
        days.map(({ day, verdict, archived }) => [day, verdict, archived]),
        [
          ['2026-11-20', 'complete', 2],
          ['2026-11-21', 'complete', 1],
        ],
      );
      const day = await readIndexDay('2026-11-21', scene.archive.notes, signal());
      assert.deepEqual([...day.keys()], [`${CALL}.${CAPITALS}`]);
      assert.deepEqual(
        [...day.values()].map(({ status, direction }) => [status, direction]),
        [['archived', 'inbound']],
      );
      const status = await scene.run('status', '--json');
      assert.ok(status.code === 0 || status.code === 3, status.stderr);
    });
  });
}
