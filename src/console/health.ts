/** The health page: whether everything has arrived, in one sentence; five figures; what did not arrive and what to do; days; what waits; parts. */
import { createHash } from 'node:crypto';
import { html, named, type Html } from './html.ts';
import { type HealthFacts, type KnownFacts, needsSomeone, type Trouble, type UnreadyEntry } from './health-facts.ts';
import { beatsTogether, type Pulse } from '../pulse.ts';
import { chartPart } from './chart-part.ts';
import { daysPart } from './days-part.ts';
import { partsPart } from './parts-part.ts';
import { silentPart } from './silent-part.ts';
import { agoTag, grouped, momentTag, plural, spanText } from './moments.ts';
import { ACTIONS, wideTable } from './table-part.ts';
import { type AnswerVisit, data, page, type Visit } from './visit.ts';
import { verdictOf, type HealthVerdict } from './verdict.ts';

/** One look, and the clock it is told by. */
interface Told {
  readonly channelNames: readonly [string, string];
  readonly visit: Pick<Visit, 'who' | 'token'>;
  readonly facts: HealthFacts;
  readonly now: Date;
  /** The archive is away: these are what was known, and nothing can be done with them. */
  readonly isStale: boolean;
}

export const showHealth: AnswerVisit = async (visit, { health, now, hearing: { channelNames } }) => {
  const known = await health.known();
  const at = now();
  const verdict = verdictOf(known.facts, at);
  const main = html`<live-page data-watch="/console/health.json">
    ${heroPart(verdict, known, at)}
    ${known.facts !== undefined && bodyPart(verdict, { visit, facts: known.facts, now: at, channelNames, isStale: known.problem !== undefined })}
  </live-page>`;
  return page({ title: 'Health', section: 'health', main, modules: ['live'] });
};

/** The same facts for programs, and for the page to see that there is something new. */
export const tellHealth: AnswerVisit = async (_visit, { health, now }) => {
  const { facts, problem } = await health.known();
  const { state, text, except } = verdictOf(facts, now());
  const told = {
    verdict: { state, text, except },
    problem: problem?.message ?? null,
    // Two looks that saw the same are the same.
    facts:
      facts === undefined
        ? null
        : { ...facts, at: undefined, pulses: facts.pulses.map((pulse) => ({ ...pulse, at: undefined })) },
  };
  const body = JSON.stringify(told);
  return data('application/json; charset=utf-8', body, `"${createHash('sha256').update(body).digest('base64url')}"`);
};

const SIGNS: Readonly<Record<HealthVerdict['state'], string>> = {
  good: '✓',
  warn: '…',
  bad: '!',
  unknown: '?',
  first: '1',
};

function heroPart(verdict: HealthVerdict, { facts, problem }: KnownFacts, now: Date): Html {
  const sign = verdict.except > 0 ? (verdict.except > 99 ? '99+' : String(verdict.except)) : SIGNS[verdict.state];
  return html`<div class="hero">
      <div class="told" data-part="hero">
        <span class="ring ${verdict.state}" aria-hidden="true">${sign}</span>
        <div class="grow">
          <h1 class="big" id="verdict">${verdict.sentence}</h1>
          <p>
            ${verdict.from}${facts !== undefined && html` · as of <span id="as-of">${momentTag(facts.at, now)}</span>`}
          </p>
          ${
            problem !== undefined &&
            html`<p class="stale">
              ${problem.message} ${facts !== undefined && html`What is shown is what was known then.`}
            </p>`
          }
        </div>
      </div>
      <button class="btn" type="button" data-pause hidden aria-pressed="false">Pause updates</button>
    </div>
    <p class="vh" role="status" data-said></p>`;
}

function bodyPart(verdict: HealthVerdict, told: Told): Html {
  if (verdict.state === 'first') return firstStepsPart(told);
  return html`${figuresPart(told)} ${troublesPart(told)}
    <div class="grid">${daysPart(told.facts.days, told.now)} ${unreadyPart(told)}</div>
    ${chartPart(told.facts.pulses, told.now)}
    <div class="grid">${silentPart(told.facts.silent, told)} ${partsPart(told.facts)}</div>`;
}

function figuresPart({ facts, now }: Told): Html {
  const { newest, unready, depth, troubles } = facts;
  const oldest = unready.at(0);
  const mine = needsSomeone(facts);
  const reasons = troubles.filter(({ isSettled }) => !isSettled).length;
  return html`<ul class="tiles" data-part="figures">
    ${tile('From end of call to archived', {
      value:
        newest.lagMedianSeconds === null ? html`–` : html`${spanText(newest.lagMedianSeconds)} <small>median</small>`,
      note:
        newest.lag95Seconds === null
          ? html`no recording says when it was made`
          : html`95% within
            ${spanText(newest.lag95Seconds)}${newest.lastArchivedAt !== null && html`; the last ${agoTag(newest.lastArchivedAt, now)} ago`}`,
    })}
    ${tile('Oldest still waiting', {
      value: oldest === undefined ? html`none` : html`${agoTag(oldest.waiting.since, now)}`,
      note: oldest === undefined ? html`nothing waits for more than 15 min` : html`given up after 7 days`,
    })}
    ${tile('On the queue', {
      value:
        depth === undefined
          ? html`–`
          : html`${grouped(depth.ready + depth.waiting)} <small>waiting</small> · ${grouped(depth.running)}
              <small>running</small>`,
      note: depth === undefined ? html`Pub/Sub’s own monitoring has it` : html`${grouped(depth.dead)} given up`,
    })}
    ${callsTile(facts.pulses)}
    ${tile('Needs someone', {
      value: html`<span class="${mine > 0 ? 'isbad' : ''}">${grouped(mine)}${facts.hasMore ? '+' : ''}</span>
        <small>${mine === 1 ? 'recording' : 'recordings'}</small>`,
      note: reasons === 0 ? html`nothing to do` : html`${plural(reasons, 'reason')}, below`,
    })}
  </ul>`;
}

/** Each worker has tokens of its own, and Genesys counts by token: so they add up. */
function callsTile(pulses: readonly Pulse[]): Html {
  const told = pulses.flatMap(({ calls }) => calls ?? []);
  const [made, allowed] = [
    told.reduce((sum, one) => sum + one.made, 0),
    told.reduce((sum, one) => sum + one.allowed, 0),
  ];
  const slowed = beatsTogether(pulses).reduce((sum, { postponed }) => sum + (postponed['rate-limited'] ?? 0), 0);
  return tile('Genesys requests this minute', {
    value: allowed === 0 ? html`–` : html`${grouped(made)} <small>of ${grouped(allowed)}</small>`,
    note:
      allowed === 0
        ? html`no worker has asked Genesys of late`
        : html`<svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
              <rect class="g" width="100" height="4" rx="2" />
              <rect class="in" width="${Math.round((100 * made) / allowed)}" height="4" rx="2" /></svg
            >slowed down ${plural(slowed, 'time')} in 6 h`,
  });
}

function tile(name: string, { value, note }: { readonly value: Html; readonly note: Html }): Html {
  return html`<li class="card tile">
    <p class="k">${name}</p>
    <p class="v num">${value}</p>
    <p class="n">${note}</p>
  </li>`;
}

function troublesPart({ visit, facts, now, isStale }: Told): Html {
  return html`<section class="card troubles" data-part="troubles" aria-labelledby="troubles">
    <div class="sec h">
      <h2 id="troubles">What did not arrive, and what to do</h2>
      <span class="grow"></span>
      ${!isStale && html`<a class="btn" id="all-failures" href="/console/failures">All failures</a>`}
    </div>
    ${
      facts.troubles.length === 0
        ? html`<p class="sec muted">Nothing has failed.</p>`
        : wideTable({
            label: 'Reasons',
            heads: ['Count', 'What happened', 'What to do next', 'Newest', ACTIONS],
            rows: facts.troubles.map((trouble) => troubleRow(trouble, { visit, now, isStale })),
          })
    }
  </section>`;
}

function troubleRow(trouble: Trouble, { visit, now, isStale }: Pick<Told, 'visit' | 'now' | 'isStale'>): Html {
  const { code, count, example, newestAt, next, waits, isSettled } = trouble;
  const link = `/console/failures?code=${encodeURIComponent(code)}`;
  const mayReplay = !waits && !isSettled && !isStale && visit.who.roles.has('operate');
  return html`<tr>
    <td><span class="n ${isSettled ? 'muted' : 'isbad'}">${grouped(count)}</span></td>
    <td>
      <span class="code">${code}</span>
      <div class="muted small">${named(example)}</div>
    </td>
    <td><div class="next">${next}</div></td>
    <td>
      ${agoTag(newestAt, now)} ago
      <div class="muted small">${momentTag(newestAt, now)}</div>
    </td>
    <td class="do">
      ${
        waits
          ? html`<span class="st warn"><i></i>waits, comes by itself</span>`
          : isStale
            ? html`<span class="muted small">not while the archive is away</span>`
            : html`<a class="btn" id="show-${code}" href="${link}">Show<span class="vh"> ${code}</span></a>`
      }
      ${mayReplay && html`<a class="btn pri" id="replay-${code}" href="${link}&amp;replay=ask">Replay ${grouped(count)}<span class="vh"> ${code}</span></a>`}
    </td>
  </tr>`;
}

const UNREADY_SHOWN = 6;

function unreadyPart({ facts, now }: Told): Html {
  const rest = facts.unready.length - UNREADY_SHOWN;
  return html`<section class="card sec" data-part="unready" aria-labelledby="unready">
    <div class="h">
      <h2 id="unready">Not ready yet</h2>
      <span class="muted small">nothing to do; each is asked for again by itself</span>
    </div>
    ${
      facts.unready.length === 0
        ? html`<p class="muted">Nothing waits.</p>`
        : html`<ul class="waits">
            ${facts.unready.slice(0, UNREADY_SHOWN).map((entry) => unreadyRow(entry, now))}
            ${rest > 0 && html`<li><span class="muted">${plural(rest, 'more', 'more')}</span></li>`}
          </ul>`
    }
  </section>`;
}

function unreadyRow({ recording, waiting }: UnreadyEntry, now: Date): Html {
  const { conversationId, recordingId } = recording;
  return html`<li>
    <span class="num nowrap">${agoTag(waiting.since, now)}</span>
    <code class="id">${recordingId ?? conversationId ?? '–'}</code>
    <span class="grow r"><span class="code">${waiting.code}</span>, again at ${momentTag(waiting.nextTry, now)}</span>
  </li>`;
}

/** Each with a tick once it is done. */
function firstStepsPart({ facts }: Told): Html {
  const isUp = Object.values(facts.parts.dependencies).every(({ ok }) => ok);
  const hasEvents = facts.depth !== undefined && facts.depth.ready + facts.depth.waiting + facts.depth.running > 0;
  const step = (isDone: boolean, text: Html): Html =>
    html`<li class="${isDone ? 'done' : ''}">
      <span class="tickbox" aria-hidden="true">${isDone ? '✓' : ''}</span
      ><span>${text} <span class="vh">${isDone ? '(done)' : '(to do)'}</span></span>
    </li>`;
  return html`<section class="card sec" data-part="first" aria-labelledby="first">
    <h2 id="first">Three steps to the first recording</h2>
    <ol class="steps">
      ${step(isUp, html`The parts answer: queue and archive can be read and written.`)}
      ${step(hasEvents, html`Genesys Cloud sends its events to <code>POST /webhooks/genesys</code> of the receiver.`)}
      ${step(false, html`A worker archives the first recording; it then stands under <b>Find</b>.`)}
    </ol>
  </section>`;
}
