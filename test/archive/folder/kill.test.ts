/** Kills and breaks a process that archives, at every step it takes: afterwards a recording is complete or not there. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { verifyStored } from '../../../src/archive/verify.ts';
import type { Recording } from '../../../src/recording.ts';
import { committedContent, HOLD_BACK_BYTES } from '../../support/archive/committed.ts';
import { store } from '../../support/archive/content.ts';
import { openFolderHarness, type FolderHarness } from '../../support/archive/folder.ts';

const PROGRAM = join(import.meta.dirname, '../../support/archive/committer.ts');
const KILLS = 25;
const STRACE = ['strace', '-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', '-e'];
const HANG_GUARD = { timeout: 540_000 };

test('invariant 2: killed at every single step, a recording is complete or absent (ST-15)', HANG_GUARD, async () => {
  await withFolder(async (harness) => {
    await run(harness.path, 'first');
    const steps = Number(/^changes (\d+)$/m.exec(await run(harness.path, 'count', { killAt: 1_000_000 }))?.[1]);
    assert.ok(steps > 20, `the program took ${String(steps)} steps only`);
    let absent = 0;
    let step = 1;
    for (; ; step += 1) {
      const prefix = `step${String(step)}`;
      const said = await run(harness.path, prefix, { killAt: step });
      // What an earlier one left behind may save a later one the making of a folder.
      if (/changes/.test(said)) break;
      const recording = { recordingId: `${prefix}-0`, conversationId: 'C1' };
      if ((await audit(harness, prefix, said)) === 0) absent += 1;
      await store(harness.archive, recording, committedContent(recording));
      assert.equal(await harness.archive.failureOf(recording, signal()), undefined);
      assert.equal(await audit(harness, prefix, `archived ${prefix}-0\n`), 1, 'the redelivery did not finish the work');
    }
    assert.ok(step > steps - 10, `of ${String(steps)} steps only ${String(step)} were its last`);
    assert.ok(absent > 10 && absent < step, `${String(absent)} of ${String(step)} kills came before the commit`);
    const page = await harness.archive.list({ limit: 1000 }, signal());
    assert.equal(page.entries.filter((entry) => entry.status === 'archived').length, step + 2);
  });
});

test(
  `invariant 2: killed ${String(KILLS)} times at random, nothing partial is visible and nothing said is lost`,
  HANG_GUARD,
  async (t) => {
    await withFolder(async (harness) => {
      await run(harness.path, 'first');
      let archived = 0;
      let leftovers = 0;
      for (let kill = 0; kill < KILLS; kill += 1) {
        const prefix = `kill${String(kill)}`;
        const said = await runUntilKilled(harness.path, prefix, 5 + Math.random() * 120);
        leftovers += (await readdir(join(harness.path, 'staging'))).length;
        archived += await audit(harness, prefix, said);
      }
      t.diagnostic(
        `${String(archived)} recordings archived, ${String(leftovers)} staging entries left by ${String(KILLS)} kills`,
      );
      assert.ok(leftovers > 0, 'no kill hit a deposit: the test proved nothing');
      assert.ok(archived >= KILLS);
    });
  },
);

test(
  'an fsync that fails fails the deposit, whichever it is, and the next one succeeds (ST-14)',
  HANG_GUARD,
  async (t) => {
    if (!hasStrace()) {
      t.skip('needs strace with fault injection: apt-get install strace, and the right to trace');
      return;
    }
    await withFolder(async (harness) => {
      await run(harness.path, 'first');
      let struck = 0;
      for (; ; struck += 1) {
        const prefix = `fsync${String(struck)}`;
        const said = await run(harness.path, prefix, { tracer: failingFsync(struck + 1) });
        if (said.includes('archived')) break;
        assert.match(said, new RegExp(`^archive-unavailable ${prefix}-0$`, 'm'));
        await audit(harness, prefix, said, 0);
        const recording = { recordingId: `${prefix}-0`, conversationId: 'C1' };
        await store(harness.archive, recording, committedContent(recording));
        await audit(harness, prefix, `archived ${prefix}-0\n`);
      }
      t.diagnostic(`${String(struck)} different fsyncs failed`);
      // Failure record: file, folder. Deposit: original, WebM, manifest, their folder; days/, the day; recordings/, the
      // conversation, staging/.
      assert.equal(struck, 11, 'a step is no longer made durable, or a new one is: see what changed');
    });
  },
);

test('what another process renamed into place is made durable before it is acknowledged', HANG_GUARD, async (t) => {
  if (!hasStrace()) {
    t.skip('needs strace with fault injection: apt-get install strace, and the right to trace');
    return;
  }
  await withFolder(async ({ archive, path }) => {
    const recording = { recordingId: 'found-0', conversationId: 'C1' };
    await store(archive, recording, committedContent(recording));
    const module = JSON.stringify(join(import.meta.dirname, '../../../src/archive/folder/folder.ts'));
    const options = JSON.stringify({ path, linkKeys: [], publicUrl: '' });
    const program = `import(${module})
      .then(({ openFolderArchive }) => openFolderArchive(${options}))
      .then((archive) => archive.find(${JSON.stringify(recording)}, AbortSignal.timeout(300_000)))
      .then(() => console.log('found'), (error) => console.log(error.code))`;
    const line = [process.execPath, '-e', program];
    assert.equal(await execute([...failingFsync(1), ...line], environment(path)), 'archive-unavailable\n');
    assert.equal(await execute([...failingFsync(3), ...line], environment(path)), 'found\n');
  });
});

/** How many recordings of `prefix` are visible: each complete, and each that was said to be archived among them. */
async function audit(harness: FolderHarness, prefix: string, said: string, staged?: number): Promise<number> {
  const { archive, path } = harness;
  if (staged !== undefined) assert.equal((await readdir(join(path, 'staging'))).length, staged);
  const folder = join(path, 'recordings', 'C1');
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(`${prefix}-`));
  for (const recordingId of names) await auditOne(harness, { recordingId, conversationId: 'C1' });
  const promised = [...said.matchAll(/^archived (\S+)$/gm)].map((match) => match[1] ?? '');
  assert.deepEqual(
    promised.filter((name) => !names.includes(name)),
    [],
    'said to be archived, but not there',
  );
  await archive.sweep(0, signal());
  assert.deepEqual(await readdir(join(path, 'staging')), []);
  return names.length;
}

async function auditOne({ archive, path }: FolderHarness, recording: Recording): Promise<void> {
  const manifest = await archive.find(recording, signal());
  assert.ok(manifest, `${recording.recordingId} is visible without its manifest`);
  assert.deepEqual(await verifyStored(archive, recording, signal()), []);
  const [source] = manifest.sources;
  const original = await readFile(join(path, 'recordings', 'C1', recording.recordingId, source?.original ?? ''));
  assert.equal(createHash('sha256').update(original).digest('hex'), source?.sha256);
  const day = join(path, 'days', (manifest.recordedAt ?? '').slice(0, 10));
  assert.ok((await readdir(day)).includes(`C1.${recording.recordingId}`), `${recording.recordingId} is not listed`);
}

interface Interference {
  /** The change of the file system in whose place the program kills itself. */
  readonly killAt?: number;
  readonly tracer?: readonly string[];
}

/** What the program said until it ended, or killed itself. */
async function run(folder: string, prefix: string, { killAt = 0, tracer = [] }: Interference = {}): Promise<string> {
  return execute([...tracer, process.execPath, PROGRAM, folder, prefix, '1', String(killAt)], environment(folder));
}

async function execute(line: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn(line[0] ?? '', line.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...env, UV_THREADPOOL_SIZE: '1' },
    signal: signal(),
    killSignal: 'SIGKILL',
  });
  const ended = once(child, 'close');
  const said = await text(child.stdout);
  await ended;
  assert.ok(child.exitCode === 0 || child.signalCode === 'SIGKILL', `the program ended with ${String(child.exitCode)}`);
  return said;
}

async function runUntilKilled(folder: string, prefix: string, delayMs: number): Promise<string> {
  const child = spawn(process.execPath, [PROGRAM, folder, prefix, '1000000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: environment(folder),
  });
  try {
    let said = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      if (said === '') setTimeout(() => child.kill('SIGKILL'), delayMs);
      said += String(chunk);
    }
    return said.slice(0, said.lastIndexOf('\n') + 1);
  } finally {
    child.kill('SIGKILL');
  }
}

/** With the program's modules compiled once, by the run that is not killed. */
function environment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, NODE_COMPILE_CACHE: join(folder, '..', 'compiled') };
}

/** strace counts per thread, hence one thread for the file system. */
function failingFsync(which: number): string[] {
  return [...STRACE, 'trace=fsync', '-e', `inject=fsync:error=EIO:when=${String(which)}`];
}

function hasStrace(): boolean {
  try {
    const [command, ...args] = failingFsync(1);
    execFileSync(command ?? '', [...args, 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function withFolder(run: (harness: FolderHarness) => Promise<void>): Promise<void> {
  const harness = await openFolderHarness(HOLD_BACK_BYTES);
  try {
    await run(harness);
  } finally {
    await harness.close();
  }
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}
