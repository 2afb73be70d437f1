/** A few facts → a row of the index, as a worker writes it. */
import type { IndexRow } from '../../../src/archive/index-row.ts';
import { archivedRow } from '../../../src/archive/index-row.ts';
import { manifestOf } from '../archive/content.ts';

export type RowFacts = Partial<IndexRow> & { readonly agent?: string; readonly inQueue?: string };

/** `key` as under days/; started when `at` says, in UTC. */
export function rowAt(startedAt: string, key: string, facts: RowFacts = {}): IndexRow {
  const { agent, inQueue, ...rest } = facts;
  const [conversation = '', recording = ''] = key.split('.');
  const ids = {
    conversationId: conversation === '_' ? null : conversation,
    recordingId: recording === '_' ? null : recording,
  };
  const stored = { sizeBytes: 1_000, sha256: 'ab', crc32c: 'AAAAAA==' };
  const manifest = manifestOf({ recordingId: recording, conversationId: conversation }, stored);
  return {
    ...archivedRow(manifest),
    ...ids,
    key,
    at: startedAt,
    startedAt,
    conversationStart: startedAt,
    agents: agent === undefined ? [] : [{ id: 'user-1', name: agent }],
    queues: inQueue === undefined ? [] : [{ id: 'queue-1', name: inQueue }],
    ...rest,
  };
}
