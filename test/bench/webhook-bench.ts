/** Measures how many signed single-event webhooks per second one process accepts durably, and how long each takes. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { createApp } from '../../src/http/app.ts';
import { Readiness } from '../../src/http/health.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { openSqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { NODE_FLAGS } from '../support/service/service.ts';
import { keysOf } from '../support/keys.ts';

const SECRET = 'bench-secret-0123456789abcdef';
const CONNECTIONS = 64;
const TARGET_RATE = 5000;

/** The receiver as it is deployed: real queue, real log level, every check. */
async function serve(path: string): Promise<void> {
  const queue = openSqliteQueue({ path });
  const metrics = createMetrics();
  const app = createApp({
    log: createLog({ level: 'info', secrets: [SECRET] }),
    metrics,
    readiness: new Readiness([]),
    webhook: { auth: { required: true, secrets: keysOf(SECRET), tokens: [] }, queue },
  });
  const listener = await listen(app, { host: '127.0.0.1', port: 0 });
  process.stdout.write(`${JSON.stringify({ port: listener.port })}\n`);
  for await (const _ of createInterface(process.stdin)) {
    const { user, system } = process.cpuUsage();
    process.stdout.write(
      `${JSON.stringify({ cpuS: (user + system) / 1e6, rssMb: Math.round(process.memoryUsage.rss() / 1e6) })}\n`,
    );
  }
  await listener.close(1000);
  await queue.close();
}

async function bench(seconds: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'webhook-bench-'));
  const server = startServer(join(folder, 'queue.db'));
  try {
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const read = async (): Promise<Record<string, number>> => JSON.parse(String((await lines.next()).value));
    const ask = async (): Promise<Record<string, number>> => {
      server.stdin.write('\n');
      return read();
    };
    const port = (await read())['port'] ?? 0;
    const senders = await Promise.all(Array.from({ length: CONNECTIONS }, () => Sender.connect(port)));
    await flatOut(senders, 3000);
    for (const [name, run] of [
      [`flat out, ${String(CONNECTIONS)} connections`, () => flatOut(senders, seconds * 1000)],
      [`${String(TARGET_RATE)}/s offered`, () => paced(senders, TARGET_RATE, seconds * 1000)],
    ] as const) {
      const before = await ask();
      const started = performance.now();
      const latencies = await run();
      const elapsedS = (performance.now() - started) / 1000;
      const after = await ask();
      report(name, latencies, {
        elapsedS,
        cpuS: (after['cpuS'] ?? 0) - (before['cpuS'] ?? 0),
        rssMb: after['rssMb'] ?? 0,
      });
    }
    for (const sender of senders) sender.close();
    server.stdin.end();
    await once(server, 'exit');
  } finally {
    server.kill('SIGKILL');
    await rm(folder, { recursive: true });
  }
}

/** On a core of its own where the system can do that. */
function startServer(path: string): ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream } {
  const command = [process.execPath, ...NODE_FLAGS, import.meta.filename, 'server', path];
  const pinned = spawnSync('taskset', ['-c', '0', 'true']).status === 0 ? ['taskset', '-c', '0', ...command] : command;
  const [program = '', ...args] = pinned;
  return spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** One keep-alive connection with one request under way at most, signed anew each time. */
class Sender {
  readonly #socket: Socket;
  #answered: ((status: string) => void) | undefined;

  static async connect(port: number): Promise<Sender> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Sender(socket);
  }

  constructor(socket: Socket) {
    this.#socket = socket;
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      if (!text.includes('\r\n\r\n') || !text.endsWith('}')) return;
      const status = text.slice(9, 12);
      text = '';
      this.#answered?.(status);
    });
  }

  async send(): Promise<void> {
    const body = JSON.stringify({ recordingId: randomUUID(), conversationId: randomUUID() });
    const id = `msg_${randomUUID()}`;
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signature = createHmac('sha256', SECRET).update(`${id}.${timestamp}.${body}`).digest('base64');
    this.#socket.write(
      `POST /webhooks/genesys HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n` +
        `webhook-id: ${id}\r\nwebhook-timestamp: ${timestamp}\r\nwebhook-signature: v1,${signature}\r\n\r\n${body}`,
    );
    const status = await new Promise<string>((resolve) => (this.#answered = resolve));
    if (status !== '202') throw new Error(`expected 202, got ${status}`);
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function flatOut(senders: readonly Sender[], forMs: number): Promise<number[]> {
  const latencies: number[] = [];
  const end = performance.now() + forMs;
  await Promise.all(
    senders.map(async (sender) => {
      for (let started = performance.now(); started < end; started = performance.now()) {
        await sender.send();
        latencies.push(performance.now() - started);
      }
    }),
  );
  return latencies;
}

/** Latency counts from the moment a request was due, whether or not a connection was free then. */
async function paced(senders: readonly Sender[], perSecond: number, forMs: number): Promise<number[]> {
  const latencies: number[] = [];
  const started = performance.now();
  let taken = 0;
  const next = (): number | undefined => {
    const due = (taken * 1000) / perSecond;
    if (due >= forMs) return undefined;
    taken += 1;
    return started + due;
  };
  await Promise.all(
    senders.map(async (sender) => {
      for (let due = next(); due !== undefined; due = next()) {
        const early = due - performance.now();
        if (early > 0) await delay(early);
        await sender.send();
        latencies.push(performance.now() - due);
      }
    }),
  );
  return latencies;
}

function report(name: string, latencies: number[], usage: { elapsedS: number; cpuS: number; rssMb: number }): void {
  const sorted = latencies.toSorted((a, b) => a - b);
  const quantile = (q: number): string =>
    `${(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN).toFixed(2)} ms`;
  const { elapsedS, cpuS, rssMb } = usage;
  process.stdout.write(
    `${name}: ${(sorted.length / elapsedS).toFixed(0)} events/s accepted, p50 ${quantile(0.5)}, p99 ${quantile(0.99)}, max ${quantile(1)}; ` +
      `server ${((100 * cpuS) / elapsedS).toFixed(0)} % of a core, ${((1e6 * cpuS) / sorted.length).toFixed(0)} µs each, ${String(rssMb)} MB\n`,
  );
}

if (process.argv[2] === 'server') await serve(process.argv[3] ?? '');
else await bench(Number(process.argv[2] ?? 5));
