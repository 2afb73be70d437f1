/** A test → a broker of its own with the topics of one queue, and that queue. */
import type { TestContext } from 'node:test';
import type { Failure } from '../../../../src/failure.ts';
import { openPubsubQueue, type PubsubQueue } from '../../../../src/queue/pubsub/pubsub.ts';
import { PROJECT } from '../emulator.ts';
import { type RunningBroker, startBroker } from './start-broker.ts';

export interface Jobs {
  readonly broker: RunningBroker;
  readonly queue: PubsubQueue;
  readonly troubles: readonly Failure[];
}

/** Both are closed at the end of the test. */
export async function openJobs(t: TestContext): Promise<Jobs> {
  const broker = await startBroker();
  t.after(() => broker.close());
  for (const name of ['jobs', 'jobs-later', 'jobs-long']) {
    const [topic] = await broker.admin.createTopic(name);
    await topic.createSubscription(name);
  }
  const troubles: Failure[] = [];
  const queue = openPubsubQueue(
    { project: PROJECT, topic: 'jobs', subscription: 'jobs' },
    { onTrouble: (failure) => troubles.push(failure) },
  );
  t.after(() => queue.close());
  return { broker, queue, troubles };
}
