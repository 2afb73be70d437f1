import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { once } from 'node:events';
import { mock, test, type TestContext } from 'node:test';
import { Api } from '../../src/genesys/api.ts';
import { createAgent } from '../../src/genesys/exchange.ts';
import type { Patience } from '../../src/waiting.ts';
import { failureOf } from '../support/failure-of.ts';
import { portOf } from '../support/genesys/media-host.ts';
import { createSelfSigned } from '../support/self-signed.ts';
import { type GenesysServer, type GenesysServerOptions, startGenesysServer } from '../support/genesys/server.ts';

interface Setting {
  readonly server: GenesysServer;
  readonly api: Api;
  readonly signal: AbortSignal;
}

interface Options extends GenesysServerOptions {
  readonly patienceMs?: number;
  readonly apiUrl?: string;
  readonly share?: number;
}

async function setUp(t: TestContext, options: Options = {}): Promise<Setting> {
  const server = await startGenesysServer(options);
  server.addRecording({ recordingId: 'R', conversationId: 'C' });
  const agent = createAgent();
  const patience = { patienceMs: options.patienceMs ?? 5_000, tries: 5, waitMs: () => 5 };
  const api = new Api(
    { ...server.config(), apiUrl: options.apiUrl ?? server.apiUrl },
    { agent, patience, share: options.share ?? 1 },
  );
  t.after(async () => {
    api.close();
    await agent.destroy();
    await server.close();
  });
  return { server, api, signal: AbortSignal.any([t.signal, AbortSignal.timeout(200_000)]) };
}

const ASK = { path: '/api/v2/conversations/C/recordingmetadata/R', caller: 'worker' } as const;

test('asks with a token and answers with what Genesys said', async (t) => {
  const { server, api, signal } = await setUp(t);
  const answer = await api.ask(ASK, signal);
  assert.equal(answer.status, 200);
  assert.ok(typeof answer.body === 'object' && answer.body !== null && 'id' in answer.body);
  assert.equal(answer.body.id, 'R');
  assert.deepEqual(
    server.requests().map(({ route }) => route),
    ['token', 'metadata:R'],
  );
});

test('50 parallel 401s cost one new token, and all 50 are answered (SR-01)', async (t) => {
  const { server, api, signal } = await setUp(t);
  await api.ask(ASK, signal);
  server.revokeTokens();
  const answers = await Promise.all(Array.from({ length: 50 }, () => api.ask(ASK, signal)));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(server.requests('token').length, 2);
});

test('a new token that is refused as well is a matter of configuration, asked twice and no more (SR-01)', async (t) => {
  const { server, api, signal } = await setUp(t);
  server.fault('metadata:R', 'return-401', 2);
  const failure = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([failure.code, failure.retry, failure.afterMs], ['misconfigured', 'wait', 60_000]);
  assert.equal(server.requests('metadata:R').length, 2);
});

test('a token that expired is replaced without anyone noticing (SR-01)', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.now() });
  t.after(() => mock.timers.reset());
  const { server, api, signal } = await setUp(t, { tokenLifetimeS: 300 });
  await api.ask(ASK, signal);
  mock.timers.tick(301_000);
  assert.equal((await api.ask(ASK, signal)).status, 200);
  assert.equal(server.requests('metadata:R').length, 2);
});

test('a denied access is named and waits for the operator, whatever Genesys calls it (SR-03)', async (t) => {
  const { server, api, signal } = await setUp(t);
  server.fault('metadata:R', 'return-403; code:missing.any.permissions');
  const missing = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([missing.code, missing.retry, missing.status], ['forbidden', 'wait', 403]);
  assert.match(missing.message, /recording:recording:view.*divisions.*missing\.any\.permissions/s);
  server.fault('metadata:R', 'return-403; code:not.authorized');
  const passing = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([passing.code, passing.retry, passing.status], ['forbidden', 'wait', 403]);
  assert.equal(server.requests('metadata:R').length, 2);
  server.assertFaultsUsed();
});

test('unknown may become known, deleted stays deleted (SR-05) (SR-06)', async (t) => {
  const { server, api, signal } = await setUp(t);
  const unknown = await failureOf(
    api.ask({ path: '/api/v2/conversations/C/recordingmetadata/X', caller: 'worker' }, signal),
  );
  assert.deepEqual([unknown.code, unknown.retry, unknown.status], ['not-found', 'wait', 404]);
  server.fault('metadata:R', 'return-410');
  const gone = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([gone.code, gone.retry], ['gone', 'never']);
  server.fault('metadata:R', 'return-400');
  assert.equal((await failureOf(api.ask(ASK, signal))).code, 'bad-request');
});

test('every failure carries the correlation id Genesys support asks for', async (t) => {
  const { api, signal } = await setUp(t);
  const failure = await failureOf(
    api.ask({ path: '/api/v2/conversations/C/recordingmetadata/X', caller: 'worker' }, signal),
  );
  assert.match(String(failure.facts['correlationId']), /^[0-9a-f-]{36}$/);
  assert.equal(failure.facts['code'], 'not.found');
});

test('asks again after 408, 500, 502, 503, 504 and a broken connection, a bounded number of times (SR-11) (SR-13)', async (t) => {
  const { server, api, signal } = await setUp(t);
  for (const fault of ['return-408', 'return-502', 'return-503', 'return-504']) server.fault('metadata:R', fault);
  assert.equal((await api.ask(ASK, signal)).status, 200);
  for (const fault of ['return-500', 'return-reset-connection', 'return-broken-stream-after-0K'])
    server.fault('metadata:R', fault);
  assert.equal((await api.ask(ASK, signal)).status, 200);
  server.assertFaultsUsed();
  const before = server.requests('metadata:R').length;
  server.fault('metadata:R', 'return-503', 5);
  const failure = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([failure.code, failure.retry, failure.afterMs], ['upstream-unavailable', 'wait', undefined]);
  assert.equal(server.requests('metadata:R').length - before, 5);
});

test('a host that refuses connections is unavailable, and is not named with a secret (SR-13)', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const address = closed.address();
  assert.ok(typeof address === 'object' && address !== null);
  closed.close();
  const { api, signal } = await setUp(t, { apiUrl: `http://127.0.0.1:${String(address.port)}` });
  const failure = await failureOf(api.ask({ path: '/api/v2/x?formatId=WEBM', caller: 'worker' }, signal));
  assert.equal(failure.code, 'upstream-unavailable');
  assert.match(failure.message, /^127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\); check the network/);
});

test('a certificate nobody vouches for is a matter of configuration, and nothing is sent (SR-13)', async (t) => {
  let requests = 0;
  const impostor = createSecureServer(createSelfSigned(), () => (requests += 1)).listen(0, '127.0.0.1');
  await once(impostor, 'listening');
  t.after(() => impostor.close());
  const address = impostor.address();
  assert.ok(typeof address === 'object' && address !== null);
  const { api, signal } = await setUp(t, { apiUrl: `https://localhost:${String(address.port)}` });
  const failure = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([failure.code, failure.retry, requests], ['misconfigured', 'wait', 0]);
  assert.match(failure.message, /certificate of localhost:\d+ cannot be trusted/);
});

test('invariant 7: a short Retry-After is waited out in full, by seconds and by date (SR-07) (SR-08)', async (t) => {
  const { server, api, signal } = await setUp(t);
  server.fault('metadata:R', 'retry-after:1');
  await api.ask(ASK, signal);
  const date = new Date(Date.now() + 2_000).toUTCString();
  server.fault('metadata:R', `return-503; retry-after:${date}`);
  await api.ask(ASK, signal);
  const [first = 0, second = 0, third = 0, fourth = 0] = server.requests('metadata:R').map(({ at }) => at);
  assert.ok(second - first >= 1_000, `${String(second - first)} ms`);
  assert.ok(Date.now() >= Date.parse(date));
  assert.ok(fourth - third >= 1_000, `${String(fourth - third)} ms`);
});

test('invariant 7: a long Retry-After goes back whole, at once; all other work of this token believes it 15 min at a time (SR-07) (SR-09) (A7)', async (t) => {
  const { server, api, signal } = await setUp(t);
  server.fault('metadata:R', 'retry-after:999999999');
  const failure = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([failure.code, failure.retry, failure.afterMs], ['rate-limited', 'wait', 999_999_999_000]);
  const held = await failureOf(api.ask(ASK, signal));
  assert.equal(held.code, 'rate-limited');
  assert.ok((held.afterMs ?? 0) > 890_000 && (held.afterMs ?? 0) <= 900_000, String(held.afterMs));
  assert.equal(server.requests('metadata:R').length, 1);
});

test('invariant 7: a pause that grows while somebody waits for it is waited out as it grew (F2)', async (t) => {
  const { server, api, signal } = await setUp(t, { patienceMs: 20_000 });
  for (const recordingId of ['X', 'Y', 'Z']) server.addRecording({ recordingId, conversationId: 'C' });
  const ask = (id: string, patience?: Patience) =>
    api.ask(
      { path: `/api/v2/conversations/C/recordingmetadata/${id}`, caller: 'worker', ...(patience && { patience }) },
      signal,
    );
  await ask('R');
  server.fault('metadata:Y', 'retry-after:3; stall-for-0.6s-after-0K');
  server.fault('metadata:X', 'retry-after:1');
  const y = ask('Y');
  await server.reached('metadata:Y', 1, signal);
  await failureOf(ask('X', { patienceMs: 0, tries: 1, waitMs: () => 0 }));
  await Promise.all([y, ask('Z')]);
  const at = (route: string, index: number): number => server.requests(route)[index]?.at ?? 0;
  for (const [route, index] of [['metadata:Z', 0] as const, ['metadata:Y', 1] as const])
    assert.ok(at(route, index) >= at('metadata:Y', 0) + 3_599, `${route} ${String(at(route, index))}`);
  server.assertFaultsUsed();
});

test('listeners may use two thirds of a window, whatever they ask for; archiving goes on (A5)', async (t) => {
  const { server, api, signal } = await setUp(t, { rateLimit: { allowed: 30, windowS: 60 }, patienceMs: 1_000 });
  const listen = (id: number) =>
    api.ask({ path: `/api/v2/conversations/C/recordingmetadata/unknown-${String(id)}`, caller: 'listener' }, signal);
  await api.ask(ASK, signal);
  const outcomes = await Promise.all(Array.from({ length: 330 }, (_, id) => failureOf(listen(id))));
  const counts = Map.groupBy(outcomes, ({ code }) => code);
  assert.deepEqual([counts.get('not-found')?.length, counts.get('busy')?.length], [19, 311]);
  assert.ok(counts.get('busy')?.every(({ status, afterMs = 0 }) => status === 429 && afterMs > 50_000));
  for (let i = 0; i < 5; i++) assert.equal((await api.ask(ASK, signal)).status, 200);
  assert.equal(server.requests('metadata:R').length, 6);
});

test('before Genesys has said how much is allowed, listeners have two thirds of what is usual (A5)', async (t) => {
  const { server, api, signal } = await setUp(t, { patienceMs: 1_000 });
  const path = '/api/v2/conversations/C/recordingmetadata/unknown';
  const asked = Array.from({ length: 330 }, () => failureOf(api.ask({ path, caller: 'listener' }, signal)));
  const codes = (await Promise.all(asked)).map(({ code }) => code);
  assert.equal(codes.filter((code) => code === 'busy').length, 130);
  assert.equal(server.requests('metadata:unknown').length, 200);
  assert.equal((await api.ask(ASK, signal)).status, 200);
});

test('a process that has a share of the window leaves the rest to others', async (t) => {
  const { server, api, signal } = await setUp(t, {
    rateLimit: { allowed: 20, windowS: 60 },
    patienceMs: 1_000,
    share: 0.5,
  });
  for (let i = 0; i < 10; i++) await api.ask(ASK, signal);
  const failure = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([failure.code, failure.retry], ['rate-limited', 'wait']);
  assert.equal(server.requests('metadata:R').length, 10);
});

test('a Retry-After that says nothing is no hot loop (SR-09) (SR-10)', async (t) => {
  const { server, api, signal } = await setUp(t);
  for (const value of ['abc', '-1', '1e9', '']) server.fault('metadata:R', `retry-after:${value}`);
  assert.equal((await api.ask(ASK, signal)).status, 200);
  assert.equal(server.requests('metadata:R').length, 5);
  server.assertFaultsUsed();
});

test('of two Retry-After headers the longer one is asked for (SR-09)', async (t) => {
  const { server, api, signal } = await setUp(t);
  server.fault('metadata:R', 'retry-after:2; retry-after:120');
  assert.equal((await failureOf(api.ask(ASK, signal))).afterMs, 120_000);
});

test('slows down before the rate limit is hit, and hands work back when it is used up (SR-31)', async (t) => {
  const { server, api, signal } = await setUp(t, { rateLimit: { allowed: 20, windowS: 2 }, patienceMs: 10_000 });
  await api.ask(ASK, signal);
  for (let i = 0; i < 3; i++) await Promise.all(Array.from({ length: 10 }, () => api.ask(ASK, signal)));
  assert.equal(server.requests('metadata:R').length, 31, 'no request was refused and repeated');
});

test('an allowance used up longer than the patience is handed back with the time of its reset (SR-31)', async (t) => {
  const { server, api, signal } = await setUp(t, { rateLimit: { allowed: 2, windowS: 60 }, patienceMs: 1_000 });
  await api.ask(ASK, signal);
  await api.ask(ASK, signal);
  const failure = await failureOf(api.ask(ASK, signal));
  assert.deepEqual([failure.code, failure.retry], ['rate-limited', 'wait']);
  assert.ok((failure.afterMs ?? 0) > 50_000 && (failure.afterMs ?? 0) <= 60_000, String(failure.afterMs));
  assert.equal(server.requests('metadata:R').length, 2);
});

test('several clients take turns, and one that is used up or refused stands aside', async (t) => {
  const clients = [
    { id: 'a', secret: 'sa' },
    { id: 'b', secret: 'sb' },
  ];
  const { server, api, signal } = await setUp(t, { clients, rateLimit: { allowed: 10, windowS: 60 } });
  for (let i = 0; i < 10; i++) await api.ask(ASK, signal);
  assert.equal(server.requests('token').length, 2);
  await Promise.all(Array.from({ length: 6 }, () => api.ask(ASK, signal)));
  server.fault('metadata:R', 'retry-after:300');
  assert.equal((await failureOf(api.ask(ASK, signal))).code, 'rate-limited');
  assert.equal((await api.ask(ASK, signal)).status, 200, 'the other client still may');
  await api.check(signal);
});

test('a client that is refused is named once, and those that work go on without it (SR-02)', async (t) => {
  const clients = [
    { id: 'a', secret: 'sa' },
    { id: 'c', secret: 'sc' },
  ];
  const server = await startGenesysServer({ clients });
  const agent = createAgent();
  const config = { ...server.config(), clients: [{ id: 'b', secret: 'wrong' }, ...clients, { id: 'd', secret: 'x' }] };
  const patience = { patienceMs: 100, tries: 1, waitMs: () => 1 };
  const refused: (readonly [string, string])[] = [];
  const open = (some: typeof config.clients): Api =>
    new Api(
      { ...config, clients: some },
      { agent, patience, onRefused: (clientId, { code }) => refused.push([clientId, code]) },
    );
  const [api, checked, none] = [open(config.clients), open(config.clients), open([{ id: 'b', secret: 'wrong' }])];
  t.after(async () => {
    for (const each of [api, checked, none]) each.close();
    await agent.destroy();
    await server.close();
  });
  server.addRecording({ recordingId: 'R', conversationId: 'C', files: [] });
  for (let i = 0; i < 8; i++) assert.equal((await api.ask(ASK, t.signal)).status, 200);
  for (let i = 0; i < 4; i++) assert.match((await api.authorization(t.signal)).header, /^Bearer /);
  const both = [
    ['b', 'misconfigured'],
    ['d', 'misconfigured'],
  ];
  assert.deepEqual(
    refused.splice(0).toSorted(([a], [b]) => a.localeCompare(b)),
    both,
  );
  await checked.check(t.signal);
  await checked.check(t.signal);
  assert.deepEqual(
    refused.splice(0).toSorted(([a], [b]) => a.localeCompare(b)),
    both,
  );
  for (const asked of [() => none.ask(ASK, t.signal), () => none.check(t.signal)]) {
    const failure = await failureOf(asked());
    assert.deepEqual([failure.code, failure.facts['clientId']], ['misconfigured', 'b']);
  }
  assert.deepEqual(refused, []);
});

test('an answer that is no JSON, too large or encoded is refused (SR-20) (SR-21) (SR-30)', async (t) => {
  const { server, api, signal } = await setUp(t);
  const faults = ['body:html', 'encoding:gzip', `body:text:"${'x'.repeat(4 * 1024 * 1024)}"`, 'body:text:{"id":'];
  for (const fault of faults) {
    server.fault('metadata:R', fault);
    assert.equal((await failureOf(api.ask(ASK, signal))).code, 'upstream-error', fault.slice(0, 20));
  }
  server.fault('metadata:R', `body:text:${'['.repeat(30_000)}${']'.repeat(30_000)}`);
  assert.equal((await api.ask(ASK, signal)).status, 200);
  server.fault('metadata:R', 'redirect:http://127.0.0.1:9/evil');
  assert.equal((await failureOf(api.ask(ASK, signal))).code, 'upstream-error');
  server.assertFaultsUsed();
});

test('stops in the middle of a request and of a wait when told to', async (t) => {
  const { server, api } = await setUp(t);
  for (const fault of ['stall-after-0K', 'retry-after:3']) {
    const stop = new AbortController();
    server.fault('metadata:R', fault);
    const asked = api.ask(ASK, stop.signal);
    await server.reached('metadata:R', server.requests('metadata:R').length + 1, t.signal);
    setImmediate(() => stop.abort());
    await assert.rejects(asked, { name: 'AbortError' });
  }
});

const IN_THE_WAY: readonly (readonly [string, RegExp])[] = [
  ['body:html', /^127\.0\.0\.1:\d+ answered with a web page: a proxy or login page/],
  ['return-400; body:html', /web page \(status 400\)/],
  ['return-403; body:html', /web page \(status 403\)/],
  ['return-404; body:html', /web page \(status 404\)/],
  ['return-405; body:html', /web page \(status 405\)/],
  ['return-410; body:html', /web page \(status 410\)/],
  ['return-410; body:zero', /before Genesys refused.*status 410/],
  ['return-410; body:text:{"error":"Gone"}', /before Genesys refused.*status 410/],
  ['return-404; body:text:404 page not found', /something other than JSON \(status 404\)/],
  ['return-401; body:html', /web page \(status 401\)/],
  ['return-405; body:zero', /status 405/],
  ['return-400; body:zero', /before Genesys refused.*status 400/],
  ['return-400; body:text:{"error":"Bad Request"}', /before Genesys refused.*status 400/],
  ['return-406; body:text:{"fault":{"detail":"policy"}}', /status 406/],
  ['return-413; body:text:{"message":"canary"}', /status 413/],
  ['return-421; body:zero', /status 421/],
  ['return-451; body:text:{"blocked":true}', /status 451/],
  ['return-200; body:text:{"id":"R","media":', /something other than JSON/],
  ['return-200; body:text:jQuery({"id":"R"})', /something other than JSON/],
  ['return-503; body:text:<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>', /status 503/],
  ['return-302', /redirects to nowhere/],
  ['return-501; body:html', /status 501/],
  ['return-502; body:html', /status 502/],
  ['return-511; body:html', /status 511/],
  ['body:text:OK', /something other than JSON/],
  ['body:text:\uFEFF<!doctype html>', /web page/],
  ['redirect:https://portal.example/login?canary=1', /redirects to https:\/\/portal\.example instead of answering/],
  ['redirect:/sso?canary=1; return-301', /redirects to http:\/\/127/],
  ['redirect:http://portal.example/; return-308', /redirects to http:\/\/portal\.example/],
  ['return-304', /status 304/],
  ['return-300; body:html', /web page \(status 300\)/],
  ['return-305; body:zero', /status 305/],
  ['redirect:javascript:canary', /redirects to javascript:\/\/ instead/],
  ['return-407', /asks for a user name and password \(407\).*HTTPS_PROXY/],
  ['return-407; body:html', /407.*HTTPS_PROXY/],
];

for (const [fault, message] of IN_THE_WAY) {
  test(`what stands before Genesys passes, uses up no attempt and ends no recording: ${fault} (C6)`, async (t) => {
    const { server, api, signal } = await setUp(t, { patienceMs: 300 });
    await api.check(signal);
    server.fault('metadata:R', fault, 5);
    const failure = await failureOf(api.ask(ASK, signal));
    assert.deepEqual([failure.sort, failure.retry], ['surroundings', 'wait'], failure.message);
    assert.match(failure.message, message);
    assert.doesNotMatch(failure.message, /canary/);
    assert.equal(server.requests('unknown').length, 0, 'no redirect was followed');
    assert.equal(server.requests('token').length, 1, 'no token was given up for it');
    for (let i = 0; i < 5; i++) if ((await api.ask(ASK, signal).catch(() => undefined))?.status === 200) return;
    assert.fail('it never came through');
  });
}

for (const coding of ['aws-chunked', 'identity', 'utf-8']) {
  test(`JSON is read whatever ${coding} is meant to say of it (C11)`, async (t) => {
    const server = createServer((request, response) => {
      const body = request.url === '/oauth/token' ? { access_token: 't' } : { id: 'R' };
      response.writeHead(200, { 'content-encoding': coding }).end(JSON.stringify(body));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const origin = `http://127.0.0.1:${String(portOf(server))}`;
    const agent = createAgent();
    const patience = { patienceMs: 100, tries: 1, waitMs: () => 1 };
    const clients = [{ id: 'c', secret: 's' }];
    const api = new Api({ apiUrl: origin, loginUrl: origin, clients }, { agent, patience });
    t.after(() => agent.destroy().then(() => server.close()));
    assert.deepEqual((await api.ask(ASK, t.signal)).body, { id: 'R' });
  });
}
