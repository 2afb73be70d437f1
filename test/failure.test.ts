/** What the one error class makes of a code, and of anything else that was thrown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Failure, FAILURES, type Sort } from '../src/failure.ts';

test('a code decides status and retry, and says nothing of a wait nobody asked for', () => {
  const { status, retry, afterMs, facts } = new Failure('not-ready', 'Not yet.');
  assert.deepEqual({ status, retry, afterMs, facts }, { status: 409, retry: 'wait', afterMs: undefined, facts: {} });
});

test('where it is made, a failure may know better than its code', () => {
  const failure = new Failure('upstream-error', 'No.', {
    status: 504,
    retry: 'never',
    afterMs: 7,
    facts: { tries: 3 },
  });
  const { code, status, retry, afterMs, facts } = failure;
  assert.deepEqual(
    { code, status, retry, afterMs, facts },
    { code: 'upstream-error', status: 504, retry: 'never', afterMs: 7, facts: { tries: 3 } },
  );
});

test('a sort of its own brings its retry with it, unless that is said as well', () => {
  const retryOf = (sort: Sort): string => new Failure('incomplete', 'Cut short.', { sort }).retry;
  assert.deepEqual(
    [retryOf('recording'), retryOf('surroundings'), retryOf('operator'), retryOf('caller')],
    ['again', 'wait', 'wait', 'never'],
  );
  const { sort, retry } = new Failure('encoder-failed', 'It crashed.', { sort: 'recording', retry: 'again' });
  assert.deepEqual([sort, retry], ['recording', 'again']);
});

test('each code says whose the failure is and what to do next, in one sentence', () => {
  for (const [code, { sort, retry, next }] of Object.entries(FAILURES)) {
    assert.match(next, /^[A-Z][^.!?]*(?:\.[^ .][^.!?]*)*\.$/, code);
    if (sort === 'caller') assert.equal(retry, 'never', code);
    if (retry === 'wait') assert.ok(sort === 'surroundings' || sort === 'operator', code);
  }
});

test('a failure is an error with its cause, its stack and its own name', () => {
  const cause = new TypeError('deep down');
  const failure = new Failure('internal', 'It broke.', { cause });
  assert.ok(failure instanceof Error);
  assert.equal(failure.name, 'Failure');
  assert.equal(failure.cause, cause);
  assert.match(failure.stack ?? '', /failure\.test/);
  assert.equal(Object.hasOwn(new Failure('internal', 'It broke.'), 'cause'), false);
});

test('a Failure that was thrown stays the one it is', () => {
  const failure = new Failure('gone', 'Deleted.');
  assert.equal(Failure.from(failure), failure);
});

test('an abort becomes "stopped", which costs no attempt', async () => {
  const aborted: unknown = await setImmediate(undefined, { signal: AbortSignal.abort() }).catch((error) => error);
  const failure = Failure.from(aborted);
  assert.deepEqual([failure.code, failure.retry, failure.cause], ['stopped', 'wait', aborted]);
});

test('an abort with a reason of ours becomes that reason', async () => {
  const reason = new Failure('upstream-timeout', 'Too slow.');
  const aborted: unknown = await setImmediate(undefined, { signal: AbortSignal.abort(reason) }).catch((error) => error);
  assert.notEqual(aborted, reason);
  assert.equal(Failure.from(aborted), reason);
});

test('what nobody foresaw becomes "internal", and its words stay out of the public message', () => {
  for (const thrown of [new Error('password hunter2'), 'hunter2', undefined, null, { message: 'hunter2' }]) {
    const failure = Failure.from(thrown);
    assert.deepEqual([failure.code, failure.status, failure.retry], ['internal', 500, 'again']);
    assert.doesNotMatch(failure.message, /hunter2/);
    assert.equal(failure.cause, thrown === undefined ? undefined : thrown);
  }
});
