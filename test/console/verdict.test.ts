/** The one sentence: what it says of each state of things, and that it says nothing that is not known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HealthFacts, Trouble } from '../../src/console/health-facts.ts';
import { verdictOf } from '../../src/console/verdict.ts';
import type { DayState } from '../../src/overview.ts';

const NOW = new Date('2026-11-27T17:09:31Z');
const ago = (minutes: number): string => new Date(NOW.getTime() - minutes * 60_000).toISOString();

function day(change: Partial<DayState> = {}): DayState {
  return {
    day: '2026-11-26',
    verdict: 'complete',
    at: ago(4),
    conversations: 100,
    recordings: 100,
    archived: 100,
    noMedia: 0,
    erased: 0,
    missing: 0,
    failed: 0,
    waiting: 0,
    storedAway: 0,
    lost: 0,
    unlisted: 0,
    dataUntil: '2026-11-27T16:32:00.000Z',
    ...change,
  };
}

const UNPROVEN = day({
  verdict: 'unproven',
  at: null,
  dataUntil: null,
  recordings: null,
  archived: null,
  missing: null,
});

function facts(change: Partial<HealthFacts> = {}): HealthFacts {
  return {
    at: NOW.toISOString(),
    newest: {
      entries: 200,
      archived: 200,
      bytes: 1,
      lagMedianSeconds: 71,
      lag95Seconds: 250,
      lastArchivedAt: ago(1),
      perDay: [],
    },
    depth: { ready: 0, waiting: 9, running: 2, dead: 0 },
    days: [UNPROVEN, day()],
    reading: undefined,
    troubles: [],
    hasMore: false,
    unready: [],
    silent: { of: 0, count: 0, examples: [] },
    parts: { ready: true, dependencies: {} },
    pulses: [],
    ...change,
  };
}

const trouble = (count: number, change: Partial<Trouble> = {}): Trouble => ({
  code: 'unreadable-media',
  count,
  waits: false,
  isSettled: false,
  example: 'x',
  newestAt: ago(60),
  next: 'Play it in Genesys Cloud.',
  ...change,
});

const waits = (minutes: number, code = 'not-ready'): HealthFacts['unready'][number] => ({
  status: 'waiting',
  recording: { recordingId: 'r', conversationId: 'c' },
  waiting: {
    version: 1,
    recordingId: 'r',
    conversationId: 'c',
    code,
    sort: 'surroundings',
    reason: 'x',
    since: ago(minutes),
    nextTry: ago(-1),
    attempts: 0,
    service: '0',
  },
});

const NEVER_ANY: HealthFacts['newest'] = { ...facts().newest, entries: 0, archived: 0, lastArchivedAt: null };

for (const [what, given, state, text] of [
  ['everything is here', facts(), 'good', 'All calls that ended before 16:32 UTC have arrived'],
  [
    'three failed',
    facts({ troubles: [trouble(2), trouble(1)] }),
    'bad',
    'All calls that ended before 16:32 UTC have arrived, except 3',
  ],
  [
    'one is gone for good, which is no less missing',
    facts({ troubles: [trouble(1, { isSettled: true })] }),
    'bad',
    'All calls that ended before 16:32 UTC have arrived, except 1',
  ],
  [
    'more failed than were counted',
    facts({ troubles: [trouble(1_000)], hasMore: true }),
    'bad',
    'All calls that ended before 16:32 UTC have arrived, except 1000 or more',
  ],
  [
    'Genesys has what nobody here knows of',
    facts({ days: [day({ missing: 4 })] }),
    'bad',
    'All calls that ended before 16:32 UTC have arrived, except 4',
  ],
  [
    'one waits since before, one since after',
    facts({ unready: [waits(200), waits(5)] }),
    'warn',
    'All calls that ended before 16:32 UTC have arrived, except 1',
  ],
  [
    'the comparison was of another day',
    facts({ days: [day({ dataUntil: '2026-11-26T23:50:00.000Z' })] }),
    'good',
    'All calls that ended before 26 Nov, 23:50 UTC have arrived',
  ],
  [
    'the last comparison is three days old',
    facts({ days: [day({ at: ago(3 * 24 * 60) })] }),
    'unknown',
    'Not known: the last comparison with Genesys is 3 days old',
  ],
  [
    'nothing was ever compared',
    facts({ days: [UNPROVEN] }),
    'unknown',
    'Not known: nothing was compared with Genesys in the last 14 days',
  ],
  [
    'Genesys is down',
    facts({ newest: { ...facts().newest, lastArchivedAt: ago(14) }, unready: [waits(13, 'upstream-unavailable')] }),
    'bad',
    'Nothing has arrived for 14 min: Genesys is down or not reached',
  ],
  [
    'Genesys was down a moment ago, and calls come in',
    facts({ unready: [waits(40, 'upstream-unavailable')] }),
    'warn',
    'All calls that ended before 16:32 UTC have arrived, except 1',
  ],
  [
    'nothing was called in all night, and nothing waits',
    facts({ newest: { ...facts().newest, lastArchivedAt: ago(600) } }),
    'good',
    'All calls that ended before 16:32 UTC have arrived',
  ],
  ['the first start', facts({ newest: NEVER_ANY, days: [UNPROVEN] }), 'first', 'Nothing is archived yet'],
  [
    'nothing is archived but something failed',
    facts({ newest: NEVER_ANY, days: [UNPROVEN], troubles: [trouble(1)] }),
    'unknown',
    'Not known: nothing was compared with Genesys in the last 14 days',
  ],
  ['the archive never answered', undefined, 'unknown', 'Not known: the archive does not answer'],
] as const)
  test(`verdict where ${what}`, () => {
    const verdict = verdictOf(given, NOW);
    assert.equal(verdict.text, text);
    assert.equal(verdict.state, state);
  });

test('what is damaged in the archive is said although everything has arrived, and what is whole is not', () => {
  const reading = { at: ago(200), recordings: 40, findings: 3 };
  const { state, text, from } = verdictOf(facts({ reading }), NOW);
  assert.equal(state, 'bad');
  assert.match(text, /have arrived, but 3 things in the archive are not as stored$/);
  assert.match(from.toString(), /archiver verify/);
  assert.match(
    verdictOf(facts({ reading: { ...reading, findings: 1 } }), NOW).text,
    /but 1 thing in the archive is not/,
  );
  assert.equal(verdictOf(facts({ reading: { ...reading, findings: 0 } }), NOW).state, 'good');
});
