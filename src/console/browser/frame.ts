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

const FORMS: Readonly<Record<string, Intl.DateTimeFormatOptions>> = {
  clock: { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  second: { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
  moment: { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
};

/** `<time datetime data-as="clock">`, written in UTC by the server. */
export function localTimes(root: ParentNode): void {
  for (const time of root.querySelectorAll<HTMLTimeElement>('time[data-as]')) {
    const at = new Date(time.dateTime);
    const form = FORMS[time.dataset['as'] ?? ''];
    if (form === undefined || Number.isNaN(at.getTime())) continue;
    time.title = `${time.dateTime.slice(0, 19).replace('T', ' ')} UTC`;
    time.textContent = new Intl.DateTimeFormat('en-GB', form).format(at);
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

const theme = document.getElementById('theme');
if (theme !== null) offerThemes(theme);
localTimes(document);
for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.me')) closeMenus(menu);
