/** The two stores an archive lies in, each with a hand that changes them behind its back, as an operator or a disk would. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Archive } from '../../../src/archive/archive.ts';
import { crc32c, encodeCrc32c } from '../../../src/archive/checksum.ts';
import type { GcsServer } from '../gcs/server.ts';
import type { StoredObject } from '../gcs/store.ts';
import { openBucketHarness, PREFIX } from './bucket.ts';
import { openFolderHarness } from './folder.ts';

export interface Place extends AsyncDisposable {
  readonly kind: 'folder' | 'bucket';
  readonly archive: Archive;
  /** What a command needs to find it. */
  readonly env: Readonly<Record<string, string>>;
  /** undefined for a folder. */
  readonly server: GcsServer | undefined;
  names(): Promise<readonly string[]>;
  bytes(name: string): Promise<Buffer>;
  /** Whatever lies there; what an object carries besides its bytes stays. */
  write(name: string, bytes: Buffer | string): Promise<void>;
  remove(name: string): Promise<void>;
}

export async function openFolderPlace(): Promise<Place> {
  const harness = await openFolderHarness();
  const at = (name: string): string => join(harness.path, name);
  return {
    kind: 'folder',
    archive: harness.archive,
    env: { ARCHIVE_URL: `file:${harness.path}` },
    server: undefined,
    names: () => harness.objects(),
    bytes: (name) => harness.bytes(name),
    async write(name, bytes) {
      await mkdir(dirname(at(name)), { recursive: true });
      await writeFile(at(name), bytes);
    },
    remove: (name) => rm(at(name)),
    [Symbol.asyncDispose]: () => harness.close(),
  };
}

export async function openBucketPlace(): Promise<Place> {
  const harness = await openBucketHarness();
  const { server } = harness;
  const { objects, violations } = server.store;
  return {
    kind: 'bucket',
    archive: harness.archive,
    env: { ARCHIVE_URL: `gs://${server.bucket}/${PREFIX}`, GCS_API_ENDPOINT: server.url },
    server,
    names: () => harness.objects(),
    bytes: (name) => harness.bytes(name),
    async write(name, text) {
      await Promise.resolve();
      const bytes = Buffer.from(text);
      const before = objects.get(`${PREFIX}/${name}`) ?? server.put(`${PREFIX}/${name}`, bytes);
      const facts = { parts: [bytes], sizeBytes: bytes.length, crc32c: encodeCrc32c(crc32c(bytes)) };
      changeObject(server, before.name, facts);
    },
    async remove(name) {
      await Promise.resolve();
      objects.delete(`${PREFIX}/${name}`);
    },
    async [Symbol.asyncDispose]() {
      violations.length = 0;
      await harness.close();
    },
  };
}

/** Behind the back of every rule of the server. */
export function changeObject(server: GcsServer, name: string, facts: Partial<StoredObject>): void {
  const before = server.store.objects.get(name);
  if (before === undefined) throw new Error(`${name} is not there`);
  const generation = String(BigInt(before.generation) + 1n);
  server.store.objects.set(name, { ...before, generation, ...facts });
}

export const PLACES = [
  ['folder', openFolderPlace],
  ['bucket', openBucketPlace],
] as const;
