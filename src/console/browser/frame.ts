/** What every page does where scripts run: the switch between light and dark, and times in the reader's own zone. */

const YEAR_S = 31_536_000;

function isDark(): boolean {
  const chosen = document.documentElement.dataset['theme'];
  return chosen === undefined ? matchMedia('(prefers-color-scheme: dark)').matches : chosen === 'dark';
}

function offerThemes(button: HTMLElement): void {
  button.hidden = false;
  button.addEventListener('click', () => {
    const theme = isDark() ? 'light' : 'dark';
    document.documentElement.dataset['theme'] = theme;
    // The server writes it into the next page, so that none is ever shown in the other one first.
    document.cookie = `archiver-theme=${theme}; Path=/console; SameSite=Lax; Max-Age=${String(YEAR_S)}`;
  });
}

// As Intl writes it in en-GB; making its formats takes longer than all else that is done before a list is painted.
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sept', 'Oct', 'Nov', 'Dec'] as const;

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

function wallClock(at: Date): string {
  return `${twoDigits(at.getHours())}:${twoDigits(at.getMinutes())}`;
}

const FORMS: Readonly<Record<string, (at: Date) => string>> = {
  clock: wallClock,
  second: (at) => `${wallClock(at)}:${twoDigits(at.getSeconds())}`,
  moment: (at) => `${String(at.getDate())} ${MONTHS[at.getMonth()] ?? ''}, ${wallClock(at)}`,
};

let known = { atMs: Date.parse(document.documentElement.dataset['now'] ?? ''), since: performance.now() };

/** As the service told it last: the clock of a reader may be wrong, or jump. */
export function serviceNow(): number {
  const now = known.atMs + performance.now() - known.since;
  return Number.isNaN(now) ? Date.now() : now;
}

/** `date`: of an answer that has just come. */
export function toldNow(date: string | null): void {
  const atMs = Date.parse(date ?? '');
  if (!Number.isNaN(atMs)) known = { atMs, since: performance.now() };
}

/** `37 min`: as src/console/moments.ts writes it. */
function ageText(seconds: number): string {
  if (seconds < 120) return `${String(seconds)} s`;
  if (seconds < 7_200) return `${String(Math.round(seconds / 60))} min`;
  return seconds < 172_800
    ? `${String(Math.round(seconds / 3_600))} h`
    : `${String(Math.round(seconds / 86_400))} days`;
}

/** `<time datetime data-as="clock">`, written in UTC by the server. */
export function localTimes(root: ParentNode): void {
  for (const time of root.querySelectorAll<HTMLTimeElement>('time[data-as]')) {
    const at = new Date(time.dateTime);
    const form = FORMS[time.dataset['as'] ?? ''];
    if (Number.isNaN(at.getTime())) continue;
    time.title = `${time.dateTime.slice(0, 19).replace('T', ' ')} UTC`;
    const isAgo = time.dataset['as'] === 'ago';
    if (isAgo) time.textContent = ageText(Math.max(0, Math.round((serviceNow() - at.getTime()) / 1000)));
    else if (form !== undefined) time.textContent = form(at);
  }
}

/** The open menu closes on Escape and on a click elsewhere, as menus do. */
function closeMenus(menu: HTMLDetailsElement): void {
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !menu.open) return;
    menu.open = false;
    menu.querySelector('summary')?.focus();
  });
  document.addEventListener('click', (event) => {
    if (event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
  });
}

const MOMENT = 'archiver-moment';

/** What stands behind `#` reaches no server, and an identity provider does not bring it back: it waits here for its page. */
function keepMoment(path: string): void {
  if (location.hash === '') sessionStorage.removeItem(MOMENT);
  else sessionStorage.setItem(MOMENT, path + location.hash);
}

/** Once, where the page is the one that was asked for. */
function backToMoment(): void {
  const kept = sessionStorage.getItem(MOMENT);
  sessionStorage.removeItem(MOMENT);
  const isHere = kept?.startsWith(`${location.pathname}${location.search}#`) === true;
  if (isHere && location.hash === '') history.replaceState(null, '', kept);
}

const onward = document.querySelector<HTMLAnchorElement>('a[data-leave]');
try {
  if (onward === null) backToMoment();
  else keepMoment(onward.dataset['leave'] ?? '');
} catch {
  // Whoever keeps nothing of a site begins at the beginning.
}
if (onward !== null) location.replace(onward.href);

// A sign-in goes on to the very moment of a link.
const to = document.querySelector<HTMLInputElement>('input[name=to]');
if (to !== null && location.hash !== '' && !to.value.includes('#')) to.value += location.hash;

const theme = document.getElementById('theme');
if (theme !== null) offerThemes(theme);
localTimes(document);
for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.me')) closeMenus(menu);
