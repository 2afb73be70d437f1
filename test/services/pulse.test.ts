/** What a worker writes of itself: gone once it has stopped, also where it stops while it writes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Notes } from '../../src/archive/notes.ts';
import { readConfig } from '../../src/config/config.ts';
import { PulseTally } from '../../src/pulse.ts';
import { beginPulse } from '../../src/services/pulse.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { openFolderHarness } from '../support/archive/folder.ts';

const EVERY_MS = 30_000;

for (const [how, end] of [
  ['ends', 'ended'],
  ['never ends', 'let go'],
] as const)
  test(`a worker that stops while it writes what it does, and the writing ${how}, leaves nothing under status/`, async (t) => {
    const harness = await openFolderHarness();
    t.after(() => harness.close());
    t.mock.timers.enable({ apis: ['setInterval'] });
    const { notes } = harness.archive;
    const [begun, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const written = Promise.withResolvers<void>();
    const replace: Notes['replace'] = async (name, text, signal) => {
      begun.resolve();
      try {
        await Promise.race([goOn.promise, once(signal, 'abort').then(() => signal.throwIfAborted())]);
        return await notes.replace(name, text, AbortSignal.timeout(60_000));
      } finally {
        written.resolve();
      }
    };
    const slow: Notes = {
      read: (...asked) => notes.read(...asked),
      list: (...asked) => notes.list(...asked),
      create: (...asked) => notes.create(...asked),
      remove: (...asked) => notes.remove(...asked),
      replace,
    };
    const opened = new AsyncDisposableStack();
    const env = { GENESYS_REGION: 'mypurecloud.de', GENESYS_CLIENT_ID: 'c', GENESYS_CLIENT_SECRET: 's'.repeat(20) };
    const context = {
      config: readConfig(env, 'worker'),
      log: createLog({ level: 'error', secrets: [], stream: process.stderr }),
      metrics: createMetrics(),
      version: '1.2.3',
      opened,
      stopping: new AbortController().signal,
    };
    const studio = {
      genesys: { callsSpent: undefined },
      ffmpeg: () => assert.fail('nobody looks so soon'),
    };
    const waiting = { totals: () => [] };
    beginPulse(
      context as never,
      { archive: { notes: slow }, command: 'worker', tally: new PulseTally(), waiting, studio } as never,
    );
    t.mock.timers.tick(EVERY_MS);
    await begun.promise;
    const closed = opened.disposeAsync();
    if (end === 'ended') goOn.resolve();
    await closed;
    await written.promise;
    assert.deepEqual(
      (await harness.objects()).filter((name) => name.startsWith('status/')),
      [],
    );
  });
