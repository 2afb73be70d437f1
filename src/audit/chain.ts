/** The records of one chain, one after the other → what is not as it was written. */
import { type AuditFinding, type AuditRecord, FIRST, hashOf, parseAuditRecord } from './audit.ts';

/** Numbers of records, first and last. */
interface Gap {
  readonly first: number;
  readonly last: number;
  readonly where: string;
}

/** Holds the place of the record before: a chain of any length is checked in the memory of two records, and of its gaps. */
export class ChainCheck {
  #previous = FIRST;
  #sequence = 0;
  #where = '';
  /** A line cut by a crash: it was never acknowledged, and the record behind it carries its hash. */
  #torn: AuditFinding | undefined;
  readonly #gaps: Gap[] = [];
  /** Records of which a later one says that they could not be written: their acts were not done. */
  readonly #unwritten = new Set<number>();
  readonly #findings: AuditFinding[] = [];
  #records = 0;

  get records(): number {
    return this.#records;
  }

  add(line: string, where: string): void {
    const record = parseAuditRecord(line);
    if (record === undefined) this.#unreadable(line, where);
    else this.#follow(record, line, where);
  }

  /** After the last record. */
  end(): readonly AuditFinding[] {
    const torn = this.#torn === undefined ? [] : [this.#torn];
    const missing = this.#gaps.flatMap((gap) => this.#missingIn(gap));
    return [...this.#findings, ...missing, ...torn];
  }

  #follow(record: AuditRecord, line: string, where: string): void {
    const expected = this.#sequence + 1;
    const follows = record.previous === this.#previous;
    if (this.#torn !== undefined && !follows) this.#findings.push({ ...this.#torn, state: 'unreadable' });
    else if (record.sequence < expected)
      this.#found(
        'reordered',
        where,
        `record ${String(record.sequence)} stands behind record ${String(this.#sequence)}`,
      );
    else if (record.sequence > expected) this.#gaps.push({ first: expected, last: record.sequence - 1, where });
    else if (!follows) this.#found('changed', this.#where || where, changedReason(this.#sequence));
    for (const number of String(record.about?.['unwritten'] ?? '').split(',')) this.#unwritten.add(Number(number));
    this.#torn = undefined;
    this.#where = where;
    this.#previous = hashOf(line);
    this.#sequence = Math.max(this.#sequence, record.sequence);
    this.#records += 1;
  }

  #unreadable(line: string, where: string): void {
    if (this.#torn !== undefined) this.#findings.push({ ...this.#torn, state: 'unreadable' });
    this.#torn = { state: 'torn', where, reason: 'it is no record: a crash cut it, or it was changed' };
    this.#previous = hashOf(line);
  }

  #found(state: AuditFinding['state'], where: string, reason: string): void {
    this.#findings.push({ state, where, reason });
  }

  #missingIn({ first, last, where }: Gap): readonly AuditFinding[] {
    let missing = 0;
    for (let number = first; number <= last; number++) if (!this.#unwritten.has(number)) missing += 1;
    if (missing === 0) return [];
    return [{ state: 'missing', where, reason: `records ${String(first)} to ${String(last)} are missing before it` }];
  }
}

/** That a record was changed shows in the next one, which carries the hash of what was written. */
function changedReason(sequence: number): string {
  if (sequence === 0) return 'record 1 does not begin its chain';
  return `record ${String(sequence)} is not the one that was written: record ${String(sequence + 1)} carries another hash`;
}
