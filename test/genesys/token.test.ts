import assert from 'node:assert/strict';
import { mock, test, type TestContext } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { createAgent } from '../../src/genesys/exchange.ts';
import { HeardClock } from '../../src/genesys/heard-clock.ts';
import { AccessTokens } from '../../src/genesys/token.ts';
import { type GenesysServer, type GenesysServerOptions, startGenesysServer } from '../support/genesys/server.ts';

interface Setting {
  readonly server: GenesysServer;
  readonly source: AccessTokens;
  readonly signal: AbortSignal;
}

async function setUp(
  t: TestContext,
  options: GenesysServerOptions & { readonly secret?: string } = {},
): Promise<Setting> {
  const server = await startGenesysServer(options);
  const agent = createAgent();
  const [client] = server.config().clients;
  assert.ok(client);
  const source = new AccessTokens(
    { ...client, secret: options.secret ?? client.secret },
    {
      loginUrl: server.loginUrl,
      agent,
      patience: { patienceMs: 2_000, tries: 4, waitMs: () => 5 },
      clock: new HeardClock(),
    },
  );
  t.after(async () => {
    source.close();
    await agent.destroy();
    await server.close();
  });
  return { server, source, signal: AbortSignal.any([t.signal, AbortSignal.timeout(300_000)]) };
}

test('fetches one token for all who ask at once, and keeps it (SR-01)', async (t) => {
  const { server, source, signal } = await setUp(t);
  const tokens = await Promise.all(Array.from({ length: 50 }, () => source.get(signal)));
  assert.equal(new Set([...tokens, await source.get(signal)]).size, 1);
  assert.equal(server.requests('token').length, 1);
});

test('renews the token before it expires', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, source, signal } = await setUp(t, { tokenLifetimeS: 3_600 });
  const first = await source.get(signal);
  mock.timers.tick(3_539_000);
  assert.equal(await source.get(signal), first);
  mock.timers.tick(2_000);
  assert.notEqual(await source.get(signal), first);
  assert.equal(server.requests('token').length, 2);
});

test('a clock that is set back keeps neither a token nor a refusal for longer than it was given for', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, source, signal } = await setUp(t, { tokenLifetimeS: 3_600 });
  const first = await source.get(signal);
  mock.timers.setTime(Date.now() - 365 * 24 * 3_600_000);
  const second = await source.get(signal);
  assert.notEqual(second, first);
  assert.equal(await source.get(signal), second, 'one new token is enough');
  source.invalidate(second);
  server.fault('token', 'return-401;code:invalid_client', 1);
  await assert.rejects(source.get(signal), /invalid_client/);
  await assert.rejects(source.get(signal), /invalid_client/);
  mock.timers.setTime(Date.now() - 3_600_000);
  assert.equal(typeof (await source.get(signal)), 'string');
  assert.equal(server.requests('token').length, 4);
});

test('uses the old token while it still works and cannot be renewed', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, source, signal } = await setUp(t, { tokenLifetimeS: 3_600 });
  const first = await source.get(signal);
  mock.timers.tick(3_550_000);
  server.fault('token', 'return-503', 4);
  assert.equal(await source.get(signal), first);
  server.assertFaultsUsed();
  mock.timers.tick(11_000);
  assert.notEqual(await source.get(signal), first);
});

test('drops a refused token once, however many saw it refused (SR-01)', async (t) => {
  const { server, source, signal } = await setUp(t);
  const first = await source.get(signal);
  const next = await Promise.all(
    Array.from({ length: 50 }, async () => {
      source.invalidate(first);
      return source.get(signal);
    }),
  );
  source.invalidate(first);
  assert.deepEqual(new Set([...next, await source.get(signal)]), new Set([next[0]]));
  assert.equal(server.requests('token').length, 2);
});

test('asks about refused credentials once a minute, however many recordings wait (SR-02)', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, source, signal } = await setUp(t, { secret: 'wrong' });
  const refused = { code: 'misconfigured', retry: 'wait', message: /GENESYS_CLIENT_SECRET.*GENESYS_REGION/ };
  await Promise.all(Array.from({ length: 50 }, () => assert.rejects(source.get(signal), refused)));
  mock.timers.tick(20_000);
  await assert.rejects(source.get(signal), { ...refused, afterMs: 40_000 });
  assert.equal(server.requests('token').length, 1);
  mock.timers.tick(40_000);
  await assert.rejects(source.get(signal), refused);
  assert.equal(server.requests('token').length, 2);
});

for (const [fault, code] of [
  ['body:html', 'upstream-error'],
  ['body:zero', 'upstream-error'],
  ['return-302', 'upstream-error'],
  ['encoding:gzip', 'upstream-error'],
  ['return-407', 'upstream-unavailable'],
  ['return-502; body:html', 'upstream-unavailable'],
] as const)
  test(`a login host in whose place something else answers is asked once a second, however many wait: ${fault} (A1)`, async (t) => {
    mock.timers.enable({ apis: ['Date'], now: Date.now() });
    t.after(() => mock.timers.reset());
    const { server, source, signal } = await setUp(t);
    server.fault('token', fault, 100);
    await assert.rejects(source.get(signal), { code });
    const asked = server.requests('token').length;
    for (let waiting = 0; waiting < 100; waiting += 1)
      await assert.rejects(source.get(signal), { code, retry: 'wait', afterMs: undefined });
    assert.equal(server.requests('token').length, asked);
    server.mend('token');
    mock.timers.tick(1_000);
    assert.ok(await source.get(signal));
  });

test('says what to check for each way Genesys refuses a client (SR-02)', async (t) => {
  const unknown = await setUp(t);
  unknown.server.fault('token', 'return-400');
  await assert.rejects(unknown.source.get(unknown.signal), {
    code: 'misconfigured',
    message: /invalid_client.*region/s,
  });
  const other = await setUp(t, { clients: [{ id: 'c', secret: 's', grant: 'code' }] });
  await assert.rejects(other.source.get(other.signal), {
    code: 'misconfigured',
    message: /unauthorized_client.*Client Credentials/s,
  });
});

test('tries again after 408, 5xx and a broken connection, for all who wait together (SR-12)', async (t) => {
  const { server, source, signal } = await setUp(t);
  server.fault('token', 'return-408');
  server.fault('token', 'return-503');
  server.fault('token', 'return-reset-connection');
  await Promise.all(Array.from({ length: 20 }, () => source.get(signal)));
  server.assertFaultsUsed();
  assert.equal(server.requests('token').length, 4);
});

test('invariant 7: a long Retry-After of the login host is remembered, not asked again', async (t) => {
  const { server, source, signal } = await setUp(t);
  server.fault('token', 'retry-after:300');
  await assert.rejects(source.get(signal), { code: 'rate-limited', retry: 'wait', afterMs: 300_000 });
  await assert.rejects(source.get(signal), { code: 'rate-limited', retry: 'wait' });
  assert.equal(server.requests('token').length, 1);
});

test('a Retry-After of a year is believed 15 minutes at a time, by all but the one who met it (A7)', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, source, signal } = await setUp(t);
  server.fault('token', 'retry-after:31536000');
  await assert.rejects(source.get(signal), { code: 'rate-limited', afterMs: 31_536_000_000 });
  mock.timers.tick(15 * 60_000 - 1);
  await assert.rejects(source.get(signal), { code: 'rate-limited', afterMs: 1 });
  mock.timers.tick(1);
  assert.ok(await source.get(signal));
  assert.equal(server.requests('token').length, 2);
});

const LIVES: readonly (readonly [string, number])[] = [
  ['"expires_in":3600', 3_600],
  ['"expires_in":"3600"', 3_600],
  ['"expires_in":" 3600 "', 3_600],
  ['"expires_in":3600.75', 3_600.75],
  ['"expires_in":"3600.5"', 3_600.5],
  ['"expires_in":3.6e3', 3_600],
  ['"expires_in":999999999', 172_800],
  ['"expires_in":"999999999999999999999999"', 172_800],
  ['"expires_in":null', 300],
  ['"expires_in":"soon"', 300],
  ['"expires_in":""', 300],
  ['"expires_in":0', 300],
  ['"expires_in":-1', 300],
  ['"expires_in":{}', 300],
  ['"scope":"x"', 300],
];

test('a life in any spelling is read; one that is absent or none is a short one (C7)', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  for (const [life, seconds] of LIVES) {
    const { server, source, signal } = await setUp(t);
    server.fault('token', `body:text:{"access_token":"first","token_type":"bearer",${life}}`);
    assert.equal(await source.get(signal), 'first', life);
    mock.timers.tick(seconds * 900 - 61_000 < 0 ? seconds * 900 - 1 : seconds * 1_000 - 60_001);
    assert.equal(await source.get(signal), 'first', life);
    mock.timers.tick(61_000);
    assert.notEqual(await source.get(signal), 'first', life);
    assert.equal(server.requests('token').length, 2);
  }
});

test('the kind of token may be missing, or be written as gateways do; another kind is none (C7)', async (t) => {
  const { server, source, signal } = await setUp(t);
  const kinds = [
    '"token_type":"Bearer",',
    '"token_type":"BEARER",',
    '"token_type":"BearerToken",',
    '"token_type":null,',
    '"token_type":"",',
    '',
  ];
  for (const [index, kind] of kinds.entries()) {
    server.fault('token', `body:text:{${kind}"access_token":"t${String(index)}","expires_in":"86399"}`);
    assert.equal(await source.get(signal), `t${String(index)}`, kind);
    source.invalidate(`t${String(index)}`);
  }
  server.fault('token', 'body:text:{"token_type":"mac","access_token":"t","expires_in":60}');
  await assert.rejects(source.get(signal), { code: 'upstream-error' });
});

const IN_THE_WAY: readonly (readonly [string, RegExp])[] = [
  ['body:html', /web page/],
  ['return-404; body:html', /web page \(status 404\)/],
  ['return-403; body:html', /web page \(status 403\)/],
  ['return-400; body:html', /web page/],
  ['return-401; body:html', /web page/],
  ['return-405; body:html', /web page/],
  ['return-511; body:html', /511/],
  ['return-400; body:text:Bad Request', /other than JSON/],
  ['return-400; body:zero', /neither token nor error/],
  ['return-403; body:text:{"message":"blocked"}', /neither token nor error/],
  ['body:text:{"status":"ok"}', /no token/],
  ['redirect:https://login.corp.example/sso?next=canary', /redirects to https:\/\/login\.corp\.example instead/],
  ['redirect:/login; return-307', /redirects to http:\/\/127\.0\.0\.1:\d+ instead/],
  ['return-407', /407.*HTTPS_PROXY/],
  ['return-407; body:html', /407.*HTTPS_PROXY/],
];

for (const [fault, message] of IN_THE_WAY) {
  test(`what stands before the login host passes, and blames no credentials: ${fault} (C6)`, async (t) => {
    mock.timers.enable({ apis: ['Date'], now: Date.now() });
    t.after(() => mock.timers.reset());
    const { server, source, signal } = await setUp(t);
    server.fault('token', fault, 4);
    const thrown: unknown = await source.get(signal).catch((reason: unknown) => reason);
    assert.ok(thrown instanceof Failure);
    assert.deepEqual([thrown.sort, thrown.retry], ['surroundings', 'wait'], thrown.message);
    assert.match(thrown.message, message);
    assert.doesNotMatch(thrown.message, /canary/);
    for (let i = 0; i < 4; i++) {
      mock.timers.tick(1_000);
      if ((await source.get(signal).catch(() => '')) !== '') return;
    }
    assert.fail('it never came through');
  });
}

test('takes nothing but a token for a token', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, source, signal } = await setUp(t);
  const bodies = ['{}', '[]', '"x"', '{"access_token":"a b","token_type":"bearer","expires_in":60}', '<html>', ''];
  for (const body of bodies) {
    server.fault('token', `body:text:${body}`);
    await assert.rejects(source.get(signal), { code: 'upstream-error' }, body);
    mock.timers.tick(1_000);
  }
  server.fault('token', 'body:text:{"access_token":"a\\r\\nx: y","token_type":"bearer","expires_in":60}');
  await assert.rejects(source.get(signal), { code: 'upstream-error' });
  server.assertFaultsUsed();
});

test('one who leaves does not stop the token for the others', async (t) => {
  const { server, source, signal } = await setUp(t);
  server.fault('token', 'stall-for-0.05s-after-0K');
  const leaver = new AbortController();
  const left = source.get(leaver.signal);
  const stayed = source.get(signal);
  await server.reached('token', 1, signal);
  leaver.abort();
  await assert.rejects(left, { name: 'AbortError' });
  assert.ok(await stayed);
  assert.equal(server.requests('token').length, 1);
});

test('invariant 8: neither secret nor Basic value is in a failure', async (t) => {
  const secret = 'canary-secret-value';
  const { server, source, signal } = await setUp(t, { secret });
  const thrown = await source.get(signal).catch((failure: unknown) => failure);
  assert.ok(thrown instanceof Error);
  const basic = Buffer.from(`${server.config().clients[0]?.id ?? ''}:${secret}`).toString('base64');
  const { inspect } = await import('node:util');
  const shown = inspect(thrown, { depth: 10, showHidden: true });
  assert.ok(!shown.includes(secret) && !shown.includes(basic));
});
