/** Holds the simulated Genesys Cloud to the real one: Genesys' own SDK speaks to it, and its models describe its answers. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GenesysInquiry } from '../../src/genesys/inquiry.ts';
import { GenesysInspection } from '../../src/genesys/inspection.ts';
import { GenesysCensus } from '../../src/genesys/open-census.ts';
import { createGenesys } from '../../src/genesys/open-genesys.ts';
import platformClient from 'purecloud-platform-client-v2';
import { type GenesysServer, type GenesysServerOptions, startGenesysServer } from '../support/genesys/server.ts';

const SDK = platformClient.ApiClient.instance;
const MODELS = await readFile(
  fileURLToPath(new URL('../../index.d.ts', import.meta.resolve('purecloud-platform-client-v2'))),
  'utf8',
);
const RECORDING = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const CONVERSATION = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';

async function setUp(t: TestContext, options: GenesysServerOptions = {}): Promise<GenesysServer> {
  const server = await startGenesysServer(options);
  t.after(() => server.close());
  const { hostname: host, port, protocol } = new URL(server.apiUrl);
  SDK.setGateway({ host, port: Number(port), protocol: protocol.slice(0, -1) });
  SDK.setReturnExtendedResponses(true);
  return server;
}

async function logIn(server: GenesysServer) {
  const [client] = server.config().clients;
  assert.ok(client);
  const data = await SDK.loginClientCredentialsGrant(client.id, client.secret);
  return { data, api: new platformClient.RecordingApi() };
}

interface Answer {
  readonly status: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** With extended responses the SDK gives both results and errors as status, headers and body. */
async function answerOf(asked: Promise<unknown>): Promise<Answer> {
  const answer = await asked.catch((thrown: unknown) => thrown);
  const { status, headers, body } = objectOf(answer);
  return { status, headers: objectOf(headers), body };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  assert.ok(typeof value === 'object' && value !== null, `no object: ${String(value)}`);
  return { ...value };
}

function listOf(value: unknown): readonly unknown[] {
  assert.ok(Array.isArray(value));
  return value;
}

/** Every field of the value is one of the SDK's model, of the model's kind, and so on within. */
function assertModel(name: string, value: unknown): void {
  const model = new RegExp(`export interface ${name} \\{([^}]*(?:\\};[^}]*)*)\\n\\t\\}`).exec(MODELS)?.[1];
  assert.ok(model !== undefined, `no model ${name}`);
  const types = new Map([...model.matchAll(/"(\w+)"\??: (.+);/g)].map(([, field, type]) => [field, type ?? '']));
  for (const [field, item] of Object.entries(objectOf(value))) assertType(`${name}.${field}`, types.get(field), item);
}

function assertType(where: string, type: string | undefined, value: unknown): void {
  assert.ok(type !== undefined, `${where} is not in the model`);
  if (value === null) return;
  const list = /^Array<(.+)>$/.exec(type)?.[1];
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
  const model = /^Models\.(\w+)$/.exec(type)?.[1];
  if (list !== undefined) for (const item of listOf(value)) assertType(where, list, item);
  else if (map !== undefined) for (const item of Object.values(objectOf(value))) assertType(where, map, item);
  else if (model !== undefined) assertModel(model, value);
  else assert.equal(typeof value, type, where);
}

const FILES = ['0', '1'].map((channel) => ({
  channel,
  contentType: 'audio/ogg',
  bytes: Buffer.from(`channel ${channel}`),
}));
const CALL = { recordingId: RECORDING, conversationId: CONVERSATION, files: FILES, durationMs: 90_000 };

test('the check itself finds fields and kinds that are not in the models', () => {
  assertModel('Recording', { id: 'r', mediaUris: { '0': { mediaUri: 'https://a/', waveformData: [1] } } });
  assert.throws(() => assertModel('Recording', { durationMilliseconds: 1 }), /not in the model/);
  assert.throws(() => assertModel('Recording', { mediaUris: { '0': { mediaUri: 1 } } }), /mediaUri/);
  assert.throws(() => assertModel('RecordingMetadata', { mediaUris: {} }), /not in the model/);
});

test('the SDK logs in, and reads why it may not', async (t) => {
  const clients = [
    { id: 'good', secret: 's' },
    { id: 'interactive', secret: 's', grant: 'code' as const },
  ];
  const server = await setUp(t, { clients });
  const { data } = await logIn(server);
  assert.ok(data.accessToken.length > 20);
  assert.ok(data.tokenExpiryTime > Date.now() + 86_000_000);
  const refusals = [
    { id: 'good', secret: 'wrong', status: 401, error: 'invalid_client' },
    { id: 'nobody', secret: 's', status: 400, error: 'invalid_client' },
    { id: 'interactive', secret: 's', status: 400, error: 'unauthorized_client' },
  ];
  for (const { id, secret, status, error } of refusals) {
    const thrown: unknown = await SDK.loginClientCredentialsGrant(id, secret).catch((reason: unknown) => reason);
    const response = objectOf(objectOf(thrown)['response']);
    assert.equal(response['status'], status, id);
    assert.equal(objectOf(response['data'])['error'], error, id);
  }
});

test('the SDK reads metadata, one and all', async (t) => {
  const server = await setUp(t);
  server.addRecording(CALL);
  server.addRecording({
    recordingId: 'archived',
    conversationId: CONVERSATION,
    archiveDate: '2026-05-01T00:00:00.000Z',
  });
  const { api } = await logIn(server);
  const all = await answerOf(api.getConversationRecordingmetadata(CONVERSATION));
  assert.equal(all.status, 200);
  assert.equal(listOf(all.body).length, 2);
  for (const entry of listOf(all.body)) assertModel('RecordingMetadata', entry);
  const one = await answerOf(api.getConversationRecordingmetadataRecordingId(CONVERSATION, RECORDING));
  assert.equal(objectOf(one.body)['id'], RECORDING);
  assertModel('RecordingMetadata', one.body);
  for (const header of [
    'inin-correlation-id',
    'inin-ratelimit-count',
    'inin-ratelimit-allowed',
    'inin-ratelimit-reset',
  ])
    assert.ok(typeof one.headers[header] === 'string', header);
});

test('the SDK meets 202 with and without a body, then the recording with a URL per channel', async (t) => {
  const server = await setUp(t);
  server.addRecording({ ...CALL, states: ['transcoding', 'transcoding-stub'] });
  const { api } = await logIn(server);
  const ask = () =>
    answerOf(
      api.getConversationRecording(CONVERSATION, RECORDING, {
        formatId: 'OGG_OPUS',
        chatFormatId: 'NONE',
        emailFormatId: 'NONE',
        messageFormatId: 'NONE',
      }),
    );
  const empty = await ask();
  assert.deepEqual([empty.status, empty.body], [202, '']);
  const stub = await ask();
  assert.equal(stub.status, 202);
  assertModel('Recording', stub.body);
  const ready = await ask();
  assert.equal(ready.status, 200);
  assertModel('Recording', ready.body);
  const uris = objectOf(objectOf(ready.body)['mediaUris']);
  assert.deepEqual(Object.keys(uris), ['0', '1']);
  const url = new URL(String(objectOf(uris['1'])['mediaUri']));
  assert.equal(url.origin, server.mediaOrigin);
  assert.ok(url.searchParams.has('X-Amz-Signature'));
  const media = await fetch(url);
  assert.equal(await media.text(), 'channel 1');
  assert.deepEqual(
    server.requests('recording:*').map(({ path }) => path),
    Array.from(
      { length: 3 },
      () =>
        `/api/v2/conversations/${CONVERSATION}/recordings/${RECORDING}?formatId&emailFormatId&chatFormatId&messageFormatId`,
    ),
  );
});

test('the SDK lists recordings as a bare array, and restores an archived one', async (t) => {
  const server = await setUp(t);
  server.addRecording({ ...CALL, archiveDate: '2026-05-01T00:00:00.000Z' });
  const { api } = await logIn(server);
  const list = await answerOf(api.getConversationRecordings(CONVERSATION, { formatId: 'OGG_OPUS' }));
  const [stub] = listOf(list.body);
  assertModel('Recording', stub);
  assert.deepEqual(
    [objectOf(stub)['fileState'], objectOf(stub)['mediaUris'], 'sessionId' in objectOf(stub)],
    ['AVAILABLE', {}, false],
  );
  await api.putConversationRecording(CONVERSATION, RECORDING, { fileState: 'RESTORED' });
  const states = [];
  for (let i = 0; i < 2; i++)
    states.push(objectOf((await answerOf(api.getConversationRecording(CONVERSATION, RECORDING))).body)['fileState']);
  assert.deepEqual(states, ['RESTORING', 'RESTORED']);
});

test('the SDK asks for a batch and collects it', async (t) => {
  const server = await setUp(t);
  server.addRecording(CALL);
  server.addRecording({
    recordingId: 'archived',
    conversationId: CONVERSATION,
    archiveDate: '2026-05-01T00:00:00.000Z',
  });
  const { api } = await logIn(server);
  const started = await answerOf(
    api.postRecordingBatchrequests({ batchDownloadRequestList: [{ conversationId: CONVERSATION }] }),
  );
  assertModel('BatchDownloadJobSubmissionResult', started.body);
  const id = String(objectOf(started.body)['id']);
  const first = await answerOf(api.getRecordingBatchrequest(id));
  assert.equal(objectOf(first.body)['resultCount'], 0);
  const second = await answerOf(api.getRecordingBatchrequest(id));
  assertModel('BatchDownloadJobStatusResult', second.body);
  const { expectedResultCount, resultCount, errorCount } = objectOf(second.body);
  assert.deepEqual([expectedResultCount, resultCount, errorCount], [3, 3, 1]);
  const tooMany = Array.from({ length: 101 }, () => ({ conversationId: CONVERSATION }));
  const refused = await answerOf(api.postRecordingBatchrequests({ batchDownloadRequestList: tooMany }));
  assert.equal(refused.status, 400);
  assertModel('ErrorBody', refused.body);
  assertModel('RecordingSettings', (await answerOf(api.getRecordingSettings())).body);
});

test('the SDK reads errors as Genesys words them', async (t) => {
  const server = await setUp(t, { rateLimit: { allowed: 3, windowS: 60 } });
  server.addRecording(CALL);
  const { api } = await logIn(server);
  const ask = (recordingId: string) =>
    answerOf(api.getConversationRecordingmetadataRecordingId(CONVERSATION, recordingId));
  const codes: unknown[] = [];
  const meet = (answer: Answer) => {
    assertModel('ErrorBody', answer.body);
    assert.equal(objectOf(answer.body)['contextId'], answer.headers['inin-correlation-id']);
    codes.push([answer.status, objectOf(answer.body)['code']]);
  };
  meet(await ask('unknown'));
  server.fault('metadata:*', 'return-403');
  meet(await ask(RECORDING));
  server.fault('metadata:*', 'return-503');
  meet(await ask(RECORDING));
  const limited = await ask(RECORDING);
  meet(limited);
  assert.equal(limited.headers['retry-after'], limited.headers['inin-ratelimit-reset']);
  server.revokeTokens();
  meet(await ask(RECORDING));
  SDK.clearAccessToken();
  meet(await ask(RECORDING));
  assert.deepEqual(codes, [
    [404, 'not.found'],
    [403, 'missing.any.permissions'],
    [503, 'service.unavailable'],
    [429, 'too.many.requests.retry.after'],
    [401, 'bad.credentials'],
    [401, 'authentication.required'],
  ]);
  server.assertFaultsUsed();
});

test('the SDK reads a day of conversations from analytics: availability, job, state, pages of results, query', async (t) => {
  const server = await setUp(t);
  for (const [index, recorded] of (['voice', 'screen', 'snippet', 'no'] as const).entries())
    server.analyze({
      conversationId: `c${String(index)}`,
      start: `2026-11-26T1${String(index)}:00:00.000Z`,
      end: `2026-11-26T1${String(index)}:05:00.000Z`,
      recorded,
    });
  server.analytics.pageSize = 2;
  await logIn(server);
  const api = new platformClient.AnalyticsApi();
  assertModel(
    'DataAvailabilityResponse',
    (await answerOf(api.getAnalyticsConversationsDetailsJobsAvailability())).body,
  );
  const interval = '2026-11-26T00:00:00.000Z/2026-11-27T00:00:00.000Z';
  const submitted = await answerOf(api.postAnalyticsConversationsDetailsJobs({ interval }));
  assertModel('AsyncQueryResponse', submitted.body);
  assert.equal(submitted.status, 202);
  const jobId = String(objectOf(submitted.body)['jobId']);
  const states: unknown[] = [];
  for (let poll = 0; poll < 2; poll++) {
    const state = await answerOf(api.getAnalyticsConversationsDetailsJob(jobId));
    assertModel('AsyncQueryStatus', state.body);
    states.push(objectOf(state.body)['state']);
  }
  assert.deepEqual(states, ['PENDING', 'FULFILLED']);
  const first = await answerOf(api.getAnalyticsConversationsDetailsJobResults(jobId, { pageSize: 2 }));
  assertModel('AnalyticsConversationAsyncQueryResponse', first.body);
  const cursor = String(objectOf(first.body)['cursor']);
  const second = await answerOf(api.getAnalyticsConversationsDetailsJobResults(jobId, { pageSize: 2, cursor }));
  assert.equal(objectOf(second.body)['cursor'], undefined);
  assert.equal(
    listOf(objectOf(first.body)['conversations']).length + listOf(objectOf(second.body)['conversations']).length,
    4,
  );
  const paging = { pageSize: 2, pageNumber: 1 };
  const queried = await answerOf(api.postAnalyticsConversationsDetailsQuery({ interval, order: 'desc', paging }));
  assertModel('AnalyticsConversationQueryResponse', queried.body);
  assert.equal(objectOf(queried.body)['totalHits'], 4);
});

test('the SDK finds a voicemail in its conversation, and its media', async (t) => {
  const server = await setUp(t);
  const file = { channel: 'S', contentType: 'audio/ogg', bytes: Buffer.from('a voice') };
  server.addVoicemail({ messageId: 'V', conversationId: CONVERSATION, file, offeredTo: 2 });
  await logIn(server);
  const conversation = await answerOf(new platformClient.ConversationsApi().getConversation(CONVERSATION));
  assertModel('Conversation', conversation.body);
  const participants = listOf(objectOf(conversation.body)['participants']);
  const callbacks = participants.flatMap((each) => listOf(objectOf(each)['callbacks'] ?? []));
  const ids = new Set(callbacks.map((each) => objectOf(objectOf(each)['voicemail'])['id']));
  assert.deepEqual([...ids], ['V']);
  const voicemails = new platformClient.VoicemailApi();
  const message = await answerOf(voicemails.getVoicemailMessage('V'));
  assertModel('VoicemailMessage', message.body);
  const media = await answerOf(voicemails.getVoicemailMessageMedia('V', { formatId: 'OGG_OPUS' }));
  assertModel('VoicemailMediaInfo', media.body);
  const url = String(objectOf(media.body)['mediaFileUri']);
  assert.equal(await (await fetch(url)).text(), 'a voice');
});

test('the SDK reads who it is, what it may, limits, settings, triggers and their topics', async (t) => {
  const server = await setUp(t);
  await logIn(server);
  const automation = new platformClient.ProcessAutomationApi();
  const asked: readonly (readonly [string, Promise<unknown>])[] = [
    ['TokenInfo', new platformClient.TokensApi().getTokensMe()],
    ['AuthzSubject', new platformClient.AuthorizationApi().getAuthorizationSubjectsMe()],
    ['LimitsEntityListing', new platformClient.OrganizationApi().getOrganizationsLimitsNamespace('platform.api')],
    ['RecordingSettings', new platformClient.RecordingApi().getRecordingSettings()],
    ['TriggerEntityListing', automation.getProcessautomationTriggers()],
    ['TopicCursorEntityListing', automation.getProcessautomationTriggersTopics()],
  ];
  for (const [model, answer] of asked) {
    const { status, body } = await answerOf(answer);
    assert.equal(status, 200, model);
    assertModel(model, body);
  }
});

test('the SDK asks what became of recordings: audits, orphans, upload reports', async (t) => {
  const server = await setUp(t);
  server.inquiries.pendingPolls = 0;
  server.inquiries.deletions = [
    { recordingId: 'r', conversationId: 'c', eventDate: '2026-11-27T00:00:00.000Z', user: 'u' },
  ];
  server.inquiries.orphans = [{ id: 'o', conversationId: 'c', status: 'NO_CONVERSATION' }];
  server.inquiries.uploads = { Failure: 'c' };
  const { api } = await logIn(server);
  const quality = new platformClient.QualityApi();
  const interval = '2026-11-26T00:00:00.000Z/2026-11-28T00:00:00.000Z';
  const filters = [{ property: 'Action', value: 'Delete' }];
  const query = await answerOf(quality.postQualityConversationsAuditsQuery({ interval, filters }));
  assertModel('QualityAuditQueryExecutionStatusResponse', query.body);
  const id = String(objectOf(query.body)['id']);
  assertModel(
    'QualityAuditQueryExecutionStatusResponse',
    (await answerOf(quality.getQualityConversationsAuditsQueryTransactionId(id))).body,
  );
  assertModel(
    'QualityAuditQueryExecutionResultsResponse',
    (await answerOf(quality.getQualityConversationsAuditsQueryTransactionIdResults(id, { pageSize: 100 }))).body,
  );
  assertModel('OrphanRecordingListing', (await answerOf(api.getOrphanrecordings({ hasConversation: true }))).body);
  const report = await answerOf(
    api.postRecordingUploadsReports({ dateSince: '2026-11-26T00:00:00.000Z', uploadStatus: 'Failure' }),
  );
  assertModel('RecordingUploadReport', report.body);
  const read = await answerOf(api.getRecordingUploadsReport(String(objectOf(report.body)['id'])));
  assertModel('RecordingUploadReport', read.body);
  assert.equal(await (await fetch(String(objectOf(read.body)['signedUrl']))).text(), 'c');
});

interface Endpoint {
  readonly method: string;
  /** With `{}` in place of each parameter. */
  readonly path: string;
  readonly query: readonly string[];
}

/** As the SDK's own source calls them. */
const ENDPOINTS: readonly Endpoint[] = await endpointsOf(
  fileURLToPath(
    new URL('../../src/purecloud-platform-client-v2/api/', import.meta.resolve('purecloud-platform-client-v2')),
  ),
);

async function endpointsOf(folder: string): Promise<readonly Endpoint[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('Api.js'));
  const sources = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  const call = /callApi\(\s*'([^']+)',\s*'([A-Z]+)',\s*\{[^}]*\},\s*\{([^}]*)\}/g;
  return sources.flatMap((source) =>
    [...source.matchAll(call)].map(([, path = '', method = '', query = '']) => ({
      method,
      path: path.replaceAll(/\{[^}]*\}/g, '{}'),
      query: [...query.matchAll(/'([^']+)':/g)].map(([, name = '']) => name),
    })),
  );
}

/** Not Genesys' own: the Media API of gateways (README), and the login. */
const NOT_IN_SDK = /^\/(api\/v2\/media\/recordings\/|oauth\/token$)/;
/** Where pre-signed URLs lead to. */
const MEDIA_HOST = /^\/recordings\//;

function beginningOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll('{}', '[^/]+')}`);
}

test('the SDK reads the details of a conversation, and what was said in it', async (t) => {
  const server = await setUp(t);
  server.addRecording(CALL);
  server.analyze({ conversationId: CONVERSATION, start: '2026-11-26T10:00:00.000Z', end: '2026-11-26T10:05:00.000Z' });
  const said = {
    conversationId: CONVERSATION,
    communicationId: 'leg',
    recordingId: RECORDING,
    text: '{"transcripts":[]}',
  };
  server.addTranscript(said);
  await logIn(server);
  const details = await answerOf(new platformClient.AnalyticsApi().getAnalyticsConversationDetails(CONVERSATION));
  assertModel('AnalyticsConversationWithoutAttributes', details.body);
  const speech = new platformClient.SpeechTextAnalyticsApi();
  const ask = (leg: string): Promise<Answer> =>
    answerOf(speech.getSpeechandtextanalyticsConversationCommunicationTranscripturls(CONVERSATION, leg));
  assert.equal((await ask('another')).status, 404);
  const { body } = await ask('leg');
  assertModel('TranscriptUrls', body);
  const [first] = listOf(objectOf(body)['urls']);
  assert.equal(await (await fetch(String(objectOf(first)['url']))).text(), said.text);
});

test('every path in the source is one of the SDK, or the beginning of one', async () => {
  const folder = fileURLToPath(new URL('../../src/', import.meta.url));
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const sources = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  const code = sources.map((source) => source.replaceAll(/\/\*[^]*?\*\//g, '')).join('\n');
  const paths = [...code.matchAll(/['`](\/api\/v2\/[^'`]*)['`]/g)].map(([, path = '']) =>
    path.replaceAll(/\$\{[^}]*\}/g, '{}').replace(/\?.*$/, ''),
  );
  assert.ok(paths.length >= 6, 'paths are found at all');
  const strange = paths.filter(
    (path) => !NOT_IN_SDK.test(path) && !ENDPOINTS.some((each) => beginningOf(path).test(each.path)),
  );
  assert.deepEqual(strange, []);
});

test('whatever is asked of Genesys exists in the SDK, with its method and its query', async (t) => {
  const server = await setUp(t);
  server.addRecording(CALL);
  server.addRecording({
    recordingId: 'screen',
    conversationId: CONVERSATION,
    media: 'screen',
    files: FILES.slice(0, 1),
  });
  server.addVoicemail({
    messageId: 'V',
    conversationId: CONVERSATION,
    file: { channel: 'S', contentType: 'audio/ogg', bytes: Buffer.from('a') },
  });
  server.analyze({ conversationId: CONVERSATION, start: '2026-11-26T10:00:00.000Z', recorded: 'voice' });
  const genesys = createGenesys(server.config());
  const census = new GenesysCensus(server.config(), { share: 1, pollMs: 1, baseDelayMs: 1 });
  const config = server.config();
  const inspections = config.clients.map((client) => new GenesysInspection(client, config));
  const inquiry = new GenesysInquiry(config, { share: 1, pollMs: 1 });
  t.after(() => Promise.all([genesys, census, inquiry, ...inspections].map((each) => each.close())));
  for (const recording of [
    ...(await genesys.recordingsOf(CONVERSATION, t.signal)).recordings,
    ...(await genesys.voicemailsOf(CONVERSATION, t.signal)).recordings,
  ])
    assert.ok((await genesys.locate(recording, 'worker', t.signal)).files.length > 0);
  assert.ok(await genesys.conversations.conversation(CONVERSATION, t.signal));
  assert.ok((await genesys.conversations.notedRecordings(CONVERSATION, t.signal)).length > 0);
  const leg = { conversationId: CONVERSATION, sessionId: 'leg' };
  server.addTranscript({ ...leg, communicationId: 'leg', recordingId: 'screen', text: '{"transcripts":[]}' });
  assert.equal((await genesys.conversations.transcripts(leg, t.signal)).get('screen'), '{"transcripts":[]}');
  await census.dataUntil(t.signal);
  for (const isClosed of [true, false])
    for await (const { conversationId } of census.conversationsOf('2026-11-26', isClosed, t.signal).conversations)
      await census.recordingsOf(conversationId, t.signal);
  await inquiry.hear('2026-11-26', [{ conversationId: CONVERSATION, recordingId: undefined }], t.signal);
  for (const inspection of inspections) {
    await inspection.organization(t.signal);
    await inspection.grants(t.signal);
    await inspection.mayReadRecordings(t.signal);
    await inspection.playbackUrlMinutes(t.signal);
    await inspection.limits('platform.api', t.signal);
    assert.ok((await inspection.topics(t.signal)).includes((await inspection.triggers(t.signal))[0]?.topicName ?? ''));
  }
  const asked = new Set(server.requests().map(({ method, path }) => `${method} ${path}`));
  assert.ok(asked.size >= 24, [...asked].join('\n'));
  const strange = [...asked].filter((line) => {
    const [method = '', path = '', query = ''] = line.split(/ |\?/);
    if (NOT_IN_SDK.test(path) || MEDIA_HOST.test(path)) return false;
    const names = query.split('&').filter((name) => name !== '');
    return !ENDPOINTS.some(
      (each) =>
        each.method === method &&
        new RegExp(`^${each.path.replaceAll('{}', '[^/]+')}$`).test(path) &&
        names.every((name) => each.query.includes(name)),
    );
  });
  assert.deepEqual(strange, []);
});
