/** What follows from the end of a delivery: messages that are durable before it settles, and lines of the index. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeDetails } from '../../src/archive/details.ts';
import type { IndexRow } from '../../src/archive/index-row.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { createDelivery, type DeliveryNeeds, MAX_LOST } from '../../src/delivery.ts';
import { Failure, type FailureCode } from '../../src/failure.ts';
import { FollowUps } from '../../src/delivery/follow-ups.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { delayOf, type Delivery, type Message, type Settlement } from '../../src/queue/queue.ts';
import { MAX_AGE_MS, SETTLED_AFTER_MS } from '../../src/delivery/schedule.ts';
import { WaitingList } from '../../src/delivery/waiting-list.ts';
import { failureOf, manifestOf } from '../support/archive/content.ts';
import { type FolderHarness, openFolderHarness } from '../support/archive/folder.ts';

const HOUR = 3_600_000;
const RECORDING = { recordingId: 'r', conversationId: 'c' };
const running = new AbortController().signal;

interface Around extends AsyncDisposable {
  archiving: () => Promise<{ manifest: Manifest; fresh: boolean }>;
  listing: () => Promise<unknown>;
  publishing: (messages: readonly Message[]) => Promise<void>;
  readonly harness: FolderHarness;
  readonly published: Message[];
  readonly rows: (readonly [key: string, status: string, day: string | undefined])[];
  /** The last of them, whole. */
  last: IndexRow | undefined;
  readonly logged: () => string;
  deliver(delivery?: Partial<Delivery>, beside?: DeliveryNeeds['beside']): Promise<Settlement>;
}

async function setUp(options: { keepsDetails?: boolean; notifies?: boolean } = {}): Promise<Around> {
  const harness = await openFolderHarness();
  const { archive } = harness;
  const stream = new PassThrough().setEncoding('utf8');
  let lines = '';
  stream.on('data', (chunk: string) => (lines += chunk));
  const published: Message[] = [];
  const rows: Around['rows'] = [];
  const queue = {
    publish: async (messages: readonly Message[]) => {
      await around.publishing(messages);
      published.push(...messages);
    },
  };
  const note = (row: IndexRow, day?: string): void => {
    rows.push([row.key, row.status, day]);
    around.last = row;
  };
  const index = { note };
  const { keepsDetails = true, notifies = true } = options;
  const log = createLog({ level: 'debug', secrets: [], stream });
  const around: Around = {
    archiving: async () => ({ manifest: manifestNow(), fresh: true }),
    listing: async () => undefined,
    publishing: async () => undefined,
    harness,
    published,
    rows,
    last: undefined,
    logged: () => lines,
    deliver: (delivery = {}, beside = {}) => {
      const handle = createDelivery({
        pipeline: { archive: () => around.archiving() },
        genesys: {
          recordingsOf: async () => {
            await around.listing();
            return { recordings: [], isComplete: false, lacking: undefined };
          },
          voicemailsOf: async () => {
            await around.listing();
            return { recordings: [], isComplete: false, lacking: undefined };
          },
          locate: () => assert.fail('the pipeline does that'),
          check: async () => undefined,
          close: async () => undefined,
        },
        archive,
        queue,
        metrics: createMetrics(),
        log,
        waiting: new WaitingList(),
        version: '1.2.3',
        beside,
        followUps: new FollowUps({ queue, notes: archive.notes, index, keepsDetails, notifies }),
      });
      const message = { kind: 'recording', ...RECORDING } as const;
      return handle({ message, attempt: 1, lost: 0, acceptedAt: new Date(), ...delivery }, running);
    },
    [Symbol.asyncDispose]: () => harness.close(),
  };
  return around;
}

function manifestNow(facts: Partial<Manifest> = {}): Manifest {
  const stored = { sizeBytes: 1_000, sha256: 'ab', crc32c: 'AAAAAA==' };
  return manifestOf(RECORDING, stored, { finishedAt: new Date(Date.now() + 1).toISOString(), ...facts });
}

function kindsOf(messages: readonly Message[]): readonly string[] {
  return messages.map((one) => (one.kind === 'notice' ? one.event : one.kind));
}

test('what was archived has its details asked for, is told of, and has its line', async () => {
  await using around = await setUp();
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await around.deliver({ message: { kind: 'recording', ...RECORDING, traceparent } });
  assert.deepEqual(kindsOf(around.published), ['details', 'recording.archived']);
  assert.deepEqual(around.published.map(delayOf), [SETTLED_AFTER_MS, 0], 'nobody takes details up before they settle');
  for (const one of around.published) assert.equal(one.traceparent?.slice(3, 35), traceparent.slice(3, 35));
  assert.deepEqual(around.rows, [['c.r', 'archived', undefined]]);
});

test('the line of what was archived late has at once what is kept of its conversation', async () => {
  await using around = await setUp();
  const startedAt = '2026-03-01T09:00:00.000Z';
  const details = encodeDetails(
    { conversationStart: startedAt, externalTag: 'order 17' },
    { conversationId: 'c', at: new Date(), service: '1.2.3' },
  );
  await around.harness.archive.notes.create('conversations/c/details.json', details, running);
  around.archiving = async () => ({ manifest: manifestNow({ recordedAt: startedAt }), fresh: true });
  await around.deliver();
  assert.deepEqual([around.last?.conversationStart, around.last?.externalTag], [startedAt, 'order 17']);
});

test('where nothing is kept and nobody told, nothing is published', async () => {
  await using around = await setUp({ keepsDetails: false, notifies: false });
  await around.deliver();
  assert.deepEqual(around.published, []);
  assert.equal(around.rows.length, 1);
});

test('a queue that takes nothing brings the recording back, and what follows is published then, though it is archived', async () => {
  await using around = await setUp();
  const acceptedAt = new Date(Date.now() - 1_000);
  around.publishing = async () => {
    throw new Failure('queue-unavailable', 'The disk is full.');
  };
  const first = await around.deliver({ acceptedAt });
  assert.equal(first.outcome, 'wait');
  assert.deepEqual(around.published, []);
  around.publishing = async () => undefined;
  const manifest = manifestNow();
  around.archiving = async () => ({ manifest, fresh: false });
  assert.deepEqual(await around.deliver({ acceptedAt }), { outcome: 'done' });
  assert.deepEqual(kindsOf(around.published), ['details', 'recording.archived']);
});

test('a conversation that was noted as one without recordings is no more, whether or not what follows could be published', async () => {
  for (const code of [undefined, 'queue-unavailable'] as const) {
    await using around = await setUp();
    const { archive } = around.harness;
    const subject = { recordingId: undefined, conversationId: RECORDING.conversationId };
    await archive.recordFailure(subject, failureOf(subject, { status: 'no-recordings', code: 'not-found' }), running);
    around.archiving = async () => ({ manifest: manifestNow({ recordedAt: '2026-03-01T09:30:00.000Z' }), fresh: true });
    around.publishing = async () => {
      // Neither waits for the other.
      while ((await archive.failureOf(subject, running)) !== undefined) await nextTurn();
      if (code !== undefined) throw new Failure(code, 'The disk is full.');
    };
    const { outcome } = await around.deliver();
    assert.equal(outcome, code === undefined ? 'done' : 'wait');
    assert.equal(await archive.failureOf(subject, running), undefined);
  }
});

test('an event for what was archived before it came is told to nobody', async () => {
  await using around = await setUp();
  around.archiving = async () => ({ manifest: manifestNow({ finishedAt: '2026-03-02T00:00:02.000Z' }), fresh: false });
  assert.deepEqual(await around.deliver(), { outcome: 'done' });
  assert.deepEqual([around.published, around.rows], [[], []]);
});

test('what is given up is told with its code, once it is on record, and has its line on the day of its conversation', async () => {
  await using around = await setUp();
  const details = encodeDetails(
    { conversationStart: '2026-02-28T23:00:00Z' },
    { conversationId: 'c', at: new Date(), service: '1' },
  );
  await around.harness.archive.notes.replace('conversations/c/details.json', details, running);
  around.archiving = async () => {
    throw new Failure('gone', 'Genesys has deleted this recording.');
  };
  around.publishing = async () => {
    assert.equal((await around.harness.archive.failureOf(RECORDING, running))?.code, 'gone');
  };
  assert.equal((await around.deliver()).outcome, 'dead');
  const [notice] = around.published;
  assert.ok(notice?.kind === 'notice');
  assert.deepEqual([notice.event, notice.code, notice.recordingId], ['recording.failed', 'gone', 'r']);
  assert.deepEqual(around.rows, [['c.r', 'failed', '2026-02-28']]);
});

test('a failure that nobody could be told of is not let go', async () => {
  await using around = await setUp();
  around.archiving = async () => {
    throw new Failure('gone', 'Genesys has deleted this recording.');
  };
  around.publishing = async () => {
    throw new Failure('queue-unavailable', 'The disk is full.');
  };
  assert.deepEqual(await around.deliver(), { outcome: 'wait', afterMs: 60_000 });
});

test('a chat is no failure to be told of; erased is nothing at all', async () => {
  for (const [code, statuses] of [
    ['no-media', ['no-media']],
    ['erased', []],
  ] as const) {
    await using around = await setUp();
    around.archiving = async () => {
      throw new Failure(code, 'It is what it is.');
    };
    await around.deliver();
    assert.deepEqual(around.published, []);
    assert.deepEqual(
      around.rows.map(([, status]) => status),
      statuses,
    );
  }
});

test('what waits has a line once it is listed, on the day its event came, and it is taken back when it is archived', async () => {
  await using around = await setUp();
  const acceptedAt = new Date(Date.now() - 30 * HOUR);
  const day = acceptedAt.toISOString().slice(0, 10);
  around.archiving = async () => {
    throw new Failure('not-ready', 'Genesys is still transcoding this recording.');
  };
  await around.deliver({ acceptedAt: new Date() });
  assert.deepEqual(around.rows, []);
  await around.deliver({ acceptedAt });
  assert.deepEqual(around.rows, [['c.r', 'waiting', day]]);
  around.archiving = async () => ({ manifest: manifestNow(), fresh: true });
  await around.deliver({ acceptedAt });
  assert.deepEqual(around.rows.slice(1), [
    ['c.r', 'archived', undefined],
    ['c.r', 'moved', day],
  ]);
});

const DETAILS = { kind: 'details', conversationId: 'c' } as const;

test('messages of kinds that nothing is set up for are done; the others are worked on', async () => {
  await using around = await setUp();
  assert.deepEqual(await around.deliver({ message: DETAILS }), { outcome: 'done' });
  const wait = { outcome: 'wait', afterMs: 7 } as const;
  assert.deepEqual(await around.deliver({ message: DETAILS }, { details: async () => wait }), wait);
});

test('what needs no encoder yields its slot before it begins; a recording does so itself, and levels are read in it', async () => {
  const at = new Date().toISOString();
  const conversation = { kind: 'conversation', conversationId: 'c' } as const;
  for (const [message, yields] of [
    [conversation, true],
    [{ ...conversation, voicemail: true }, true],
    [{ kind: 'details', conversationId: 'c' }, true],
    [
      {
        kind: 'notice',
        event: 'day.incomplete',
        day: '2026-03-01',
        at,
        recordingId: undefined,
        conversationId: undefined,
      },
      true,
    ],
    [{ kind: 'levels', ...RECORDING }, false],
    [{ kind: 'recording', ...RECORDING }, false],
  ] as const satisfies readonly (readonly [Message, boolean])[]) {
    await using around = await setUp();
    const steps: string[] = [];
    const begun = async (): Promise<Settlement> => {
      steps.push('begun');
      return { outcome: 'done' };
    };
    around.archiving = async () => {
      await begun();
      return { manifest: manifestNow(), fresh: true };
    };
    around.listing = begun;
    const beside = { details: begun, levels: begun, notice: begun };
    await around.deliver({ message, yieldSlot: () => steps.push('yielded') }, beside);
    assert.deepEqual(steps, yields ? ['yielded', 'begun'] : ['begun'], JSON.stringify(message));
  }
});

test('work beside a recording that fails is tried again, for a week, and never called a failure of the recording', async () => {
  await using around = await setUp();
  const failing = (code: FailureCode): DeliveryNeeds['beside'] => ({
    details: async () => {
      throw new Failure(code, 'It failed.');
    },
  });
  const codes = ['forbidden', 'upstream-unavailable', 'misconfigured', 'host-refused', 'not-ready'] as const;
  for (const code of codes) {
    assert.equal((await around.deliver({ message: DETAILS }, failing(code))).outcome, 'wait', code);
    const acceptedAt = new Date(Date.now() - MAX_AGE_MS - 1);
    assert.equal((await around.deliver({ message: DETAILS, acceptedAt }, failing(code))).outcome, 'dead', code);
  }
  assert.equal((await around.deliver({ message: DETAILS, lost: MAX_LOST }, failing('forbidden'))).outcome, 'dead');
  const objects = await around.harness.objects();
  assert.deepEqual(
    objects.filter((name) => /^(failures|waiting)/.test(name)),
    [],
  );
  assert.deepEqual([around.published, around.rows], [[], []]);
  assert.match(around.logged(), /Work beside a recording was not done/);
});
