/** Opens the queue that QUEUE_URL names; each client library is loaded only where it is used. */
import { existsSync } from 'node:fs';
import type { QueueConfig } from '../config/config.ts';
import type { Failure } from '../failure.ts';
import type { PubsubQueue } from './pubsub/pubsub.ts';
import type { Queue } from './queue.ts';

/** `take` where messages can also be pushed to us. */
export type OpenQueue = Queue & { readonly take?: PubsubQueue['take'] };

export interface OpenQueueOptions {
  /** Hears what nobody waits for: a lost lease, a message given up, a change the broker refused. */
  readonly onTrouble: (failure: Failure) => void;
  /** This process is pushed to. */
  readonly pushed: boolean;
}

/** Whether there is a queue to look at: to open one on a file makes that file, which whoever only looks must not do. */
export function isQueueThere(config: QueueConfig): boolean {
  return config.kind !== 'sqlite' || [config.path, `${config.path}-wal`].some((path) => existsSync(path));
}

export async function openQueue(config: QueueConfig, options: OpenQueueOptions): Promise<OpenQueue> {
  if (config.kind === 'sqlite') {
    const { openSqliteQueue } = await import('./sqlite/sqlite.ts');
    return openSqliteQueue({ path: config.path, onTrouble: options.onTrouble });
  }
  const { openPubsubQueue } = await import('./pubsub/pubsub.ts');
  return openPubsubQueue(config, options);
}
