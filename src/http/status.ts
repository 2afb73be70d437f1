/** Questions about how the archive is doing → the figures of `archiver status`, and what the proofs of days say. */
import type { Request, RequestHandler } from 'express';
import { SYSTEM_CLOCK } from '../clock.ts';
import { Failure } from '../failure.ts';
import { dayAt, dayBefore, daysBetween, isDay } from '../instant.ts';
import { lastDays, type OverviewNeeds, Overviews, statesOfDays } from '../overview.ts';
import { callerOf } from './auth.ts';
import { leavingSignal } from './play.ts';
import { pourJson } from './pour.ts';
import type { Turnstile } from './turnstile.ts';
import type { Witness } from './witness.ts';

export interface StatusNeeds {
  readonly overview: OverviewNeeds;
  readonly witness: Witness;
  /** All that are answered with a list. */
  readonly lists: Turnstile;
  /** Whether a key is asked for. */
  readonly way: 'key' | 'none';
  readonly now?: () => Date;
}

/** Each costs a listing and a proof. */
const MOST_DAYS = 92;
const USUAL_DAYS = 7;

/** `GET /status?days=7`: the newest figures, at most five seconds old. */
export function showStatus({ overview, witness, way }: StatusNeeds): RequestHandler {
  const overviews = new Overviews(overview);
  return async (req, res) => {
    const days = parseDayCount(req.query);
    await witness.record(req, { action: 'looked', way, about: { page: 'status' } });
    res.json(await overviews.of(days));
  };
}

/** `GET /days?from=&to=` → `{days}`, newest first; the last seven unless told. */
export function showDays({ overview, witness, lists, way, now = () => new Date() }: StatusNeeds): RequestHandler {
  return async (req, res) => {
    const days = parseDayRange(req.query, dayAt(now().getTime()));
    const [to = '', from = to] = [days.at(0), days.at(-1)];
    using _place = lists.enter(callerOf(req).name);
    await witness.record(req, { action: 'looked', way, about: { page: 'days', from, to } });
    await pourJson({ days: await statesOfDays(days, overview.archive.notes, leavingSignal(res)) }, res, SYSTEM_CLOCK);
  };
}

/** @throws Failure naming every field that is wrong */
function parseDayCount(query: Request['query']): number {
  const problems = unknownFields(query, ['days']);
  const { days = String(USUAL_DAYS) } = query;
  const isCount = typeof days === 'string' && /^[1-7]$/.test(days);
  if (!isCount) problems.push('days: expected a whole number from 1 to 7');
  refuse(problems);
  return Number(days);
}

/** Newest first. @throws Failure naming every field that is wrong */
function parseDayRange(query: Request['query'], today: string): readonly string[] {
  const problems = unknownFields(query, ['from', 'to']);
  const read = (name: 'from' | 'to'): string | undefined => {
    const day = query[name];
    if (day === undefined || (typeof day === 'string' && isDay(day))) return day;
    problems.push(`${name}: expected a day such as 2026-08-05`);
    return undefined;
  };
  const [from, to] = [read('from'), read('to')];
  if (from === undefined && to === undefined && problems.length === 0) return lastDays(USUAL_DAYS, today);
  const [first, last] = [from ?? to ?? today, to ?? today];
  if (first > last) problems.push(`from: ${first} lies after ${last}; expected no day after to`);
  if (last > today) problems.push(`to: ${last} has not come yet: today is ${today} (UTC)`);
  if (problems.length === 0 && first < dayBefore(last, MOST_DAYS - 1))
    problems.push(`from: expected at most ${String(MOST_DAYS)} days at once`);
  refuse(problems);
  return daysBetween(first, last).toReversed();
}

function unknownFields(query: Request['query'], known: readonly string[]): string[] {
  return Object.keys(query)
    .filter((name) => !known.includes(name))
    .map((name) => `${/^\w{1,32}$/.test(name) ? name : 'a field'}: unknown; expected ${known.join(', ')}`);
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new Failure('bad-request', `${problems.join('; ')}.`);
}
