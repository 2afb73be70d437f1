/** The figures of the service, in Prometheus' text format (the one place that imports prom-client). */
import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';

export interface Metrics {
  /** Events accepted by the receiver, by kind. */
  accepted(kind: 'recording' | 'conversation', count: number): void;
  /** Events not meant for us. */
  ignored(count: number): void;
  refused(code: string): void;
  archived(way: string): void;
  /** Recorded under failures/, by FailureCode. */
  failed(code: string): void;
  /** Given back to the queue for later, by FailureCode. */
  postponed(code: string, outcome: 'again' | 'wait' | 'long' | 'back'): void;
  /** Read at scrape time: what waits in this process, by reason. */
  waiting(read: () => readonly WaitingFigure[]): void;
  /** A message was delivered 50 times within an hour without progress. */
  stuck(): void;
  /** What went wrong at the queue without a recording to hold it against, by FailureCode. */
  troubled(code: string): void;
  listened(from: 'archive' | 'live', result: 'complete' | 'failed' | 'left'): void;
  seconds(stage: 'lookup' | 'convert' | 'store' | 'total', seconds: number): void;
  bytes(direction: 'in' | 'out', count: number): void;
  /** Read at scrape time. */
  gauge(name: GaugeName, read: () => number | Promise<number>): void;
  text(): Promise<string>;
  readonly contentType: string;
}

export type GaugeName =
  | 'encoders_running'
  | 'encoders_waiting'
  | 'listeners'
  | 'webm_held_bytes'
  | 'spooled_bytes'
  | 'queue_ready'
  | 'queue_waiting'
  | 'queue_running'
  | 'queue_dead'
  | 'archive_findings'
  | 'days_incomplete'
  | 'genesys_calls_left';

export interface WaitingFigure {
  /** A FailureCode. */
  readonly code: string;
  /** Whose the reason is (failure.ts). */
  readonly sort: string;
  readonly count: number;
  /** When the event of the oldest was accepted; wall clock, ms. */
  readonly oldestSinceMs: number;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: T[]): Counter<T> =>
    new Counter({ name: `archiver_${name}`, help, labelNames, registers });
  const accepted = counter('events_accepted_total', 'Events accepted: durable on the queue', ['kind']);
  const ignored = counter('events_ignored_total', 'Events of kinds this service does not archive', []);
  const refused = counter('events_refused_total', 'Webhook requests refused, by reason', ['code']);
  const archived = counter('recordings_archived_total', 'Recordings archived, by way of making the WebM', ['way']);
  const failed = counter('recordings_failed_total', 'Recordings recorded under failures/, by reason', ['code']);
  const postponed = counter('recordings_postponed_total', 'Deliveries given back to the queue, by reason', [
    'code',
    'outcome',
  ]);
  const troubled = counter(
    'queue_troubles_total',
    'Troubles at the queue, by reason; bad-request is a message nobody can read, counted at each delivery',
    ['code'],
  );
  const stuck = counter('messages_stuck_total', 'Messages delivered 50 times within an hour without progress', []);
  const listened = counter('listens_total', 'Answers of /transcode, by where they came from and how they ended', [
    'from',
    'result',
  ]);
  const bytes = counter('bytes_total', 'Media bytes downloaded and WebM bytes stored', ['direction']);
  const seconds = new Histogram({
    name: 'archiver_stage_seconds',
    help: 'Seconds per recording, by stage',
    labelNames: ['stage'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900],
    registers,
  });
  return {
    accepted: (kind, count) => accepted.inc({ kind }, count),
    ignored: (count) => ignored.inc(count),
    refused: (code) => refused.inc({ code }),
    archived: (way) => archived.inc({ way }),
    failed: (code) => failed.inc({ code }),
    postponed: (code, outcome) => postponed.inc({ code, outcome }),
    waiting: (read) => measureWaiting(read, registers),
    stuck: () => stuck.inc(),
    troubled: (code) => troubled.inc({ code }),
    listened: (from, result) => listened.inc({ from, result }),
    seconds: (stage, value) => seconds.observe({ stage }, value),
    bytes: (direction, count) => bytes.inc({ direction }, count),
    gauge: (name, read) => {
      const gauge = new Gauge({
        name: `archiver_${name}`,
        help: `Now: ${name.replaceAll('_', ' ')}`,
        registers,
        async collect() {
          gauge.set(await read());
        },
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** By reason: how many, and how long the oldest has waited. A reason that nothing waits for any more is gone. */
function measureWaiting(read: () => readonly WaitingFigure[], registers: Registry[]): void {
  const labelNames = ['code', 'sort'];
  const count = new Gauge({
    name: 'archiver_waiting',
    help: 'Now: recordings and conversations that wait after a failure, in this process, by reason and by whose it is',
    labelNames,
    registers,
    collect() {
      count.reset();
      for (const { code, sort, count: number } of read()) count.set({ code, sort }, number);
    },
  });
  const oldest = new Gauge({
    name: 'archiver_waiting_oldest_seconds',
    help: 'Now: how long ago the event of the oldest of them was accepted',
    labelNames,
    registers,
    collect() {
      oldest.reset();
      for (const { code, sort, oldestSinceMs } of read()) oldest.set({ code, sort }, secondsAgo(oldestSinceMs));
    },
  });
}

function secondsAgo(ms: number): number {
  return Math.max(0, Math.round((Date.now() - ms) / 1000));
}
