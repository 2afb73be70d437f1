/** A conversation over three days, look by look: what Genesys lists and when, against what is published and recorded. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive, type FolderArchive } from '../../src/archive/folder/folder.ts';
import { Failure } from '../../src/failure.ts';
import type { Message } from '../../src/queue/queue.ts';
import type { RecordingList } from '../../src/genesys/genesys.ts';
import type { Recording } from '../../src/recording.ts';
import { resolveConversation } from '../../src/delivery/resolve.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const running = new AbortController().signal;
const CONVERSATION = { recordingId: undefined, conversationId: 'c-1' };

interface Course {
  readonly archive: FolderArchive;
  /** Ages of the looks so far, in minutes. */
  readonly looks: number[];
  /** Recording ids, in the order they were published. */
  readonly published: string[];
  /** Of the last look: why its list may not be all. */
  lacking(): Failure | undefined;
  /** Goes on until the message is done or the age is reached. */
  until(ageMs: number): Promise<void>;
}

/** `listed` says what Genesys lists at an age. */
async function begin(
  t: TestContext,
  listed: (ageMs: number) => readonly string[],
  kind: 'recordings' | 'voicemails' = 'recordings',
  lackingAt: (ageMs: number) => Failure | undefined = () => undefined,
): Promise<Course> {
  const startMs = Date.UTC(2026, 10, 1, 12);
  t.mock.timers.enable({ apis: ['Date'], now: startMs });
  const path = await mkdtemp(join(tmpdir(), 'resolve-'));
  t.after(() => rm(path, { recursive: true }));
  const archive = openFolderArchive({ path: join(path, 'archive'), linkKeys: ['key'], publicUrl: 'http://127.0.0.1' });
  const looks: number[] = [];
  const published: string[] = [];
  let dueMs: number | undefined = startMs;
  let lastLacking: Failure | undefined;
  const list = async (conversationId: string): Promise<readonly Recording[]> => {
    looks.push((Date.now() - startMs) / MINUTE);
    return listed(Date.now() - startMs).map((recordingId) => ({ recordingId, conversationId }));
  };
  const other = () => assert.fail('the message is about the other kind');
  const recordingsOf = async (conversationId: string): Promise<RecordingList> => ({
    recordings: await list(conversationId),
    isComplete: false,
    lacking: lackingAt(Date.now() - startMs),
  });
  const genesys =
    kind === 'recordings' ? { recordingsOf, voicemailsOf: other } : { recordingsOf: other, voicemailsOf: recordingsOf };
  const publish = async (messages: readonly Message[]): Promise<void> => {
    published.push(...messages.map((message) => (message.kind === 'recording' ? message.recordingId : '?')));
  };
  const needs = {
    genesys,
    archive,
    queue: { publish },
    version: '1.2.3',
  };
  const ids = { kind: 'conversation', conversationId: 'c-1' } as const;
  const message = kind === 'recordings' ? ids : ({ ...ids, voicemail: true } as const);
  const delivery = { message, attempt: 1, lost: 0, acceptedAt: new Date(startMs) };
  const until = async (ageMs: number): Promise<void> => {
    while (dueMs !== undefined && dueMs <= startMs + ageMs) {
      t.mock.timers.setTime(dueMs);
      const { settlement, lacking } = await resolveConversation(delivery, needs, running);
      lastLacking = lacking;
      dueMs = settlement.outcome === 'wait' ? Date.now() + settlement.afterMs : undefined;
    }
    t.mock.timers.setTime(Math.max(Date.now(), startMs + ageMs));
  };
  return { archive, looks, published, lacking: () => lastLacking, until };
}

async function statusesOf({ archive }: Course, status?: 'no-recordings'): Promise<readonly string[]> {
  const query = status === undefined ? { limit: 10 } : { limit: 10, status };
  return (await archive.list(query, running)).entries.map((entry) => entry.status);
}

function failed(recordingId: string, failedAt = new Date().toISOString()) {
  const subject = { recordingId, conversationId: 'c-1' };
  const code = 'unreadable-media';
  const record = { version: 1, ...subject, status: 'failed', code, reason: 'It is damaged.', attempts: 2 } as const;
  return [subject, { ...record, failedAt, service: '1.2.3' } as const, running] as const;
}

test('a conversation with nothing is looked at six times, waits in sight meanwhile, and ends as no-recordings (C1)', async (t) => {
  const course = await begin(t, () => []);
  await course.until(14 * MINUTE);
  assert.deepEqual(await statusesOf(course), [], 'before a quarter of an hour nobody would ask');
  for (const hours of [1, 3, 20, 71]) {
    await course.until(hours * HOUR);
    const wait = await course.archive.waitingOf(CONVERSATION, running);
    assert.deepEqual([wait?.code, wait?.sort], ['no-recordings', 'surroundings']);
    assert.ok(Date.parse(wait?.nextTry ?? '') > Date.now(), 'its next look is told');
    assert.deepEqual(await statusesOf(course), ['waiting']);
  }
  await course.until(100 * HOUR);
  assert.deepEqual(course.looks, [0, 3, 15, 120, 960, 4320]);
  assert.deepEqual(await statusesOf(course), [], 'listed only when asked for');
  assert.deepEqual(await statusesOf(course, 'no-recordings'), ['no-recordings']);
  assert.equal(await course.archive.waitingOf(CONVERSATION, running), undefined);
  assert.deepEqual(course.published, []);
});

test('whenever a screen is listed within three days, it is published, by four looks in all (C1)', async (t) => {
  for (const lateMs of [MINUTE, HOUR, 5 * HOUR, 30 * HOUR, 71 * HOUR]) {
    const course = await begin(t, (ageMs) => (ageMs >= lateMs ? ['call', 'screen'] : ['call']));
    await course.until(100 * HOUR);
    assert.ok(
      course.published.includes('call') && course.published.includes('screen'),
      `listed after ${String(lateMs)} ms`,
    );
    assert.deepEqual(course.looks, [0, 30, 240, 4320]);
    t.mock.timers.reset();
  }
});

test('a call that is uploaded hours later is published, and its conversation waits no more (C1)', async (t) => {
  for (const lateMs of [2 * MINUTE, 3 * HOUR, 70 * HOUR]) {
    const course = await begin(t, (ageMs) => (ageMs >= lateMs ? ['call'] : []));
    await course.until(100 * HOUR);
    assert.equal(course.published[0], 'call');
    assert.ok(course.looks.length <= 6);
    assert.equal(await course.archive.waitingOf(CONVERSATION, running), undefined);
    assert.deepEqual(await statusesOf(course, 'no-recordings'), []);
    t.mock.timers.reset();
  }
});

test('a later look publishes nothing that has been answered since: no bytes are tried a third time', async (t) => {
  const course = await begin(t, () => ['damaged', 'waiting', 'unknown']);
  await course.until(0);
  assert.deepEqual(course.published, ['damaged', 'waiting', 'unknown']);
  await course.archive.recordFailure(...failed('damaged'));
  const since = new Date().toISOString();
  const subject = { recordingId: 'waiting', conversationId: 'c-1' };
  const wait = { code: 'not-ready', sort: 'surroundings', reason: 'UPLOADING', since, nextTry: since, attempts: 1 };
  await course.archive.recordWaiting(subject, { version: 1, ...subject, ...wait, service: '1.2.3' }, running);
  await course.until(5 * HOUR);
  assert.deepEqual(course.published.slice(3), ['unknown', 'unknown']);
});

const UNREAD = new Failure('upstream-error', 'Genesys answered with a list that cannot be read in full.');

test('a conversation whose list cannot be read in full waits in sight with what is wrong, until it can be (invariant 12)', async (t) => {
  const course = await begin(
    t,
    (ageMs) => (ageMs >= HOUR ? ['call', 'screen'] : ['call']),
    'recordings',
    (ageMs) => (ageMs >= HOUR ? undefined : UNREAD),
  );
  for (const minutes of [1, 40]) {
    await course.until(minutes * MINUTE);
    const wait = await course.archive.waitingOf(CONVERSATION, running);
    assert.deepEqual([wait?.code, wait?.reason], [UNREAD.code, UNREAD.message]);
    assert.ok(Date.parse(wait?.nextTry ?? '') > Date.now(), 'its next look is told');
  }
  assert.deepEqual(await statusesOf(course), ['waiting']);
  await course.until(5 * HOUR);
  assert.deepEqual([course.published.includes('screen'), course.looks], [true, [0, 30, 240]]);
  assert.equal(await course.archive.waitingOf(CONVERSATION, running), undefined);
  await course.until(100 * HOUR);
  assert.deepEqual(await statusesOf(course), []);
});

test('one that can never be read in full costs no look more, and says so with the last one', async (t) => {
  const course = await begin(
    t,
    () => ['call'],
    'recordings',
    () => UNREAD,
  );
  await course.until(100 * HOUR);
  assert.deepEqual([course.looks, course.lacking()], [[0, 30, 240, 4320], UNREAD]);
  assert.equal((await course.archive.waitingOf(CONVERSATION, running))?.code, UNREAD.code);
});

test('a voicemail that can never be asked for is said with each look, and outlives that there are no recordings', async (t) => {
  const voicemails = await begin(
    t,
    () => [],
    'voicemails',
    () => UNREAD,
  );
  await voicemails.until(100 * HOUR);
  assert.equal(voicemails.lacking(), UNREAD);
  t.mock.timers.reset();
  const course = await begin(t, () => []);
  await course.until(71 * HOUR);
  // As the last look at its voicemails ends.
  const record = { ...failed('x')[1], recordingId: null, code: UNREAD.code, reason: UNREAD.message };
  await course.archive.recordFailure(CONVERSATION, record, running);
  await course.until(100 * HOUR);
  assert.deepEqual(await statusesOf(course), ['failed']);
  assert.equal(await course.archive.waitingOf(CONVERSATION, running), undefined);
});

test('a failure from before the event is no answer to it', async (t) => {
  const course = await begin(t, (ageMs) => (ageMs === 0 ? [] : ['damaged']));
  await course.archive.recordFailure(...failed('damaged', '2026-10-01T00:00:00.000Z'));
  await course.until(HOUR);
  assert.deepEqual(course.published, ['damaged']);
});

test('what Genesys deletes before the last look was a recording all the same', async (t) => {
  const course = await begin(t, (ageMs) => (ageMs < HOUR ? ['call'] : []));
  await course.until(HOUR);
  await course.archive.recordFailure(...failed('call'));
  await course.until(100 * HOUR);
  assert.deepEqual(await statusesOf(course, 'no-recordings'), []);
});

test('one unreadable manifest does not hold up the other recordings of its conversation', async (t) => {
  const course = await begin(t, () => ['call', 'screen']);
  await course.until(0);
  const find: FolderArchive['find'] = async ({ recordingId }) => {
    if (recordingId === 'call') throw new Failure('conflict', 'manifest.json in the archive cannot be read.');
    return undefined;
  };
  t.mock.method(course.archive, 'find', find);
  await course.until(HOUR);
  assert.deepEqual(course.published, ['call', 'screen', 'call', 'screen']);
});

test('voicemails are looked for on their own: found ones are published, and none says nothing of the conversation (C14)', async (t) => {
  const found = await begin(t, (ageMs) => (ageMs >= 10 * MINUTE ? ['voicemail-v'] : []), 'voicemails');
  await found.until(100 * HOUR);
  assert.equal(found.published[0], 'voicemail-v');
  t.mock.timers.reset();
  const none = await begin(t, () => [], 'voicemails');
  await none.until(100 * HOUR);
  assert.equal(none.looks.length, 6);
  assert.deepEqual(await statusesOf(none), []);
  assert.deepEqual(await statusesOf(none, 'no-recordings'), []);
});
