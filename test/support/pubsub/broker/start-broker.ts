/**
 * A process of our own → a Pub/Sub server that keeps what the emulator does not: it holds to the flow control of streams, notices at
 * once that a pull was called off, takes back what is given back, and breaks streams off as the real one does now and then.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PubSub } from '@google-cloud/pubsub';
import { freePort } from '../../free-port.ts';
import { untilFrozen } from '../../service/children.ts';
import { PROJECT, type Emulator } from '../emulator.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

export interface RunningBroker extends Emulator {
  /** Ends every stream with UNAVAILABLE: what they hold stays under its lease. */
  breakStreams(): void;
}

/** Sets PUBSUB_EMULATOR_HOST for this process, as the client library reads it. */
export async function startBroker(): Promise<RunningBroker> {
  const port = await freePort();
  const host = `127.0.0.1:${String(port)}`;
  process.env['PUBSUB_EMULATOR_HOST'] = host;
  // The client would otherwise look for a cloud to run in.
  process.env['METADATA_SERVER_DETECTION'] = 'none';
  const admin = new PubSub({ projectId: PROJECT });
  let child = await run(port);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return {
    host,
    admin,
    kill,
    start: async () => {
      child = await run(port);
    },
    async freeze() {
      child.kill('SIGSTOP');
      if (child.pid !== undefined) await untilFrozen(child.pid);
    },
    thaw: () => void child.kill('SIGCONT'),
    breakStreams: () => void child.send('break'),
    async close() {
      await admin.close();
      await kill();
    },
  };
}

async function run(port: number): Promise<ChildProcess> {
  const child = fork(MAIN, [String(port)], { execArgv: [] });
  await once(child, 'message');
  return child;
}
