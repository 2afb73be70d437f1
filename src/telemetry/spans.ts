/** A step of the work → a span of OpenTelemetry, and the traceparent of what is part of it. */
import {
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
} from '@opentelemetry/api';
import { Failure } from '../failure.ts';
import type { Noted, RecordStep } from './trace.ts';

const KINDS = { accept: SpanKind.SERVER, deliver: SpanKind.CONSUMER, archive: SpanKind.INTERNAL } as const;

export const recordSpan: RecordStep = async (step, work) => {
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
};

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
