/** The gate in front of every media URL and every connection made for one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { LookupAddress } from 'node:dns';
import { test, type TestContext } from 'node:test';
import { Agent, request } from 'undici';
import type { MediaHost } from '../../src/config/genesys.ts';
import { Failure } from '../../src/failure.ts';
import { createHosts, isGlobalUnicast } from '../../src/download/hosts.ts';
import { portOf } from '../support/genesys/media-host.ts';

const AMAZON: readonly MediaHost[] = [{ suffix: '.amazonaws.com' }];
const API = 'https://api.mypurecloud.com';

function hostsOf(mediaHosts: readonly MediaHost[] = AMAZON, apiUrl = API, lookup?: LookupFunction) {
  return createHosts({ apiUrl, mediaHosts }, lookup === undefined ? {} : { lookup });
}

function isRefusal(error: unknown): boolean {
  return error instanceof Failure && error.code === 'host-refused' && error.retry === 'wait';
}

/** A resolver that says, one after another, what it was told. */
function resolving(...answers: readonly (readonly string[])[]): { lookup: LookupFunction; readonly asked: string[] } {
  const asked: string[] = [];
  const lookup: LookupFunction = (hostname, _options, done) => {
    const addresses = answers[asked.length] ?? [];
    asked.push(hostname);
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { lookup, asked };
}

const nowhere: LookupFunction = (_hostname, _options, done) =>
  done(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), '', 0);

async function canary(t: TestContext): Promise<{ readonly port: number; readonly hits: () => number }> {
  let hits = 0;
  const server = createServer((socket) => {
    hits++;
    socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { port: portOf(server), hits: () => hits };
}

const ADDRESSES: readonly (readonly [string, boolean])[] = [
  ['52.216.10.1', true],
  ['8.8.8.8', true],
  ['2600:1fa0:8000::1', true],
  ['2a05:d018::1', true],
  ['0.0.0.0', false],
  ['0.1.2.3', false],
  ['10.0.0.1', false],
  ['10.255.255.255', false],
  ['100.64.0.1', false],
  ['100.127.255.255', false],
  ['100.128.0.1', true],
  ['127.0.0.1', false],
  ['127.255.0.9', false],
  ['169.254.169.254', false],
  ['169.254.170.2', false],
  ['168.63.129.16', false],
  ['168.63.129.17', true],
  ['100.100.100.200', false],
  ['192.0.0.192', false],
  ['192.167.255.255', true],
  ['9.255.255.255', true],
  ['11.0.0.1', true],
  ['172.16.0.1', false],
  ['172.31.255.255', false],
  ['172.32.0.1', true],
  ['192.0.0.170', false],
  ['192.0.2.1', false],
  ['192.88.99.1', false],
  ['192.168.1.1', false],
  ['198.18.0.1', false],
  ['198.19.255.255', false],
  ['198.51.100.7', false],
  ['203.0.113.7', false],
  ['224.0.0.1', false],
  ['240.0.0.1', false],
  ['255.255.255.255', false],
  ['::', false],
  ['::1', false],
  ['::127.0.0.1', false],
  ['::ffff:127.0.0.1', false],
  ['::ffff:10.0.0.1', false],
  ['::ffff:8.8.8.8', false],
  ['64:ff9b::a00:1', false],
  ['64:ff9b:1::1', false],
  ['100::1', false],
  ['2001::1', false],
  ['2001:10::1', false],
  ['2001:db8::1', false],
  ['2002:7f00:1::', false],
  ['2002:a9fe:a9fe::', false],
  ['3fff::1', false],
  ['fc00::1', false],
  ['fd00:ec2::254', false],
  ['fd20:ce::254', false],
  ['::ffff:0:127.0.0.1', false],
  ['::ffff:0:0', false],
  ['0:0:0:0:0:ffff:7f00:1', false],
  ['64:ff9b::169.254.169.254', false],
  ['2001:0:4136:e378:8000:63bf:3fff:fdd2', false],
  ['2001:2::1', false],
  ['2001:20::1', false],
  ['2001:200::1', true],
  ['2002:c0a8:101::1', false],
  ['5f00::1', false],
  ['4000::1', false],
  ['fe80::1', false],
  ['fe80::1%eth0', false],
  ['2600::1%eth0', false],
  ['fec0::1', false],
  ['ff02::1', false],
  ['2130706433', false],
  ['localhost', false],
  ['', false],
];

test('tells a public address from one that leads inside, by whatever way (SR-23)', () => {
  for (const [address, expected] of ADDRESSES) assert.equal(isGlobalUnicast(address), expected, address);
});

const REFUSED: readonly string[] = [
  // wrong scheme, user, port (SR-25)
  'http://bucket.s3.amazonaws.com/a',
  'ftp://bucket.s3.amazonaws.com/a',
  'file:///etc/passwd',
  'data:audio/wav;base64,AAAA',
  'https://user@bucket.s3.amazonaws.com/a',
  'https://user:password@bucket.s3.amazonaws.com/a',
  'https://api.mypurecloud.com@evil.example/',
  'https://bucket.s3.amazonaws.com:22/a',
  'https://bucket.s3.amazonaws.com:80/a',
  'https://bucket.s3.amazonaws.com:8443/a',
  // not quite the host
  'https://amazonaws.com/a',
  'https://evilamazonaws.com/a',
  'https://amazonaws.com.evil.example/a',
  'https://bucket.s3.amazonaws.com.evil.example/a',
  'https://bucket.s3.amazonaws.com./a',
  'https://bucket.s3.amazonaws.com%2eevil.example/a',
  'https://evil.example/?x=.amazonaws.com',
  'https://evil.example/#.amazonaws.com',
  'https://evil.example\\.amazonaws.com/',
  // the API by another scheme or port
  'http://api.mypurecloud.com/a',
  'https://api.mypurecloud.com:444/a',
  // inside (SR-23)
  'http://127.0.0.1:9100/a',
  'https://127.0.0.1/a',
  'https://127.1/a',
  'https://2130706433/a',
  'https://0x7f000001/a',
  'https://0177.0.0.1/a',
  'https://[::1]/a',
  'https://[::ffff:127.0.0.1]/a',
  'https://[::ffff:a9fe:a9fe]/a',
  'https://[64:ff9b::7f00:1]/a',
  'https://[2002:7f00:1::]/a',
  'https://100.64.0.1/a',
  'https://0.0.0.0/a',
  'https://169.254.169.254/latest/meta-data/',
  'http://metadata.google.internal/computeMetadata/v1/',
  'https://localhost/a',
  // inside, written otherwise
  'https://①⑥⑨.②⑤④.①⑥⑨.②⑤④/a',
  'https://１２７.０.０.１/a',
  'https://127。0。0。1/a',
  'https://0x7f.0.0.0x1/a',
  'https://017700000001/a',
  'https://0/a',
  'https://0x0/a',
  'https://127.0.0.1./a',
  'https://0xA9FEA9FE/a',
  'https://[0:0:0:0:0:ffff:7f00:0001]/a',
  'https://[fd00:ec2::254]/a',
  'https://[::]/a',
  'https://168.63.129.16/a',
  'https://metadata.google.internal./a',
  'https://metadata/a',
  'https://instance-data/a',
  'https://localhost.localdomain/a',
  'https://ip6-localhost/a',
  'https://kubernetes.default.svc/a',
  'https://host.docker.internal/a',
  'https://bucket.s3.amazonaws.com.127.0.0.1.nip.io/a',
  // letters that only look the same, and names that only begin so
  'https://bucket.s3.аmazonaws.com/a',
  'https://bucket.s3.amazonaws.cоm/a',
  'https://bucket.s3.xn--amazonaws-xyz.com/a',
  'https://bucket.s3.amazonaws.com\u2024evil.example/a',
  'https://bucket.s3.amazonaws.com:443@evil.example/a',
  'https://evil.example:443\\@bucket.s3.amazonaws.com/a',
  'https://evil.example/\\bucket.s3.amazonaws.com/a',
  'https://bucket.s3.amazonaws.community/a',
  'https://bucket.s3.amazonaws.com.../a',
  'https:evil.example/a',
  'https:////evil.example/a',
  // other schemes
  'ws://bucket.s3.amazonaws.com/a',
  'wss://bucket.s3.amazonaws.com/a',
  'gopher://127.0.0.1:6379/_x',
  'blob:https://bucket.s3.amazonaws.com/a',
  'about:blank',
  'javascript:1',
];

test('invariant 9: refuses every media location that is not on the list (SR-23) (SR-25)', () => {
  const hosts = hostsOf();
  // What is no URL at all never comes so far.
  for (const text of REFUSED.filter((each) => URL.canParse(each)))
    assert.throws(() => hosts.checkMedia(new URL(text)), isRefusal, text);
  assert.ok(REFUSED.filter((each) => !URL.canParse(each)).length < 8);
});

test('invariant 9: a private address is refused even where its host is listed, unless the whole origin is', () => {
  const hosts = hostsOf([{ host: '127.0.0.1' }, { host: '10.0.0.5' }, { origin: 'https://10.0.0.6' }]);
  for (const text of ['https://127.0.0.1/', 'https://2130706433/', 'https://0x7f.1/', 'https://10.0.0.5/']) {
    assert.throws(() => hosts.checkMedia(new URL(text)), isRefusal, text);
  }
  hosts.checkMedia(new URL('https://10.0.0.6/'));
});

test('lets listed hosts, listed origins and the API itself pass', () => {
  const hosts = hostsOf([...AMAZON, { host: 'media.example.com' }, { origin: 'http://127.0.0.1:9100' }]);
  const allowed = [
    'https://bucket.s3.amazonaws.com/a?X-Amz-Signature=s',
    'https://bucket.s3.eu-central-1.amazonaws.com:443/a',
    'https://BUCKET.S3.AmazonAWS.com/a',
    // The same name in the forms that Unicode has of it (UTS 46).
    'https://ｂucket.s3.amazonaws。com/a',
    'https://media.example.com/a',
    'http://127.0.0.1:9100/a',
    'https://api.mypurecloud.com/api/v2/media/recordings/r/download',
  ];
  for (const text of allowed) hosts.checkMedia(new URL(text));
  assert.throws(() => hosts.checkMedia(new URL('http://127.0.0.1:9101/a')), isRefusal);
  assert.throws(() => hosts.checkMedia(new URL('https://sub.media.example.com/a')), isRefusal);
});

test('a refusal names neither user, path nor query', () => {
  const hosts = hostsOf();
  const url = new URL('https://user:canary-password@evil.example/canary-path?X-Amz-Signature=canary-signature');
  assert.throws(
    () => hosts.checkMedia(url),
    (error: unknown) => isRefusal(error) && error instanceof Failure && !error.message.includes('canary'),
  );
});

function ask(lookup: LookupFunction, all: boolean): Promise<readonly LookupAddress[] | string> {
  return new Promise((resolve, reject) => {
    lookup('bucket.s3.amazonaws.com', { all }, (error, address) => (error ? reject(error) : resolve(address)));
  });
}

test('resolves to all checked addresses, or to the first where one is asked for', async () => {
  const { lookup } = resolving(['52.216.10.1', '2600:1fa0::1'], ['52.216.10.1', '2600:1fa0::1']);
  const hosts = hostsOf(AMAZON, API, lookup);
  assert.deepEqual(await ask(hosts.lookup, true), [
    { address: '52.216.10.1', family: 4 },
    { address: '2600:1fa0::1', family: 6 },
  ]);
  assert.equal(await ask(hosts.lookup, false), '52.216.10.1');
});

test('refuses a name as soon as one of its addresses is not public, or none is left (SR-23)', async () => {
  const { lookup } = resolving(['52.216.10.1', '10.0.0.1'], ['52.216.10.1', '::ffff:10.0.0.1'], []);
  const hosts = hostsOf(AMAZON, API, lookup);
  for (let round = 0; round < 3; round++) await assert.rejects(ask(hosts.lookup, round !== 1), isRefusal);
});

test('passes on what the resolver failed with', async () => {
  await assert.rejects(ask(hostsOf(AMAZON, API, nowhere).lookup, true), { code: 'ENOTFOUND' });
});

async function get(url: string, hosts: ReturnType<typeof hostsOf>): Promise<string> {
  const agent = new Agent({ connect: hosts.connect, allowH2: false });
  try {
    const response = await request(url, { dispatcher: agent });
    return await response.body.text();
  } finally {
    await agent.destroy();
  }
}

test('invariant 9: a listed name that resolves to loopback is never connected to (SR-23)', async () => {
  const { lookup, asked } = resolving(['127.0.0.1']);
  // A connection would fail otherwise (nobody listens on 443 here, or nobody with that certificate).
  await assert.rejects(get('https://bucket.s3.amazonaws.com/', hostsOf(AMAZON, API, lookup)), isRefusal);
  assert.deepEqual(asked, ['bucket.s3.amazonaws.com']);
});

test('invariant 9: the connection itself is refused where the check before it was forgotten', async (t) => {
  const inside = await canary(t);
  const hosts = hostsOf([...AMAZON, { origin: `http://localhost:${String(inside.port)}` }]);
  await assert.rejects(get(`http://127.0.0.1:${String(inside.port)}/`, hosts), isRefusal);
  await assert.rejects(get(`http://[::1]:${String(inside.port)}/`, hosts), isRefusal);
  assert.equal(inside.hits(), 0);
});

test('connects to what one lookup said, and asks no second time (SR-24)', async (t) => {
  const listed = await canary(t);
  const { lookup, asked } = resolving(['127.0.0.1'], ['192.0.2.1'], ['192.0.2.1']);
  const origin = `http://media.test:${String(listed.port)}`;
  assert.equal(await get(`${origin}/`, hostsOf([{ origin }], API, lookup)), 'ok');
  assert.deepEqual(asked, ['media.test']);
  assert.equal(listed.hits(), 1);
});

test('invariant 9: a name that turns private between two connections is refused at the second (SR-24)', async () => {
  const { lookup, asked } = resolving(['52.216.10.1'], ['127.0.0.1']);
  const hosts = hostsOf(AMAZON, API, lookup);
  assert.equal(await ask(hosts.lookup, false), '52.216.10.1');
  await assert.rejects(get('https://bucket.s3.amazonaws.com/', hosts), isRefusal);
  assert.equal(asked.length, 2);
});
