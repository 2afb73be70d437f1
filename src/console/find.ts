/** The find page: filters, the list of what was found day by day, and beside it the recording that was chosen. */
import { Failure } from '../failure.ts';
import { dayAt, dayBefore } from '../instant.ts';
import { statesOfDays, type DayState } from '../overview.ts';
import type { FoundRow, SearchPage } from '../search/search.ts';
import { awayPart } from './away.ts';
import { findHref, parseFindAddress, searchOf, type FindAddress } from './find-address.ts';
import { html, named, type Html } from './html.ts';
import type { LastFacts } from './last-shown.ts';
import type { FoundFacts } from './page-facts.ts';
import { ifInTime } from './patience.ts';
import { recordingArticle } from './recording.ts';
import { sparkOf } from './spark.ts';
import { page, type AnswerVisit, type ConsoleNeeds, type Visit, type VisitAnswer } from './visit.ts';
import type { Identity } from './who/identity.ts';
import {
  lengthWords,
  dateWords,
  dayHeading,
  numberFor,
  peopleOf,
  spokenLength,
  STATUS_WORDS,
  timeOf,
} from './words-for.ts';

/** List and recording are looked at side by side: neither waits for the other, and each may be away alone. */
export const showFound: AnswerVisit = async (visit, needs) => {
  const now = needs.now();
  const today = dayAt(now.getTime());
  const address = parseFindAddress(visit.query, today);
  if (visit.query.get('part') === 'recording') return recordingAlone(address, visit, needs);
  const [known, chosen] = await Promise.all([
    lookForFound(address, visit, needs).catch(wrongQuestion),
    address.open === undefined ? undefined : recordingArticle(address.open, visit, needs),
  ]);
  const at = { address, today };
  if (known instanceof Failure)
    return findPage({ title: 'Find and play', status: known.status, ...at, list: sayWrong(known) });
  return findPage({
    title: chosen?.title ?? 'Find and play',
    // A list that is of now is an answer, whatever becomes of the recording beside it.
    problem: known.problem,
    isWaiting: known.problem !== undefined || chosen?.problem !== undefined,
    ...at,
    list: foundPart(known, { ...at, who: visit.who, now }),
    article: chosen?.article,
  });
};

interface FoundPlace {
  readonly address: FindAddress;
  readonly today: string;
  readonly who: Identity;
  readonly now: Date;
}

/** For a list that stands on the page already: nothing is searched for anew, nor put on record as if it were. */
async function recordingAlone({ open }: FindAddress, visit: Visit, needs: ConsoleNeeds): Promise<VisitAnswer> {
  const chosen = open === undefined ? undefined : await recordingArticle(open, visit, needs);
  return page({ title: chosen?.title ?? 'Find and play', section: 'find', main: chosen?.article ?? NOTHING_CHOSEN });
}

function foundPart({ facts, at, problem }: LastFacts<FoundFacts>, { address, today, who, now }: FoundPlace): Html {
  const away = problem && awayPart({ facts, at, problem, part: 'index' }, now);
  if (facts === undefined)
    return html`<section class="card list" aria-labelledby="found" data-part="list">
      ${away}
      <div class="cap">
        <h2 id="found"><span role="status">What there is cannot be told just now</span></h2>
      </div>
    </section>`;
  const { found, days, isEmpty } = facts;
  if (isEmpty && away === undefined && !isNarrowed(address)) return firstSteps();
  return listCard({ address, found, today, who, away }, new Map(days.map((state) => [state.day, state])));
}

interface FindContents {
  readonly title: string;
  readonly status?: number;
  readonly problem?: Failure | undefined;
  /** Some of it is not of now. */
  readonly isWaiting?: boolean;
  readonly address: FindAddress;
  readonly today: string;
  readonly list: Html;
  readonly article?: Html | undefined;
}

function findPage({
  address,
  today,
  list,
  article = NOTHING_CHOSEN,
  isWaiting = false,
  ...shown
}: FindContents): VisitAnswer {
  const player = article === NOTHING_CHOSEN ? [] : ['player'];
  return page({
    ...shown,
    section: 'find',
    modules: ['list', ...player, ...(isWaiting ? ['live'] : [])],
    main: html`<h1 class="vh">Find and play a recording</h1>
      ${filterForm(address, today)}
      <div class="split">${list} ${article}</div>
      <p class="vh" role="status" data-said></p>`,
  });
}

const NOTHING_CHOSEN = html`<article class="card det none" id="recording">
  <p class="muted">Choose a recording to hear it.</p>
</article>`;

/** What was asked wrongly is said where it can be asked anew. */
function wrongQuestion(thrown: unknown): Failure {
  if (thrown instanceof Failure && thrown.code === 'bad-request') return thrown;
  throw thrown;
}

function sayWrong({ message }: Failure): Html {
  return html`<section class="card said bad" aria-labelledby="found">
    <h2 id="found"><span role="status">That cannot be searched</span></h2>
    <p>${message}</p>
  </section>`;
}

function lookForFound(address: FindAddress, visit: Visit, needs: ConsoleNeeds): Promise<LastFacts<FoundFacts>> {
  const { open: _open, ...asked } = address;
  const look = async (signal: AbortSignal): Promise<FoundFacts> => {
    const found = await search(address, { ...visit, signal }, needs);
    const [days, isEmpty] = await Promise.all([
      completeness(daysShown(found.rows), needs, signal),
      found.rows.length === 0 && isNothingArchived(needs, signal),
    ]);
    return { found, days, isEmpty };
  };
  return needs.lastShown.find.look({ of: JSON.stringify(asked), who: visit.who }, look, visit.signal);
}

async function search(address: FindAddress, visit: Visit, needs: ConsoleNeeds): Promise<SearchPage> {
  const { who, signal } = visit;
  if (needs.search === undefined)
    throw new Failure('misconfigured', 'Nothing can be searched here: this deployable has no index.');
  const divisions = who.divisions === 'all' ? undefined : [...who.divisions];
  const asked = searchOf(address, { divisions, mayFindNumbers: who.roles.has('numbers') });
  const recorded = needs.witness.record(visit.req, {
    action: 'searched',
    way: who.way,
    who: who.id,
    about: aboutSearch(address, needs),
  });
  const [found] = await Promise.all([needs.search.search(asked, signal), recorded]);
  return found;
}

/** Which fields were asked by, and a keyed hash of what was asked for: that it was asked again can be told, what it was cannot. */
function aboutSearch(address: FindAddress, { hashed }: ConsoleNeeds): Readonly<Record<string, string>> {
  const { open: _open, cursor: _cursor, ...asked } = address;
  const fields = Object.entries(asked).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [name]));
  return { fields: fields.join(' '), asked: hashed(JSON.stringify(asked)) };
}

function daysShown(rows: readonly FoundRow[]): readonly string[] {
  return [...new Set(rows.map(({ startedAt }) => startedAt.slice(0, 10)))];
}

/** What the proofs of these days say; nothing where they cannot be read: the list does not depend on them. */
function completeness(
  days: readonly string[],
  { archive, patienceMs }: ConsoleNeeds,
  signal: AbortSignal,
): Promise<readonly DayState[]> {
  const states = (inTime: AbortSignal): Promise<readonly DayState[]> => statesOfDays(days, archive.notes, inTime);
  return ifInTime(states, { otherwise: [], patienceMs }, signal);
}

function isNothingArchived({ archive, patienceMs }: ConsoleNeeds, signal: AbortSignal): Promise<boolean> {
  const isNothing = async (inTime: AbortSignal): Promise<boolean> =>
    (await archive.list({ limit: 1 }, inTime)).entries.length === 0;
  return ifInTime(isNothing, { otherwise: false, patienceMs }, signal);
}

function isNarrowed({ text, queue, minLengthS, status, direction, cursor }: FindAddress): boolean {
  return [text === '' ? undefined : text, queue, minLengthS, status, direction, cursor].some(
    (one) => one !== undefined,
  );
}

const MAGNIFIER = html`<svg viewBox="0 0 20 20" aria-hidden="true">
  <path d="M9 3a6 6 0 1 1 0 12a6 6 0 0 1 0-12M13.5 13.5L17.5 17.5" />
</svg>`;

const LENGTHS: readonly (readonly [string, string])[] = [
  ['', 'Any length'],
  ['60', 'Over 1 min'],
  ['600', 'Over 10 min'],
  ['1800', 'Over 30 min'],
];

const STATUS_CHOICES: readonly (readonly [string, string])[] = [
  ['', 'Any status'],
  ...Object.entries(STATUS_WORDS).map(([status, { word }]) => [status, word] as const),
];

const DIRECTION_CHOICES: readonly (readonly [string, string])[] = [
  ['', 'In and out'],
  ['inbound', 'Inbound'],
  ['outbound', 'Outbound'],
];

function filterForm(address: FindAddress, today: string): Html {
  const { text, from, to, queue, minLengthS, status, direction } = address;
  // Never filled in from memory by a browser that goes back: the address is the state.
  return html`<form class="filters" role="search" action="/console/find" method="get" autocomplete="off">
    <label class="field"
      >${MAGNIFIER}<span class="vh">Agent, queue, number or id</span
      ><input
        type="search"
        name="q"
        id="q"
        maxlength="200"
        placeholder="Agent, queue, number, id"
        autocomplete="off"
        spellcheck="false"
        value="${text}"
      /><kbd aria-hidden="true">/</kbd></label
    >
    ${presets(address, today)}
    <label class="lab1"
      ><span class="vh">From day, UTC</span><input class="inp" type="date" name="from" required value="${from}"
    /></label>
    <label class="lab1"
      ><span class="vh">To day, UTC</span><input class="inp" type="date" name="to" required value="${to}"
    /></label>
    ${choice('minLength', 'Longer than', { choices: LENGTHS, chosen: String(minLengthS ?? '') })}
    ${choice('status', 'Status', { choices: STATUS_CHOICES, chosen: status ?? '' })}
    ${choice('direction', 'Direction', { choices: DIRECTION_CHOICES, chosen: direction ?? '' })}
    ${queue !== undefined && html`<input type="hidden" name="queue" value="${queue}" />`}
    <button class="btn pri" type="submit">Find</button>
    <a class="btn" href="/console/find">Clear</a>
  </form>`;
}

interface Choices {
  readonly choices: readonly (readonly [string, string])[];
  readonly chosen: string;
}

function choice(name: string, label: string, { choices, chosen }: Choices): Html {
  const all = choices.some(([value]) => value === chosen)
    ? choices
    : [...choices, [chosen, `Over ${chosen} s`] as const];
  return html`<label
    ><span class="vh">${label}</span
    ><select class="sel-f" name="${name}">
      ${all.map(([value, word]) => html`<option value="${value}" ${value === chosen && html`selected`}>${word}</option>`)}
    </select></label
  >`;
}

function presets(address: FindAddress, today: string): Html {
  const yesterday = dayBefore(today, 1);
  const ranges = [
    ['Today', today, today],
    ['Yesterday', yesterday, yesterday],
    ['7 days', dayBefore(today, 6), today],
    ['30 days', dayBefore(today, 29), today],
  ] as const;
  return html`<nav class="seg" aria-label="Days">
    ${ranges.map(
      ([name, from, to]) =>
        html`<a
          href="${findHref(address, { from, to })}"
          ${address.from === from && address.to === to && html`aria-current="true"`}
          >${name}</a
        >`,
    )}
  </nav>`;
}

interface FoundList {
  readonly address: FindAddress;
  readonly found: SearchPage;
  readonly today: string;
  readonly who: Identity;
  /** Where it is not of now. */
  readonly away: Html | undefined;
}

function listCard(list: FoundList, days: ReadonlyMap<string, DayState>): Html {
  const { address, found, today } = list;
  const groups = Map.groupBy(found.rows, ({ startedAt }) => startedAt.slice(0, 10));
  return html`<section class="card list" aria-labelledby="found" data-part="list">
    ${list.away}
    <div class="cap">
      <h2 id="found"><span role="status">${countWords(found)}</span></h2>
      <span class="muted small">${rangeWords(address)}${freshness(found)}</span>
    </div>
    ${applied(address)}
    ${
      found.rows.length === 0
        ? nothingFound(days.get(today))
        : html`<div class="wide" tabindex="0" role="region" aria-label="Rows">
            <table>
              <caption class="vh">
                Recordings, the newest first
              </caption>
              <thead>
                <tr>
                  <th scope="col">Time</th>
                  <th scope="col">Agent</th>
                  <th scope="col">Queue</th>
                  <th scope="col">Number</th>
                  <th scope="col" class="r">Length</th>
                  <th scope="col">Who speaks</th>
                  <th scope="col">Media</th>
                </tr>
              </thead>
              ${[...groups].map(
                ([day, rows]) =>
                  html`<tbody>
                    <tr class="day">
                      <th scope="rowgroup" colspan="7">
                        <span class="h3">${dayHeading(day, today)}</span> ${dayWords(days.get(day))}
                      </th>
                    </tr>
                    ${rows.map((row) => listRow(row, list))}
                  </tbody>`,
              )}
            </table>
          </div>`
    }
    ${listFoot(list)}
  </section>`;
}

function countWords({ found, isMore }: SearchPage): string {
  const count = found.toLocaleString('en');
  if (isMore) return `More than ${count} found`;
  return found === 0 ? 'Nothing found' : `${count} found`;
}

/** Times are shown in the reader's zone: what stands under which day follows from them only where this is said. */
function rangeWords({ from, to }: FindAddress): string {
  return `${from === to ? '' : `${dateWords(from)} to `}${dateWords(to)}, UTC`;
}

/** What may be missing. */
function freshness({ upTo, backTo }: SearchPage): Html {
  return html`${upTo !== undefined && html` · up to ${timeOf(upTo, 'clock')}`}${
    backTo !== undefined && html` · the index is being made, back to ${dateWords(backTo)} so far`
  }`;
}

/** Filters that are on, each with a link that drops it. */
function applied(address: FindAddress): Html | undefined {
  const { text, queue, minLengthS, status, direction } = address;
  const on: readonly (readonly [string, Partial<FindAddress>])[] = [
    ...(text === '' ? [] : [[`“${text}”`, { text: '' }] as const]),
    ...(queue === undefined ? [] : [[`queue ${queue}`, { queue: undefined }] as const]),
    ...(minLengthS === undefined
      ? []
      : [[`over ${lengthWords(minLengthS * 1000)}`, { minLengthS: undefined }] as const]),
    ...(status === undefined ? [] : [[STATUS_WORDS[status].word, { status: undefined }] as const]),
    ...(direction === undefined ? [] : [[direction, { direction: undefined }] as const]),
  ];
  if (on.length === 0) return undefined;
  return html`<ul class="chips" aria-label="Filters that are on">
    ${on.map(
      ([what, without]) =>
        html`<li>
          <a class="chip" href="${findHref(address, without)}"
            >${named(what)}<span class="vh">, drop this filter</span><span aria-hidden="true"> ×</span></a
          >
        </li>`,
    )}
  </ul>`;
}

function nothingFound(today: DayState | undefined): Html {
  const due = (today?.missing ?? 0) + (today?.waiting ?? 0);
  return html`<div class="sec empty">
    <p>No recording of these days is like that.</p>
    <p class="muted">
      Drop a filter above, or look at more days.${due > 0 && html` ${due} of today are still due.`}
      <a href="/console/failures">What did not arrive</a> says why.
    </p>
  </div>`;
}

/** "1,230 of 1,247 archived, 9 due, 3 failed"; of a day that nobody looked at yet nothing is claimed. */
function dayWords(state: DayState | undefined): Html {
  if (state?.recordings == null || state.archived === null)
    return html`<span class="muted small">not checked against Genesys yet</span>`;
  const due = (state.missing ?? 0) + (state.waiting ?? 0);
  const failed = state.failed ?? 0;
  return html`<span class="muted small"
    >${state.archived.toLocaleString('en')} of ${state.recordings.toLocaleString('en')}
    archived${
      due > 0 && html` · ${due} due`
    }${failed > 0 && html` · <a href="${`/console/failures?from=${state.day}&to=${state.day}`}">${failed} failed</a>`}</span
  >`;
}

const ARROWS = { inbound: '↙', outbound: '↗' } as const;

function listRow(row: FoundRow, { address, who }: FoundList): Html {
  const { key, status, durationMs, direction, agents, queues, picture, medium } = row;
  const { word, tone, instead } = STATUS_WORDS[status];
  const isOpen = key === address.open;
  const number = numberFor(row.number, who);
  const spark = sparkOf(picture);
  return html`<tr ${isOpen && html`class="sel"`}>
    <td>
      <a href="${findHref(address, { open: key })}#recording" ${isOpen && html`aria-current="true"`}
        >${timeOf(row.startedAt, 'clock')}</a
      >
    </td>
    <td>${peopleOf(agents) ?? NOBODY}</td>
    <td>${peopleOf(queues) ?? NOBODY}</td>
    <td class="num">
      ${direction !== null && html`<span class="dir"><span aria-hidden="true">${ARROWS[direction]}</span><span class="vh">${direction} </span></span>`}${
        number === undefined ? NOBODY : named(number)
      }
    </td>
    <td class="num r">
      ${durationMs === null ? NOBODY : html`<span aria-hidden="true">${lengthWords(durationMs)}</span><span class="vh">${spokenLength(durationMs)}</span>`}
    </td>
    <td>${spark ?? html`<span class="nospark">${instead}</span>`}</td>
    <td>
      <span class="st ${tone}"><i></i>${status === 'archived' ? mediumWord(medium) : word}</span>
    </td>
  </tr>`;
}

const NOBODY = html`<span class="muted" aria-hidden="true">—</span><span class="vh">not known</span>`;

function mediumWord(medium: FoundRow['medium']): string {
  return medium === 'video' ? 'Screen' : 'Voice';
}

function listFoot({ address, found }: FoundList): Html | undefined {
  const { cursor } = found;
  if (found.rows.length === 0) return undefined;
  return html`<div class="foot">
    <span class="keys" hidden
      ><kbd>J</kbd> <kbd>K</kbd> next, previous · <kbd>Enter</kbd> open · <kbd>?</kbd> all keys</span
    >
    <span class="pages">
      ${address.cursor !== undefined && html`<a href="${findHref(address, { cursor: undefined, open: undefined })}">Newest</a>`}
      ${cursor !== undefined && html`<a rel="next" href="${findHref(address, { cursor, open: undefined })}">Older →</a>`}
    </span>
  </div>`;
}

/** Nothing lies in the archive yet: what has to happen until something does. */
function firstSteps(): Html {
  return html`<section class="card sec" aria-labelledby="first" data-part="list">
    <h2 id="first">Nothing is archived yet</h2>
    <ol class="steps">
      <li>
        The service runs: <a href="/console/health">Health</a> says whether Genesys Cloud, queue and archive are
        reached.
      </li>
      <li>Genesys Cloud sends an event for each conversation that ends (terraform/genesys makes its trigger).</li>
      <li>The first call that ends appears here some minutes later, or says here why it does not.</li>
    </ol>
    <p class="muted small">Calls of earlier days come with <code>archiver backfill --from DAY --to DAY</code>.</p>
  </section>`;
}
