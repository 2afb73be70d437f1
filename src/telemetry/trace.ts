/** A step of the work → a span of the trace its message carries, where spans are recorded (trace-export.ts); else only the work. */

export interface Step {
  /** One trace has one `accept`, and then a `deliver` for each delivery with at most one `archive` in it. */
  readonly name: 'accept' | 'deliver' | 'archive';
  /** W3C traceparent of what it belongs to; without one a new trace begins. */
  readonly parent: string | undefined;
  readonly attributes?: Noted;
}

/** Ids, counts and codes only: traces leave the house. */
export type Noted = Readonly<Record<string, string | number | undefined>>;

export interface Traced {
  /** What the next step is part of; `parent` itself where nothing is recorded. */
  readonly traceparent: string | undefined;
  readonly note: (attributes: Noted) => void;
}

/** Resolves and rejects as `work` does. */
export type RecordStep = <T>(step: Step, work: (own: Traced) => Promise<T>) => Promise<T>;

let record: RecordStep | undefined;

/** From now on steps are recorded so; not any more where it is undefined. The library of spans is loaded by whoever calls this. */
export function recordSteps(by: RecordStep | undefined): void {
  record = by;
}

/** Resolves and rejects as `work` does. */
export function traced<T>(step: Step, work: (own: Traced) => Promise<T>): Promise<T> {
  return record === undefined ? work({ traceparent: step.parent, note: () => undefined }) : record(step, work);
}
