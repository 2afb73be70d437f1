/** Everybody who may take too much, all at once → rows: what archiving, senders and memory notice of them. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { startProber } from './latency.ts';
import { fileOf, startRig, type Rig } from './rig.ts';
import { mebibytes, quantile, type Bench, type Row } from './row.ts';
import { residentBytesOf, watchMemory } from './usage.ts';

const SLOW = 2;
const STOPPED = 200;
const IDLE = 1000;
const PIPELINED = 120;
const UNKNOWN = 330;
const EVENTS = 5;
const LATER_S = 2;
const LATER_MS = 20;
/** Calls that Genesys allows: https://developer.genesys.cloud/organization/organization/limits; and so many that they bound nobody. */
const OF_ONE_TOKEN = { allowed: 300, windowS: 60 };
const WITHOUT_BOUND = { allowed: 999_999, windowS: 60 };
const MORE_BYTES = 160 * 2 ** 20;

export async function boundsRows(bench: Bench): Promise<readonly Row[]> {
  return [...(await crowdRows(bench, OF_ONE_TOKEN)), ...(await crowdRows(bench, WITHOUT_BOUND))];
}

async function crowdRows(bench: Bench, calls: typeof OF_ONE_TOKEN): Promise<readonly Row[]> {
  const quiet = await probeIdle(bench);
  await using rig = await startRig(bench.folder, 'serve', calls);
  const wav = await bench.inputs.wav(10);
  const alone = await archiveAll(rig, wav);
  const idleBytes = residentBytesOf(rig.service.pid);
  using memory = watchMemory(rig.service.pid);
  const crowd = await gather(bench, rig);
  try {
    // One after the other: the prober's events name recordings that nobody knows, which costs archiving its calls.
    const beside = await archiveAll(rig, wav);
    const prober = startProber(rig);
    await delay(bench.quick ? 3000 : 10_000);
    const { webhook } = await prober.stop();
    const [before, after] = [quantile(quiet, 0.99), quantile(webhook, 0.99)];
    return [
      {
        work: `${String(EVENTS)} events beside ${String(STOPPED)} stopped and ${String(SLOW)} slow listeners, ${String(IDLE)} idle connections, ${String(PIPELINED)} pipelined requests, ${String(UNKNOWN)} unknown ids, ${calls.allowed.toLocaleString('en')} calls a minute: the slowest is archived within`,
        reference: `${alone.toFixed(2)} s alone`,
        ours: `${beside.toFixed(2)} s`,
        target: `${String(LATER_S)} s later`,
        met: beside - alone <= LATER_S,
      },
      {
        work: '… webhooks meanwhile, p99',
        reference: `${before.toFixed(1)} ms idle`,
        ours: `${after.toFixed(1)} ms`,
        target: `${String(LATER_MS)} ms over idle`,
        met: after - before <= LATER_MS,
      },
      {
        work: '… memory of the service',
        reference: `${mebibytes(idleBytes)} idle`,
        ours: `${mebibytes(memory.peakBytes)} at most`,
        target: `${mebibytes(MORE_BYTES)} over idle`,
        met: memory.peakBytes - idleBytes <= MORE_BYTES,
      },
    ];
  } finally {
    for (const socket of crowd) socket.destroy();
  }
}

/** Seconds until the slowest of some events that come one after the other. */
async function archiveAll(rig: Rig, wav: string): Promise<number> {
  const walls: number[] = [];
  for (let count = 0; count < EVENTS; count += 1) walls.push((await rig.archive([fileOf(wav, '0')])).wallS);
  return Math.max(...walls);
}

/** Of a receiver that nobody works behind: events of recordings that nobody knows would cost archiving its calls. */
async function probeIdle(bench: Bench): Promise<readonly number[]> {
  await using rig = await startRig(bench.folder, 'receiver');
  const prober = startProber(rig);
  await delay(bench.quick ? 3000 : 10_000);
  return (await prober.stop()).webhook;
}

async function gather({ inputs, quick }: Bench, rig: Rig): Promise<readonly Socket[]> {
  const [opus, long] = [await inputs.stereoOpus(quick ? 300 : 3600), await inputs.wav(quick ? 60 : 600)];
  // Before those who take all there is for one key.
  const sockets = Array.from({ length: SLOW }, () => slow(listener(rig, rig.add([fileOf(long, '0')]))));
  await Promise.all(sockets.map((socket) => once(socket, 'readable')));
  sockets.push(...Array.from({ length: IDLE }, () => dial(rig)));
  for (let count = 0; count < STOPPED; count += 1) sockets.push(listener(rig, rig.add([fileOf(opus, '0')])));
  const pipelined = Array.from({ length: PIPELINED }, () => get(rig.add([fileOf(opus, '0')])));
  sockets.push(ask(rig, pipelined.join('')));
  const unknown = Array.from({ length: UNKNOWN }, (_, number) => get({ recordingId: `unknown-${String(number)}` }));
  for (const request of unknown) sockets.push(ask(rig, request));
  await delay(3000);
  return sockets;
}

function get(recording: { readonly recordingId: string; readonly conversationId?: string }): string {
  const of = recording.conversationId === undefined ? '' : `&conversationId=${recording.conversationId}`;
  return `GET /transcode?id=${recording.recordingId}${of} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
}

function dial({ service }: Rig): Socket {
  const socket = connect({ port: Number(new URL(service.url).port), host: '127.0.0.1' });
  return socket.on('error', () => undefined).pause();
}

function ask(rig: Rig, requests: string): Socket {
  const socket = dial(rig);
  socket.write(requests);
  return socket;
}

function listener(rig: Rig, recording: { readonly recordingId: string; readonly conversationId: string }): Socket {
  return ask(rig, get(recording));
}

/** Takes a little every two seconds. */
function slow(socket: Socket): Socket {
  const timer = setInterval(() => void socket.read(1024), 2000);
  return socket.once('close', () => clearInterval(timer));
}
