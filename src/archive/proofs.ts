/** What was established about a day, as it lies in `proofs/{day}/`: written once, and the newest counts. */
import { Fields } from '../fields.ts';
import type { Notes } from './notes.ts';
import { isInPart, parsePart } from './part.ts';

/** `complete`: everything that Genesys has was looked for. `intact`: what lies here was compared with its manifests. */
export type ProofKind = 'complete' | 'intact';

/** Written as it is given; read as what is needed of it. */
export interface WrittenProof {
  readonly day: string;
  readonly verdict: string;
  readonly [field: string]: unknown;
}

/** At the instant of `at`; two at the same millisecond are two proofs. */
export async function writeProof(
  kind: ProofKind,
  proof: WrittenProof,
  { notes, at }: { readonly notes: Notes; readonly at: Date },
  signal: AbortSignal,
): Promise<void> {
  const text = `${JSON.stringify({ version: 1, kind, at: at.toISOString(), ...proof }, null, 2)}\n`;
  for (let later = 0; ; later += 1) {
    const instant = new Date(at.getTime() + later).toISOString();
    if (await notes.create(`proofs/${proof.day}/${instant}.${kind}.json`, text, signal)) return;
  }
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
  const names: string[] = [];
  for await (const { name } of notes.list(`proofs/${day}/`, signal))
    if (name.endsWith(`.${kind}.json`)) names.push(name);
  for (const name of names.toSorted().toReversed()) {
    const proof = parseProof(await notes.read(name, signal));
    if (proof !== undefined) yield proof;
  }
}

/** Whether the bytes of a recording were read and found whole since then. Its day is that of its manifest. */
export async function wasReadSince(
  sinceMs: number,
  { key, day }: { readonly key: string; readonly day: string },
  notes: Notes,
  signal: AbortSignal,
): Promise<boolean> {
  const names: string[] = [];
  for await (const { name, writtenAt } of notes.list(`proofs/${day}/`, signal))
    if (name.endsWith('.intact.json') && Date.parse(writtenAt) >= sinceMs) names.push(name);
  for (const name of names.toReversed()) {
    const proof = parseProof(await notes.read(name, signal));
    const part = parsePart(proof?.['read']);
    if (proof?.verdict === 'intact' && part !== undefined && isInPart(key, part)) return true;
  }
  return false;
}

function parseProof(text: string | undefined): WrittenProof | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    const fields = Fields.of(value, 'proof');
    const [day, verdict] = [fields.requireText('day'), fields.requireText('verdict')];
    return { ...Object.fromEntries(fields.names().map((name) => [name, fields.raw(name)])), day, verdict };
  } catch {
    return undefined;
  }
}
