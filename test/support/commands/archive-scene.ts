/** An archive with recordings, in a folder or in a bucket, and commands that run on it in this very process. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { Archive } from '../../../src/archive/archive.ts';
import type { LockConfig } from '../../../src/config/config.ts';
import { commandNamed } from '../../../src/commands/contents.ts';
import { runCommand } from '../../../src/commands/task.ts';
import type { Manifest } from '../../../src/archive/manifest.ts';
import type { Recording } from '../../../src/recording.ts';
import { openBucketHarness, PREFIX } from '../archive/bucket.ts';
import { bytesOf, store } from '../archive/content.ts';
import { openFolderHarness } from '../archive/folder.ts';
import { auditArchive } from '../gcs/audit.ts';
import type { GcsServer } from '../gcs/server.ts';
import type { Printed } from './run.ts';

export interface ArchiveScene {
  readonly kind: 'folder' | 'bucket';
  readonly archive: Archive;
  readonly env: Readonly<Record<string, string>>;
  /** Of a bucket. */
  readonly server: GcsServer | undefined;
  /** Of a folder. */
  readonly path: string | undefined;
  run(...args: string[]): Promise<Printed>;
  /** A small recording with an original; `recordedAt` on 1 March 2026 unless told. */
  store(recording: Recording, facts?: Partial<Pick<Manifest, 'recordedAt' | 'finishedAt'>>): Promise<void>;
  /** Every name there is, but those of the audit. */
  names(): Promise<readonly string[]>;
  /** Everything that lies there, old generations included, as one text for canaries. */
  everything(): Promise<string>;
  close(): Promise<void>;
}

/** A file that is never there. */
const NO_QUEUE = { QUEUE_URL: `sqlite:${join(tmpdir(), `none-${String(process.pid)}`, 'queue.db')}` };

/** A bucket whose account may do what an operator's does: hold, and delete recordings. */
export async function openBucketScene(lock?: LockConfig): Promise<ArchiveScene> {
  const harness = await openBucketHarness({
    audits: [auditArchive({ ebml: false })],
    ...(lock === undefined ? {} : { lock }),
  });
  const { server } = harness;
  server.store.allowAll();
  server.store.mayErase = true;
  const env = {
    ARCHIVE_URL: `gs://${server.bucket}/${PREFIX}`,
    GCS_API_ENDPOINT: server.url,
    LOG_LEVEL: 'error',
    ...NO_QUEUE,
  };
  return {
    kind: 'bucket',
    server,
    path: undefined,
    ...scene(harness.archive, env),
    names: async () => (await harness.objects()).filter((name) => !name.startsWith('audit/')).toSorted(),
    everything: async () =>
      [...server.store.generations()]
        .map(
          (object) =>
            `${object.name}\n${JSON.stringify(object.metadata)}\n${Buffer.concat(object.parts).toString('latin1')}`,
        )
        .join('\n'),
    close: () => harness.close(),
  };
}

export async function openFolderScene(): Promise<ArchiveScene> {
  const harness = await openFolderHarness();
  const env = { ARCHIVE_URL: `file:${harness.path}`, LOG_LEVEL: 'error', ...NO_QUEUE };
  const names = async (): Promise<readonly string[]> => (await harness.objects()).toSorted();
  return {
    kind: 'folder',
    server: undefined,
    path: harness.path,
    ...scene(harness.archive, env),
    names: async () => (await names()).filter((name) => !name.startsWith('audit/')),
    everything: async () =>
      (
        await Promise.all(
          (await names()).map(async (name) => `${name}\n${await readFile(join(harness.path, name), 'latin1')}`),
        )
      ).join('\n'),
    close: () => harness.close(),
  };
}

function scene(
  archive: Archive,
  env: Readonly<Record<string, string>>,
): Pick<ArchiveScene, 'archive' | 'env' | 'run' | 'store'> {
  return {
    archive,
    env,
    run: (...args) => runInProcess(args, env),
    async store(recording, facts = {}) {
      const original = bytesOf(`original of ${recording.recordingId}`, 999);
      await store(archive, recording, {
        head: bytesOf(`head of ${recording.recordingId}`, 100),
        clusters: [bytesOf(`clusters of ${recording.recordingId}`, 5_000)],
        originals: [original],
        facts,
      });
    },
  };
}

/** The same as a worker leaves it that has looked through it, and knows so: it asks less, and races find out whether too little. */
export async function openKnownBucketScene(): Promise<ArchiveScene> {
  const scene = await openBucketScene();
  await scene.archive.sweep(3_600_000, AbortSignal.timeout(60_000));
  return scene;
}

export const SCENES = [
  ['a folder', openFolderScene],
  ['a bucket', openBucketScene],
] as const;

/** As `archiver …` does it, without a process of its own. */
export async function runInProcess(
  [name = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Printed> {
  const command = commandNamed(name);
  assert.ok(command !== undefined, `${name} is no command`);
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([text(stdout), text(stderr)]);
  const code = await runCommand(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdout,
    stderr,
    onSignal: () => ({ [Symbol.dispose]: () => undefined }),
    exit: () => assert.fail('nothing is to exit here'),
  });
  stdout.end();
  stderr.end();
  const [out, err] = await printed;
  return { code, stdout: out, stderr: err };
}
