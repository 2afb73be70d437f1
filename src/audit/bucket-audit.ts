/**
 * The audit in a bucket: one create-only object a record, `audit/{day}/{instant}.{action}.{random}.json`, by an account that can
 * create there and nothing else. Each process writes a chain of its own.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Notes } from '../archive/notes.ts';
import { Failure } from '../failure.ts';
import { daysBetween, isDay } from '../instant.ts';
import {
  type Audit,
  type AuditDay,
  type AuditDays,
  type AuditEntry,
  type AuditFinding,
  type AuditProof,
  type AuditQuery,
  type AuditRecord,
  encodeRecord,
  FIRST,
  hashOf,
  matchesQuery,
  parseAuditRecord,
} from './audit.ts';
import { ChainCheck } from './chain.ts';

/** Records read at once. */
const WIDTH = 16;

export class BucketAudit implements Audit {
  readonly #notes: Pick<Notes, 'create' | 'read' | 'list'>;
  readonly #now: () => Date;
  readonly #chain = randomBytes(8).toString('hex');
  #sequence = 0;
  #previous = FIRST;
  /** Under way, or failed and not yet told of. */
  readonly #unwritten = new Set<number>();

  constructor(notes: Pick<Notes, 'create' | 'read' | 'list'>, now: () => Date = () => new Date()) {
    this.#notes = notes;
    this.#now = now;
  }

  /**
   * Records are created side by side: what one carries of the one before is known when it is asked for, not when it is stored.
   * One that could not be created leaves a gap, which the next one explains.
   */
  async record(entry: AuditEntry, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const at = this.#now().toISOString();
    const sequence = (this.#sequence += 1);
    const told = [...this.#unwritten];
    const about = told.length === 0 ? entry.about : { ...entry.about, unwritten: told.join(',') };
    const link = { at, chain: this.#chain, sequence, previous: this.#previous };
    const text = encodeRecord({ ...entry, about }, link);
    this.#previous = hashOf(text);
    const name = `${startOfName({ at, action: entry.action })}${randomBytes(8).toString('hex')}.json`;
    this.#unwritten.add(sequence);
    const isNew = await this.#notes.create(name, text, signal);
    if (!isNew)
      throw new Failure('archive-unavailable', 'The audit already holds another record of this name; ask once more.');
    this.#unwritten.delete(sequence);
    for (const number of told) this.#unwritten.delete(number);
  }

  async *read(query: AuditQuery, signal: AbortSignal): AsyncGenerator<AuditRecord> {
    for await (const { text } of this.#texts(signal, query)) {
      const record = parseAuditRecord(text);
      if (record !== undefined && matchesQuery(record, query)) yield record;
    }
  }

  async verify(signal: AbortSignal): Promise<AuditProof> {
    const chains = new Map<string, InOrder>();
    const findings: AuditFinding[] = [];
    for await (const { name, text } of this.#texts(signal)) {
      const record = parseAuditRecord(text);
      if (record === undefined) findings.push({ state: 'unreadable', where: name, reason: 'it is no audit record' });
      else if (!name.startsWith(startOfName(record))) findings.push({ state: 'reordered', where: name, reason: MOVED });
      if (record !== undefined) chainOf(chains, record.chain).add({ sequence: record.sequence, text, name });
    }
    const proofs = [...chains.values()].map((chain) => chain.end());
    return {
      records: proofs.reduce((sum, { records }) => sum + records, 0),
      findings: [...findings, ...proofs.flatMap((proof) => proof.findings)],
    };
  }

  async *days({ from, to }: AuditDays, signal: AbortSignal): AsyncGenerator<AuditDay> {
    const first = from ?? (await this.#firstDay(signal));
    for (const day of first === undefined || first > to ? [] : daysBetween(first, to)) {
      const hash = createHash('sha256');
      let records = 0;
      for await (const { name } of this.#notes.list(`audit/${day}/`, signal)) {
        hash.update(`${name}\n`);
        records += 1;
      }
      if (records > 0) yield { day, records, sha256: hash.digest('hex') };
    }
  }

  async #firstDay(signal: AbortSignal): Promise<string | undefined> {
    for await (const { day } of this.#names(signal)) return day;
    return undefined;
  }

  /** What others have put beside the days is no part of it. */
  async *#names(signal: AbortSignal) {
    for await (const { name } of this.#notes.list('audit/', signal)) {
      const [, day = '', rest] = name.split('/');
      if (isDay(day) && rest !== undefined) yield { name, day };
    }
  }

  /** Nothing is held back, so there is nothing to wait for. */
  async close(): Promise<void> {
    await Promise.resolve();
  }

  /** An action stands in the name already: records of another one are not read. */
  async *#texts(signal: AbortSignal, days?: Pick<AuditQuery, 'from' | 'to' | 'action'>) {
    let batch: string[] = [];
    for await (const { name, day } of this.#names(signal)) {
      if (days !== undefined && (day < days.from || day > days.to)) continue;
      if (days?.action !== undefined && !name.includes(`.${days.action}.`)) continue;
      batch.push(name);
      if (batch.length < WIDTH) continue;
      yield* await this.#fetch(batch, signal);
      batch = [];
    }
    yield* await this.#fetch(batch, signal);
  }

  async #fetch(names: readonly string[], signal: AbortSignal) {
    const texts = await Promise.all(names.map((name) => this.#notes.read(name, signal)));
    return names.flatMap((name, index) => {
      const text = texts[index];
      return text === undefined ? [] : [{ name, text }];
    });
  }
}

const MOVED = 'it lies under the name of another record';

/** A record lies where its own time and action say. */
function startOfName({ at, action }: Pick<AuditRecord, 'at' | 'action'>): string {
  return `audit/${at.slice(0, 10)}/${at}.${action}.`;
}

interface ChainLink {
  readonly sequence: number;
  readonly text: string;
  readonly name: string;
}

/** Names are in the order of time, to the millisecond; the numbers within are put in order a thousand at a time. */
const WINDOW = 1_000;

class InOrder {
  readonly #check = new ChainCheck();
  #held: ChainLink[] = [];

  add(link: ChainLink): void {
    this.#held.push(link);
    if (this.#held.length >= 2 * WINDOW) this.#release(WINDOW);
  }

  end(): AuditProof {
    this.#release(this.#held.length);
    return { findings: this.#check.end(), records: this.#check.records };
  }

  #release(count: number): void {
    this.#held = this.#held.toSorted((a, b) => a.sequence - b.sequence);
    for (const { text, name } of this.#held.splice(0, count)) this.#check.add(text, name);
  }
}

function chainOf(chains: Map<string, InOrder>, name: string): InOrder {
  const known = chains.get(name) ?? new InOrder();
  chains.set(name, known);
  return known;
}
