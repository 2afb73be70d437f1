/** A day of a contact centre in simulated time: the real delivery and the real schedule, Genesys' calls counted at the far end. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { Archive } from '../../src/archive/archive.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { createDelivery } from '../../src/delivery.ts';
import { Failure } from '../../src/failure.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { messageKey, type Message } from '../../src/queue/queue.ts';
import { WaitingList } from '../../src/delivery/waiting-list.ts';
import { runs } from '../support/soak.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const NEVER = new AbortController().signal;
/** Looks go on for three days: the fourth is a day like any other. */
const DAYS = 4;
const A_DAY = 20_000;
const START = Date.UTC(2026, 10, 2);

interface Entry {
  readonly message: Message;
  readonly acceptedAt: Date;
  readonly attempt: number;
}

/** What is due, minute by minute: order within one does not matter to a rate. */
class Agenda {
  readonly #minutes = new Map<number, Entry[]>();
  readonly #known = new Set<string>();

  add(entry: Entry, atMs: number): void {
    const minute = Math.ceil(atMs / MINUTE);
    this.#minutes.set(minute, [...(this.#minutes.get(minute) ?? []), entry]);
    this.#known.add(messageKey(entry.message));
  }

  has(message: Message): boolean {
    return this.#known.has(messageKey(message));
  }

  take(minute: number): readonly Entry[] {
    const due = this.#minutes.get(minute) ?? [];
    this.#minutes.delete(minute);
    for (const { message } of due) this.#known.delete(messageKey(message));
    return due;
  }
}

/** Of each kind of call, those of the last day. */
type Calls = Record<'list' | 'locate' | 'details' | 'reconcile', number>;

/** Two thirds are recorded; of these a third has a screen as well, listed half an hour after its call. */
function recordingsOf(index: number, ageMs: number): readonly string[] {
  if (index % 3 === 0 || ageMs < 2 * MINUTE) return [];
  return index % 9 < 3 && ageMs >= 30 * MINUTE ? ['call', 'screen'] : ['call'];
}

test('20,000 conversations a day, a third unrecorded, need at most 150 calls a minute (C12)', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: START });
  const perDay = runs(A_DAY / 40, A_DAY);
  const agenda = new Agenda();
  const calls: Calls = { list: 0, locate: 0, details: 0, reconcile: 0 };
  const count = (kind: keyof Calls, times = 1): void => {
    if (Date.now() >= START + (DAYS - 1) * DAY) calls[kind] += times;
  };
  const archived = new Set<string>();
  const asked = new Set<string>();
  const began = (conversationId: string): number => START + (Number(conversationId.slice(2)) / perDay) * DAY;
  const handle = createDelivery({
    pipeline: {
      async archive({ recording }) {
        const key = `${String(recording.conversationId)}/${recording.recordingId}`;
        if (archived.has(key)) return { manifest: manifest(), fresh: false };
        // Its metadata, then the recording; the first time Genesys transcodes.
        count('locate', 2);
        if (!asked.has(key)) {
          asked.add(key);
          throw new Failure('not-ready', 'Genesys is still transcoding.', { afterMs: 10_000 });
        }
        archived.add(key);
        return { manifest: manifest(), fresh: true };
      },
    },
    genesys: {
      async recordingsOf(conversationId) {
        count('list');
        const index = Number(conversationId.slice(2));
        const listed = recordingsOf(index, Date.now() - began(conversationId));
        return {
          recordings: listed.map((recordingId) => ({ recordingId, conversationId })),
          isComplete: false,
          lacking: undefined,
        };
      },
      voicemailsOf: async () => ({ recordings: [], isComplete: false, lacking: undefined }),
      locate: () => assert.fail('the pipeline does that'),
      check: async () => undefined,
      close: async () => undefined,
    },
    archive: emptyArchive(({ recordingId, conversationId }) =>
      archived.has(`${String(conversationId)}/${String(recordingId)}`),
    ),
    queue: {
      async publish(messages) {
        for (const message of messages) {
          if (!agenda.has(message)) agenda.add({ message, acceptedAt: new Date(), attempt: 1 }, Date.now() + 1);
        }
      },
    },
    metrics: createMetrics(),
    log: createLog({ level: 'error', secrets: [], stream: new PassThrough().resume() }),
    waiting: new WaitingList(),
    version: '1.2.3',
  });
  for (let index = 0; index < perDay * DAYS; index += 1) {
    const message = { kind: 'conversation', conversationId: `c-${String(index)}` } as const;
    const atMs = began(message.conversationId);
    agenda.add({ message, acceptedAt: new Date(atMs), attempt: 1 }, atMs);
  }
  for (let minute = START / MINUTE; minute < (START + DAYS * DAY) / MINUTE; minute += 1) {
    t.mock.timers.setTime(minute * MINUTE);
    for (const { message, acceptedAt, attempt } of agenda.take(minute)) {
      const settlement = await handle({ message, acceptedAt, attempt, lost: 0 }, NEVER);
      if (!('afterMs' in settlement)) continue;
      const next = attempt + (settlement.outcome === 'again' ? 1 : 0);
      agenda.add({ message, acceptedAt, attempt: next }, Date.now() + settlement.afterMs);
    }
  }
  // One call for the details of each, and at night one for each that was recorded, besides the day's pages (operators' commands).
  calls.details = perDay;
  calls.reconcile = Math.ceil((perDay * 2) / 3) + Math.ceil(perDay / 1_000) + 3;
  const scale = A_DAY / perDay / (DAY / MINUTE);
  const rates = Object.entries(calls).map(([kind, number]) => [kind, number * scale] as const);
  const total = rates.reduce((sum, [, rate]) => sum + rate, 0);
  t.diagnostic(`${total.toFixed(1)} a minute: ${rates.map(([kind, rate]) => `${kind} ${rate.toFixed(1)}`).join(', ')}`);
  assert.ok(total <= 150, `${total.toFixed(1)} calls a minute`);
  const call = Array.from({ length: perDay * (DAYS - 1) }, (_, index) => index).filter((index) => index % 3 !== 0);
  assert.ok(
    call.every((index) => archived.has(`c-${String(index)}/call`)),
    'every call is archived',
  );
});

function manifest(): Manifest {
  return {
    version: 1,
    recordingId: 'r',
    conversationId: 'c',
    api: 'recordings',
    medium: 'audio',
    recordedAt: new Date().toISOString(),
    sources: [],
    way: 'join',
    why: 'a simulation',
    encoder: null,
    webm: {
      contentType: 'audio/webm',
      sizeBytes: 1,
      sha256: '0'.repeat(64),
      crc32c: 'AAAAAA==',
      durationMs: 1,
      channels: 2,
      codecs: ['A_OPUS'],
    },
    startedAt: new Date().toISOString(),
    finishedAt: new Date().toISOString(),
    attempt: 1,
    service: '1.2.3',
  };
}

/** It knows what is archived and keeps nothing else. */
function emptyArchive(has: (subject: Parameters<Archive['failureOf']>[0]) => boolean): Archive {
  const known: Partial<Archive> = {
    find: async (recording) => (has(recording) ? manifest() : undefined),
    failureOf: async () => undefined,
    waitingOf: async () => undefined,
    recordFailure: async () => undefined,
    removeFailure: async () => undefined,
    recordWaiting: async () => undefined,
    removeWaiting: async () => undefined,
    list: async () => ({ entries: [], cursor: undefined }),
  };
  return new Proxy(known, {
    get: (target, name) => Reflect.get(target, name) ?? assert.fail(`nothing asks for ${String(name)}`),
  }) as Archive;
}
