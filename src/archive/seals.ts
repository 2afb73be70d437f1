/**
 * Days that are over and proven → one chain of seals, `proofs/seal/{n}.json`: each names its days' proofs and the Merkle root over
 * the manifests of their recordings, and carries the hash of the seal before. Days are proven in any order and sealed in one.
 */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { encodeSigned, parseSigned, type Signed, signStatement, type Signer, statedIn } from '../statement.ts';
import { sha256Hex, type HashedNote } from './leaves.ts';
import type { Notes } from './notes.ts';
import { requireName } from './objects.ts';

export interface SealedDay {
  readonly day: string;
  /** Of its newest proof of completeness: `complete` or `accounted`. */
  readonly verdict: string;
  readonly proofs: readonly HashedNote[];
  readonly leaves: number;
  /** How many of them were erased since. */
  readonly erased: number;
  /** Hex (RFC 6962), over the leaves in the order of their keys. */
  readonly root: string;
  /** Of the manifests that are not erased, for comparing without the lists. */
  readonly sum: string;
  /** Where the leaves lie. */
  readonly lists: readonly HashedNote[];
}

export interface DaySeal {
  /** From 1. */
  readonly n: number;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** SHA-256, hex, of the statement of the seal before; 64 zeros for the first. */
  readonly previous: string;
  readonly service: string;
  readonly days: readonly SealedDay[];
  /** Days of the record of who did what, each once it is over. */
  readonly audit: readonly SealedAuditDay[];
}

/** As the audit counts it. */
export interface SealedAuditDay {
  readonly day: string;
  readonly records: number;
  readonly sha256: string;
}

export interface ReadSeal {
  readonly name: string;
  readonly signed: Signed;
  readonly seal: DaySeal;
}

const SEALS = 'proofs/seal/';
export const NO_SEAL = '0'.repeat(64);

export function sealName(n: number): string {
  return `${SEALS}${String(n)}.json`;
}

/** Numbers of all seals there are, in order. */
export async function sealNumbers(notes: Notes, signal: AbortSignal): Promise<readonly number[]> {
  const numbers: number[] = [];
  for await (const { name } of notes.list(SEALS, signal)) {
    const [, n] = /^proofs\/seal\/([1-9]\d{0,8})\.json$/.exec(name) ?? [];
    if (n !== undefined) numbers.push(Number(n));
  }
  return numbers.toSorted((a, b) => a - b);
}

/** undefined where there is none. @throws Failure `conflict` where it cannot be read */
export async function readSeal(n: number, notes: Notes, signal: AbortSignal): Promise<ReadSeal | undefined> {
  const name = sealName(n);
  const text = await notes.read(name, signal);
  if (text === undefined) return undefined;
  const signed = parseSigned(text);
  const fields = signed === undefined ? undefined : statedIn(signed);
  if (signed === undefined || fields === undefined) throw unreadableSeal(name);
  return { name, signed, seal: parseSeal(fields, name) };
}

/** False where somebody else has sealed that number meanwhile. */
export async function placeSeal(
  seal: DaySeal,
  { notes, signer }: { readonly notes: Notes; readonly signer: Signer | undefined },
  signal: AbortSignal,
): Promise<boolean> {
  const signed = await signStatement({ kind: 'seal', version: 1, ...seal }, signer, signal);
  return notes.create(sealName(seal.n), encodeSigned(signed), signal);
}

/** What the next seal carries. */
export function hashOfSeal({ signed }: ReadSeal): string {
  return sha256Hex(signed.statement);
}

/** @throws Failure `conflict` */
export function parseSeal(fields: Fields, name: string): DaySeal {
  try {
    if (fields.raw('kind') !== 'seal' || fields.raw('version') !== 1) throw unreadableSeal(name);
    return {
      n: fields.requireCount('n'),
      at: fields.requireInstant('at'),
      previous: fields.requireText('previous', HASH),
      service: fields.requireText('service'),
      days: fields.requireArray('days').map((day, index) => parseSealedDay(Fields.of(day, `days[${String(index)}]`))),
      audit: (fields.array('audit') ?? []).map((day) => parseAuditDay(Fields.of(day, 'audit'))),
    };
  } catch (cause) {
    throw unreadableSeal(name, cause);
  }
}

const HASH = /^[0-9a-f]{64}$/;
const IN_PROOFS = /^proofs\//;

function parseSealedDay(fields: Fields): SealedDay {
  return {
    day: fields.requireDay('day'),
    verdict: fields.requireText('verdict'),
    proofs: parseNotes(fields, 'proofs'),
    leaves: fields.requireCount('leaves'),
    erased: fields.requireCount('erased'),
    root: fields.requireText('root', HASH),
    sum: fields.requireText('sum'),
    lists: parseNotes(fields, 'lists'),
  };
}

function parseAuditDay(fields: Fields): SealedAuditDay {
  const [day, records] = [fields.requireDay('day'), fields.requireCount('records')];
  return { day, records, sha256: fields.requireText('sha256', HASH) };
}

function parseNotes(fields: Fields, name: string): readonly HashedNote[] {
  return fields.requireArray(name).map((note) => {
    const named = Fields.of(note, fields.nameOf(name));
    // Whoever changed it leads nobody elsewhere.
    const file = requireName(named.requireText('name', IN_PROOFS));
    return { name: file, sha256: named.requireText('sha256', HASH) };
  });
}

function unreadableSeal(name: string, cause?: unknown): Failure {
  return new Failure('conflict', `${name} says nothing that can be read`, { cause });
}
