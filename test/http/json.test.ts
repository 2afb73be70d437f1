import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import { parseJson } from '../../src/http/json.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

function refusal(body: Buffer): string {
  try {
    parseJson(body);
  } catch (error) {
    assert.ok(error instanceof Failure);
    assert.equal(error.code, 'bad-request');
    assert.equal(error.cause, undefined, 'a SyntaxError quotes the body');
    return error.message;
  }
  return 'accepted';
}

test('any JSON without forbidden keys comes out as JSON.parse has it', () => {
  const harmless = fc.json({ maxDepth: 8 }).filter((text) => !/__proto__|constructor|prototype/.test(text));
  fc.assert(
    fc.property(harmless, (text) => assert.deepEqual(parseJson(bytes(text)), JSON.parse(text))),
    {
      numRuns: 500,
    },
  );
});

test('quotes, braces and colons within texts are not structure', () => {
  const value = { a: '}{"][:\\', 'b:"{': ['":', '\\"', '{"a":1,"a":2}'], c: '\\\\' };
  assert.deepEqual(parseJson(bytes(JSON.stringify(value, null, '\t'))), value);
});

for (const [name, body] of Object.entries({
  'half a document': bytes('{"recordingId":'),
  'a text without an end': bytes('{"recordingId":"a'),
  'a text that ends in a backslash': bytes('{"a":"\\'),
  'two byte order marks': bytes('\uFEFF\uFEFF{"recordingId":"a"}'),
  'a byte order mark behind the beginning': bytes('{\uFEFF"recordingId":"a"}'),
  'UTF-16': Buffer.from('{"recordingId":"a"}', 'utf16le'),
  'a cut UTF-8 sequence': Buffer.from([0x22, 0xc3, 0x22]),
  'an overlong UTF-8 sequence': Buffer.from([0x22, 0xc0, 0xaf, 0x22]),
  'a trailing comma': bytes('[1,]'),
  'two documents': bytes('{}{}'),
  NaN: bytes('[NaN]'),
  'a key with a broken escape': bytes('{"\\u00":1}'),
  'closing brackets only': bytes(']]]]}}}}'),
})) {
  test(`${name} is refused as malformed (IN-09)`, () => assert.match(refusal(body), /not valid JSON|not UTF-8/));
}

test('a byte order mark in front is passed over (E4)', () =>
  assert.equal(refusal(bytes('\uFEFF{"recordingId":"a"}')), 'accepted'));

test('nothing at all is refused', () => assert.match(refusal(bytes('')), /empty/));

test('16 levels pass, 17 do not, and 30,000 are refused before anything is built (IN-10)', () => {
  assert.equal(refusal(bytes('['.repeat(16) + ']'.repeat(16))), 'accepted');
  assert.match(refusal(bytes('['.repeat(17) + ']'.repeat(17))), /nested more than 16/);
  assert.match(refusal(bytes('{"a":'.repeat(30_000) + '1' + '}'.repeat(30_000))), /nested more than 16/);
});

test('more keys than any batch of events has are refused (IN-10)', () => {
  const keys = Array.from({ length: 20_001 }, (_, i) => `"k${String(i)}":1`).join();
  assert.match(refusal(bytes(`{${keys}}`)), /more than 20000 keys/);
});

for (const text of [
  '{"__proto__":{"isAdmin":true}}',
  '{"a":{"constructor":{"prototype":{"isAdmin":true}}}}',
  '[{"prototype":1}]',
  String.raw`{"__pr\u006fto__":{"isAdmin":true}}`,
  '{"__proto__" \n\t : 1}',
]) {
  test(`${text} is refused and pollutes nothing (IN-11)`, () => {
    assert.match(refusal(bytes(text)), /such a key is not accepted/);
    assert.equal(Reflect.get({}, 'isAdmin'), undefined);
  });
}

test('the same key twice is refused, however it is written; in two objects it is not (IN-12)', () => {
  assert.match(refusal(bytes('{"recordingId":"a","recordingId":"b"}')), /^recordingId: appears twice/);
  assert.match(refusal(bytes(String.raw`{"id":"a","\u0069d":"b"}`)), /^id: appears twice/);
  assert.match(refusal(bytes('{"a":{"b":1},"a":2}')), /^a: appears twice/);
  assert.match(refusal(bytes('{"\\n":1,"\\n":2}')), /^A key: appears twice/);
  assert.equal(refusal(bytes('[{"id":1},{"id":2,"x":{"id":3}}]')), 'accepted');
});
