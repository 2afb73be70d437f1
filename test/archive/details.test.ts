/** What is read out of Genesys' answer about a conversation, and the line of the index that comes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import {
  conversationPrefix,
  detailsName,
  encodeDetails,
  noTranscriptName,
  parseDetails,
  readDetails,
  recordingNoteName,
  transcriptName,
} from '../../src/archive/details.ts';
import {
  archivedRow,
  encodeIndexRow,
  failedRow,
  indexDayOf,
  movedRow,
  parseIndexRow,
  waitingRow,
} from '../../src/archive/index-row.ts';
import { failureOf, manifestOf, waitingOf } from '../support/archive/content.ts';
import { SEED } from '../support/soak.ts';

const AT = new Date('2026-03-02T10:00:00.000Z');
const ABOUT = { conversationId: 'c', at: AT, service: '0.2.0' };

/** As the SDK's AnalyticsConversation has it. */
const CONVERSATION = {
  conversationId: 'c',
  conversationStart: '2026-02-28T23:58:00.000Z',
  conversationEnd: '2026-03-01T00:12:00.000Z',
  originatingDirection: 'inbound',
  divisionIds: ['d1', 'd2'],
  externalTag: 'case-7',
  participants: [
    {
      purpose: 'customer',
      participantName: 'Berlin, Germany',
      attributes: { pin: '1234' },
      sessions: [{ mediaType: 'voice', ani: 'tel:+493012345678', dnis: 'sip:+4940999;ext=1', segments: [] }],
    },
    {
      purpose: 'acd',
      participantName: 'Sales',
      sessions: [{ segments: [{ segmentType: 'interact', queueId: 'q1' }] }],
    },
    {
      purpose: 'agent',
      userId: 'u1',
      sessions: [{ segments: [{ queueId: 'q1', wrapUpCode: 'w1' }, { wrapUpCode: 'w1' }] }],
    },
    { purpose: 'agent', userId: 'u1', participantName: 'Ada <b>Lovelace</b>', sessions: [] },
    { purpose: 'agent', userId: 'u2', participantName: 'Grace', sessions: [{ segments: [{ queueId: 'q2' }] }] },
  ],
};

const STORED = { sizeBytes: 1_000, sha256: 'ab', crc32c: 'AAAAAA==' };

function detailsOf(conversation: unknown) {
  const details = parseDetails(encodeDetails(conversation, ABOUT));
  assert.ok(details);
  return details;
}

test('who spoke, in which queue, with which numbers and when is read out of a conversation', () => {
  const { conversation: _, ...facts } = detailsOf(CONVERSATION);
  assert.deepEqual(facts, {
    conversationId: 'c',
    at: AT.toISOString(),
    startedAt: '2026-02-28T23:58:00.000Z',
    endedAt: '2026-03-01T00:12:00.000Z',
    direction: 'inbound',
    divisions: ['d1', 'd2'],
    agents: [
      { id: 'u1', name: 'Ada <b>Lovelace</b>' },
      { id: 'u2', name: 'Grace' },
    ],
    queues: [
      { id: 'q1', name: 'Sales' },
      { id: 'q2', name: null },
    ],
    customerNumber: '+493012345678',
    ownNumber: '+4940999',
    wrapUpCodes: ['w1'],
    externalTag: 'case-7',
  });
});

test('of a call that was made the number called is the customer’s', () => {
  const made = detailsOf({ ...CONVERSATION, originatingDirection: 'outbound' });
  assert.deepEqual([made.customerNumber, made.ownNumber], ['+4940999', '+493012345678']);
});

test('attributes that flows set are not kept; all else is kept as Genesys answered', () => {
  const { conversation } = detailsOf(CONVERSATION);
  const [customer, ...others] = CONVERSATION.participants;
  const { attributes: __, ...kept } = { attributes: {}, ...customer };
  assert.deepEqual(conversation, { ...CONVERSATION, participants: [kept, ...others] });
  assert.doesNotMatch(JSON.stringify(conversation), /1234"/);
});

test('whatever Genesys answers can be kept and read again, and costs nothing but what it does not say', () => {
  fc.assert(
    fc.property(
      fc.record(
        {
          conversationStart: fc.oneof(fc.anything(), fc.constant('2026-03-01T10:00:00Z')),
          originatingDirection: fc.anything(),
          divisionIds: fc.anything(),
          participants: fc.oneof(
            fc.anything(),
            fc.array(
              fc.record(
                {
                  purpose: fc.oneof(fc.anything(), fc.constantFrom('customer', 'agent', 'acd', 'external')),
                  participantName: fc.anything(),
                  userId: fc.anything(),
                  sessions: fc.oneof(
                    fc.anything(),
                    fc.array(fc.record({ ani: fc.anything(), segments: fc.anything() })),
                  ),
                },
                { requiredKeys: [] },
              ),
            ),
          ),
        },
        { requiredKeys: [] },
      ),
      (conversation) => {
        const details = parseDetails(encodeDetails(jsonOf(conversation), ABOUT));
        assert.ok(details);
        const row = archivedRow(manifestOf({ recordingId: 'r', conversationId: 'c' }, STORED), details);
        assert.deepEqual(parseIndexRow(encodeIndexRow(row)), row);
        assert.match(indexDayOf(row), /^\d{4}-\d\d-\d\d$/);
      },
    ),
    { numRuns: 200, seed: SEED },
  );
});

/** As it comes over the wire. */
function jsonOf(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value)) as unknown;
  } catch {
    return {};
  }
}

test('what is no details.json is as good as none', () => {
  const whole = encodeDetails(CONVERSATION, ABOUT);
  const odd = [undefined, '', '[]', 'null', '{}', whole.slice(0, -9), whole.replace('"version":1', '"version":2')];
  for (const text of [...odd, whole.replace('"conversationId":"c"', '"conversationId":"../x"')])
    assert.equal(parseDetails(text), undefined, text);
});

test('all that is kept of a conversation lies under one prefix, each under a name of its own', async () => {
  const recording = { recordingId: 'r', conversationId: 'c' };
  const names = [detailsName('c'), ...[recordingNoteName, transcriptName, noTranscriptName].map((of) => of(recording))];
  assert.equal(new Set(names).size, 4);
  for (const name of names) assert.ok(name.startsWith(conversationPrefix('c')), name);
  const notes = {
    read: async (name: string) => (name === detailsName('c') ? encodeDetails(CONVERSATION, ABOUT) : undefined),
  };
  assert.equal((await readDetails('c', notes, AbortSignal.timeout(300_000)))?.externalTag, 'case-7');
  assert.equal(await readDetails('d', notes, AbortSignal.timeout(300_000)), undefined);
});

test('a line belongs to the day its conversation started, else its recording, else when it was archived or given up', () => {
  const recording = { recordingId: 'r', conversationId: 'c' };
  const manifest = manifestOf(recording, STORED);
  const details = detailsOf(CONVERSATION);
  assert.equal(indexDayOf(archivedRow(manifest, details)), '2026-02-28');
  assert.equal(indexDayOf(archivedRow(manifest)), '2026-03-01');
  assert.equal(indexDayOf(archivedRow({ ...manifest, recordedAt: null })), '2026-03-02');
  assert.equal(indexDayOf(failedRow(failureOf(recording))), '2026-03-03');
  assert.equal(indexDayOf(failedRow(failureOf(recording), details)), '2026-02-28');
});

test('a line of each sort comes back as it was written, and none has a field of its folder', () => {
  const recording = { recordingId: 'r', conversationId: 'c' };
  const details = detailsOf(CONVERSATION);
  const lines = [
    archivedRow(manifestOf(recording, STORED), details),
    archivedRow(manifestOf({ recordingId: 'r', conversationId: undefined }, STORED)),
    failedRow(failureOf(recording), details),
    failedRow(failureOf({ conversationId: 'c' }, { status: 'no-recordings' })),
    waitingRow(waitingOf(recording), { at: AT, details }),
    movedRow(recording, AT.toISOString()),
  ];
  for (const row of lines) {
    const text = encodeIndexRow(row);
    assert.deepEqual(parseIndexRow(text), row);
    assert.doesNotMatch(text, /\n/);
    assert.equal(Object.hasOwn(JSON.parse(text) as object, 'day'), false);
    assert.deepEqual(Object.keys(JSON.parse(text) as object).toSorted(), Object.keys(lines[0] ?? {}).toSorted());
  }
});
