/** What is shown of a row ↔ the few bytes it takes in SQLite. */
import type { SQLOutputValue } from 'node:sqlite';
import { STATUSES } from '../archive/archive.ts';
import type { FoundRow } from './search.ts';

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DIRECTIONS = ['inbound', 'outbound'] as const;
const MEDIA = ['audio', 'video'] as const;
const LANE_DIGITS = 28;
const NAME_PARTS = /(.{8})(.{4})(.{4})(.{4})(.{12})/;

export interface PackedRow {
  readonly conversation: Uint8Array | string | null;
  readonly recording: Uint8Array | string | null;
  readonly status: number;
  readonly direction: number | null;
  readonly duration: number | null;
  readonly picture: Uint8Array | null;
  /** JSON: what is shown and not asked for. */
  readonly about: string;
}

export function packRow(row: FoundRow): PackedRow {
  const { conversationId, recordingId, status, direction, durationMs, picture } = row;
  const { startedAt, medium, agents, queues, number, divisions, code } = row;
  return {
    conversation: packId(conversationId),
    recording: packId(recordingId),
    status: STATUSES.indexOf(status),
    direction: direction === null ? null : DIRECTIONS.indexOf(direction),
    duration: durationMs === null ? null : Math.round(durationMs),
    picture: picture.length === 0 ? null : Buffer.from(picture.join(''), 'hex'),
    about: JSON.stringify([
      Date.parse(startedAt),
      medium === null ? -1 : MEDIA.indexOf(medium),
      agents,
      queues,
      number,
      divisions,
      code,
    ]),
  };
}

/** Of a database of our own: what is wrong there is missing here, and nothing worse. */
export function unpackRow(stored: Readonly<Record<string, SQLOutputValue>>): FoundRow {
  const about: unknown = JSON.parse(String(stored['about']));
  const [started, medium, agents, queues, number, divisions, code]: readonly unknown[] = Array.isArray(about)
    ? about
    : [];
  const conversationId = unpackId(stored['conversation']);
  const recordingId = unpackId(stored['recording']);
  return {
    key: `${conversationId ?? '_'}.${recordingId ?? '_'}`,
    conversationId,
    recordingId,
    status: STATUSES[Number(stored['status'])] ?? 'failed',
    startedAt: new Date(Number(started)).toISOString(),
    medium: MEDIA[Number(medium)] ?? null,
    durationMs: storedNumber(stored['duration_ms']),
    direction: stored['direction'] === null ? null : (DIRECTIONS[Number(stored['direction'])] ?? null),
    agents: texts(agents),
    queues: texts(queues),
    number: storedText(number),
    divisions: texts(divisions),
    picture: unpackPicture(stored['picture']),
    code: storedText(code),
  };
}

/** A GUID takes 16 bytes; any other id is itself. */
function packId(id: string | null): Uint8Array | string | null {
  return id !== null && GUID.test(id) ? Buffer.from(id.replaceAll('-', ''), 'hex') : id;
}

function unpackId(packed: SQLOutputValue | undefined): string | null {
  if (packed instanceof Uint8Array) return Buffer.from(packed).toString('hex').replace(NAME_PARTS, '$1-$2-$3-$4-$5');
  return typeof packed === 'string' ? packed : null;
}

function unpackPicture(packed: SQLOutputValue | undefined): readonly string[] {
  if (!(packed instanceof Uint8Array)) return [];
  const digits = Buffer.from(packed).toString('hex');
  return digits.length > LANE_DIGITS ? [digits.slice(0, LANE_DIGITS), digits.slice(LANE_DIGITS)] : [digits];
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

function storedText(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function storedNumber(value: SQLOutputValue | undefined): number | null {
  return typeof value === 'number' ? value : null;
}
