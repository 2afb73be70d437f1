/** Spans on their way to a collector: which are sent, what they say, and that a collector in trouble troubles nobody else. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { parseManifest } from '../../src/archive/records.ts';
import { Reader } from '../../src/config/reader.ts';
import { readTracing } from '../../src/config/tracing.ts';
import type { Failure } from '../../src/failure.ts';
import { startTraceExport } from '../../src/telemetry/trace-export.ts';
import { traced } from '../../src/telemetry/trace.ts';
import { keyInEnvironment } from '../support/archive/bucket.ts';
import { FIXTURES, simulated } from '../support/media/fixtures.ts';
import { startGcsServer } from '../support/gcs/server.ts';
import { startGenesysServer, type GenesysServer } from '../support/genesys/server.ts';
import { send, standardWebhook } from '../support/service/senders.ts';
import { startService, type Service } from '../support/service/service.ts';

const HANG_GUARD = { timeout: 400_000 };
const CLI = join(import.meta.dirname, '../../src/cli.ts');
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';
const SENT = `00-${TRACE}-${CALLER}-01`;
const NOT_SAMPLED = `00-${TRACE}-${CALLER}-00`;
const SECRET = `whsec_${Buffer.from('canary-webhook-secret').toString('base64')}`;
const IDS = { recordingId: 'r-1', conversationId: 'c-1' } as const;

// ── the collector ───────────────────────────────────────────────────────────────────────────────────────────────

type Attributes = Readonly<Record<string, unknown>>;

interface CollectedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly attributes: Attributes;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly resource: Attributes;
}

interface Seen {
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const TAKE: Answer = (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
const HANG: Answer = () => undefined;

/** An OTLP/HTTP receiver: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request, in JSON. */
class Collector {
  readonly seen: Seen[] = [];
  readonly #heard = new EventEmitter();
  readonly #server = createServer((request, response) => void this.#take(request, response));
  readonly #answer: Answer;
  url = '';

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    assert.ok(typeof address === 'object' && address !== null);
    this.url = `http://127.0.0.1:${String(address.port)}`;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    this.seen.push({ path: request.url, headers: request.headers, body });
    this.#answer(response, request);
    this.#heard.emit('request');
  }

  async requests(count: number): Promise<void> {
    while (this.seen.length < count) await once(this.#heard, 'request', { signal: patience() });
  }

  get spans(): readonly CollectedSpan[] {
    return this.seen.flatMap(({ body }) => spansIn(body));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

async function startCollector(answer: Answer = TAKE): Promise<Collector> {
  const collector = new Collector(answer);
  await collector.listen();
  return collector;
}

interface Pair {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

type OtlpSpan = Omit<CollectedSpan, 'attributes' | 'resource'> & { readonly attributes: readonly Pair[] };

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Pair[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

function spansIn(body: string): readonly CollectedSpan[] {
  const { resourceSpans } = JSON.parse(body) as OtlpRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map((span) => ({
        ...span,
        attributes: attributesOf(span.attributes),
        resource: attributesOf(resource.attributes),
      })),
  );
}

function attributesOf(pairs: readonly Pair[]): Attributes {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}

// ── what else there is ──────────────────────────────────────────────────────────────────────────────────────────

/** The bound of every wait: decides nothing but whether a test hangs. */
function patience(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

interface Started extends AsyncDisposable {
  readonly troubles: readonly Failure[];
}

/** The export in this process. */
async function start(env: Readonly<Record<string, string>>): Promise<Started> {
  const troubles: Failure[] = [];
  const settings = readTracing(new Reader(env)) ?? assert.fail('there is no collector');
  const onTrouble = (trouble: Failure): void => void troubles.push(trouble);
  const exporting = await startTraceExport(settings, { command: 'worker', version: '1.2.3', onTrouble });
  return { troubles, [Symbol.asyncDispose]: () => exporting[Symbol.asyncDispose]() };
}

/** The traceparent that a step hands on. */
function step(parent?: string): Promise<string | undefined> {
  return traced({ name: 'accept', parent }, ({ traceparent }) => Promise.resolve(traceparent));
}

async function steps(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) await step();
}

/** A batch is sent at once when it has as many. */
const BATCH = 512;
const QUEUE = 2_048;

/** A folder with a queue and an archive in it. */
async function openSite(): Promise<AsyncDisposable & { readonly env: Readonly<Record<string, string>> }> {
  const folder = await mkdtemp(join(tmpdir(), 'trace-export-'));
  return {
    env: {
      QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
      ARCHIVE_URL: `file:${join(folder, 'archive')}`,
      WEBHOOK_SECRETS: SECRET,
      API_KEYS: 'canary-api-key-1',
      TRANSCODE_SLOTS: '1',
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

async function accept(service: Service, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  const sign = standardWebhook(SECRET);
  const { status, body } = await send(service.url, IDS, (event) => ({ ...sign(event), ...headers }));
  assert.equal(status, 202, body);
}

async function simulatedGenesys(): Promise<GenesysServer> {
  const genesys = await startGenesysServer({ clients: [{ id: 'c', secret: 'canary-client-secret' }] });
  genesys.addRecording(simulated(IDS.recordingId, IDS.conversationId, FIXTURES.wav));
  return genesys;
}

/** By itself, with nothing left to do, within the 8 s that Cloud Run leaves; resolves with its warnings. */
async function stopsWell(service: Service): Promise<readonly string[]> {
  const { code, ms } = await service.stop();
  assert.equal(code, 0, service.output());
  assert.ok(ms < 8_000, `${String(ms)} ms`);
  const loud = service.entries().filter(({ severity }) => severity === 'WARNING' || severity === 'ERROR');
  return loud.map(({ message }) => String(message));
}

// ── the environment ─────────────────────────────────────────────────────────────────────────────────────────────

test('a service with a wrong endpoint does not start, and says so beside all else that is wrong (PR-08)', async () => {
  const env = { PATH: process.env['PATH'], OTEL_EXPORTER_OTLP_ENDPOINT: 'canary', PORT: 'canary' };
  const ended = await new Promise<{ readonly code: unknown; readonly stdout: string; readonly stderr: string }>(
    (done) =>
      execFile(process.execPath, [CLI, 'receiver'], { env, timeout: 300_000 }, (error, stdout, stderr) =>
        done({ code: error?.code, stdout, stderr }),
      ),
  );
  assert.deepEqual([ended.code, ended.stdout], [1, '']);
  assert.match(ended.stderr, /^ {2}- PORT: .*^ {2}- OTEL_EXPORTER_OTLP_ENDPOINT: expected an http or https URL/ms);
  assert.doesNotMatch(ended.stderr, /canary|\n\s+at /);
});

// ── which spans ─────────────────────────────────────────────────────────────────────────────────────────────────

test('a caller who samples decides; without one, or by another sampler, the sampler does', async () => {
  const cases = [
    [{}, { parent: SENT, sampled: true }],
    [{}, { parent: NOT_SAMPLED, sampled: false }],
    [{}, { parent: undefined, sampled: true }],
    [{ OTEL_TRACES_SAMPLER: 'always_on' }, { parent: NOT_SAMPLED, sampled: true }],
    [{ OTEL_TRACES_SAMPLER: 'always_off' }, { parent: SENT, sampled: false }],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' }, { parent: SENT, sampled: true }],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' }, { parent: undefined, sampled: false }],
    [
      { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' },
      { parent: SENT, sampled: false },
    ],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' }, { parent: undefined, sampled: true }],
  ] as const;
  await using collector = await startCollector();
  for (const [sampler, { parent, sampled }] of cases) {
    const before = collector.spans.length;
    const exporting = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...sampler });
    const [, traceId, , flags] = (await step(parent))?.split('-') ?? [];
    await exporting[Symbol.asyncDispose]();
    const what = JSON.stringify([sampler, parent]);
    assert.equal(flags, sampled ? '01' : '00', what);
    if (parent !== undefined) assert.equal(traceId, TRACE, what);
    assert.equal(collector.spans.length - before, sampled ? 1 : 0, what);
    assert.deepEqual(exporting.troubles, [], what);
  }
});

test('what is no longer exported is no longer recorded', async () => {
  await using collector = await startCollector();
  const exporting = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await exporting[Symbol.asyncDispose]();
  assert.equal(await step(), undefined);
});

test('a queue that is full takes no more: memory stays bounded behind a collector that hangs (invariant 6)', async () => {
  await using collector = await startCollector(HANG);
  const exporting = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await steps(2 * (BATCH + QUEUE));
  await exporting[Symbol.asyncDispose]();
  assert.equal(collector.spans.length, BATCH + QUEUE);
  assert.match(
    exporting.troubles.map(({ message }) => message).join('\n'),
    /^Spans were lost .*\(no answer .*\)[^\n]*$/,
  );
});

test('a collector that refuses is told of once, by its status, and nothing else happens', async () => {
  const refuse: Answer = (response) => void response.writeHead(400).end('canary-body');
  await using collector = await startCollector(refuse);
  const exporting = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  for (let round = 1; round <= 3; round += 1) {
    await steps(BATCH);
    await collector.requests(round);
  }
  await exporting[Symbol.asyncDispose]();
  assert.equal(exporting.troubles.length, 1);
  const [{ code, message } = assert.fail()] = exporting.troubles;
  assert.equal(code, 'upstream-unavailable');
  assert.match(message, /\(HTTP 400\); recordings are not affected\. Check the collector, OTEL_EXPORTER_OTLP_ENDPOINT/);
});

test('a collector that answers nonsense changes nothing', async () => {
  const answers: readonly (readonly [Answer, RegExp])[] = [
    [(response) => void response.end('<html>'), /^$/],
    [(response) => void response.socket?.end('canary nonsense\r\n\r\n'), /\(HPE_\w+\)/],
    [(response) => void response.end(Buffer.alloc(5 * 1024 ** 2)), /exceeded size limit/],
  ];
  for (const [answer, told] of answers) {
    await using collector = await startCollector(answer);
    const exporting = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    await step();
    await exporting[Symbol.asyncDispose]();
    assert.match(exporting.troubles.map(({ message }) => message).join('\n'), told);
    assert.equal(collector.spans.length, 1);
  }
});

// ── the real service ────────────────────────────────────────────────────────────────────────────────────────────

test(
  'one signed event is one trace: from its traceparent over accept, deliver and archive to the object',
  HANG_GUARD,
  async () => {
    await using opened = new AsyncDisposableStack();
    const site = opened.use(await openSite());
    const genesys = opened.adopt(await simulatedGenesys(), (server) => server.close());
    const key = opened.adopt(await keyInEnvironment(), (made) => made.remove());
    const bucket = opened.adopt(await startGcsServer({ signer: key.signer }), (server) => server.close());
    const collector = opened.use(await startCollector());
    const service = opened.use(
      await startService('serve', {
        ...site.env,
        ...genesys.environment(),
        ARCHIVE_URL: `gs://${bucket.bucket}/calls`,
        GCS_API_ENDPOINT: bucket.url,
        METADATA_SERVER_DETECTION: 'none',
        GOOGLE_APPLICATION_CREDENTIALS: process.env['GOOGLE_APPLICATION_CREDENTIALS'] ?? '',
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=canary%20header',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      }),
    );
    await accept(service, { traceparent: SENT });
    const archived = await service.logged({ message: 'Recording was archived.' }, patience());
    assert.deepEqual(await stopsWell(service), []);

    const accepting = only(collector, 'accept');
    const delivering = only(collector, 'deliver');
    const archiving = only(collector, 'archive');
    assert.equal(collector.spans.length, 3);
    assert.deepEqual(
      [accepting, delivering, archiving].map(({ traceId, parentSpanId, kind }) => [traceId, parentSpanId, kind]),
      [
        [TRACE, CALLER, 2],
        [TRACE, accepting.spanId, 5],
        [TRACE, delivering.spanId, 1],
      ],
    );
    assert.deepEqual(accepting.attributes, { messages: 1 });
    assert.deepEqual(delivering.attributes, { ...IDS, attempt: 1, outcome: 'done' });
    assert.deepEqual(archiving.attributes, IDS);
    const { 'telemetry.sdk.name': sdk, 'service.version': version, ...resource } = archiving.resource;
    assert.equal(sdk, 'opentelemetry');
    assert.match(String(version), /^\d+\.\d+\.\d+/);
    assert.equal(resource['service.name'], 'genesys-recording-archiver-serve');
    assert.equal(resource['deployment.environment.name'], 'test');

    // The same trace in the log, in the manifest, and in what the object itself carries.
    assert.equal(archived['logging.googleapis.com/trace'], TRACE);
    assert.equal(archived['logging.googleapis.com/spanId'], delivering.spanId);
    const folder = `calls/recordings/${IDS.conversationId}/${IDS.recordingId}`;
    const carried = bucket.store.objects.get(`${folder}/recording.webm`)?.metadata['manifest'] ?? '';
    for (const manifest of [bucket.store.bytes(`${folder}/manifest.json`).toString(), carried])
      assert.equal(parseManifest(manifest).traceparent, `00-${TRACE}-${archiving.spanId}-01`);

    // Invariant 8, for what leaves the house.
    for (const { path, headers, body } of collector.seen) {
      assert.equal(path, '/v1/traces');
      assert.equal(headers['x-collector-key'], 'canary header');
      assert.doesNotMatch(body, /canary|:\/\/|[?&]\w+=/);
      for (const secret of [SECRET, ...genesys.secrets()]) assert.ok(!body.includes(secret));
    }
    assert.doesNotMatch(service.output(), /canary/);
  },
);

function only(collector: Collector, name: string): CollectedSpan {
  const spans = collector.spans.filter((span) => span.name === name);
  assert.equal(spans.length, 1, name);
  return spans[0] ?? assert.fail();
}

test('a failed attempt is a span with its code, and no more of its reason', HANG_GUARD, async () => {
  await using opened = new AsyncDisposableStack();
  const site = opened.use(await openSite());
  const genesys = opened.adopt(await simulatedGenesys(), (server) => server.close());
  const collector = opened.use(await startCollector());
  genesys.fault('media:r-1:0', 'redirect:http://127.0.0.2:9/canary?key=canary');
  const env = { ...site.env, ...genesys.environment(), OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/spans` };
  const service = opened.use(await startService('serve', env));
  await accept(service);
  await service.logged({ code: 'host-refused' }, patience());
  await stopsWell(service);
  assert.deepEqual(only(collector, 'archive').status, { code: 2, message: 'host-refused' });
  assert.equal(only(collector, 'deliver').attributes['outcome'], 'wait', 'an operator may list the host');
  for (const { path, body } of collector.seen) {
    assert.equal(path, '/spans');
    assert.doesNotMatch(body, /canary|:\/\//);
  }
});

test(
  'invariant 10: with a collector that hangs and a listener who waits for nothing, SIGTERM ends it within 8 s',
  HANG_GUARD,
  async () => {
    await using opened = new AsyncDisposableStack();
    const site = opened.use(await openSite());
    const genesys = opened.adopt(await simulatedGenesys(), (server) => server.close());
    const collector = opened.use(await startCollector(HANG));
    // The first is for the listener, the second for the worker.
    genesys.fault('media:r-1:0', 'stall-after-600K', 2);
    const env = { ...site.env, ...genesys.environment(), OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    const service = opened.use(await startService('serve', env));
    const url = `${service.url}/transcode?id=${IDS.recordingId}&conversationId=${IDS.conversationId}`;
    const listening = await fetch(url, { headers: { 'x-api-key': 'canary-api-key-1' }, signal: patience() });
    assert.equal(listening.status, 200);
    const broken = assert.rejects(listening.arrayBuffer());
    await accept(service);
    const warnings = await stopsWell(service);
    await broken;
    assert.equal(only(collector, 'accept').parentSpanId, undefined);
    assert.equal(
      warnings.filter((line) => /^Spans were lost .*\(no answer /.test(line)).length,
      1,
      warnings.join('\n'),
    );
  },
);

for (const [what, env, reason] of [
  ['that is down', {}, 'no answer before the service ended'],
  ['that is down, with little patience', { OTEL_EXPORTER_OTLP_TIMEOUT: '500' }, 'ECONNREFUSED'],
] as const) {
  test(`invariant 10: a collector ${what}, is one warning and no reason to stay`, HANG_GUARD, async () => {
    await using site = await openSite();
    const collector = await startCollector();
    await collector[Symbol.asyncDispose]();
    await using service = await startService('receiver', {
      ...site.env,
      ...env,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    });
    await accept(service);
    const warnings = await stopsWell(service);
    assert.equal(warnings.length, 1, warnings.join('\n'));
    assert.ok(warnings[0]?.includes(`(${reason})`), warnings[0]);
  });
}

test(
  'invariant 8: a collector that answers with the header it was sent does not bring it into the log',
  HANG_GUARD,
  async () => {
    await using site = await openSite();
    const echo: Answer = (response, { headers }) =>
      void response.writeHead(401, headers.authorization).end(headers.authorization);
    await using collector = await startCollector(echo);
    await using service = await startService('receiver', {
      ...site.env,
      LOG_LEVEL: 'debug',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=canary-key',
    });
    await accept(service);
    const warnings = await stopsWell(service);
    assert.equal(collector.seen[0]?.headers['x-collector-key'], 'canary-key');
    assert.equal(warnings.length, 1, warnings.join('\n'));
    assert.match(warnings[0] ?? '', /\(HTTP 401\)/);
    assert.doesNotMatch(service.output(), /canary/);
  },
);

/** Names every module as it is loaded, by import or by require. */
const PROBE = `import { registerHooks } from 'node:module';
registerHooks({ load: (url, context, next) => (process.stderr.write('loaded ' + url + '\\n'), next(url, context)) });`;

for (const [what, isAsked] of [
  ['is loaded where a collector is named', true],
  ['is not loaded where none is', false],
] as const) {
  test(`the SDK ${what}`, HANG_GUARD, async () => {
    await using site = await openSite();
    await using collector = await startCollector();
    await using service = await startService('receiver', {
      ...site.env,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PROBE)}`,
      ...(isAsked ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } : {}),
    });
    await accept(service);
    await stopsWell(service);
    assert.match(service.output(), /^loaded file:.*\/express\//m, 'the probe sees what is loaded');
    const sdk = /^loaded file:.*\/@opentelemetry\/.*$/m.exec(service.output());
    assert.equal(sdk !== null, isAsked, sdk?.[0]);
    assert.equal(collector.spans.length, isAsked ? 1 : 0);
  });
}
