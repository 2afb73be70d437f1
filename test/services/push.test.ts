/** A pushed delivery: what a push has no time for is passed on, everything else ends as it always does. Only Genesys and the making are played. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { createDelivery, type DeliveryNeeds } from '../../src/delivery.ts';
import { WaitingList } from '../../src/delivery/waiting-list.ts';
import { Failure } from '../../src/failure.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { Delivery, Settlement } from '../../src/queue/queue.ts';

const NEVER = new AbortController().signal;

type Archiving = DeliveryNeeds['pipeline']['archive'];

interface Ended {
  readonly settlement: Settlement;
  readonly log: string;
}

async function deliver(archiving: Archiving, { signal = NEVER, withinMs = 60_000 } = {}): Promise<Ended> {
  const path = await mkdtemp(join(tmpdir(), 'push-'));
  const stream = new PassThrough().setEncoding('utf8');
  const archive = openFolderArchive({ path, linkKeys: ['key'], publicUrl: 'http://127.0.0.1' });
  const parts: DeliveryNeeds = {
    pipeline: { archive: archiving },
    waiting: new WaitingList(),
    genesys: {
      recordingsOf: () => assert.fail('there is no conversation'),
      voicemailsOf: () => assert.fail('nobody left one'),
      locate: () => assert.fail('the pipeline does that'),
      check: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    archive,
    queue: { publish: () => assert.fail('nothing is published here') },
    metrics: createMetrics(),
    log: createLog({ level: 'info', secrets: [], stream }),
    version: '1.2.3',
  };
  const message = { kind: 'recording', recordingId: 'r-1', conversationId: 'c-1' } as const;
  const delivery: Delivery = { message, attempt: 1, lost: 0, acceptedAt: new Date(), withinMs };
  const settlement = await createDelivery(parts)(delivery, signal);
  await archive.close();
  await rm(path, { recursive: true });
  return { settlement, log: String(stream.read() ?? '') };
}

test('a push asks for what can be made in its time only, and ends as any other delivery', async () => {
  let asked: number | undefined;
  const busy = new Failure('rate-limited', 'Genesys is busy.', { afterMs: 90_000 });
  const { settlement } = await deliver(async (work) => {
    asked = work.withinMs;
    throw busy;
  });
  assert.equal(asked, 60_000);
  assert.deepEqual(settlement, { outcome: 'wait', afterMs: 90_000, because: busy });
});

test('what would take too long is left to a worker that pulls, and the log says so (QU-03)', async () => {
  const { settlement, log } = await deliver(() =>
    Promise.reject(new Failure('too-long', 'Pictures have to be encoded.')),
  );
  assert.deepEqual(settlement, { outcome: 'long' });
  assert.match(log, /Pictures have to be encoded/);
});

test('what is not done shortly before the deadline of the push is left to a worker that pulls', async () => {
  const archiving: Archiving = async (_, signal) => {
    await once(signal, 'abort');
    throw signal.reason;
  };
  assert.deepEqual((await deliver(archiving, { withinMs: 50 })).settlement, { outcome: 'long' });
});

test('a stopped push is no long work: it goes back', async () => {
  const stop = new AbortController();
  const archiving: Archiving = async (_, signal) => {
    stop.abort();
    signal.throwIfAborted();
    return assert.fail('it was stopped');
  };
  assert.deepEqual((await deliver(archiving, { signal: stop.signal })).settlement, { outcome: 'back' });
});

test('what fails for good is recorded, however long it may take', async () => {
  const { settlement } = await deliver(() => Promise.reject(new Failure('gone', 'Genesys has deleted it.')));
  assert.equal(settlement.outcome, 'dead');
});
