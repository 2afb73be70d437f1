import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { BucketInspection } from '../../src/archive/bucket/inspection.ts';
import type { LockConfig } from '../../src/config/config.ts';
import type { Check } from '../../src/doctor/check.ts';
import { queueProbes, storageProbes } from '../../src/doctor/google-checks.ts';
import { Failure } from '../../src/failure.ts';
import type { SubscriptionFacts } from '../../src/queue/pubsub/library.ts';
import { type BucketHarness, openBucketHarness, PREFIX } from '../support/archive/bucket.ts';
import { examined, troubles } from '../support/doctor.ts';

interface Scene extends BucketHarness {
  examine(lock?: LockConfig): Promise<readonly Check[]>;
}

async function setUp(t: TestContext): Promise<Scene> {
  const harness = await openBucketHarness();
  t.after(() => harness.close());
  const { server, archive } = harness;
  return Object.assign(harness, {
    async examine(lock?: LockConfig) {
      const config = { kind: 'bucket', bucket: server.bucket, prefix: PREFIX, apiEndpoint: server.url } as const;
      const inspection = new BucketInspection({ ...config, linkHost: undefined, lock });
      try {
        return await examined(storageProbes({ archive, inspection }));
      } finally {
        await inspection.close();
      }
    },
  });
}

test('a bucket that is set as it should be is well in every line, and nothing is left in it', async (t) => {
  const scene = await setUp(t);
  const checks = await scene.examine();
  assert.deepEqual(troubles(checks), []);
  assert.deepEqual(
    checks.map(({ name }) => name),
    ['archive', 'bucket-rights', 'bucket-settings', 'links', 'google-clock'],
  );
  assert.deepEqual(scene.server.names(), []);
});

const FAULTS: readonly {
  readonly what: string;
  readonly arrange: (scene: Scene) => void;
  readonly line: RegExp;
}[] = [
  {
    what: 'no right to create',
    arrange: ({ server }) => server.deny('create', `${PREFIX}/staging/`),
    line: /^fail archive: .*roles\/storage\.objectCreator.* → Change what the message names/,
  },
  {
    what: 'no right to delete under staging/',
    arrange: ({ server }) => server.deny('delete', `${PREFIX}/staging/`),
    line: /^fail archive: .*roles\/storage\.objectUser under staging/,
  },
  {
    what: 'settings that may not be seen',
    arrange: ({ server }) => (server.settings = undefined),
    line: /^skipped bucket-settings: not seen without storage\.buckets\.get/,
  },
  {
    what: 'a retention policy of the whole bucket',
    arrange: ({ server }) => set(server, { retentionPolicy: { retentionPeriod: '220752000', isLocked: false } }),
    line: /^warn bucket-settings: the bucket keeps every object for 2555 days → Lock recordings\/ by object retention instead \(LOCK_DAYS; /,
  },
  {
    what: 'a locked one',
    arrange: ({ server }) => set(server, { retentionPolicy: { retentionPeriod: '86400', isLocked: true } }),
    line: /^warn bucket-settings: the bucket keeps every object for 1 days, locked/,
  },
  {
    what: 'a hold on whatever is new',
    arrange: ({ server }) => set(server, { defaultEventBasedHold: true }),
    line: /^warn bucket-settings: the bucket holds every new object .* → Turn it off/,
  },
  {
    what: 'old versions',
    arrange: ({ server }) => set(server, { versioning: { enabled: true } }),
    line: /^warn bucket-settings: the bucket keeps old versions → Add a lifecycle rule/,
  },
  {
    what: 'ninety days of soft delete',
    arrange: ({ server }) => set(server, { softDeletePolicy: { retentionDurationSeconds: '7776000' } }),
    line: /^warn bucket-settings: what is deleted can be brought back for 90 days/,
  },
  {
    what: 'a bucket that may be made public',
    arrange: ({ server }) => set(server, { iamConfiguration: { publicAccessPrevention: 'inherited' } }),
    line: /^warn bucket-settings: the bucket may be made public/,
  },
  {
    what: 'a clock that is wrong',
    arrange: ({ server }) => (server.clockOffsetMs = -3_600_000),
    line: /^fail google-clock: our clock is 3[56]\d\d s ahead of Cloud Storage/,
  },
];

test('a bucket that locks what is stored says for how long; one that cannot is broken, as far as LOCK_DAYS asks for it', async (t) => {
  const scene = await setUp(t);
  const { server } = scene;
  const examine = async (): Promise<readonly string[]> => {
    assert.deepEqual(
      (await scene.examine()).filter(({ name, state }) => name === 'lock' || state === 'fail'),
      [],
    );
    const checks = await scene.examine({ days: 30, mode: 'locked' });
    return checks
      .filter(({ name }) => name === 'lock')
      .map(({ state, found, next }) => `${state}: ${found} → ${next ?? ''}`);
  };
  const cannot =
    /^fail: object retention is not enabled on the bucket → Enable it .*, or unset LOCK_DAYS: until then nothing/;
  assert.match((await examine()).join('\n'), cannot);
  server.store.objectRetention = true;
  assert.deepEqual(await examine(), ['ok: each recording is kept for 30 days (locked) → ']);
  const { settings } = server;
  server.settings = undefined;
  assert.match((await examine()).join('\n'), /^skipped: not seen without storage\.buckets\.get/);
  server.settings = settings;
  set(server, { defaultEventBasedHold: true });
  assert.match(
    (await examine()).join('\n'),
    /^fail: the bucket holds every new object, .* → Turn its default event-based hold off/,
  );
  server.withheld.add('storage.objects.setRetention');
  assert.match(
    (await examine()).join('\n'),
    /^fail: this account lacks storage\.objects\.setRetention → Grant it a role/,
  );
});

function set(server: Scene['server'], more: Readonly<Record<string, unknown>>): void {
  server.settings = { ...server.settings, ...more };
}

for (const { what, arrange, line } of FAULTS)
  test(`${what}: that line, and no other`, async (t) => {
    const scene = await setUp(t);
    arrange(scene);
    const found = troubles(await scene.examine());
    assert.match(found[0] ?? 'nothing', line);
    assert.equal(found.length, 1, found.join('\n'));
  });

test('rights that are missing are named, and what rests on them is not asked', async (t) => {
  const scene = await setUp(t);
  scene.server.withheld.add('storage.objects.list').add('storage.objects.get');
  const found = troubles(await scene.examine());
  assert.match(
    found[0] ?? '',
    /^fail bucket-rights: this account lacks storage\.objects\.get, storage\.objects\.list → Grant it/,
  );
  assert.ok(found.slice(1).every((other) => other.includes('not asked: see bucket-rights')));
});

test('a bucket that is not there is named, whoever asks', async (t) => {
  const scene = await setUp(t);
  const inspection = new BucketInspection({
    kind: 'bucket',
    bucket: 'another-bucket',
    prefix: '',
    apiEndpoint: scene.server.url,
    linkHost: undefined,
    lock: undefined,
  });
  t.after(() => inspection.close());
  const archive = scene.open({ bucket: 'another-bucket' });
  const found = troubles(await examined(storageProbes({ archive, inspection })));
  assert.match(found[0] ?? '', /^fail archive: .*another-bucket/);
  assert.match(found[1] ?? '', /^fail bucket-rights: .*another-bucket/);
});

test('an account that cannot sign is named', async (t) => {
  const scene = await setUp(t);
  const before = process.env['GOOGLE_APPLICATION_CREDENTIALS'];
  t.after(() => (process.env['GOOGLE_APPLICATION_CREDENTIALS'] = before));
  process.env['GOOGLE_APPLICATION_CREDENTIALS'] = '/nowhere/key.json';
  const found = troubles(await scene.examine());
  assert.equal(found.length, 1, found.join('\n'));
  assert.match(found[0] ?? '', /^fail links: /);
});

const GOOD: SubscriptionFacts = {
  topic: 'messages',
  ackDeadlineS: 60,
  retentionS: 2_678_400,
  expiresAfterS: undefined,
  hasDeadLetters: true,
};
const SUBSCRIPTIONS: readonly (readonly [Partial<SubscriptionFacts> | undefined, RegExp])[] = [
  [{ topic: undefined }, /^fail subscription: its topic was deleted/],
  [{ topic: 'other' }, /^fail subscription: it takes from the topic other → Let QUEUE_URL name/],
  [{ hasDeadLetters: false }, /^warn subscription: no dead-letter policy/],
  [{ expiresAfterS: 2_678_400 }, /^warn subscription: it is deleted after 31 days without use/],
  [{ ackDeadlineS: 10 }, /^warn subscription: an ack deadline of 10 s/],
  [{ retentionS: 86_400 }, /^warn subscription: messages are kept for 1 days/],
  [undefined, /^skipped subscription: not seen without pubsub\.subscriptions\.get/],
];

test('each setting of a subscription that loses messages is a line of its own; all of them are all lines', async () => {
  const queue = { check: async () => undefined };
  const look = async (settings: SubscriptionFacts | undefined): Promise<readonly string[]> =>
    troubles(await examined(queueProbes({ queue, topic: 'messages', settings: async () => settings })));
  assert.deepEqual(await look(GOOD), []);
  for (const [change, line] of SUBSCRIPTIONS) {
    const found = await look(change === undefined ? undefined : { ...GOOD, ...change });
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', line);
  }
  const all = SUBSCRIPTIONS.reduce((settings, [change]) => ({ ...settings, ...change }), GOOD);
  assert.equal((await look(all)).length, 5);
});

test('a queue that cannot be asked is one line', async () => {
  const queue = { check: async () => Promise.reject(new Failure('misconfigured', 'The topic is not open.')) };
  const settings = async () => GOOD;
  const found = troubles(await examined(queueProbes({ queue, topic: 'messages', settings })));
  assert.match(found[0] ?? '', /^fail queue: The topic is not open/);
  assert.match(found[1] ?? '', /^skipped subscription: not asked: see queue/);
});
