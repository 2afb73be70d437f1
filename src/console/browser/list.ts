/** The list of the find page: keys that go through it, and recordings that open beside it without the page being loaded anew. */
import { localTimes } from './frame.ts';
import { askForPage, make } from './dom.ts';
import { onKey } from './keys.ts';
import type { CallPlayer } from './player.ts';
import { isSignedOut, saySignedOut } from './session.ts';

/** Sooner nothing is said; later it can be given up. */
const QUIET_MS = 300;
const SLOW_MS = 5_000;

function rows(): readonly HTMLAnchorElement[] {
  return [...document.querySelectorAll<HTMLAnchorElement>('.list td a')];
}

/** From the row that has the focus, else from the one that is open. */
function step(steps: 1 | -1): void {
  const all = rows();
  const focused = all.findIndex((row) => row === document.activeElement);
  const from = focused >= 0 ? focused : all.findIndex((row) => row.hasAttribute('aria-current'));
  const next = all[from < 0 ? (steps > 0 ? 0 : all.length - 1) : from + steps];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

let asking: XMLHttpRequest | undefined;
/** The address of what stands on the page. */
let shown = withoutHash(location.href);

function withoutHash(href: string): string {
  const { pathname, search } = new URL(href);
  return pathname + search;
}

/** undefined where another one was asked for meanwhile, or it was given up. @throws where another page came, or none */
async function ask(href: string): Promise<Document | undefined> {
  asking?.abort();
  const request = (asking = new XMLHttpRequest());
  const { response } = await askForPage(href, request);
  if (request !== asking) return undefined;
  if (response instanceof Document && response.getElementById('recording') !== null) return response;
  throw new Error('another page');
}

function endAsking(): void {
  asking?.abort();
  asking = undefined;
}

let player: Promise<unknown> | undefined;

/** Half of all scripts: a list is painted and can be used before they are here, and the first recording that is opened finds them. */
function needPlayer(): Promise<unknown> {
  player ??= import('./player.ts');
  return player;
}

interface Opening {
  readonly isNew: boolean;
  readonly playFocus: boolean;
}

async function open(href: string, { isNew, playFocus }: Opening): Promise<void> {
  const waiting = setTimeout(showBars, QUIET_MS);
  const slow = setTimeout(offerCancel, SLOW_MS);
  try {
    const [answer] = await Promise.all([
      ask(`/console/find?part=recording&${new URL(href).search.slice(1)}`),
      needPlayer(),
    ]);
    if (answer === undefined) return;
    if (answer.querySelector('live-page') !== null) void import('./live.ts');
    if (isNew) history.pushState(null, '', href);
    shown = withoutHash(href);
    replace(answer, playFocus);
  } catch {
    if (await isSignedOut())
      return saySignedOut({ stays: 'The list stays.', back: () => void open(href, { isNew, playFocus }) });
    // Refused or away: the page itself says so.
    location.assign(href);
  } finally {
    clearTimeout(waiting);
    clearTimeout(slow);
  }
}

/** The list stays as it is, and with it the place where one reads. */
function replace(answer: Document, playFocus: boolean): void {
  document.title = answer.title;
  const fresh = answer.getElementById('recording');
  if (fresh !== null) document.getElementById('recording')?.replaceWith(document.importNode(fresh, true));
  for (const row of rows()) {
    const isOpen = withoutHash(row.href) === shown;
    row.closest('tr')?.classList.toggle('sel', isOpen);
    row.ariaCurrent = isOpen ? 'true' : null;
  }
  localTimes(document);
  if (!playFocus) return;
  const player = document.querySelector<CallPlayer>('call-player');
  if (player === null) document.getElementById('recording')?.focus();
  else player.focusPlay();
}

function showBars(): void {
  shown = '';
  const article = document.getElementById('recording');
  article?.setAttribute('aria-busy', 'true');
  article?.replaceChildren(
    ...Array.from({ length: 6 }, () => make('div', { class: 'bars' })),
    make('p', { class: 'muted', role: 'status' }, 'Loading'),
  );
}

function offerCancel(): void {
  const cancel = make('button', { type: 'button', class: 'btn' }, 'Cancel');
  cancel.addEventListener('click', () => {
    endAsking();
    const article = document.getElementById('recording');
    article?.removeAttribute('aria-busy');
    article?.replaceChildren(make('p', { class: 'muted' }, 'Not loaded.'));
    article?.focus();
  });
  const said = document.querySelector('#recording [role=status]');
  said?.replaceChildren('The archive is slow; still trying. ', cancel);
}

document.addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>('.list td a') : null;
  if (link === null || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  void open(link.href, { isNew: true, playFocus: true });
});

/** A step to a place within the page leaves what is shown, and what plays, as it is. */
addEventListener('popstate', () => {
  if (withoutHash(location.href) === shown) endAsking();
  else void open(location.href, { isNew: false, playFocus: false });
});

onKey('/', { does: 'search field', act: () => document.getElementById('q')?.focus() });
onKey(['j', 'k'], { does: 'next, previous recording', act: ({ key }) => step(key === 'j' ? 1 : -1) });
onKey(['ArrowDown', 'ArrowUp'], {
  does: 'in the list: next, previous',
  act: ({ key, target }) => {
    if (!(target instanceof Element) || target.closest('.list') === null) return false;
    step(key === 'ArrowDown' ? 1 : -1);
    return true;
  },
});
onKey('h', { does: 'to health', act: () => location.assign('/console/health') });
onKey('Escape', {
  does: 'back to the list',
  act: () => {
    const row = document.querySelector<HTMLElement>('.list a[aria-current]') ?? rows()[0];
    row?.focus();
  },
});

for (const hint of document.querySelectorAll<HTMLElement>('.foot .keys')) hint.hidden = false;
addEventListener('load', () => requestAnimationFrame(() => void needPlayer().catch(() => undefined)));
