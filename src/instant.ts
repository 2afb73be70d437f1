/** Text → days and moments in time, and only what is one. All of it is UTC. */

const INSTANT = /^(\d{4}-\d\d-\d\d)[Tt]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)$/;

/** Days of each month of a year that is no leap year. */
const MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Before it nobody recorded anything in Genesys Cloud. */
export const FIRST_DAY = '2000-01-01';

/** A day that exists, `yyyy-mm-dd`. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const [year, month, day] = [Number(text.slice(0, 4)), Number(text.slice(5, 7)), Number(text.slice(8))];
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 && isLeap ? 29 : (MONTHS[month - 1] ?? 0);
  return day >= 1 && day <= days;
}

/** Milliseconds of `Date` at the beginning of the year 0, and of the year 10000. */
const [FIRST_MS, END_MS] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('+010000-01-01T00:00:00Z')];

/** RFC 3339 §5.6 (seconds may be absent), of a day that exists, of the years 0 to 9999. */
export function isInstant(text: string): boolean {
  const [, day = ''] = INSTANT.exec(text) ?? [];
  if (!isDay(day)) return false;
  const ms = Date.parse(text);
  return ms >= FIRST_MS && ms < END_MS;
}

export const DAY_MS = 24 * 3_600_000;

/** The day that a moment lies in; milliseconds of `Date.now()`. */
export function dayAt(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** So many days before. */
export function dayBefore(day: string, days: number): string {
  return dayAt(Date.parse(`${day}T00:00:00Z`) - days * DAY_MS);
}

/** Both included, oldest first; none where `first` lies after `last`. */
export function daysBetween(first: string, last: string): readonly string[] {
  const start = Date.parse(`${first}T00:00:00Z`);
  const count = Math.round((Date.parse(`${last}T00:00:00Z`) - start) / DAY_MS) + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) => dayAt(start + index * DAY_MS));
}

/**
 * How far a clock goes before ours, ms, that said `dateMs` (in whole seconds) between two of our moments; 0 where it may well
 * agree, however long the answer took.
 */
export function clockSkewMs(
  dateMs: number,
  { askedMs, toldMs }: { readonly askedMs: number; readonly toldMs: number },
): number {
  if (dateMs > toldMs) return dateMs - toldMs;
  return Math.min(0, dateMs + 1_000 - askedMs);
}
