/** A Cloud Storage server on the loopback → what the archive suite needs of a store. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '../../../src/archive/manifest.ts';
import type { RetryPolicy } from '../../../src/archive/bucket/retry.ts';
import {
  openBucketArchive,
  type BucketArchive,
  type BucketArchiveOptions,
} from '../../../src/archive/bucket/bucket.ts';
import type { LockConfig } from '../../../src/config/config.ts';
import { auditArchive } from '../gcs/audit.ts';
import { auditLock, lockEnd } from '../gcs/lock.ts';
import { startGcsServer, type GcsServer, type GcsServerOptions } from '../gcs/server.ts';
import { rsaPairOf } from '../rsa.ts';

/** Waits of milliseconds, so that many faults in a row take no time. */
export const QUICK: RetryPolicy = {
  attempts: 8,
  firstDelayMs: 1,
  longestDelayMs: 8,
  withoutProgressMs: 20_000,
  requestTimeoutMs: 10_000,
};

export const PREFIX = 'calls';

export interface BucketHarness {
  readonly archive: BucketArchive;
  readonly server: GcsServer;
  readonly holdBackBytes: number;
  open(options?: Partial<BucketArchiveOptions>): BucketArchive;
  another(): Promise<BucketArchive>;
  objects(): Promise<readonly string[]>;
  bytes(name: string): Promise<Buffer>;
  fingerprint(name: string): Promise<string>;
  retain(name: string, until: Date): void;
  lockEnd(manifest: Pick<Manifest, 'finishedAt'>): string | undefined;
  follow(url: string): Promise<Buffer>;
  close(): Promise<void>;
}

export interface BucketHarnessOptions extends GcsServerOptions {
  /** Of whatever the archive stores of recordings; nothing else may then be locked, nor anything without it. */
  readonly lock?: LockConfig;
}

/**
 * Deleting under recordings/ and days/ is denied, as it is for the worker's service account: whatever passes here needs
 * no such right. What is stored in these tests is no real WebM unless a test says so.
 */
export async function openBucketHarness({ lock, ...options }: BucketHarnessOptions = {}): Promise<BucketHarness> {
  const key = await keyInEnvironment();
  const audits = [auditArchive({ ebml: false }), auditLock(lock)];
  const server = await startGcsServer({ audits, signer: key.signer, ...options });
  server.store.objectRetention = lock !== undefined;
  server.deny('delete', `${PREFIX}/recordings/`);
  server.deny('delete', `${PREFIX}/days/`);
  const opened: BucketArchive[] = [];
  const holdBackBytes = 256 * 1024;
  const open = (more: Partial<BucketArchiveOptions> = {}): BucketArchive => {
    const base = { bucket: server.bucket, prefix: PREFIX, apiEndpoint: server.url, holdBackBytes, retry: QUICK, lock };
    const archive = openBucketArchive({ ...base, ...more });
    opened.push(archive);
    return archive;
  };
  const full = (name: string): string => `${PREFIX}/${name}`;
  return {
    archive: open(),
    server,
    holdBackBytes,
    open,
    another: async () => open(),
    objects: async () => server.names().map((name) => name.slice(PREFIX.length + 1)),
    bytes: async (name) => server.store.bytes(full(name)),
    fingerprint: async (name) => server.store.objects.get(full(name))?.generation ?? 'gone',
    retain: (name, until) => server.store.retain(full(name), until),
    lockEnd: (manifest) => (lock === undefined ? undefined : lockEnd(manifest, lock)),
    async follow(url) {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`the link answered ${String(answer.status)}: ${await answer.text()}`);
      return Buffer.from(await answer.arrayBuffer());
    },
    async close() {
      for (const archive of opened) await archive.close();
      await server.close();
      await key.remove();
      server.assertSound();
    },
  };
}

/** Links of the suite are signed with a throwaway key, as with GOOGLE_APPLICATION_CREDENTIALS anywhere off Google Cloud. */
export async function keyInEnvironment(): Promise<{
  readonly signer: NonNullable<GcsServerOptions['signer']>;
  remove(): Promise<void>;
}> {
  const { publicKey, privateKey } = rsaPairOf('playback');
  const email = 'playback@project-test.iam.gserviceaccount.com';
  const folder = await mkdtemp(join(tmpdir(), 'archiver-key-'));
  const path = join(folder, 'key.json');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const file = { type: 'service_account', project_id: 'test', client_email: email, private_key: pem, client_id: '1' };
  await writeFile(path, JSON.stringify(file), { mode: 0o600 });
  const before = process.env['GOOGLE_APPLICATION_CREDENTIALS'];
  process.env['GOOGLE_APPLICATION_CREDENTIALS'] = path;
  return {
    signer: { email, publicKey },
    async remove() {
      if (before === undefined) delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
      else process.env['GOOGLE_APPLICATION_CREDENTIALS'] = before;
      await rm(folder, { recursive: true });
    },
  };
}
