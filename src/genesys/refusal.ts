/** An error answer of the Platform API → a Failure: whose it is, what to do, and when to ask again. */
import { Failure, type FailureCode } from '../failure.ts';
import { Fields } from '../fields.ts';
import { parseRetryAfter } from '../waiting.ts';
import type { JsonAnswer } from './exchange.ts';

/** Genesys' ErrorBody: https://developer.genesys.cloud/platform/api/response-codes */
export function refusalFailure(answer: JsonAnswer, path: string): Failure {
  const body = Fields.in(answer.body);
  const code = body?.text('code');
  const isCode = code !== undefined && /^[a-z0-9._-]{1,64}$/i.test(code);
  const { failureCode, text, isLate, afterMs } =
    FINAL.has(answer.status) && !isCode ? BY_SOMEBODY_ELSE : refusalOfStatus(answer.status, path);
  const waitMs = parseRetryAfter(answer.headers['retry-after'], new Date()) ?? afterMs;
  return new Failure(failureCode, `${text} (${isCode ? code : `status ${String(answer.status)}`}).`, {
    ...(isLate === true ? { sort: 'recording', retry: 'wait' } : {}),
    ...(waitMs === undefined ? {} : { afterMs: waitMs }),
    facts: {
      path,
      status: answer.status,
      code: isCode ? code : undefined,
      correlationId: answer.headers['inin-correlation-id'] ?? body?.text('contextId'),
    },
  });
}

/** What ends a recording at once; not where it has no code of Genesys': proxies call malformed or gone whatever they do not like. */
const FINAL: ReadonlySet<number> = new Set([400, 410]);

const BY_SOMEBODY_ELSE: StatusRefusal = {
  failureCode: 'upstream-error',
  text: 'Something before Genesys refused the request; check GENESYS_API_URL and any proxy',
};

interface StatusRefusal {
  readonly failureCode: FailureCode;
  readonly text: string;
  /** Genesys may still come to know it: it waits for as long as a recording may be late. */
  readonly isLate?: boolean;
  readonly afterMs?: number;
}

function refusalOfStatus(status: number, path: string): StatusRefusal {
  if (status === 403) return { failureCode: 'forbidden', text: `Genesys denied access; ${permissionFor(path)}` };
  const known = REFUSALS.get(status);
  if (known !== undefined && OF_A_RECORDING.has(status) && path.startsWith('/api/v2/analytics/'))
    return { failureCode: known.failureCode, text: 'Genesys does not answer this question to its analytics' };
  if (known !== undefined) return known;
  if (status >= 500)
    return { failureCode: 'upstream-unavailable', text: 'Genesys has a fault or is overloaded; try again later' };
  return { failureCode: 'upstream-error', text: 'Genesys answered in a way this service does not know' };
}

/** What these say elsewhere is said of ids. */
const OF_A_RECORDING: ReadonlySet<number> = new Set([400, 404, 410]);

/** By path, the first that fits. https://developer.genesys.cloud/devapps/api-explorer names them with each call. */
const PERMISSIONS: readonly (readonly [RegExp, string])[] = [
  [/^\/api\/v2\/voicemail\//, 'voicemail:acdVoicemail:view'],
  [/^\/api\/v2\/conversations\/[^/]+$/, 'conversation:communication:view'],
  [/^\/api\/v2\/analytics\//, 'analytics:conversationDetail:view'],
  [/^\/api\/v2\/processautomation\//, 'processautomation:trigger:view'],
  [/^\/api\/v2\/quality\/conversations\/audits\//, 'audits:interactionDetails:view'],
  [/^\/api\/v2\/orphanrecordings/, 'recording:orphan:view'],
  [/^\/api\/v2\/recording\/uploads\//, 'recording:uploadReport:add and recording:uploadReport:view'],
  [/./, 'recording:recording:view (and recording:screenRecording:view)'],
];

function permissionFor(path: string): string {
  const [, permission = ''] = PERMISSIONS.find(([pattern]) => pattern.test(path)) ?? [];
  return `give the role of GENESYS_CLIENT_ID ${permission}, for the divisions that are recorded`;
}

const REFUSALS: ReadonlyMap<number, StatusRefusal> = new Map<number, StatusRefusal>([
  [
    400,
    { failureCode: 'bad-request', text: 'Genesys refused the ids as malformed; check recordingId and conversationId' },
  ],
  [
    401,
    {
      failureCode: 'misconfigured',
      text: 'Genesys refused a new token as well; check that GENESYS_API_URL and GENESYS_LOGIN_URL are of one region and that the client is active',
      afterMs: 60_000,
    },
  ],
  // Right after a call its recording may not be known yet.
  [
    404,
    { failureCode: 'not-found', text: 'Genesys does not know this recording under this conversation', isLate: true },
  ],
  [408, { failureCode: 'upstream-timeout', text: 'Genesys did not answer in time' }],
  [410, { failureCode: 'gone', text: 'Genesys has deleted this recording' }],
  [429, { failureCode: 'rate-limited', text: 'Genesys is limiting the rate of requests' }],
  [504, { failureCode: 'upstream-timeout', text: 'Genesys did not answer in time' }],
]);
