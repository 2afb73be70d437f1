/**
 * What is kept of a conversation beside its recordings: where it lies under `conversations/{conversationId}/`, and Genesys' answer
 * about it → who spoke, in which queue, with which numbers. All of it is personal, and lies under this one prefix.
 */
import { Fields, jsonIn } from '../fields.ts';
import { canonicalId, isId, type Recording } from '../recording.ts';
import type { Notes } from './notes.ts';

/** Somebody or something that Genesys names; either may be unknown. */
export interface NamedParty {
  readonly id: string | null;
  readonly name: string | null;
}

export interface ConversationDetails {
  readonly conversationId: string;
  /** When Genesys was asked; ISO 8601, UTC. */
  readonly at: string;
  /** ISO 8601; null where Genesys does not say. */
  readonly startedAt: string | null;
  /** null while it went on. */
  readonly endedAt: string | null;
  readonly direction: 'inbound' | 'outbound' | null;
  /** Ids. */
  readonly divisions: readonly string[];
  /** Each once, in the order they came in. */
  readonly agents: readonly NamedParty[];
  readonly queues: readonly NamedParty[];
  /** Without `tel:` or `sip:`. */
  readonly customerNumber: string | null;
  /** What was called, or what was shown to who was called. */
  readonly ownNumber: string | null;
  readonly wrapUpCodes: readonly string[];
  readonly externalTag: string | null;
  /** As Genesys answered. */
  readonly conversation: unknown;
}

/** A recording that belongs to a conversation. */
export interface RecordingOfConversation extends Recording {
  readonly conversationId: string;
}

export function conversationPrefix(conversationId: string): string {
  return `conversations/${conversationId}/`;
}

export function detailsName(conversationId: string): string {
  return `${conversationPrefix(conversationId)}details.json`;
}

/** What Genesys says of the recording, its annotations among it. */
export function recordingNoteName({ conversationId, recordingId }: RecordingOfConversation): string {
  return `${conversationPrefix(conversationId)}recording.${recordingId}.json`;
}

/** As downloaded. */
export function transcriptName({ conversationId, recordingId }: RecordingOfConversation): string {
  return `${conversationPrefix(conversationId)}transcript.${recordingId}.json`;
}

/** Stands for a transcript that Genesys did not have in all the time it was asked for. */
export function noTranscriptName({ conversationId, recordingId }: RecordingOfConversation): string {
  return `${conversationPrefix(conversationId)}transcript.${recordingId}.none.json`;
}

/** `conversation` as Genesys answered it, without the attributes that flows set: they may hold anything, secrets too. */
export function encodeDetails(
  conversation: unknown,
  { conversationId, at, service }: { readonly conversationId: string; readonly at: Date; readonly service: string },
): string {
  return `${JSON.stringify({ version: 1, conversationId, at: at.toISOString(), service, conversation: withoutAttributes(conversation) })}\n`;
}

function withoutAttributes(conversation: unknown): unknown {
  const fields = Fields.in(conversation);
  const participants = fields?.array('participants');
  if (fields === undefined || participants === undefined) return conversation;
  return { ...fieldsExcept(fields, []), participants: participants.map(participantWithoutAttributes) };
}

function participantWithoutAttributes(participant: unknown): unknown {
  const fields = Fields.in(participant);
  return fields === undefined ? participant : fieldsExcept(fields, ['attributes']);
}

function fieldsExcept(fields: Fields, without: readonly string[]): object {
  const kept = fields.names().filter((name) => !without.includes(name));
  return Object.fromEntries(kept.map((name) => [name, fields.raw(name)]));
}

export async function readDetails(
  conversationId: string,
  notes: Pick<Notes, 'read'>,
  signal: AbortSignal,
): Promise<ConversationDetails | undefined> {
  return parseDetails(await notes.read(detailsName(conversationId), signal));
}

/** undefined for what cannot be read: it is as good as not there, and asked for again. */
export function parseDetails(text: string | undefined): ConversationDetails | undefined {
  const fields = Fields.in(jsonIn(text));
  const [conversationId, at] = [fields?.text('conversationId'), fields?.instant('at')];
  if (fields?.raw('version') !== 1 || conversationId === undefined || !isId(conversationId) || at === undefined)
    return undefined;
  const conversation = fields.raw('conversation');
  return {
    conversationId: canonicalId(conversationId),
    at: at.toISOString(),
    ...factsOf(Fields.in(conversation)),
    conversation,
  };
}

type ConversationFacts = Omit<ConversationDetails, 'conversationId' | 'at' | 'conversation'>;

/** AnalyticsConversation: https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/conversation-query */
function factsOf(conversation: Fields | undefined): ConversationFacts {
  const parties = fieldsListed(conversation, 'participants').map(partyOf);
  const direction = directionOf(conversation?.text('originatingDirection'));
  const segments = parties.flatMap((party) => party.segments);
  return {
    startedAt: instantOf(conversation, 'conversationStart'),
    endedAt: instantOf(conversation, 'conversationEnd'),
    direction,
    divisions: textsAmong(conversation?.array('divisionIds') ?? []),
    agents: eachOnce(parties.filter(({ purpose }) => AGENTS.has(purpose)).map(({ id, name }) => ({ id, name }))),
    queues: eachOnce(parties.flatMap(queuesOf)),
    ...numbersOf(parties, direction),
    wrapUpCodes: [...new Set(segments.flatMap((segment) => segment.text('wrapUpCode') ?? []))],
    externalTag: conversation?.text('externalTag') ?? null,
  };
}

/** One participant, as far as it tells who, where and with which numbers. */
interface Party {
  readonly purpose: string;
  readonly id: string | null;
  readonly name: string | null;
  readonly sessions: readonly Fields[];
  readonly segments: readonly Fields[];
}

const AGENTS = new Set(['agent', 'user']);
const CUSTOMERS = new Set(['customer', 'external']);

function partyOf(participant: Fields): Party {
  const sessions = fieldsListed(participant, 'sessions');
  return {
    purpose: participant.text('purpose')?.toLowerCase() ?? '',
    id: participant.text('userId') ?? null,
    name: textOrNull(participant.text('participantName')),
    sessions,
    segments: sessions.flatMap((session) => fieldsListed(session, 'segments')),
  };
}

/** Every segment in a queue has its id; only the queue's own participant has its name. */
function queuesOf({ purpose, name, segments }: Party): readonly NamedParty[] {
  const ids = new Set(segments.flatMap((segment) => segment.text('queueId') ?? []));
  return [...ids].map((id) => ({ id, name: purpose === 'acd' && ids.size === 1 ? name : null }));
}

function numbersOf(
  parties: readonly Party[],
  direction: ConversationDetails['direction'],
): Pick<ConversationDetails, 'customerNumber' | 'ownNumber'> {
  const theirs = parties.filter(({ purpose }) => CUSTOMERS.has(purpose)).flatMap(({ sessions }) => sessions);
  const sessions = theirs.length > 0 ? theirs : parties.flatMap((party) => party.sessions);
  const [caller, called] = [firstNumber(sessions, 'ani'), firstNumber(sessions, 'dnis')];
  return direction === 'outbound'
    ? { customerNumber: called, ownNumber: caller }
    : { customerNumber: caller, ownNumber: called };
}

function firstNumber(sessions: readonly Fields[], name: 'ani' | 'dnis'): string | null {
  for (const session of sessions) {
    const number = textOrNull(
      session
        .text(name)
        ?.replace(/^(?:tel|sips?):/i, '')
        .replace(/;.*$/, ''),
    );
    if (number !== null) return number;
  }
  return null;
}

/** By id, else by name; what is known of one is put together. */
function eachOnce(parties: readonly NamedParty[]): readonly NamedParty[] {
  const known = new Map<string, NamedParty>();
  for (const { id, name } of parties) {
    const key = id ?? name;
    if (key !== null) known.set(key, { id, name: known.get(key)?.name ?? name });
  }
  return [...known.values()];
}

function directionOf(text: string | undefined): ConversationDetails['direction'] {
  const lower = text?.toLowerCase();
  return lower === 'inbound' || lower === 'outbound' ? lower : null;
}

function instantOf(fields: Fields | undefined, name: string): string | null {
  return fields?.instant(name)?.toISOString() ?? null;
}

function fieldsListed(fields: Fields | undefined, name: string): readonly Fields[] {
  return (fields?.array(name) ?? []).flatMap((one) => Fields.in(one) ?? []);
}

function textsAmong(values: readonly unknown[]): readonly string[] {
  return values.filter((value) => typeof value === 'string');
}

function textOrNull(text: string | undefined): string | null {
  return text === undefined || text.trim() === '' ? null : text.trim();
}
