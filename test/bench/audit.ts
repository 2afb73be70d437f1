/** Listeners of stored recordings → how much later their first byte comes because each of them is on record before it. */
import { mkdtemp } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Archive } from '../../src/archive/archive.ts';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import type { Audit } from '../../src/audit/audit.ts';
import { BucketAudit } from '../../src/audit/bucket-audit.ts';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { Failure } from '../../src/failure.ts';
import { openBucketHarness } from '../support/archive/bucket.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { start, type Started } from '../http/far-ends.ts';
import { quantile, type Bench, type Row } from './row.ts';

/** What a request to Cloud Storage takes, roughly, from the same region. */
const BUCKET_MS = 20;
const MOST_LATER_MS = 3;
const NO_AUDIT: Pick<Audit, 'record'> = { record: async () => undefined };

export async function auditRows(bench: Bench): Promise<readonly Row[]> {
  const root = await mkdtemp(join(bench.folder, 'audit-'));
  const archive = openFolderArchive({ path: root, linkKeys: [], publicUrl: 'http://localhost' });
  const audit = new FolderAudit({ root });
  const folder = await laterRow('in a folder', { archive, audit, bench });
  await audit.close();
  await archive.close();
  const bucket = await openBucketHarness();
  bucket.server.gate = () => ({ kind: 'call', run: () => delay(BUCKET_MS) });
  const besides = { archive: bucket.archive, audit: new BucketAudit(bucket.archive.notes), bench };
  const inBucket = await laterRow(`in a bucket, each of whose requests takes ${String(BUCKET_MS)} ms`, besides);
  await bucket.close();
  return [folder, inBucket];
}

interface Measuring {
  readonly archive: Archive;
  readonly audit: Pick<Audit, 'record'>;
  readonly bench: Bench;
}

/** One listener after the other, with a record and without by turns; each of another recording, so that each is a listen of its own. */
async function laterRow(where: string, { archive, audit, bench }: Measuring): Promise<Row> {
  const times = bench.quick ? 20 : 100;
  const recordings = Array.from({ length: times }, (_, index) => ({
    recordingId: `r${String(index)}`,
    conversationId: 'c',
  }));
  for (const recording of recordings)
    await store(archive, recording, { head: bytesOf('head', 100), clusters: [bytesOf('media', 30_000)] });
  await using named = await serve(archive, audit);
  await using without = await serve(archive, NO_AUDIT);
  const [recorded, unrecorded]: [number[], number[]] = [[], []];
  for (const { recordingId } of recordings) {
    recorded.push(await firstByteMs(named, recordingId));
    unrecorded.push(await firstByteMs(without, recordingId));
  }
  const [ours, theirs] = [quantile(recorded, 0.5), quantile(unrecorded, 0.5)];
  bench.say(`audit ${where}: ${ours.toFixed(2)} ms with a record, ${theirs.toFixed(2)} ms without`);
  return {
    work: `first byte of a stored recording, the listen on record before it, ${where}: median of ${String(times)}`,
    reference: `${theirs.toFixed(1)} ms without a record`,
    ours: `${ours.toFixed(1)} ms, 95 % within ${quantile(recorded, 0.95).toFixed(1)} ms`,
    ratio: `${(ours - theirs).toFixed(1)} ms later`,
    target: `at most ${String(MOST_LATER_MS)} ms later`,
    met: ours - theirs <= MOST_LATER_MS,
  };
}

function serve(archive: Archive, audit: Pick<Audit, 'record'>): Promise<Started> {
  const listen = async (): Promise<never> => Promise.reject(new Failure('not-found', 'Genesys does not know it.'));
  const auth = { required: false, keys: [] };
  return start({
    audit,
    auth,
    playback: { transcode: { listen, archive }, recordings: { archive, linkLifetimeS: 900 } },
  });
}

async function firstByteMs({ url }: Started, recordingId: string): Promise<number> {
  const startedMs = performance.now();
  const request = get(`${url}/transcode?id=${recordingId}&conversationId=c`);
  const [response]: IncomingMessage[] = await once(request, 'response');
  if (response?.statusCode !== 200) throw new Error(`The listener got ${String(response?.statusCode)}.`);
  let heardMs = NaN;
  for await (const _ of response) if (Number.isNaN(heardMs)) heardMs = performance.now();
  return heardMs - startedMs;
}
