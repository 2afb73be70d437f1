/** Why a page cannot be shown → a page that says so, and what to do next. */
import type { Failure } from '../failure.ts';
import { awayPart } from './away.ts';
import { html, type Html } from './html.ts';
import { isAway } from './last-shown.ts';
import type { ShownPage } from './visit.ts';

const TITLES: ReadonlyMap<number, string> = new Map([
  [401, 'Please sign in'],
  [403, 'Not for you to see'],
  [404, 'Nothing here'],
  [429, 'Too much at once'],
  [503, 'Not possible just now'],
  [504, 'Not possible just now'],
]);

export interface RefusedPage {
  readonly failure: Failure;
  readonly requestId: string;
  /** Where a form was sent from: its own address shows nothing. undefined for what is asked for again as it stands. */
  readonly back: string | undefined;
}

export function refusalPage({ failure, requestId, back }: RefusedPage, now: Date): ShownPage {
  const title = TITLES.get(failure.status) ?? (failure.status < 500 ? 'That does not work' : 'Something went wrong');
  const waits = back === undefined && isAway(failure);
  return {
    kind: 'page',
    title,
    status: failure.status,
    modules: waits ? ['live'] : [],
    main: html`<section class="card sec notice" data-part="refusal">
      <h1>${title}</h1>
      ${waits ? awayPart({ facts: undefined, at: '', problem: failure, part: 'archive' }, now) : html`<p>${failure.message}</p>`}
      <p class="acts">${!waits && againLink(failure, back)} <a class="btn" href="/console/">To the start</a></p>
      <p class="muted small">Request <code>${requestId}</code></p>
    </section>`,
  };
}

function againLink({ status }: Failure, back: string | undefined): Html | undefined {
  if (status < 500) return undefined;
  return back === undefined
    ? html`<a class="btn pri" href="">Try again</a>`
    : html`<a class="btn pri" href="${back}">Back to where it was asked for</a>`;
}
