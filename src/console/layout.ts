/** What a page shows → the whole document: head, navigation, who is signed in, and the page itself. */
import type { Assets } from './assets.ts';
import type { NamesOfDivisions } from './divisions.ts';
import { html, named, type Html } from './html.ts';
import { tokenField, type Section, type ShownPage } from './visit.ts';
import type { Role } from '../config/console.ts';
import type { Identity } from './who/identity.ts';

export type Theme = 'light' | 'dark';

/** What stands around a page. */
export interface Frame {
  readonly assets: Assets;
  /** undefined before anybody has signed in. */
  readonly who: Identity | undefined;
  readonly token: string;
  /** Chosen by the switch; undefined where the system decides. */
  readonly theme: Theme | undefined;
  /** Of the service: a reader's own may be wrong. */
  readonly now: Date;
  /** What divisions are called, by id. */
  readonly divisions: NamesOfDivisions;
  /** Recordings that somebody has to look after. */
  readonly needsSomeone: number;
}

interface NavEntry {
  readonly section: Section;
  readonly text: string;
  readonly role: Role;
}

const ENTRIES: readonly NavEntry[] = [
  { section: 'find', text: 'Find', role: 'listen' },
  { section: 'health', text: 'Health', role: 'listen' },
  { section: 'audit', text: 'Audit', role: 'audit' },
];

export function pageDocument(shown: ShownPage, frame: Frame): Html {
  const { assets, theme, who } = frame;
  const ends = who?.ends;
  const wanted = ['frame', ...(shown.modules ?? []), ...(ends === undefined ? [] : ['session'])];
  const modules = wanted.filter((name) => assets.get(`${name}.js`) !== undefined);
  return html`<!doctype html>
    <html
      lang="en"
      data-now="${frame.now.toISOString()}"
      ${theme !== undefined && html`data-theme="${theme}"`}
      ${ends !== undefined && html`data-ends="${ends.at}"`}
    >
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${shown.title} – Recordings</title>
        <link rel="icon" type="image/svg+xml" href="${assets.urlOf('icon.svg')}" />
        <link rel="stylesheet" href="${assets.urlOf('console.css')}" />
        ${shown.goesOnTo !== undefined && html`<noscript><meta http-equiv="refresh" content="0; url=${shown.goesOnTo}" /></noscript>`}
        ${modules.map((name) => html`<script type="module" src="${assets.urlOf(`${name}.js`)}"></script>`)}
      </head>
      <body>
        <a class="skip" href="#content">Skip to content</a>
        ${pageHeader(shown, frame)}
        <main id="content" tabindex="-1">${shown.main}</main>
      </body>
    </html> `;
}

function pageHeader({ section }: ShownPage, frame: Frame): Html {
  const { who } = frame;
  const entries = ENTRIES.filter(({ role }) => who?.roles.has(role) === true);
  return html`<header class="top">
    <a class="brand" href="/console/">${MARK}<span class="bt">Recordings</span></a>
    ${
      entries.length > 0 &&
      html`<nav class="main" aria-label="Main">
        ${entries.map((entry) => entryLink(entry, { isCurrent: entry.section === section, frame }))}
      </nav>`
    }
    <span class="grow"></span>
    <button class="ib" type="button" id="theme" hidden aria-label="Switch between light and dark">${SUN}</button>
    ${who !== undefined && menuOf(who, frame)}
  </header>`;
}

function entryLink({ section, text }: NavEntry, at: { readonly isCurrent: boolean; readonly frame: Frame }): Html {
  const { isCurrent, frame } = at;
  const count = section === 'health' && frame.needsSomeone > 0 && countBadge(frame.needsSomeone);
  return html`<a href="/console/${section}" ${isCurrent && html`aria-current="page"`}>${text}${count}</a>`;
}

function countBadge(count: number): Html {
  return html` <span class="count"><span class="vh">, needs someone: </span>${count > 999 ? '999+' : count}</span>`;
}

/** Opens without scripts; on a phone the name is inside. */
function menuOf(who: Identity, { token, divisions }: Frame): Html {
  const mayLeave = who.way === 'key' || who.way === 'oidc';
  return html`<details class="me">
    <summary><span class="ini" aria-hidden="true">${initialOf(who.id)}</span><b>${named(who.id)}</b></summary>
    <div class="card menu">
      <p><b class="id">${named(who.id)}</b></p>
      <p class="roles">
        ${[...who.roles].map((role) => html`<span class="role">${role}</span> `)}
        ${who.roles.size === 0 && html`<span class="muted">no role</span>`}
      </p>
      ${
        who.divisions !== 'all' &&
        html`<p class="muted small">
          listens to: ${[...who.divisions].map((id) => html`${named(divisions.get(id) ?? id)} `)}
        </p>`
      }
      ${
        mayLeave &&
        html`<form method="post" action="/console/sign-out">
          ${tokenField({ token })}<button class="btn" type="submit">Sign out</button>
        </form>`
      }
    </div>
  </details>`;
}

function initialOf(id: string): string {
  const [first] = new Intl.Segmenter('en').segment(id);
  return first?.segment.toUpperCase() ?? '?';
}

const MARK = html`<svg viewBox="0 0 20 20" aria-hidden="true">
  <path class="cus" d="M2 9V7M5 9V4M8 9V2M11 9V5M14 9V3M17 9V7" />
  <path class="agt" d="M2 12v1M5 12v4M8 12v2M11 12v6M14 12v3M17 12v1" />
</svg>`;

const SUN = html`<svg viewBox="0 0 20 20" aria-hidden="true">
  <path
    d="M10 3v1.5M10 15.5V17M3 10h1.5M15.5 10H17M5 5l1 1M14 14l1 1M15 5l-1 1M6 14l-1 1M10 7a3 3 0 1 1 0 6a3 3 0 0 1 0-6"
  />
</svg>`;
