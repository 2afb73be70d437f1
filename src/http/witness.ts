/** A request for a recording → its audit record, durable before the first byte of an answer. */
import type { Request } from 'express';
import type { Audit, AuditAction, AuditEntry } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import { inTime } from '../waiting.ts';
import { callerOf } from './auth.ts';

export interface WitnessOptions {
  /** Proxies in front of this service whose X-Forwarded-For is believed. */
  readonly proxies: number;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** How long a record may take; 30 s unless told. */
  readonly withinMs?: number;
}

/** What a request is about: a recording, or a question about many. */
export interface Act {
  readonly action: AuditAction;
  readonly way: 'key' | 'link' | 'iap' | 'oidc' | 'none';
  /** Where the caller's key does not tell: whom a link was given to. */
  readonly who?: string | undefined;
  readonly recording?: Recording;
  readonly about?: AuditEntry['about'];
}

/** A disk or bucket that answers later is one that does not. */
const RECORDED_WITHIN_MS = 30_000;
/** A player asks for a recording in many ranges: within so long they are one listen, which is on record already. */
const SAME_LISTEN_MS = 60_000;
/** Listens remembered; beyond that the oldest are recorded anew. */
const MOST_LISTENS = 5_000;

export class Witness {
  readonly #audit: Pick<Audit, 'record'> | undefined;
  readonly #options: WitnessOptions;
  readonly #now: () => number;
  /** When each listen was last put on record; in the order of time. */
  readonly #listens = new Map<string, { readonly at: number; readonly recorded: Promise<void> }>();

  constructor(audit: Pick<Audit, 'record'> | undefined, options: WitnessOptions) {
    this.#audit = audit;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Begins the record; await it before anything of the answer leaves. It is not aborted when the caller leaves: what may have
   * been heard stays on record. @throws Failure `archive-unavailable` where it cannot be written: then nothing may be answered
   */
  record(req: Request, act: Act): Promise<void> {
    const entry = this.#entryOf(req, act);
    const recorded = act.action === 'listened' ? this.#listened(entry) : this.#write(entry);
    // Whoever never comes to await it has nothing to answer either.
    recorded.catch(() => undefined);
    return recorded;
  }

  /** Where a request came from, and its number in the log. */
  placeOf(req: Request): Pick<AuditEntry, 'from' | 'requestId'> {
    const requestId = req.res?.getHeader('X-Request-Id');
    return {
      from: addressOf(req, this.#options.proxies),
      requestId: typeof requestId === 'string' ? requestId : undefined,
    };
  }

  #listened(entry: AuditEntry): Promise<void> {
    const { who, way, from = '', conversationId = '', recordingId = '' } = entry;
    const key = [who, way, from, conversationId, recordingId].join('\n');
    const known = this.#listens.get(key);
    if (known !== undefined && this.#now() - known.at < SAME_LISTEN_MS) return known.recorded;
    const recorded = this.#write(entry);
    this.#listens.delete(key);
    this.#listens.set(key, { at: this.#now(), recorded });
    recorded.catch(() => this.#listens.delete(key));
    for (const oldest of this.#listens.keys()) {
      if (this.#listens.size <= MOST_LISTENS) break;
      this.#listens.delete(oldest);
    }
    return recorded;
  }

  async #write(entry: AuditEntry): Promise<void> {
    if (this.#audit === undefined)
      throw new Failure('misconfigured', 'There is no audit to write to, and nothing is answered without a record.');
    const audit = this.#audit;
    const { withinMs = RECORDED_WITHIN_MS } = this.#options;
    await inTime((signal) => audit.record(entry, signal), withinMs, unrecorded);
  }

  #entryOf(req: Request, { action, way, who, recording, about }: Act): AuditEntry {
    return {
      action,
      who: who ?? callerOf(req).name,
      way,
      ...this.placeOf(req),
      conversationId: recording?.conversationId,
      recordingId: recording?.recordingId,
      about,
    };
  }
}

function unrecorded(): Failure {
  return new Failure(
    'archive-unavailable',
    'The audit does not take the record in time: nothing is played or changed before it can. Look at the disk or bucket of ARCHIVE_URL; try again in a moment.',
  );
}

/** The address that the outermost believed proxy saw: each adds the one it was asked from at the end of X-Forwarded-For. */
export function addressOf(req: Pick<Request, 'headers' | 'socket'>, proxies: number): string | undefined {
  const own = req.socket.remoteAddress;
  if (proxies === 0) return own;
  const header = req.headers['x-forwarded-for'];
  const hops = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').map((hop) => hop.trim());
  const believed = hops.at(-proxies);
  return believed !== undefined && /^[0-9A-Fa-f.:]{2,45}$/.test(believed) ? believed : own;
}
