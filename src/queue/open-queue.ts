/** Opens the queue that QUEUE_URL names; each client library is loaded only where it is used. */
import type { QueueConfig } from '../config.ts';
import type { Failure } from '../failure.ts';
import type { Queue } from './queue.ts';

/** `onTrouble` hears what nobody waits for: a lost lease, a message given up, a change the broker refused. */
export async function openQueue(config: QueueConfig, onTrouble: (failure: Failure) => void): Promise<Queue> {
  if (config.kind === 'sqlite') {
    const { openSqliteQueue } = await import('./sqlite.ts');
    return openSqliteQueue({ path: config.path, onTrouble });
  }
  const { openPubsubQueue } = await import('./pubsub.ts');
  return openPubsubQueue(config, { onTrouble });
}
