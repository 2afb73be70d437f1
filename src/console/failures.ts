/** Failures by reason, then each; and everything that matches tried again, with its count first. */
import { createHash } from 'node:crypto';
import { Failure } from '../failure.ts';
import {
  countReplay,
  failuresMatching,
  filterText,
  idsText,
  type FailureFilter,
  type ListedFailure,
  MOST_REPLAYED,
  parseFailureFilter,
  replayAll,
  type ReplayConflict,
  type ReplayResult,
} from './failed-list.ts';
import type { Trouble } from './health-facts.ts';
import { awayPart } from './away.ts';
import { html, named, type Html } from './html.ts';
import { grouped, momentTag, plural } from './moments.ts';
import type { FailureFacts } from './page-facts.ts';
import { progressPart, replayProgress, type ReplayProgress, sentIn } from './replay-progress.ts';
import { ACTIONS, idsCell, wideTable } from './table-part.ts';
import { type AnswerVisit, type ConsoleNeeds, data, page, redirect, tokenField, type Visit } from './visit.ts';

const SHOWN = 50;

export const showFailures: AnswerVisit = async (visit, needs) => {
  const filter = parseFailureFilter(visit.query);
  if (visit.query.get('replay') === 'ask') return askReplay(filter, visit, needs);
  const now = needs.now();
  const look = async (signal: AbortSignal): Promise<FailureFacts> => {
    const [first, progress] = await Promise.all([
      firstOf(filter, needs, signal),
      progressFor(filter, { ...visit, signal }, needs),
    ]);
    return { ...first, progress };
  };
  const asked = { of: visit.query.toString(), who: visit.who };
  const [{ facts: health }, { facts, at, problem }] = await Promise.all([
    needs.health.known(),
    needs.lastShown.failures.look(asked, look, visit.signal),
  ]);
  const away = problem && awayPart({ facts, at, problem, part: 'archive' }, now);
  const parts = html`<div data-part="reasons">${reasonsPart(health?.troubles ?? [], filter)}</div>
    ${failureFilterForm(filter)}
    <div data-part="list">
      ${away}${facts !== undefined && listPart({ ...facts, filter }, { visit, now, isNow: away === undefined })}
    </div>`;
  const progress = away === undefined ? facts?.progress : undefined;
  const main = html`<h1>Failures</h1>
    ${
      progress === undefined
        ? html`${parts}
            <p class="vh" role="status" data-said></p>`
        : html`<live-page data-watch="/console/failures.json?${withoutAsking(visit.query)}"
            >${progressPart(progress, now)} ${parts}</live-page
          >`
    }`;
  const isLive = progress !== undefined || away !== undefined;
  return page({ title: 'Failures', section: 'health', main, problem, modules: isLive ? ['live'] : [] });
};

/** How far a replay has come, for the page to see that it has come further. */
export const tellReplayed: AnswerVisit = async (visit, needs) => {
  const progress = await progressFor(parseFailureFilter(visit.query), visit, needs);
  const body = JSON.stringify(progress ?? null);
  return data('application/json; charset=utf-8', body, `"${createHash('sha256').update(body).digest('base64url')}"`);
};

async function progressFor(
  filter: FailureFilter,
  { query, signal }: Visit,
  { archive }: ConsoleNeeds,
): Promise<ReplayProgress | undefined> {
  const sent = sentIn(query);
  return sent === undefined ? undefined : replayProgress(filter, { ...sent, archive }, signal);
}

function withoutAsking(query: URLSearchParams): string {
  return new URLSearchParams([...query].filter(([name]) => name !== 'replay')).toString();
}

async function firstOf(
  filter: FailureFilter,
  { archive }: ConsoleNeeds,
  signal: AbortSignal,
): Promise<{ readonly rows: readonly ListedFailure[]; readonly isMore: boolean }> {
  const rows: ListedFailure[] = [];
  for await (const entry of failuresMatching(filter, archive, signal)) {
    if (rows.length === SHOWN) return { rows, isMore: true };
    rows.push(entry);
  }
  return { rows, isMore: false };
}

/** First how many that is; nothing is changed yet. */
async function askReplay(filter: FailureFilter, visit: Visit, { archive }: ConsoleNeeds): ReturnType<AnswerVisit> {
  requireOperate(visit);
  const { found, canBeTried, conflicts } = await countReplay(filter, { archive }, visit.signal);
  const back = `/console/failures?${filterText(filter)}`;
  const isAll = found < MOST_REPLAYED;
  const main = html`<section class="card sec notice">
    <h1>Replay ${grouped(found)}${isAll ? '' : ' or more'}?</h1>
    <p>
      ${plural(canBeTried, 'can', 'can')} be tried
      again${conflicts.length > 0 && html`, ${plural(conflicts.length, 'cannot', 'cannot')}`}.
    </p>
    ${conflictsPart(conflicts.slice(0, 10), conflicts.length)}
    <p class="muted">
      Each is sent to the queue and archived, or fails again with its reason of now.
      ${filter.code !== undefined && html`Their reason was <code>${filter.code}</code>.`}
    </p>
    ${
      canBeTried > 0 &&
      html`<form method="post" action="/console/failures/replay">
        ${tokenField(visit)}<input type="hidden" name="filter" value="${filterText(filter)}" />
        <p class="acts">
          <button class="btn pri" type="submit">Replay ${grouped(canBeTried)}</button>
          <a class="btn" href="${back}">Leave it</a>
        </p>
      </form>`
    }
    ${canBeTried === 0 && html`<p class="acts"><a class="btn" href="${back}">Back</a></p>`}
  </section>`;
  return page({ title: 'Replay', section: 'health', main });
}

/** Sends them; what could not be sent is a line, and the page comes whatever happens. */
export const replayFailures: AnswerVisit = async (visit, needs) => {
  const filter = parseFailureFilter(new URLSearchParams(visit.form.get('filter') ?? ''));
  const at = needs.now();
  const record = (entry: ListedFailure): Promise<void> => {
    const { recordingId, conversationId } = entry.recording;
    const about = {
      code: entry.failure.code,
      ...(recordingId === undefined ? { conversation: conversationId ?? '' } : {}),
    };
    const recording = recordingId === undefined ? {} : { recording: { recordingId, conversationId } };
    return needs.witness.record(visit.req, {
      action: 'replayed',
      way: visit.who.way,
      who: visit.who.id,
      about,
      ...recording,
    });
  };
  const result = await replayAll(filter, { ...needs, record }, AbortSignal.timeout(REPLAY_WITHIN_MS));
  const isClean = result.conflictCount === 0 && result.stopped === undefined;
  const back = new URLSearchParams(filterText(filter));
  back.set('sent', String(result.sent));
  back.set('at', at.toISOString());
  if (isClean) return redirect(`/console/failures?${back.toString()}`);
  return page({ title: 'Replayed', section: 'health', main: resultPart(result, back.toString()) });
};

const REPLAY_WITHIN_MS = 240_000;

function resultPart({ sent, conflicts, conflictCount, stopped }: ReplayResult, back: string): Html {
  return html`<section class="card sec notice" role="status">
    <h1>${plural(sent, 'recording')} sent to be tried again</h1>
    ${stopped !== undefined && html`<p class="said bad"><b>Then it stopped.</b> ${stopped.message} What was sent stays sent; replay the rest once that is mended.</p>`}
    ${conflictsPart(conflicts, conflictCount)}
    <p class="acts"><a class="btn pri" href="/console/failures?${back}">See what becomes of them</a></p>
  </section>`;
}

function conflictsPart(conflicts: readonly ReplayConflict[], count: number): Html | undefined {
  if (count === 0) return undefined;
  return html`<ul class="waits">
    ${conflicts.map(({ ids, why }) => html`<li><code class="ids">${ids}</code><span class="grow">${why}</span></li>`)}
    ${count > conflicts.length && html`<li class="muted">${plural(count - conflicts.length, 'more', 'more')}</li>`}
  </ul>`;
}

function reasonsPart(troubles: readonly Trouble[], { code }: FailureFilter): Html | undefined {
  const failed = troubles.filter(({ waits }) => !waits);
  if (failed.length === 0) return undefined;
  return html`<ul class="reasons">
    ${failed.map(
      (trouble) =>
        html`<li class="card">
          <a href="/console/failures?code=${trouble.code}" ${code === trouble.code && html`aria-current="true"`}>
            <span class="n ${trouble.isSettled ? 'muted' : 'isbad'}">${grouped(trouble.count)}</span>
            <span><span class="code">${trouble.code}</span><span class="next small muted">${trouble.next}</span></span>
          </a>
        </li>`,
    )}
  </ul>`;
}

function failureFilterForm({ code, from, to }: FailureFilter): Html {
  return html`<form class="filters" method="get" action="/console/failures">
    <label class="lab1">Reason <input class="inp" name="code" value="${code ?? ''}" autocomplete="off" /></label>
    <label class="lab1">From <input class="inp" type="date" name="from" value="${from ?? ''}" /></label>
    <label class="lab1">To <input class="inp" type="date" name="to" value="${to ?? ''}" /></label>
    <button class="btn" type="submit">Show</button> <a class="btn" href="/console/failures">All</a>
  </form>`;
}

interface ListState {
  readonly rows: readonly ListedFailure[];
  readonly isMore: boolean;
  readonly filter: FailureFilter;
}

interface ListPlace {
  readonly visit: Visit;
  readonly now: Date;
  /** Else nothing can be tried again. */
  readonly isNow: boolean;
}

function listPart({ rows, isMore, filter }: ListState, at: ListPlace): Html {
  if (rows.length === 0)
    return html`<section class="card sec">
      <p>
        Nothing failed that matches. <a href="/console/failures">See all failures</a>, or go
        <a href="/console/health">back to health</a>.
      </p>
    </section>`;
  const mayReplay = at.isNow && at.visit.who.roles.has('operate');
  const count = isMore ? `more than ${grouped(SHOWN)}` : grouped(rows.length);
  return html`<section class="card troubles" aria-labelledby="list">
    <div class="sec h">
      <h2 id="list">
        ${count}
        ${rows.length === 1 && !isMore ? 'failure' : 'failures'}${filter.code !== undefined && html` with <code>${filter.code}</code>`}
      </h2>
      <span class="grow"></span>
      ${mayReplay && html`<a class="btn pri" href="/console/failures?${filterText(filter)}&amp;replay=ask">Replay all that match</a>`}
    </div>
    ${wideTable({
      label: 'Failures, one a row',
      heads: ['Failed', 'Reason', 'Conversation and recording', 'Tries', ACTIONS],
      rows: rows.map((row) => failureRow(row, { mayReplay, now: at.now })),
    })}
  </section>`;
}

function failureRow(
  entry: ListedFailure,
  { mayReplay, now }: { readonly mayReplay: boolean; readonly now: Date },
): Html {
  const { recording, failure } = entry;
  const ids = idsText(entry);
  const only = new URLSearchParams({ only: ids }).toString();
  return html`<tr>
    <td class="nowrap">${momentTag(failure.failedAt, now)}</td>
    <td>
      <span class="code">${failure.code}</span>
      <div class="muted small">${named(failure.reason)}</div>
    </td>
    ${idsCell(recording, 'all of the conversation')}
    <td class="num">${failure.attempts}<span class="onphone"> ${failure.attempts === 1 ? 'try' : 'tries'}</span></td>
    <td class="do">
      ${mayReplay && html`<a class="btn" id="replay-${ids}" href="/console/failures?${only}&amp;replay=ask">Replay<span class="vh"> ${ids}</span></a>`}
    </td>
  </tr>`;
}

function requireOperate({ who }: Visit): void {
  if (!who.roles.has('operate'))
    throw new Failure(
      'unauthorized',
      'The role "operate" is needed to replay. Whoever runs the service gives it, in CONSOLE_ROLES.',
      { status: 403 },
    );
}
