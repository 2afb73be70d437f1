/** A region that does not exist, or is another one: a command says at once what it waits for, or which variable to mend. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { failureOf } from '../support/archive/content.ts';
import { AnotherMachine } from '../support/commands/another-machine.ts';
import { openFolderScene } from '../support/commands/archive-scene.ts';
import { runArchiver, startCommand } from '../support/commands/run.ts';

const PRELOAD = pathToFileURL(join(import.meta.dirname, '../support/commands/no-such-host.ts')).href;
const CLIENT = { GENESYS_CLIENT_ID: 'id', GENESYS_CLIENT_SECRET: 'secret-of-the-client' };
const DAY = '2026-03-01';
/** Every command that asks Genesys, as far as it does so first of all. */
const LINES = [
  `reconcile --from ${DAY} --to ${DAY}`,
  'reconcile',
  `reconcile --why --from ${DAY} --to ${DAY}`,
  `backfill --from ${DAY} --to ${DAY}`,
  `backfill --from ${DAY} --to ${DAY} --dry-run`,
  'restore --conversation c1',
  `retire --from ${DAY} --to ${DAY}`,
  'retire --undo',
] as const;

async function archiveIn(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'unreachable-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return `file:${join(folder, 'archive')}`;
}

test('a region without a login host ends every command with 1, names the variable, and the region that was meant', async (t) => {
  const env = {
    ARCHIVE_URL: await archiveIn(t),
    GENESYS_REGION: 'mypurecloud.con',
    ...CLIENT,
  };
  await using machine = new AnotherMachine('no-such-host.ts', { NO_SUCH_HOST: '.mypurecloud.con' });
  for (const line of LINES) {
    const printed = await machine.run(line.split(' '), env);
    assert.equal(printed.code, 1, line + printed.stdout + printed.stderr);
    assert.match(
      printed.stderr,
      /^misconfigured: There is no host login\.mypurecloud\.con \(ENOTFOUND\): check GENESYS_REGION/m,
      line,
    );
    assert.match(printed.stderr, /Did you mean mypurecloud\.com\?/);
    assert.doesNotMatch(printed.stdout + printed.stderr, /secret-of-the-client|^\s+at /m);
  }
});

test('replay asks for recordings only where it can: without a login host it ends, and no failure is lost', async (t) => {
  const scene = await openFolderScene();
  t.after(() => scene.close());
  const recording = { recordingId: 'r', conversationId: 'c' };
  await scene.archive.recordFailure(recording, failureOf(recording), AbortSignal.timeout(60_000));
  const env = {
    ...scene.env,
    ...CLIENT,
    GENESYS_REGION: 'euc9.pure.cloud',
    NODE_OPTIONS: `--import=${PRELOAD}`,
    NO_SUCH_HOST: '.pure.cloud',
  };
  const printed = await runArchiver(['replay'], env);
  assert.equal(printed.code, 1, printed.stdout + printed.stderr);
  assert.match(printed.stderr, /There is no host login\.euc9\.pure\.cloud \(ENOTFOUND\): check GENESYS_REGION/);
  assert.deepEqual(await scene.archive.failureOf(recording, AbortSignal.timeout(60_000)), failureOf(recording));
});

/** What is behind the login host, and what a command makes of it. */
const HOSTS: readonly (readonly [what: string, answer: RequestListener])[] = [
  [
    'a web page',
    (_, response) => void response.setHeader('content-type', 'text/html').end('<!doctype html><h1>Welcome</h1>'),
  ],
  [
    'a page that is not found',
    (_, response) => void response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404</h1>'),
  ],
  ['a redirect', (_, response) => void response.writeHead(302, { location: 'https://parked.example/' }).end()],
  ['nothing but 200', (_, response) => void response.end()],
];

for (const [what, answer] of HOSTS)
  test(`a login host that answers with ${what} ends a command with 1 and names the variable`, async (t) => {
    const server = createServer(answer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const url = `http://127.0.0.1:${String((server.address() as { readonly port: number }).port)}`;
    const env = { ARCHIVE_URL: await archiveIn(t), GENESYS_LOGIN_URL: url, GENESYS_API_URL: url, ...CLIENT };
    const printed = await runArchiver(['reconcile', '--from', DAY, '--to', DAY], env);
    assert.equal(printed.code, 1, printed.stdout + printed.stderr);
    assert.match(printed.stderr, /^upstream-error: .*GENESYS_REGION/m);
  });

/** Each is waited for, and said so before anything else happens; a signal ends the wait. */
const WAITS: readonly (readonly [what: string, answer: RequestListener, says: RegExp])[] = [
  [
    'a gateway that is out of order',
    (_, response) => void response.writeHead(503, { 'content-type': 'text/html' }).end('<h1>503</h1>'),
    /The Genesys login host answered 503/,
  ],
  ['silence', () => undefined, /Waiting for Genesys \(127\.0\.0\.1:\d+\)/],
];

for (const [what, answer, says] of WAITS)
  for (const form of ['text', 'json'] as const)
    test(`${what} behind the login host is said on stderr while it is waited for (${form})`, async (t) => {
      const server = createServer(answer).listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => {
        server.closeAllConnections();
        server.close();
      });
      const url = `http://127.0.0.1:${String((server.address() as { readonly port: number }).port)}`;
      const env = { ARCHIVE_URL: await archiveIn(t), GENESYS_LOGIN_URL: url, GENESYS_API_URL: url, ...CLIENT };
      const child = startCommand(
        ['reconcile', '--from', DAY, '--to', DAY, ...(form === 'json' ? ['--json'] : [])],
        env,
      );
      const [ended, stdout] = [once(child, 'close'), text(child.stdout)];
      const [first] = (await once(child.stderr.setEncoding('utf8'), 'data')) as [string];
      assert.match(first, says);
      if (form === 'json') assert.equal((JSON.parse(first.split('\n')[0] ?? '') as { type: string }).type, 'progress');
      child.stderr.resume();
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [143, null]);
      if (form === 'json') assert.match(await stdout, /^\{"type":"summary".*"exit":143\}$|^$/m);
    });
