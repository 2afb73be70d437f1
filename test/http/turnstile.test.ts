import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import { Turnstile } from '../../src/http/turnstile.ts';

const OPTIONS = { all: 5, perKey: 3, retryAfterMs: 7_000, what: 'listeners' };

test('never more are inside than there may be, in all and per key, and none is refused without need (A3)', () => {
  const steps = fc.array(fc.oneof(fc.constantFrom('a', 'b', 'c'), fc.nat(9)), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (taken) => {
      const turnstile = new Turnstile(OPTIONS);
      const inside: { key: string; seat: Disposable }[] = [];
      for (const step of taken) {
        if (typeof step === 'number') {
          // Twice: a listener may leave and end at the same time.
          const [gone] = inside.splice(step % Math.max(1, inside.length), 1);
          gone?.seat[Symbol.dispose]();
          gone?.seat[Symbol.dispose]();
        } else {
          const ofKey = inside.filter(({ key }) => key === step).length;
          const isFull = inside.length >= OPTIONS.all || ofKey >= OPTIONS.perKey;
          try {
            inside.push({ key: step, seat: turnstile.enter(step) });
            assert.ok(!isFull);
          } catch (error) {
            assert.ok(isFull && error instanceof Failure && error.status === 429 && error.afterMs === 7_000);
          }
        }
        assert.equal(turnstile.inside, inside.length);
      }
    }),
    { seed: 11, numRuns: 300 },
  );
});
