/** The whole commit against a failing, refusing or interrupted store: the ST rows that are not the stream writer's alone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { openBucketArchive, type BucketArchive } from '../../../src/archive/bucket/bucket.ts';
import { verifyStored } from '../../../src/archive/verify.ts';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { openBucketHarness, PREFIX, QUICK, type BucketHarness } from '../../support/archive/bucket.ts';
import { bytesOf, failureOf, manifestOf, store, type Content } from '../../support/archive/content.ts';
import { auditArchive } from '../../support/gcs/audit.ts';
import type { Operation } from '../../support/gcs/faults.ts';
import type { GcsServerOptions, Seen } from '../../support/gcs/server.ts';
import { found } from '../../support/archive/found.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const MIB = 1024 * 1024;
const EBML = Buffer.from('1a45dfa3', 'hex');
const STRICT: GcsServerOptions = { audits: [auditArchive({ ebml: true })] };

/** Heads begin as EBML does, so that the audit's every rule applies. */
function contentOf(text: string, sizeBytes: number, more: Partial<Content> = {}): Content {
  return { head: Buffer.concat([EBML, bytesOf(text, 400)]), clusters: [bytesOf(`${text} body`, sizeBytes)], ...more };
}

const SMALL = contentOf('small', 50_000);
/** Two whole chunks of an upload and a bit. */
const LARGE = contentOf('large', 4 * MIB + 50_000);
const KEPT = contentOf('kept', 700_000, { originals: [bytesOf('left', 30_000), bytesOf('right', 2 * MIB + 50_000)] });

async function withBucket(
  run: (harness: BucketHarness) => Promise<void>,
  options: GcsServerOptions = STRICT,
): Promise<void> {
  const harness = await openBucketHarness(options);
  try {
    await run(harness);
  } finally {
    await harness.close();
  }
}

async function assertArchived({ archive, server }: BucketHarness, content: Content): Promise<void> {
  const manifest = await archive.find(CALL, signal());
  assert.ok(manifest);
  const bytes = await buffer(await archive.read(await found(archive, CALL), undefined, signal()));
  assert.ok(bytes.equals(Buffer.concat([content.head, ...content.clusters])));
  assert.deepEqual(await verifyStored(archive, CALL, signal()), []);
  assert.equal(
    manifest.sources.filter((source) => source.original !== undefined).length,
    content.originals?.length ?? 0,
  );
  const stray = server.names().filter((name) => name.startsWith(`${PREFIX}/staging/`));
  assert.deepEqual(stray, []);
  assert.equal(server.openSessions(), 0);
}

function recordingsOf({ server }: BucketHarness): readonly string[] {
  return server.names().filter((name) => name.startsWith(`${PREFIX}/recordings/`));
}

function isFailure(code: FailureCode, words = /(?:)/): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === code && words.test(error.message);
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

describe('levels', () => {
  const levels = bytesOf('levels', 777);

  for (const [what, spoil] of [
    ['may not be created', (harness) => harness.server.deny('create', `${PREFIX}/recordings/C1/R1/levels.bin`)],
    [
      'never arrive whole',
      ({ server }) => {
        server.gate = ({ operation, name }) =>
          operation === 'insert' && name.endsWith('/levels.bin') ? { kind: 'damage-body' } : undefined;
      },
    ],
  ] as const satisfies readonly (readonly [string, (harness: BucketHarness) => void])[]) {
    test(`that ${what} cost the recording nothing: it is archived without them, and somebody is told`, async () => {
      await withBucket(async (harness) => {
        spoil(harness);
        const lost: unknown[] = [];
        const manifest = await store(harness.archive, CALL, { ...KEPT, levels, onLost: (reason) => lost.push(reason) });
        assert.equal(lost.length, 1);
        assert.ok(lost[0] instanceof Failure);
        assert.equal(await harness.archive.levels(manifest, signal()), undefined);
        await assertArchived(harness, KEPT);
      });
    });
  }

  test('are not there where another had to complete the recording, and can be made then', async () => {
    await withBucket(async (harness) => {
      harness.server.deny('create', `${PREFIX}/recordings/C1/R1/manifest.json`);
      harness.server.deny('create', `${PREFIX}/recordings/C1/R1/levels.bin`);
      await assert.rejects(store(harness.archive, CALL, { ...SMALL, levels, onLost: () => undefined }));
      harness.server.store.allowAll();
      const manifest = await found(harness.archive, CALL);
      assert.equal(await harness.archive.levels(manifest, signal()), undefined);
      assert.equal(await harness.archive.putLevels(manifest, levels, signal()), true);
      await assertArchived(harness, SMALL);
    });
  });

  test('whose picture has no room in the metadata of the WebM are left out of it, and of the manifest', async () => {
    await withBucket(async ({ archive }) => {
      const facts = { picture: ['0'.repeat(28)], speakingS: [0], bothS: 0, silentS: 4.2, longestSilenceS: 4.2 };
      const stored = { sizeBytes: 50_400, sha256: '0'.repeat(64), crc32c: 'AAAAAA==' };
      const others = JSON.stringify(manifestOf(CALL, stored, { why: '' })).length + 'manifest'.length;
      const near = { why: 'x'.repeat(8192 - others - 20), levels: facts };
      const manifest = await store(archive, CALL, { ...SMALL, facts: near });
      assert.equal(manifest.levels, undefined);
      assert.deepEqual(await archive.find(CALL, signal()), manifest);
      const other = { recordingId: 'R2', conversationId: 'C1' };
      assert.deepEqual((await store(archive, other, { ...SMALL, facts: { levels: facts } })).levels, facts);
    });
  });
});

describe('a commit survives', () => {
  const passing = ['return-503', 'return-408', 'return-reset-connection', 'return-429'];
  const table: readonly (readonly [string, Content, readonly (readonly [Operation, ...string[]])[]])[] = [
    [
      '503, 408, 429 and resets on the one request of a small recording (ST-01, ST-07)',
      SMALL,
      [['insert', ...passing]],
    ],
    ['the answer of that request lost: its own object is recognised (ST-04)', SMALL, [['insert', 'lose-answer']]],
    ['an answer that states another checksum (ST-09)', SMALL, [['insert', 'wrong-crc']]],
    [
      'every answer lost on the way of a large one (ST-04)',
      LARGE,
      [
        ['start', 'lose-answer'],
        ['chunk', 'lose-answer'],
        ['final', 'lose-answer'],
        ['insert', 'lose-answer', 'lose-answer', 'lose-answer'],
        ['compose', 'lose-answer'],
      ],
    ],
    [
      'faults on each request of a large one (ST-02)',
      LARGE,
      [
        ['start', ...passing],
        ['chunk', ...passing],
        ['final', ...passing],
        ['insert', ...passing],
        ['compose', ...passing],
      ],
    ],
    ['a composed answer with another checksum (ST-09)', LARGE, [['compose', 'wrong-crc']]],
    [
      'a read-back that breaks, twice, and is refused once',
      LARGE,
      [['media', 'return-broken-stream-after-512K', 'return-503', 'return-broken-stream-after-1024K']],
    ],
    [
      'faults while originals are placed',
      KEPT,
      [
        ['compose', 'return-503', 'lose-answer', 'return-reset-connection', 'lose-answer'],
        ['get', 'return-503'],
      ],
    ],
  ];
  for (const [name, content, faults] of table) {
    test(name, { timeout: 300_000 }, async () => {
      await withBucket(async (harness) => {
        for (const [operation, ...instructions] of faults) harness.server.fault(operation, ...instructions);
        await store(harness.archive, CALL, content);
        await assertArchived(harness, content);
      });
    });
  }
});

describe('damage never becomes visible (ST-09)', () => {
  test('in the one request of a small recording: the server refuses it', async () => {
    await withBucket(async (harness) => {
      harness.server.fault('insert', 'damage-body');
      await assert.rejects(store(harness.archive, CALL, SMALL), isFailure('incomplete', /did not arrive/));
      assert.deepEqual(harness.server.names(), []);
      await store(harness.archive, CALL, SMALL);
      await assertArchived(harness, SMALL);
    });
  });

  test('in a chunk, or in the head, of a large one', async () => {
    await withBucket(async (harness) => {
      for (const operation of ['chunk', 'final', 'insert'] as const) {
        harness.server.fault(operation, 'damage-body');
        await assert.rejects(store(harness.archive, CALL, LARGE), isFailure('incomplete'));
        assert.deepEqual(harness.server.names(), []);
      }
    });
  });

  test('in what the server gives back of the staged clusters: it is read before it is shown', async () => {
    await withBucket(async (harness) => {
      harness.server.fault('media', 'return-corrupted-data');
      await assert.rejects(store(harness.archive, CALL, LARGE), isFailure('incomplete', /gave back other bytes/));
      assert.deepEqual(harness.server.names(), []);
    });
  });

  test('in staged clusters that another has replaced since: the composition names their generation', async () => {
    await withBucket(async (harness) => {
      harness.server.faults.call('compose', () => {
        const [name = ''] = harness.server.names().filter((each) => each.endsWith('/clusters'));
        harness.server.put(name, bytesOf('replaced', 5 * MIB));
      });
      await assert.rejects(store(harness.archive, CALL, LARGE), isFailure('incomplete'));
      assert.deepEqual(recordingsOf(harness), []);
    });
  });
});

describe('someone was first (ST-06, ST-16)', () => {
  test('while the last request was on its way: theirs stays, ours is told so', async () => {
    await withBucket(async (harness) => {
      const other = await harness.another();
      let first: unknown;
      harness.server.faults.call(
        'insert',
        async () => {
          first = await store(other, CALL, contentOf('first', 60_000));
        },
        /recording\.webm$/,
      );
      assert.deepEqual(await store(harness.archive, CALL, SMALL), first);
      await assertArchived(harness, contentOf('first', 60_000));
    });
  });

  test('an object without a manifest is a conflict that says what to do, and no recording for readers', async () => {
    await withBucket(
      async (harness) => {
        harness.server.put(`${PREFIX}/recordings/C1/R1/recording.webm`, Buffer.from('foreign'));
        for (const content of [SMALL, LARGE]) {
          await assert.rejects(store(harness.archive, CALL, content), isFailure('conflict', /move it away/));
        }
        assert.equal(await harness.archive.find(CALL, signal()), undefined);
        assert.deepEqual(recordingsOf(harness), [`${PREFIX}/recordings/C1/R1/recording.webm`]);
      },
      { audits: [] },
    );
  });

  test('a WebM that is not what its manifest says is a conflict for readers and links', async () => {
    await withBucket(
      async (harness) => {
        await store(harness.archive, CALL, SMALL);
        harness.server.store.allowAll();
        harness.server.put(`${PREFIX}/recordings/C1/R1/recording.webm`, Buffer.from('replaced from outside'));
        harness.server.store.violations.length = 0;
        await assert.rejects(harness.archive.find(CALL, signal()), isFailure('conflict', /restore recording\.webm/));
      },
      { audits: [] },
    );
  });
});

/** Requests that change something, or tell what was changed: after any of them a process may die. */
const CHANGING = new Set<Operation>(['insert', 'start', 'chunk', 'final', 'compose', 'delete']);

/** The store as a process finds it that is killed at its nth change: before it, or just after it took effect. */
function killAt(server: BucketHarness['server'], nth: number, effect: 'before' | 'after'): { readonly died: boolean } {
  const state = { died: false };
  let changes = 0;
  server.gate = ({ operation }: Seen) => {
    if (state.died) return { kind: 'reset', afterBytes: undefined };
    if (CHANGING.has(operation)) changes += 1;
    if (changes < nth) return undefined;
    state.died = true;
    return effect === 'before' ? { kind: 'reset', afterBytes: undefined } : { kind: 'lose-answer' };
  };
  return state;
}

describe('invariant 2: a worker that dies at any request leaves nothing half (ST-13)', () => {
  const dying = { ...QUICK, attempts: 1 };
  for (const [name, content] of [
    ['small', SMALL],
    ['large', LARGE],
    ['with originals', KEPT],
  ] as const) {
    for (const effect of ['before', 'after'] as const) {
      test(
        `${name}, ${effect} each change; the next attempt finishes or does it anew`,
        { timeout: 400_000 },
        async () => {
          let deaths = 0;
          for (let nth = 1; nth < 40; nth += 1) {
            const state = { died: false };
            await withBucket(async (harness) => {
              const mortal = harness.open({ retry: dying });
              const death = killAt(harness.server, nth, effect);
              await dieStoring(mortal, content);
              state.died = death.died;
              harness.server.gate = undefined;
              await assertRecovers(harness, content);
            });
            if (!state.died) break;
            deaths += 1;
          }
          assert.ok(deaths >= 3, `only ${String(deaths)} changes`);
        },
      );
    }
  }
});

async function dieStoring(archive: BucketArchive, content: Content): Promise<void> {
  await store(archive, CALL, content).catch((error: unknown) => {
    assert.ok(error instanceof Failure && error.code === 'archive-unavailable', String(error));
  });
}

/** A second download need not have the same bytes: what lies there already must come out, or the new one whole. */
async function assertRecovers(harness: BucketHarness, content: Content): Promise<void> {
  const before = recordingsOf(harness);
  const found = await harness.archive.find(CALL, signal());
  assert.equal(
    found !== undefined,
    before.some((name) => name.endsWith('.webm')),
    'a WebM was not completed',
  );
  const second = {
    ...content,
    clusters: [bytesOf('second download', 80_000)],
    originals: content.originals?.map((_, n) => bytesOf(`again ${String(n)}`, 9_000)) ?? [],
  };
  const manifest = await store(harness.archive, CALL, second);
  if (found !== undefined) assert.deepEqual(manifest, found);
  const winner = found === undefined ? second : content;
  assert.deepEqual(
    manifest.sources.map((source) => source.original !== undefined),
    winner.originals?.map(() => true) ?? [],
  );
  for (const [index, bytes] of (winner.originals ?? []).entries()) {
    assert.ok((await harness.bytes(`recordings/C1/R1/original.${String(index)}.opus`)).equals(bytes));
  }
  assert.deepEqual(await verifyStored(harness.archive, CALL, signal()), []);
  await harness.archive.sweep(0, signal());
  assert.deepEqual(
    harness.server.names().filter((name) => name.startsWith(`${PREFIX}/staging/`)),
    [],
  );
  const page = await harness.archive.list({ limit: 10 }, signal());
  assert.equal(page.entries.length, 1);
}

test('originals that were swept before the next attempt came are left out of the manifest, which stays true', async () => {
  await withBucket(async (harness) => {
    const mortal = harness.open({ retry: { ...QUICK, attempts: 1 } });
    // Two originals are staged, then the WebM is inserted by compose; the third change after it never comes.
    harness.server.gate = ({ operation, name }) => {
      return operation === 'compose' && name.includes('/original.')
        ? { kind: 'reset', afterBytes: undefined }
        : undefined;
    };
    await assert.rejects(store(mortal, CALL, KEPT), isFailure('archive-unavailable'));
    harness.server.gate = undefined;
    const staged = harness.server.names().filter((name) => name.startsWith(`${PREFIX}/staging/`));
    assert.equal(staged.length, 2, 'the originals must outlive the attempt that staged them');
    assert.equal(await (await harness.another()).sweep(0, signal()), 2);
    const manifest = await harness.archive.find(CALL, signal());
    assert.deepEqual(
      manifest?.sources.map((source) => source.original),
      [undefined, undefined],
    );
    assert.deepEqual(await verifyStored(harness.archive, CALL, signal()), []);
  });
});

describe('what the operator has to change is said, waits, and heals (ST-08)', () => {
  const table: readonly (readonly [string, (harness: BucketHarness) => void, RegExp])[] = [
    [
      'creating',
      ({ server }) => server.deny('create', ''),
      /may not create objects in bucket recordings-test: grant it roles\/storage\.objectCreator/,
    ],
    ['reading', ({ server }) => server.deny('read', ''), /may not read .* roles\/storage\.objectViewer/],
    ['listing', ({ server }) => server.deny('list', ''), /may not list .* roles\/storage\.objectViewer/],
    [
      'deleting under staging/',
      ({ server }) => server.deny('delete', `${PREFIX}/staging/`),
      /may not delete .* roles\/storage\.objectUser under staging\//,
    ],
    ['the billing account', ({ server }) => server.deny('create', '', 'accountDisabled'), /no active billing account/],
  ];
  for (const [name, deny, words] of table) {
    test(`${name} is denied`, async () => {
      await withBucket(async (harness) => {
        deny(harness);
        await assert.rejects(harness.archive.check(signal()), (error) => {
          return isFailure('misconfigured', words)(error) && error instanceof Failure && error.retry === 'wait';
        });
        harness.server.store.allowAll();
        await harness.archive.check(signal());
      });
    });
  }

  test('a deposit that is denied waits; once allowed, the same work succeeds', async () => {
    await withBucket(async (harness) => {
      harness.server.deny('create', `${PREFIX}/recordings/`);
      for (const content of [SMALL, LARGE]) {
        await assert.rejects(
          store(harness.archive, CALL, content),
          (error) => error instanceof Failure && error.retry === 'wait',
        );
      }
      assert.deepEqual(harness.server.names(), []);
      harness.server.store.allowAll();
      await store(harness.archive, CALL, LARGE);
      await assertArchived(harness, LARGE);
    });
  });

  test('the bucket does not exist', async () => {
    await withBucket(async (harness) => {
      const archive = harness.open({ bucket: 'elsewhere' });
      const missing = isFailure('misconfigured', /Bucket elsewhere does not exist .* ARCHIVE_URL/);
      await assert.rejects(archive.check(signal()), missing);
      await assert.rejects(archive.find(CALL, signal()), missing);
      await assert.rejects(store(archive, CALL, LARGE), missing);
      await assert.rejects(archive.list({ limit: 1 }, signal()), missing);
    });
  });

  test('the server is down: the work waits, and goes on when it is back', async () => {
    await withBucket(async (harness) => {
      const port = Number(new URL(harness.server.url).port);
      const impatient = harness.open({ retry: { ...QUICK, attempts: 2 } });
      await harness.server.close();
      await assert.rejects(store(impatient, CALL, SMALL), (error) => {
        return (
          isFailure('archive-unavailable', /could not be reached/)(error) &&
          error instanceof Failure &&
          error.retry === 'wait'
        );
      });
      await harness.server.listen(port);
      await store(impatient, CALL, SMALL);
      await assertArchived(harness, SMALL);
    });
  });
});

test('what was never archived costs three requests to find out (two at once whether it or its conversation was erased), and what is archived two', async () => {
  await withBucket(async ({ archive, server }) => {
    assert.equal(await archive.find(CALL, signal()), undefined);
    assert.deepEqual([server.count('get'), server.count('media')], [1, 2]);
    await store(archive, CALL, SMALL);
    // Asked again before the WebM is stored, and before it is shown.
    assert.deepEqual([server.count('get'), server.count('media'), server.count('insert')], [1, 6, 3], 'the bill');
    const before = server.seen.length;
    assert.ok(await archive.find(CALL, signal()));
    assert.equal(server.seen.length - before, 2);
  });
});

test('a WebM that was lost is made again where its bytes are the same, and a conflict that says what to do where not', async () => {
  await withBucket(
    async (harness) => {
      const manifest = await store(harness.archive, CALL, SMALL);
      const lose = (): void => {
        harness.server.store.allowAll();
        harness.server.store.remove(`${PREFIX}/recordings/C1/R1/recording.webm`);
        harness.server.store.violations.length = 0;
      };
      lose();
      const reader = harness.open({ readOnly: true });
      await assert.rejects(reader.find(CALL, signal()), isFailure('conflict', /restore recording\.webm/));
      assert.equal(await harness.archive.find(CALL, signal()), undefined, 'nothing would make it again');
      assert.deepEqual(await store(harness.archive, CALL, SMALL), manifest);
      await assertArchived(harness, SMALL);
      lose();
      const other = store(harness.archive, CALL, contentOf('other', 60_000));
      await assert.rejects(other, isFailure('conflict', /move manifest\.json away/));
      harness.server.store.remove(`${PREFIX}/recordings/C1/R1/manifest.json`);
      harness.server.store.violations.length = 0;
      await assertArchived(harness, contentOf('other', 60_000));
    },
    { audits: [] },
  );
});

test('a Retry-After of Cloud Storage is honoured in full, in seconds and as a date (E7)', async () => {
  await withBucket(async (harness) => {
    const inTwoHours = new Date(Date.now() + 7_200_000).toUTCString();
    for (const [waitS, leastMs] of [
      ['3600', 3_600_000],
      [inTwoHours, 7_100_000],
    ] as const) {
      harness.server.gate = () => ({ kind: 'return', status: 503, afterBytes: undefined, waitS });
      for (const work of [
        () => harness.archive.find(CALL, signal()),
        () => harness.archive.list({ limit: 1 }, signal()),
        () => harness.archive.removeWaiting(CALL, signal()),
        () => store(harness.archive, CALL, LARGE),
      ]) {
        const seen = harness.server.seen.length;
        await assert.rejects(work(), (error) => {
          assert.ok(error instanceof Failure && error.code === 'archive-unavailable' && error.retry === 'wait');
          assert.ok(error.afterMs !== undefined && error.afterMs >= leastMs, String(error.afterMs));
          return true;
        });
        const asked = harness.server.seen.slice(seen).map(({ operation, name }) => `${operation} ${name}`);
        assert.deepEqual(asked, [...new Set(asked)], 'it was asked again before its time');
      }
    }
    harness.server.gate = undefined;
  });
});

test('a page that something on the way answers with, in place of Cloud Storage, passes (C6)', async () => {
  const proxy = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please log in</html>');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = proxy.address();
  assert.ok(typeof address === 'object' && address !== null);
  const apiEndpoint = `http://127.0.0.1:${String(address.port)}`;
  const archive = openBucketArchive({ bucket: 'b', prefix: '', apiEndpoint, retry: { ...QUICK, attempts: 2 } });
  const passes = isFailure('archive-unavailable', /in place of Cloud Storage|could not be reached/);
  await assert.rejects(archive.find(CALL, signal()), passes);
  await assert.rejects(archive.list({ limit: 1 }, signal()), passes);
  await archive.close();
  proxy.close();
});

test('works where a retention policy forbids every deletion: staging and old failures stay, nothing fails (ST-10)', async () => {
  await withBucket(async (harness) => {
    harness.server.deny('delete', '', 'retentionPolicyNotMet');
    const { archive } = harness;
    await archive.check(signal());
    await archive.recordFailure(CALL, failureOf(CALL, { reason: 'first' }), signal());
    await archive.recordFailure(CALL, failureOf(CALL, { reason: 'second' }), signal());
    assert.equal((await archive.failureOf(CALL, signal()))?.reason, 'first');
    await store(archive, CALL, LARGE);
    assert.deepEqual(await verifyStored(archive, CALL, signal()), []);
    const page = await archive.list({ limit: 10 }, signal());
    assert.deepEqual(
      page.entries.map((entry) => entry.status),
      ['archived'],
    );
    assert.equal(await archive.sweep(0, signal()), 0);
  });
});

test('an archive that may only read completes nothing, checks without writing, and still reads and links', async () => {
  await withBucket(async (harness) => {
    const reader = harness.open({ readOnly: true });
    const mortal = harness.open({ retry: { ...QUICK, attempts: 1 } });
    killAt(harness.server, 2, 'before');
    await dieStoring(mortal, SMALL);
    harness.server.gate = undefined;
    harness.server.deny('create', '');
    harness.server.deny('delete', '');
    await reader.check(signal());
    assert.equal(await reader.find(CALL, signal()), undefined);
    harness.server.store.allowAll();
    await harness.archive.find(CALL, signal());
    harness.server.deny('create', '');
    assert.ok(await reader.find(CALL, signal()));
    const { url } = await reader.link(await found(reader, CALL), { lifetimeS: 60 }, signal());
    assert.ok((await harness.follow(url)).equals(Buffer.concat([SMALL.head, ...SMALL.clusters])));
  });
});

test('a reader survives a 503, a reset and a stream that breaks twice, and gets every byte once', async () => {
  await withBucket(async (harness) => {
    await store(harness.archive, CALL, LARGE);
    const whole = Buffer.concat([LARGE.head, ...LARGE.clusters]);
    for (const range of [undefined, { start: 1_000_000, end: 4_999_999 }]) {
      harness.server.fault(
        'media',
        'return-503',
        'return-broken-stream-after-1024K',
        'return-reset-connection',
        'return-broken-stream-after-512K',
      );
      const bytes = await buffer(await harness.archive.read(await found(harness.archive, CALL), range, signal()));
      assert.ok(bytes.equals(range === undefined ? whole : whole.subarray(range.start, range.end + 1)));
    }
  });
});

test(
  'a stopped deposit cancels its upload at every chunk, and nothing is visible then or later',
  { timeout: 300_000 },
  async () => {
    await withBucket(async (harness) => {
      for (let chunks = 0; chunks < 3; chunks += 1) {
        const stop = new AbortController();
        await using deposit = await harness.archive.begin(CALL, stop.signal);
        await deposit.clusters.write(bytesOf('long', chunks * 2 * MIB + 300_000));
        stop.abort();
        await assert.rejects(
          deposit.clusters.write(Buffer.alloc(1)),
          (error) => Failure.from(error).code === 'stopped',
        );
        const late = deposit.commit(EBML, 'audio/webm', (stored) => manifestOf(CALL, stored));
        await assert.rejects(late, Failure);
      }
      assert.deepEqual(harness.server.names(), []);
      assert.equal(harness.server.openSessions(), 0);
    });
  },
);

test('a manifest with letters of any language goes through metadata and comes back the same', async () => {
  await withBucket(async (harness) => {
    const facts = { why: 'Zürich – 東京 – "quoted" \\ \u{1f4de}' };
    const mortal = harness.open({ retry: { ...QUICK, attempts: 1 } });
    killAt(harness.server, 2, 'before');
    await dieStoring(mortal, { ...SMALL, facts });
    harness.server.gate = undefined;
    assert.equal((await harness.archive.find(CALL, signal()))?.why, facts.why);
    const carried = harness.server.store.objects.get(`${PREFIX}/recordings/C1/R1/recording.webm`)?.metadata['manifest'];
    assert.match(carried ?? '', /^[\x20-\x7e]+$/);
  });
});

test('a manifest too large for metadata is refused before anything appears', async () => {
  await withBucket(async (harness) => {
    const facts = { why: 'x'.repeat(9_000) };
    await assert.rejects(store(harness.archive, CALL, { ...SMALL, facts }), isFailure('internal', /metadata can hold/));
    assert.deepEqual(harness.server.names(), []);
  });
});
