/** What was established about a day, as it lies in `proofs/{day}/`: written once, and the newest counts. */
import { Fields, jsonIn } from '../fields.ts';
import type { Notes } from './notes.ts';
import { isInPart, parsePart, partText, type ReadPart } from './part.ts';

/** `complete`: everything that Genesys has was looked for. `intact`: what lies here was compared with its manifests. */
export type ProofKind = 'complete' | 'intact';

/** Written as it is given; read as what is needed of it. */
export interface WrittenProof {
  readonly day: string;
  readonly verdict: string;
  readonly [field: string]: unknown;
}

/**
 * Named by the instant of `at`; two at the same millisecond are two proofs. What is written last is the newest, whatever clocks said
 * before: one that was far ahead names no proof that hides all later ones.
 */
export async function writeProof(
  kind: ProofKind,
  proof: WrittenProof,
  { notes, at }: { readonly notes: Notes; readonly at: Date },
  signal: AbortSignal,
): Promise<void> {
  const text = `${JSON.stringify({ version: 1, kind, at: at.toISOString(), ...proof }, null, 2)}\n`;
  const after = Math.max(at.getTime(), (await newestInstant(kind, proof.day, notes, signal)) + 1);
  for (let later = 0; ; later += 1) {
    const instant = new Date(after + later).toISOString();
    if (await notes.create(`proofs/${proof.day}/${instant}.${kind}.json`, text, signal)) return;
  }
}

/** As its name says; -1 where there is none. */
async function newestInstant(kind: ProofKind, day: string, notes: Notes, signal: AbortSignal): Promise<number> {
  const instants = (await proofNames(kind, day, notes, signal)).map((name) =>
    Date.parse(name.slice(`proofs/${day}/`.length, -`.${kind}.json`.length)),
  );
  return Math.max(-1, ...instants.filter(Number.isFinite));
}

async function proofNames(kind: ProofKind, day: string, notes: Notes, signal: AbortSignal): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of notes.list(`proofs/${day}/`, signal))
    if (name.endsWith(`.${kind}.json`)) names.push(name);
  return names;
}

/** The newest of its kind; undefined where there is none that can be read. */
export async function newestProof(
  kind: ProofKind,
  day: string,
  notes: Notes,
  signal: AbortSignal,
): Promise<WrittenProof | undefined> {
  for await (const proof of proofsOf(kind, day, notes, signal)) return proof;
  return undefined;
}

/** Those that can be read, the newest first; each is read only when it is asked for. */
export async function* proofsOf(
  kind: ProofKind,
  day: string,
  notes: Notes,
  signal: AbortSignal,
): AsyncGenerator<WrittenProof> {
  for await (const { proof } of proofNotesOf(kind, day, notes, signal)) yield proof;
}

export interface ProofNote {
  readonly name: string;
  readonly text: string;
  readonly proof: WrittenProof;
}

/** The same, each with where it lies and its text. */
export async function* proofNotesOf(
  kind: ProofKind,
  day: string,
  notes: Notes,
  signal: AbortSignal,
): AsyncGenerator<ProofNote> {
  for (const name of (await proofNames(kind, day, notes, signal)).toSorted().toReversed()) {
    const text = (await notes.read(name, signal)) ?? '';
    const proof = parseProof(text);
    if (proof !== undefined) yield { name, text, proof };
  }
}

const READINGS = 'proofs/read/';

/** What one run has read whole: of which days, and which part of their recordings. */
export interface ReadRun {
  readonly part: ReadPart;
  /** First and last day, both included; null for all there are. */
  readonly days: readonly [first: string, last: string] | null;
  readonly recordings: number;
  /** What was not as it should be, in whatever was looked at. */
  readonly findings: number;
  /** Days of which something was not as it should be: nothing is proven of them. */
  readonly damagedDays: readonly string[];
}

/** `proofs/read/{instant}.json`: one note a run, however many days it went through. */
export async function writeReading(
  { part, ...reading }: ReadRun,
  { notes, at, service }: { readonly notes: Notes; readonly at: Date; readonly service: string },
  signal: AbortSignal,
): Promise<void> {
  const text = { version: 1, kind: 'read', at: at.toISOString(), part: partText(part), ...reading, service };
  await notes.create(`${READINGS}${at.toISOString()}.json`, `${JSON.stringify(text, null, 2)}\n`, signal);
}

/** What a run found, as whoever asks how the archive is doing needs it. */
export interface ReadingResult {
  /** When it was through; ISO 8601, UTC. */
  readonly at: string;
  readonly recordings: number;
  readonly findings: number;
}

/** The newest of this month and the last; undefined where nothing was read for so long. */
export async function newestReading(notes: Notes, now: Date, signal: AbortSignal): Promise<ReadingResult | undefined> {
  const [thisMonth, lastMonth] = [monthAt(now, 0), monthAt(now, -1)];
  for (const month of [thisMonth, lastMonth]) {
    const names: string[] = [];
    for await (const { name } of notes.list(`${READINGS}${month}`, signal)) names.push(name);
    for (const name of names.toSorted().toReversed()) {
      const reading = readingIn(jsonIn(await notes.read(name, signal)));
      if (reading !== undefined) return reading;
    }
  }
  return undefined;
}

function monthAt(now: Date, offset: number): string {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset)).toISOString().slice(0, 7);
}

function readingIn(value: unknown): ReadingResult | undefined {
  const fields = Fields.in(value);
  const [at, recordings] = [fields?.instant('at'), fields?.number('recordings')];
  if (fields === undefined || at === undefined || recordings === undefined) return undefined;
  // An earlier version named the days alone.
  const findings = fields.number('findings') ?? fields.array('damagedDays')?.length ?? 0;
  return { at: at.toISOString(), recordings, findings };
}

/** Whether the bytes of a recording were read and found whole since then. Its day is that of its manifest. */
export async function wasReadSince(
  sinceMs: number,
  { key, day }: { readonly key: string; readonly day: string },
  notes: Notes,
  signal: AbortSignal,
): Promise<boolean> {
  const names: string[] = [];
  for await (const { name } of notes.list(READINGS, signal))
    if (Date.parse(name.slice(READINGS.length, -'.json'.length)) >= sinceMs) names.push(name);
  for (const name of names.toReversed())
    if (hasReadOf(Fields.in(jsonIn(await notes.read(name, signal))), key, day)) return true;
  return false;
}

function hasReadOf(reading: Fields | undefined, key: string, day: string): boolean {
  const part = parsePart(reading?.text('part'));
  if (reading === undefined || part === undefined || !isInPart(key, part)) return false;
  const [first = '', last = '9'] = reading.array('days') ?? [];
  return String(first) <= day && day <= String(last) && reading.array('damagedDays')?.includes(day) === false;
}

function parseProof(text: string | undefined): WrittenProof | undefined {
  try {
    const fields = Fields.of(jsonIn(text), 'proof');
    const [day, verdict] = [fields.requireText('day'), fields.requireText('verdict')];
    return { ...Object.fromEntries(fields.names().map((name) => [name, fields.raw(name)])), day, verdict };
  } catch {
    return undefined;
  }
}
