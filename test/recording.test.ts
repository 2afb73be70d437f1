/** Ids from outside, and the names they give a recording in the archive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from './support/generated.ts';
import { Failure } from '../src/failure.ts';
import {
  canonicalId,
  keyOf,
  parseId,
  parseOptionalId,
  parseStoredId,
  pathOf,
  recordingOfKey,
  spellingsOf,
} from '../src/recording.ts';

const GOOD = ['a', '0', '-', '__', 'a_b-C9', '7d3c1c1e-0f6a-4a52-8a3e-3c8c2f5c1f01', '__proto__', 'x'.repeat(128)];

const BAD: readonly unknown[] = [
  '',
  '_',
  '.',
  '..',
  'a.b',
  'a/b',
  'a\\b',
  'a b',
  ' a',
  'a\n',
  'a\0',
  'é',
  'a%2fb',
  'a:b',
  '*',
  '$(id)',
  'x'.repeat(129),
  0,
  7,
  true,
  null,
  undefined,
  [],
  ['a'],
  {},
  { toString: () => 'a' },
];

test('ids are 1 to 128 plain characters', () => {
  for (const id of GOOD) assert.equal(parseId(id, 'id'), id);
});

test('anything else is refused with the name of its field and without its value', () => {
  for (const id of BAD) {
    assert.throws(
      () => parseId(id, 'detail.recordingId'),
      (error) => {
        assert.ok(error instanceof Failure);
        assert.equal(error.code, 'bad-request');
        assert.match(error.message, /^detail\.recordingId: expected /);
        assert.doesNotMatch(error.message, /\$\(id\)|%2f/);
        return true;
      },
      JSON.stringify(id),
    );
  }
});

const GUID = fc.uuid();
const CASES = fc.infiniteStream(fc.boolean());

test('GUIDs are read without case and come out in lower case; as they lie in an archive they stay (C9)', () => {
  const check = (guid: string, cases: Iterator<boolean>): void => {
    const mixed = guid.replaceAll(/[a-f]/g, (letter) => (cases.next().value === true ? letter.toUpperCase() : letter));
    assert.equal(parseId(mixed, 'id'), guid);
    assert.equal(parseOptionalId(mixed, 'id'), guid);
    assert.equal(parseStoredId(mixed, 'id'), mixed);
    assert.equal(canonicalId(mixed), guid);
  };
  fc.assert(fc.property(GUID, CASES, check));
});

test('a GUID in braces or as a URN is that GUID; what is no GUID inside, or has blanks about it, is no id (C9)', () => {
  const guid = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
  const dressed = (each: string): readonly string[] => [`{${each}}`, `urn:uuid:${each}`];
  for (const each of [...dressed(guid), ...dressed(guid.toUpperCase()), `URN:UUID:${guid}`])
    assert.equal(parseId(each, 'id'), guid, each);
  for (const each of [
    `{${guid}`,
    `${guid}}`,
    `{{${guid}}}`,
    '{R}',
    'urn:uuid:R',
    ` ${guid}`,
    `{${guid}}\n`,
    `{${guid.slice(1)}}`,
  ])
    assert.throws(() => parseId(each, 'id'), { code: 'bad-request' }, each);
});

test('ids that are no GUIDs mean what they say, capitals included (C9)', () => {
  const others = [
    'R',
    'Recording-7',
    '8F1C7A526F0A4E0E9A412F6F3C2A1B77',
    '8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B7',
    '8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B77-X',
    'X8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B77',
    '8G1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B77',
  ];
  for (const id of others) assert.equal(parseId(id, 'id'), id);
});

test('a recording is looked for in lower case, then in capitals, where those are another name (C9)', () => {
  const [recordingId, conversationId] = [
    '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77',
    'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11',
  ];
  const capitals = { recordingId: recordingId.toUpperCase(), conversationId: conversationId.toUpperCase() };
  assert.deepEqual(spellingsOf({ recordingId, conversationId }), [{ recordingId, conversationId }, capitals]);
  assert.deepEqual(spellingsOf({ recordingId, conversationId: undefined }).length, 2);
  assert.deepEqual(spellingsOf(capitals), [capitals]);
  const plain = { recordingId: 'r', conversationId: '00000000-0000-0000-0000-000000000000' };
  assert.deepEqual(spellingsOf(plain), [plain]);
});

test('an optional id may be absent or null, but not empty or wrong', () => {
  assert.equal(parseOptionalId(undefined, 'conversationId'), undefined);
  assert.equal(parseOptionalId(null, 'conversationId'), undefined);
  assert.equal(parseOptionalId('c', 'conversationId'), 'c');
  for (const value of ['', '_', 0, false]) assert.throws(() => parseOptionalId(value, 'conversationId'), Failure);
});

const id = fc.stringMatching(/^[0-9A-Za-z_-]{1,128}$/).filter((text) => text !== '_');
const recording = fc.record(
  { recordingId: id, conversationId: fc.option(id, { nil: undefined }) },
  { noNullPrototype: true },
);

test('the key of a recording gives the recording back', () => {
  fc.assert(fc.property(recording, (each) => assert.deepEqual(recordingOfKey(keyOf(each)), each)));
});

test('two recordings never share a key or a path', () => {
  fc.assert(
    fc.property(recording, recording, (one, other) => {
      const isSame = one.recordingId === other.recordingId && one.conversationId === other.conversationId;
      assert.equal(keyOf(one) === keyOf(other), isSame);
      assert.equal(pathOf(one) === pathOf(other), isSame);
    }),
  );
});

test('a path is one folder deep and never leaves recordings/', () => {
  fc.assert(fc.property(recording, (each) => assert.match(pathOf(each), /^[0-9A-Za-z_-]+\/[0-9A-Za-z_-]+$/)));
});

test('a name that no recording has is no key', () => {
  for (const name of ['', 'a', 'a.', '.a', 'c._', 'a.b.c', 'a.b.json', 'a/b.c', '..', 'é.a', '_._'])
    assert.equal(recordingOfKey(name), undefined, name);
});
