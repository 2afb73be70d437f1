/** Hands and terminals that are odd: what cannot be written is said and changes the exit code, and nobody sees a stack. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Report } from '../../src/commands/report.ts';
import { openFolderScene } from '../support/commands/archive-scene.ts';
import type { Printed } from '../support/commands/run.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const PRELOAD = pathToFileURL(join(import.meta.dirname, '../support/commands/no-such-host.ts')).href;
const FULL = '/dev/full';
const skip = existsSync(FULL) ? false : `${FULL} is not there`;
const [scene, out] = [await openFolderScene(), await mkdtemp(join(tmpdir(), 'odd hands ü-'))];
after(async () => {
  await scene.close();
  await rm(out, { recursive: true, force: true });
});

interface Hands {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly typed?: string;
}

/** A line of a shell, with `archiver` for the program. */
async function shell(line: string, { env = {}, cwd = out, typed = '' }: Hands = {}): Promise<Printed> {
  const child = spawn('/bin/sh', ['-c', line.replaceAll('archiver', '"$NODE" "$CLI"')], {
    cwd,
    env: { PATH: process.env['PATH'], NODE: process.execPath, CLI, ...scene.env, ...env },
  });
  const ended = once(child, 'close');
  child.stdin.on('error', () => undefined).end(typed);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await ended) as [number | null];
  assert.doesNotMatch(stderr, /^\s+at |Unhandled/m, line);
  return { code, stdout, stderr };
}

test(
  'a report that finds no space ends with 1, which is said once, and what was to be done is done',
  { skip },
  async () => {
    for (const line of ['verify --json', 'hold FULL --conversation c1 --reason x', '--help', 'hold --help']) {
      const printed = await shell(`archiver ${line} > ${FULL}`);
      assert.deepEqual(
        [printed.code, printed.stderr.match(/stdout could not be written \(ENOSPC\): free space/g)?.length],
        [1, 1],
        `${line}: ${printed.stderr}`,
      );
    }
    const held = await shell('archiver hold --list');
    assert.match(held.stdout, /^FULL {2}c1 /m);
  },
);

test('what cannot be said on stderr is left unsaid, and the report is whole', { skip }, async () => {
  const printed = await shell(`archiver status --json 2> ${FULL}`, { env: { ARCHIVE_URL: `file:${out}/none` } });
  assert.match(printed.stdout, /"type":"summary".*"exit":0\}\n$/);
});

test('with stdin, stdout or stderr closed a command ends as it would', async () => {
  for (const [closed, code] of [
    ['2>&-', 0],
    ['<&- >&- 2>&-', 0],
  ] as const)
    assert.equal((await shell(`archiver hold --list ${closed}`)).code, code, closed);
});

test('a folder that is gone under somebody’s feet is named as the cause', async () => {
  const cwd = join(out, 'gone');
  await mkdir(cwd);
  const printed = await shell('rmdir "$PWD"; archiver status; echo $?', { cwd });
  assert.equal(printed.stdout, '1\n');
  assert.match(printed.stderr, /^The folder this was started in is gone: change to another one \(cd\)/);
  await rmdir(cwd).catch(() => undefined);
});

test('a ~ that no shell has read makes no folder of that name', async () => {
  for (const [env, says] of [
    [{ ARCHIVE_URL: 'file:~/archive' }, /ARCHIVE_URL: nobody reads ~ here: write the path in full, such as file:\/srv/],
    [
      { QUEUE_URL: 'sqlite:~/queue.db' },
      /QUEUE_URL: nobody reads ~ here: write the path in full, such as sqlite:\/srv/,
    ],
    [{ ARCHIVE_URL: 'file://var/archive' }, /ARCHIVE_URL: two slashes .* file:PATH .* file:\/PATH from the root/],
    [{ QUEUE_URL: 'sqlite://var/queue.db' }, /QUEUE_URL: two slashes .* sqlite:PATH .* sqlite:\/PATH from the root/],
  ] as const) {
    const printed = await shell('archiver hold A --conversation c --reason x', { env });
    assert.equal(printed.code, 1, printed.stdout);
    assert.match(printed.stderr, says);
  }
  assert.equal(existsSync(join(out, '~')), false);
});

test('a list is typed or piped with -', async () => {
  const printed = await shell('archiver hold PIPED --file - --reason x', { typed: '\uFEFFc7\r\nc8/r1\r\n' });
  assert.equal(printed.code, 0, printed.stderr);
  assert.match(printed.stdout, /^held +c7 [^]*^held +c8\/r1 /m);
  const nothing = await shell('archiver hold PIPED --file - --reason x');
  assert.deepEqual([nothing.code, /--file - names nothing/.test(nothing.stderr)], [2, true], nothing.stderr);
});

test('a command in capitals is recognized', async () => {
  for (const [typed, meant] of [
    ['HOLD', 'hold'],
    ['STAUTS', 'status'],
  ] as const) {
    const printed = await shell(`archiver ${typed}`);
    assert.equal(printed.code, 2);
    assert.ok(printed.stderr.endsWith(`"${typed}" is no command: did you mean "archiver ${meant}"?\n`), printed.stderr);
  }
});

test('a region that is spelled right is not offered again where its host has no address', async () => {
  const env = {
    GENESYS_REGION: 'mypurecloud.de',
    GENESYS_CLIENT_ID: 'id',
    GENESYS_CLIENT_SECRET: 'secret-of-the-client',
    NODE_OPTIONS: `--import=${PRELOAD}`,
    NO_SUCH_HOST: '.mypurecloud.de',
  };
  const printed = await shell('archiver reconcile --from 2026-03-01 --to 2026-03-01', { env });
  assert.equal(printed.code, 1);
  assert.match(printed.stderr, /There is no host login\.mypurecloud\.de \(ENOTFOUND\)/);
  assert.doesNotMatch(printed.stderr, /Did you mean/);
});

test('on a terminal of 20 columns a line of progress stays one line', () => {
  const shown: string[] = [];
  const err = Object.assign(new PassThrough(), { isTTY: true, columns: 20 });
  err.on('data', (chunk: Buffer) => shown.push(chunk.toString()));
  let now = 0;
  const report = new Report({ json: false, quiet: false, out: new PassThrough(), err, now: () => (now += 1_000) });
  report.progress('2026-03-01: 12345 of 20000 conversations');
  report.progress('short');
  err.columns = 80;
  report.progress('2026-03-01: 12345 of 20000 conversations');
  assert.deepEqual(
    shown.map((line) => line.replace('\r\u001B[K', '')),
    ['2026-03-01: 12345 o', 'short', '2026-03-01: 12345 of 20000 conversations'],
  );
});

test('an archive whose path has blanks, umlauts and quotes is found, and named as it is', async () => {
  const path = join(out, 'ein "Archiv" (Größe) %20 #1');
  const env = { ARCHIVE_URL: `file:${path}`, LANG: 'C', LC_ALL: 'C', TZ: 'Mars/Phobos' };
  assert.equal((await shell('archiver hold K --conversation c --reason "Prüfung"', { env })).code, 0);
  const listed = await shell('archiver hold --list', { env });
  assert.match(listed.stdout, /^K {2}c .*"Prüfung"$/m);
  assert.ok(existsSync(join(path, 'holds')));
});
