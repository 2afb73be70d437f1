/**
 * `npm run image`: builds the image, starts it as its Dockerfile says, and sees it do the main job: event, archive, listener, stop.
 *
 * By Docker, else by Podman (IMAGE_ENGINE names another); `NODE_IMAGE` is the base where it is not the Dockerfile's own,
 * `TARGET=debian` the image with Debian's ffmpeg. Only the far end is simulated. Says SKIPPED where nothing here can run an image.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathOf, type Recording } from '../src/recording.ts';
import { freePort } from './support/free-port.ts';
import { type GenesysServer, startGenesysServer } from './support/genesys/server.ts';
import { probeComplaints, probeDuration } from './support/media/ffmpeg.ts';
import { type Fixture, FIXTURES, simulated } from './support/media/fixtures.ts';
import { checkWebm } from './support/media/webm-check.ts';
import { Caller, type Fields, fieldsOf } from './support/service/caller.ts';
import { childrenOf } from './support/service/children.ts';
import { send, tokenHeader } from './support/service/senders.ts';

const ROOT = join(import.meta.dirname, '..');
const IMAGE = 'localhost/genesys-recording-archiver:check';
const TOKEN = `token-${randomUUID()}`;
const KEY = `key-${randomUUID()}`;
/** Of the run in the Dockerfile's head. */
const AS_DOCUMENTED = '--read-only --tmpfs /tmp:noexec,nosuid --cap-drop ALL --security-opt no-new-privileges'.split(
  ' ',
);
const GIVE_UP_MS = 300_000;

interface Running {
  readonly engine: string;
  readonly name: string;
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly caller: Caller;
  readonly url: string;
  readonly log: AsyncIterator<Fields>;
}

const engine = engineHere();
if (engine === undefined)
  say('SKIPPED: the image was neither built nor started: no Docker, and no Podman, answers here.');
else await check(engine);

async function check(engine: string): Promise<void> {
  build(engine);
  const genesys = await startGenesysServer({ mediaUrlLifetimeS: 600 });
  const recordings = Object.entries(FIXTURES).map(([name, fixture]) => {
    const recording = { recordingId: name, conversationId: `call-of-${name}` };
    genesys.addRecording(simulated(name, recording.conversationId, fixture));
    return { recording, fixture };
  });
  genesys.addRecording(simulated('heard-only', 'call-of-heard-only', FIXTURES.wav));
  const running = await start(engine, genesys);
  try {
    const { cage, cpuMs } = await untilReady(running);
    await archive(running, recordings);
    for (const { recording, fixture } of recordings) await prove(running, recording, fixture);
    await listen(running, { recordingId: 'heard-only', conversationId: 'call-of-heard-only' });
    await stop(running);
    say(`Image ${megabytes(engine)} MB; cage ${cage}; ${cpuMs} ms of CPU from start to ready.`);
  } finally {
    running.process.kill('SIGKILL');
    spawnSync(engine, ['rm', '--force', '--volumes', running.name]);
    await genesys.close();
  }
}

function engineHere(): string | undefined {
  const named = process.env['IMAGE_ENGINE'];
  return (named === undefined ? ['docker', 'podman'] : [named]).find((name) => spawnSync(name, ['info']).status === 0);
}

/** Podman knows a health check only in Docker's own format. */
function build(engine: string): void {
  const { NODE_IMAGE, TARGET } = process.env;
  const chosen = [
    ...(NODE_IMAGE === undefined ? [] : ['--build-arg', `NODE_IMAGE=${NODE_IMAGE}`]),
    ...(TARGET === undefined ? [] : ['--target', TARGET]),
  ];
  const format = engine.endsWith('podman') ? ['--format', 'docker'] : [];
  const built = spawnSync(engine, ['build', ...format, ...chosen, '--tag', IMAGE, ROOT], { stdio: ['ignore', 2, 2] });
  assert.equal(built.status, 0, 'the image was not built; what the engine said is above');
}

/** As the head of the Dockerfile says; on this machine's own loopback, where Genesys is. */
async function start(engine: string, genesys: GenesysServer): Promise<Running> {
  const port = await freePort();
  const name = `archiver-check-${String(process.pid)}`;
  const env = {
    ...genesys.environment(),
    PORT: String(port),
    HOST: '127.0.0.1',
    WEBHOOK_TOKENS: TOKEN,
    API_KEYS: KEY,
    ENCODER_CAGE: 'required',
  };
  const child = spawn(
    engine,
    [
      ...`run --rm --name ${name} --network host --no-healthcheck`.split(' '),
      ...AS_DOCUMENTED,
      ...Object.entries(env).flatMap(([variable, value]) => ['--env', `${variable}=${value}`]),
      IMAGE,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const url = `http://127.0.0.1:${String(port)}`;
  const log = entriesOf(child)[Symbol.asyncIterator]();
  return { engine, name, process: child, ended: once(child, 'exit'), url, caller: new Caller(url, KEY), log };
}

async function* entriesOf(child: ChildProcess): AsyncGenerator<Fields> {
  assert.ok(child.stdout !== null);
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) yield fieldsOf(JSON.parse(line));
    else say(line);
  }
}

/** The first entry that is `wanted`; what is logged as an error is shown. */
async function logged({ log }: Running, wanted: (entry: Fields) => boolean): Promise<Fields> {
  for (;;) {
    const { value, done } = await log.next();
    assert.ok(done !== true, 'the service ended; what it said is above');
    if (value['severity'] === 'ERROR') say(JSON.stringify(value));
    if (wanted(value)) return value;
  }
}

async function untilReady(running: Running): Promise<{ readonly cage: string; readonly cpuMs: string }> {
  const found = await logged(running, ({ message }) => message === 'ffmpeg was found.');
  const { level, layers } = fieldsOf(found['cage']);
  assert.equal(level, 'full');
  await logged(running, ({ message }) => message === 'Service started.');
  return { cage: `${level} (${String(layers)}, ${String(found['version'])})`, cpuMs: cpuOf(running) };
}

/** User and system time of the service and of what it has started and seen end: all that stands behind the image's init. */
function cpuOf({ engine, name }: Running): string {
  const init = spawnSync(engine, ['inspect', '--format', '{{.State.Pid}}', name], { encoding: 'utf8' }).stdout.trim();
  const [service] = childrenOf(Number(init));
  if (service === undefined) return 'unknown';
  const [, fields = ''] = /\) (.*)/.exec(readFileSync(`/proc/${String(service.pid)}/stat`, 'utf8')) ?? [];
  const ticks = fields.split(' ').slice(11, 15).map(Number);
  return String(ticks.reduce((sum, one) => sum + one, 0) * 10);
}

interface Expected {
  readonly recording: Recording;
  readonly fixture: Fixture;
}

async function archive(running: Running, expected: readonly Expected[]): Promise<void> {
  const receipt = await send(
    running.url,
    expected.map(({ recording }) => recording),
    tokenHeader(TOKEN),
  );
  assert.equal(receipt.status, 202, receipt.body);
  const open = new Set(expected.map(({ recording }) => recording.recordingId));
  const late = setTimeout(() => running.process.kill('SIGTERM'), GIVE_UP_MS);
  while (open.size > 0) {
    const { message, outcome, recordingId, reason } = await logged(
      running,
      (entry) => entry['recordingId'] !== undefined,
    );
    assert.notEqual(outcome, 'dead', `${String(recordingId)}: ${String(reason)}`);
    if (message === 'Recording was archived.') open.delete(String(recordingId));
  }
  clearTimeout(late);
}

async function prove({ caller }: Running, recording: Recording, { way, seconds }: Fixture): Promise<void> {
  const manifest = await caller.manifest(recording);
  assert.equal(manifest.way, way, manifest.why);
  const bytes = Buffer.from(await (await fetch(await caller.link(recording))).arrayBuffer());
  assert.equal(checkWebm(bytes).durationMs, manifest.webm.durationMs);
  await plays(bytes, seconds);
  say(`archived  ${pathOf(recording)}  ${manifest.way}  ${String(bytes.length)} bytes`);
}

async function listen({ caller }: Running, { recordingId, conversationId }: Recording): Promise<void> {
  const answer = await caller.get(`/transcode?id=${recordingId}&conversationId=${String(conversationId)}`);
  assert.equal(answer.status, 200);
  const bytes = Buffer.from(await answer.arrayBuffer());
  await plays(bytes, FIXTURES.wav.seconds);
  say(`heard     ${recordingId}  ${String(bytes.length)} bytes`);
}

/** By ffprobe of this machine. */
async function plays(bytes: Buffer, seconds: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'image-'));
  const path = join(folder, 'played.webm');
  await writeFile(path, bytes);
  assert.equal(await probeComplaints(path), '');
  assert.ok(Math.abs((await probeDuration(path)) - seconds) < 0.15, `it does not play ${String(seconds)} s`);
  await rm(folder, { recursive: true });
}

/** The engine sends the image's STOPSIGNAL. */
async function stop(running: Running): Promise<void> {
  const stopped = once(spawn(running.engine, ['stop', '--time', '10', running.name], { stdio: 'ignore' }), 'exit');
  await logged(running, ({ message }) => message === 'Service stopped.');
  assert.deepEqual(await running.ended, [0, null]);
  await stopped;
}

function megabytes(engine: string): string {
  const { stdout } = spawnSync(engine, ['image', 'inspect', '--format', '{{.Size}}', IMAGE], { encoding: 'utf8' });
  return (Number(stdout) / 1e6).toFixed(0);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
