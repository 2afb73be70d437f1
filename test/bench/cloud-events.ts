/** Signed events, sent over many connections at once, → rows: what the receiver publishes durably, and what the emulator itself could take. */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duration, type Message } from '@google-cloud/pubsub';
import { openPubsubQueue } from '../../src/queue/pubsub/pubsub.ts';
import { parseMessage } from '../../src/queue/queue.ts';
import { type Emulator, PROJECT, startEmulator } from '../support/pubsub/emulator.ts';
import { standardWebhook } from '../support/service/senders.ts';
import { startService, until } from '../support/service/service.ts';
import { emulatorCpuSeconds, hasEmulator } from './cloud-fleet.ts';
import { quantile, ratio, type Bench, type Row } from './row.ts';
import { cpuSecondsOf } from './usage.ts';

const CONNECTIONS = 64;
/** As many as it takes for the emulator, and not the wait for its answers, to be the limit. */
const MANY = 1024;
const GIVE_UP_MS = 120_000;
const SECRET = `whsec_${randomBytes(24).toString('base64')}`;
const SIGNED = standardWebhook(SECRET);

interface Ids {
  readonly recordingId: string;
  readonly conversationId: string;
}

/** Resolves once the event is durable. */
type Send = (ids: Ids) => Promise<void>;

/** CPU of each process in seconds per event. */
interface Measured {
  readonly perSecond: number;
  readonly latenciesMs: readonly number[];
  readonly receiverS: number;
  readonly emulatorS: number;
  readonly sendersS: number;
}

export async function cloudEventsRow(bench: Bench): Promise<readonly Row[]> {
  if (!hasEmulator(bench, 'cloud-events')) return [];
  const count = bench.quick ? 2000 : 20_000;
  await using opened = new AsyncDisposableStack();
  const emulator = opened.adopt(await startEmulator(), (running) => running.close());
  for (const name of ['events', 'straight']) await (await emulator.admin.createTopic(name))[0].createSubscription(name);
  const queue = opened.adopt(openPubsubQueue({ project: PROJECT, topic: 'straight' }), (open) => open.close());
  const receiver = opened.use(await startService('receiver', environmentOf(emulator)));
  const accepted = new Set<string>();
  const senders: Send[] = [];
  for (let index = 0; index < CONNECTIONS; index += 1) {
    const connection = opened.use(await Connection.open(receiver.url));
    senders.push((ids) => connection.send(ids).then(() => void accepted.add(ids.recordingId)));
  }
  const never = new AbortController().signal;
  const straight: Send = (ids) => queue.publish([{ kind: 'recording', ...ids }], never);
  const run = (send: readonly Send[], events = count): Promise<Measured> => measure(send, events, receiver.pid);
  // Neither Java nor Node is at its speed from the start.
  for (const load of [senders.map(() => straight), senders]) await run(load, Math.min(count, 5000));
  const measured = {
    straight: await run(senders.map(() => straight)),
    most: await run(Array.from({ length: MANY }, () => straight)),
    receiver: await run(senders),
  };
  for (const [name, each] of Object.entries(measured)) bench.say(`cloud-events: ${name}: ${told(each)}`);
  return rowsOf(measured, { count, missing: await missingOf(accepted, emulator) });
}

function environmentOf(emulator: Emulator): Record<string, string> {
  return {
    QUEUE_URL: `pubsub://${PROJECT}/events`,
    PUBSUB_EMULATOR_HOST: emulator.host,
    METADATA_SERVER_DETECTION: 'none',
    WEBHOOK_SECRETS: SECRET,
  };
}

function rowsOf(
  { straight, most, receiver }: Record<'straight' | 'most' | 'receiver', Measured>,
  { count, missing }: { readonly count: number; readonly missing: number },
): readonly Row[] {
  return [
    {
      work: `${String(count)} signed events over ${String(CONNECTIONS)} connections → receiver → Pub/Sub emulator, 202 after the server's id (reference: the library alone, as many at once; ${String(MANY)} at once: ${most.perSecond.toFixed(0)}/s): accepted per second, p50, p99`,
      reference: figures(straight),
      ours: figures(receiver),
      ratio: ratio(receiver.perSecond, straight.perSecond),
      target: 'each on the subscription',
      met: missing === 0,
    },
    {
      work: `… CPU per event: receiver (emulator ${micros(straight.emulatorS)} → ${micros(receiver.emulatorS)}, senders ${micros(receiver.sendersS)}; reference: the library alone)`,
      reference: micros(straight.sendersS),
      ours: micros(receiver.receiverS),
      ratio: ratio(receiver.receiverS, straight.sendersS),
      target: 'stated',
      met: true,
    },
  ];
}

/** Each sender has one event under way at most. */
async function measure(senders: readonly Send[], count: number, receiverPid: number): Promise<Measured> {
  const latenciesMs: number[] = [];
  const left = Array.from({ length: count }, () => ({
    recordingId: randomUUID(),
    conversationId: randomUUID(),
  })).values();
  const clocks = (): readonly number[] => [cpuSecondsOf(receiverPid), emulatorCpuSeconds(), cpuSecondsOf(process.pid)];
  const [before, startedMs] = [clocks(), performance.now()];
  await Promise.all(
    senders.map(async (send) => {
      for (const ids of left) {
        const sentMs = performance.now();
        await send(ids);
        latenciesMs.push(performance.now() - sentMs);
      }
    }),
  );
  const perSecond = count / ((performance.now() - startedMs) / 1000);
  const [receiverS = NaN, emulatorS = NaN, sendersS = NaN] = clocks().map(
    (s, index) => (s - (before[index] ?? NaN)) / count,
  );
  return { perSecond, latenciesMs, receiverS, emulatorS, sendersS };
}

/** How many events were accepted and cannot be pulled. */
async function missingOf(accepted: ReadonlySet<string>, { admin }: Emulator): Promise<number> {
  const missing = new Set(accepted);
  const subscription = admin.subscription('events', {
    flowControl: { maxMessages: 1000 },
    closeOptions: { timeout: Duration.from({ seconds: 1 }) },
  });
  subscription.on('message', (message: Message) => {
    const event = parseMessage(message.data.toString('utf8'));
    if (event.kind === 'recording') missing.delete(event.recordingId);
    message.ack();
  });
  try {
    await until(() => (missing.size === 0 ? true : undefined), AbortSignal.timeout(GIVE_UP_MS)).catch(() => undefined);
  } finally {
    await subscription.close();
  }
  return missing.size;
}

/** One keep-alive connection with one request under way at most. */
class Connection implements Disposable {
  readonly #socket: Socket;
  #text = '';
  #answered = Promise.withResolvers<string>();

  static async open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new Connection(socket);
  }

  constructor(socket: Socket) {
    this.#socket = socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.#read(chunk));
    socket.on('error', (error) => this.#answered.reject(error));
    socket.on('close', () => this.#answered.reject(new Error('The receiver closed the connection.')));
    this.#answered.promise.catch(() => undefined);
  }

  /** @throws Error with the answer where it is no 202 */
  async send(ids: Ids): Promise<void> {
    const body = JSON.stringify(ids);
    const headers = {
      Host: 'bench',
      'Content-Type': 'application/json',
      'Content-Length': body.length,
      ...SIGNED(body),
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
    this.#answered = Promise.withResolvers<string>();
    this.#socket.write(`POST /webhooks/genesys HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
    const answer = await this.#answered.promise;
    if (!answer.startsWith('HTTP/1.1 202 ')) throw new Error(`The receiver answered: ${answer}`);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  /** Answers are small JSON objects. */
  #read(chunk: string): void {
    this.#text += chunk;
    if (!this.#text.includes('\r\n\r\n') || !this.#text.endsWith('}')) return;
    this.#answered.resolve(this.#text);
    this.#text = '';
  }
}

function told(each: Measured): string {
  return `${figures(each)}; CPU per event: receiver ${micros(each.receiverS)}, emulator ${micros(each.emulatorS)}, senders ${micros(each.sendersS)}`;
}

function figures({ perSecond, latenciesMs }: Measured): string {
  const [p50, p99] = [0.5, 0.99].map((p) => `${quantile(latenciesMs, p).toFixed(1)} ms`);
  return `${perSecond.toFixed(0)}/s, ${p50 ?? ''}, ${p99 ?? ''}`;
}

const micros = (s: number): string => `${(s * 1e6).toFixed(0)} µs`;
