/** A process of its own: turns a service's address into the latency of its webhooks and of /healthz, until its input ends. */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { constants, setPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

/** Requests of each kind per second. */
const RATE = 40;

const [, , url = '', token = ''] = process.argv;
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const latenciesMs: Record<'webhook' | 'healthz' | 'timer', number[]> = { webhook: [], healthz: [], timer: [] };
const ending = new AbortController();
process.stdin.on('end', () => ending.abort()).resume();

/** A caller has a machine of its own: where it is allowed to, this process does not queue behind the encoders. */
function beAlone(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST);
  } catch {
    // Only root may; the table says how late the timers were.
  }
}

/** A request counts from the moment it was sent; `timer` is how late this process itself woke up for it. */
async function probe(): Promise<void> {
  const startedMs = performance.now();
  const running: Promise<void>[] = [];
  for (let count = 0; !ending.signal.aborted; count += 1) {
    const dueMs = startedMs + (count * 1000) / RATE;
    await delay(Math.max(0, dueMs - performance.now()));
    latenciesMs.timer.push(Math.max(0, performance.now() - dueMs));
    running.push(timed('webhook', webhook), timed('healthz', healthz));
  }
  await Promise.all(running);
  process.stdout.write(JSON.stringify(latenciesMs));
}

async function timed(kind: 'webhook' | 'healthz', ask: () => Promise<number>): Promise<void> {
  const sentMs = performance.now();
  const status = await ask();
  if (status !== (kind === 'webhook' ? 202 : 200)) throw new Error(`${kind} answered ${String(status)}`);
  latenciesMs[kind].push(performance.now() - sentMs);
}

/** Each event is of a recording of its own, so that each has to be written. */
function webhook(): Promise<number> {
  const body = JSON.stringify({ recordingId: randomUUID(), conversationId: randomUUID() });
  return answered('POST', '/webhooks/genesys', body);
}

function healthz(): Promise<number> {
  return answered('GET', '/healthz', undefined);
}

function answered(method: string, path: string, body: string | undefined): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const sent = request(`${url}${path}`, { agent, method, headers }, (response) => {
    response.on('end', () => resolve(response.statusCode ?? 0)).resume();
  });
  sent.on('error', reject).end(body);
  return promise;
}

beAlone();
await probe();
agent.destroy();
