/** A pushed message, wrapped or not, → work, and how that ended → an answer Pub/Sub acts on. */
import type { ErrorRequestHandler, RequestHandler, Response } from 'express';
import type { IncomingHttpHeaders } from 'node:http';
import { ONE_REQUEST } from '../bounds.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import type { Log } from '../telemetry/log.ts';
import type { Envelope } from '../queue/envelope.ts';
import type { BodyRoom } from './body-room.ts';
import { readBody } from './body.ts';
import { answerFailure, failureOf } from './errors.ts';
import { FirstOfMinute } from '../telemetry/first-of-minute.ts';
import { headerOf } from './headers.ts';
import { parseJson } from './json.ts';
import type { VerifyPush } from './push-token.ts';

export interface PushNeeds {
  readonly verify: VerifyPush;
  /** What may be held of bodies on their way. */
  readonly bodies: BodyRoom;
  /** Resolves when the message may be acknowledged. @throws Failure where it has to be delivered again */
  readonly take: (pushed: Envelope, signal: AbortSignal) => Promise<void>;
  /** More at once are sent back: each holds an encoder, or waits for one while its deadline passes. */
  readonly limit: number;
}

/** 204 acknowledges; every other answer brings the message again after the subscription's backoff, whatever Retry-After says. */
export function receivePush(parts: PushNeeds): RequestHandler {
  let running = 0;
  return async (req, res) => {
    await parts.verify(req.headers);
    const pushed = parsePush(req.headers, await readBody(req, ONE_REQUEST.eventsBytes, parts.bodies));
    if (running >= parts.limit) throw new Failure('busy', 'All slots are taken; the message is delivered again.');
    running += 1;
    try {
      await parts.take(pushed, leftSignal(res));
    } finally {
      running -= 1;
    }
    res.status(204).end();
  };
}

/** Aborts when Pub/Sub gives the request up: it delivers the message again then. */
function leftSignal(res: Response): AbortSignal {
  const left = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) left.abort(new Failure('stopped', 'Pub/Sub ended the push before the work was done.'));
  });
  return left.signal;
}

/** @throws Failure `bad-request` for what is no message, `misconfigured` where its metadata is missing */
function parsePush(headers: IncomingHttpHeaders, body: Buffer): Envelope {
  const messageId = headerOf(headers, 'x-goog-pubsub-message-id');
  if (messageId !== undefined) return unwrapped(messageId, headers, body);
  const fields = Fields.of(parseJson(body), '');
  if (fields.raw('v') !== undefined && fields.raw('message') === undefined) {
    const advice = 'set no_wrapper.write_metadata of the push subscription, or take no_wrapper away';
    throw new Failure('misconfigured', `The message was pushed without its attributes: ${advice}.`);
  }
  return wrapped(fields.requireFields('message'), fields.raw('deliveryAttempt'));
}

/** https://cloud.google.com/pubsub/docs/payload-unwrapping: attributes become headers, whose names know no case. */
function unwrapped(id: string, headers: IncomingHttpHeaders, body: Buffer): Envelope {
  const attributes = Object.fromEntries(Object.keys(headers).map((name) => [name, headerOf(headers, name) ?? '']));
  return {
    id,
    data: body.toString('utf8'),
    attributes,
    publishedAt: parsePublishTime(headerOf(headers, 'x-goog-pubsub-publish-time')),
    deliveryAttempt: parseCount(headerOf(headers, 'x-goog-pubsub-delivery-attempt')),
  };
}

/** https://cloud.google.com/pubsub/docs/push#receive_push */
function wrapped(message: Fields, deliveryAttempt: unknown): Envelope {
  const data = message.raw('data') ?? '';
  if (typeof data !== 'string') throw new Failure('bad-request', 'message.data: expected base64.');
  const attributes = Fields.of(message.raw('attributes') ?? {}, 'message.attributes');
  return {
    id: message.text('messageId') ?? '',
    data: Buffer.from(data, 'base64').toString('utf8'),
    attributes: Object.fromEntries(attributes.names().map((name) => [name, attributes.text(name) ?? ''])),
    publishedAt: parsePublishTime(message.text('publishTime')),
    deliveryAttempt: parseCount(deliveryAttempt),
  };
}

/** Its age is counted from it: what has none is as old as its arrival. */
function parsePublishTime(text: string | undefined): Date {
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}

function parseCount(value: unknown): number {
  const count = Number(value ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** A push that is refused is seen by the operator, the first of a minute and reason: nobody else reads Pub/Sub's answers. */
export function refusePush(log: Log): ErrorRequestHandler {
  const seldom = new FirstOfMinute();
  return (thrown: unknown, req, res, _next) => {
    const failure = failureOf(thrown);
    const level = failure.code === 'internal' ? 'error' : failure.code === 'busy' ? 'debug' : 'warn';
    const passedOver = seldom.take([failure.code, failure.facts['why']].join());
    if (passedOver !== undefined)
      log[level]('A push was refused.', {
        status: failure.status,
        requestId: res.getHeader('X-Request-Id'),
        passedOver,
        error: failure,
      });
    answerFailure(failure, req, res);
  };
}
