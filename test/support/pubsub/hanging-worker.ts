/** A process that takes one message from the subscription named by its arguments, says so and never settles it, until it is killed. */
import { writeSync } from 'node:fs';
import { openPubsubQueue } from '../../../src/queue/pubsub/pubsub.ts';

const [project = '', name = ''] = process.argv.slice(2);
const queue = openPubsubQueue({ project, topic: name, subscription: name }, { leaseS: 10 });
const hang = async (): Promise<never> => {
  writeSync(1, 'taken\n');
  return new Promise(() => undefined);
};
await queue.consume(hang, 1, new AbortController().signal);
