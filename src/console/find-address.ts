/** The address of the find page ↔ what is asked for: the address is the state, and nothing else is. */
import { STATUSES, type Status } from '../archive/archive.ts';
import { Failure } from '../failure.ts';
import { dayBefore } from '../instant.ts';
import type { SearchQuery } from '../search/search.ts';

export interface FindAddress {
  readonly text: string;
  /** UTC days, both inclusive. */
  readonly from: string;
  readonly to: string;
  readonly queue: string | undefined;
  readonly minLengthS: number | undefined;
  readonly status: Status | undefined;
  readonly direction: 'inbound' | 'outbound' | undefined;
  readonly cursor: string | undefined;
  /** The key of the recording that is shown beside the list. */
  readonly open: string | undefined;
}

const DIRECTIONS = ['inbound', 'outbound'] as const;
/** Of one page. */
const ROWS = 50;
/** Without a day in the address: today and the six before. */
const DAYS = 7;

/** @throws Failure `bad-request` naming what is wrong in the address */
export function parseFindAddress(query: URLSearchParams, today: string): FindAddress {
  const given = (name: string): string | undefined => {
    const value = query.get(name)?.trim();
    return value === '' ? undefined : value;
  };
  const to = given('to') ?? today;
  return {
    text: given('q') ?? '',
    from: given('from') ?? (given('to') === undefined ? dayBefore(today, DAYS - 1) : to),
    to,
    queue: given('queue'),
    minLengthS: parseMinLength(given('minLength')),
    status: parseChoice('status', given('status'), STATUSES),
    direction: parseChoice('direction', given('direction'), DIRECTIONS),
    cursor: given('cursor'),
    open: given('open'),
  };
}

function parseMinLength(text: string | undefined): number | undefined {
  if (text === undefined || /^\d{1,6}$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new Failure('bad-request', 'minLength: expected a number of seconds.');
}

function parseChoice<const T extends string>(
  name: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  const found = choices.find((choice) => choice === text);
  if (text === undefined || found !== undefined) return found;
  throw new Failure('bad-request', `${name}: expected ${choices.join(', ')}.`);
}

/** `change` on top; another list begins on its first page, with nothing open. */
export function findHref(address: FindAddress, change: Partial<FindAddress> = {}): string {
  const isSameList = Object.keys(change).every((name) => name === 'open' || name === 'cursor');
  const { text, from, to, queue, minLengthS, status, direction, cursor, open } = {
    ...address,
    ...(isSameList ? {} : { cursor: undefined, open: undefined }),
    ...change,
  };
  const pairs = { q: text, from, to, queue, minLength: minLengthS, status, direction, cursor, open };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(pairs))
    if (value !== undefined && value !== '') query.set(name, String(value));
  return `/console/find?${query.toString()}`;
}

export function searchOf(
  { text, from, to, queue, minLengthS, status, direction, cursor }: FindAddress,
  may: Pick<SearchQuery, 'divisions' | 'mayFindNumbers'>,
): SearchQuery {
  const minDurationMs = minLengthS === undefined ? undefined : minLengthS * 1000;
  return { text, from, to, queue, minDurationMs, status, direction, cursor, ...may, limit: ROWS };
}
