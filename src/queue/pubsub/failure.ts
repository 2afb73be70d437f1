/** An error of Pub/Sub → a Failure that says which role, name or setting to change. */
import { adviceOnCredentials, lacksCredentials } from '../../credentials.ts';
import { Failure } from '../../failure.ts';
import type { Envelope } from '../envelope.ts';

/** What was being done, and to what: decides which role a refusal names. */
export interface PubsubDoing {
  readonly what: 'publish' | 'consume';
  /** Short name of the topic or subscription. */
  readonly name: string;
}

/** https://cloud.google.com/pubsub/docs/access-control */
const ROLES = {
  publish: { thing: 'topic', role: 'roles/pubsub.publisher' },
  consume: { thing: 'subscription', role: 'roles/pubsub.subscriber' },
} as const;

/** https://grpc.io/docs/guides/status-codes/ */
const DEADLINE_EXCEEDED = 4;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;

/** `misconfigured` for what the operator has to change, else `queue-unavailable`: both are 503 for a caller and lose no attempt. */
export function pubsubFailure(error: unknown, doing: PubsubDoing): Failure {
  if (error instanceof Failure) return error;
  const { thing, role } = ROLES[doing.what];
  const name = `The Pub/Sub ${thing} "${doing.name}"`;
  const advice = (text: string): Failure => new Failure('misconfigured', text, { cause: error });
  switch (grpcCodeOf(error)) {
    case NOT_FOUND:
      return advice(`${name} does not exist; create it (terraform apply) or correct QUEUE_URL.`);
    case PERMISSION_DENIED:
      return advice(`${name} is not open to this service account; grant it ${role} on the ${thing}.`);
    case UNAUTHENTICATED:
      return advice(`${name} was asked for without valid Google credentials; check the service account.`);
    default:
      if (lacksCredentials(error)) return advice(`${name} cannot be asked: ${adviceOnCredentials(error)}.`);
      return new Failure('queue-unavailable', `${name} did not answer in time; try again.`, { cause: error });
  }
}

/** Pub/Sub tells nobody without rights whether a thing exists: the advice has to name both. */
export function withoutRights(doing: PubsubDoing): Failure {
  const { thing, role } = ROLES[doing.what];
  return new Failure(
    'misconfigured',
    `The Pub/Sub ${thing} "${doing.name}" does not exist, or this service account lacks ${role} on it; run terraform apply or correct QUEUE_URL.`,
  );
}

/** Nobody can read it, now or later: given back, it comes to the dead-letter topic after as many deliveries as the policy says. */
export function unreadableTopic({ id, deliveryAttempt }: Envelope, cause: unknown): Failure {
  const text = 'A message could not be read; after several deliveries Pub/Sub moves it to the dead-letter topic.';
  return new Failure('bad-request', text, { cause, facts: { messageId: id, deliveryAttempt } });
}

export function isUnimplemented(error: unknown): boolean {
  return grpcCodeOf(error) === UNIMPLEMENTED;
}

export function isDeadlineExceeded(error: unknown): boolean {
  return grpcCodeOf(error) === DEADLINE_EXCEEDED;
}

export function isPermissionDenied(error: unknown): boolean {
  return grpcCodeOf(error) === PERMISSION_DENIED;
}

/** -1 where it is no answer of the server. */
function grpcCodeOf(error: unknown): number {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'number' ? code : -1;
}
