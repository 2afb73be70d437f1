/** `gcloud beta emulators pubsub` → a Pub/Sub server on a free port that can be killed and started again. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PubSub } from '@google-cloud/pubsub';
import { freePort } from '../free-port.ts';
import { familyOf, untilFrozen } from '../service/children.ts';

export interface Emulator {
  /** `127.0.0.1:PORT`, as PUBSUB_EMULATOR_HOST wants it. */
  readonly host: string;
  readonly admin: PubSub;
  /** Ends it without a word, as a crash would. Everything it held is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port, empty. */
  start(): Promise<void>;
  /** Stops its answers and lets connections stand: what a broker that hangs looks like. Resolves once none comes any more. */
  freeze(): Promise<void>;
  thaw(): void;
  close(): Promise<void>;
}

export const PROJECT = 'archiver-test';
const START_COMMAND = 'gcloud beta emulators pubsub start --host-port=127.0.0.1:8085';
const START_WITHIN_MS = 240_000;

/** Why the emulator cannot run here; `false` where it can. CI has to have it: there a missing emulator is no reason to skip. */
export function emulatorMissing(): string | false {
  const found = spawnSync('gcloud', ['--version'], { encoding: 'utf8' });
  if (found.status === 0 && found.stdout.includes('pubsub-emulator')) return false;
  const why = `The Pub/Sub emulator is not installed. Install it (gcloud components install beta pubsub-emulator, and Java) so that this starts it: ${START_COMMAND}`;
  assert.ok(process.env['CI'] === undefined || process.env['CI'] === 'false', why);
  return why;
}

const onInterrupt = (): void => process.exit(1);

/** Sets PUBSUB_EMULATOR_HOST for this process, as the client library reads it. */
export async function startEmulator(): Promise<Emulator> {
  const folder = await mkdtemp(join(tmpdir(), 'pubsub-emulator-'));
  const port = await freePort();
  const host = `127.0.0.1:${String(port)}`;
  process.env['PUBSUB_EMULATOR_HOST'] = host;
  // The client would otherwise look for a cloud to run in.
  process.env['METADATA_SERVER_DETECTION'] = 'none';
  const admin = new PubSub({ projectId: PROJECT });
  let group = await run(host, folder);
  // An interrupted test run leaves no Java behind.
  const onExit = (): void => group.signal('SIGKILL');
  process.on('exit', onExit);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onInterrupt);
  return {
    host,
    admin,
    kill: () => group.kill(),
    start: async () => {
      group = await run(host, folder);
    },
    freeze: () => group.freeze(),
    thaw: () => group.signal('SIGCONT'),
    async close() {
      await admin.close();
      await group.kill();
      process.off('exit', onExit);
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, onInterrupt);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface ProcessGroup {
  signal(signal: NodeJS.Signals): void;
  freeze(): Promise<void>;
  kill(): Promise<void>;
}

/** gcloud starts Python, which starts Java: they are signalled together, as a group of their own. */
async function run(host: string, folder: string): Promise<ProcessGroup> {
  const child = spawn(
    'gcloud',
    ['beta', 'emulators', 'pubsub', 'start', `--host-port=${host}`, `--data-dir=${folder}`],
    {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, CLOUDSDK_CORE_DISABLE_PROMPTS: '1', CLOUDSDK_CORE_PROJECT: PROJECT },
    },
  );
  const signal = (name: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, name);
    } catch {
      // Gone already.
    }
  };
  const freeze = async (): Promise<void> => {
    signal('SIGSTOP');
    if (child.pid === undefined) return;
    for (const pid of [child.pid, ...familyOf(child.pid).map((one) => one.pid)]) await untilFrozen(pid);
  };
  const kill = async (): Promise<void> => {
    signal('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  try {
    await serverStarted(child);
  } catch (error) {
    await kill();
    throw error;
  }
  return { signal, freeze, kill };
}

/** Reads on after that: a full pipe would block the emulator. */
async function serverStarted(child: ChildProcess): Promise<void> {
  assert.ok(child.stderr !== null);
  const started = Promise.withResolvers<void>();
  const said: string[] = [];
  const lines = createInterface({ input: child.stderr });
  lines.on('line', (line) => {
    if (said.length < 100) said.push(line);
    if (line.includes('Server started')) started.resolve();
  });
  lines.on('close', () => started.reject(new Error(`The Pub/Sub emulator did not start:\n${said.join('\n')}`)));
  child.once('error', (error) => started.reject(error));
  const timer = setTimeout(() => lines.close(), START_WITHIN_MS);
  await started.promise.finally(() => clearTimeout(timer));
}
