/** What lies between receiver and worker: the message, and the contract every queue keeps (test/queue/suite.ts). */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { parseId, parseOptionalId } from '../recording.ts';

/** What somebody is told of. */
const NOTICES = ['recording.archived', 'recording.failed', 'day.incomplete'] as const;

export type NoticeEvent = (typeof NOTICES)[number];

/** Whether something that came in is called as what we tell others. */
export function isNotice(event: unknown): boolean {
  return NOTICES.some((known) => known === event);
}

/** Work for one recording, for all recordings of a conversation, or beside them. Ids only. */
export type Message =
  | {
      readonly kind: 'recording';
      readonly recordingId: string;
      readonly conversationId: string | undefined;
      readonly traceparent?: string;
    }
  | {
      readonly kind: 'conversation';
      readonly conversationId: string;
      /** Its voicemails, instead of its recordings: work of its own, since most conversations have none. */
      readonly voicemail?: true;
      readonly traceparent?: string;
    }
  /** What is kept of a conversation beside its recordings. */
  | {
      readonly kind: 'details';
      readonly conversationId: string;
      /** To whoever publishes it: it is delivered no sooner than so long from then. It is no part of what lies on the queue. */
      readonly afterMs?: number;
      readonly traceparent?: string;
    }
  /** Levels of what was archived without them. */
  | {
      readonly kind: 'levels';
      readonly recordingId: string;
      readonly conversationId: string | undefined;
      readonly traceparent?: string;
    }
  /** Somebody is to be told of something. */
  | {
      readonly kind: 'notice';
      readonly event: NoticeEvent;
      readonly conversationId: string | undefined;
      readonly recordingId: string | undefined;
      /** Of `day.incomplete`. */
      readonly day?: string;
      /** When it came to be; ISO 8601, UTC. */
      readonly at: string;
      /** The FailureCode of `recording.failed`. */
      readonly code?: string;
      readonly traceparent?: string;
    };

/**
 * The message as it lies on the queue: versioned JSON, so that old and new revisions can run side by side. To revisions
 * that do not know them details are a look at a conversation and levels a recording that is archived already, which harms nothing;
 * what else one does not know waits.
 */
export function encodeMessage(message: Message): string {
  const { traceparent: _, ...ids } = message;
  if (ids.kind === 'details')
    return JSON.stringify({ v: 1, kind: 'conversation', conversationId: ids.conversationId, details: true });
  if (ids.kind === 'levels') return JSON.stringify({ v: 1, ...ids, kind: 'recording', levels: true });
  return JSON.stringify({ v: 1, ...ids });
}

/** What a newer revision wrote waits so long for one, and as often as that. */
export const UNKNOWN_WAITS_MS = 10 * 60_000;
const UNKNOWN_LIVES_MS = 7 * 24 * 3_600_000;

/** Whether a message that could not be read is a newer revision's, which may yet come and read it. */
export function isForNewer(thrown: unknown, acceptedAt: Date): boolean {
  return thrown instanceof Failure && thrown.retry === 'wait' && Date.now() - acceptedAt.getTime() < UNKNOWN_LIVES_MS;
}

function unknownMessage(field: string, expected: string, isNewer: boolean): Failure {
  const newer = isNewer ? '; a newer service wrote this message' : '';
  return new Failure(
    'bad-request',
    `message.${field}: expected ${expected}${newer}.`,
    isNewer ? { retry: 'wait' } : {},
  );
}

/** @throws Failure `bad-request` naming the field: such a message can never be delivered, but to a newer revision ({@link isForNewer}) */
export function parseMessage(text: string, traceparent?: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Failure('bad-request', 'message: expected JSON.', { cause });
  }
  const fields = Fields.of(value, 'message');
  if (fields.raw('v') !== 1) throw unknownMessage('v', '1', (fields.number('v') ?? 0) > 1);
  const trace = traceparent === undefined ? {} : { traceparent };
  switch (fields.raw('kind')) {
    case 'recording':
      return {
        kind: fields.raw('levels') === true ? 'levels' : 'recording',
        recordingId: parseId(fields.raw('recordingId'), 'message.recordingId'),
        conversationId: parseOptionalId(fields.raw('conversationId'), 'message.conversationId'),
        ...trace,
      };
    case 'conversation': {
      const conversationId = parseId(fields.raw('conversationId'), 'message.conversationId');
      if (fields.raw('details') === true) return { kind: 'details', conversationId, ...trace };
      const voicemail = fields.raw('voicemail') === true ? ({ voicemail: true } as const) : {};
      return { kind: 'conversation', conversationId, ...voicemail, ...trace };
    }
    case 'notice':
      return { ...parseNotice(fields), ...trace };
    default:
      throw unknownMessage('kind', '"recording", "conversation" or "notice"', fields.text('kind') !== undefined);
  }
}

function parseNotice(fields: Fields): Message {
  const event = NOTICES.find((known) => known === fields.raw('event'));
  if (event === undefined) throw unknownMessage('event', NOTICES.join(', '), fields.text('event') !== undefined);
  const [day, code] = [fields.text('day'), fields.text('code')];
  return {
    kind: 'notice',
    event,
    conversationId: parseOptionalId(fields.raw('conversationId'), 'message.conversationId'),
    recordingId: parseOptionalId(fields.raw('recordingId'), 'message.recordingId'),
    at: fields.requireInstant('at'),
    ...(day === undefined ? {} : { day }),
    ...(code === undefined ? {} : { code }),
  };
}

/** How long it waits from its publication on, where its key is not on the queue already; 0 for most. */
export function delayOf(message: Message): number {
  return message.kind === 'details' ? (message.afterMs ?? 0) : 0;
}

/** Messages with the same key are the same work. */
export function messageKey(message: Message): string {
  if (message.kind === 'recording' || message.kind === 'levels')
    return `${message.kind}:${message.conversationId ?? '_'}.${message.recordingId}`;
  if (message.kind === 'notice') return `notice:${message.event}:${noticeKey(message)}`;
  if (message.kind === 'details') return `details:${message.conversationId}`;
  return `${message.voicemail === true ? 'voicemail' : 'conversation'}:${message.conversationId}`;
}

/** What a notice is about: a day, a recording, or (`{conversationId}._`) a whole conversation. */
export function noticeKey({ day, conversationId, recordingId }: Message & { readonly kind: 'notice' }): string {
  return day ?? `${conversationId ?? '_'}.${recordingId ?? '_'}`;
}

/** Undefined is what it does not name. */
export function idsOf(message: Message): { recordingId: string | undefined; conversationId: string | undefined } {
  return {
    recordingId: 'recordingId' in message ? message.recordingId : undefined,
    conversationId: message.conversationId,
  };
}

export interface Delivery {
  readonly message: Message;
  /** 1 for the first; waiting does not count. */
  readonly attempt: number;
  /** Deliveries in a row that never came back: the process was killed or the lease lost. */
  readonly lost: number;
  /** When the event was first accepted: total age is counted from here. */
  readonly acceptedAt: Date;
  /** How long the transport waits for the settlement (a push); what takes longer settles as `long`. */
  readonly withinMs?: number;
  /** To be called once nothing is left that needs an encoder: the next one may be begun meanwhile. */
  readonly yieldSlot?: () => void;
}

/** Milliseconds since the event was accepted; 0 where the clock was set back behind that, or another one goes before ours. */
export function ageOf({ acceptedAt }: Delivery): number {
  return Math.max(0, Date.now() - acceptedAt.getTime());
}

export interface Later {
  readonly afterMs: number;
  /** A new event may bring it forward to so long from now. Absent where somebody else named the time: that is never shortened. */
  readonly soonestMs?: number;
}

/** How a delivery ended; the handler never throws. */
export type Settlement =
  /** The archive has it: the queue forgets it, and only a new event brings it back. */
  | { readonly outcome: 'done' }
  /** Permanent, and the same: the archive has the reason. Where even that failed, it is `unrecorded` and the queue keeps it. */
  | { readonly outcome: 'dead'; readonly reason: string; readonly unrecorded?: true }
  /** Delivered again no earlier than `afterMs` from now; counts as an attempt. */
  | ({ readonly outcome: 'again' } & Later)
  /** The same, but it counts as no attempt and holds nothing meanwhile. `because` is for whoever has more of the same work. */
  | ({ readonly outcome: 'wait'; readonly because?: Failure } & Later)
  /** More work than `withinMs` allows: delivered again, uncounted, where there is no such bound. */
  | { readonly outcome: 'long' }
  /** Given back untouched and at once, because it was stopped: nothing is counted, and somebody else may take it. */
  | { readonly outcome: 'back' };

/** `signal` aborts when the lease is lost or the consumer stops. */
export type Handle = (delivery: Delivery, signal: AbortSignal) => Promise<Settlement>;

export interface Depth {
  /** Deliverable now. */
  readonly ready: number;
  /** Not before a later time. */
  readonly waiting: number;
  readonly running: number;
  readonly dead: number;
}

export interface Queue {
  /**
   * Resolves once every message is durable: only then may a 2xx be sent. Messages whose key is queued or running already
   * may collapse. A thousand are all or nothing; of more some may be there when it fails, which are duplicates the next time.
   * @throws Failure `queue-unavailable` (503) within 5 s when it cannot.
   */
  publish(messages: readonly Message[], signal: AbortSignal): Promise<void>;
  /**
   * Delivers at most `slots` messages at once, and as many more whose handlers have yielded their slots, until `signal` aborts;
   * then takes no more, aborts the running ones, gives back whatever did not settle (uncounted) and resolves. Every message is
   * delivered at least once; no two deliveries of one message run at once while its lease is kept.
   */
  consume(handle: Handle, slots: number, signal: AbortSignal): Promise<void>;
  /** @throws Failure saying what to change when messages could be neither published nor taken. */
  check(signal: AbortSignal): Promise<void>;
  /** undefined where the queue's own monitoring has these figures (Pub/Sub). */
  depth(): Promise<Depth | undefined>;
  /** Flushes what is being published, then releases everything. */
  close(): Promise<void>;
}
