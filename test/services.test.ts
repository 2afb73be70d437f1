/** `archiver COMMAND` as a real process: what it refuses to start with, what it serves, and how it ends. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { openFolderArchive } from '../src/archive/folder/folder.ts';
import { verifyStored } from '../src/archive/verify.ts';
import { checkFfmpeg } from '../src/media/encoder/check.ts';
import { openSqliteQueue } from '../src/queue/sqlite/sqlite.ts';
import type { Recording } from '../src/recording.ts';
import { filesIn } from './support/archive/folder.ts';
import { freePort } from './support/free-port.ts';
import { childrenOf, survivors } from './support/service/children.ts';
import { type Fixture, FIXTURES, simulated } from './support/media/fixtures.ts';
import { startGenesysServer } from './support/genesys/server.ts';
import { send, tokenHeader } from './support/service/senders.ts';
import { COMPILED, type Service, startService, startServices, until } from './support/service/service.ts';

const HANG_GUARD = { timeout: 400_000 };
const CLI = join(import.meta.dirname, '../src/cli.ts');
const TOKEN = 'canary-webhook-token';
const KEY = 'canary-api-key-1';

const genesys = await startGenesysServer({ clients: [{ id: 'c', secret: 'canary-client-secret' }] });
after(() => genesys.close());

type Env = Readonly<Record<string, string>>;

/** A folder with a queue and an archive in it, and the environment that names them. */
interface Site extends AsyncDisposable {
  readonly folder: string;
  readonly env: Env;
  /** Every file in the archive but the listing's marks, and what a worker says of itself while it runs. */
  files(): Promise<readonly string[]>;
  /** Asserts that it is archived whole, and resolves with the attempt that did it. */
  archived(recording: Recording): Promise<number>;
}

async function openSite(): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'commands-'));
  const path = join(folder, 'archive');
  const archive = openFolderArchive({ path, linkKeys: ['key'], publicUrl: 'http://127.0.0.1' });
  return {
    folder,
    env: {
      ...genesys.environment(),
      QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
      ARCHIVE_URL: `file:${path}`,
      WEBHOOK_TOKENS: TOKEN,
      API_KEYS: KEY,
      LINK_KEYS: 'canary-link-key-1',
      TRANSCODE_SLOTS: '2',
    },
    files: async () => (await filesIn(path)).filter((file) => !/^(listing|status)\//.test(file)),
    async archived(recording) {
      assert.deepEqual(await verifyStored(archive, recording, patience()), []);
      return (await archive.find(recording, patience()))?.attempt ?? assert.fail();
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

let count = 0;

function add(fixture: Fixture): Recording & { conversationId: string } {
  count += 1;
  const recording = { recordingId: `r-${String(count)}`, conversationId: `c-${String(count)}` };
  genesys.addRecording(simulated(recording.recordingId, recording.conversationId, fixture));
  return recording;
}

/** The bound of every wait: decides nothing but whether a test hangs. */
function patience(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

interface Ran {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command that is to end by itself. */
function run(args: readonly string[], env: Env = {}): Promise<Ran> {
  const options = { env: { PATH: process.env['PATH'], ...COMPILED, ...env }, timeout: 300_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

async function accept(service: Service, event: unknown): Promise<void> {
  const { status, body } = await send(service.url, event, tokenHeader(TOKEN));
  assert.equal(status, 202, body);
}

function listen(service: Service, { recordingId, conversationId = '' }: Recording): Promise<Response> {
  const url = `${service.url}/transcode?id=${recordingId}&conversationId=${conversationId}`;
  return fetch(url, { headers: { 'x-api-key': KEY }, signal: patience() });
}

/** Ended by itself or by SIGTERM, with this code, within the 8 s that Cloud Run leaves. */
async function assertEnds(service: Service, code: number): Promise<void> {
  const ended = await service.stop();
  assert.equal(ended.code, code, service.output().slice(-2000));
  assert.ok(ended.ms < 8_000, `${String(ended.ms)} ms`);
}

/** SIGTERM while a listener waits for media that does not come: its answer is broken, after a while. */
async function listenToNothing(service: Service): Promise<{ readonly broken: Promise<unknown> }> {
  const recording = add(FIXTURES.wav);
  genesys.fault(`media:${recording.recordingId}:0`, 'stall-after-600K');
  const response = await listen(service, recording);
  assert.equal(response.status, 200);
  return { broken: assert.rejects(response.arrayBuffer()) };
}

// ── the command line ────────────────────────────────────────────────────────────────────────────────────────────

test('--help shows every command on stdout', async () => {
  for (const { code, stdout, stderr } of await Promise.all(['--help', 'help'].map((word) => run([word])))) {
    assert.deepEqual([code, stderr], [0, '']);
    for (const command of Object.keys(SERVED)) assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
  }
});

test('what is no command is answered with the usage on stderr, and code 2', async () => {
  const wrong = [[], ['server'], ['toString'], ['serve', 'now']];
  for (const { code, stdout, stderr } of await Promise.all(wrong.map((args) => run(args)))) {
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^Usage: archiver COMMAND/);
  }
});

test('a wrong configuration names every problem at once and ends with code 1 (PR-08)', async () => {
  const wrong = { PORT: 'canary', QUEUE_URL: 'canary', GENESYS_CLIENT_SECRET: 'canary,canary', WEBHOOK_AUTH: 'canary' };
  const { code, stdout, stderr } = await run(['serve'], wrong);
  assert.deepEqual([code, stdout], [1, '']);
  const names = [...stderr.matchAll(/^ {2}- ([A-Z_]+)/gm)].map((match) => match[1] ?? '');
  assert.deepEqual(names.toSorted(), [
    'API_KEYS',
    'GENESYS_CLIENT_ID',
    'GENESYS_REGION',
    'PORT',
    'QUEUE_URL',
    'WEBHOOK_AUTH',
    'WEBHOOK_SECRETS',
  ]);
  assert.doesNotMatch(stderr, /canary|\n\s+at /);
});

test('without ffmpeg it does not start, and says what to install (FF-01)', async () => {
  await using site = await openSite();
  const { code, stdout } = await run(['worker'], { ...site.env, PORT: '0', PATH: site.folder });
  assert.equal(code, 1);
  assert.match(stdout, /"severity":"ERROR".*There is no ffmpeg on PATH.*apt-get install ffmpeg/);
});

test('a port that is taken ends the start with the reason, and no stack (E1)', async () => {
  await using site = await openSite();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  const { code, stdout } = await run(['receiver'], { ...site.env, PORT: String(address.port) });
  taken.close();
  assert.equal(code, 1);
  assert.match(stdout, /"severity":"ERROR"[^\n]*"message":"PORT: another program has it;/);
  assert.doesNotMatch(stdout, /"stack"/);
});

for (const [HOST, reason] of [
  ['nobody.invalid', 'HOST: no resolver'],
  ['192.0.2.1', 'HOST: no address of this machine'],
] as const) {
  test(`HOST=${HOST} ends the start with the reason (E1)`, async () => {
    await using site = await openSite();
    const { code, stdout } = await run(['receiver'], { ...site.env, HOST, PORT: '0' });
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`"severity":"ERROR"[^\\n]*"message":"${reason}`));
    assert.doesNotMatch(stdout, /"stack"/);
  });
}

test('who listens everywhere without PUBLIC_URL is told where links lead (B12)', HANG_GUARD, async () => {
  await using site = await openSite();
  const warning = {
    message: 'PUBLIC_URL is not set: links lead to this machine alone. Set it to how callers reach the service.',
  };
  await using everywhere = await startService('playback', { ...site.env, HOST: '0.0.0.0' });
  assert.equal((await everywhere.logged(warning, patience()))['severity'], 'WARNING');
  const named = { ...site.env, HOST: '0.0.0.0', PUBLIC_URL: 'https://archiver.example' };
  for (const [command, env] of [
    ['playback', named],
    ['playback', site.env],
    ['receiver', { ...site.env, HOST: '0.0.0.0' }],
  ] as const) {
    await using service = await startService(command, env);
    assert.ok(
      service.entries().every(({ message }) => message !== warning.message),
      command,
    );
  }
});

test(
  'figures and reasons need no key on an address of their own, which knows nothing else (B6)',
  HANG_GUARD,
  async () => {
    await using site = await openSite();
    const METRICS_PORT = String(await freePort());
    const { API_KEYS: _, ...withoutKeys } = site.env;
    await using service = await startService('worker', { ...withoutKeys, METRICS_PORT });
    const own = `http://127.0.0.1:${METRICS_PORT}`;
    assert.match(await (await fetch(`${own}/metrics`)).text(), /^# HELP archiver_/m);
    const state: unknown = await (await fetch(`${own}/readyz`)).json();
    assert.ok(typeof state === 'object' && state !== null && 'dependencies' in state);
    assert.equal((await fetch(`${own}/healthz`)).status, 200);
    assert.equal((await fetch(`${own}/recordings`)).status, 404);
    assert.equal((await fetch(`${service.url}/metrics`)).status, 401);
    assert.deepEqual(await (await fetch(`${service.url}/readyz`)).json(), { ready: true });
    await assertEnds(service, 0);
  },
);

test('a port for figures that is taken is named as such (B6) (E1)', async () => {
  await using site = await openSite();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  const { code, stdout } = await run(['receiver'], { ...site.env, PORT: '0', METRICS_PORT: String(address.port) });
  taken.close();
  assert.equal(code, 1);
  assert.match(stdout, /"message":"METRICS_PORT: another program has it;/);
});

test('what is not ready is said in the log, since the answer is silent (B6)', HANG_GUARD, async () => {
  await using site = await openSite();
  await using service = await startService('serve', { ...site.env, GENESYS_CLIENT_SECRET: 'canary-not-the-secret' });
  assert.equal((await fetch(`${service.url}/readyz`)).status, 503);
  const { problems } = await service.logged({ message: 'The service is not ready.' }, patience());
  assert.match(JSON.stringify(problems), /"genesys":".*GENESYS_CLIENT_SECRET/);
});

test('HOST=[::1] listens there (E1)', HANG_GUARD, async () => {
  await using site = await openSite();
  await using service = await startService('receiver', { ...site.env, HOST: '[::1]' });
  const { port } = new URL(service.url);
  assert.equal((await fetch(`http://[::1]:${port}/healthz`)).status, 200);
});

// ── what each serves ────────────────────────────────────────────────────────────────────────────────────────────

const ROUTES = ['POST /webhooks/genesys', 'GET /transcode', 'GET /recordings', 'GET /recordings/c/r', 'GET /media/c/r'];

/** The status of each of ROUTES, asked without what it needs, and what /readyz looks after. */
const SERVED: Readonly<
  Record<string, { readonly routes: readonly number[]; readonly dependencies: readonly string[] }>
> = {
  serve: { routes: [401, 401, 401, 401, 403], dependencies: ['queue', 'archive', 'ffmpeg', 'genesys'] },
  receiver: { routes: [401, 404, 404, 404, 404], dependencies: ['queue'] },
  worker: { routes: [404, 404, 404, 404, 404], dependencies: ['queue', 'archive', 'ffmpeg', 'genesys'] },
  playback: { routes: [404, 401, 401, 401, 403], dependencies: ['archive', 'ffmpeg', 'genesys'] },
};

test('of services that are started together none is left running where one does not start', HANG_GUARD, async () => {
  await using site = await openSite();
  await using opened = new AsyncDisposableStack();
  const before = childrenOf(process.pid);
  const commands = ['receiver', 'no-such-command', 'playback'];
  await assert.rejects(startServices(commands, site.env, opened), /^Error: The service did not start:/);
  assert.equal(childrenOf(process.pid).length, before.length + 2);
  await opened.disposeAsync();
  assert.deepEqual(childrenOf(process.pid), before);
});

for (const [command, { routes, dependencies }] of Object.entries(SERVED)) {
  test(`${command} serves its own routes only, is ready, and ends at SIGTERM (invariant 10)`, HANG_GUARD, async () => {
    await using site = await openSite();
    await using service = await startService(command, site.env);
    const headers = { 'content-type': 'application/json' };
    const statuses = ROUTES.map(async (route) => {
      const [method = '', path = ''] = route.split(' ');
      const { status, body } = await fetch(service.url + path, { method, headers });
      await body?.cancel();
      return status;
    });
    assert.deepEqual(await Promise.all(statuses), routes);
    assert.deepEqual(await (await fetch(`${service.url}/readyz`)).json(), { ready: true });
    const ready = await fetch(`${service.url}/readyz`, { headers: { 'x-api-key': KEY } });
    const state: unknown = await ready.json();
    const { version, cage } = await checkFfmpeg();
    assert.deepEqual(state, {
      ready: true,
      dependencies: Object.fromEntries(
        dependencies.map((name) => [name, name === 'ffmpeg' ? { ok: true, facts: { version, cage } } : { ok: true }]),
      ),
    });
    assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
    assert.equal((await fetch(`${service.url}/metrics`)).status, 401);
    const figures = await fetch(`${service.url}/metrics`, { headers: { 'x-api-key': KEY } });
    assert.match(await figures.text(), /^# HELP archiver_/m);
    await assertEnds(service, 0);
    const messages = service.entries().map((entry) => entry['message']);
    assert.deepEqual(messages.slice(-2), ['Service is stopping.', 'Service stopped.']);
    assert.doesNotMatch(service.output(), /canary/);
  });
}

test('a receiver needs neither Genesys nor an archive nor ffmpeg', HANG_GUARD, async () => {
  await using site = await openSite();
  const { QUEUE_URL = '', ARCHIVE_URL = '' } = site.env;
  const env = { QUEUE_URL, ARCHIVE_URL, WEBHOOK_TOKENS: TOKEN, PATH: site.folder };
  await using service = await startService('receiver', env);
  await accept(service, { recordingId: 'r' });
  await assertEnds(service, 0);
  assert.equal(existsSync(join(site.folder, 'archive')), false);
});

test('with ARCHIVE_ON_LISTEN what somebody listens to is archived as well', HANG_GUARD, async () => {
  await using site = await openSite();
  const recording = add(FIXTURES.opus);
  await using service = await startService('serve', { ...site.env, ARCHIVE_ON_LISTEN: 'yes' });
  const response = await listen(service, recording);
  assert.ok((await response.arrayBuffer()).byteLength > 100_000);
  await service.logged({ message: 'Recording was archived.', recordingId: recording.recordingId }, patience());
  assert.equal(await site.archived(recording), 1);
  await assertEnds(service, 0);
});

test('with PORT=0 a link names the port that was bound, and can be fetched', HANG_GUARD, async () => {
  await using site = await openSite();
  const recording = add(FIXTURES.opus);
  await using service = await startService('serve', { ...site.env, PORT: '0' });
  const at = boundUrl(service);
  const { status, body } = await send(at, recording, tokenHeader(TOKEN));
  assert.equal(status, 202, body);
  await service.logged({ message: 'Recording was archived.', recordingId: recording.recordingId }, patience());
  const link = await linkOf(at, recording);
  assert.ok(link.startsWith(`${at}/media/`), 'its port is the one that was bound');
  const response = await fetch(link, { signal: patience() });
  assert.equal(response.status, 200);
  assert.ok((await response.arrayBuffer()).byteLength > 100_000);
  await assertEnds(service, 0);

  const PUBLIC_URL = 'https://archiver.example/base';
  await using proxied = await startService('playback', { ...site.env, PORT: '0', PUBLIC_URL });
  assert.ok((await linkOf(boundUrl(proxied), recording)).startsWith(`${PUBLIC_URL}/media/`), 'PUBLIC_URL goes first');
  await assertEnds(proxied, 0);
});

/** What a service says of itself once it listens. */
function boundUrl(service: Service): string {
  const url = service.entries().find((entry) => entry['message'] === 'Service started.')?.['url'];
  assert.ok(typeof url === 'string' && /^http:\/\/127\.0\.0\.1:[1-9]\d*$/.test(url));
  return url;
}

async function linkOf(at: string, { recordingId, conversationId = '_' }: Recording): Promise<string> {
  const path = `/recordings/${conversationId}/${recordingId}/link`;
  const response = await fetch(at + path, { headers: { 'x-api-key': KEY }, signal: patience() });
  const link: unknown = await response.json();
  assert.ok(typeof link === 'object' && link !== null && 'url' in link && typeof link.url === 'string');
  return link.url;
}

// ── how it ends ─────────────────────────────────────────────────────────────────────────────────────────────────

test('SIGINT ends it like SIGTERM', HANG_GUARD, async () => {
  await using site = await openSite();
  await using service = await startService('receiver', site.env);
  process.kill(service.pid, 'SIGINT');
  await service.logged({ message: 'Service stopped.' }, patience());
  await assertEnds(service, 0);
});

test(
  'invariant 10: SIGTERM while archiving gives the work back, untouched and without an attempt (PR-01)',
  HANG_GUARD,
  async () => {
    await using site = await openSite();
    const recordings = [add(FIXTURES.wav), add(FIXTURES.dual)];
    for (const { recordingId } of recordings) genesys.fault(`media:${recordingId}:0`, 'stall-after-200K');
    {
      await using service = await startService('serve', { ...site.env, ARCHIVE_ORIGINAL: 'yes' });
      await accept(service, recordings);
      for (const { recordingId } of recordings) await genesys.reached(`media:${recordingId}:0`, 1, patience());
      const [encoder] = await until(() => (service.encoders().length > 0 ? service.encoders() : undefined), patience());
      await assertEnds(service, 0);
      const given = service.entries().filter((entry) => entry['code'] === 'stopped');
      assert.deepEqual(
        given.map(({ outcome, attempt }) => [outcome, attempt]),
        [
          ['back', 1],
          ['back', 1],
        ],
      );
      assert.deepEqual(await survivors(encoder === undefined ? [] : [encoder], 2_000), []);
      assert.deepEqual(await site.files(), []);
    }
    await using service = await startService('worker', site.env);
    for (const { recordingId } of recordings)
      await service.logged({ message: 'Recording was archived.', recordingId }, patience());
    for (const recording of recordings) assert.equal(await site.archived(recording), 1);
    await assertEnds(service, 0);
  },
);

test('invariant 10: SIGTERM lets a listener hear what is nearly over, to its end', HANG_GUARD, async () => {
  await using site = await openSite();
  await using service = await startService('playback', site.env);
  const recording = add(FIXTURES.wav);
  genesys.fault(`media:${recording.recordingId}:0`, 'stall-for-1s-after-600K');
  const response = await listen(service, recording);
  process.kill(service.pid, 'SIGTERM');
  await service.logged({ message: 'Service is stopping.' }, patience());
  await assert.rejects(fetch(`${service.url}/healthz`), 'it takes no more requests');
  assert.ok((await response.arrayBuffer()).byteLength > 50_000);
  await service.logged({ message: 'Service stopped.' }, patience());
  await assertEnds(service, 0);
});

test('invariant 10: SIGTERM breaks off a listener that would hear for ever, visibly', HANG_GUARD, async () => {
  await using site = await openSite();
  await using service = await startService('serve', site.env);
  const { broken } = await listenToNothing(service);
  const encoders = service.encoders();
  assert.ok(encoders.length > 0);
  await assertEnds(service, 0);
  await broken;
  assert.deepEqual(await survivors(encoders, 2_000), []);
});

test('a second SIGTERM ends it at once (PR-02)', HANG_GUARD, async () => {
  await using site = await openSite();
  await using service = await startService('serve', site.env);
  const { broken } = await listenToNothing(service);
  const encoders = service.encoders();
  process.kill(service.pid, 'SIGTERM');
  await service.logged({ message: 'Service is stopping.' }, patience());
  // Its second one.
  await assertEnds(service, 1);
  await broken;
  const last = service.entries().at(-1);
  assert.equal(last?.['message'], 'A second signal ended the service at once.');
  assert.deepEqual(await survivors(encoders, 2_000), []);
});

test('SIGTERM while it starts ends it as well, with code 0 (PR-02)', HANG_GUARD, async () => {
  await using site = await openSite();
  const { path } = await checkFfmpeg();
  // Slow enough to be met while it is asked for its version.
  const asked = join(site.folder, 'asked');
  const slow = `#!/bin/sh\nif [ "$2" = -version ]; then : > ${asked}; sleep 1; fi\nexec ${path} "$@"\n`;
  await writeFile(join(site.folder, 'ffmpeg'), slow);
  await chmod(join(site.folder, 'ffmpeg'), 0o755);
  const PATH = [site.folder, process.env['PATH']].join(delimiter);
  const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
  const child: ChildProcess = spawn(process.execPath, [CLI, 'serve'], { stdio, env: { ...site.env, PATH, PORT: '0' } });
  assert.ok(child.stdout);
  const output = text(child.stdout);
  const exit = once(child, 'exit');
  await until(() => existsSync(asked) || undefined, patience());
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null], await output);
});

/** What the queue still has, looked at while no service runs. */
async function held(site: Site): Promise<{ readonly dead: number; readonly kept: number }> {
  const queue = openSqliteQueue({ path: join(site.folder, 'queue.db') });
  const { ready, waiting, running, dead } = (await queue.depth()) ?? assert.fail('no figures');
  await queue.close();
  return { dead, kept: ready + waiting + running };
}

/** Makes the service throw at SIGUSR2, and forget to handle a rejection at SIGHUP. */
const TRAP = `
  process.on('SIGUSR2', () => { throw new TypeError('nobody caught this'); });
  process.on('SIGHUP', () => void Promise.reject(new RangeError('nobody handled this')));`;

for (const [signal, what, name] of [
  ['SIGUSR2', 'an uncaught exception', 'TypeError'],
  ['SIGHUP', 'an unhandled rejection', 'RangeError'],
] as const) {
  test(`${what} is logged and ends the service with code 1, and loses nothing (PR-05)`, HANG_GUARD, async () => {
    await using site = await openSite();
    const trap = join(site.folder, 'trap.mjs');
    await writeFile(trap, TRAP);
    const recording = add(FIXTURES.wav);
    genesys.fault(`media:${recording.recordingId}:0`, 'stall-after-200K');
    {
      await using service = await startService('serve', { ...site.env, NODE_OPTIONS: `--import=${trap}` });
      await accept(service, recording);
      await genesys.reached(`media:${recording.recordingId}:0`, 1, patience());
      const encoders = await until(() => (service.encoders().length > 0 ? service.encoders() : undefined), patience());
      process.kill(service.pid, signal);
      const message = 'An unhandled error ended the service.';
      const { severity, error } = await service.logged({ message }, patience());
      assert.equal(severity, 'ERROR');
      assert.partialDeepStrictEqual(error, { name });
      await assertEnds(service, 1);
      assert.deepEqual(await survivors(encoders, 2_000), []);
      assert.deepEqual(
        (await site.files()).filter((file) => !file.startsWith('staging/')),
        [],
      );
    }
    assert.deepEqual(await held(site), { dead: 0, kept: 1 });
  });
}
