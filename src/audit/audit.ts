/** Who did or heard what: the record that is durable before the act, and the contract of both places it lies in (test/audit/suite.ts). */
import { createHash } from 'node:crypto';
import { Fields, jsonIn } from '../fields.ts';

const ACTIONS = [
  'listened',
  'downloaded',
  'linked',
  'looked',
  'searched',
  'played',
  'replayed',
  'held',
  'released',
  'erasing',
  'erased',
  'restored',
  'retired',
  'exported',
  'verified',
  'signed-in',
  'refused',
] as const;

export type AuditAction = (typeof ACTIONS)[number];

/** Ids and names only. `why` is what a person typed: it is personal, and an audit cannot be erased. */
export interface AuditEntry {
  readonly action: AuditAction;
  /** The key's name, the person, or `command:{user}`. */
  readonly who: string;
  /** How that is known: `key`, `link`, `iap`, `oidc`, `command`, or `none` on loopback. */
  readonly way: string;
  /** The caller's address, as far as proxies are trusted. */
  readonly from?: string | undefined;
  readonly conversationId?: string | undefined;
  readonly recordingId?: string | undefined;
  readonly requestId?: string | undefined;
  readonly why?: string | undefined;
  /** Figures and words of the act itself: bytes, counts, a case, field names. Never a number, a name, a URL. */
  readonly about?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** An entry as it lies there. */
export interface AuditRecord extends AuditEntry {
  readonly v: 1;
  /** ISO 8601, UTC; the clock of whoever wrote it. */
  readonly at: string;
  /** Who wrote it: one process. In a folder all processes share one chain, and it is `folder`. */
  readonly chain: string;
  /** Counts the records of the chain from 1. */
  readonly sequence: number;
  /** SHA-256, hex, of the record before it in the chain, byte for byte; 64 zeros for the first. */
  readonly previous: string;
}

export interface AuditQuery {
  /** UTC days, both inclusive. */
  readonly from: string;
  readonly to: string;
  readonly who?: string | undefined;
  readonly action?: AuditAction | undefined;
  readonly conversationId?: string | undefined;
  readonly recordingId?: string | undefined;
}

/** What is not as it was written. */
export interface AuditFinding {
  readonly state: 'changed' | 'missing' | 'reordered' | 'unreadable' | 'torn';
  /** Where: `{day} line {n}`, or an object's name. */
  readonly where: string;
  readonly reason: string;
}

export interface AuditProof {
  readonly records: number;
  readonly findings: readonly AuditFinding[];
}

/** A day of the record in two figures, which are others whatever is taken away, added or changed. */
export interface AuditDay {
  readonly day: string;
  readonly records: number;
  /** Hex: of the file (a folder), of the names of its objects (a bucket; what is in them, their chains say). */
  readonly sha256: string;
}

export interface AuditDays {
  readonly from?: string | undefined;
  readonly to: string;
  /** Of these days the hash of so many records that were written first, where their order is known; of the others, of all. */
  readonly sealed?: ReadonlyMap<string, number>;
}

export interface Audit {
  /**
   * Resolves once the record is durable: only then may the act be done. @throws Failure `archive-unavailable` |
   * `misconfigured` saying what to mend; then nothing may be done.
   */
  record(entry: AuditEntry, signal: AbortSignal): Promise<void>;
  /** In the order they were written, day by day. */
  read(query: AuditQuery, signal: AbortSignal): AsyncIterable<AuditRecord>;
  /** Goes through every record of the chains. The newest records of a chain may be missing without a trace: nothing follows them. */
  verify(signal: AbortSignal): Promise<AuditProof>;
  /** Each day from `from` (the first there is, where it is absent) to `to`, both included, that has records; in order. */
  days(range: AuditDays, signal: AbortSignal): AsyncIterable<AuditDay>;
  close(): Promise<void>;
}

export const FIRST = '0'.repeat(64);

export function hashOf(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}

/** The record as one line of JSON, without its line break; its members in one order, so that it reads the same everywhere. */
export function encodeRecord(
  entry: AuditEntry,
  link: Pick<AuditRecord, 'at' | 'chain' | 'sequence' | 'previous'>,
): string {
  const { action, who, way, from, conversationId, recordingId, requestId, why, about } = entry;
  const { at, chain, sequence, previous } = link;
  const record = { v: 1, at, action, who, way, from, conversationId, recordingId, requestId, why, about };
  return JSON.stringify({ ...record, chain, sequence, previous });
}

/** undefined where the text is no record of ours. */
export function parseAuditRecord(line: string): AuditRecord | undefined {
  const fields = Fields.in(jsonIn(line));
  if (fields === undefined || fields.raw('v') !== 1) return undefined;
  const action = ACTIONS.find((known) => known === fields.raw('action'));
  const [at, who, way] = [fields.text('at'), fields.text('who'), fields.text('way')];
  const [chain, sequence, previous] = [fields.text('chain'), fields.number('sequence'), fields.text('previous')];
  if (action === undefined || at === undefined || who === undefined || way === undefined) return undefined;
  if (chain === undefined || sequence === undefined || previous === undefined) return undefined;
  const optional = ['from', 'conversationId', 'recordingId', 'requestId', 'why'] as const;
  const given = Object.fromEntries(optional.map((name) => [name, fields.text(name)]));
  return { v: 1, at, action, who, way, ...given, about: aboutOf(fields), chain, sequence, previous };
}

function aboutOf(fields: Fields): AuditEntry['about'] {
  const about = fields.fields('about');
  if (about === undefined) return undefined;
  const pairs = about.names().map((name) => [name, about.text(name) ?? about.number(name) ?? about.boolean(name)]);
  return Object.fromEntries(pairs.filter((pair): pair is [string, string | number | boolean] => pair[1] !== undefined));
}

export function matchesQuery(record: AuditRecord, query: AuditQuery): boolean {
  if (query.who !== undefined && record.who !== query.who) return false;
  if (query.action !== undefined && record.action !== query.action) return false;
  if (query.conversationId !== undefined && record.conversationId !== query.conversationId) return false;
  return query.recordingId === undefined || record.recordingId === query.recordingId;
}
