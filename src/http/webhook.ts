/** A signed event → messages that are durable on the queue, and only then a 202. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { ONE_REQUEST } from '../bounds.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Message, Queue } from '../queue/queue.ts';
import { traced } from '../telemetry/trace.ts';
import { inTime } from '../waiting.ts';
import type { BodyRoom } from './body-room.ts';
import { readBody, requireJson } from './body.ts';
import { answerFailure, failureOf } from './errors.ts';
import { parseEvents } from './event.ts';
import { FirstOfMinute } from '../telemetry/first-of-minute.ts';
import { parseJson } from './json.ts';
import type { Verify } from './signature.ts';
import { givenTraceparent, incomingTraceparent } from './trace.ts';

export interface WebhookNeeds {
  readonly queue: Pick<Queue, 'publish'>;
  readonly verify: Verify;
  /** What may be held of bodies on their way. */
  readonly bodies: BodyRoom;
  readonly metrics: Metrics;
  /** Patience with the queue, milliseconds; 5000 unless a test is in a hurry. */
  readonly deadlineMs?: number;
}

/** Senders give up after 10 s (Genesys Open Messaging) to 30 s: they get an honest 503 before. */
const DEADLINE_MS = 5000;

/** Read, verify the raw bytes, parse, publish, answer: in this order. */
export function receiveEvents(parts: WebhookNeeds): RequestHandler {
  return async (req, res) => {
    requireJson(req);
    const body = await readBody(req, ONE_REQUEST.eventsBytes, parts.bodies);
    parts.verify(req.headers, body);
    const { messages, ignored } = parseEvents(parseJson(body));
    const step = {
      name: 'accept',
      parent: givenTraceparent(req.headers),
      attributes: { messages: messages.length },
    } as const;
    await traced(step, (own) => {
      const traceparent = own.traceparent ?? incomingTraceparent(req.headers);
      return publishInTime(
        messages.map((message) => ({ ...message, traceparent })),
        parts,
      );
    });
    count(messages, ignored, parts.metrics);
    // Not res.json(): it costs a seventh of the request.
    const answer = JSON.stringify({ accepted: messages.length, ignored });
    const headers = { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': answer.length };
    res.writeHead(202, headers).end(answer);
  };
}

/** A sender that leaves changes nothing: the signal is the deadline's alone. A late success is a duplicate the queue collapses. */
async function publishInTime(messages: readonly Message[], parts: WebhookNeeds): Promise<void> {
  if (messages.length === 0) return;
  const late = (): Failure =>
    new Failure('queue-unavailable', 'The queue did not take the events in time; send them again.');
  await inTime((signal) => parts.queue.publish(messages, signal), parts.deadlineMs ?? DEADLINE_MS, late);
}

function count(messages: readonly Message[], ignored: number, metrics: Metrics): void {
  const recordings = messages.filter((message) => message.kind === 'recording').length;
  if (recordings > 0) metrics.accepted('recording', recordings);
  if (recordings < messages.length) metrics.accepted('conversation', messages.length - recordings);
  if (ignored > 0) metrics.ignored(ignored);
}

/**
 * Every refused webhook is counted, and the first of a minute and code is seen by the operator: anybody can send as many as
 * they like. Without its body: that may be anyone's and hold anything.
 */
export function refuseEvents(log: Log, metrics: Metrics): ErrorRequestHandler {
  const seldom = new FirstOfMinute();
  return (thrown: unknown, req, res, _next) => {
    const failure = failureOf(thrown);
    metrics.refused(failure.code);
    const passedOver = seldom.take(failure.code);
    if (passedOver !== undefined)
      log[failure.code === 'internal' ? 'error' : 'warn']('A webhook request was refused.', {
        status: failure.status,
        requestId: res.getHeader('X-Request-Id'),
        remoteAddress: req.socket.remoteAddress,
        bytes: req.headers['content-length'],
        passedOver,
        error: failure,
      });
    answerFailure(failure, req, res);
  };
}
