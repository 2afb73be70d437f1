/** How often one key may ask, and that its neighbours do not notice (A5). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { KeyRates } from '../../src/http/rate.ts';
import { keysOf } from '../support/keys.ts';
import { SEED } from '../support/soak.ts';
import { errorOf, MapArchive, start } from './far-ends.ts';

const [KEY, OTHER] = ['the-key-of-a-busy-script', 'the-key-of-somebody-else'];

test('what is allowed in any stretch of time is the burst and what was filled meanwhile, and never less', () => {
  const bounds = { perSecond: 10, burst: 30 };
  const waits = fc
    .integer({ min: 10, max: 400 })
    .chain((max) => fc.array(fc.integer({ min: 0, max }), { minLength: 1, maxLength: 300 }));
  fc.assert(
    fc.property(waits, (pauses) => {
      let now = 0;
      const rates = new KeyRates(bounds, () => now);
      const allowed: number[] = [];
      for (const pause of pauses) {
        now += pause;
        const wait = rates.take('key');
        if (wait === 0) allowed.push(now);
        else {
          assert.ok(wait <= 100);
          now += wait;
          assert.equal(rates.take('key'), 0, 'the wait that was named is long enough');
          allowed.push(now);
        }
      }
      for (const [index, from] of allowed.entries())
        for (const [after, to] of allowed.slice(index).entries())
          assert.ok(after + 1 <= bounds.burst + ((to - from) * bounds.perSecond) / 1000 + 1e-6);
    }),
    { numRuns: 100, seed: SEED },
  );
});

test('a key that asks too often is told when to come back; others, and figures, are answered meanwhile (A5)', async () => {
  const archive = new MapArchive();
  const auth = { required: true, keys: keysOf(KEY, OTHER), perSecond: 1 };
  await using app = await start({ auth, playback: { recordings: { archive, linkLifetimeS: 900 } } });
  const ask = (key: string, path = '/recordings/c/r'): Promise<Response> =>
    fetch(app.url + path, { headers: { 'x-api-key': key } });
  const answers = await Promise.all(Array.from({ length: 330 }, () => ask(KEY)));
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length > 300, `${String(refused.length)} of 330`);
  for (const response of refused) {
    const { code, headers } = await errorOf(response);
    assert.deepEqual([code, Number(headers.get('retry-after')) >= 1], ['busy', true]);
  }
  assert.equal((await ask(OTHER)).status, 404);
  assert.equal((await ask(KEY, '/metrics')).status, 200);
  assert.equal((await ask('no-key-of-ours-at-all')).status, 401);
});
