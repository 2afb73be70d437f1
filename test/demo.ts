/**
 * `npm run demo`: the main job on real recordings. A simulated Genesys Cloud (a real HTTP server), the real service as a process of
 * its own, signed events in, seekable WebM out. `-- --once` ends when everything is archived, non-zero if anything is not.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Manifest } from '../src/archive/manifest.ts';
import { openSqliteQueue } from '../src/queue/sqlite/sqlite.ts';
import { runArchiver } from './support/commands/run.ts';
import type { AnalyzedConversation } from './support/genesys/analytics.ts';
import { startGenesysServer, type GenesysServer, type SimulatedRecording } from './support/genesys/server.ts';
import { ALLOCATOR, COMPILED, NODE_FLAGS } from './support/service/service.ts';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FOLDER = join(ROOT, 'var', 'demo');
const GIVE_UP_MS = 150_000;

const CALL = '7d3c1c1e-0f6a-4a52-8a3e-3c8c2f5c1f01';
const RECORDINGS: readonly (SimulatedRecording & { readonly what: string })[] = [
  {
    what: 'call, one Opus file per channel',
    ...audio('dual-channel-call', ['dual-0.opus', 'dual-1.opus'], 'audio/ogg'),
    states: ['transcoding', 'transcoding-stub'],
    estimatedTranscodeTimeMs: 1_000,
  },
  { what: 'call, stereo Opus', ...audio('opus-call', ['stereo.opus'], 'audio/ogg') },
  { what: 'call, WAV', ...audio('wav-call', ['stereo-pcm.wav'], 'audio/wav') },
  { what: 'call, µ-law WAV', ...audio('ulaw-call', ['stereo-ulaw.wav'], 'audio/wav') },
  { what: 'call, MP3', ...audio('mp3-call', ['stereo.mp3'], 'audio/mpeg') },
  { what: 'screen, MP4', ...screen('screen-mp4', 'screen-faststart.mp4', 'video/mp4') },
  { what: 'screen, MP4, index last', ...screen('screen-mp4-index-last', 'screen-moov-last.mp4', 'video/mp4') },
  { what: 'screen, WebM VP8', ...screen('screen-webm', 'screen-vp8-silent.webm', 'video/webm') },
];
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const TODAY = dayOf(Date.now());
/** The first call of all but the lost one: around midnight it was on the day before. */
const FIRST_MS = Date.now() - 25 * 60_000;
/** A day that is over, and on which there was no other call: their events are lost on purpose, and only looking finds them. */
const LOST_DAY = dayOf(FIRST_MS - 24 * 3_600_000);
const LOST_CALL = '2b0a9c44-77f1-4b0e-9d3f-5e1a6c0d2e02';
const LOST: readonly SimulatedRecording[] = [
  { ...audio('lost-call', ['stereo.opus'], 'audio/ogg'), conversationId: LOST_CALL },
  { ...screen('lost-screen', 'screen-vp8-silent.webm', 'video/webm'), conversationId: LOST_CALL },
].map((recording) => ({ ...recording, startTime: `${LOST_DAY}T10:00:00.000Z` }));
/** Deleted at its source before its event came: it is given up with its reason, and shown. */
const GONE_CALL = '91d0c2b7-4f5e-4c1a-9d65-0c3e7b8a3d03';
const GONE: SimulatedRecording = {
  ...audio('deleted-call', ['stereo.opus'], 'audio/ogg'),
  conversationId: GONE_CALL,
  fileState: 'DELETED',
};
/** Still on its way from a phone at home: its event came twenty minutes ago, and it waits, with its reason. */
const LATE_CALL = '4ae7f0c9-1b8d-4f3e-8c52-6d9a2b7f4e04';
const LATE: SimulatedRecording = {
  ...audio('late-call', ['stereo.opus'], 'audio/ogg'),
  conversationId: LATE_CALL,
  fileState: 'UPLOADING',
};
const LATE_MS = 20 * 60_000;
/** Known to the Media API only, never archived by an event: for /transcode. */
const LIVE: SimulatedRecording = {
  recordingId: 'live-only',
  files: [{ channel: 'media', path: fixture('stereo-pcm.wav'), contentType: 'audio/wav' }],
};

/** Who spoke with whom, as analytics tells it. */
const CONVERSATIONS = [
  talk(LOST_CALL, {
    start: `${LOST_DAY}T10:00:00.000Z`,
    agent: 'Amara Okafor',
    queue: 'Sales',
    number: '+44 20 7946 0018',
  }),
  talk(CALL, {
    start: new Date(Date.now() - 600_000).toISOString(),
    agent: 'Ruth Weber',
    queue: 'Claims',
    number: '+49 30 901820',
  }),
  talk(GONE_CALL, {
    start: new Date(Date.now() - 900_000).toISOString(),
    agent: 'Ruth Weber',
    queue: 'Claims',
    number: '+49 30 901774',
  }),
  talk(LATE_CALL, {
    start: new Date(FIRST_MS).toISOString(),
    agent: 'Amara Okafor',
    queue: 'Sales',
    number: '+44 20 7946 0107',
  }),
];

const onlyOnce = process.argv.includes('--once');
process.exitCode = await demo();

async function demo(): Promise<number> {
  const started = performance.now();
  await rm(FOLDER, { recursive: true, force: true });
  const genesys = await startGenesysServer({ mediaUrlLifetimeS: 120 });
  for (const recording of [...RECORDINGS, ...LOST, GONE, LATE, LIVE]) genesys.addRecording(recording);
  for (const conversation of CONVERSATIONS) genesys.analyze(conversation);
  genesys.fault('recording:opus-call', 'return-429;retry-after:2');
  say(`A simulated Genesys Cloud answers at ${genesys.apiUrl}.`);
  await acceptEarlier();
  const service = await startService(genesys);
  try {
    say(
      `The service answers at ${service.url}; sending the events of ${String(RECORDINGS.length)} recordings, signed; those of ${String(LOST.length)} more are lost on purpose.\n`,
    );
    await sendEvents(service);
    const failed = await untilSettled(service);
    await report(service, performance.now() - started);
    const isWhole = await findLost(genesys);
    await lookAtOthers(genesys);
    say(`\nFind and hear all of it, see what did not arrive and why, and who has listened:\n  ${service.url}/console/`);
    if (onlyOnce || failed || !isWhole) return failed || !isWhole ? 1 : 0;
    say('\nCtrl-C ends it.');
    await Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
    return 0;
  } finally {
    service.process.kill('SIGTERM');
    await service.ended;
    await genesys.close();
  }
}

function archiveOf(): Readonly<Record<string, string>> {
  return { ARCHIVE_URL: `file:${join(FOLDER, 'archive')}` };
}

interface Service {
  readonly url: string;
  readonly secret: string;
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  /** What the service logs, one entry per line. */
  readonly log: AsyncIterable<string>;
}

async function startService(genesys: GenesysServer): Promise<Service> {
  const port = await freePort();
  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  const child = spawn(process.execPath, [...NODE_FLAGS, join(ROOT, 'src', 'cli.ts'), 'serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      ...ALLOCATOR,
      ...COMPILED,
      ...genesys.environment(),
      PORT: String(port),
      QUEUE_URL: `sqlite:${join(FOLDER, 'queue.db')}`,
      ...archiveOf(),
      WEBHOOK_SECRETS: secret,
      API_AUTH: 'none',
    },
  });
  const log = createInterface({ input: child.stdout });
  const ended = once(child, 'exit');
  const url = `http://127.0.0.1:${String(port)}`;
  const lines = log[Symbol.asyncIterator]();
  for (;;) {
    const line = await lines.next();
    if (line.done === true) throw new Error('The service did not start; what it said is above.');
    const entry = parse(line.value);
    if (entry['severity'] === 'ERROR') say(line.value);
    if (entry['message'] === 'Service started.') break;
  }
  return { url, secret, process: child, ended, log: { [Symbol.asyncIterator]: () => lines } };
}

/** What a queue that was kept over a restart would hold: the event of a recording that Genesys has not got yet. */
async function acceptEarlier(): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const queue = openSqliteQueue({ path: join(FOLDER, 'queue.db'), now: () => Date.now() - LATE_MS });
  const { recordingId, conversationId } = LATE;
  await queue.publish([{ kind: 'recording', recordingId, conversationId }], AbortSignal.timeout(GIVE_UP_MS));
  await queue.close();
}

/** One event for the call as a whole, as an EventBridge rule would send it; one for each of the others. */
async function sendEvents(service: Service): Promise<void> {
  const ended = {
    'detail-type': 'v2.detail.events.conversation.{id}.customer.end',
    source: 'aws.partner/genesys.com/cloud/32aa07aa-db1b-4987-abd0-9483601ec29d/demo',
    detail: {
      topicName: `v2.detail.events.conversation.${CALL}.customer.end`,
      eventBody: { conversationId: CALL, mediaType: 'VOICE' },
    },
  };
  const screens = RECORDINGS.filter(({ media }) => media === 'screen').map(({ recordingId, conversationId }) => ({
    recordingId,
    conversationId,
  }));
  const gone = { recordingId: GONE.recordingId, conversationId: GONE.conversationId };
  for (const event of [ended, screens, gone]) {
    const body = JSON.stringify(event);
    const response = await fetch(`${service.url}/webhooks/genesys`, {
      method: 'POST',
      body,
      headers: sign(body, service.secret),
    });
    if (response.status !== 202)
      throw new Error(`The receiver answered ${String(response.status)}: ${await response.text()}`);
  }
}

/** https://github.com/standard-webhooks/standard-webhooks */
function sign(body: string, secret: string): Record<string, string> {
  const id = `msg_${randomUUID()}`;
  const timestamp = String(Math.floor(Date.now() / 1000));
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signature}`,
  };
}

/** Shows what the service logs until every recording is archived, given up or known to wait; true when any was given up that should not be. */
async function untilSettled(service: Service): Promise<boolean> {
  const open = new Set([...RECORDINGS, GONE, LATE].map(({ recordingId }) => recordingId));
  let failed = false;
  const late = setTimeout(() => service.process.kill('SIGTERM'), GIVE_UP_MS);
  for await (const line of service.log) {
    const entry = parse(line);
    const id = typeof entry['recordingId'] === 'string' ? entry['recordingId'] : '';
    if (entry['message'] === 'Recording was archived.') {
      open.delete(id);
      say(`  archived   ${id.padEnd(24)} ${String(entry['way']).padEnd(13)} ${String(entry['seconds'])} s`);
    } else if (entry['outcome'] === 'dead') {
      open.delete(id);
      failed ||= id !== GONE.recordingId;
      say(`  given up   ${id.padEnd(24)} ${String(entry['reason'])}`);
    } else if (typeof entry['code'] === 'string') {
      // It waits for longer than anybody watches.
      if (id === LATE.recordingId) open.delete(id);
      say(`  postponed  ${id.padEnd(24)} ${entry['code']}: again in ${(Number(entry['afterMs']) / 1000).toFixed(1)} s`);
    }
    if (open.size === 0) break;
  }
  clearTimeout(late);
  if (open.size > 0) say(`  not archived in time: ${[...open].join(', ')}`);
  // From here on nobody reads the log: let it flow.
  service.process.stdout?.resume();
  return failed || open.size > 0;
}

/** What no event told of is found by looking, fetched, and proven; true when the day is complete at the end. */
async function findLost(genesys: GenesysServer): Promise<boolean> {
  say('\nTwo events never came. Looking finds what they would have told of, and fetches it:');
  let code: number | null = null;
  for (const command of ['reconcile', 'backfill']) {
    const args = [command, '--from', LOST_DAY, '--to', LOST_DAY];
    const printed = await runArchiver([...args, '--quiet'], { ...genesys.environment(), ...archiveOf() });
    say(`\n  $ archiver ${args.join(' ')}\n${printed.stdout.trimEnd().replaceAll(/^(?=.)/gm, '  ')}`);
    if (printed.stderr !== '') say(printed.stderr);
    ({ code } = printed);
  }
  return code === 0;
}

/** What is known of the other calls, whose day is not over: half an hour after them it would be kept by itself. */
async function lookAtOthers(genesys: GenesysServer): Promise<void> {
  const args = ['reconcile', '--from', dayOf(FIRST_MS), '--to', TODAY, '--quiet'];
  await runArchiver(args, { ...genesys.environment(), ...archiveOf() });
}

async function report(service: Service, ms: number): Promise<void> {
  const page = (await (await fetch(`${service.url}/recordings?limit=100`)).json()) as {
    readonly recordings: readonly { readonly manifest?: Manifest }[];
  };
  say(`\nWhat lies in the archive (${join('var', 'demo', 'archive')}), ${(ms / 1000).toFixed(1)} s after the start:\n`);
  say(
    `  ${'recording'.padEnd(24)}${'from'.padEnd(34)}${'duration'.padStart(9)}${'size'.padStart(11)}  ${'way'.padEnd(13)}${'seconds'.padStart(8)}`,
  );
  for (const { manifest } of page.recordings) {
    if (manifest === undefined) continue;
    const what = RECORDINGS.find(({ recordingId }) => recordingId === manifest.recordingId)?.what ?? '';
    const seconds = (Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)) / 1000;
    const size = `${(manifest.webm.sizeBytes / 1000).toFixed(0)} kB`;
    say(
      `  ${manifest.recordingId.padEnd(24)}${what.padEnd(34)}${`${(manifest.webm.durationMs / 1000).toFixed(2)} s`.padStart(9)}${size.padStart(11)}  ${manifest.way.padEnd(13)}${seconds.toFixed(2).padStart(8)}`,
    );
  }
  const first = `${service.url}/recordings/${CALL}/dual-channel-call/link`;
  const link = (await (await fetch(first)).json()) as { readonly url: string };
  say(`\nListen to the call (a signed link, good for 15 minutes):\n  ${link.url}`);
  say(
    `\nPlay one that was never archived, made while it plays:\n  curl "${service.url}/transcode?id=${LIVE.recordingId}" --output sample.webm`,
  );
}

function audio(recordingId: string, files: readonly string[], contentType: string): SimulatedRecording {
  return {
    recordingId,
    conversationId: CALL,
    media: 'audio',
    startTime: new Date(Date.now() - 600_000).toISOString(),
    files: files.map((name, index) => ({ channel: String(index), path: fixture(name), contentType })),
  };
}

interface Talk {
  readonly start: string;
  readonly agent: string;
  readonly queue: string;
  readonly number: string;
}

/** https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail (AnalyticsConversation) */
function talk(conversationId: string, { start, agent, queue, number }: Talk): AnalyzedConversation {
  const end = new Date(Date.parse(start) + 300_000).toISOString();
  const session = { mediaType: 'voice', direction: 'inbound', ani: `tel:${number.replaceAll(' ', '')}` };
  const raw = {
    conversationId,
    conversationStart: start,
    conversationEnd: end,
    originatingDirection: 'inbound',
    divisionIds: ['home'],
    participants: [
      {
        participantId: `${conversationId}-customer`,
        purpose: 'customer',
        sessions: [{ ...session, recording: false }],
      },
      {
        participantId: `${conversationId}-acd`,
        purpose: 'acd',
        participantName: queue,
        sessions: [{ ...session, segments: [{ queueId: `queue-${queue}` }] }],
      },
      {
        participantId: `${conversationId}-agent`,
        purpose: 'agent',
        participantName: agent,
        screenRecording: true,
        sessions: [{ ...session, recording: true }],
      },
    ],
  };
  return { conversationId, start, end, raw };
}

function screen(recordingId: string, name: string, contentType: string): SimulatedRecording {
  return {
    recordingId,
    conversationId: CALL,
    media: 'screen',
    startTime: new Date(Date.now() - 600_000).toISOString(),
    files: [{ channel: 'S', path: fixture(name), contentType }],
  };
}

function fixture(name: string): string {
  return join(ROOT, 'test', 'fixtures', name);
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** 8080 where it is free, so that what is printed looks like the README. */
async function freePort(): Promise<number> {
  for (const port of [8080, 0]) {
    const probe = createServer();
    const bound = await new Promise<number | undefined>((resolve) => {
      probe.once('error', () => resolve(undefined));
      probe.listen(port, '127.0.0.1', () => {
        const address = probe.address();
        resolve(typeof address === 'object' && address !== null ? address.port : undefined);
      });
    });
    if (bound === undefined) continue;
    probe.close();
    await once(probe, 'close');
    return bound;
  }
  throw new Error('No free port was found on 127.0.0.1.');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
