/** OpenTelemetry's own variables: what they become, and what is said of those that are wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigProblems, Reader } from '../../src/config/reader.ts';
import { readTracing, type TraceExportOptions } from '../../src/config/tracing.ts';

const AT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' } as const;

test('nothing is exported where no collector is named, or tracing is switched off', () => {
  const ways = [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
    { OTEL_SERVICE_NAME: 'archiver', OTEL_TRACES_SAMPLER: 'nonsense' },
    { ...AT, OTEL_SDK_DISABLED: 'true' },
    { ...AT, OTEL_TRACES_EXPORTER: 'none' },
  ];
  for (const env of ways) assert.equal(tracingOf(env), undefined, JSON.stringify(env));
});

test('the endpoint of all signals gets the path of traces; the one of traces is taken as it is', () => {
  const common = (url: string): string | undefined => tracingOf({ OTEL_EXPORTER_OTLP_ENDPOINT: url })?.url;
  assert.equal(common('http://localhost:4318'), 'http://localhost:4318/v1/traces');
  assert.equal(common('https://collector.example/otlp/'), 'https://collector.example/otlp/v1/traces');
  const own = { ...AT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector.example/spans' };
  assert.equal(tracingOf(own)?.url, 'https://collector.example/spans');
});

test('headers and attributes are percent-encoded pairs; those of traces and the service name go first', () => {
  const read = tracingOf({
    ...AT,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic YTpi==, x-team=one%2Ctwo,',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-team=three',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=pro%20d,service.name=overruled',
    OTEL_SERVICE_NAME: 'archiver',
  });
  assert.deepEqual(read?.headers, { authorization: 'Basic YTpi==', 'x-team': 'three' });
  assert.deepEqual(read?.attributes, { 'deployment.environment.name': 'pro d', 'service.name': 'archiver' });
});

test('invariant 8: every wrong variable is named at once, and none shows its value (PR-08)', () => {
  const wrong = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'canary:4318',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_EXPORTER_OTLP_HEADERS: 'fine=1,canary',
    OTEL_RESOURCE_ATTRIBUTES: 'canary=%zz',
    OTEL_TRACES_SAMPLER: 'canary',
  };
  const problems = problemsOf(wrong);
  for (const name of Object.keys(wrong))
    assert.equal(problems.filter((line) => line.startsWith(`${name}: `)).length, 1);
  assert.equal(problems.length, 5);
  assert.doesNotMatch(problems.join('\n'), /canary/);
  const urls = ['collector', 'ftp://host', 'http://user:canary@host', 'http://host/?key=canary', 'http://'];
  for (const url of urls)
    assert.match(
      problemsOf({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url }).join('\n'),
      /^OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: (?!.*canary)/,
    );
  for (const argument of ['2', '-1', 'canary'])
    assert.match(
      problemsOf({ ...AT, OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: argument }).join('\n'),
      /^OTEL_TRACES_SAMPLER_ARG: (?!.*canary)/,
    );
});

function tracingOf(env: Readonly<Record<string, string>>): TraceExportOptions | undefined {
  const read = new Reader(env);
  const tracing = readTracing(read);
  read.finish();
  return tracing;
}

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    tracingOf(env);
  } catch (error) {
    assert.ok(error instanceof ConfigProblems);
    return error.problems;
  }
  return assert.fail(`nothing is wrong with ${JSON.stringify(env)}`);
}
