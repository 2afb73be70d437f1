/** Why a page cannot be shown → a page that says so, and what to do next. */
import type { Failure } from '../failure.ts';
import { html } from './html.ts';
import type { ShownPage } from './visit.ts';

const TITLES: ReadonlyMap<number, string> = new Map([
  [401, 'Please sign in'],
  [403, 'Not for you to see'],
  [404, 'Nothing here'],
  [429, 'Too much at once'],
  [503, 'Not possible just now'],
  [504, 'Not possible just now'],
]);

export function refusalPage(failure: Failure, requestId: string): ShownPage {
  const title = TITLES.get(failure.status) ?? (failure.status < 500 ? 'That does not work' : 'Something went wrong');
  const isLate = failure.status >= 500;
  return {
    kind: 'page',
    title,
    status: failure.status,
    main: html`<section class="card sec notice">
      <h1>${title}</h1>
      <p>${failure.message}</p>
      <p class="acts">
        ${isLate && html`<a class="btn pri" href="">Try again</a>`} <a class="btn" href="/console/">To the start</a>
      </p>
      <p class="muted small">Request <code>${requestId}</code></p>
    </section>`,
  };
}
