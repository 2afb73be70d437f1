/** Opens the queue that QUEUE_URL names; each client library is loaded only where it is used. */
import type { QueueConfig } from '../config.ts';
import type { Queue } from './queue.ts';

export async function openQueue(config: QueueConfig): Promise<Queue> {
  if (config.kind === 'sqlite') {
    const { openSqliteQueue } = await import('./sqlite.ts');
    return openSqliteQueue({ path: config.path });
  }
  const { openPubsubQueue } = await import('./pubsub.ts');
  return openPubsubQueue(config);
}
