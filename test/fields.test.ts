import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from './support/generated.ts';
import { Failure } from '../src/failure.ts';
import { Fields } from '../src/fields.ts';

const fields = Fields.of(
  {
    text: 'a',
    number: 1.5,
    count: 3,
    yes: true,
    none: null,
    at: '2026-08-05T12:00:00Z',
    list: [1],
    object: { id: 'x' },
  },
  'events[3]',
);

test('gives what is there and undefined for what is of another kind', () => {
  assert.deepEqual(
    [fields.text('text'), fields.number('number'), fields.boolean('yes'), fields.array('list'), fields.raw('none')],
    ['a', 1.5, true, [1], null],
  );
  assert.equal(fields.fields('object')?.text('id'), 'x');
  assert.equal(fields.instant('at')?.toISOString(), '2026-08-05T12:00:00.000Z');
  for (const read of [fields.text('count'), fields.number('text'), fields.boolean('text'), fields.array('object')])
    assert.equal(read, undefined);
});

test('names the field that is not what it must be, with its place', () => {
  const said = (read: () => unknown, message: string): void =>
    assert.throws(
      read,
      (thrown) => thrown instanceof Failure && thrown.code === 'bad-request' && thrown.message === message,
    );
  said(() => fields.requireText('count'), 'events[3].count: expected a string.');
  said(() => fields.requireCount('number'), 'events[3].number: expected a whole number.');
  assert.equal(fields.requireCount('count'), 3);
  said(() => fields.requireText('text', /^[0-9]$/), 'events[3].text: expected text like ^[0-9]$.');
  assert.equal(fields.requireText('text', /^[a-z]$/), 'a');
  said(() => fields.requireChoice('text', ['b', 'c']), 'events[3].text: expected b or c.');
  said(() => fields.requireFields('object').requireText('name'), 'events[3].object.name: expected a string.');
  said(() => fields.requireInstant('text'), 'events[3].text: expected a date such as 2026-08-05T12:00:00Z.');
  said(() => fields.requireDay('text'), 'events[3].text: expected a day such as 2026-08-05.');
  said(() => Fields.of([], ''), 'The top level: expected an object.');
});

test('never throws where nothing is required, whatever the JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), (value, name) => {
      const any = Fields.in(value);
      for (const read of ['text', 'number', 'boolean', 'instant', 'fields', 'array'] as const) any?.[read](name);
    }),
  );
});

test('what is inherited is no field', () => assert.equal(Fields.of({}, '').raw('constructor'), undefined));
