import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import type { CommandTable } from '../../src/commands/flags.ts';
import { EXIT, type Exit, Report } from '../../src/commands/report.ts';
import { runCommand, type RunTask, type Surroundings } from '../../src/commands/task.ts';
import { Failure } from '../../src/failure.ts';

const TABLE: CommandTable = {
  name: 'look',
  task: 'Look',
  does: 'Looks.',
  flags: { from: { kind: 'day', value: 'DAY', meaning: 'first day' } },
  example: 'archiver look',
};

class Terminal implements Surroundings {
  readonly env = {};
  readonly stdout = new PassThrough();
  readonly stderr: PassThrough & { isTTY?: boolean } = new PassThrough();
  readonly exits: Exit[] = [];
  #listener: (signal: 'SIGINT' | 'SIGTERM') => void = () => undefined;

  onSignal(listener: (signal: 'SIGINT' | 'SIGTERM') => void): Disposable {
    this.#listener = listener;
    return { [Symbol.dispose]: () => (this.#listener = () => undefined) };
  }

  exit(code: Exit): void {
    this.exits.push(code);
  }

  send(signal: 'SIGINT' | 'SIGTERM'): void {
    this.#listener(signal);
  }

  run(task: RunTask, ...args: string[]): Promise<Exit> {
    return runCommand({ table: TABLE, load: async () => task }, args, this);
  }

  get printed(): string {
    return String(this.stdout.read() ?? '');
  }

  get said(): string {
    return String(this.stderr.read() ?? '');
  }
}

test('the report is on stdout, nothing else; the exit code is the command’s', async () => {
  const terminal = new Terminal();
  const exit = await terminal.run(async ({ report }) => {
    report.progress('1 of 2');
    report.line('missing  c1.r1', { type: 'finding', key: 'c1.r1' });
    report.summary({ findings: 1 }, EXIT.findings);
    return EXIT.findings;
  });
  assert.equal(exit, 3);
  assert.equal(terminal.printed, 'missing  c1.r1\n');
  assert.equal(terminal.said, '1 of 2\n');
});

test('--json prints one object a line, the summary last, progress on stderr', async () => {
  const terminal = new Terminal();
  await terminal.run(async ({ report }) => {
    report.text('for people');
    report.progress('1 of 2', { done: 1 });
    report.line('x', { type: 'finding', key: 'c1.r1' });
    report.summary({ findings: 1 }, EXIT.findings);
    return EXIT.findings;
  }, '--json');
  const lines = terminal.printed
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(lines, [
    { type: 'finding', key: 'c1.r1' },
    { type: 'summary', findings: 1, exit: 3 },
  ]);
  assert.deepEqual(JSON.parse(terminal.said), { type: 'progress', text: '1 of 2', done: 1 });
});

test('--quiet says nothing of progress; --help runs nothing', async () => {
  const terminal = new Terminal();
  await terminal.run(async ({ report }) => (report.progress('1 of 2'), EXIT.well), '--quiet');
  assert.equal(terminal.said, '');
  assert.equal(await terminal.run(async () => assert.fail(), '--help'), 0);
  assert.match(terminal.printed, /^Usage: archiver look/);
});

test('usage is 2 and says where the flags are; a failure is 1 with its reason; an error of our own is on stderr alone', async () => {
  const terminal = new Terminal();
  assert.equal(await terminal.run(async () => EXIT.well, '--form', '2026-11-26'), 2);
  assert.match(terminal.said, /did you mean --from\?\nAll flags: {2}archiver look --help\n$/);
  const fails = async (): Promise<Exit> => {
    throw new Failure('archive-unavailable', 'The disk is full: free space.');
  };
  assert.equal(await terminal.run(fails, '--json'), 1);
  assert.match(terminal.said, /archive-unavailable: The disk is full/);
  assert.deepEqual(JSON.parse(terminal.printed), {
    type: 'summary',
    code: 'archive-unavailable',
    reason: 'The disk is full: free space.',
    exit: 1,
  });
  assert.equal(await terminal.run(async () => Promise.reject(new TypeError('a bug')), '--json'), 1);
  assert.match(terminal.said, /^internal: .*\nTypeError: a bug\n/s);
  assert.doesNotMatch(terminal.printed, /a bug/);
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal}: no new work, what was opened is closed, exit ${String(code)}; the second one ends at once`, async () => {
    const terminal = new Terminal();
    const closed: string[] = [];
    const running = Promise.withResolvers<void>();
    const done = terminal.run(async ({ signal: stop, opened, report }) => {
      opened.defer(() => void closed.push('archive'));
      running.resolve();
      await once(stop, 'abort');
      report.line('1 day was done', { type: 'day' });
      return EXIT.well;
    });
    await running.promise;
    terminal.send(signal);
    terminal.send(signal);
    assert.equal(await done, code);
    assert.deepEqual(terminal.exits, [code]);
    assert.deepEqual(closed, ['archive']);
    assert.match(terminal.said, /Run the same line again/);
  });
}

test('what fails because it was stopped is no failure of its own: neither said nor summed up', async () => {
  const terminal = new Terminal();
  const running = Promise.withResolvers<void>();
  const done = terminal.run(async ({ signal: stop }) => {
    running.resolve();
    await once(stop, 'abort');
    throw stop.reason;
  }, '--json');
  await running.promise;
  terminal.send('SIGINT');
  assert.equal(await done, 130);
  assert.equal(terminal.printed, '');
  assert.doesNotMatch(terminal.said, /stopped:/);
});

test('a terminal sees one line rewritten, cleared before the report goes on', () => {
  const err: PassThrough & { isTTY?: boolean } = new PassThrough();
  err.isTTY = true;
  const out = new PassThrough();
  let now = 0;
  const report = new Report({ json: false, quiet: false, out, err, now: () => now });
  report.progress('1 of 9');
  report.progress('2 of 9');
  now = 250;
  report.progress('3 of 9');
  report.line('found', { type: 'finding' });
  assert.equal(String(err.read()), '\r\u001B[K1 of 9\r\u001B[K3 of 9\r\u001B[K');
});

test('elsewhere progress is a line every 30 s', () => {
  const err = new PassThrough();
  let now = 0;
  const report = new Report({ json: false, quiet: false, out: new PassThrough(), err, now: () => now });
  for (now = 0; now < 61_000; now += 1000) report.progress(`at ${String(now / 1000)}`);
  assert.equal(String(err.read()), 'at 0\nat 30\nat 60\n');
});

test('a reader that goes away ends the printing quietly, and the report says so', async () => {
  const out = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('EPIPE'), { code: 'EPIPE' })),
  });
  const report = new Report({ json: false, quiet: true, out, err: new PassThrough() });
  report.line('one', { type: 'finding' });
  await new Promise((resolve) => out.on('close', resolve));
  report.line('two', { type: 'finding' });
  await report.flushed();
  assert.equal(report.closed, true);
});
