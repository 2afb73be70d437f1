/** A part that is away → what a page says in its place, and for pages that wait: whether it is there again. */
import { Failure, FAILURES } from '../failure.ts';
import { html, type Html } from './html.ts';
import type { LastFacts } from './last-shown.ts';
import { momentTag } from './moments.ts';
import type { NeededPart } from './returns.ts';
import { type AnswerVisit, data } from './visit.ts';

/** Pages begin with this one; as soon as it is another one they take over what is new. */
const AWAY = '"away"';

export const tellAway: AnswerVisit = async ({ query }, { returns }) => {
  const part = query.get('of') ?? '';
  if (part !== 'archive' && part !== 'index' && part !== 'audit')
    throw new Failure('bad-request', 'of: expected archive, index or audit.');
  const isThere = await returns.isThere(part);
  return data('application/json; charset=utf-8', JSON.stringify({ isThere }), isThere ? '"there"' : AWAY);
};

export interface AwayFacts extends Pick<LastFacts<unknown>, 'facts' | 'at'> {
  readonly problem: Failure;
  readonly part: NeededPart;
}

/** The first thing in a `data-part` that is not of now; the rest of it is greyed. */
export function awayPart({ facts, at, problem, part }: AwayFacts, now: Date): Html {
  return html`<live-page class="away" data-watch="/console/away.json?of=${part}" data-etag="${AWAY}">
    ${facts !== undefined && html`<p><b>As of ${momentTag(at, now)}.</b> What is shown is what was known then.</p>`}
    <p>${problem.message}</p>
    <p class="small">
      <b>What to do next:</b> ${FAILURES[problem.code].next} <a class="again" href="">Try again</a
      ><span class="goes-on">, or wait: this goes on by itself.</span>
    </p>
  </live-page>`;
}
