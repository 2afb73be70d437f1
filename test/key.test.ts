/** Keys as operators write them: whose they are, until when, and which are too weak to be one (B2). */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fc } from './support/generated.ts';
import { hasEnded, type Key, keysInUse, parseKey } from '../src/key.ts';
import { SEED } from './support/soak.ts';

function parse(text: string, position = 1): { readonly key: Key; readonly problems: readonly string[] } {
  const problems: string[] = [];
  const key = parseKey(text, position, (what) => problems.push(what));
  return { key, problems };
}

const name = fc.stringMatching(/^[A-Za-z0-9][\w.@-]{0,63}$/);
const secret = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 48 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  fc.uint8Array({ minLength: 8, maxLength: 48 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  fc.uint8Array({ minLength: 16, maxLength: 48 }).map((bytes) => `whsec_${Buffer.from(bytes).toString('base64')}`),
);
const day = fc
  .date({ min: new Date('2020-01-01'), max: new Date('2099-12-31'), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));

test('a key is a secret, with a name before it and an end behind it', () => {
  fc.assert(
    fc.property(name, secret, day, fc.integer({ min: 1, max: 99 }), (name, secret, day, position) => {
      const bare = { name: `key-${String(position)}`, secret, lastDay: undefined };
      assert.deepEqual(parse(secret, position), { key: bare, problems: [] });
      assert.deepEqual(parse(`${name}:${secret}`).key, { name, secret, lastDay: undefined });
      assert.deepEqual(parse(`${name}:${secret}:${day}`), { key: { name, secret, lastDay: day }, problems: [] });
    }),
    { numRuns: 300, seed: SEED },
  );
});

test('below 16 characters, or 128 bits where it is base64, it is refused with its position, and not shown (B2)', () => {
  for (let length = 0; length <= 20; length += 1) {
    const text = 'canary-canary-canary'.slice(0, length);
    for (const written of [text, `name:${text}`, `name:${text}:2027-01-01`]) {
      const { problems } = parse(written, 3);
      assert.equal(problems.length, length < 16 ? 1 : 0, written);
      if (length > 1 && length < 16)
        assert.match(problems[0] ?? '', new RegExp(`^entry 3 has ${String(length)} characters; at least 16`));
      assert.doesNotMatch(problems.join(), /canar/);
    }
    const encoded = `whsec_${randomBytes(length).toString('base64')}`;
    assert.equal(parse(encoded, 3).problems.length, length < 16 ? 1 : 0, encoded);
  }
  assert.match(parse('whsec_AA==').problems[0] ?? '', /^entry 1 has 8 bits; at least 128/);
  assert.match(parse('k').problems[0] ?? '', /^entry 1 has 1 character; .*a comma inside a key makes it two$/);
});

test('what is no base64 after whsec_ is refused, not read as something shorter', () => {
  const good = randomBytes(32).toString('base64');
  for (const text of ['', '!', `${good.slice(0, 8)} ${good.slice(8)}`, `${good}§`, `=${good}`, 'a=b'.repeat(9)])
    assert.equal(parse(`whsec_${text}`).problems.length, 1, text);
});

test('an end that is misspelt is refused: it must not become a part of a secret without an end', () => {
  const ends = [
    '2027-1-1',
    '2027-02-30',
    '2027-13-01',
    '27-01-01',
    '2027/01/01',
    '01.01.2027',
    '20270101',
    '2027',
    '2027-01-01T00:00:00Z',
    '2027-01-01 00:00',
    '2027-01-01Z',
    '2027-01-011',
  ];
  for (const end of ends) assert.equal(parse(`ops:a-secret-of-some-length:${end}`).problems.length, 1, end);
});

test('a colon without a name before it, and a name without a secret behind it, are refused', () => {
  for (const text of [
    ':a-secret-of-some-length',
    'a b:a-secret-of-some-length',
    'ä:a-secret-of-some-length',
    `${'n'.repeat(65)}:a-secret-of-some-length`,
  ])
    assert.match(parse(text).problems.join(), /no name before it/, text);
  assert.match(parse('a-secret-of-some-length:2027-01-01').problems.join(), /a name and an end, but no secret/);
});

test('a key is good to the end of its last day, UTC', () => {
  const key = { lastDay: '2027-01-01' };
  for (const [now, ended] of [
    ['2026-12-31T23:59:59.999Z', false],
    ['2027-01-01T00:00:00Z', false],
    ['2027-01-01T23:59:59.999Z', false],
    ['2027-01-02T00:00:00Z', true],
    ['2127-01-01T00:00:00Z', true],
  ] as const)
    assert.equal(hasEnded(key, Date.parse(now)), ended, now);
  assert.equal(hasEnded({ lastDay: undefined }, Date.parse('2999-01-01')), false);
});

test('what is made is made by a key that outlives it, where there is one; by the one with the longest life where there is none', () => {
  const endMs = Date.parse('2027-01-02T00:00:00Z');
  const key = (name: string, lastDay?: string): Key => ({ name, secret: `a-secret-of-${name}`, lastDay });
  const [ends, lasts, later] = [key('ends', '2027-01-01'), key('lasts'), key('later', '2027-02-01')];
  for (const [keys, beforeEndMs, expected] of [
    [[ends, lasts], 60_001, 'ends lasts'],
    [[ends, lasts], 60_000, 'ends lasts'],
    [[ends, lasts], 59_999, 'lasts ends'],
    [[ends, later, lasts], 1, 'later lasts ends'],
    [[lasts, ends], 1, 'lasts ends'],
    [[ends], 1, 'ends'],
    [[key('sooner', '2026-12-31'), ends, key('beside', '2027-01-01')], 1, 'ends beside'],
    [[ends, lasts], 0, 'lasts'],
    [[ends], 0, ''],
    [[], 1, ''],
  ] as const) {
    const inUse = keysInUse(keys, 60_000, endMs - beforeEndMs).map(({ name }) => name);
    assert.equal(inUse.join(' '), expected, `${keys.map(({ name }) => name).join()}, ${String(beforeEndMs)} ms before`);
  }
});
