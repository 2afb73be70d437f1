/** winston as Cloud Logging reads it: one JSON line per entry on stdout, causes kept, secrets taken out. */
import winston from 'winston';
import { Failure } from '../failure.ts';

export type LogFields = Readonly<Record<string, unknown>>;

/** A constant past-tense sentence plus fields. LogFields are an allow-list by habit: ids, sizes, durations, codes, timings. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** Exact values that never appear in a line; a set may grow. */
  readonly secrets: readonly string[] | ReadonlySet<string>;
  /** For `logging.googleapis.com/trace`. */
  readonly project?: string | undefined;
  /** Where lines go; stdout by default. */
  readonly stream?: NodeJS.WritableStream;
}

const SEVERITY: Readonly<Record<string, string>> = { error: 'ERROR', warn: 'WARNING', info: 'INFO', debug: 'DEBUG' };

/** Field names of Cloud Logging: https://cloud.google.com/logging/docs/structured-logging */
export function createLog(options: LogOptions): Log {
  const redact = createRedactor(options.secrets);
  const line = winston.format((info) => {
    const { level, message, traceparent, ...fields } = info;
    const entry = {
      severity: SEVERITY[level] ?? 'DEFAULT',
      timestamp: new Date().toISOString(),
      message: printableText(String(message), redact),
      ...traceFields(traceparent, options.project),
      ...printableFields(fields, redact, 0),
    };
    return Object.assign(info, { [Symbol.for('message')]: JSON.stringify(entry) });
  });
  const transport =
    options.stream === undefined
      ? new winston.transports.Console({ forceConsole: false })
      : new winston.transports.Stream({ stream: options.stream });
  const logger = winston.createLogger({
    level: options.level,
    format: line(),
    transports: [transport],
    exitOnError: false,
  });
  // winston formats a line before it looks at its level: one that nobody wants would cost as much as one that is written.
  const write =
    (level: LogOptions['level']) =>
    (message: string, fields: LogFields = {}) => {
      if (logger.isLevelEnabled(level)) logger.log({ ...fields, level, message });
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** Takes exact secrets of any length, bearer values and the query of every URL out of a text. */
export function createRedactor(secrets: LogOptions['secrets']): (text: string) => string {
  const countOf = (): number => ('size' in secrets ? secrets.size : secrets.length);
  let exact = patternOf(secrets);
  let count = countOf();
  return (text) => {
    if (count !== countOf()) {
      exact = patternOf(secrets);
      count = countOf();
    }
    return (exact === undefined ? text : text.replace(exact, '[secret]'))
      .replace(/\b(?:https?|gs|pubsub):\/\/[^\s"'<>]+/gi, bareUrl)
      .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}/gi, '$1 [secret]')
      .replace(/(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, '[token]');
  };
}

/** A shorter one is taken out as a whole word only: as a part of others it says nothing, and would make the rest unreadable. */
const LONG = 8;

/** The longest first: one secret may be a part of another. */
function patternOf(secrets: Iterable<string>): RegExp | undefined {
  const parts = [...secrets]
    .filter((secret) => secret !== '')
    .toSorted((a, b) => b.length - a.length)
    .map((secret) => {
      const literal = secret.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
      return secret.length < LONG ? `(?<![A-Za-z0-9])${literal}(?![A-Za-z0-9])` : literal;
    });
  return parts.length === 0 ? undefined : new RegExp(parts.join('|'), 'g');
}

/** Without user, query and fragment. */
function bareUrl(url: string): string {
  const end = url.search(/[?#]/);
  const place = (end < 0 ? url : url.slice(0, end)).replace(/^([a-z]+:\/\/)[^/@]+@/i, '$1[user]@');
  return end < 0 ? place : `${place}?[query]`;
}

const MAX_TEXT = 4096;
const MAX_DEPTH = 4;
const MAX_ENTRIES = 50;

/** Cut only after the secrets are out: half of one, at the cut, would no longer be recognised. */
function printableText(text: string, redact: (text: string) => string): string {
  const clean = redact(text.slice(0, 4 * MAX_TEXT));
  const isCut = clean.length > MAX_TEXT || text.length > 4 * MAX_TEXT;
  return isCut ? `${clean.slice(0, MAX_TEXT)}…` : clean;
}

function printable(value: unknown, redact: (text: string) => string, depth = 0): unknown {
  if (typeof value === 'string') return printableText(value, redact);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return value.toJSON();
  if (depth >= MAX_DEPTH) return '[deep]';
  if (value instanceof Error) return describeError(value, redact, depth);
  if (ArrayBuffer.isView(value)) return `[${String(value.byteLength)} bytes]`;
  if (Array.isArray(value)) return value.slice(0, MAX_ENTRIES).map((item) => printable(item, redact, depth + 1));
  return printableFields(value, redact, depth + 1);
}

function printableFields(fields: object, redact: (text: string) => string, depth: number): LogFields {
  const entries = Object.entries(fields).slice(0, MAX_ENTRIES);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, SECRET_NAME.test(name) ? '[secret]' : printable(value, redact, depth)]),
  );
}

const SECRET_NAME = /authorization|cookie|secret|password|token|api[-_]?key|signature/i;

/** Name, message, code, stack and cause only: libraries hang requests, headers and tokens on their errors. */
function describeError(error: Error, redact: (text: string) => string, depth: number): LogFields {
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    name: error.name,
    message: printableText(error.message, redact),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error instanceof Failure && Object.keys(error.facts).length > 0
      ? { facts: printable(error.facts, redact, depth + 1) }
      : {}),
    ...(error.stack === undefined || error instanceof Failure ? {} : { stack: printableText(error.stack, redact) }),
    ...(error instanceof AggregateError ? { errors: printable(error.errors, redact, depth + 1) } : {}),
    ...(error.cause === undefined ? {} : { cause: printable(error.cause, redact, depth + 1) }),
  };
}

function traceFields(traceparent: unknown, project: string | undefined): LogFields {
  const match =
    typeof traceparent === 'string' ? /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent) : null;
  if (match?.[1] === undefined || match[2] === undefined) return {};
  return {
    'logging.googleapis.com/trace': project === undefined ? match[1] : `projects/${project}/traces/${match[1]}`,
    'logging.googleapis.com/spanId': match[2],
    'logging.googleapis.com/trace_sampled': (Number.parseInt(match[3] ?? '0', 16) & 1) === 1,
  };
}
