/** What all commands have in common, tried with each of them as a real process: lines of JSON, exit codes, readers that go away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { COMMANDS } from '../../src/commands/contents.ts';
import { parseFlags, UsageError } from '../../src/commands/flags.ts';
import { bytesOf, failureOf, store, waitingOf } from '../support/archive/content.ts';
import { linesOf, type Printed, runArchiver, startCommand } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';

const DAY = '2026-11-26';
const folder = await mkdtemp(join(tmpdir(), 'conventions-'));
const genesys = await startGenesysServer();
after(async () => {
  await genesys.close();
  await rm(folder, { recursive: true, force: true });
});

const env = {
  ...genesys.environment(),
  ARCHIVE_URL: `file:${join(folder, 'archive')}`,
  QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
  CERTIFICATE_KEY_FILE: '',
};

/** One recording that is there, one that failed, one that waits, one that no event told of, and a proof. */
async function fill(): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  const archive = openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://localhost' });
  const [here, failed, waits] = ['r1', 'r2', 'r3'].map((recordingId) => ({ recordingId, conversationId: 'c1' }));
  assert.ok(here && failed && waits);
  await store(archive, here, { head: bytesOf('head', 100), clusters: [bytesOf('a', 900)] });
  await archive.recordFailure(failed, failureOf(failed), signal);
  await archive.recordWaiting(waits, waitingOf(waits), signal);
  const proof = { day: DAY, verdict: 'incomplete', recordings: 3, archived: 1, missing: 1, failed: 1 };
  await writeProof('complete', proof, { notes: archive.notes, at: new Date('2026-11-27T03:00:00Z') }, signal);
  await archive.close();
  genesys.analytics.pendingPolls = 0;
  genesys.addRecording({ recordingId: 'r4', conversationId: 'c4', startTime: `${DAY}T10:00:00.000Z` });
  genesys.analyze({ conversationId: 'c4', start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
}

await fill();

/** A line for each command that comes to its end and changes nothing that the others look at. */
const LINES: Readonly<Record<string, readonly string[]>> = {
  reconcile: ['--from', DAY, '--to', DAY],
  verify: ['--all'],
  doctor: ['--only', 'machine'],
  status: [],
  backfill: ['--from', DAY, '--to', DAY, '--dry-run'],
  restore: ['--failed'],
  replay: ['--dry-run'],
  hold: ['--list'],
  erase: ['--conversation', 'c1', '--reason', 'a test'],
  retire: ['--from', DAY, '--to', DAY],
  audit: [],
  export: ['--conversation', 'c1', '--to', join(folder, 'export'), '--reason', 'a test'],
  certificate: ['--recording', 'c1/r1', '--to', join(folder, 'certificate')],
};
const ENDS = new Set([0, 3, 4]);

test('every command stands in this test', () =>
  assert.deepEqual(new Set(Object.keys(LINES)), new Set(COMMANDS.map(({ table }) => table.name))));

/** Sends itself one more signal as the last thing before the process ends, as a hand that is too quick does. */
const ONE_MORE = `data:text/javascript,process.on('exit',()=>process.kill(process.pid,process.env.ONE_MORE))`;

interface Ended extends Printed {
  readonly by: NodeJS.Signals | null;
}

async function runWithOneMore(line: readonly string[], signal: NodeJS.Signals): Promise<Ended> {
  const child = startCommand(line, { ...env, NODE_OPTIONS: `--import="${ONE_MORE}"`, ONE_MORE: signal });
  const [ended, stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  const [code, by] = ended as [number | null, NodeJS.Signals | null];
  return { code, by, stdout, stderr };
}

for (const [name, args] of Object.entries(LINES)) {
  // One start of each command, looked at twice.
  let run: Promise<Ended> | undefined;
  const ended = (): Promise<Ended> => (run ??= runWithOneMore([name, ...args, '--json'], 'SIGINT'));

  test(`${name}: with --json stdout is lines of JSON, the last one a summary with the exit code, and nothing of progress`, async () => {
    const printed = await ended();
    assert.ok(ENDS.has(printed.code ?? -1), `${String(printed.code)}\n${printed.stdout}${printed.stderr}`);
    const lines = linesOf(printed);
    for (const { type } of lines) assert.ok(typeof type === 'string' && type !== 'progress');
    const last = lines.at(-1);
    assert.deepEqual([last?.['type'], last?.['exit']], ['summary', printed.code]);
    assert.equal(lines.filter(({ type }) => type === 'summary').length, 1);
    assert.doesNotMatch(printed.stderr, /^\s+at .+:\d+/m);
  });

  test(`${name}: one more SIGINT once it has ended does not change how it has`, { timeout: 240_000 }, async () => {
    const { code, by, stderr } = await ended();
    assert.ok(by === null && ENDS.has(Number(code)), `${String(code)} ${String(by)} ${stderr}`);
  });
}

test('verify: one more SIGTERM once it has ended does not change how it has', { timeout: 240_000 }, async () => {
  const { code, by, stderr } = await runWithOneMore(['verify', ...(LINES['verify'] ?? [])], 'SIGTERM');
  assert.ok(by === null && ENDS.has(Number(code)), `${String(code)} ${String(by)} ${stderr}`);
});

for (const name of ['reconcile', 'verify', 'doctor', 'audit'])
  test(`${name}: a reader that goes away ends it quietly`, async () => {
    const child = startCommand([name, ...(LINES[name] ?? [])], env);
    child.stdout.destroy();
    const [stderr, [code, signal]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    assert.equal(signal, null);
    assert.ok(ENDS.has(Number(code)), `${String(code)} ${stderr}`);
    assert.doesNotMatch(stderr, /EPIPE|^\s+at .+:\d+/m);
  });

test('what is wrong with a line is said by the flag, with the nearest one, before anything is opened', async () => {
  for (const { table } of COMMANDS) {
    for (const [wrong, message] of [
      ['--jsno', /did you mean --json/],
      ['--helo', /did you mean --help/],
      ['--quiet=yes', /takes no value/],
      ['--json=1', /takes no value/],
    ] as const)
      assert.throws(
        () => parseFlags(table, [wrong]),
        (thrown) => thrown instanceof UsageError && message.test(thrown.message),
        `${table.name} ${wrong}`,
      );
    for (const [flag, { kind }] of Object.entries<{ readonly kind: string }>(table.flags))
      if (kind !== 'switch' && kind !== 'part')
        assert.throws(() => parseFlags(table, [`--${flag}`]), UsageError, `${table.name} --${flag}`);
  }
});

/** `archiver NAME …` as people are told to type it, wherever they are: up to the end of the quotation or the line. */
async function advised(): Promise<readonly (readonly [string, string])[]> {
  const root = join(import.meta.dirname, '../..');
  const names = (await readdir(root, { recursive: true })).filter(
    (file) => /^(src|terraform|README)/.test(file) && /\.(ts|md|tf)$/.test(file) && !file.includes('node_modules'),
  );
  const found: (readonly [string, string])[] = [];
  for (const file of names) {
    const content = await readFile(join(root, file), 'utf8');
    for (const [, line = ''] of content.matchAll(/archiver ([a-z]+(?: +(?:--?[a-z][\w-]*|[^\s`'"()<>…|,;:$\\]+))*)/g))
      found.push([file, line]);
  }
  return found;
}

test('every flag that anybody is advised to give to a command is one of its flags', async () => {
  const tables = new Map(COMMANDS.map(({ table }) => [table.name, table]));
  let checked = 0;
  for (const [file, line] of await advised()) {
    const [name = '', ...words] = line.split(/\s+/);
    const table = tables.get(name);
    for (const word of words) {
      const flag = /^--([a-z][a-z-]*)/.exec(word)?.[1];
      if (table === undefined || flag === undefined) continue;
      checked += 1;
      assert.ok(Object.hasOwn({ ...table.flags, json: 1, quiet: 1, help: 1 }, flag), `${file}: archiver ${line}`);
    }
  }
  assert.ok(checked > 40, String(checked));
});

/** The console block of a command in the README beside the commands. */
async function shownOf(name: string): Promise<string> {
  const readme = await readFile(join(import.meta.dirname, '../../src/commands/README.md'), 'utf8');
  const section = readme.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? '';
  return /```console\n([^]*?)```/.exec(section)?.[1] ?? '';
}

test('what the README shows of status and doctor is what they print: the same labels, the same checks', async () => {
  const labelsOf = (output: string): readonly string[] =>
    output.split('\n').flatMap((line) => /^([a-zG][^0-9]*?) {2,}\S/.exec(line)?.[1] ?? []);
  const status = await runArchiver(['status'], env);
  const labels = labelsOf(status.stdout);
  assert.ok(labels.length >= 5, labels.join());
  assert.deepEqual(labelsOf(await shownOf('status')), labels);
  const namesOf = (output: string): ReadonlySet<string> =>
    new Set(output.split('\n').flatMap((line) => /^(?:ok|warn|fail|skipped) +\w+ +([\w-]+)\*? /.exec(line)?.[1] ?? []));
  const doctor = await runArchiver(['doctor'], env);
  const names = namesOf(doctor.stdout);
  assert.ok(names.size > 15, [...names].join());
  assert.deepEqual(namesOf(await shownOf('doctor')), names);
});

test('help of a command is asked for in either order, and the version by itself', async () => {
  const [first, second] = [await runArchiver(['help', 'verify'], {}), await runArchiver(['verify', '--help'], {})];
  assert.deepEqual([first.code, first.stdout], [0, second.stdout]);
  const version = await runArchiver(['--version'], {});
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\S*\n$/);
});
