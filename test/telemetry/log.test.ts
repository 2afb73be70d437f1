/** What a line of the log holds, and what never gets into one. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Failure } from '../../src/failure.ts';
import { createLog, createRedactor, type Log, type LogOptions } from '../../src/telemetry/log.ts';

const LOG = new URL('../../src/telemetry/log.ts', import.meta.url).href;

/** Runs a program of its own, for half a minute at most. */
function run(program: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 300_000 });
}

type Entry = Readonly<Record<string, unknown>>;

interface Written {
  readonly log: Log;
  /** Everything written so far, as it was written. */
  readonly text: () => string;
  /** Entry `index`, parsed. */
  readonly entry: (index?: number) => Entry;
}

function open(options: Partial<LogOptions> = {}): Written {
  const stream = new PassThrough();
  let written = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => (written += chunk));
  const log = createLog({ level: 'debug', secrets: [], stream, ...options });
  return {
    log,
    text: () => written,
    entry: (index = 0) => parse(written.split('\n')[index]),
  };
}

function parse(line: string | undefined): Entry {
  const value: unknown = JSON.parse(line ?? '');
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value));
  return { ...value };
}

/** What `printed` makes of one field. */
function printed(value: unknown, options: Partial<LogOptions> = {}): unknown {
  const written = open(options);
  written.log.info('A field was printed.', { value });
  return written.entry()['value'];
}

test('an entry is one line of JSON, with the names Cloud Logging reads', () => {
  const { log, text, entry } = open();
  log.warn('Something took\nlong.', { recordingId: 'r-1', sizeBytes: 7, note: 'two\nlines\u2028' });
  assert.equal(text().split('\n').length, 2);
  const { timestamp, ...fields } = entry();
  assert.match(String(timestamp), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(fields, {
    severity: 'WARNING',
    message: 'Something took\nlong.',
    recordingId: 'r-1',
    sizeBytes: 7,
    note: 'two\nlines\u2028',
  });
});

test('levels become severities, and those below the wanted one are not written', () => {
  const { log, text } = open({ level: 'warn' });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level](`This was ${level}.`);
  const severities = text()
    .trim()
    .split('\n')
    .map((line) => parse(line)['severity']);
  assert.deepEqual(severities, ['WARNING', 'ERROR']);
});

test('winston adds nothing of its own: no level beside severity, no message glued to a field of that name', () => {
  const { log, entry } = open();
  log.error('The upload failed.', { message: 'boom', level: 'silly', error: new Error('boom'), splat: ['x'] });
  assert.deepEqual(
    [entry()['message'], entry()['severity'], 'level' in entry()],
    ['The upload failed.', 'ERROR', false],
  );
  log.info('Nothing was interpolated into %s %d %j.', { a: 1 });
  assert.equal(entry(1)['message'], 'Nothing was interpolated into %s %d %j.');
});

test('a traceparent becomes trace, span and sampling, with the project where it is known', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  for (const [project, trace] of [
    ['my-project', 'projects/my-project/traces/0af7651916cd43dd8448eb211c80319c'],
    [undefined, '0af7651916cd43dd8448eb211c80319c'],
  ]) {
    const { log, entry } = open({ project });
    log.info('A request arrived.', { traceparent });
    assert.equal(entry()['logging.googleapis.com/trace'], trace);
    assert.equal(entry()['logging.googleapis.com/spanId'], 'b7ad6b7169203331');
    assert.equal(entry()['logging.googleapis.com/trace_sampled'], true);
    assert.equal('traceparent' in entry(), false);
  }
});

test('what is no traceparent leaves no trace fields', () => {
  for (const traceparent of [undefined, 7, '', '00-xyz', '01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01']) {
    const { log, entry } = open();
    log.info('A request arrived.', { traceparent });
    assert.deepEqual(Object.keys(entry()), ['severity', 'timestamp', 'message']);
  }
});

test('an error keeps its name, message, code, stack and every cause', () => {
  const root = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const error = new TypeError('fetch failed', { cause: new Error('no connection', { cause: root }) });
  const value = printed(error);
  assert.partialDeepStrictEqual(value, {
    name: 'TypeError',
    message: 'fetch failed',
    cause: { message: 'no connection', cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' } },
  });
  assert.ok(typeof value === 'object' && value !== null && 'stack' in value);
  assert.match(String(value.stack), /log\.test\.ts/);
});

test('a cause that is no error is kept as it is, and the errors of several tries are all there', () => {
  assert.partialDeepStrictEqual(printed(new Error('x', { cause: 'just text' })), { cause: 'just text' });
  const tries = new AggregateError([new Error('by IPv6'), new Error('by IPv4')], 'both failed');
  assert.partialDeepStrictEqual(printed(tries), { errors: [{ message: 'by IPv6' }, { message: 'by IPv4' }] });
});

test('what libraries hang on their errors stays out', () => {
  const error = Object.assign(new Error('request failed'), {
    config: { headers: { 'x-api-key': 'canary-1' } },
    request: { path: '/media?X-Amz-Signature=canary-2' },
    response: { data: 'canary-3' },
  });
  assert.doesNotMatch(JSON.stringify(printed(new Failure('upstream-error', 'No.', { cause: error }))), /canary/);
});

test('a Failure shows its facts and needs no stack', () => {
  const failure = new Failure('encoder-failed', 'The encoder died.', { facts: { exit: 137, stderr: 'Killed' } });
  assert.deepEqual(printed(failure), {
    name: 'Failure',
    message: 'The encoder died.',
    code: 'encoder-failed',
    facts: { exit: 137, stderr: 'Killed' },
  });
});

/** Every way a secret has of getting into a line; `canary` must not come out of any of them. */
const LEAKS: readonly (readonly [string, unknown])[] = [
  ['an exact secret', 'the key is canary-secret-value here'],
  ['a secret within a word', 'xcanary-secret-valuex'],
  ['an error message', new Error('bad key canary-secret-value')],
  ['a cause', new Error('x', { cause: new Failure('internal', 'y', { cause: new Error('canary-secret-value') }) })],
  ['facts', new Failure('internal', 'y', { facts: { stderr: 'canary-secret-value' } })],
  ['an array', ['a', ['canary-secret-value']]],
  ['a query', 'GET https://s3.amazonaws.com/b/k?X-Amz-Signature=canary&X-Amz-Date=1 failed'],
  ['a query in quotes', 'fetch("https://h.example/a?canary=1")'],
  ['a fragment', 'https://h.example/a#canary'],
  ['a bucket URL', 'gs://bucket/o?canary=1'],
  ['a user', 'https://canary:pw@h.example/a'],
  ['a bearer value', 'Authorization: Bearer canary.canary-canary_canary~+/='],
  ['a basic value', 'authorization: basic Y2FuYXJ5canary=='],
  ['a web token', 'token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJjYW5hcnkifQ.canary-signature'],
  ['a header by its name', { headers: { Authorization: 'canary', 'Set-Cookie': 'canary', 'x-api-key': 'canary' } }],
  ['a field by its name', { access_token: 'canary', client_secret: 'canary', password: { text: 'canary' } }],
  ['a secret at the cut', `${'x'.repeat(4090)}canary-secret-value`],
  ['an error message at the cut', new Error(`${'x'.repeat(4090)}canary-secret-value`)],
  ['a URL at the cut', `${'x'.repeat(4060)} https://h.example/a?b=canary`],
];

for (const [what, value] of LEAKS) {
  test(`invariant 8: nothing of it reaches a line: ${what}`, () => {
    const { log, text } = open({ secrets: ['canary-secret-value', 'unrelated'] });
    log.info('Something happened.', { value, error: value });
    assert.doesNotMatch(text(), /canary/);
    assert.notEqual(text(), '');
  });
}

test('invariant 8: a field that is named like a secret is not printed, nor is one within the message', () => {
  const { log, entry } = open({ secrets: ['canary-secret-value'] });
  log.info('Took canary-secret-value and https://h.example/?canary.', {
    token: 'canary',
    apiKey: 'canary',
    cookie: ['canary'],
  });
  assert.equal(entry()['message'], 'Took [secret] and https://h.example/?[query]');
  assert.deepEqual([entry()['token'], entry()['apiKey'], entry()['cookie']], ['[secret]', '[secret]', '[secret]']);
});

test('a secret that holds another is taken out whole, and one with the signs of a pattern is taken literally', () => {
  const redact = createRedactor(['abcd', 'abcdefgh', '$&.*+(x)']);
  assert.equal(redact('abcdefgh abcd $&.*+(x)'), '[secret] [secret] [secret]');
});

test('a secret of any length is taken out, a short one where it stands alone (B2)', () => {
  const redact = createRedactor(['k', 'dev', '7', '']);
  assert.equal(
    redact('key k, dev: developer k=dev 7 of 17'),
    'key [secret], [secret]: developer [secret]=[secret] [secret] of 17',
  );
  for (let length = 1; length <= 64; length += 1) {
    const secret = 'q'.repeat(length);
    assert.doesNotMatch(createRedactor([secret])(`it was "${secret}".`), /q/);
  }
});

test('a secret that comes while the service runs is taken out from then on (B2)', () => {
  const secrets = new Set(['canary-of-the-first-file']);
  const { log, text } = open({ secrets });
  secrets.add('canary-of-the-second-file');
  log.info('Took canary-of-the-second-file and canary-of-the-first-file.');
  assert.doesNotMatch(text(), /canary/);
});

test('a redacted URL still says where it led', () => {
  const redact = createRedactor([]);
  assert.equal(
    redact('GET https://h.example:8443/a/b.opus?sig=1 -> 403'),
    'GET https://h.example:8443/a/b.opus?[query] -> 403',
  );
  assert.equal(redact('https://h.example/plain'), 'https://h.example/plain');
});

test('redaction ends soon, whatever a stranger wrote', async () => {
  const pieces = ['eyJ-', 'eyJaaaaaaaa.', 'http://', 'https://a@', 'Bearer ', 'Basic  ', 'http://http://?'];
  // Anything that grows with the square of the text would take an hour here.
  await run(`
    import { createRedactor } from ${JSON.stringify(LOG)};
    for (const piece of ${JSON.stringify(pieces)}) createRedactor(['secret'])(piece.repeat(200_000));`);
});

test('what is large is bounded, however it is large', () => {
  const { log, text } = open();
  const deep: { next?: unknown } = {};
  deep.next = deep;
  log.info('Something large happened.', {
    text: 'x'.repeat(1_000_000),
    error: new Error('y'.repeat(1_000_000)),
    list: Array.from({ length: 100_000 }, (_, index) => index),
    wide: Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${String(index)}`, index])),
    deep,
    buffer: Buffer.alloc(1_000_000),
    bytes: new Uint8Array(1_000_000),
  });
  assert.ok(text().length < 20_000, `${String(text().length)} characters`);
  assert.match(text(), /\[1000000 bytes\].*\[1000000 bytes\]/);
});

test('values that JSON has no word for do not break the line', () => {
  const value = { big: 2n ** 64n, nan: NaN, nothing: undefined, call: () => 1, symbol: Symbol('s'), date: new Date(0) };
  assert.deepEqual(printed(value), { big: '18446744073709551616', nan: null, date: '1970-01-01T00:00:00.000Z' });
  assert.deepEqual(printed(new Map([['canary', 1]])), {});
  assert.equal(printed(new Date(NaN)), null);
});

test('in a process, every line is on stdout before it exits, and nothing is on stderr', async () => {
  const program = `
    import { createLog } from ${JSON.stringify(LOG)};
    const log = createLog({ level: 'info', secrets: [] });
    for (let number = 0; number < 2000; number += 1) log.info('A line was written.', { number });
    log.error('It ended.', { error: new Error('boom') });`;
  const { stdout, stderr } = await run(program);
  const entries = stdout.trim().split('\n').map(parse);
  assert.equal(entries.length, 2001);
  assert.deepEqual(
    entries.slice(0, -1).map((entry) => entry['number']),
    Array.from({ length: 2000 }, (_, number) => number),
  );
  assert.equal(entries.at(-1)?.['severity'], 'ERROR');
  assert.equal(stderr, '');
});
