import assert from 'node:assert/strict';
import { test } from 'node:test';
import { daysBetween } from '../../src/instant.ts';
import { type CommandTable, helpOf, parseFlags, partOn, UsageError } from '../../src/commands/flags.ts';
import { nearestOf } from '../../src/nearest.ts';

const TABLE: CommandTable = {
  name: 'look',
  task: 'Look',
  does: 'Looks.',
  flags: {
    from: { kind: 'day', value: 'DAY', meaning: 'first day' },
    slots: { kind: 'count', value: 'N', meaning: 'how many' },
    share: { kind: 'share', value: 'S', meaning: 'of the calls' },
    read: { kind: 'part', value: 'n/t', meaning: 'a part of it' },
    code: { kind: 'list', value: 'C', meaning: 'codes' },
    reason: { kind: 'text', value: 'TEXT', meaning: 'why' },
    why: { kind: 'switch', meaning: 'asks more' },
  },
  example: 'archiver look --from 2026-11-26',
};

test('flags are read by their kind', () => {
  const flags = parseFlags(TABLE, [
    '--from',
    '2026-11-26',
    '--slots=3',
    '--share',
    '0.5',
    '--read',
    '3/30',
    '--code',
    'a,b',
    '--code=c',
    '--why',
    '--json',
  ]);
  assert.deepEqual(
    [
      flags.text('from'),
      flags.number('slots'),
      flags.number('share'),
      flags.text('read'),
      flags.list('code'),
      flags.isOn('why'),
      flags.isOn('json'),
      flags.isOn('quiet'),
    ],
    ['2026-11-26', 3, 0.5, '3/30', ['a', 'b', 'c'], true, true, false],
  );
});

test('what cannot be meant is refused, with what to write instead', () => {
  const said: readonly (readonly [readonly string[], RegExp])[] = [
    [['--from', '2026-02-30'], /^--from 2026-02-30: expected a day that exists/],
    [['--from', '0206-11-01'], /^--from 0206-11-01: expected a day from 2000-01-01 on, such as 2026-11-26/],
    [['--from', 'yesterday'], /expected a day/],
    [['--from'], /^--from needs a value: --from DAY/],
    [['--from', '2026-11-26', '--from', '2026-11-27'], /twice/],
    [['--slots', '-1'], /--slots/],
    [['--slots', '1.5'], /whole number/],
    [['--share', '0'], /share above 0/],
    [['--share', '2'], /share above 0/],
    [['--read', '31/30'], /part such as 3\/30/],
    [['--read', '0/30'], /part such as/],
    [['--why=yes'], /takes no value/],
    [['--frmo', '2026-11-26'], /^--frmo is not a flag of this command: did you mean --from\?$/],
    [['--qiet'], /did you mean --quiet/],
    [['--completely-different'], /^--completely-different is not a flag of this command$/],
    [['-x'], /^-x is not a flag/],
    [['stray'], /"stray" is not expected/],
  ];
  for (const [args, message] of said)
    assert.throws(
      () => parseFlags(TABLE, args),
      (thrown) => thrown instanceof UsageError && message.test(thrown.message),
      args.join(' '),
    );
});

test('a value that looks like a name of Object is no flag', () => {
  for (const name of ['--constructor', '--__proto__', '--toString'])
    assert.throws(() => parseFlags(TABLE, [name]), UsageError);
});

test('--read alone means all of it', () => assert.equal(parseFlags(TABLE, ['--read', '--json']).text('read'), '1/1'));

test('today/t is another part each day, and all of them once in t days', () => {
  const days = daysBetween('2026-11-01', '2026-11-30');
  const parts = days.map((day) => partOn(day, 'today/30'));
  assert.equal(new Set(parts).size, 30);
  for (const part of parts) assert.match(part, /^([1-9]|[12]\d|30)\/30$/);
  assert.equal(partOn('2026-11-01', '3/30'), '3/30');
  assert.match(parseFlags(TABLE, ['--read', 'today/7']).text('read') ?? '', /^[1-7]\/7$/);
  for (const text of ['today/0', 'today', 'tomorrow/7', 'today/07'])
    assert.throws(() => parseFlags(TABLE, [`--read=${text}`]), UsageError, text);
});

test('the nearest name is offered, none where nothing is near', () => {
  assert.equal(nearestOf('recncile', ['reconcile', 'replay']), 'reconcile');
  assert.equal(nearestOf('zzzzzzzz', ['reconcile', 'replay']), undefined);
});

test('the help names every flag and ends with a line that works', () => {
  const help = helpOf(TABLE);
  for (const name of [...Object.keys(TABLE.flags), 'json', 'quiet', 'help'])
    assert.match(help, new RegExp(`^  --${name}\\b`, 'm'));
  assert.match(help, /Example:\n {2}archiver look --from 2026-11-26\n$/);
});
