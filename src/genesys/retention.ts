/**
 * What Genesys is to give back, to delete, or never to delete. Dates are asked for by one PUT each, which is sent once, and
 * believed only when they are read back: https://developer.genesys.cloud/devapps/api-explorer (Recording). What Genesys really makes
 * of them at its edges is unconfirmed until a first run against a real organisation.
 */
import type { Dispatcher } from 'undici';
import type { GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { canonicalId, isId } from '../recording.ts';
import { backoffMs } from '../waiting.ts';
import { Api, type OnRefused } from './api.ts';
import { createAgent } from './exchange.ts';
import { type ConversationRecording, fieldsOfRecording } from './recording-answer.ts';

/** What Genesys says of a recording there. */
export interface SourceState {
  /** `AVAILABLE`, `ARCHIVED`, `RESTORING`, `RESTORED`, `DELETED` …; empty where it does not say. */
  readonly fileState: string;
  readonly archiveDate: Date | undefined;
  readonly deleteDate: Date | undefined;
}

export interface RefusedProtection {
  /** undefined where Genesys does not say which it is. */
  readonly conversationId: string | undefined;
  readonly reason: string;
}

export interface RetentionOptions {
  readonly proxies?: Proxies | undefined;
  /** Told of what is waited for, again and again for as long as it is. */
  readonly onWait?: ((what: string) => void) | undefined;
  readonly onRefused?: OnRefused | undefined;
}

/** Of one call: https://developer.genesys.cloud/devapps/api-explorer (deletionprotection). */
export const MOST_PROTECTED_AT_ONCE = 100;
/** Nobody sits there and waits. */
const PATIENCE_MS = 15 * 60_000;
/** After a passing failure without Retry-After. */
const BACKOFF = { baseMs: 1_000, capMs: 60_000 } as const;
/** Genesys keeps whole seconds at least. */
const SAME_DATE_MS = 1_000;

export class GenesysRetention {
  readonly #agent: Dispatcher;
  readonly #api: Api;

  constructor(config: GenesysConfig, { proxies, onWait, onRefused }: RetentionOptions) {
    this.#agent = createAgent(proxies);
    const waitMs = (attempt: number): number => backoffMs(attempt, BACKOFF);
    this.#api = new Api(config, {
      agent: this.#agent,
      patience: { patienceMs: PATIENCE_MS, tries: 60, waitMs },
      share: 1,
      onWait,
      onRefused,
    });
  }

  /** The time by Genesys' clock. @throws Failure where it gives no token */
  async now(signal: AbortSignal): Promise<Date> {
    await this.#api.check(signal);
    return this.#api.clock.now();
  }

  get heardSkewMs(): number | undefined {
    return this.#api.clock.skewMs;
  }

  /** Starts no transcoding. @throws Failure `not-found`, `forbidden`, `upstream-error` where what it says cannot be relied on, … */
  async stateOf(recording: ConversationRecording, signal: AbortSignal): Promise<SourceState> {
    const path = pathOfSource(recording, 'recordingmetadata');
    const { body } = await this.#api.ask({ path, caller: 'worker' }, signal);
    return stateIn(fieldsOfRecording(body, recording));
  }

  /** Asks for what Genesys has stored away. @throws Failure `upstream-error` where it says nothing of restoring it */
  async restore(recording: ConversationRecording, until: Date, signal: AbortSignal): Promise<SourceState> {
    const isBelieved = ({ fileState }: SourceState): boolean => fileState === 'RESTORING' || fileState === 'RESTORED';
    return this.#put({ recording, body: { archiveDate: until.toISOString() }, isBelieved, right: 'restore' }, signal);
  }

  /** undefined: not at all any more. @throws Failure `upstream-error` where Genesys says another date afterwards */
  async deleteAt(recording: ConversationRecording, at: Date | undefined, signal: AbortSignal): Promise<SourceState> {
    const isBelieved = ({ deleteDate }: SourceState): boolean =>
      at === undefined
        ? deleteDate === undefined
        : deleteDate !== undefined && Math.abs(deleteDate.getTime() - at.getTime()) <= SAME_DATE_MS;
    const body = { deleteDate: at === undefined ? null : at.toISOString() };
    return this.#put({ recording, body, isBelieved, right: 'editRetention' }, signal);
  }

  /** At most {@link MOST_PROTECTED_AT_ONCE}. Which of them were refused, and why: of a thousand in an organisation there is no count. */
  async protect(
    conversationIds: readonly string[],
    isProtected: boolean,
    signal: AbortSignal,
  ): Promise<readonly RefusedProtection[]> {
    const path = `${PROTECTION}?protect=${String(isProtected)}`;
    const right = isProtected ? 'recording:deletionProtection:apply' : 'recording:deletionProtection:revoke';
    const asked = this.#api.ask({ method: 'PUT', path, body: { conversationIds }, caller: 'worker' }, signal);
    const { body } = await asked.catch((thrown: unknown) => refuseBy(thrown, right));
    return (Fields.in(body)?.array('failedUpdates') ?? []).map(refusedIn);
  }

  /** Those of them that Genesys protects; at most {@link MOST_PROTECTED_AT_ONCE}. Needs no permission. */
  async protectedAmong(conversationIds: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { body } = await this.#api.ask(
      { method: 'POST', path: PROTECTION, body: { conversationIds }, caller: 'worker' },
      signal,
    );
    if (!Array.isArray(body))
      throw new Failure('upstream-error', 'Genesys answered with a list of protected conversations that is no array.');
    return new Set(body.map(protectedIn));
  }

  async close(): Promise<void> {
    this.#api.close();
    await this.#agent.destroy();
  }

  /** An answer that was lost is no refusal: what Genesys says afterwards counts. */
  async #put({ recording, body, isBelieved, right }: RetentionChange, signal: AbortSignal): Promise<SourceState> {
    const path = pathOfSource(recording, 'recordings');
    const refused = await this.#api.ask({ method: 'PUT', path, body, caller: 'worker' }, signal).then(
      () => undefined,
      (thrown: unknown) => Failure.from(thrown),
    );
    if (refused?.code === 'forbidden')
      refuseBy(refused, `recording:recording:${right} (and recording:screenRecording:${right})`);
    const state = await this.stateOf(recording, signal);
    if (isBelieved(state)) return state;
    throw (
      refused ??
      new Failure(
        'upstream-error',
        `Genesys took the request and says otherwise when it is asked again (${state.fileState || 'no file state'}): look at the recording in Genesys Cloud.`,
      )
    );
  }
}

const PROTECTION = '/api/v2/recordings/deletionprotection';

interface RetentionChange {
  readonly recording: ConversationRecording;
  readonly body: Readonly<Record<string, unknown>>;
  readonly isBelieved: (state: SourceState) => boolean;
  readonly right: 'restore' | 'editRetention';
}

function pathOfSource(
  { conversationId, recordingId }: ConversationRecording,
  kind: 'recordings' | 'recordingmetadata',
): string {
  return `/api/v2/conversations/${encodeURIComponent(conversationId)}/${kind}/${encodeURIComponent(recordingId)}`;
}

function stateIn(fields: Fields): SourceState {
  return {
    fileState: (fields.text('fileState') ?? '').toUpperCase(),
    archiveDate: fields.instant('archiveDate'),
    deleteDate: dateOrNone(fields, 'deleteDate'),
  };
}

/** One that is there and cannot be read is not taken for none: it would be lost, or believed to be gone. */
function dateOrNone(fields: Fields, name: string): Date | undefined {
  const [text, date] = [fields.raw(name), fields.instant(name)];
  if (date !== undefined || text === undefined || text === null || text === '') return date;
  throw new Failure('upstream-error', `Genesys answered with a ${name} that cannot be read.`);
}

/** What names no conversation may be about any of them. */
function protectedIn(entry: unknown): string {
  const id = Fields.in(entry)?.text('id') ?? '';
  if (isId(id)) return canonicalId(id);
  throw new Failure('upstream-error', 'Genesys answered with a protected conversation without an id.');
}

function refusedIn(entry: unknown): RefusedProtection {
  const fields = Fields.in(entry);
  const conversationId = fields?.fields('conversation')?.text('id') ?? '';
  const code = fields?.text('errorCode') ?? '';
  const reason = /^[a-z0-9._-]{1,64}$/i.test(code) ? code : 'refused';
  return { conversationId: isId(conversationId) ? canonicalId(conversationId) : undefined, reason };
}

function refuseBy(thrown: unknown, right: string): never {
  const failure = Failure.from(thrown);
  if (failure.code !== 'forbidden') throw failure;
  throw new Failure('forbidden', `Genesys denied access; give the role of GENESYS_CLIENT_ID ${right}.`, {
    cause: failure,
  });
}
