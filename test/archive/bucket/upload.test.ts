/** The stream writer against a server that fails in every way that Google names, and some it does not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { fc } from '../../support/generated.ts';
import { BucketClient } from '../../../src/archive/bucket/client.ts';
import type { Placement } from '../../../src/archive/bucket/insert.ts';
import type { RetryPolicy } from '../../../src/archive/bucket/retry.ts';
import { ObjectWriter } from '../../../src/archive/bucket/upload.ts';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { QUICK } from '../../support/archive/bucket.ts';
import { bytesOf } from '../../support/archive/content.ts';
import type { Operation } from '../../support/gcs/faults.ts';
import { startGcsServer, type GcsServer, type GcsServerOptions } from '../../support/gcs/server.ts';

const MIB = 1024 * 1024;
const CHUNK = 2 * MIB;
const NAME = 'staging/C1.R1.0123/clusters';

interface Bench {
  readonly server: GcsServer;
  readonly client: BucketClient;
  writer(signal?: AbortSignal): ObjectWriter;
}

async function withServer(
  run: (bench: Bench) => Promise<void>,
  options: GcsServerOptions & { readonly retry?: RetryPolicy } = {},
): Promise<void> {
  const server = await startGcsServer(options);
  const client = new BucketClient({
    bucket: server.bucket,
    prefix: '',
    apiEndpoint: server.url,
    retry: options.retry ?? QUICK,
  });
  const object = { name: NAME, contentType: 'application/octet-stream' };
  try {
    await run({
      server,
      client,
      writer: (signal = AbortSignal.timeout(300_000)) => new ObjectWriter(object, client, signal),
    });
    server.assertSound();
  } finally {
    await client.close();
    await server.close();
  }
}

/** Pieces of uneven sizes, as an encoder gives them. */
async function upload(bench: Bench, bytes: Buffer): Promise<Placement> {
  await using writer = bench.writer();
  for (let at = 0, n = 1; at < bytes.length; at += n * 65_537, n = (n % 9) + 1) {
    await writer.write(bytes.subarray(at, at + n * 65_537));
  }
  // Awaited here, not by the caller: the writer is disposed of as soon as this function returns.
  const placement = await writer.finish();
  return placement;
}

/** Whole, once, and as the answer says. */
function assertUploaded(server: GcsServer, bytes: Buffer, placement: Placement): void {
  assert.ok(placement.ours);
  assert.equal(placement.object.sizeBytes, bytes.length);
  assert.equal(placement.object.generation, server.store.objects.get(NAME)?.generation);
  assert.ok(server.store.bytes(NAME).equals(bytes), 'other bytes are stored than were sent');
  assert.equal(server.openSessions(), 0, 'a session was left open');
}

function assertNothing(server: GcsServer): void {
  assert.deepEqual(server.names(), []);
  assert.equal(server.openSessions(), 0, 'a session was left open');
}

function isFailure(code: FailureCode, words = /(?:)/): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === code && words.test(error.message);
}

test('what fits into one chunk is a single request; beyond it every length arrives whole, the last chunk never empty', async () => {
  await withServer(async ({ server, client }) => {
    for (const [index, sizeBytes] of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1].entries()) {
      const name = `staging/${String(index)}`;
      const bytes = bytesOf(name, sizeBytes);
      await using writer = new ObjectWriter({ name, contentType: 'a/b' }, client, AbortSignal.timeout(300_000));
      await writer.write(bytes);
      assert.ok((await writer.finish()).ours);
      assert.ok(server.store.bytes(name).equals(bytes), `${String(sizeBytes)} bytes`);
    }
    assert.equal(server.count('insert'), 4);
    assert.equal(server.count('start'), 3);
    const finals = server.seen.filter((seen) => seen.operation === 'final');
    assert.deepEqual(
      finals.map((seen) => seen.headers['content-length']),
      ['1', String(CHUNK), '1'],
    );
    assert.ok(finals.every((seen) => /^crc32c=.{8}$/.test(String(seen.headers['x-goog-hash']))));
    assert.ok(finals.every((seen) => seen.headers['authorization'] === undefined));
  });
});

/** Each is one upload of 9 MiB and a bit: four chunks and a final one. */
const SURVIVED: readonly (readonly [string, readonly (readonly [Operation, ...string[]])[]])[] = [
  [
    '503, 408 and a reset at the start of the session (ST-01)',
    [['start', 'return-503', 'return-408', 'return-reset-connection', 'lose-answer']],
  ],
  ['503 after 256 KiB (ST-02, scenario 7.1)', [['chunk', 'return-503-after-256K']]],
  [
    '503 after 8192 KiB, then 408 to the question what is held (ST-02, scenario 7.2)',
    [['final', 'return-503-after-8192K', 'return-408']],
  ],
  ['408 after 256 KiB (ST-02, scenario 7.3)', [['chunk', 'return-408-after-256K']]],
  [
    '503 after 256 KiB, then 408, then 503 on the next chunk (ST-02, scenario 7.4)',
    [
      ['chunk', 'return-503-after-256K', 'return-503'],
      ['status', 'return-408'],
    ],
  ],
  [
    'a reset in the middle of a chunk (ST-03)',
    [['chunk', 'return-reset-connection-after-3072K', 'return-reset-connection']],
  ],
  [
    'two failures in a row, the question included',
    [
      ['chunk', 'return-503'],
      ['status', 'return-503', 'return-reset-connection'],
    ],
  ],
  [
    'sixteen failures in one upload, more than are allowed in a row, four in each chunk',
    [
      [
        'chunk',
        ...[256, 2304, 4352, 6400].flatMap((at) => Array.from({ length: 4 }, () => `return-503-after-${String(at)}K`)),
      ],
    ],
  ],
  ['the last answer lost (ST-04)', [['final', 'lose-answer']]],
  [
    'the connection broken within the last chunk (ST-04)',
    [['final', 'return-broken-stream-final-chunk-after-9437184B']],
  ],
  [
    'the last answer lost, and the question after it too (ST-04)',
    [['final', 'lose-answer', 'return-503', 'return-reset-connection']],
  ],
  ['503 to the last chunk before anything of it was read', [['final', 'return-503', 'return-503']]],
  ['308 with less than was sent', [['chunk', 'keep-256K', 'keep-1024K', 'keep-256K']]],
  ['308 that kept nothing of a chunk', [['chunk', 'keep-nothing', 'keep-nothing']]],
  ['308 that kept less of the last chunk', [['final', 'keep-nothing']]],
  ['429 with a wait (ST-07)', [['chunk', 'return-429']]],
  ['a session that expires before anything but its own chunk was sent (ST-11)', [['chunk', 'expire-session']]],
  ['a session that is forgotten once its object is there', [['final', 'lose-answer', 'expire-session']]],
  ['a last answer that states another checksum than the object has (ST-09)', [['final', 'wrong-crc']]],
  [
    '503 to the question what lies there',
    [
      ['final', 'wrong-crc'],
      ['get', 'return-503', 'return-reset-connection'],
    ],
  ],
];

describe('an upload survives', () => {
  const bytes = bytesOf('nine', 9 * MIB + 123);
  for (const [name, faults] of SURVIVED) {
    test(name, { timeout: 300_000 }, async () => {
      await withServer(async (bench) => {
        for (const [operation, ...instructions] of faults) bench.server.fault(operation, ...instructions);
        assertUploaded(bench.server, bytes, await upload(bench, bytes));
      });
    });
  }

  test('a stall, which ends with the time for one request (ST-03)', { timeout: 300_000 }, async () => {
    const retry = { ...QUICK, requestTimeoutMs: 250 };
    await withServer(
      async (bench) => {
        bench.server.fault('chunk', 'stall-for-10s-after-256K');
        assertUploaded(bench.server, bytes, await upload(bench, bytes));
      },
      { retry },
    );
  });

  test('a fault long after its start: patience counts from the last progress, not from the beginning', async () => {
    const retry = { ...QUICK, withoutProgressMs: 1_500 };
    await withServer(
      async (bench) => {
        await using writer = bench.writer();
        await writer.write(bytes.subarray(0, 5 * MIB));
        await delay(2_000); // the encoder is slow: longer than the whole patience
        bench.server.fault('chunk', 'return-503', 'return-503');
        await writer.write(bytes.subarray(5 * MIB));
        assertUploaded(bench.server, bytes, await writer.finish());
      },
      { retry },
    );
  });

  test('429 with Retry-After, which is never shortened (ST-07, invariant 7)', async () => {
    await withServer(async (bench) => {
      const times: number[] = [];
      bench.server.faults.call('chunk', () => void times.push(performance.now()));
      bench.server.fault('chunk', 'return-429-wait-1s');
      bench.server.faults.call('status', () => void times.push(performance.now()));
      assertUploaded(bench.server, bytes, await upload(bench, bytes));
      const [before = 0, after = 0] = times;
      assert.ok(after - before >= 999, `asked again after ${String(after - before)} ms`);
    });
  });
});

describe('an upload gives up, with nothing visible, its session cancelled and (invariant 8) no word of it in the error,', () => {
  const bytes = bytesOf('five', 5 * MIB);
  const table: readonly (readonly [string, FailureCode, readonly (readonly [Operation, ...string[]])[]])[] = [
    ['where the server loses what it had confirmed', 'archive-unavailable', [['final', 'forget-everything']]],
    [
      'where the session expires midway: its first bytes are gone (ST-11)',
      'archive-unavailable',
      [['final', 'expire-session']],
    ],
    [
      'where bytes were damaged on their way: the checksum is refused (ST-09)',
      'incomplete',
      [['chunk', 'damage-body']],
    ],
    ['where the last chunk was damaged (ST-09)', 'incomplete', [['final', 'damage-body']]],
    ['at 400 (ST-05)', 'internal', [['chunk', 'return-400']]],
    ['at 403 (ST-05)', 'misconfigured', [['final', 'return-403']]],
    ['at 401 without a token to renew (ST-05)', 'misconfigured', [['chunk', 'return-401']]],
    ['at 403 for the session (ST-08)', 'misconfigured', [['start', 'return-403']]],
  ];
  for (const [name, code, faults] of table) {
    test(name, async () => {
      await withServer(async (bench) => {
        for (const [operation, ...instructions] of faults) bench.server.fault(operation, ...instructions);
        const error: unknown = await upload(bench, bytes).catch((thrown: unknown) => thrown);
        assert.ok(isFailure(code)(error), inspect(error));
        assert.doesNotMatch(
          inspect(error, { depth: 9, showHidden: true }),
          /upload_id/,
          'invariant 8: the session leaked',
        );
        assertNothing(bench.server);
        if (/ST-0[58]/.test(name)) assert.equal(bench.server.count('status'), 0, 'a permanent error was tried again');
      });
    });
  }

  test('when nothing moves for as many attempts as allowed', async () => {
    await withServer(
      async (bench) => {
        bench.server.gate = ({ operation }) => {
          return operation === 'chunk' || operation === 'status'
            ? { kind: 'return', status: 503, afterBytes: undefined }
            : undefined;
        };
        await assert.rejects(upload(bench, bytes), isFailure('archive-unavailable'));
        assert.equal(bench.server.count('chunk') + bench.server.count('status'), 4);
        assertNothing(bench.server);
      },
      { retry: { ...QUICK, attempts: 4 } },
    );
  });

  test('at once where the server asks for a longer wait than patience allows, and hands the wait on', async () => {
    await withServer(async (bench) => {
      bench.server.fault('chunk', 'return-503-wait-3600s');
      await assert.rejects(upload(bench, bytes), (error) => {
        return isFailure('archive-unavailable')(error) && error instanceof Failure && error.afterMs === 3_600_000;
      });
      assertNothing(bench.server);
    });
  });

  test('where the server cannot be reached', async () => {
    await withServer(
      async (bench) => {
        await bench.server.close();
        await assert.rejects(upload(bench, bytes), isFailure('archive-unavailable', /could not be reached/));
        await bench.server.listen();
      },
      { retry: { ...QUICK, attempts: 3 } },
    );
  });
});

describe('an occupied name', () => {
  const bytes = bytesOf('mine', 5 * MIB);
  for (const preconditionAt of ['start', 'end'] as const) {
    test(`with the same bytes is success, refused at the ${preconditionAt} (ST-06)`, async () => {
      await withServer(
        async (bench) => {
          const { generation } = bench.server.put(NAME, bytes);
          assertUploaded(bench.server, bytes, await upload(bench, bytes));
          assert.equal(bench.server.store.objects.get(NAME)?.generation, generation, 'it was replaced');
          if (preconditionAt === 'start') assert.equal(bench.server.count('chunk'), 0, 'bytes were sent for nothing');
        },
        { preconditionAt },
      );
    });

    test(`with other bytes is told apart and kept, refused at the ${preconditionAt} (ST-06)`, async () => {
      await withServer(
        async (bench) => {
          const other = bytesOf('theirs', 5 * MIB);
          bench.server.put(NAME, other);
          const placement = await upload(bench, bytes);
          assert.equal(placement.ours, false);
          assert.ok(bench.server.store.bytes(NAME).equals(other));
        },
        { preconditionAt },
      );
    });
  }

  test('that is taken while the bytes are on their way is not overwritten (ST-06)', async () => {
    await withServer(async (bench) => {
      const other = bytesOf('theirs', 100);
      bench.server.faults.call('final', () => void bench.server.put(NAME, other));
      assert.equal((await upload(bench, bytes)).ours, false);
      assert.ok(bench.server.store.bytes(NAME).equals(other));
    });
  });
});

describe('a writer that is left', () => {
  test('cancels its session, wherever it was, and nothing becomes visible', async () => {
    for (const sizeBytes of [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 1]) {
      await withServer(async (bench) => {
        const writer = bench.writer();
        await writer.write(bytesOf('left', sizeBytes));
        await writer[Symbol.asyncDispose]();
        assertNothing(bench.server);
        assert.equal(bench.server.count('cancel'), sizeBytes > CHUNK ? 1 : 0);
      });
    }
  });

  test('by a signal stops in the middle of a request, and cancels its session', { timeout: 300_000 }, async () => {
    await withServer(async (bench) => {
      const stop = new AbortController();
      bench.server.fault('chunk', 'stall-for-60s-after-256K');
      bench.server.gate = ({ operation }) => {
        if (operation === 'chunk') stop.abort(new Failure('stopped', 'SIGTERM'));
        return undefined;
      };
      {
        await using writer = bench.writer(stop.signal);
        await assert.rejects(writer.write(bytesOf('left', 2 * CHUNK)), isFailure('stopped', /SIGTERM/));
      }
      assertNothing(bench.server);
      assert.equal(bench.server.count('cancel'), 1);
    });
  });
});

test(
  'whatever the server does, the object is whole or absent, and there is one of it',
  { timeout: 400_000 },
  async () => {
    const bytes = bytesOf('random', 5 * MIB + 7);
    const during = [
      'return-503',
      'return-408',
      'return-429',
      'return-reset-connection',
      'lose-answer',
      'keep-nothing',
      'keep-256K',
      'return-503-after-1024K',
      'return-reset-connection-after-2560K',
      'damage-body',
      'forget-everything',
      'expire-session',
      'return-400',
      'return-412',
      'wrong-crc',
    ];
    const asking = ['return-503', 'return-reset-connection', 'expire-session', 'forget-everything'];
    const script = fc.record({
      start: fc.array(fc.constantFrom('return-503', 'lose-answer', 'return-reset-connection'), { maxLength: 2 }),
      chunk: fc.array(fc.constantFrom(...during), { maxLength: 3 }),
      status: fc.array(fc.constantFrom(...asking), { maxLength: 3 }),
      final: fc.array(fc.constantFrom(...during), { maxLength: 3 }),
      get: fc.array(fc.constantFrom('return-503', 'return-reset-connection'), { maxLength: 2 }),
    });
    const outcomes = { whole: 0, absent: 0 };
    const property = fc.asyncProperty(script, async (faults) => {
      const server = await startGcsServer({ audits: [] });
      const client = new BucketClient({ bucket: server.bucket, prefix: '', apiEndpoint: server.url, retry: QUICK });
      for (const operation of ['start', 'chunk', 'status', 'final', 'get'] as const)
        server.fault(operation, ...faults[operation]);
      const writer = new ObjectWriter({ name: NAME, contentType: 'a/b' }, client, AbortSignal.timeout(200_000));
      try {
        const placement = await upload({ server, client, writer: () => writer }, bytes).catch((error: unknown) => {
          assert.ok(error instanceof Failure, inspect(error));
          return undefined;
        });
        outcomes[placement === undefined ? 'absent' : 'whole'] += 1;
        if (placement !== undefined) assertUploaded(server, bytes, placement);
        // It may have appeared although the writer could not learn of it; but never in part.
        if (server.names().length > 0) assert.ok(server.store.bytes(NAME).equals(bytes));
      } finally {
        await client.close();
        await server.close();
      }
    });
    await fc.assert(property, { numRuns: 60 });
    assert.ok(outcomes.whole > 0 && outcomes.absent > 0, JSON.stringify(outcomes));
  },
);
