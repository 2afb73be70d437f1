/** A step of the work → a span of the trace its message carries. Without an SDK (trace-export.ts) all of it does nothing. */
import {
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
} from '@opentelemetry/api';
import { Failure } from './failure.ts';

export interface Step {
  /** One trace has one `accept`, and then a `deliver` for each delivery with at most one `archive` in it. */
  readonly name: 'accept' | 'deliver' | 'archive';
  /** W3C traceparent of what it belongs to; without one a new trace begins. */
  readonly parent: string | undefined;
  readonly attributes?: Noted;
}

/** Ids, counts and codes only: traces leave the house. */
export type Noted = Readonly<Record<string, string | number | undefined>>;

export interface Traced {
  /** What the next step is part of; `parent` itself where nothing is recorded. */
  readonly traceparent: string | undefined;
  readonly note: (attributes: Noted) => void;
}

const KINDS = { accept: SpanKind.SERVER, deliver: SpanKind.CONSUMER, archive: SpanKind.INTERNAL } as const;

/** Resolves and rejects as `work` does. */
export async function traced<T>(step: Step, work: (own: Traced) => Promise<T>): Promise<T> {
  const parent = contextOf(step.parent);
  const options = { kind: KINDS[step.name], attributes: defined(step.attributes ?? {}) };
  const span = trace.getTracer('genesys-recording-archiver').startSpan(step.name, options, parent);
  const note = (attributes: Noted): void => void span.setAttributes(defined(attributes));
  try {
    return await work({ traceparent: traceparentOf(span) ?? step.parent, note });
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: Failure.from(error).code });
    throw error;
  } finally {
    span.end();
  }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header, version 00. */
function contextOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

function traceparentOf(span: Span): string | undefined {
  const own = span.spanContext();
  if (!isSpanContextValid(own)) return undefined;
  return `00-${own.traceId}-${own.spanId}-${own.traceFlags.toString(16).padStart(2, '0')}`;
}

function defined(attributes: Noted): Record<string, string | number> {
  const kept: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) kept[name] = value;
  return kept;
}
