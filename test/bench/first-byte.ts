/** One listener's request → the time from the source's first byte to the listener's first byte of WebM. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { SimulatedFile } from '../support/genesys/server.ts';
import { REFERENCE } from './ffmpeg.ts';
import { startRig, type Rig } from './rig.ts';
import { quantile, ratio, type Bench, type Row } from './row.ts';

/** Listeners come one at a time, as people do. */
const APART_MS = 500;

const CHUNK_BYTES = 65_536;

export async function firstByteRow(bench: Bench, kind: 'opus' | 'wav'): Promise<Row> {
  const path = await (kind === 'opus' ? bench.inputs.stereoOpus(60) : bench.inputs.wav(60));
  const bytes = await readFile(path);
  const times = bench.quick ? 5 : 15;
  const theirs = await repeat(times, () => referenceMs(bytes));
  await using rig = await startRig(bench.folder);
  await listenMs(rig, bytes, kind);
  const ours = await repeat(times, () => listenMs(rig, bytes, kind));
  const [reference = NaN, median = NaN] = [theirs, ours].map((all) => quantile(all, 0.5));
  bench.say(`first byte, ${kind}: ${ours.map((ms) => ms.toFixed(1)).join(', ')} ms`);
  return {
    work: `first byte of \`/transcode\`, ${kind === 'opus' ? 'Opus' : 'WAV'}: median (slowest) of ${String(times)}`,
    reference: `${reference.toFixed(0)} (${quantile(theirs, 1).toFixed(0)}) ms`,
    ours: `${median.toFixed(1)} (${quantile(ours, 1).toFixed(1)}) ms`,
    ratio: ratio(median, reference),
    target: '1/5, 15 ms',
    met: median * 5 <= reference && median <= 15,
  };
}

async function repeat(times: number, measure: () => Promise<number>): Promise<readonly number[]> {
  const all: number[] = [];
  for (let run = 0; run < times; run += 1) {
    await delay(APART_MS);
    all.push(await measure());
  }
  return all;
}

/** The clock starts when the media host hands out the first byte, and stops when the listener has one. */
async function listenMs(rig: Rig, bytes: Buffer, kind: 'opus' | 'wav'): Promise<number> {
  let startedMs = NaN;
  const file: SimulatedFile = {
    channel: '0',
    contentType: kind === 'opus' ? 'audio/ogg' : 'audio/wav',
    sizeBytes: bytes.length,
    stream: () => Readable.from(timed(bytes, () => (startedMs = performance.now()))),
  };
  const { recordingId, conversationId } = rig.add([file]);
  const request = get(`${rig.service.url}/transcode?id=${recordingId}&conversationId=${conversationId}`);
  const [response]: IncomingMessage[] = await once(request, 'response');
  if (response?.statusCode !== 200) throw new Error(`The listener got ${String(response?.statusCode)}.`);
  let heardMs = NaN;
  for await (const _ of response) if (Number.isNaN(heardMs)) heardMs = performance.now();
  return heardMs - startedMs;
}

function* timed(bytes: Buffer, begin: () => void): Generator<Buffer> {
  begin();
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

/** As the original design does it: an encoder is started for the request, and given the source as it comes. */
async function referenceMs(bytes: Buffer): Promise<number> {
  const startedMs = performance.now();
  const child = spawn('ffmpeg', REFERENCE, { stdio: ['pipe', 'pipe', 'ignore'] });
  // It is killed while it still reads.
  child.stdin.on('error', () => undefined);
  Readable.from(timed(bytes, () => undefined)).pipe(child.stdin);
  await once(child.stdout, 'data');
  const heardMs = performance.now();
  child.kill('SIGKILL');
  await once(child, 'close');
  return heardMs - startedMs;
}
