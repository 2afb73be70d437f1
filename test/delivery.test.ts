/** How a delivery ends: every failure to its settlement, over the real folder archive; only Genesys and the making are played. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { Archive } from '../src/archive/archive.ts';
import { openFolderArchive, type FolderArchive } from '../src/archive/folder/folder.ts';
import type { FailureRecord, Manifest, WaitingRecord } from '../src/archive/manifest.ts';
import { createDelivery, MAX_LOST } from '../src/delivery.ts';
import { Failure, type FailureCode, type FailureOptions } from '../src/failure.ts';
import type { Genesys } from '../src/genesys/genesys.ts';
import { createLog } from '../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../src/telemetry/metrics.ts';
import type { Pipeline, Work } from '../src/pipeline.ts';
import type { Delivery, Message, Settlement } from '../src/queue/queue.ts';
import type { Recording } from '../src/recording.ts';
import { LATE_MS, MAX_AGE_MS, MAX_ATTEMPTS, MAX_ATTEMPTS_OF_ITS_OWN, SEEN_AFTER_MS } from '../src/delivery/schedule.ts';
import { STUCK_AT, WaitingList } from '../src/delivery/waiting-list.ts';

const RECORDING: Recording = { recordingId: 'r-1', conversationId: 'c-1' };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const running = new AbortController().signal;

/** What stands around a delivery, and what became of it. */
interface Around extends AsyncDisposable {
  /** What archiving does; succeeds unless told. */
  archiving: (work: Work, signal: AbortSignal) => Promise<{ manifest: Manifest; fresh: boolean }>;
  resolving: (conversationId: string) => Promise<readonly Recording[]>;
  /** Why the list may not be all. */
  lacking: Failure | undefined;
  publishing: (messages: readonly Message[]) => Promise<void>;
  readonly archive: FolderArchive;
  readonly path: string;
  readonly metrics: Metrics;
  /** Log entries so far. */
  entries(): readonly Readonly<Record<string, unknown>>[];
  deliver(delivery?: Partial<Delivery>, signal?: AbortSignal, archive?: Archive): Promise<Settlement>;
  failure(): Promise<FailureRecord | undefined>;
  waits(): Promise<WaitingRecord | undefined>;
}

async function setUp(): Promise<Around> {
  const parent = await mkdtemp(join(tmpdir(), 'delivery-'));
  const path = join(parent, 'archive');
  const archive = openFolderArchive({ path, linkKeys: ['key'], publicUrl: 'http://127.0.0.1' });
  const metrics = createMetrics();
  const waiting = new WaitingList();
  metrics.waiting(() => waiting.totals());
  const stream = new PassThrough().setEncoding('utf8');
  let lines = '';
  stream.on('data', (chunk: string) => (lines += chunk));
  const log = createLog({ level: 'debug', secrets: [], stream });
  const around: Around = {
    archiving: async () => ({ manifest: MANIFEST, fresh: true }),
    resolving: async () => [],
    lacking: undefined,
    publishing: async () => undefined,
    archive,
    path,
    metrics,
    entries: () => lines.split('\n').filter(Boolean).map(parse),
    deliver: (delivery, signal = running, over = archive) => {
      const handle = createDelivery({
        pipeline: pipelineOf(around),
        genesys: genesysOf(around),
        archive: over,
        queue: { publish: (messages) => around.publishing(messages) },
        metrics,
        log,
        waiting,
        version: '1.2.3',
      });
      return handle({ message: message(), attempt: 1, lost: 0, acceptedAt: new Date(), ...delivery }, signal);
    },
    failure: () => archive.failureOf(RECORDING, running),
    waits: () => archive.waitingOf(RECORDING, running),
    [Symbol.asyncDispose]: () => rm(parent, { recursive: true }),
  };
  return around;
}

function pipelineOf(around: Around): Pick<Pipeline, 'archive'> {
  return { archive: (work, signal) => around.archiving(work, signal) };
}

function genesysOf(around: Around): Genesys {
  return {
    recordingsOf: async (conversationId) => ({
      recordings: await around.resolving(conversationId),
      isComplete: false,
      lacking: around.lacking,
    }),
    voicemailsOf: () => assert.fail('nobody left one'),
    locate: () => assert.fail('the pipeline does that'),
    check: async () => undefined,
    close: async () => undefined,
  };
}

function parse(line: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(line);
  assert.ok(typeof value === 'object' && value !== null);
  return { ...value };
}

function message(): Message {
  return { kind: 'recording', ...RECORDING };
}

function conversation(traceparent?: string): Message {
  const trace = traceparent === undefined ? {} : { traceparent };
  return { kind: 'conversation', conversationId: 'c-1', ...trace };
}

/** The archive, but for what is said here. */
function overriding(archive: Archive, over: Partial<Archive>): Archive {
  return new Proxy(archive, {
    get(target, name) {
      const own: unknown = Reflect.get(over, name) ?? Reflect.get(target, name);
      return typeof own === 'function' ? own.bind(target) : own;
    },
  });
}

/** Accepted so long ago. */
function aged(ageMs: number): { readonly acceptedAt: Date } {
  return { acceptedAt: new Date(Date.now() - ageMs) };
}

function failing(around: Around, code: FailureCode, options: FailureOptions = {}): void {
  around.archiving = async () => {
    throw new Failure(code, `It failed: ${code}.`, options);
  };
}

/** The wait of a settlement, which has to be of this kind. */
function waitOf(settlement: Settlement, outcome: 'again' | 'wait'): number {
  assert.equal(settlement.outcome, outcome);
  return 'afterMs' in settlement ? settlement.afterMs : assert.fail();
}

const MANIFEST: Manifest = {
  version: 1,
  recordingId: 'r-1',
  conversationId: 'c-1',
  api: 'recordings',
  medium: 'audio',
  recordedAt: null,
  sources: [],
  way: 'join',
  why: 'a test',
  encoder: null,
  webm: {
    contentType: 'audio/webm',
    sizeBytes: 1234,
    sha256: '0'.repeat(64),
    crc32c: 'AAAAAA==',
    durationMs: 5678,
    channels: 2,
    codecs: ['A_OPUS'],
  },
  startedAt: '2026-08-05T00:00:00.000Z',
  finishedAt: '2026-08-05T00:00:01.000Z',
  attempt: 1,
  service: '1.2.3',
};

// ── every failure ───────────────────────────────────────────────────────────────────────────────────────────────

/** What becomes of the first delivery of a young message. A new code does not compile until it is said here. */
const SETTLED: Readonly<Record<FailureCode, 'dead' | 'again' | 'wait' | 'long wait' | 'long' | 'done'>> = {
  'bad-request': 'dead',
  unauthorized: 'dead',
  forbidden: 'long wait',
  'not-found': 'dead',
  'method-not-allowed': 'dead',
  gone: 'dead',
  'not-ready': 'wait',
  'needs-restore': 'long wait',
  conflict: 'long wait',
  'no-recordings': 'dead',
  erased: 'done',
  'body-too-large': 'dead',
  'unsupported-type': 'dead',
  'no-media': 'dead',
  'unsupported-media': 'dead',
  'range-not-satisfiable': 'dead',
  'unreadable-media': 'dead',
  'media-too-large': 'long wait',
  busy: 'wait',
  'too-long': 'long',
  internal: 'again',
  'encoder-failed': 'again',
  incomplete: 'again',
  'upstream-error': 'wait',
  'host-refused': 'long wait',
  'rate-limited': 'wait',
  'upstream-unavailable': 'wait',
  misconfigured: 'long wait',
  'queue-unavailable': 'wait',
  'archive-unavailable': 'wait',
  // Nobody stopped this delivery: whoever says so is wrong.
  stopped: 'again',
  'upstream-timeout': 'wait',
};

function isCode(text: string): text is FailureCode {
  return Object.hasOwn(SETTLED, text);
}

for (const code of Object.keys(SETTLED).filter(isCode)) {
  const expected = SETTLED[code];
  test(`${code}: ${expected}`, async () => {
    await using around = await setUp();
    failing(around, code);
    const settlement = await around.deliver();
    if (expected === 'dead') {
      assert.deepEqual(settlement, { outcome: 'dead', reason: `${code}: It failed: ${code}.` });
      assert.equal((await around.failure())?.code, code);
      assert.match(await around.metrics.text(), new RegExp(`recordings_failed_total{code="${code}"} 1`));
      return;
    }
    if (expected === 'long' || expected === 'done') {
      assert.deepEqual(settlement, { outcome: expected });
      assert.equal(await around.failure(), undefined, 'it was recorded as a failure');
      return;
    }
    const outcome = expected === 'again' ? 'again' : 'wait';
    const ms = waitOf(settlement, outcome);
    if (expected === 'wait') assert.ok(ms >= 3_750 && ms <= 6_250, String(ms));
    else if (expected === 'again') assert.ok(ms >= 5_000 && ms <= 10_000, String(ms));
    else assert.ok(ms >= 7_500 && ms <= 12_500, String(ms));
    assert.equal(await around.failure(), undefined);
    const named = code === 'stopped' ? 'internal' : code;
    const line = new RegExp(`recordings_postponed_total{code="${named}",outcome="${outcome}"} 1`);
    assert.match(await around.metrics.text(), line);
  });
}

test('what nobody foresaw counts as an attempt and is not thrown at the queue', async () => {
  await using around = await setUp();
  for (const thrown of [new TypeError('x is undefined'), 'text', undefined]) {
    around.archiving = () => Promise.reject(thrown);
    assert.equal((await around.deliver()).outcome, 'again');
  }
});

test('a failure that overrides what its code means is taken at its word', async () => {
  await using around = await setUp();
  failing(around, 'not-found', { retry: 'wait' });
  assert.equal((await around.deliver()).outcome, 'wait');
  failing(around, 'upstream-error', { retry: 'never' });
  assert.equal((await around.deliver()).outcome, 'dead');
});

// ── bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('attempts are exhausted at last: the failure is recorded with its count, and the message is dead', async () => {
  await using around = await setUp();
  failing(around, 'encoder-failed');
  assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS - 1 })).outcome, 'again');
  assert.equal(await around.failure(), undefined);
  assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS })).outcome, 'dead');
  const { failedAt, ...record } = (await around.failure()) ?? assert.fail('no record');
  assert.ok(Math.abs(Date.parse(failedAt) - Date.now()) < MINUTE);
  assert.deepEqual(record, {
    version: 1,
    recordingId: 'r-1',
    conversationId: 'c-1',
    status: 'failed',
    code: 'encoder-failed',
    reason: 'It failed: encoder-failed.',
    attempts: MAX_ATTEMPTS,
    service: '1.2.3',
  });
});

test('waiting is no attempt: what waits is never exhausted', async () => {
  await using around = await setUp();
  failing(around, 'not-ready');
  assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS + 50 })).outcome, 'wait');
});

test('bytes that cannot change are tried twice, not eight times (12.13)', async () => {
  await using around = await setUp();
  const own: readonly (readonly [FailureCode, FailureOptions])[] = [
    ['incomplete', {}],
    ['encoder-failed', { sort: 'recording', retry: 'again' }],
    ['unreadable-media', { retry: 'again' }],
  ];
  for (const [code, options] of own) {
    failing(around, code, options);
    assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS_OF_ITS_OWN - 1 })).outcome, 'again');
    assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS_OF_ITS_OWN })).outcome, 'dead');
  }
});

test("the same loss on the way is the surroundings': it costs no attempt (C6)", async () => {
  await using around = await setUp();
  for (const code of ['incomplete', 'upstream-error', 'upstream-unavailable', 'upstream-timeout'] as const) {
    failing(around, code, { sort: 'surroundings' });
    for (const ageMs of [0, HOUR, MAX_AGE_MS - MINUTE])
      assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS + 50, ...aged(ageMs) })).outcome, 'wait', code);
  }
});

test('what an operator can mend waits as long again as it has waited already, and is not given up for a week (C4)', async () => {
  await using around = await setUp();
  const codes = ['forbidden', 'host-refused', 'needs-restore', 'conflict', 'media-too-large', 'misconfigured'] as const;
  for (const code of codes) {
    failing(around, code);
    for (const [ageMs, aboutMs] of [
      [10 * MINUTE, 10 * MINUTE],
      [3 * HOUR, 3 * HOUR],
      [5 * 24 * HOUR, 12 * HOUR],
    ] as const) {
      const ms = waitOf(await around.deliver({ attempt: 99, ...aged(ageMs) }), 'wait');
      assert.ok(ms >= aboutMs * 0.74 && ms <= aboutMs * 1.26, `${code}: ${String(ms)} at ${String(ageMs)}`);
    }
    assert.equal(await around.failure(), undefined);
    around.archiving = async () => ({ manifest: MANIFEST, fresh: true });
    assert.equal((await around.deliver({ attempt: 99, ...aged(MAX_AGE_MS - MINUTE) })).outcome, 'done');
  }
});

test('what Genesys does not know yet waits for as long as a recording may be late, and is final then (SR-05)', async () => {
  await using around = await setUp();
  failing(around, 'not-found', { sort: 'recording', retry: 'wait' });
  assert.equal((await around.deliver(aged(LATE_MS - MINUTE))).outcome, 'wait');
  assert.equal((await around.deliver({ attempt: 2, ...aged(LATE_MS + MINUTE) })).outcome, 'dead');
  assert.equal((await around.failure())?.code, 'not-found');
});

test('past a week what waits uses up attempts, so that a service that was off for a week gives up nothing at once (SR-26)', async () => {
  await using around = await setUp();
  for (const code of ['not-ready', 'rate-limited', 'archive-unavailable', 'upstream-timeout', 'forbidden'] as const) {
    failing(around, code);
    assert.equal((await around.deliver(aged(MAX_AGE_MS - MINUTE))).outcome, 'wait', code);
    assert.equal((await around.deliver(aged(MAX_AGE_MS + MINUTE))).outcome, 'again', code);
    assert.equal((await around.deliver({ attempt: MAX_ATTEMPTS, ...aged(MAX_AGE_MS + MINUTE) })).outcome, 'dead', code);
    assert.equal((await around.failure())?.code, code);
  }
});

test('nothing is given up for credentials, however long they last (SR-02)', async () => {
  await using around = await setUp();
  failing(around, 'misconfigured');
  assert.equal((await around.deliver({ attempt: 99, ...aged(10 * MAX_AGE_MS) })).outcome, 'wait');
  assert.equal(await around.failure(), undefined);
});

test('invariant 7: a wait that was asked for is kept to the millisecond, whatever our own bounds are (SR-09)', async () => {
  await using around = await setUp();
  for (const afterMs of [1_000, 13_000, 1_234_567, 2 ** 31, 30 * 24 * HOUR]) {
    for (const code of [
      'rate-limited',
      'not-ready',
      'busy',
      'upstream-unavailable',
      'upstream-error',
      'forbidden',
    ] as const) {
      failing(around, code, { afterMs });
      const { because, ...settlement } = (await around.deliver()) as Settlement & { outcome: 'wait' };
      assert.deepEqual([settlement, because?.code], [{ outcome: 'wait', afterMs }, code]);
    }
    failing(around, 'encoder-failed', { afterMs });
    assert.deepEqual(await around.deliver({ attempt: 2 }), { outcome: 'again', afterMs });
  }
});

test('a recording that ended the process time and again is given up without being touched (FF-07)', async () => {
  await using around = await setUp();
  let touched = 0;
  around.archiving = async () => {
    touched += 1;
    return { manifest: MANIFEST, fresh: true };
  };
  assert.equal((await around.deliver({ lost: MAX_LOST - 1 })).outcome, 'done');
  assert.equal((await around.deliver({ lost: MAX_LOST })).outcome, 'dead');
  assert.equal(touched, 1);
  assert.match((await around.failure())?.reason ?? '', /ended 5 times in a row/);
});

// ── stopped ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('invariant 10: work that is stopped goes back at once, untouched, whatever it failed with then', async () => {
  await using around = await setUp();
  for (const code of ['gone', 'internal', 'archive-unavailable', 'stopped'] as const) {
    const stop = new AbortController();
    around.archiving = async () => {
      stop.abort();
      throw new Failure(code, 'It failed while it was stopped.', { afterMs: 5_000 });
    };
    const settlement = await around.deliver({ attempt: MAX_ATTEMPTS, ...aged(2 * MAX_AGE_MS) }, stop.signal);
    assert.deepEqual(settlement, { outcome: 'back' });
  }
  assert.equal(await around.failure(), undefined);
});

test('work that calls itself stopped although nobody stopped it is an attempt that failed, not a hot loop (A1)', async () => {
  await using around = await setUp();
  const stopped: readonly unknown[] = [
    new Failure('stopped', 'The media has been read to its end.'),
    new Failure('stopped', 'The download was left before its end.', { afterMs: 0 }),
    new DOMException('This operation was aborted', 'AbortError'),
    Object.assign(new Error('The operation was aborted'), { name: 'AbortError', code: 'ABORT_ERR' }),
    Object.assign(new Error('aborted', { cause: new Failure('stopped', 'Somebody else did.') }), {
      name: 'AbortError',
    }),
  ];
  for (const thrown of stopped) {
    around.archiving = () => Promise.reject(thrown);
    assert.ok(waitOf(await around.deliver(), 'again') >= 1_000);
    const settlement = await around.deliver({ attempt: MAX_ATTEMPTS });
    assert.equal(settlement.outcome, 'dead');
    assert.equal((await around.failure())?.code, 'internal');
  }
});

test('no wait is below a second, whatever the reason, the age or the time that the other side names (A1)', async () => {
  await using around = await setUp();
  for (const code of Object.keys(SETTLED).filter(isCode)) {
    for (const afterMs of [undefined, -5_000, 0, 1, 999])
      for (const ageMs of [-HOUR, 0, 1, MINUTE, MAX_AGE_MS + MINUTE]) {
        failing(around, code, afterMs === undefined ? {} : { afterMs });
        const settlement = await around.deliver(aged(ageMs));
        if ('afterMs' in settlement)
          assert.ok(settlement.afterMs >= 1_000, `${code} after ${String(settlement.afterMs)}`);
      }
  }
});

for (const withinMs of [undefined, 60_000]) {
  test(`the signal of the delivery is the signal of the work, until it is over (within ${String(withinMs)} ms)`, async () => {
    await using around = await setUp();
    const stop = new AbortController();
    let seen: readonly boolean[] = [];
    around.archiving = async (_work, signal) => {
      const before = signal.aborted;
      stop.abort();
      seen = [before, signal.aborted];
      return { manifest: MANIFEST, fresh: true };
    };
    await around.deliver(withinMs === undefined ? {} : { withinMs }, stop.signal);
    assert.deepEqual(seen, [false, true]);
    const other = new AbortController();
    around.archiving = async () => ({ manifest: MANIFEST, fresh: true });
    await around.deliver(withinMs === undefined ? {} : { withinMs }, other.signal);
    assert.equal(getEventListeners(other.signal, 'abort').length, 0);
  });
}

// ── records ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('a chat, email or message is recorded as having no media, not as failed', async () => {
  await using around = await setUp();
  failing(around, 'no-media');
  assert.equal((await around.deliver()).outcome, 'dead');
  assert.equal((await around.failure())?.status, 'no-media');
  const { entries } = await around.archive.list({ status: 'no-media', limit: 10 }, running);
  assert.deepEqual(
    entries.map(({ status, recording }) => [status, recording]),
    [['no-media', RECORDING]],
  );
});

test('a recording without a conversation is recorded under the name for none', async () => {
  await using around = await setUp();
  failing(around, 'gone');
  await around.deliver({ message: { kind: 'recording', recordingId: 'r-2', conversationId: undefined } });
  assert.deepEqual(await readdir(join(around.path, 'failures')), ['_.r-2.json']);
});

test('while the archive cannot record a failure, the work waits; afterwards it is recorded, and nothing was lost', async () => {
  await using around = await setUp();
  failing(around, 'gone');
  await around.archive.check(running);
  const failures = join(around.path, 'failures');
  await rm(failures, { recursive: true });
  await writeFile(failures, 'a file where a folder should be');
  assert.deepEqual(await around.deliver(), { outcome: 'wait', afterMs: 60_000 });
  assert.equal(await readFile(failures, 'utf8'), 'a file where a folder should be');
  const [unrecorded, attempt] = around.entries();
  assert.deepEqual([unrecorded?.['severity'], attempt?.['outcome']], ['ERROR', 'wait']);
  await rm(failures);
  assert.equal((await around.deliver()).outcome, 'dead');
  assert.equal((await around.failure())?.code, 'gone');
});

test('a failure that can never be recorded is left with the queue, reason and all', async () => {
  await using around = await setUp();
  failing(around, 'gone');
  const refusal = new Failure('bad-request', 'It has no name.');
  const recordFailure = (): Promise<void> => Promise.reject(refusal);
  const archive = overriding(around.archive, { recordFailure });
  const settlement = await around.deliver({}, running, archive);
  assert.deepEqual([settlement.outcome, 'reason' in settlement], ['dead', true]);
});

// ── what waits ──────────────────────────────────────────────────────────────────────────────────────────────────

test('what waits is recorded once it is older than 15 minutes, with its reason, since when and its next try', async () => {
  await using around = await setUp();
  failing(around, 'forbidden');
  await around.deliver(aged(SEEN_AFTER_MS - MINUTE));
  assert.equal(await around.waits(), undefined);
  const { acceptedAt } = aged(SEEN_AFTER_MS);
  const ms = waitOf(await around.deliver({ acceptedAt, attempt: 2 }), 'wait');
  const { nextTry, ...record } = (await around.waits()) ?? assert.fail('nothing says that it waits');
  assert.deepEqual(record, {
    version: 1,
    recordingId: 'r-1',
    conversationId: 'c-1',
    code: 'forbidden',
    sort: 'operator',
    reason: 'It failed: forbidden.',
    since: acceptedAt.toISOString(),
    attempts: 2,
    service: '1.2.3',
  });
  assert.ok(Math.abs(Date.parse(nextTry) - Date.now() - ms) < MINUTE);
  const { entries } = await around.archive.list({ status: 'waiting', limit: 10 }, running);
  assert.deepEqual(
    entries.map(({ recording }) => recording),
    [RECORDING],
  );
});

test('a wait is recorded again when its reason changes or its next try is far away, not at every poll', async () => {
  await using around = await setUp();
  const reasons: string[] = [];
  const recordWaiting: Archive['recordWaiting'] = async (_, { reason }) => void reasons.push(reason);
  const archive = overriding(around.archive, { recordWaiting });
  const poll = (code: FailureCode, ageMs: number): Promise<Settlement> => {
    failing(around, code);
    return around.deliver(aged(ageMs), running, archive);
  };
  for (const ageMs of [20 * MINUTE, 25 * MINUTE, 31 * MINUTE]) await poll('not-ready', ageMs);
  await poll('upstream-timeout', 40 * MINUTE);
  await poll('not-ready', HOUR);
  assert.deepEqual(reasons, ['It failed: not-ready.', 'It failed: upstream-timeout.', 'It failed: not-ready.']);
  for (const ageMs of [4 * HOUR, 9 * HOUR]) await poll('forbidden', ageMs);
  assert.deepEqual(reasons.slice(3), ['It failed: forbidden.', 'It failed: forbidden.']);
});

test('a wait that cannot be recorded waits all the same, and is recorded with the next delivery', async () => {
  await using around = await setUp();
  failing(around, 'not-ready');
  const recordWaiting = (): Promise<void> => Promise.reject(new Failure('archive-unavailable', 'The disk is full.'));
  const archive = overriding(around.archive, { recordWaiting });
  assert.equal((await around.deliver(aged(HOUR), running, archive)).outcome, 'wait');
  assert.equal(await around.waits(), undefined);
  assert.equal((await around.deliver(aged(HOUR))).outcome, 'wait');
  assert.equal((await around.waits())?.code, 'not-ready');
});

test('the normal way asks the archive for nothing of waiting; what ended no longer waits', async () => {
  await using around = await setUp();
  const asked: string[] = [];
  const archive = overriding(around.archive, {
    recordWaiting: async () => void asked.push('record'),
    removeWaiting: async () => void asked.push('remove'),
    waitingOf: async () => (asked.push('read'), undefined),
    removeFailure: async () => void asked.push('remove failure'),
  });
  const recordedAt = new Date().toISOString();
  around.archiving = async () => ({ manifest: { ...MANIFEST, recordedAt }, fresh: true });
  await around.deliver({}, running, archive);
  around.archiving = async () => ({ manifest: MANIFEST, fresh: false });
  await around.deliver({}, running, archive);
  failing(around, 'not-ready');
  await around.deliver({}, running, archive);
  assert.deepEqual(asked, []);
  await around.deliver(aged(HOUR));
  assert.notEqual(await around.waits(), undefined);
  // Another message's commit was overtaken by this one's record.
  around.archiving = async () => ({ manifest: MANIFEST, fresh: false });
  assert.equal((await around.deliver(aged(HOUR))).outcome, 'done');
  assert.equal(await around.waits(), undefined);
  failing(around, 'not-ready');
  await around.deliver(aged(HOUR));
  failing(around, 'gone');
  assert.equal((await around.deliver(aged(HOUR))).outcome, 'dead');
  assert.equal(await around.waits(), undefined);
});

test('a failure that a new event has brought back is no failure while it waits', async () => {
  await using around = await setUp();
  failing(around, 'gone');
  await around.deliver();
  assert.notEqual(await around.failure(), undefined);
  failing(around, 'upstream-timeout');
  await around.deliver(aged(HOUR));
  assert.equal(await around.failure(), undefined);
});

test('/metrics has what waits by reason, whose it is and how long, until it ends', async () => {
  await using around = await setUp();
  const about = (id: string) => ({ message: { kind: 'recording', recordingId: id, conversationId: 'c-1' } as const });
  failing(around, 'forbidden');
  await around.deliver({ ...about('r-1'), ...aged(2 * HOUR) });
  await around.deliver({ ...about('r-2'), ...aged(HOUR) });
  failing(around, 'not-ready');
  await around.deliver({ ...about('r-3'), ...aged(MINUTE) });
  const text = await around.metrics.text();
  assert.match(text, /archiver_waiting{code="forbidden",sort="operator"} 2/);
  assert.match(text, /archiver_waiting_oldest_seconds{code="forbidden",sort="operator"} 720\d/);
  assert.match(text, /archiver_waiting{code="not-ready",sort="surroundings"} 1/);
  around.archiving = async () => ({ manifest: MANIFEST, fresh: true });
  for (const id of ['r-1', 'r-2', 'r-3']) await around.deliver(about(id));
  assert.doesNotMatch(await around.metrics.text(), /archiver_waiting{/);
});

test('a message that is delivered 50 times within an hour without progress is an alarm, once (A1)', async () => {
  await using around = await setUp();
  failing(around, 'rate-limited', { afterMs: 1_000 });
  const alarms = () => around.entries().filter(({ message: text }) => /50 times within an hour/.test(String(text)));
  for (let count = 1; count < STUCK_AT; count += 1) await around.deliver();
  assert.deepEqual(alarms(), []);
  for (let count = 0; count < 20; count += 1) await around.deliver();
  assert.deepEqual(
    alarms().map(({ severity, recordingId }) => [severity, recordingId]),
    [['ERROR', 'r-1']],
  );
  assert.match(await around.metrics.text(), /archiver_messages_stuck_total 1/);
});

test('a recording of a conversation that ended with nothing takes that record away, however it came', async () => {
  await using around = await setUp();
  const subject = { recordingId: undefined, conversationId: 'c-1' };
  const nothing = async (): Promise<number> => {
    const { entries } = await around.archive.list({ status: 'no-recordings', limit: 10 }, running);
    return entries.length;
  };
  assert.deepEqual(await around.deliver({ message: conversation(), ...aged(LATE_MS) }), { outcome: 'done' });
  assert.equal(await nothing(), 1);
  assert.equal((await around.archive.failureOf(subject, running))?.code, 'no-recordings');
  const recordedAt = new Date(Date.now() - LATE_MS - HOUR).toISOString();
  around.archiving = async () => ({ manifest: { ...MANIFEST, recordedAt }, fresh: true });
  await around.deliver();
  assert.equal(await nothing(), 0);
});

// ── success ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('a recording that was archived is done: one info line says what it cost', async () => {
  await using around = await setUp();
  let asked: Work | undefined;
  around.archiving = async (work) => {
    asked = work;
    return { manifest: MANIFEST, fresh: true };
  };
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const yieldSlot = (): void => undefined;
  const delivery = { message: { ...message(), traceparent }, attempt: 3, yieldSlot };
  assert.deepEqual(await around.deliver(delivery), { outcome: 'done' });
  assert.deepEqual(asked, { recording: RECORDING, attempt: 3, traceparent, withinMs: undefined, onMade: yieldSlot });
  const [line, ...more] = around.entries();
  assert.deepEqual(more, []);
  const { timestamp: _, seconds, ...fields } = line ?? {};
  assert.equal(typeof seconds, 'number');
  assert.deepEqual(fields, {
    severity: 'INFO',
    message: 'Recording was archived.',
    'logging.googleapis.com/trace': '0af7651916cd43dd8448eb211c80319c',
    'logging.googleapis.com/spanId': 'b7ad6b7169203331',
    'logging.googleapis.com/trace_sampled': true,
    recordingId: 'r-1',
    conversationId: 'c-1',
    attempt: 3,
    way: 'join',
    sizeBytes: 1234,
    durationMs: 5678,
  });
  assert.match(await around.metrics.text(), /recordings_archived_total{way="join"} 1/);
});

test('a recording that lies there already is done, and not counted again', async () => {
  await using around = await setUp();
  around.archiving = async () => ({ manifest: MANIFEST, fresh: false });
  assert.deepEqual(await around.deliver(), { outcome: 'done' });
  assert.deepEqual(
    around.entries().map((entry) => entry['message']),
    ['Recording was archived already.'],
  );
  assert.doesNotMatch(await around.metrics.text(), /recordings_archived_total{/);
});

test('every attempt that fails is one line, at error level where somebody has to act', async () => {
  await using around = await setUp();
  const codes = ['not-ready', 'gone', 'incomplete', 'internal', 'forbidden', 'misconfigured'] as const;
  for (const code of codes) {
    failing(around, code, { facts: { ffmpeg: 'tail' } });
    await around.deliver();
  }
  assert.deepEqual(
    around.entries().map((entry) => [entry['code'], entry['severity'], entry['outcome'], entry['recordingId']]),
    [
      ['not-ready', 'INFO', 'wait', 'r-1'],
      ['gone', 'INFO', 'dead', 'r-1'],
      ['incomplete', 'INFO', 'again', 'r-1'],
      ['internal', 'ERROR', 'again', 'r-1'],
      ['forbidden', 'WARNING', 'wait', 'r-1'],
      ['misconfigured', 'ERROR', 'wait', 'r-1'],
    ],
  );
  assert.partialDeepStrictEqual(around.entries()[0]?.['error'], { facts: { ffmpeg: 'tail' } });
});

// ── conversations ───────────────────────────────────────────────────────────────────────────────────────────────

test('a conversation is not done while the queue does not take its recordings', async () => {
  await using around = await setUp();
  around.resolving = async () => [RECORDING];
  around.publishing = async () => {
    throw new Failure('queue-unavailable', 'The disk is full.', { afterMs: 2_000 });
  };
  const settlement = await around.deliver({ message: conversation(), ...aged(LATE_MS) });
  assert.ok(waitOf(settlement, 'wait') >= 2_000);
});

test('a conversation that was given up and is resolved after all is no failure any more', async () => {
  await using around = await setUp();
  const failed = async (): Promise<readonly unknown[]> =>
    (await around.archive.list({ status: 'failed', limit: 10 }, running)).entries;
  const giveUp = async (): Promise<void> => {
    around.resolving = () => Promise.reject(new Failure('gone', 'Genesys has deleted it.'));
    assert.equal((await around.deliver({ message: conversation() })).outcome, 'dead');
    assert.equal((await failed()).length, 1);
  };
  for (const found of [[RECORDING], []]) {
    await giveUp();
    around.resolving = async () => found;
    assert.equal((await around.deliver({ message: conversation() })).outcome, 'wait');
    assert.deepEqual(await failed(), []);
  }
});

test('a conversation is not done while its failure record cannot be removed, nor before its recordings are queued', async () => {
  await using around = await setUp();
  let published = 0;
  around.resolving = async () => [RECORDING];
  around.publishing = async () => void (published += 1);
  const removeFailure = async (): Promise<void> => {
    assert.equal(published, 1);
    throw new Failure('archive-unavailable', 'The disk is full.', { afterMs: 3_000 });
  };
  const archive = overriding(around.archive, { removeFailure });
  const settlement = await around.deliver({ message: conversation(), ...aged(LATE_MS) }, running, archive);
  assert.ok(waitOf(settlement, 'wait') >= 3_000);
});

test('a list that cannot be read in full is named in the log at each look, and with the last one listed as failed (invariant 12)', async () => {
  await using around = await setUp();
  around.resolving = async () => [RECORDING];
  around.lacking = new Failure('upstream-error', 'Genesys answered with a list that cannot be read in full.');
  const ends = [];
  for (const ageMs of [0, LATE_MS])
    ends.push((await around.deliver({ message: conversation(), ...aged(ageMs) })).outcome);
  assert.deepEqual(ends, ['wait', 'dead']);
  const said = around.entries().filter(({ code }) => code === 'upstream-error');
  assert.deepEqual(
    said.map(({ severity, conversationId }) => [severity, conversationId]),
    [
      ['WARNING', 'c-1'],
      ['INFO', 'c-1'],
    ],
  );
  for (const { reason } of said) assert.match(String(reason), /cannot be read in full/);
  const { entries } = await around.archive.list({ status: 'failed', limit: 10 }, running);
  assert.deepEqual(entries[0]?.recording, { recordingId: undefined, conversationId: 'c-1' });
  assert.equal(await around.archive.waitingOf({ recordingId: undefined, conversationId: 'c-1' }, running), undefined);
});

test('a conversation that Genesys does not know is recorded as a whole', async () => {
  await using around = await setUp();
  around.resolving = async () => {
    throw new Failure('not-found', 'Genesys does not know this conversation.');
  };
  assert.equal((await around.deliver({ message: conversation() })).outcome, 'dead');
  assert.deepEqual(await readdir(join(around.path, 'failures')), ['c-1._.json']);
  const { entries } = await around.archive.list({ status: 'failed', limit: 10 }, running);
  assert.deepEqual(entries[0]?.recording, { recordingId: undefined, conversationId: 'c-1' });
});
