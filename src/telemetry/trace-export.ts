/**
 * The spans of trace.ts → OTLP/HTTP requests to a collector, where the environment names one (config/tracing.ts);
 * where it does not, nothing of the SDK is even loaded.
 *
 * This SDK's exporter reads OTEL_EXPORTER_OTLP_TIMEOUT, _COMPRESSION and _CERTIFICATE (and their _TRACES_ forms) itself,
 * and always from `process.env`. It has no reader for the sampler; everything else is handed to it from here.
 */
import { trace } from '@opentelemetry/api';
import type * as Sdk from '@opentelemetry/sdk-trace';
import type { Sampling, TraceExportOptions } from '../config/tracing.ts';
import { Failure } from '../failure.ts';
import { FirstOfMinute } from './first-of-minute.ts';
import { recordSpan } from './spans.ts';
import { recordSteps } from './trace.ts';
import { inTime } from '../waiting.ts';

export interface TraceExportNeeds {
  readonly version: string;
  readonly command: string;
  /** At most once a minute for the same reason. Holds no text of the collector's: that may repeat what it was sent. */
  readonly onTrouble: (trouble: Failure) => void;
}

/** Of the 8 s between SIGTERM and the end: listeners have had up to 5 s by then. */
const FLUSH_WITHIN_MS = 1_500;
/** Of a few hundred bytes each; more than that in 5 s, or while the collector is away, is dropped. */
const MAX_QUEUED_SPANS = 2_048;

/** From now on spans are sent. Disposing of it sends the last ones, and takes no longer than FLUSH_WITHIN_MS. */
export async function startTraceExport(
  settings: TraceExportOptions,
  parts: TraceExportNeeds,
): Promise<AsyncDisposable> {
  const [sdk, { OTLPTraceExporter }, { defaultResource, resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const about = { 'service.name': `genesys-recording-archiver-${parts.command}`, 'service.version': parts.version };
  const tell = seldom(parts.onTrouble);
  const { url, headers } = settings;
  const exporter = watchedExporter(new OTLPTraceExporter({ url, headers: { ...headers } }), tell);
  const provider = new sdk.TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ ...about, ...settings.attributes })),
    sampler: createSampler(settings.sampling, sdk),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter, maxQueueSize: MAX_QUEUED_SPANS })],
  });
  trace.setGlobalTracerProvider(provider);
  recordSteps(recordSpan);
  return {
    async [Symbol.asyncDispose]() {
      recordSteps(undefined);
      trace.disable();
      // Whatever cannot be sent was told already: by the exporter, or here because there is no more time.
      const flushed = provider.shutdown().catch(() => undefined);
      const late = (): Failure => new Failure('upstream-timeout', 'no answer before the service ended');
      await inTime(() => flushed, FLUSH_WITHIN_MS, late).catch(({ message }: Failure) => tell(message));
    },
  };
}

/**
 * Failures are seen here because the SDK tells its diag logger only, with whatever the collector answered. That logger stays
 * unset; spans dropped from a full queue are told of nowhere else, but a queue fills up only behind exports that fail.
 */
function watchedExporter(exporter: Sdk.SpanExporter, tell: (reason: string) => void): Sdk.SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error !== undefined) tell(exportReason(result.error));
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
}

/** A status, a code of the system, or the exporter's own words where it has neither. */
function exportReason(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number') return `HTTP ${String(code)}`;
  return typeof code === 'string' ? code : error.message;
}

function seldom(onTrouble: TraceExportNeeds['onTrouble']): (reason: string) => void {
  const told = new FirstOfMinute();
  return (reason) => {
    if (told.take(reason) === undefined) return;
    const message = `Spans were lost on the way to the trace collector (${reason}); recordings are not affected. Check the collector, OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS.`;
    onTrouble(new Failure('upstream-unavailable', message));
  };
}

function createSampler({ parentBased, ratio }: Sampling, sdk: typeof Sdk): Sdk.Sampler {
  const root = new sdk.TraceIdRatioBasedSampler(ratio);
  return parentBased ? new sdk.ParentBasedSampler({ root }) : root;
}
