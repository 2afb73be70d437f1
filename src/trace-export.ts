/**
 * Turns the spans of trace.ts into OTLP/HTTP requests to a collector, where the environment names one; where it does not,
 * nothing of the SDK is even loaded. Its variables are OpenTelemetry's own, with their own meaning:
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 *
 * This SDK's exporter reads OTEL_EXPORTER_OTLP_TIMEOUT, _COMPRESSION and _CERTIFICATE (and their _TRACES_ forms) itself,
 * and always from `process.env`. It has no reader for the sampler; everything else is handed to it from here.
 */
import { trace } from '@opentelemetry/api';
import type * as Sdk from '@opentelemetry/sdk-trace';
import { ConfigProblems } from './config/config.ts';
import { Failure } from './failure.ts';

export interface TraceExport {
  readonly url: string;
  /** Their values are secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /** OTEL_RESOURCE_ATTRIBUTES, and OTEL_SERVICE_NAME as `service.name`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly sampling: Sampling;
}

interface Sampling {
  /** Only where no caller has decided before; else always. */
  readonly parentBased: boolean;
  /** Of new traces, 0 to 1. */
  readonly ratio: number;
}

export interface TraceExportParts {
  readonly version: string;
  readonly command: string;
  /** At most once a minute for the same reason. Holds no text of the collector's: that may repeat what it was sent. */
  readonly onTrouble: (trouble: Failure) => void;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Of the 8 s between SIGTERM and the end: listeners have had up to 5 s by then. */
const FLUSH_WITHIN_MS = 1_500;
/** Of a few hundred bytes each; more than that in 5 s, or while the collector is away, is dropped. */
const MAX_QUEUED_SPANS = 2_048;
const SAME_TROUBLE_AFTER_MS = 60_000;

/** undefined where no collector is named, or tracing is switched off. @throws ConfigProblems naming the variables, without their values */
export function readTraceExport(env: Env): TraceExport | undefined {
  const problems: string[] = [];
  const url = readUrl(env, problems);
  if (url === undefined || isOff(env)) return undefined;
  const serviceName = textOf(env, 'OTEL_SERVICE_NAME');
  const read = {
    url,
    headers: {
      ...readPairs(env, 'OTEL_EXPORTER_OTLP_HEADERS', problems),
      ...readPairs(env, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS', problems),
    },
    attributes: {
      ...readPairs(env, 'OTEL_RESOURCE_ATTRIBUTES', problems),
      ...(serviceName === undefined ? {} : { 'service.name': serviceName }),
    },
    sampling: readSampling(env, problems),
  };
  checkProtocol(env, problems);
  if (problems.length > 0) throw new ConfigProblems(problems);
  return read;
}

/** Values no log line may ever hold, also without the `Bearer` or `Basic` before them. */
export function secretsOfTraceExport(settings: TraceExport | undefined): readonly string[] {
  return Object.values(settings?.headers ?? {}).flatMap((value) => [value, value.slice(value.lastIndexOf(' ') + 1)]);
}

/** From now on spans are sent. Disposing of it sends the last ones, and takes no longer than FLUSH_WITHIN_MS. */
export async function startTraceExport(settings: TraceExport, parts: TraceExportParts): Promise<AsyncDisposable> {
  const [sdk, { OTLPTraceExporter }, { defaultResource, resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const about = { 'service.name': `genesys-recording-archiver-${parts.command}`, 'service.version': parts.version };
  const tell = seldom(parts.onTrouble);
  const { url, headers } = settings;
  const exporter = watched(new OTLPTraceExporter({ url, headers: { ...headers } }), tell);
  const provider = new sdk.TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ ...about, ...settings.attributes })),
    sampler: createSampler(settings.sampling, sdk),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter, maxQueueSize: MAX_QUEUED_SPANS })],
  });
  trace.setGlobalTracerProvider(provider);
  return {
    async [Symbol.asyncDispose]() {
      trace.disable();
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(() => {
        tell('no answer before the service ended');
        late.resolve();
      }, FLUSH_WITHIN_MS);
      // What could not be sent has been told of.
      const flushed = provider.shutdown().catch(() => undefined);
      await Promise.race([flushed, late.promise]);
      clearTimeout(timer);
    },
  };
}

/**
 * Failures are seen here because the SDK tells its diag logger only, with whatever the collector answered. That logger stays
 * unset; spans dropped from a full queue are told of nowhere else, but a queue fills up only behind exports that fail.
 */
function watched(exporter: Sdk.SpanExporter, tell: (reason: string) => void): Sdk.SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error !== undefined) tell(reasonOf(result.error));
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
}

/** A status, a code of the system, or the exporter's own words where it has neither. */
function reasonOf(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number') return `HTTP ${String(code)}`;
  return typeof code === 'string' ? code : error.message;
}

function seldom(onTrouble: TraceExportParts['onTrouble']): (reason: string) => void {
  const told = new Map<string, number>();
  return (reason) => {
    const now = performance.now();
    if (now - (told.get(reason) ?? -Infinity) < SAME_TROUBLE_AFTER_MS) return;
    told.set(reason, now);
    const message = `Spans were lost on the way to the trace collector (${reason}); recordings are not affected. Check the collector, OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS.`;
    onTrouble(new Failure('upstream-unavailable', message));
  };
}

function createSampler({ parentBased, ratio }: Sampling, sdk: typeof Sdk): Sdk.Sampler {
  const root = new sdk.TraceIdRatioBasedSampler(ratio);
  return parentBased ? new sdk.ParentBasedSampler({ root }) : root;
}

function isOff(env: Env): boolean {
  const disabled = textOf(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true';
  return disabled || textOf(env, 'OTEL_TRACES_EXPORTER') === 'none';
}

/** Of all signals, or of traces alone: that one is taken as it is. */
function readUrl(env: Env, problems: string[]): string | undefined {
  const own = textOf(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const text = own ?? textOf(env, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || /[?#@]/.test(text)) {
    const [name, example] = own === undefined ? ['ENDPOINT', ''] : ['TRACES_ENDPOINT', '/v1/traces'];
    problems.push(
      `OTEL_EXPORTER_OTLP_${name}: expected an http or https URL without user, query or fragment, such as http://localhost:4318${example}; credentials belong into OTEL_EXPORTER_OTLP_HEADERS.`,
    );
  }
  return own === undefined ? `${text.replace(/\/+$/, '')}/v1/traces` : text;
}

/** `http/protobuf`, the usual setting, is let pass: what takes it takes JSON at the same address. */
function checkProtocol(env: Env, problems: string[]): void {
  const names = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const;
  const name = names.find((name) => textOf(env, name) !== undefined);
  if (name === undefined || /^http\/(json|protobuf)$/.test(textOf(env, name) ?? '')) return;
  problems.push(
    `${name}: expected "http/json"; gRPC is not spoken here: name the collector's HTTP port, usually 4318.`,
  );
}

/** `name=value,name=value`, percent-encoded: https://www.w3.org/TR/baggage/#header-content without properties. */
function readPairs(env: Env, name: string, problems: string[]): Record<string, string> {
  const entries = (textOf(env, name) ?? '').split(',').filter((entry) => entry.trim() !== '');
  return Object.fromEntries(
    entries.flatMap((entry, index) => {
      const [key, value] = decodedPair(entry);
      if (key !== '' && value !== undefined) return [[key, value]];
      problems.push(`${name}: entry ${String(index + 1)} is not name=value, percent-encoded.`);
      return [];
    }),
  );
}

function decodedPair(entry: string): [string, string | undefined] {
  const end = entry.indexOf('=');
  if (end < 0) return ['', undefined];
  try {
    return [decodeURIComponent(entry.slice(0, end).trim()), decodeURIComponent(entry.slice(end + 1).trim())];
  } catch {
    return ['', undefined];
  }
}

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'] as const;

function readSampling(env: Env, problems: string[]): Sampling {
  const text = textOf(env, 'OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on';
  const sampler = SAMPLERS.find((name) => name === text.replace(/^parentbased_/, ''));
  if (sampler === undefined)
    problems.push(
      `OTEL_TRACES_SAMPLER: expected one of ${SAMPLERS.join(', ')}, each also with parentbased_ before it.`,
    );
  const argument = Number(textOf(env, 'OTEL_TRACES_SAMPLER_ARG') ?? '1');
  if (sampler === 'traceidratio' && !(argument >= 0 && argument <= 1))
    problems.push('OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1.');
  const ratio = { always_on: 1, always_off: 0, traceidratio: argument }[sampler ?? 'always_on'];
  return { parentBased: text.startsWith('parentbased_'), ratio };
}

function textOf(env: Env, name: string): string | undefined {
  const text = env[name]?.trim();
  return text === '' ? undefined : text;
}
