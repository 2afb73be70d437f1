/** A promise that has to fail → its Failure: anything else that it settles with fails the test. */
import assert from 'node:assert/strict';
import { Failure } from '../../src/failure.ts';

export async function failureOf(asked: Promise<unknown>): Promise<Failure> {
  const thrown: unknown = await asked.then(
    () => assert.fail('it ended well'),
    (reason: unknown) => reason,
  );
  assert.ok(thrown instanceof Failure, String(thrown));
  return thrown;
}
