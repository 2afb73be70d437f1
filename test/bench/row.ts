/** Measured figures → the rows of one Markdown table. */
import type { Inputs } from './inputs.ts';

export interface Row {
  readonly work: string;
  /** What the reference took, measured in the same run. */
  readonly reference: string;
  readonly ours: string;
  readonly ratio?: string;
  readonly target: string;
  readonly met: boolean;
}

/** What every row is measured with. */
export interface Bench {
  /** For whatever is written, removed at the end. */
  readonly folder: string;
  readonly inputs: Inputs;
  /** Short inputs and few repetitions. */
  readonly quick: boolean;
  /** A line on how it goes. */
  say(text: string): void;
}

export function table(rows: readonly Row[]): string {
  const head = ['work', 'reference', 'ours', 'ratio', 'target', 'met'];
  const lines = rows.map((row) => [
    row.work,
    row.reference,
    row.ours,
    row.ratio ?? '–',
    row.target,
    row.met ? 'yes' : 'no',
  ]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

export const seconds = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} s`;

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** `1/132` below a tenth, else `0.36`. */
export function ratio(ours: number, reference: number): string {
  const value = ours / reference;
  return value < 0.1 ? `1/${(1 / value).toFixed(0)}` : value.toFixed(value < 1 ? 2 : 3);
}

/** The p-quantile, 0 to 1. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN;
}
