// Starts the services once as they are started later, and ends them again: what Node has compiled of them (src/compiled.ts) and
// what was proven of ffmpeg lies beside the libraries then. For the image, where nothing can be written later. Speaks to nobody.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const GIVE_UP_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'first-start-'));
const nobody = {
  PATH: process.env.PATH,
  NODE_ENV: 'production',
  HOST: '127.0.0.1',
  PORT: '0',
  API_AUTH: 'none',
  WEBHOOK_AUTH: 'none',
  RECONCILE: 'no',
  GENESYS_REGION: 'mypurecloud.com',
  GENESYS_CLIENT_ID: '00000000-0000-4000-8000-000000000000',
  GENESYS_CLIENT_SECRET: 'of-nobody-at-all',
};
const embedded = { QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`, ARCHIVE_URL: `file:${join(folder, 'archive')}` };
const google = {
  QUEUE_URL: 'pubsub://nobody/messages?subscription=messages',
  ARCHIVE_URL: 'gs://nobody/calls',
  PUBSUB_EMULATOR_HOST: '127.0.0.1:1',
  GCS_API_ENDPOINT: 'http://127.0.0.1:1',
  METADATA_SERVER_DETECTION: 'none',
};

try {
  await startOnce('serve', embedded);
  for (const name of ['receiver', 'worker', 'playback']) await startOnce(name, google);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function startOnce(name, own) {
  const child = spawn('dist/cli.js', [name], { env: { ...nobody, ...own }, stdio: ['ignore', 'pipe', 'inherit'] });
  const giveUp = setTimeout(() => child.kill('SIGKILL'), GIVE_UP_MS);
  const said = [];
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    if (line.includes('"Service started."')) child.kill('SIGTERM');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  clearTimeout(giveUp);
  if (child.exitCode !== 0) throw new Error(`archiver ${name} did not start and end:\n${said.join('\n')}`);
}
