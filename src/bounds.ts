/** Who may use how much of what, in figures: whoever grants something reads its bound here, and the table in http/README.md says the same. */

const KIB = 1024;
const MIB = 1024 ** 2;

/** What an encoder is granted for (media/encoder/slots.ts). */
export const ENCODERS = {
  /** A listener is refused when none was free for so long. */
  waitMs: 10_000,
  /** What it is told to wait then: about what a short call takes to convert. */
  retryAfterMs: 5_000,
} as const;

/** What is held of recordings in the making (media/flight.ts). */
export const FLIGHTS = {
  allBytes: 32 * MIB,
  /** Of these, for each while it is read: what lies ready of its files, and what is being parsed (download/body.ts). */
  readingBytes: 512 * KIB,
  /** Of one recording: for late listeners, and ahead of slow ones. */
  eachBytes: 8 * MIB,
  /** A listener's encoder may rest for as long as what it made plays, and so much longer. */
  restMs: 10_000,
} as const;

/** Of each rate window of Genesys' API (genesys/allowance.ts), what it does not know (genesys/absences.ts), and its pauses. */
export const CALLS = {
  listenersShare: 2 / 3,
  absentMs: 30_000,
  /** However long Genesys, or its login host, wants to be left alone by all: then one question finds out. */
  believedMs: 15 * 60_000,
} as const;

/** What is remembered of lists (genesys/recent-lists.ts). */
export const LISTS = {
  /** Entries; of about 300 bytes each. */
  remembered: 20_000,
  rememberedMs: 15 * 60_000,
  /** So many lists in a row without a screen say that an organization records none. */
  withoutScreen: 100,
} as const;

/** Answers with a list of recordings or days under way: a page may have a megabyte, and costs the archive as many looks (http/recordings.ts). */
export const LISTINGS = {
  all: 32,
  perKey: 24,
  retryAfterMs: 5_000,
} as const;

/** A request, of whatever kind (http/server.ts), and the events in one (http/webhook.ts). */
export const ONE_REQUEST = {
  headBytes: 16 * KIB,
  /** To receive its head. */
  headMs: 10_000,
  /** To receive all of it. */
  wholeMs: 15_000,
  eventsBytes: 256 * KIB,
  events: 1_000,
} as const;

/** Bodies that have not come whole, of whoever they are (http/body-room.ts). */
export const BODIES = {
  /** Of what each has beyond `smallBytes`. */
  allBytes: 32 * MIB,
  smallBytes: 32 * KIB,
  retryAfterMs: 5_000,
} as const;

/** What waits for the disk of the embedded queue and archive (queue/sqlite/group-commit.ts, audit/folder-audit.ts). */
export const DISK = {
  queueChanges: 20_000,
  auditRecords: 10_000,
} as const;

/** Keys that were no keys, and answers of an identity provider that were none, tried at the console by one address (console/who/slowdown.ts). */
export const SIGN_INS = {
  free: 5,
  /** Of the next try; twice as long each time. */
  firstWaitMs: 2_000,
  longestWaitMs: 60_000,
} as const;

/** HTTP connections (http/connections.ts). */
export const CONNECTIONS = {
  all: 1_000,
  /** Requests that wait behind the one at work, on one connection; on all of them four times as many. */
  pipelined: 256,
} as const;

/** Requests for recordings by one key (http/rate.ts). */
export const REQUESTS = {
  /** Unless API_RATE says otherwise. */
  perSecond: 50,
  /** Seconds' worth that may come at once. */
  burstS: 5,
} as const;

/** Messages that Pub/Sub pushes (services/push.ts): those that wait for an encoder are looked up meanwhile. */
export const PUSHES = {
  perSlot: 2,
} as const;

/** What may lie on disk of MP4 whose index comes last, from hosts without ranges (media/mp4/spool.ts). */
export const SPOOLS = {
  archivingBytes: 1024 * MIB,
  listeningBytes: 256 * MIB,
  retryAfterMs: 30_000,
} as const;

/** Answers with media under way (http/listeners.ts). A signed link is a key of its own kind, the same for all links. */
export const LISTENERS = {
  all: 256,
  perKey: 192,
  /** Of these, to recordings that are made while they play. */
  live: 32,
  livePerKey: 24,
  retryAfterMs: 5_000,
} as const;

/** How slowly a listener may take what it asked for (http/pour.ts): less than `pieceBytes` in `stallMs`, and it is let go. */
export const POURING = {
  pieceBytes: 64 * KIB,
  stallMs: 120_000,
} as const;

export interface Bound {
  readonly resource: string;
  readonly bound: string;
  readonly waits: string;
  readonly refused: string;
  readonly answer: string;
}

/** The table: one row for each thing that can be used up. */
export const BOUNDS: readonly Bound[] = [
  {
    resource: 'encoders',
    bound:
      '`TRANSCODE_SLOTS` at once. Archiving goes first and always has one; listeners have the others, and a single one only while nothing is archived',
    waits: `archiving; up to \`TRANSCODE_QUEUE\` listeners, ${seconds(ENCODERS.waitMs)}`,
    refused:
      'listeners: when the queue is full, archiving waits, or their time is over; the newest one that plays, where archiving finds all taken by listeners',
    answer: `429, Retry-After ${seconds(ENCODERS.retryAfterMs)}; a stream that has begun is broken off`,
  },
  {
    resource: "a listener's encoder",
    bound: `real time on average: it works ahead into memory, and may then rest as long as what it made plays, and ${seconds(FLIGHTS.restMs)}`,
    waits: 'the encoder',
    refused: 'the listener that takes less',
    answer: 'the stream is broken off',
  },
  {
    resource: 'the event loop',
    bound: 'in each of its turns one Cluster, or one start, of what only listeners wait for; archiving has all of them',
    waits: 'listeners',
    refused: 'nobody',
    answer: 'a slower stream',
  },
  {
    resource: 'memory of recordings in the making',
    bound: `${mebibytes(FLIGHTS.allBytes)} in all: ${kibibytes(FLIGHTS.readingBytes)} of each while it is read, and up to ${mebibytes(FLIGHTS.eachBytes)} of its WebM`,
    waits: 'what nobody reads yet is not made',
    refused: 'late listeners, and slow ones beside faster',
    answer: 'a making of their own',
  },
  {
    resource: 'spools on disk (MP4 with its index last, host without ranges)',
    bound: `${mebibytes(SPOOLS.archivingBytes)} for all that is archived, ${mebibytes(SPOOLS.listeningBytes)} more for all listeners; each has an encoder first`,
    waits: 'archiving, back on the queue',
    refused: 'listeners',
    answer: `429, Retry-After ${seconds(SPOOLS.retryAfterMs)}`,
  },
  {
    resource: 'listeners',
    bound: `${String(LISTENERS.all)} at once, ${String(LISTENERS.perKey)} per key; of these ${String(LISTENERS.live)} and ${String(LISTENERS.livePerKey)} to recordings not yet archived`,
    waits: 'nobody',
    refused: 'one more',
    answer: `429, Retry-After ${seconds(LISTENERS.retryAfterMs)}`,
  },
  {
    resource: 'connections',
    bound: `${CONNECTIONS.all.toLocaleString('en')} at once`,
    waits: 'nobody',
    refused:
      'the one idle for longest, then the one that sends its request for longest, then the newest that does not take its answer',
    answer: 'the connection is closed',
  },
  {
    resource: 'a request',
    bound: `${kibibytes(ONE_REQUEST.headBytes)} of head within ${seconds(ONE_REQUEST.headMs)}, all of it within ${seconds(ONE_REQUEST.wholeMs)}; events: ${kibibytes(ONE_REQUEST.eventsBytes)}, ${ONE_REQUEST.events.toLocaleString('en')} at once`,
    waits: 'nobody',
    refused: 'what is more, or later',
    answer: '431, 408, 413, 400',
  },
  {
    resource: 'memory of bodies on their way',
    bound: `${kibibytes(BODIES.smallBytes)} of each, and ${mebibytes(BODIES.allBytes)} more for all`,
    waits: 'nobody',
    refused: 'the large one whose next piece has no room',
    answer: `429, Retry-After ${seconds(BODIES.retryAfterMs)}`,
  },
  {
    resource: 'requests on a connection',
    bound: `one at work; ${String(CONNECTIONS.pipelined)} behind it, ${(4 * CONNECTIONS.pipelined).toLocaleString('en')} on all connections`,
    waits: 'those behind it',
    refused: 'one more',
    answer: 'the connection is closed',
  },
  {
    resource: 'requests of a key for recordings',
    bound: `\`API_RATE\` (${String(REQUESTS.perSecond)}) a second, ${String(REQUESTS.burstS)} times as many at once`,
    waits: 'nobody',
    refused: 'one more',
    answer: '429, Retry-After until the next may come',
  },
  {
    resource: 'lists of recordings and of days',
    bound: `${String(LISTINGS.all)} answers at once, ${String(LISTINGS.perKey)} per key`,
    waits: 'nobody',
    refused: 'one more',
    answer: `429, Retry-After ${seconds(LISTINGS.retryAfterMs)}`,
  },
  {
    resource: 'what waits for the disk (embedded queue and archive)',
    bound: `${DISK.queueChanges.toLocaleString('en')} changes of the queue, ${DISK.auditRecords.toLocaleString('en')} records of the audit`,
    waits: 'who sent an event, or listens',
    refused: 'one more',
    answer: '503, Retry-After 5 s',
  },
  {
    resource: 'failed sign-ins at the console, by address',
    bound: `${String(SIGN_INS.free)}, then one each ${seconds(SIGN_INS.firstWaitMs)}, ${seconds(2 * SIGN_INS.firstWaitMs)} … ${seconds(SIGN_INS.longestWaitMs)}`,
    waits: 'nobody',
    refused: 'what is tried sooner',
    answer: '429, Retry-After until the next may be tried',
  },
  {
    resource: 'pushes of Pub/Sub',
    bound: `${String(PUSHES.perSlot)} for each of \`TRANSCODE_SLOTS\` at once`,
    waits: 'nobody',
    refused: 'one more',
    answer: '429; Pub/Sub delivers it again',
  },
  {
    resource: "calls of Genesys' API",
    bound: `listeners ${String(Math.round(CALLS.listenersShare * 100))} % of each window, archiving all of it; what Genesys does not know is not asked again for ${seconds(CALLS.absentMs)} by listeners`,
    waits: 'archiving, for the next window',
    refused: 'listeners',
    answer: '429, Retry-After as the window has left; 404',
  },
  {
    resource: 'time without reading',
    bound: `${seconds(POURING.stallMs)} for ${kibibytes(POURING.pieceBytes)}`,
    waits: 'what is played or listed, unread',
    refused: 'the listener, or reader',
    answer: 'the connection is closed',
  },
];

function seconds(ms: number): string {
  return `${String(ms / 1000)} s`;
}

function kibibytes(bytes: number): string {
  return `${String(bytes / KIB)} KiB`;
}

function mebibytes(bytes: number): string {
  return `${String(bytes / MIB)} MiB`;
}
