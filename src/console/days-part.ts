/** What the proofs of the last days say → columns: what is archived, due and failed, and in words for whoever does not see them. */
import { html, type Html } from './html.ts';
import { grouped } from './moments.ts';
import type { DayState } from '../overview.ts';

const HEIGHT = 78;
const WIDTH = 30;
/** A column of few is still seen. */
const LEAST = 3;

const WEEKDAY = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', timeZone: 'UTC' });

export function daysPart(days: readonly DayState[], now: Date): Html {
  const most = Math.max(1, ...days.map(({ recordings }) => recordings ?? 0));
  const today = now.toISOString().slice(0, 10);
  return html`<section class="card sec" data-part="days" aria-labelledby="days">
    <div class="h">
      <h2 id="days">Complete by day</h2>
      <span class="muted small">what Genesys has against what is here, UTC</span>
      <span class="grow"></span>
      <span class="legend" aria-hidden="true"
        ><span class="ok">archived</span><span class="wt">due</span><span class="fl">failed</span></span
      >
    </div>
    <ol class="days">
      ${days.toReversed().map((state) => dayColumn(state, { most, isToday: state.day === today }))}
    </ol>
  </section>`;
}

function dayColumn(state: DayState, { most, isToday }: { readonly most: number; readonly isToday: boolean }): Html {
  const { archived, failed } = state;
  const due = (state.missing ?? 0) + (state.waiting ?? 0);
  const parts = [
    ['ok', archived ?? 0],
    ['wt', due],
    ['fl', failed ?? 0],
  ] as const;
  let top = HEIGHT;
  const bars = parts.flatMap(([name, count]) => {
    if (count === 0) return [];
    const height = Math.max(LEAST, Math.round((count / most) * (HEIGHT - 2 * LEAST)));
    top -= height + 1;
    return [html`<rect class="${name}" x="1" y="${top}" width="${WIDTH - 2}" height="${height}" rx="2" />`];
  });
  return html`<li>
    <a href="/console/find?from=${state.day}&amp;to=${state.day}">
      <svg class="col" viewBox="0 -4 ${WIDTH} ${HEIGHT + 4}" aria-hidden="true">${bars}</svg>
      <span class="dl num" aria-hidden="true">${Number(state.day.slice(8))}</span>
      ${columnWords(state, { due, isToday })}
    </a>
  </li>`;
}

function columnWords(state: DayState, { due, isToday }: { readonly due: number; readonly isToday: boolean }): Html {
  const failed = state.failed ?? 0;
  const day = WEEKDAY.format(new Date(`${state.day}T00:00:00Z`));
  const [tone, word] = shortWord(state, { due, failed, isToday });
  const counts =
    state.recordings === null
      ? 'not compared'
      : `${grouped(state.recordings)} expected, ${grouped(state.archived ?? 0)} archived, ${grouped(due)} due, ${grouped(failed)} failed`;
  return html`<span class="dn ${tone}" aria-hidden="true">${word}</span><span class="vh">${day}: ${counts}</span>`;
}

function shortWord(
  { recordings }: DayState,
  { due, failed, isToday }: { readonly due: number; readonly failed: number; readonly isToday: boolean },
): readonly [tone: string, word: string] {
  if (recordings === null) return ['', isToday ? 'today' : '?'];
  if (failed > 0) return ['isbad', `${grouped(failed)} failed`];
  return due > 0 ? ['iswarn', `${grouped(due)} due`] : ['', 'all'];
}
