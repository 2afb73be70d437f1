import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import { type AnalyticsNeeds, countClosedDay, countOpenDay, dataAvailableUntil } from '../../src/genesys/analytics.ts';
import type { CountedDay } from '../../src/genesys/census.ts';
import { createAgent, exchange } from '../../src/genesys/exchange.ts';
import { GenesysCensus } from '../../src/genesys/open-census.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { SEED } from '../support/soak.ts';

const DAY = '2026-11-26';
const { signal } = new AbortController();

interface Scene {
  readonly server: GenesysServer;
  readonly needs: AnalyticsNeeds;
  readonly polls: () => number;
}

async function setUp(t: TestContext): Promise<Scene> {
  const server = await startGenesysServer();
  const agent = createAgent();
  t.after(async () => {
    await agent.destroy();
    await server.close();
  });
  const [client] = server.config().clients;
  const basic = Buffer.from(`${client?.id ?? ''}:${client?.secret ?? ''}`).toString('base64');
  const login = { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' };
  const url = new URL(`${server.loginUrl}/oauth/token`);
  const token = await exchange(
    { method: 'POST', url, headers: login, body: 'grant_type=client_credentials' },
    agent,
    signal,
  );
  const authorization = `Bearer ${String(Object(token.body)['access_token'])}`;
  let polls = 0;
  const ask: AnalyticsNeeds['ask'] = async ({ method, path, body }, stop) => {
    const headers = { authorization, 'content-type': 'application/json' };
    const asked = {
      method,
      url: new URL(`${server.apiUrl}${path}`),
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    const answer = await exchange(asked, agent, stop);
    if (answer.status < 300) return answer;
    throw new Failure(answer.status === 400 ? 'bad-request' : 'not-found', `status ${String(answer.status)}`);
  };
  const now = (): Date => new Date('2026-11-28T09:00:00Z');
  return { server, polls: () => polls, needs: { ask, pollMs: 1, now, onPoll: () => void (polls += 1) } };
}

function fill(server: GenesysServer, count: number, day = DAY): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const conversationId = `${day}-${String(index)}`;
    const minute = Math.floor((index * 1_400) / count);
    const time = `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
    server.analyze({ conversationId, start: `${day}T${time}:00.000Z`, end: `${day}T${time}:30.000Z` });
    return conversationId;
  });
}

async function idsOf(counted: CountedDay): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { conversationId } of counted.conversations) ids.push(conversationId);
  return ids;
}

test('a closed day is every conversation that started on it, once, over pages, repeats and midnight', async (t) => {
  const { server, needs, polls } = await setUp(t);
  const ids = fill(server, 25);
  server.analyze({ conversationId: 'before', start: '2026-11-25T23:59:59.999Z', end: '2026-11-26T00:10:00.000Z' });
  server.analyze({ conversationId: 'over', start: '2026-11-26T23:59:59.000Z', end: '2026-11-27T00:10:00.000Z' });
  server.analyze({ conversationId: 'after', start: '2026-11-27T00:00:00.000Z', end: '2026-11-27T00:10:00.000Z' });
  Object.assign(server.analytics, { pageSize: 10, repeats: 7, pendingPolls: 3 });
  const counted = countClosedDay(DAY, needs, signal);
  assert.deepEqual((await idsOf(counted)).toSorted(), [...ids, 'over'].toSorted());
  assert.equal(counted.isWhole(), true);
  assert.equal(polls(), 4);
  assert.equal(server.requests('analytics-job').length, 1);
});

test('a job that fails, expires or is cancelled is submitted again, three times in all, and nothing is said twice', async (t) => {
  const { server, needs } = await setUp(t);
  const ids = fill(server, 25);
  Object.assign(server.analytics, { pageSize: 10, expireAtPage: 3 });
  server.analytics.endings.push('FULFILLED', 'FAILED');
  const counted = countClosedDay(DAY, needs, signal);
  assert.deepEqual(await idsOf(counted), ids);
  assert.equal(server.requests('analytics-job').length, 3);
  assert.equal(counted.isWhole(), true);
  server.analytics.endings.push('EXPIRED', 'CANCELLED', 'FAILED');
  await assert.rejects(idsOf(countClosedDay(DAY, needs, signal)), { code: 'upstream-error' });
});

test('a job that is not known any more while it is asked how far it has come is submitted again', async (t) => {
  const { server, needs } = await setUp(t);
  const ids = fill(server, 25);
  server.fault('analytics-state:*', 'return-404;code:not.found');
  server.fault('analytics-state:*', 'return-410;code:gone');
  const counted = countClosedDay(DAY, needs, signal);
  assert.deepEqual([await idsOf(counted), counted.isWhole()], [ids, true]);
  assert.equal(server.requests('analytics-job').length, 3);
});

test('a tail that the job leaves out without a word is never whole', async (t) => {
  const { server, needs } = await setUp(t);
  fill(server, 25);
  Object.assign(server.analytics, { tailFrom: `${DAY}T20:00:00.000Z` });
  const counted = countClosedDay(DAY, needs, signal);
  assert.ok((await idsOf(counted)).length < 25);
  assert.equal(counted.isWhole(), false);
});

test('results that say of themselves that they do not reach the end of the day are never whole', async (t) => {
  const { server, needs } = await setUp(t);
  fill(server, 3);
  Object.assign(server.analytics, { resultsUntil: `${DAY}T23:00:00.000Z` });
  const counted = countClosedDay(DAY, needs, signal);
  await idsOf(counted);
  assert.equal(counted.isWhole(), false);
});

for (const page of ['{"cursor":"2"}', '{"conversations":null}', '{"conversations":{"0":{}}}'])
  test(`a page of results that has no list of conversations (${page}) is no page, and no day is whole by it (invariant 16)`, async (t) => {
    const { server, needs } = await setUp(t);
    fill(server, 25);
    Object.assign(server.analytics, { pageSize: 10 });
    server.fault('analytics-results:*', `body:text:${page}`);
    await assert.rejects(idsOf(countClosedDay(DAY, needs, signal)), { code: 'upstream-error' });
  });

test('a day without conversations may be told without their name', async (t) => {
  const { server, needs } = await setUp(t);
  server.fault('analytics-results:*', 'body:text:{"dataAvailabilityDate":"2026-11-28T00:00:00.000Z"}');
  const counted = countClosedDay(DAY, needs, signal);
  assert.deepEqual([await idsOf(counted), counted.isWhole()], [[], true]);
});

test('where filters are refused all are asked for, and sessions tell which were recorded', async (t) => {
  const { server, needs } = await setUp(t);
  for (const recorded of ['voice', 'screen', 'snippet', 'no'] as const)
    server.analyze({ conversationId: recorded, start: `${DAY}T10:00:00.000Z`, recorded });
  server.analytics.refusesFilters = true;
  const found: [string, boolean][] = [];
  for await (const { conversationId, isRecorded } of countClosedDay(DAY, needs, signal).conversations)
    found.push([conversationId, isRecorded]);
  assert.deepEqual(
    found.toSorted(([a], [b]) => (a < b ? -1 : 1)),
    [
      ['no', false],
      ['screen', true],
      ['snippet', true],
      ['voice', true],
    ],
  );
});

test('an open day is asked for by query, page by page, without the present minute, and never whole', async (t) => {
  const { server, needs } = await setUp(t);
  const today = '2026-11-28';
  server.analyze({ conversationId: 'now', start: '2026-11-28T08:59:30.000Z' });
  for (let index = 0; index < 230; index++)
    server.analyze({
      conversationId: `c${String(index)}`,
      start: `2026-11-28T0${String(index % 8)}:00:00.000Z`,
      end: '2026-11-28T08:30:00.000Z',
    });
  const counted = countOpenDay(today, needs, signal);
  assert.equal((await idsOf(counted)).length, 230);
  assert.equal(counted.isWhole(), false);
  assert.equal(server.requests('analytics-query').length, 3);
  assert.deepEqual(await idsOf(countOpenDay('2026-11-29', needs, signal)), []);
});

test('one odd entry never spoils a page, whatever it is', async (t) => {
  const { server, needs } = await setUp(t);
  const ids = fill(server, 3);
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (raw) => {
      server.analyze({ conversationId: 'odd', start: `${DAY}T12:00:00.000Z`, raw: raw ?? 'null' });
      assert.deepEqual(
        (await idsOf(countClosedDay(DAY, needs, signal))).filter((id) => ids.includes(id)),
        ids,
      );
    }),
    { numRuns: 30, seed: SEED },
  );
});

test('the watermark is what availability says; anything else is an answer that is not Genesys’', async (t) => {
  const { server, needs } = await setUp(t);
  server.analytics.dataUntil = '2026-11-28T07:00:00.000Z';
  assert.equal((await dataAvailableUntil(needs, signal)).toISOString(), '2026-11-28T07:00:00.000Z');
  server.analytics.dataUntil = 'soon';
  await assert.rejects(dataAvailableUntil(needs, signal), { code: 'upstream-error' });
});

test('a stop ends the waiting for a job at once', async (t) => {
  const { server, needs } = await setUp(t);
  server.analytics.pendingPolls = Infinity;
  const stop = new AbortController();
  const counting = idsOf(countClosedDay(DAY, needs, stop.signal));
  await server.reached('analytics-state:*', 2, signal);
  stop.abort(new Failure('stopped', 'Enough.'));
  await assert.rejects(counting, { message: 'Enough.' });
});

test('a page of a thousand conversations that are told of in full is read, though it is longer than any other answer', async (t) => {
  const server = await startGenesysServer();
  const census = new GenesysCensus(server.config(), { share: 1, pollMs: 1 });
  t.after(async () => {
    await census.close();
    await server.close();
  });
  for (let index = 0; index < 1_000; index += 1)
    server.analyze({
      conversationId: `c${String(index)}`,
      start: `${DAY}T10:00:00.000Z`,
      end: `${DAY}T10:05:00.000Z`,
      whole: true,
    });
  const counted = census.conversationsOf(DAY, true, signal);
  assert.equal((await idsOf(counted)).length, 1_000);
  assert.equal(counted.isWhole(), true);
  assert.equal(server.requests('analytics-results:*').length, 1);
});
