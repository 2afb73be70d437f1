/** The environment as a table: what it becomes, or everything that is wrong with it (PR-08). */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { readConfig, type Config } from '../../src/config/config.ts';
import { ConfigProblems } from '../../src/config/reader.ts';
import { VARIABLES, type Command } from '../../src/config/variables.ts';
import { keysOf } from '../support/keys.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Enough for every command. */
const ENOUGH = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: 'client-1',
  GENESYS_CLIENT_SECRET: 'canary-client-secret',
  WEBHOOK_SECRETS: 'canary-webhook-secret',
  API_KEYS: 'canary-api-key-1',
} as const;

function read(env: Env, command: Command = 'serve'): Config {
  return readConfig({ ...ENOUGH, ...env }, command);
}

function problemsOf(env: Env, command: Command = 'serve'): readonly string[] {
  try {
    readConfig(env, command);
  } catch (error) {
    assert.ok(error instanceof ConfigProblems);
    for (const problem of error.problems) assert.ok(error.message.includes(problem));
    return error.problems;
  }
  return [];
}

/** The variables a list of problems names, in its order. */
function named(problems: readonly string[]): readonly string[] {
  return problems.map((problem) => /^[A-Z_]+/.exec(problem)?.[0] ?? problem);
}

test('what is not set has the default that the table states', () => {
  const config = read({});
  assert.deepEqual(
    [config.host, config.port, config.publicUrl],
    [VARIABLES.HOST.default, Number(VARIABLES.PORT.default), undefined],
  );
  assert.deepEqual(config.queue, { kind: 'sqlite', path: 'var/queue.db' });
  assert.deepEqual(config.archive, { kind: 'folder', path: 'var/archive', linkKeys: [], linkLifetimeS: 900 });
  assert.deepEqual([config.archiveOriginal, config.archiveOnListen], [false, false]);
  assert.deepEqual([config.webhook.required, config.api.required, config.push], [true, true, undefined]);
  assert.deepEqual(
    [config.transcodeSlots, config.transcodeQueue],
    [availableParallelism(), 2 * availableParallelism()],
  );
  assert.deepEqual(
    [config.linkLifetimeS, config.maxDurationS, config.logLevel],
    [Number(VARIABLES.LINK_LIFETIME_S.default), Number(VARIABLES.MAX_DURATION_S.default), VARIABLES.LOG_LEVEL.default],
  );
  assert.deepEqual(config.genesys, {
    loginUrl: 'https://login.mypurecloud.de',
    apiUrl: 'https://api.mypurecloud.de',
    clients: [{ id: 'client-1', secret: 'canary-client-secret' }],
    recordingApi: 'auto',
    mediaHosts: ['.amazonaws.com', '.amazonaws.eu', '.amazonaws.com.cn'].map((suffix) => ({ suffix })),
    maxMediaBytes: Number(VARIABLES.MAX_MEDIA_BYTES.default),
  });
});

test('a variable that is empty or blank is one that is not set', () => {
  const blank = Object.fromEntries(
    Object.keys(VARIABLES)
      .filter((name) => !(name in ENOUGH))
      .map((name, index) => [name, index % 2 === 0 ? '' : '  ']),
  );
  assert.deepEqual(read(blank), read({}));
});

test('the configuration is frozen, all the way down', () => {
  const config = read({});
  for (const part of [
    config,
    config.genesys,
    config.genesys.clients,
    config.genesys.clients[0],
    config.webhook.secrets,
  ])
    assert.ok(Object.isFrozen(part));
});

test('every problem is named at once, each with what to do (PR-08)', () => {
  const problems = problemsOf({
    PORT: '80a',
    PUBLIC_URL: 'ftp://x',
    GENESYS_REGION: 'mypurecloud',
    GENESYS_RECORDING_API: 'both',
    GENESYS_MEDIA_HOSTS: 'ok.example,*',
    QUEUE_URL: 'redis://x',
    ARCHIVE_URL: 's3://x',
    ARCHIVE_ORIGINAL: 'true',
    GCS_LINK_HOST: 'https://media.example.com',
    TRANSCODE_SLOTS: '0',
    LINK_LIFETIME_S: '604801',
    LOCK_DAYS: '36501',
    LOCK_MODE: 'Locked',
    MAX_MEDIA_BYTES: '-1',
    MAX_DURATION_S: '1e3',
    LOG_LEVEL: 'verbose',
    PUSH_AUDIENCE: 'https://x',
  });
  assert.deepEqual(named(problems).toSorted(), [
    'API_KEYS',
    'ARCHIVE_ORIGINAL',
    'ARCHIVE_URL',
    'GCS_LINK_HOST',
    'GENESYS_CLIENT_ID',
    'GENESYS_CLIENT_SECRET',
    'GENESYS_MEDIA_HOSTS',
    'GENESYS_RECORDING_API',
    'GENESYS_REGION',
    'LINK_LIFETIME_S',
    'LOCK_DAYS',
    'LOCK_MODE',
    'LOG_LEVEL',
    'MAX_DURATION_S',
    'MAX_MEDIA_BYTES',
    'PORT',
    'PUBLIC_URL',
    'PUSH_SERVICE_ACCOUNT',
    'QUEUE_URL',
    'TRANSCODE_SLOTS',
    'WEBHOOK_SECRETS',
  ]);
  for (const problem of problems) assert.match(problem, /expected|set |is neither|give as many/);
});

test('an empty environment asks for exactly what a command needs', () => {
  const genesys = ['GENESYS_REGION', 'GENESYS_CLIENT_ID', 'GENESYS_CLIENT_SECRET'];
  assert.deepEqual(named(problemsOf({}, 'serve')), [...genesys, 'WEBHOOK_SECRETS', 'API_KEYS']);
  assert.deepEqual(named(problemsOf({}, 'receiver')), ['WEBHOOK_SECRETS']);
  assert.deepEqual(named(problemsOf({}, 'worker')), genesys);
  assert.deepEqual(named(problemsOf({}, 'playback')), [...genesys, 'API_KEYS']);
});

test('both Genesys URLs stand in for a region, one does not', () => {
  const urls = { GENESYS_LOGIN_URL: 'http://127.0.0.1:9/', GENESYS_API_URL: 'https://proxy.example/genesys//' };
  const { loginUrl, apiUrl } = read({ GENESYS_REGION: undefined, ...urls }).genesys;
  assert.deepEqual([loginUrl, apiUrl], ['http://127.0.0.1:9', 'https://proxy.example/genesys']);
  assert.equal(read(urls).genesys.apiUrl, 'https://proxy.example/genesys');
  const one = { ...ENOUGH, ...urls, GENESYS_REGION: undefined, GENESYS_API_URL: undefined };
  assert.deepEqual(named(problemsOf(one)), ['GENESYS_REGION']);
});

test('several clients come in pairs, in order', () => {
  const pairs = { GENESYS_CLIENT_ID: 'a, b ,c', GENESYS_CLIENT_SECRET: '1,2,3' };
  assert.deepEqual(
    read(pairs).genesys.clients.map(({ id, secret }) => id + secret),
    ['a1', 'b2', 'c3'],
  );
  const [problem, ...more] = problemsOf({ ...ENOUGH, ...pairs, GENESYS_CLIENT_SECRET: 'canary-1,canary-2' });
  assert.match(
    problem ?? '',
    /^GENESYS_CLIENT_SECRET: GENESYS_CLIENT_ID has 3, and of secrets there are 2; give as many/,
  );
  assert.deepEqual(more, []);
});

test('no authentication is for a loopback address only', () => {
  const open = { ...ENOUGH, WEBHOOK_AUTH: 'none', API_AUTH: 'none' };
  for (const HOST of ['127.0.0.1', '127.9.8.7', '::1', '[::1]', '::ffff:127.0.0.1', 'localhost', 'Localhost'])
    assert.deepEqual(problemsOf({ ...open, HOST, WEBHOOK_SECRETS: '', API_KEYS: '' }), [], HOST);
  const elsewhere = [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    'archiver.example',
    '127.0.0.1.example',
    '128.0.0.1',
    '::ffff:10.0.0.1',
  ];
  for (const HOST of elsewhere) {
    assert.deepEqual(named(problemsOf({ ...open, HOST })), ['WEBHOOK_AUTH', 'API_AUTH'], HOST);
    assert.deepEqual(named(problemsOf({ ...open, HOST }, 'receiver')), ['WEBHOOK_AUTH', 'API_AUTH'], HOST);
    assert.deepEqual(named(problemsOf({ ...open, HOST }, 'playback')), ['API_AUTH'], HOST);
    assert.deepEqual(named(problemsOf({ ...open, HOST }, 'worker')), ['API_AUTH'], 'its figures would be open');
  }
});

test('quotes that an environment file leaves around a value or an entry are no part of it (E1)', () => {
  const plain = read({ PORT: '81', GENESYS_MEDIA_HOSTS: '*.a.example,b.example', PUBLIC_URL: 'https://a.example' });
  for (const quote of ['"', "'"]) {
    const quoted = (text: string): string => ` ${quote}${text}${quote}\r`;
    const all = {
      PORT: '81',
      GENESYS_MEDIA_HOSTS: '*.a.example,b.example',
      PUBLIC_URL: 'https://a.example',
      ...ENOUGH,
    };
    const env = Object.fromEntries(Object.entries(all).map(([name, value]) => [name, quoted(value)]));
    assert.deepEqual(readConfig(env, 'serve'), plain);
    const entries = ['*.a.example', 'b.example'].map(quoted).join(' , ');
    assert.deepEqual(read({ GENESYS_MEDIA_HOSTS: entries }).genesys.mediaHosts, plain.genesys.mediaHosts);
  }
});

test('a quote that has no other is refused by name, also in a secret, without showing it (E1)', () => {
  for (const half of ['"canary-canary-canary', "canary-canary-canary'", '"canary-canary-canary\'']) {
    for (const name of [
      'API_KEYS',
      'WEBHOOK_SECRETS',
      'WEBHOOK_TOKENS',
      'LINK_KEYS',
      'GENESYS_CLIENT_SECRET',
      'GENESYS_REGION',
      'HOST',
      'PUSH_AUDIENCE',
      'QUEUE_URL',
      'PORT',
      'LOG_LEVEL',
      'PUBLIC_URL',
    ]) {
      const problems = problemsOf({
        ...ENOUGH,
        PUSH_SERVICE_ACCOUNT: name === 'PUSH_AUDIENCE' ? 'a@b' : '',
        [name]: half,
      });
      assert.ok(named(problems).includes(name), `${name}=${half}: ${problems.join()}`);
      assert.doesNotMatch(problems.join(), /canary/);
    }
  }
});

test('LINK_ORIGINS are origins as browsers write them, or all (E5)', () => {
  assert.deepEqual(read({}).linkOrigins, []);
  const given = 'https://Player.Example, http://localhost:3000/,https://player.example:443,"https://b.example:8443",*';
  const origins = [
    'https://player.example',
    'http://localhost:3000',
    'https://player.example',
    'https://b.example:8443',
    '*',
  ];
  assert.deepEqual(read({ LINK_ORIGINS: given }).linkOrigins, origins);
  for (const LINK_ORIGINS of [
    'player.example',
    'https://a.example/x',
    'https://u@a.example',
    'https://a.example?q',
    'ftp://a.example',
    'null',
    '*.example',
    'https://*.example',
  ])
    assert.deepEqual(named(problemsOf({ ...ENOUGH, LINK_ORIGINS })), ['LINK_ORIGINS'], LINK_ORIGINS);
});

test('figures have an address of their own where METRICS_PORT names one (B6)', () => {
  assert.equal(read({}).metrics, undefined);
  assert.equal(read({ METRICS_HOST: '0.0.0.0' }).metrics, undefined);
  assert.deepEqual(read({ METRICS_PORT: '9090' }).metrics, { host: '127.0.0.1', port: 9090 });
  assert.deepEqual(read({ METRICS_PORT: '0', METRICS_HOST: '[::]' }).metrics, { host: '::', port: 0 });
  const wrong = { METRICS_PORT: 'x', METRICS_HOST: 'http://x' };
  assert.deepEqual(named(problemsOf({ ...ENOUGH, ...wrong })), ['METRICS_HOST', 'METRICS_PORT']);
});

test('HOST is an address, in brackets too, or a name; anything more is refused by name (E1)', () => {
  const hosts = [
    ['[::1]', '::1'],
    ['::1', '::1'],
    ['LOCALHOST', 'localhost'],
    ['[::]', '::'],
    ['archiver.example', 'archiver.example'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    [' 0.0.0.0 ', '0.0.0.0'],
  ] as const;
  for (const [given, host] of hosts) assert.equal(read({ HOST: given }).host, host);
  for (const HOST of [
    'http://127.0.0.1',
    '127.0.0.1:8080',
    'localhost:80',
    '[::1]:80',
    '[::1',
    '*',
    '10.0.0',
    '1.2.3.4.5',
    '256.1.1.1',
    'a b',
    'a/b',
    '-a',
    '[localhost]:',
  ])
    assert.deepEqual(named(problemsOf({ ...ENOUGH, HOST })), ['HOST'], HOST);
});

test('secrets and tokens are lists, and either will do for the webhook', () => {
  const [one, two] = ['one-token-or-key-1', 'two-token-or-key-2'];
  const { webhook, api } = read({
    WEBHOOK_SECRETS: '',
    WEBHOOK_TOKENS: ` ${one},,${two} `,
    API_KEYS: `${one}\n${two},\n`,
  });
  assert.deepEqual([webhook.secrets, webhook.tokens, api.keys], [[], keysOf(one, two), keysOf(one, two)]);
  assert.deepEqual(named(problemsOf({ ...ENOUGH, WEBHOOK_SECRETS: ' , ', API_KEYS: ',' })), [
    'WEBHOOK_SECRETS',
    'API_KEYS',
  ]);
});

test('media hosts are suffixes, names or origins', () => {
  const hosts = '*.S3.example, media.example ,https://media.example:8443,http://127.0.0.1:9100';
  assert.deepEqual(read({ GENESYS_MEDIA_HOSTS: hosts }).genesys.mediaHosts, [
    { suffix: '.s3.example' },
    { host: 'media.example' },
    { origin: 'https://media.example:8443' },
    { origin: 'http://127.0.0.1:9100' },
  ]);
  const wrong = ['*', '*.', '*.com', '.com', 'com', '**.x.y', 'a.*.b', 'ftp://a.b', 'https://', 'https://u:p@a.b'];
  for (const entry of [...wrong, 'https://a.b/path', 'https://a.b?q', 'http://a b.c', '127.0.0.1:9100'])
    assert.deepEqual(named(problemsOf({ ...ENOUGH, GENESYS_MEDIA_HOSTS: entry })), ['GENESYS_MEDIA_HOSTS'], entry);
});

test('QUEUE_URL names a file or a topic', () => {
  const pubsub = { kind: 'pubsub', project: 'p-1', topic: 'events' };
  const good: readonly (readonly [string, Config['queue']])[] = [
    ['sqlite:/data/q.db', { kind: 'sqlite', path: '/data/q.db' }],
    ['sqlite:C:\\q.db', { kind: 'sqlite', path: 'C:\\q.db' }],
    ['pubsub://p-1/events?subscription=worker', { ...pubsub, kind: 'pubsub', subscription: 'worker' }],
  ];
  for (const [url, queue] of good) assert.deepEqual(read({ QUEUE_URL: url }).queue, queue);
  const wrong = ['sqlite:', 'sqlite', 'pubsub://p', 'pubsub://p/', 'pubsub://p/t/x', 'pubsub://p/t?subscription='];
  for (const url of [...wrong, 'pubsub://p/t?sub=x', 'pubsub://p/t?subscription=a&b=c', 'amqp://x'])
    assert.deepEqual(named(problemsOf({ ...ENOUGH, QUEUE_URL: url })), ['QUEUE_URL'], url);
});

test('a blank PUSH_AUDIENCE is none: a worker that would neither pull nor be pushed to does not start (E7)', () => {
  const env = { ...ENOUGH, QUEUE_URL: 'pubsub://p-1/events' };
  for (const PUSH_AUDIENCE of ['', ' ', '\t', ' \r\n']) {
    assert.deepEqual(named(problemsOf({ ...env, PUSH_AUDIENCE }, 'worker')), ['QUEUE_URL']);
    const half = { ...env, PUSH_AUDIENCE, PUSH_SERVICE_ACCOUNT: 'push@p-1.example' };
    assert.deepEqual(named(problemsOf(half, 'worker')), ['QUEUE_URL', 'PUSH_AUDIENCE']);
  }
});

test('a topic without a subscription is enough to publish, not to work', () => {
  const env = { ...ENOUGH, QUEUE_URL: 'pubsub://p-1/events' };
  assert.deepEqual(problemsOf(env, 'receiver'), []);
  assert.deepEqual(problemsOf(env, 'playback'), []);
  assert.deepEqual(named(problemsOf(env, 'worker')), ['QUEUE_URL']);
  const pushed = { ...env, PUSH_AUDIENCE: 'https://worker.example', PUSH_SERVICE_ACCOUNT: 'push@p-1.example' };
  assert.deepEqual(problemsOf(pushed, 'worker'), []);
  assert.deepEqual(readConfig(pushed, 'worker').push, {
    audience: 'https://worker.example',
    serviceAccount: 'push@p-1.example',
  });
});

test('a bucket locks recordings for whole days, a folder locks nothing, and a mode alone has nothing to lock', () => {
  const bucket = { ...ENOUGH, ARCHIVE_URL: 'gs://abc' };
  const lockOf = (env: Readonly<Record<string, string>>): unknown => {
    const { archive } = read({ ARCHIVE_URL: 'gs://abc', ...env });
    return archive.kind === 'bucket' ? archive.lock : assert.fail('no bucket');
  };
  assert.equal(lockOf({}), undefined);
  assert.equal(lockOf({ LOCK_MODE: 'unlocked' }), undefined);
  assert.deepEqual(lockOf({ LOCK_DAYS: '1' }), { days: 1, mode: 'unlocked' });
  assert.deepEqual(lockOf({ LOCK_DAYS: '36500', LOCK_MODE: 'locked' }), { days: 36_500, mode: 'locked' });
  for (const LOCK_DAYS of ['0', '36501', '-1', '1.5', '30d', 'forever'])
    assert.deepEqual(problemsOf({ ...bucket, LOCK_DAYS }), ['LOCK_DAYS: expected a whole number from 1 to 36500.']);
  assert.deepEqual(problemsOf({ ...bucket, LOCK_DAYS: '1', LOCK_MODE: 'yes' }), [
    'LOCK_MODE: expected "unlocked" or "locked".',
  ]);
  assert.deepEqual(problemsOf({ ...bucket, LOCK_MODE: 'locked' }), [
    'LOCK_MODE: there is nothing to lock: set LOCK_DAYS as well.',
  ]);
  for (const command of ['serve', 'worker', 'backfill'] as const)
    assert.deepEqual(problemsOf({ ...ENOUGH, ARCHIVE_URL: 'file:/srv/archive', LOCK_DAYS: '30' }, command).slice(-1), [
      'LOCK_DAYS: a folder cannot lock what lies in it: unset it, or let ARCHIVE_URL name a bucket.',
    ]);
});

test('ARCHIVE_URL names a folder or a bucket, with or without a prefix', () => {
  const bucket = {
    kind: 'bucket',
    bucket: 'my-bucket.1',
    apiEndpoint: undefined,
    linkHost: undefined,
    lock: undefined,
  } as const;
  const good: readonly (readonly [string, Config['archive']])[] = [
    ['file:/srv/archive', { kind: 'folder', path: '/srv/archive', linkKeys: [], linkLifetimeS: 900 }],
    ['gs://my-bucket.1', { ...bucket, prefix: '' }],
    ['gs://my-bucket.1/', { ...bucket, prefix: '' }],
    ['gs://my-bucket.1/eu/calls/', { ...bucket, prefix: 'eu/calls' }],
  ];
  for (const [url, archive] of good) assert.deepEqual(read({ ARCHIVE_URL: url }).archive, archive);
  const archive = read({ ARCHIVE_URL: 'gs://abc', GCS_API_ENDPOINT: 'http://127.0.0.1:4443/' }).archive;
  assert.equal(archive.kind === 'bucket' && archive.apiEndpoint, 'http://127.0.0.1:4443');
  for (const url of ['file:', 'gs://', 'gs://A', 'gs://ab', 'gs:///x', 'gs://abc?x', 'gs://abc/x?y', 'https://x'])
    assert.deepEqual(named(problemsOf({ ...ENOUGH, ARCHIVE_URL: url })), ['ARCHIVE_URL'], url);
});

test('GCS_LINK_HOST is a host name alone, and links go there by https', () => {
  const linkHostOf = (GCS_LINK_HOST: string): string | undefined => {
    const { archive } = read({ ARCHIVE_URL: 'gs://abc', GCS_LINK_HOST });
    return archive.kind === 'bucket' ? archive.linkHost : assert.fail('no bucket');
  };
  for (const host of ['', 'storage.googleapis.com', 'Storage.GoogleAPIs.com'])
    assert.equal(linkHostOf(host), undefined, 'Cloud Storage itself, with the bucket in the path');
  assert.equal(linkHostOf(' Media.Example.com '), 'https://media.example.com');
  assert.equal(linkHostOf('abc.storage.googleapis.com'), 'https://abc.storage.googleapis.com');
  assert.equal(linkHostOf(`${'a'.repeat(63)}.example`), `https://${'a'.repeat(63)}.example`);
  const wrong = [
    'media',
    'https://a.example',
    'a.example/x',
    'a.example:443',
    'u@a.example',
    'a.example.',
    '.a.example',
  ];
  const odd = [
    'a..example',
    '-a.example',
    'a-.example',
    'a_b.example',
    'a b.example',
    'a,b.example',
    '*.example',
    'ä.example',
  ];
  const long = [`${'a'.repeat(64)}.example`, `${'a.'.repeat(125)}example`];
  for (const host of [...wrong, ...odd, ...long, '10.0.0.1', '[::1]', 'a.example?x', 'a.example#x'])
    assert.deepEqual(named(problemsOf({ ...ENOUGH, GCS_LINK_HOST: host })), ['GCS_LINK_HOST'], host);
});

test('whole numbers are decimal and within their bounds', () => {
  assert.equal(read({ PORT: '0' }).port, 0);
  assert.equal(read({ PORT: '65535' }).port, 65_535);
  assert.equal(read({ TRANSCODE_SLOTS: '3' }).transcodeQueue, 6);
  for (const PORT of ['65536', '-1', '1.5', '0x50', '1e3', '80 ', 'NaN', '99999999999999999999', '８０'])
    assert.equal(problemsOf({ ...ENOUGH, PORT }).length, PORT === '80 ' ? 0 : 1, PORT);
});

test('URLs come without a user, a password, a query or a fragment', () => {
  for (const value of ['http://u@h', 'http://:canary@h', 'http://h/?q=1', 'http://h/#f', 'h', '//h', 'file:///x']) {
    for (const name of ['PUBLIC_URL', 'GENESYS_LOGIN_URL', 'GENESYS_API_URL', 'GCS_API_ENDPOINT'])
      assert.deepEqual(named(problemsOf({ ...ENOUGH, [name]: value })), [name], `${name}=${value}`);
  }
  assert.equal(read({ PUBLIC_URL: 'https://archiver.example/base/' }).publicUrl, 'https://archiver.example/base');
});

test('invariant 8: whatever is wrong, no problem shows a value that was set', () => {
  const canaries = Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, `canary-${name}?X-Amz-Signature=1`]));
  for (const command of ['serve', 'receiver', 'worker', 'playback', 'console'] as const) {
    const problems = problemsOf(canaries, command);
    assert.ok(problems.length > 10);
    assert.doesNotMatch(problems.join('\n'), /canary|Signature/);
  }
});

test('every secret of a configuration is known to the log', () => {
  const { secrets } = read({
    GENESYS_CLIENT_ID: 'a,b',
    GENESYS_CLIENT_SECRET: 's1,s2',
    WEBHOOK_TOKENS: 'named:a-webhook-token-of-ours:2099-12-31',
    LINK_KEYS: 'link-key-number-1,link-key-number-2',
    HTTPS_PROXY: 'http://user:pass%20word@proxy.example',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic YTpi==,x-key=one%2Ctwo',
  });
  assert.deepEqual(
    [...secrets].toSorted(),
    [
      's1',
      's2',
      'canary-webhook-secret',
      'a-webhook-token-of-ours',
      'canary-api-key-1',
      'link-key-number-1',
      'link-key-number-2',
      'pass%20word',
      'pass word',
      'Basic YTpi==',
      'YTpi==',
      'one,two',
    ].toSorted(),
  );
});
