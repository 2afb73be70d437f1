/** A topic with its subscriptions on a Pub/Sub server (the emulator, unless told otherwise), a bucket on the loopback, and what a service is told of them. */
import { randomUUID } from 'node:crypto';
import { openArchive } from '../../../src/archive/open-archive.ts';
import { readConfig } from '../../../src/config/config.ts';
import { keyInEnvironment } from '../archive/bucket.ts';
import { auditArchive } from '../gcs/audit.ts';
import { startGcsServer, type GcsServerOptions } from '../gcs/server.ts';
import type { Environment } from './journey.ts';
import { PROJECT, startEmulator, type Emulator } from '../pubsub/emulator.ts';

/** As terraform makes it; the server audits every object in the instant it becomes visible, unless told otherwise. */
export async function openCloud(
  options: GcsServerOptions = {},
  startPubsub: () => Promise<Emulator> = startEmulator,
): Promise<Environment> {
  await using opened = new AsyncDisposableStack();
  const emulator = opened.adopt(await startPubsub(), (started) => started.close());
  const key = opened.adopt(await keyInEnvironment(), (made) => made.remove());
  const server = opened.adopt(
    await startGcsServer({ audits: [auditArchive({ ebml: true })], signer: key.signer, ...options }),
    (started) => started.close(),
  );
  server.deny('delete', 'calls/recordings/');
  server.deny('delete', 'calls/days/');
  const name = `messages-${randomUUID().slice(0, 8)}`;
  const [dead] = await emulator.admin.createTopic(`${name}-dead`);
  await dead.createSubscription(`${name}-dead`);
  for (const topic of [name, `${name}-later`]) {
    const deadLetterPolicy = { deadLetterTopic: dead.name, maxDeliveryAttempts: 20 };
    const retryPolicy = { minimumBackoff: { seconds: 1 } };
    const [created] = await emulator.admin.createTopic(topic);
    await created.createSubscription(topic, topic === name ? { retryPolicy, deadLetterPolicy } : { retryPolicy });
  }
  const env = {
    QUEUE_URL: `pubsub://${PROJECT}/${name}?subscription=${name}`,
    ARCHIVE_URL: `gs://${server.bucket}/calls`,
    GCS_API_ENDPOINT: server.url,
    PUBSUB_EMULATOR_HOST: emulator.host,
    METADATA_SERVER_DETECTION: 'none',
    GOOGLE_APPLICATION_CREDENTIALS: process.env['GOOGLE_APPLICATION_CREDENTIALS'] ?? '',
  };
  const { archive } = await openArchive(readConfig({ ...env, WEBHOOK_AUTH: 'none' }, 'receiver'), { publicUrl: '' });
  opened.defer(() => archive.close());
  const kept = opened.move();
  return {
    env,
    archive,
    async close() {
      await kept.disposeAsync();
      server.assertSound();
    },
  };
}
