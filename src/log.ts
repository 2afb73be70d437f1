/** winston as Cloud Logging reads it: one JSON line per entry on stdout, causes kept, secrets taken out. */
import winston from 'winston';
import { Failure } from './failure.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** A constant past-tense sentence plus fields. Fields are an allow-list by habit: ids, sizes, durations, codes, timings. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

export interface LogOptions {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** Exact values that never appear in a line. */
  readonly secrets: readonly string[];
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
      message: redact(String(message)),
      ...traceFields(traceparent, options.project),
      ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, printable(value, redact)])),
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
  const write = (level: LogOptions['level']) => (message: string, fields: Fields = {}) => {
    if (logger.isLevelEnabled(level)) logger.log({ ...fields, level, message });
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** Takes exact secrets, bearer values and the query of every URL out of a text. */
export function createRedactor(secrets: readonly string[]): (text: string) => string {
  const exact = secrets.filter((secret) => secret.length >= 4).toSorted((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const secret of exact) clean = clean.replaceAll(secret, '[secret]');
    return clean
      .replace(/\b(https?:\/\/)[^\s/@"']+@/gi, '$1[user]@')
      .replace(/\b((?:https?|gs|pubsub):\/\/[^\s?#"'<>]+)[?#][^\s"'<>]*/gi, '$1?[query]')
      .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}/gi, '$1 [secret]')
      .replace(/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, '[token]');
  };
}

const MAX_TEXT = 4096;
const MAX_DEPTH = 4;

function printable(value: unknown, redact: (text: string) => string, depth = 0): unknown {
  if (typeof value === 'string') return redact(value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return value.toISOString();
  if (depth >= MAX_DEPTH) return '[deep]';
  if (value instanceof Error) return describeError(value, redact, depth);
  if (Buffer.isBuffer(value)) return `[${String(value.length)} bytes]`;
  if (Array.isArray(value)) return value.slice(0, 50).map((item) => printable(item, redact, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAME.test(name) ? '[secret]' : printable(item, redact, depth + 1),
    ]),
  );
}

const SECRET_NAME = /authorization|cookie|secret|password|token|api[-_]?key|signature/i;

/** Name, message, code, stack and cause only: libraries hang requests, headers and tokens on their errors. */
function describeError(error: Error, redact: (text: string) => string, depth: number): Fields {
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    name: error.name,
    message: redact(error.message.slice(0, MAX_TEXT)),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error instanceof Failure && Object.keys(error.facts).length > 0
      ? { facts: printable(error.facts, redact, depth + 1) }
      : {}),
    ...(error.stack === undefined || error instanceof Failure ? {} : { stack: redact(error.stack.slice(0, MAX_TEXT)) }),
    ...(error.cause === undefined ? {} : { cause: printable(error.cause, redact, depth + 1) }),
  };
}

function traceFields(traceparent: unknown, project: string | undefined): Fields {
  const match =
    typeof traceparent === 'string' ? /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent) : null;
  if (match?.[1] === undefined || match[2] === undefined) return {};
  return {
    'logging.googleapis.com/trace': project === undefined ? match[1] : `projects/${project}/traces/${match[1]}`,
    'logging.googleapis.com/spanId': match[2],
    'logging.googleapis.com/trace_sampled': (Number.parseInt(match[3] ?? '0', 16) & 1) === 1,
  };
}
