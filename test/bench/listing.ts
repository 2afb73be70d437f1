/** A folder and a bucket of many recordings and failures → rows: what the first page of a listing and one conversation cost. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Archive, ListQuery } from '../../src/archive/archive.ts';
import { openArchive } from '../../src/archive/open-archive.ts';
import { readConfig } from '../../src/config/config.ts';
import { failureOf } from '../support/archive/content.ts';
import { objectsOf } from '../support/archive/many.ts';
import type { Bench, Row } from './row.ts';

/** As many as a busy contact centre records. */
const PER_DAY = 10_000;
const FIRST_DAY_MS = Date.UTC(2026, 2, 1);
const DAY_MS = 86_400_000;
const FAILURES = 5_000;
const LIMIT = 50;
const TIMES = 9;
const PAGE_MS = 30;
const CONVERSATION_MS = 10;

export async function listingRows(bench: Bench): Promise<readonly Row[]> {
  return [...(await folderRows(bench)), ...(await bucketRows(bench))];
}

async function folderRows(bench: Bench): Promise<readonly Row[]> {
  const recordings = bench.quick ? 20_000 : 200_000;
  const root = join(bench.folder, 'listing');
  bench.say(`listing: a folder of ${String(recordings)} recordings and ${String(FAILURES)} failures`);
  const conversationId = fill(root, recordings, FAILURES);
  const among = `of ${String(recordings)} recordings and ${String(FAILURES)} failures in a folder, 10,000 a day, CPU`;
  return rowsOf({ ARCHIVE_URL: `file:${root}` }, { conversationId, among });
}

/** The bucket is another process: what is measured is ours alone. */
async function bucketRows(bench: Bench): Promise<readonly Row[]> {
  const recordings = bench.quick ? 20_000 : 1_000_000;
  bench.say(`listing: a bucket of ${String(recordings)} recordings and ${String(FAILURES)} failures`);
  const program = join(import.meta.dirname, 'bucket-of-many.ts');
  const args = [program, 'calls', String(recordings), String(FAILURES)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  try {
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const { url, bucket, conversationId } = JSON.parse(line) as Readonly<Record<string, string>>;
    const among = `of ${String(recordings)} recordings and ${String(FAILURES)} failures in a bucket, 10,000 a day, CPU`;
    const env = { ARCHIVE_URL: `gs://${bucket ?? ''}/calls`, GCS_API_ENDPOINT: url };
    return await rowsOf(env, { conversationId: conversationId ?? '', among });
  } finally {
    child.stdin.end();
    await ended;
  }
}

async function rowsOf(
  env: Readonly<Record<string, string | undefined>>,
  { conversationId, among }: { readonly conversationId: string; readonly among: string },
): Promise<readonly Row[]> {
  const { archive } = await openArchive(readConfig({ ...env, WEBHOOK_AUTH: 'none' }, 'receiver'), { publicUrl: '' });
  try {
    // Marks what was placed here by hand, as it marks an archive of an earlier version.
    await archive.sweep(3_600_000, AbortSignal.timeout(600_000));
    const [page, conversation] = [await cpuMsOf(archive, {}), await cpuMsOf(archive, { conversationId })];
    return [
      rowOf(`first page of ${String(LIMIT)} ${among}`, page, PAGE_MS),
      rowOf(`one conversation ${among}`, conversation, CONVERSATION_MS),
    ];
  } finally {
    await archive.close();
  }
}

/** A conversation that is there. */
function fill(root: string, recordings: number, failures: number): string {
  let conversationId = '';
  const place = (name: string, bytes: Uint8Array | string): void => {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), bytes);
  };
  for (let index = 0; index < recordings; index += 1) {
    conversationId = createHash('md5').update(String(index)).digest('hex');
    const day = new Date(FIRST_DAY_MS + Math.floor(index / PER_DAY) * DAY_MS).toISOString().slice(0, 10);
    for (const { name, bytes } of objectsOf({ conversationId, recordingId: `r${String(index)}` }, day))
      place(name, bytes);
  }
  for (let index = 0; index < failures; index += 1) {
    const subject = { conversationId: `failed-${String(index)}`, recordingId: `f${String(index)}` };
    place(`failures/${subject.conversationId}.${subject.recordingId}.json`, JSON.stringify(failureOf(subject)));
  }
  return conversationId;
}

/** The least of several. */
async function cpuMsOf(archive: Archive, query: Omit<ListQuery, 'limit'>): Promise<number> {
  const taken: number[] = [];
  for (let time = 0; time < TIMES; time += 1) {
    const before = process.cpuUsage();
    const { entries } = await archive.list({ limit: LIMIT, ...query }, AbortSignal.timeout(600_000));
    const { user, system } = process.cpuUsage(before);
    if (entries.length === 0) throw new Error('Nothing was listed.');
    taken.push((user + system) / 1000);
  }
  return Math.min(...taken);
}

function rowOf(work: string, ms: number, mostMs: number): Row {
  return { work, reference: '–', ours: `${ms.toFixed(1)} ms`, target: `${String(mostMs)} ms`, met: ms <= mostMs };
}
