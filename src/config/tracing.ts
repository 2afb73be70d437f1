/**
 * Where traces are sent, out of OpenTelemetry's own variables with their own meaning:
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import type { Reader } from './reader.ts';
import { pairsOf } from './text.ts';
import type { SecretName } from './variables.ts';

export interface TraceExportOptions {
  readonly url: string;
  /** Their values are secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /** OTEL_RESOURCE_ATTRIBUTES, and OTEL_SERVICE_NAME as `service.name`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly sampling: Sampling;
}

export interface Sampling {
  /** Only where no caller has decided before; else always. */
  readonly parentBased: boolean;
  /** Of new traces, 0 to 1. */
  readonly ratio: number;
}

/** undefined where no collector is named, or tracing is switched off: then the other variables are not looked at either. */
export function readTracing(read: Reader): TraceExportOptions | undefined {
  const isNamed = read.isSet('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || read.isSet('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (!isNamed || isOff(read)) return undefined;
  const serviceName = read.text('OTEL_SERVICE_NAME');
  checkProtocol(read);
  return {
    url: readEndpoint(read),
    headers: {
      ...readHeaders(read, 'OTEL_EXPORTER_OTLP_HEADERS'),
      ...readHeaders(read, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'),
    },
    attributes: {
      ...read.pairs('OTEL_RESOURCE_ATTRIBUTES'),
      ...(serviceName === '' ? {} : { 'service.name': serviceName }),
    },
    sampling: readSampling(read),
  };
}

/** As they are at the start: the exporter keeps them. Concealed also without the `Bearer` or `Basic` before them. */
function readHeaders(read: Reader, name: SecretName): Readonly<Record<string, string>> {
  return read.secrets.read(name, (text, onProblem) => {
    const headers = pairsOf(text, onProblem);
    for (const value of Object.values(headers)) read.secrets.conceal(value, value.slice(value.lastIndexOf(' ') + 1));
    return headers;
  }).now;
}

function isOff(read: Reader): boolean {
  return read.text('OTEL_SDK_DISABLED').toLowerCase() === 'true' || read.text('OTEL_TRACES_EXPORTER') === 'none';
}

/** Of all signals, or of traces alone: that one is taken as it is. */
function readEndpoint(read: Reader): string {
  const own = read.text('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const text = own === '' ? read.text('OTEL_EXPORTER_OTLP_ENDPOINT') : own;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || /[?#@]/.test(text)) {
    const [name, example] = own === '' ? ['ENDPOINT', ''] : ['TRACES_ENDPOINT', '/v1/traces'];
    read.problem(
      `OTEL_EXPORTER_OTLP_${name}`,
      `expected an http or https URL without user, query or fragment, such as http://localhost:4318${example}; credentials belong into OTEL_EXPORTER_OTLP_HEADERS`,
    );
  }
  return own === '' ? `${text.replace(/\/+$/, '')}/v1/traces` : own;
}

/** `http/protobuf`, the usual setting, is let pass: what takes it takes JSON at the same address. */
function checkProtocol(read: Reader): void {
  const names = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const;
  const name = names.find((each) => read.isSet(each));
  if (name === undefined || /^http\/(json|protobuf)$/.test(read.text(name))) return;
  read.problem(name, 'expected "http/json"; gRPC is not spoken here: name the collector\'s HTTP port, usually 4318');
}

const SAMPLERS = ['always_on', 'always_off', 'traceidratio'] as const;

function readSampling(read: Reader): Sampling {
  const text = read.text('OTEL_TRACES_SAMPLER');
  const sampler = SAMPLERS.find((name) => name === text.replace(/^parentbased_/, ''));
  if (sampler === undefined)
    read.problem(
      'OTEL_TRACES_SAMPLER',
      `expected one of ${SAMPLERS.join(', ')}, each also with parentbased_ before it`,
    );
  const argument = Number(read.text('OTEL_TRACES_SAMPLER_ARG'));
  if (sampler === 'traceidratio' && !(argument >= 0 && argument <= 1))
    read.problem('OTEL_TRACES_SAMPLER_ARG', 'expected a number from 0 to 1');
  const ratio = { always_on: 1, always_off: 0, traceidratio: argument }[sampler ?? 'always_on'];
  return { parentBased: text.startsWith('parentbased_'), ratio };
}
