/** The one seam of tracing, without an SDK behind it: it changes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { traced } from '../../src/telemetry/trace.ts';

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

test('without an SDK a step hands on the traceparent it was given', async () => {
  const seen = await traced({ name: 'deliver', parent: PARENT }, ({ traceparent, note }) => {
    note({ outcome: 'done', nothing: undefined });
    return Promise.resolve(traceparent);
  });
  assert.equal(seen, PARENT);
});

test('without an SDK and without a parent there is no trace', async () => {
  assert.equal(
    await traced({ name: 'accept', parent: undefined }, (own) => Promise.resolve(own.traceparent)),
    undefined,
  );
});

test('a traceparent that is none is handed on untouched, and breaks nothing', async () => {
  assert.equal(
    await traced({ name: 'deliver', parent: 'nonsense' }, (own) => Promise.resolve(own.traceparent)),
    'nonsense',
  );
});

test('what the work throws comes out as it is', async () => {
  const failure = new Failure('busy', 'Later.');
  await assert.rejects(
    traced({ name: 'archive', parent: PARENT }, () => Promise.reject(failure)),
    (error) => error === failure,
  );
});
