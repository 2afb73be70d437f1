/** What stands around the HTTP side in its tests: a queue and an archive of plain lists and maps, and a client that speaks raw bytes. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import type { Archive, ByteRange, Entry, ListQuery, LinkTerms, VerifiedLink } from '../../src/archive/archive.ts';
import { recordingOf, type FailureRecord, type Manifest, type WaitingRecord } from '../../src/archive/manifest.ts';
import type { Subject } from '../../src/archive/names.ts';
import type { Audit, AuditEntry } from '../../src/audit/audit.ts';
import { Failure } from '../../src/failure.ts';
import { createApp, type AppNeeds } from '../../src/http/app.ts';
import { Readiness } from '../../src/http/health.ts';
import { listen, type ListenOptions } from '../../src/http/server.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import type { Message, Queue } from '../../src/queue/queue.ts';
import { pathOf, type Recording } from '../../src/recording.ts';

export interface Started extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly metrics: Metrics;
  /** Every log line so far, as text. */
  readonly lines: readonly string[];
  close(deadlineMs: number): Promise<void>;
}

/** The real app on the real server, on a free port, with a real log at debug level. */
export async function start(parts: Partial<AppNeeds>, limits: ListenOptions['limits'] = {}): Promise<Started> {
  const lines: string[] = [];
  const stream = new PassThrough();
  stream.on('data', (chunk: Buffer) => lines.push(...chunk.toString().split('\n').filter(Boolean)));
  const log = createLog({ level: 'debug', secrets: [], stream });
  const metrics = createMetrics();
  const app = createApp({ log, metrics, readiness: new Readiness([]), audit: new ListAudit(), ...parts });
  const listener = await listen(app, { host: '127.0.0.1', port: 0, limits });
  return {
    url: listener.url,
    port: listener.port,
    metrics,
    lines,
    close: (deadlineMs) => listener.close(deadlineMs),
    [Symbol.asyncDispose]: () => listener.close(0),
  };
}

/** What was put on record, in its order. */
export class ListAudit implements Pick<Audit, 'record'> {
  readonly entries: AuditEntry[] = [];
  /** Awaited before anything is on record. */
  before: () => Promise<void> = async () => undefined;

  async record(entry: AuditEntry): Promise<void> {
    await this.before();
    this.entries.push(entry);
  }
}

/** A far end that takes everything, until it is told not to. */
export class ListQueue implements Pick<Queue, 'publish'> {
  readonly messages: Message[] = [];
  /** Awaited before anything is taken. */
  before: (signal: AbortSignal) => Promise<void> = async () => undefined;

  async publish(messages: readonly Message[], signal: AbortSignal): Promise<void> {
    await this.before(signal);
    this.messages.push(...messages);
  }

  /** Without their traceparents. */
  get ids(): object[] {
    return this.messages.map((message): object => ({ ...message, traceparent: undefined }));
  }
}

/** A far end that holds what it is given and signs links with the word "good". */
export class MapArchive implements Pick<
  Archive,
  'findUnerased' | 'failureOf' | 'waitingOf' | 'list' | 'link' | 'read'
> {
  readonly #stored = new Map<string, { readonly recording: Recording; readonly bytes: Buffer }>();
  readonly #failures = new Map<string, FailureRecord>();
  readonly #waiting = new Map<string, WaitingRecord>();
  readonly queries: ListQuery[] = [];
  reads = 0;

  put(recording: Recording, bytes: Buffer): Manifest {
    this.#stored.set(pathOf(recording), { recording, bytes });
    return manifestOf(recording, bytes);
  }

  fail(recording: Recording, reason: string): void {
    const { recordingId } = recording;
    const conversationId = recording.conversationId ?? null;
    const ids = { version: 1, recordingId, conversationId, attempts: 3, failedAt: '2026-08-05T00:00:00.000Z' } as const;
    this.#failures.set(pathOf(recording), { ...ids, status: 'failed', code: 'gone', reason, service: '0' });
  }

  async findUnerased(recording: Recording): Promise<Manifest | undefined> {
    const stored = this.#stored.get(pathOf(recording));
    return stored && manifestOf(stored.recording, stored.bytes);
  }

  wait(recording: Recording, reason: string): void {
    const ids = {
      version: 1,
      recordingId: recording.recordingId,
      conversationId: recording.conversationId ?? null,
    } as const;
    const times = { since: '2026-08-05T00:00:00.000Z', nextTry: '2026-08-05T00:20:00.000Z' };
    const why = { code: 'misconfigured', sort: 'operator', reason, attempts: 0, service: '0' };
    this.#waiting.set(pathOf(recording), { ...ids, ...times, ...why });
  }

  async waitingOf(subject: Subject): Promise<WaitingRecord | undefined> {
    return this.#waiting.get(`${subject.conversationId ?? '_'}/${subject.recordingId ?? '_'}`);
  }

  async failureOf(subject: Subject): Promise<FailureRecord | undefined> {
    return this.#failures.get(`${subject.conversationId ?? '_'}/${subject.recordingId ?? '_'}`);
  }

  async read(manifest: Manifest, range: ByteRange | undefined): Promise<Readable> {
    this.reads += 1;
    const bytes = this.#stored.get(pathOf(recordingOf(manifest)))?.bytes;
    if (bytes === undefined) throw new Failure('not-found', 'The archive does not hold this recording.');
    const part = range === undefined ? bytes : bytes.subarray(range.start, range.end + 1);
    return Readable.from([part], { objectMode: false });
  }

  async link(manifest: Manifest, { lifetimeS }: LinkTerms): Promise<{ url: string; expiresAt: string }> {
    return {
      url: `https://links.example/media/${pathOf(recordingOf(manifest))}?expires=${String(lifetimeS)}&signature=good`,
      expiresAt: '2026-08-05T00:15:00.000Z',
    };
  }

  async list(query: ListQuery): Promise<{ entries: Entry[]; cursor: string | undefined }> {
    this.queries.push(query);
    const entries = [...this.#stored.values()].map(({ recording, bytes }): Entry => {
      return { status: 'archived', recording, manifest: manifestOf(recording, bytes) };
    });
    return { entries, cursor: query.cursor === undefined ? 'next-page' : undefined };
  }

  verifyLink(path: string, query: URLSearchParams): VerifiedLink {
    if (query.get('signature') !== 'good') throw new Failure('forbidden', 'The link is not valid; ask for a new one.');
    const [, , conversationId = '', recordingId = ''] = path.split('/');
    const who = query.get('to');
    return {
      recording: { recordingId, conversationId: conversationId === '_' ? undefined : conversationId },
      givenTo: who === null ? undefined : { who, requestId: 'request-1' },
    };
  }
}

function manifestOf(recording: Recording, bytes: Buffer): Manifest {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    version: 1,
    recordingId: recording.recordingId,
    conversationId: recording.conversationId ?? null,
    api: 'recordings',
    medium: 'audio',
    recordedAt: null,
    sources: [],
    way: 'rewrap',
    why: 'a test',
    encoder: null,
    webm: {
      contentType: 'audio/webm',
      sizeBytes: bytes.length,
      sha256,
      crc32c: 'AAAAAA==',
      durationMs: 1000,
      channels: 2,
      codecs: ['A_OPUS'],
    },
    startedAt: '2026-08-05T00:00:00.000Z',
    finishedAt: '2026-08-05T00:00:01.000Z',
    attempt: 1,
    service: '0',
  };
}

/** A connection of one's own, and everything that came back over it so far. */
export interface Wire {
  readonly socket: Socket;
  text(): string;
  /** Resolves once what came back matches; rejects where the connection ends before. */
  until(pattern: RegExp): Promise<string>;
  /** Resolves once the server has ended or reset the connection. */
  ended(): Promise<string>;
}

export async function dial(port: number): Promise<Wire> {
  const socket = connect({ port, host: '127.0.0.1' });
  let received = '';
  let change = Promise.withResolvers<void>();
  const changed = (): void => {
    change.resolve();
    change = Promise.withResolvers();
  };
  // A reset is an end like any other here.
  socket.on('error', () => undefined);
  socket.on('close', changed);
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk;
    changed();
  });
  await once(socket, 'connect');
  return {
    socket,
    text: () => received,
    async until(pattern) {
      while (!pattern.test(received)) {
        if (socket.closed) throw new Error(`the connection ended before ${String(pattern)}: ${received}`);
        await change.promise;
      }
      return received;
    },
    async ended() {
      while (!socket.closed) await change.promise;
      return received;
    },
  };
}

/** Sends bytes on a connection of their own, and returns what came back until it ended. */
export async function exchange(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  const wire = await dial(port);
  for (const part of parts) wire.socket.write(part);
  return wire.ended();
}

export interface ErrorAnswer {
  readonly status: number;
  readonly code: unknown;
  readonly message: string;
  readonly headers: Headers;
}

/** The one shape of error; throws where an answer has another. */
export async function errorOf(response: Response): Promise<ErrorAnswer> {
  const body: unknown = await response.json();
  if (typeof body !== 'object' || body === null || !('error' in body)) throw new Error('no error in the body');
  const error = new Map<string, unknown>(Object.entries(body.error ?? {}));
  if ([...error.keys()].join() !== 'code,message,requestId') throw new Error(`an error of ${[...error.keys()].join()}`);
  if (error.get('requestId') !== response.headers.get('x-request-id')) throw new Error('the request ids differ');
  const message = String(error.get('message'));
  if (/\n| at .+:\d+/.test(message)) throw new Error(`a stack in ${message}`);
  return { status: response.status, code: error.get('code'), message, headers: response.headers };
}

/** Resolves once `holds` does; the caller's own time-out is the bound. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
