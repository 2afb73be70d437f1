/** What a worker did in the last hours → `status/{instance}.json`, written each half minute; and all of them read together. */
import type { Notes } from './archive/notes.ts';
import { Fields, jsonIn } from './fields.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** Five minutes of work. */
export interface PulseBeat {
  /** When they began; ISO 8601, UTC. */
  readonly at: string;
  /** Events taken; only where the same process takes them. */
  readonly accepted: number;
  readonly archived: number;
  readonly failed: number;
  /** Given back to the queue for later, and troubles of the queue itself, by FailureCode. */
  readonly postponed: Readonly<Record<string, number>>;
}

/** What `archiver doctor` would say of where this process runs. */
export interface PulseCheck {
  readonly name: string;
  /** Which of several it is about. */
  readonly about: string | undefined;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly found: string;
  readonly next: string | undefined;
}

/** What one process says of itself. */
export interface Pulse {
  readonly version: 1;
  /** Another one at each start. */
  readonly instance: string;
  readonly command: string;
  /** Version of the service. */
  readonly service: string;
  readonly startedAt: string;
  /** When it was written. */
  readonly at: string;
  /** Recordings it can work on at once. */
  readonly slots: number;
  /** What waits in it after a failure. */
  readonly waiting: number;
  /** Calls to Genesys in the present minute, of those that it allows; null before it told. */
  readonly calls: { readonly made: number; readonly allowed: number } | null;
  readonly checks: readonly PulseCheck[];
  readonly beats: readonly PulseBeat[];
}

export const BEAT_MS = 300_000;
/** Six hours. */
const MOST_BEATS = 72;
/** Written each half minute: one that is older has stopped, or cannot write. */
const FRESH_MS = 120_000;
const FOLDER = 'status/';
/** More processes than there can be; beyond it nothing is read. */
const MOST_PULSES = 500;

/** A beat that is still counted. */
interface OpenBeat {
  at: number;
  accepted: number;
  archived: number;
  failed: number;
  readonly postponed: Record<string, number>;
}

/** Counts what passes, in the figures that are counted anyway. */
export class PulseTally {
  readonly #now: () => Date;
  readonly #beats: OpenBeat[] = [];

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** The same metrics, counted here as well. */
  over(metrics: Metrics): Metrics {
    return {
      ...metrics,
      accepted: (kind, count) => {
        this.#beat().accepted += count;
        metrics.accepted(kind, count);
      },
      archived: (way) => {
        this.#beat().archived += 1;
        metrics.archived(way);
      },
      failed: (code) => {
        this.#beat().failed += 1;
        metrics.failed(code);
      },
      postponed: (code, outcome) => {
        this.#postponed(code);
        metrics.postponed(code, outcome);
      },
      troubled: (code) => {
        this.#postponed(code);
        metrics.troubled(code);
      },
    };
  }

  /** Oldest first, without those in which nothing passed. */
  beats(): readonly PulseBeat[] {
    const oldest = this.#now().getTime() - MOST_BEATS * BEAT_MS;
    return this.#beats
      .filter(({ at }) => at >= oldest)
      .map(({ at, postponed, ...counts }) => ({
        at: new Date(at).toISOString(),
        ...counts,
        postponed: { ...postponed },
      }));
  }

  #postponed(code: string): void {
    const { postponed } = this.#beat();
    postponed[code] = (postponed[code] ?? 0) + 1;
  }

  #beat(): OpenBeat {
    const at = Math.floor(this.#now().getTime() / BEAT_MS) * BEAT_MS;
    const last = this.#beats.at(-1);
    if (last?.at === at) return last;
    const beat = { at, accepted: 0, archived: 0, failed: 0, postponed: {} };
    this.#beats.push(beat);
    if (this.#beats.length > MOST_BEATS) this.#beats.shift();
    return beat;
  }
}

/** The latest of this instance. */
export async function writePulse(pulse: Pulse, notes: Notes, signal: AbortSignal): Promise<void> {
  await notes.replace(`${FOLDER}${pulse.instance}.json`, `${JSON.stringify(pulse)}\n`, signal);
}

/** What an instance leaves behind when it stops. */
export async function endPulse(instance: string, notes: Notes, signal: AbortSignal): Promise<void> {
  await notes.remove(`${FOLDER}${instance}.json`, signal);
}

/** Of those that have written lately. */
export async function readPulses(notes: Notes, now: Date, signal: AbortSignal): Promise<readonly Pulse[]> {
  const names: string[] = [];
  for await (const { name, writtenAt } of notes.list(FOLDER, signal)) {
    if (now.getTime() - Date.parse(writtenAt) < FRESH_MS) names.push(name);
    if (names.length >= MOST_PULSES) break;
  }
  const texts = await Promise.all(names.map((name) => notes.read(name, signal)));
  return texts.flatMap((text) => pulseIn(text) ?? []);
}

/** By five minutes, of all of them together; oldest first. */
export function beatsTogether(pulses: readonly Pulse[]): readonly PulseBeat[] {
  const sums = new Map<string, PulseBeat>();
  for (const beat of pulses.flatMap(({ beats }) => beats)) {
    const sum = sums.get(beat.at);
    sums.set(beat.at, sum === undefined ? beat : beatsSum(sum, beat));
  }
  return [...sums.values()].toSorted((a, b) => (a.at < b.at ? -1 : 1));
}

function beatsSum(a: PulseBeat, b: PulseBeat): PulseBeat {
  const codes = new Set([...Object.keys(a.postponed), ...Object.keys(b.postponed)]);
  return {
    at: a.at,
    accepted: a.accepted + b.accepted,
    archived: a.archived + b.archived,
    failed: a.failed + b.failed,
    postponed: Object.fromEntries(
      [...codes].map((code) => [code, (a.postponed[code] ?? 0) + (b.postponed[code] ?? 0)]),
    ),
  };
}

/** undefined where it is none: another version may have written it. */
function pulseIn(text: string | undefined): Pulse | undefined {
  const fields = Fields.in(jsonIn(text));
  const [instance, command] = [fields?.text('instance'), fields?.text('command')];
  const [service, startedAt, at] = [fields?.text('service'), fields?.text('startedAt'), fields?.text('at')];
  const [slots, waiting] = [fields?.number('slots'), fields?.number('waiting')];
  const beats = fields?.array('beats')?.flatMap((beat) => beatIn(beat) ?? []);
  if (fields?.raw('version') !== 1 || instance === undefined || command === undefined || service === undefined)
    return undefined;
  if (startedAt === undefined || at === undefined || slots === undefined || waiting === undefined) return undefined;
  const about = { version: 1, instance, command, service, startedAt, at, slots, waiting } as const;
  const checks = fields.array('checks')?.flatMap((check) => checkIn(check) ?? []);
  return { ...about, calls: callsIn(fields.fields('calls')), checks: checks ?? [], beats: beats ?? [] };
}

function callsIn(fields: Fields | undefined): Pulse['calls'] {
  const [made, allowed] = [fields?.number('made'), fields?.number('allowed')];
  return made === undefined || allowed === undefined ? null : { made, allowed };
}

function checkIn(value: unknown): PulseCheck | undefined {
  const fields = Fields.in(value);
  const [name, found] = [fields?.text('name'), fields?.text('found')];
  const state = CHECK_STATES.find((known) => known === fields?.raw('state'));
  if (name === undefined || found === undefined || state === undefined) return undefined;
  return { name, about: fields?.text('about'), state, found, next: fields?.text('next') };
}

const CHECK_STATES = ['ok', 'warn', 'fail'] as const;

function beatIn(value: unknown): PulseBeat | undefined {
  const fields = Fields.in(value);
  const at = fields?.instant('at')?.toISOString();
  const [accepted, archived, failed] = [
    fields?.number('accepted'),
    fields?.number('archived'),
    fields?.number('failed'),
  ];
  if (at === undefined || accepted === undefined || archived === undefined || failed === undefined) return undefined;
  return { at, accepted, archived, failed, postponed: countsIn(fields?.fields('postponed')) };
}

function countsIn(fields: Fields | undefined): Readonly<Record<string, number>> {
  const counts = (fields?.names() ?? []).map((name) => [name, fields?.number(name)] as const);
  return Object.fromEntries(counts.filter((count): count is readonly [string, number] => count[1] !== undefined));
}
