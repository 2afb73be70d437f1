/** `archiver serve` whose log nobody takes: lines are lost, work is not. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite, test, type TestContext } from 'node:test';
import { ALLOCATOR, COMPILED, NODE_FLAGS } from '../support/service/service.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const KEY = 'key-of-somebody-who-asks';

async function start(t: TestContext, stdout: number | 'pipe'): Promise<ChildProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'lost-log-'));
  t.after(() => rm(folder, { recursive: true }));
  const env = {
    GENESYS_LOGIN_URL: 'http://127.0.0.1:9',
    GENESYS_API_URL: 'http://127.0.0.1:9',
    GENESYS_CLIENT_ID: 'client',
    GENESYS_CLIENT_SECRET: 'secret-of-nobody-at-all',
    QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
    ARCHIVE_URL: `file:${join(folder, 'archive')}`,
    WEBHOOK_AUTH: 'none',
    API_KEYS: KEY,
    RECONCILE: 'no',
    LOG_LEVEL: 'debug',
    PORT: '0',
  };
  const child = spawn(process.execPath, [...NODE_FLAGS, CLI, 'serve'], {
    stdio: ['ignore', stdout, 'pipe'],
    env: { PATH: process.env['PATH'], ...ALLOCATOR, ...COMPILED, ...env },
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function lineOf(child: ChildProcess, stream: 'stdout' | 'stderr', wanted: RegExp): Promise<string> {
  const input = child[stream];
  assert.ok(input !== null);
  for await (const line of createInterface({ input })) if (wanted.test(line)) return line;
  assert.fail(`the service ended without ${String(wanted)}`);
}

const SAID = /^Lines of the log are lost, since stdout cannot be written \((\w+)\); the service goes on\.$/;

suite('a log that nobody takes', { timeout: 400_000 }, () => {
  test('on a full disk ends no service, and is told on stderr', async (t) => {
    const full = await open('/dev/full', 'w');
    const child = await start(t, full.fd);
    await full.close();
    const exit = once(child, 'exit');
    assert.match(await lineOf(child, 'stderr', SAID), /ENOSPC/);
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
  });

  test('since its reader has gone ends no service: an event is taken, and it stops as told', async (t) => {
    const child = await start(t, 'pipe');
    const { url } = JSON.parse(await lineOf(child, 'stdout', /"Service started\."/)) as { readonly url: string };
    const exit = once(child, 'exit');
    const told = lineOf(child, 'stderr', SAID);
    child.stdout?.destroy();
    const event = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"conversationId":"c"}' };
    assert.equal((await fetch(`${url}/webhooks/genesys`, event)).status, 202);
    assert.match(await told, /EPIPE/);
    assert.equal((await fetch(`${url}/recordings`, { headers: { 'x-api-key': KEY } })).status, 200);
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
  });
});
