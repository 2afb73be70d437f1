/** Genesys' answers with anything in them that decides nothing: the recording's files are found whenever its id and URLs can be read (C10). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import type { JsonAnswer } from '../../src/genesys/exchange.ts';
import { listedRecordings, parseMedia, requirePlayable } from '../../src/genesys/recording-answer.ts';
import { metadataBody, recordingBody, ScriptedRecording } from '../support/genesys/recordings.ts';
import { runs, SEED } from '../support/soak.ts';

const GUID = fc.uuid().chain((id) => fc.constantFrom(id, id.toUpperCase()));
const ID = fc.oneof(GUID, fc.stringMatching(/^[0-9A-Za-z-]{1,40}$/));

/** What Genesys knows itself: these decide what is done, so only their kind is mutated, not their words. */
const DECIDING = new Set(['media', 'fileState', 'conversationId']);
const ODD = fc.oneof(fc.jsonValue(), fc.constant('\uD800'), fc.bigInt().map(String));

interface Mutation {
  readonly field: string;
  readonly value: unknown;
}

const FIELDS = [
  ...Object.keys(recordingBody(new ScriptedRecording({ recordingId: 'R' }), undefined, {})),
  'outputDurationMs',
  'archiveDate',
  'name',
  'exportDate',
  'whatever',
  '__proto__',
  'constructor',
].filter((field) => field !== 'id' && field !== 'mediaUris');

const MUTATION: fc.Arbitrary<Mutation> = fc
  .tuple(fc.constantFrom(...FIELDS), ODD)
  .map(([field, value]) => ({ field, value: DECIDING.has(field) && typeof value === 'string' ? {} : value }));

function mutated(body: Readonly<Record<string, unknown>>, mutations: readonly Mutation[]): JsonAnswer {
  const changed = new Map(Object.entries(body));
  for (const { field, value } of mutations) changed.set(field, value);
  const text = JSON.stringify(Object.fromEntries(changed));
  return { status: 200, headers: {}, askedMs: 0, toldMs: 0, body: JSON.parse(text) as unknown };
}

const CHANNELS = fc.uniqueArray(fc.constantFrom('0', '1', 'S', '2', '10'), { minLength: 1, maxLength: 2 });

test('files are found whatever else Genesys answers (C10)', () => {
  const scene = fc.tuple(
    ID,
    ID,
    CHANNELS,
    fc.array(MUTATION, { maxLength: 12 }),
    fc.array(fc.tuple(fc.string(), fc.oneof(fc.integer(), fc.boolean())), { maxLength: 2 }),
  );
  const find = (
    recordingId: string,
    conversationId: string,
    channels: readonly string[],
    mutations: readonly Mutation[],
    beside: readonly (readonly [string, unknown])[],
  ): void => {
    const scripted = new ScriptedRecording({ recordingId, conversationId });
    const urls = channels.map(
      (channel) => [channel, { mediaUri: `https://s3.amazonaws.com/${channel}?X-Amz-Signature=1` }] as const,
    );
    const mediaUris = Object.fromEntries([...beside.filter(([name]) => !channels.includes(name)), ...urls]);
    const asked = {
      recordingId: isGuid(recordingId) ? recordingId.toLowerCase() : recordingId,
      conversationId: isGuid(conversationId) ? conversationId.toLowerCase() : conversationId,
    };
    requirePlayable(mutated(metadataBody(scripted, undefined), mutations), asked);
    const body = { ...recordingBody(scripted, undefined, {}), mediaUris };
    const media = parseMedia(mutated(body, mutations), asked);
    assert.deepEqual(new Set(media.urls.keys()), new Set(channels));
    for (const [channel, url] of media.urls) assert.equal(url.pathname, `/${channel}`);
    assert.ok(media.recordedAt === undefined || /^\d{4}-/.test(media.recordedAt.toISOString()));
    assert.ok(media.durationMs === undefined || media.durationMs > 0);
  };
  fc.assert(
    fc.property(scene, (args) => find(...args)),
    { seed: SEED, numRuns: runs(300, 20_000) },
  );
});

function isGuid(id: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id);
}

const USABLE = /^[0-9A-Za-z_-]{1,128}$/;

test('every usable entry of a list is listed, once, in its order, whatever stands beside it (C10) (C9)', () => {
  const entry = fc.oneof(
    fc.record({ id: ID, rest: fc.dictionary(fc.constantFrom('media', 'fileState', 'startTime', 'x'), ODD) }),
    fc.record({ odd: fc.jsonValue() }),
  );
  const check = (
    conversationId: string,
    entries: readonly ({ id: string; rest: object } | { odd: unknown })[],
  ): void => {
    const body = entries.map((each) =>
      'id' in each ? { ...each.rest, id: each.id, conversationId: conversationId.toUpperCase() } : each.odd,
    );
    const ids = entries.flatMap((each) => ('id' in each ? [each.id] : oddIdOf(each.odd, conversationId)));
    const expected = [...new Set(ids.map((id) => (isGuid(id) ? id.toLowerCase() : id)))];
    if (expected.length === 0) return;
    const { entries: listed } = listedRecordings(
      { status: 200, headers: {}, askedMs: 0, toldMs: 0, body },
      conversationId,
    );
    assert.deepEqual(
      listed.map(({ recordingId }) => recordingId),
      expected,
    );
    assert.ok(listed.every((each) => each.conversationId === conversationId));
  };
  const scene = fc.tuple(fc.uuid(), fc.array(entry, { minLength: 1, maxLength: 20 }));
  fc.assert(
    fc.property(scene, (args) => check(...args)),
    { seed: SEED, numRuns: runs(300, 20_000) },
  );
});

/** Chance may make a usable entry too. */
function oddIdOf(odd: unknown, conversationId: string): readonly string[] {
  if (typeof odd !== 'object' || odd === null || Array.isArray(odd) || !('id' in odd)) return [];
  const { id } = odd;
  const isElsewhere =
    'conversationId' in odd &&
    typeof odd.conversationId === 'string' &&
    USABLE.test(odd.conversationId) &&
    odd.conversationId.toLowerCase() !== conversationId;
  return typeof id === 'string' && USABLE.test(id) && id !== '_' && !isElsewhere ? [id] : [];
}
