/** One night of the service: a simulated Genesys, an archive in a folder, and the look that `serve` makes at three o'clock. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import type { Archive } from '../../../src/archive/archive.ts';
import { openFolderArchive } from '../../../src/archive/folder/folder.ts';
import { readConfig } from '../../../src/config/config.ts';
import { dayAt, dayBefore } from '../../../src/instant.ts';
import type { Message, Settlement } from '../../../src/queue/queue.ts';
import { NightlyLook } from '../../../src/services/look-at-night.ts';
import { handleWithoutQueue, openStudio } from '../../../src/services/studio.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import { type GenesysServer, startGenesysServer } from '../genesys/server.ts';
import { pathOfFixture } from '../media/fixtures.ts';

const signal = (): AbortSignal => AbortSignal.timeout(300_000);
/** Days are told from here, so that midnight may come while the test runs. */
export const NOW = Date.now();
export const daysAgo = (days: number): string => dayBefore(dayAt(NOW), days);

export interface Night {
  readonly genesys: GenesysServer;
  readonly archive: Archive;
  readonly metrics: Metrics;
  readonly env: Readonly<Record<string, string>>;
  /** What was put on the queue. */
  readonly published: readonly Message[];
  /** A recording that no event told of. */
  lose(name: string, day: string): void;
  /** A recording whose event has just come, worked on as the queue would have it worked on: with the encoders that there are. */
  live(name: string, files?: Parameters<GenesysServer['addRecording']>[0]['files']): Promise<Settlement>;
  /** One night's look; the lines that it logged. */
  look(stop?: AbortSignal): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** The lines since, also of a night that ended early. */
  said(): readonly Readonly<Record<string, unknown>>[];
}

/** `fetches`: with real encoders; else nothing may be fetched. */
export async function openNight(
  t: TestContext,
  fetches = false,
  more: Readonly<Record<string, string>> = {},
  rateLimit = { allowed: 100_000, windowS: 60 },
): Promise<Night> {
  const genesys = await startGenesysServer({ rateLimit });
  genesys.analytics.pendingPolls = 0;
  const folder = await mkdtemp(join(tmpdir(), 'night-'));
  const opened = new AsyncDisposableStack();
  t.after(async () => {
    await opened.disposeAsync();
    await genesys.close();
    await rm(folder, { recursive: true, force: true });
  });
  const env = {
    ...genesys.environment(),
    ARCHIVE_URL: `file:${join(folder, 'archive')}`,
    QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
    WEBHOOK_AUTH: 'none',
    API_AUTH: 'none',
    ...more,
  };
  const config = readConfig(env, 'serve');
  const archive = openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://localhost' });
  const stream = new PassThrough();
  const log = createLog({ level: 'info', secrets: [], stream });
  const metrics = createMetrics();
  const context = { config, log, metrics, version: '9', opened, stopping: signal() };
  const making = fetches ? await openStudio(context, { archive }, { archives: true }) : undefined;
  const studio = making ?? { pipelineOver: () => ({ archive: () => assert.fail('nothing is to be fetched') }) };
  const published: Message[] = [];
  const queue = { publish: async (messages: readonly Message[]) => void published.push(...messages) };
  const night = new NightlyLook(context, { archive, studio, queue });
  const said = (): readonly Readonly<Record<string, unknown>>[] => {
    const lines = String(stream.read() ?? '').split('\n');
    return lines.filter(Boolean).map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>) }));
  };
  return {
    published,
    genesys,
    archive,
    metrics,
    env,
    lose(name, day) {
      const [conversationId, start] = [`c-${name}`, `${day}T00:10:00.000Z`];
      genesys.addRecording({
        recordingId: `r-${name}`,
        conversationId,
        startTime: start,
        files: [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }],
      });
      genesys.analyze({ conversationId, start, end: `${day}T00:15:00.000Z` });
    },
    live(name, files = [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }]) {
      assert.ok(making !== undefined);
      const recording = { recordingId: `r-${name}`, conversationId: `c-${name}` };
      genesys.addRecording({ ...recording, startTime: `${daysAgo(0)}T00:10:00.000Z`, files });
      const handle = handleWithoutQueue({ ...making, archive, metrics, log, version: '9' });
      const message = { kind: 'recording', ...recording } as const;
      return handle({ message, attempt: 1, lost: 0, acceptedAt: new Date() }, signal());
    },
    async look(stop = signal()) {
      await night.run(stop);
      return said();
    },
    said,
  };
}

export function has({ archive }: Night, name: string): Promise<boolean> {
  return archive
    .find({ recordingId: `r-${name}`, conversationId: `c-${name}` }, signal())
    .then((manifest) => manifest !== undefined);
}
