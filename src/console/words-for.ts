/** Lengths, moments, days, statuses and people of recordings → the words that pages say them in. */
import type { Status } from '../archive/archive.ts';
import { html, named, type Html } from './html.ts';
import { type Identity, shownNumber } from './who/identity.ts';

/** `7:42`, `1:02:03`. */
export function lengthWords(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(seconds % 60).padStart(2, '0');
  return hours === 0 ? `${String(minutes)}:${rest}` : `${String(hours)}:${String(minutes).padStart(2, '0')}:${rest}`;
}

/** `1 minute 58 seconds`: what a screen reader says. */
export function spokenLength(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const parts = [
    [Math.floor(seconds / 3600), 'hour'],
    [Math.floor(seconds / 60) % 60, 'minute'],
    [seconds % 60, 'second'],
  ] as const;
  const said = parts.flatMap(([count, unit]) =>
    count === 0 ? [] : [`${String(count)} ${unit}${count === 1 ? '' : 's'}`],
  );
  return said.length === 0 ? '0 seconds' : said.join(' ');
}

const DAY_FORM = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', timeZone: 'UTC' });
const DATE_FORM = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  timeZone: 'UTC',
});

/** `Today, Friday 27 November`; the year where it is another one. */
export function dayHeading(day: string, today: string): string {
  const date = new Date(`${day}T00:00:00Z`);
  const name = DAY_FORM.format(date).replace(',', '');
  const yesterday = new Date(Date.parse(`${today}T00:00:00Z`) - 86_400_000).toISOString().slice(0, 10);
  if (day === today) return `Today, ${name}`;
  if (day === yesterday) return `Yesterday, ${name}`;
  return day.slice(0, 4) === today.slice(0, 4) ? name : `${name} ${day.slice(0, 4)}`;
}

/** `27 Nov 2026`. */
export function dateWords(instant: string): string {
  return DATE_FORM.format(new Date(instant));
}

/** In UTC; where scripts run, in the reader's own zone with UTC in the title. */
export function timeOf(instant: string, form: 'clock' | 'second' | 'moment'): Html {
  const iso = new Date(instant).toISOString();
  const text = {
    clock: iso.slice(11, 16),
    second: iso.slice(11, 19),
    moment: `${dateWords(iso)}, ${iso.slice(11, 16)}`,
  };
  return html`<time datetime="${iso}" data-as="${form}">${text[form]}</time>`;
}

export function sizeOf(bytes: number): string {
  if (bytes < 1_000_000) return `${String(Math.max(1, Math.round(bytes / 1_000)))} kB`;
  return `${(bytes / 1_000_000).toFixed(bytes < 100_000_000 ? 2 : 0)} MB`;
}

export interface StatusWords {
  readonly word: string;
  /** Of `.st`; empty for what is well. */
  readonly tone: '' | 'warn' | 'bad';
  /** Where the picture would be. */
  readonly instead: string;
}

export const STATUS_WORDS: Readonly<Record<Status, StatusWords>> = {
  archived: { word: 'Archived', tone: '', instead: 'no picture' },
  waiting: { word: 'Waiting', tone: 'warn', instead: 'not here yet' },
  failed: { word: 'Failed', tone: 'bad', instead: 'see reason' },
  'no-media': { word: 'No media', tone: '', instead: 'chat or email' },
  'no-recordings': { word: 'No recording', tone: '', instead: 'not recorded' },
};

/** All who took part, the first by name. */
export function peopleOf(names: readonly string[]): Html | undefined {
  const [first, ...others] = names;
  if (first === undefined) return undefined;
  return html`${named(first)}${
    others.length > 0 && html` <span class="muted" title="${others.join(', ')}">+${others.length}</span>`
  }`;
}

/** Masked for who may not see numbers. */
export function numberFor(number: string | null, who: Identity): string | undefined {
  return number === null || number === '' ? undefined : shownNumber(number, who);
}
