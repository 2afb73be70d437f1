/** Moments and spans of the service → the words pages say them in; in UTC, until a script turns them into the reader's own zone. */
import { html, type Html } from './html.ts';

const MONTH = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

/** `16:32 UTC` of the day of `now`, `27 Nov, 16:32 UTC` of another one. */
export function momentTag(iso: string, now: Date): Html {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return html`<span>not known</span>`;
  const text = at.toISOString();
  const isToday = text.slice(0, 10) === now.toISOString().slice(0, 10);
  const words = `${isToday ? '' : `${MONTH.format(at)}, `}${text.slice(11, 16)} UTC`;
  return html`<time datetime="${text}" data-as="${isToday ? 'clock' : 'moment'}">${words}</time>`;
}

/** `37 min`, and older by itself where scripts run. */
export function agoTag(iso: string, now: Date): Html {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(iso)) / 1000));
  return html`<time datetime="${iso}" data-as="ago">${spanText(seconds)}</time>`;
}

/** `71 s`, `4 min 10 s`, `37 min`, `3 h`, `2 days`. */
export function spanText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 120) return `${String(whole)} s`;
  if (whole < 600 && whole % 60 !== 0) return `${String(Math.floor(whole / 60))} min ${String(whole % 60)} s`;
  if (whole < 7_200) return `${String(Math.round(whole / 60))} min`;
  if (whole < 172_800) return `${String(Math.round(whole / 3_600))} h`;
  return `${String(Math.round(whole / 86_400))} days`;
}

/** `1,247`. */
export function grouped(count: number): string {
  return count.toLocaleString('en-GB');
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}
