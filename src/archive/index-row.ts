/**
 * One recording as a line of the index: its manifest, or why it is not there, and what is kept of its conversation → one flat JSON
 * object that search and BigQuery read. The day is the folder's, and no field of the line.
 */
import { Fields, jsonIn } from '../fields.ts';
import type { Entry } from './archive.ts';
import type { ConversationDetails, NamedParty } from './details.ts';
import { recordingOf, type FailureRecord, type Manifest, type WaitingRecord } from './manifest.ts';
import { canonicalSubject, subjectKey, type Subject } from './names.ts';

/** `moved`: nothing any more; its line lies on another day, since when its conversation started is known by now. */
const ROW_STATUSES = ['archived', 'failed', 'waiting', 'no-media', 'no-recordings', 'moved'] as const;

/** Of the details, where they are kept. */
type DetailsInRow = Pick<
  ConversationDetails,
  'direction' | 'divisions' | 'agents' | 'queues' | 'customerNumber' | 'ownNumber' | 'wrapUpCodes' | 'externalTag'
>;

/** Lists are never null; everything else that is not known is. Fields are only ever added. */
export interface IndexRow extends DetailsInRow {
  /** `{conversationId|_}.{recordingId}`; `{conversationId}._` for a whole conversation. */
  readonly key: string;
  /** As of when it speaks; ISO 8601, UTC. Of lines with the same key the newest counts. */
  readonly at: string;
  readonly status: (typeof ROW_STATUSES)[number];
  readonly conversationId: string | null;
  readonly recordingId: string | null;
  /** Of the recording, else of its conversation; ISO 8601, UTC. */
  readonly startedAt: string | null;
  readonly medium: Manifest['medium'] | null;
  readonly durationMs: number | null;
  readonly sizeBytes: number | null;
  readonly channels: number | null;
  readonly way: string | null;
  readonly api: string | null;
  /** Of the WebM. */
  readonly sha256: string | null;
  readonly archivedAt: string | null;
  /** Who speaks when: of each channel 28 hex digits, as the manifest has them; empty where it has none. */
  readonly picture: readonly string[];
  /** Of each channel; seconds. */
  readonly speakingS: readonly number[];
  /** Both at once; seconds. */
  readonly bothS: number | null;
  readonly silentS: number | null;
  readonly longestSilenceS: number | null;
  /** A FailureCode: why it is not archived. */
  readonly code: string | null;
  readonly reason: string | null;
  readonly nextTry: string | null;
  readonly conversationStart: string | null;
  readonly conversationEnd: string | null;
}

const NOTHING = {
  startedAt: null,
  medium: null,
  durationMs: null,
  sizeBytes: null,
  channels: null,
  way: null,
  api: null,
  sha256: null,
  archivedAt: null,
  picture: [],
  speakingS: [],
  bothS: null,
  silentS: null,
  longestSilenceS: null,
  code: null,
  reason: null,
  nextTry: null,
  conversationStart: null,
  conversationEnd: null,
  direction: null,
  divisions: [],
  agents: [],
  queues: [],
  customerNumber: null,
  ownNumber: null,
  wrapUpCodes: [],
  externalTag: null,
} as const;

/** The same whenever it is made: it speaks as of the newest of what it is made of. */
export function archivedRow(manifest: Manifest, details?: ConversationDetails): IndexRow {
  const { medium, way, api, webm, finishedAt, recordedAt } = manifest;
  const known = knownOf(details);
  return {
    ...NOTHING,
    ...known,
    ...idsOfSubject(recordingOf(manifest)),
    at: newest(finishedAt, details?.at),
    status: 'archived',
    startedAt: recordedAt ?? known.conversationStart,
    medium,
    durationMs: webm.durationMs,
    sizeBytes: webm.sizeBytes,
    channels: webm.channels,
    way,
    api,
    sha256: webm.sha256,
    archivedAt: finishedAt,
    ...manifest.levels,
  };
}

/** The same, of a conversation of which no more is known than when it was. */
export function datedRow(
  row: IndexRow,
  { startedAt, endedAt }: { readonly startedAt: Date; readonly endedAt: Date | undefined },
): IndexRow {
  const conversationStart = row.conversationStart ?? startedAt.toISOString();
  const conversationEnd = row.conversationEnd ?? endedAt?.toISOString() ?? null;
  return { ...row, conversationStart, conversationEnd, startedAt: row.startedAt ?? conversationStart };
}

/** Why a recording (or a conversation) is not there. */
export function failedRow(record: FailureRecord, details?: ConversationDetails): IndexRow {
  const { status, code, reason, failedAt } = record;
  return { ...missingRow(record, failedAt, details), status, code, reason };
}

/** Why it is not there yet. `at` is when that was found. */
export function waitingRow(
  record: WaitingRecord,
  { at, details }: { readonly at: Date; readonly details?: ConversationDetails | undefined },
): IndexRow {
  const { code, reason, nextTry } = record;
  return { ...missingRow(record, at.toISOString(), details), status: 'waiting', code, reason, nextTry };
}

/** What a comparison with Genesys found of what is not there. `at`: as of when it speaks. */
export function findingRow(
  subject: Subject,
  {
    at,
    details,
    ...found
  }: {
    readonly at: Date;
    readonly details: ConversationDetails | undefined;
    readonly status: 'failed' | 'waiting' | 'no-recordings';
    readonly code: string;
    readonly reason: string;
  },
): IndexRow {
  const known = knownOf(details);
  const ids = idsOfSubject(subject);
  return { ...NOTHING, ...known, ...ids, ...found, at: at.toISOString(), startedAt: known.conversationStart };
}

/** What the archive lists. What waits speaks as of when it began to: whatever became of it later counts. */
export function rowOfEntry(entry: Entry, details: ConversationDetails | undefined): IndexRow {
  if (entry.status === 'archived') return archivedRow(entry.manifest, details);
  if (entry.status === 'waiting') return waitingRow(entry.waiting, { at: new Date(entry.waiting.since), details });
  return failedRow(entry.failure, details);
}

/** Stands where an earlier line of the same recording does not hold any more. */
export function movedRow(subject: Subject, at: string): IndexRow {
  return { ...NOTHING, ...idsOfSubject(subject), at, status: 'moved' };
}

function missingRow(
  { recordingId, conversationId }: FailureRecord | WaitingRecord,
  at: string,
  details: ConversationDetails | undefined,
): Omit<IndexRow, 'status'> {
  const subject = { recordingId: recordingId ?? undefined, conversationId: conversationId ?? undefined };
  const known = knownOf(details);
  return {
    ...NOTHING,
    ...known,
    ...idsOfSubject(subject),
    at: newest(at, details?.at),
    startedAt: known.conversationStart,
  };
}

/** However an archive spells them: one recording has one key. */
function idsOfSubject(subject: Subject): Pick<IndexRow, 'key' | 'recordingId' | 'conversationId'> {
  const { recordingId, conversationId } = canonicalSubject(subject);
  return {
    key: subjectKey({ recordingId, conversationId }),
    recordingId: recordingId ?? null,
    conversationId: conversationId ?? null,
  };
}

function newest(a: string, b = ''): string {
  return a > b ? a : b;
}

type Known = Pick<
  IndexRow,
  | 'conversationStart'
  | 'conversationEnd'
  | 'direction'
  | 'divisions'
  | 'agents'
  | 'queues'
  | 'customerNumber'
  | 'ownNumber'
  | 'wrapUpCodes'
  | 'externalTag'
>;

function knownOf(details: ConversationDetails | undefined): Known {
  const { conversationStart, conversationEnd } = NOTHING;
  if (details === undefined) return { ...NOTHING, conversationStart, conversationEnd };
  const { startedAt, endedAt, direction, divisions, agents, queues } = details;
  const { customerNumber, ownNumber, wrapUpCodes, externalTag } = details;
  return {
    conversationStart: startedAt,
    conversationEnd: endedAt,
    direction,
    divisions,
    agents,
    queues,
    customerNumber,
    ownNumber,
    wrapUpCodes,
    externalTag,
  };
}

/** The UTC day it belongs to: when its conversation started, else its recording, else when it was archived or given up. */
export function indexDayOf({ conversationStart, startedAt, archivedAt, at }: IndexRow): string {
  return (conversationStart ?? startedAt ?? archivedAt ?? at).slice(0, 10);
}

/** Their order, so that the same line is always the same bytes; `id` and `name` are those of agents and queues. */
const FIELD_NAMES = ['key', 'at', 'status', 'conversationId', 'recordingId', ...Object.keys(NOTHING), 'id', 'name'];

/** Without its end of line. */
export function encodeIndexRow(row: IndexRow): string {
  return JSON.stringify(row, FIELD_NAMES);
}

/** undefined for a line that is none: a listing is never lost to one of its lines. */
export function parseIndexRow(line: string): IndexRow | undefined {
  const fields = Fields.in(jsonIn(line));
  const status = ROW_STATUSES.find((known) => known === fields?.raw('status'));
  const [key, at] = [fields?.text('key'), fields?.instant('at')];
  if (fields === undefined || status === undefined || key === undefined || at === undefined) return undefined;
  const text = (name: string): string | null => fields.text(name) ?? null;
  const number = (name: string): number | null => fields.number(name) ?? null;
  const texts = (name: string): readonly string[] => textListIn(fields, name);
  return {
    key,
    at: at.toISOString(),
    status,
    conversationId: text('conversationId'),
    recordingId: text('recordingId'),
    startedAt: text('startedAt'),
    medium: (['audio', 'video'] as const).find((known) => known === text('medium')) ?? null,
    durationMs: number('durationMs'),
    sizeBytes: number('sizeBytes'),
    channels: number('channels'),
    way: text('way'),
    api: text('api'),
    sha256: text('sha256'),
    archivedAt: text('archivedAt'),
    picture: texts('picture'),
    speakingS: (fields.array('speakingS') ?? []).filter((value) => typeof value === 'number'),
    bothS: number('bothS'),
    silentS: number('silentS'),
    longestSilenceS: number('longestSilenceS'),
    code: text('code'),
    reason: text('reason'),
    nextTry: text('nextTry'),
    conversationStart: text('conversationStart'),
    conversationEnd: text('conversationEnd'),
    direction: (['inbound', 'outbound'] as const).find((known) => known === text('direction')) ?? null,
    divisions: texts('divisions'),
    agents: partiesIn(fields, 'agents'),
    queues: partiesIn(fields, 'queues'),
    customerNumber: text('customerNumber'),
    ownNumber: text('ownNumber'),
    wrapUpCodes: texts('wrapUpCodes'),
    externalTag: text('externalTag'),
  };
}

function textListIn(fields: Fields, name: string): readonly string[] {
  return (fields.array(name) ?? []).filter((value) => typeof value === 'string');
}

function partiesIn(fields: Fields, name: string): readonly NamedParty[] {
  return (fields.array(name) ?? []).flatMap((value) => {
    const party = Fields.in(value);
    return party === undefined ? [] : [{ id: party.text('id') ?? null, name: party.text('name') ?? null }];
  });
}
