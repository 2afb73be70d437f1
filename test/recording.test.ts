/** Ids from outside, and the names they give a recording in the archive. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Failure } from '../src/failure.ts';
import { keyOf, parseId, parseOptionalId, pathOf, recordingOfKey } from '../src/recording.ts';

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
