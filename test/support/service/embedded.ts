/** An empty queue file and archive folder, and what a service is told of them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openArchive } from '../../../src/archive/open-archive.ts';
import { readConfig } from '../../../src/config/config.ts';
import type { Environment } from './journey.ts';

export interface Embedded extends Environment {
  /** The archive's folder, once there is something in it. */
  readonly path: string;
}

export async function openEmbedded(): Promise<Embedded> {
  const folder = await mkdtemp(join(tmpdir(), 'embedded-'));
  const path = join(folder, 'archive');
  const env = { QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`, ARCHIVE_URL: `file:${path}` };
  const { archive } = await openArchive(readConfig({ ...env, WEBHOOK_AUTH: 'none' }, 'receiver'), { publicUrl: '' });
  return {
    env,
    archive,
    path,
    async close() {
      await archive.close();
      await rm(folder, { recursive: true });
    },
  };
}
