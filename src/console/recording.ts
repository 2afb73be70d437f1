/** A recording as people see it: who with whom, its sound, what proves it, who holds it, who heard it; or why it is not there. */
import type { Entry } from '../archive/archive.ts';
import type { Manifest } from '../archive/manifest.ts';
import { recordingOf } from '../archive/manifest.ts';
import { subjectKey, subjectOfKey, type Subject } from '../archive/names.ts';
import { Failure } from '../failure.ts';
import { parseId, parseOptionalId, pathOf, type Recording } from '../recording.ts';
import { awayPart } from './away.ts';
import { readCall, type Call } from './call.ts';
import type { NamesOfDivisions } from './divisions.ts';
import { html, named, type Html } from './html.ts';
import { SAID } from './hold-page.ts';
import { keepPart } from './keep-part.ts';
import { heardOf, listenersPart } from './listeners.ts';
import { missingPart } from './missing-part.ts';
import type { CallFacts, CallSurroundings } from './page-facts.ts';
import { ifInTime } from './patience.ts';
import { heardPart, playerPart } from './player-part.ts';
import { verifyForm } from './verify-page.ts';
import { page, type AnswerVisit, type ConsoleNeeds, type Visit } from './visit.ts';
import { lengthWords, dateWords, numberFor, peopleOf, sizeOf, timeOf } from './words-for.ts';

export interface ShownCall {
  readonly title: string;
  readonly article: Html;
  /** Why it is not of now. */
  readonly problem: Failure | undefined;
}

/** `/recordings/C/R`, and `/recordings/C` for all of a conversation. */
export const showRecording: AnswerVisit = async (visit, needs) => {
  const { conversationId, recordingId } = visit.params;
  const subject = {
    conversationId: parseOptionalId(conversationId === '_' ? undefined : conversationId, 'conversation'),
    recordingId: recordingId === undefined ? undefined : parseId(recordingId, 'recording'),
  };
  const { title, article, problem } = await shownCall(subject, visit, needs);
  const said = SAID.get(visit.query.get('said') ?? '');
  return page({
    title,
    problem,
    section: 'find',
    modules: problem === undefined ? ['player'] : ['player', 'live'],
    main: html`<h1 class="vh">${title}</h1>
      <div class="alone">${said !== undefined && html`<p class="card said" role="status">${said}</p>`}${article}</div>
      <p class="vh" role="status" data-said></p>`,
  });
};

/** Beside a list: what cannot be shown is said in its place, and the list stays. */
export async function recordingArticle(key: string, visit: Visit, needs: ConsoleNeeds): Promise<ShownCall> {
  try {
    const subject = subjectOfKey(key);
    if (subject === undefined) throw new Failure('bad-request', 'open: expected the key of a recording.');
    return await shownCall(subject, visit, needs);
  } catch (thrown) {
    visit.signal.throwIfAborted();
    if (!(thrown instanceof Failure) || thrown.code === 'internal') throw thrown;
    const title = thrown.status === 403 ? 'Not for you to see' : CANNOT_BE_SHOWN;
    return { title, article: sayInstead(title, html`<p>${thrown.message}</p>`), problem: undefined };
  }
}

const CANNOT_BE_SHOWN = 'Cannot be shown just now';

function sayInstead(title: string, words: Html): Html {
  return html`<article class="card det" id="recording" aria-labelledby="dt" tabindex="-1" data-part="call">
    <h2 id="dt" class="h1">${title}</h2>
    ${words}
  </article>`;
}

async function shownCall(subject: Subject, visit: Visit, needs: ConsoleNeeds): Promise<ShownCall> {
  const asked = { of: subjectKey(subject), who: visit.who };
  const look = (signal: AbortSignal): Promise<CallFacts> => lookForCall(subject, { ...visit, signal }, needs);
  const { facts, at, problem } = await needs.lastShown.calls.look(asked, look, visit.signal);
  const away = problem && awayPart({ facts, at, problem, part: 'archive' }, needs.now());
  if (facts !== undefined) return { ...callArticle(facts, away, { visit, needs }), problem };
  return { title: CANNOT_BE_SHOWN, article: sayInstead(CANNOT_BE_SHOWN, html`${away}`), problem };
}

async function lookForCall(subject: Subject, visit: Visit, needs: ConsoleNeeds): Promise<CallFacts> {
  const { req, who, signal } = visit;
  const recorded = needs.witness.record(req, {
    action: 'looked',
    way: who.way,
    who: who.id,
    ...(subject.recordingId === undefined
      ? { about: { conversation: subject.conversationId ?? '' } }
      : { recording: { recordingId: subject.recordingId, conversationId: subject.conversationId } }),
  });
  const { recordingId, conversationId } = subject;
  const heard = recordingId === undefined ? undefined : heardOf({ recordingId, conversationId }, visit, needs);
  heard?.catch(() => undefined);
  const [call] = await Promise.all([readCall(subject, { archive: needs.archive, who }, signal), recorded]);
  const { state } = call;
  if (state.kind !== 'archived') return { call, about: undefined };
  const [divisions, keptUntil] = await Promise.all([
    needs.divisions.known(),
    keptUntilOf(state.manifest, needs, signal),
  ]);
  return { call, about: { divisions: [...divisions], keptUntil, heard: await heard } };
}

/** What the store says itself; nobody else forbids a removal by date. */
function keptUntilOf(
  manifest: Manifest,
  { archive, patienceMs }: ConsoleNeeds,
  signal: AbortSignal,
): Promise<string | undefined> {
  const asked = async (inTime: AbortSignal): Promise<string> => (await archive.retainedUntil(manifest, inTime)) ?? '';
  return ifInTime(asked, { otherwise: undefined, patienceMs }, signal);
}

interface ArticlePlace {
  readonly visit: Visit;
  readonly needs: ConsoleNeeds;
}

/** `away`: why it is not of now; then nothing can be done with it, nor can it be heard. */
function callArticle(
  { call, about }: CallFacts,
  away: Html | undefined,
  { visit, needs }: ArticlePlace,
): Pick<ShownCall, 'title' | 'article'> {
  const title = titleOf(call, visit);
  const { state } = call;
  const isNow = away === undefined;
  return {
    title: title.text,
    article: html`<article class="card det" id="recording" aria-labelledby="dt" tabindex="-1" data-part="call">
      ${away}
      <div class="dh">
        <div>
          <h2 id="dt" class="h1">${title.markup}</h2>
          <p>${whenPart(call)}</p>
        </div>
        ${isNow && state.kind === 'archived' && actionsPart(state.manifest)}
      </div>
      ${
        state.kind === 'archived'
          ? html`${isNow ? playerPart(call, state.manifest, { visit, needs }) : heardPart(state.manifest, needs)}
            ${about !== undefined && aboutPart(call, state.manifest, { about, visit, needs, isNow })}`
          : missingPart(call, { visit, needs, isNow })
      }
      ${othersPart(call)} ${isNow && keepPart(call, { visit, needs })}
    </article>`,
  };
}

interface AboutPlace extends ArticlePlace {
  readonly about: CallSurroundings;
  readonly isNow: boolean;
}

function aboutPart(call: Call, manifest: Manifest, { about, visit, needs, isNow }: AboutPlace): Html {
  const facts = factsPart(call, {
    manifest,
    divisions: new Map(about.divisions),
    kept: keptWords(about.keptUntil, needs.now()),
    verify: isNow && visit.who.roles.has('audit') ? verifyForm(call.subject, visit) : undefined,
  });
  return html`<div class="two">${facts}${listenersPart(recordingOf(manifest), about.heard, visit)}</div>`;
}

function keptWords(until: string | undefined, now: Date): Html {
  if (until === undefined) return html`not known just now`;
  if (until === '') return html`it is erased; no date is set`;
  const date = html`<time datetime="${until}" title="${until}">${dateWords(until)}</time>`;
  return until > now.toISOString()
    ? html`${date}, by the archive’s retention`
    : html`${date}: that is over, it may be erased`;
}

interface CallTitle {
  readonly text: string;
  readonly markup: Html;
}

/** "Ines Carvalho with +44 20 7946 0183"; without details, what it is. */
function titleOf({ subject, details, state }: Call, { who }: Visit): CallTitle {
  const names = (details?.agents ?? []).flatMap(({ name, id }) => name ?? id ?? []);
  const number = numberFor(details?.customerNumber ?? null, who);
  const isScreen = state.kind === 'archived' && state.manifest.medium === 'video';
  const [first] = names;
  if (first === undefined && number === undefined) {
    const text = `${subject.recordingId === undefined ? 'Conversation' : isScreen ? 'Screen recording' : 'Recording'} ${subject.recordingId ?? subject.conversationId ?? ''}`;
    return { text, markup: html`${named(text)}` };
  }
  return {
    text: [first ?? 'Somebody', ...(number === undefined ? [] : ['with', number])].join(' '),
    markup: html`${peopleOf(names) ?? 'Somebody'}${number !== undefined && html` with <span class="${number.length < 20 ? 'nowrap' : ''}">${named(number)}</span>`}${
      isScreen && html`<span class="muted">, screen</span>`
    }`,
  };
}

/** Where and when; nothing of it where nothing is known. */
function whenPart({ details, state }: Call): Html {
  const [queue] = (details?.queues ?? []).flatMap(({ name, id }) => name ?? id ?? []);
  const direction = details?.direction ?? undefined;
  const started = startedAtOf(state) ?? details?.startedAt ?? undefined;
  const durationMs = state.kind === 'archived' ? state.manifest.webm.durationMs : 0;
  const parts = [
    ...(queue === undefined ? [] : [named(queue)]),
    ...(direction === undefined ? [] : [html`${direction}`]),
    ...(started === undefined ? [] : [spanPart(started, durationMs)]),
  ];
  return html`${parts.map((part, index) => html`${index > 0 && ' · '}${part}`)}`;
}

function spanPart(started: string, durationMs: number): Html {
  const end = new Date(Date.parse(started) + durationMs).toISOString();
  return html`${dateWords(started)}, ${timeOf(started, 'second')}${durationMs > 0 && html`–${timeOf(end, 'second')}`}`;
}

function startedAtOf(state: Call['state']): string | null | undefined {
  return state.kind === 'archived' ? (state.manifest.recordedAt ?? state.manifest.finishedAt) : undefined;
}

function actionsPart(manifest: Manifest): Html {
  const path = pathOf(recordingOf(manifest));
  const originals = manifest.sources.flatMap(({ original }, index) =>
    original === undefined ? [] : [{ original, index }],
  );
  return html`<div class="acts">
    <button class="btn" type="button" data-act="link" hidden>Link to this moment</button>
    ${originals.map(
      ({ original, index }) =>
        html`<a class="btn" href="/console/media/${path}/original/${index}" download="${original}"
          >Original${originals.length > 1 && html` ${index + 1}`}</a
        >`,
    )}
  </div>`;
}

const WAYS: ReadonlyMap<string, string> = new Map([
  ['rewrap', 'taken over as it is, not re-encoded'],
  ['join', 'two channels joined, not re-encoded'],
  ['encode-audio', 'sound encoded'],
  ['encode-video', 'pictures encoded'],
]);

interface FactSources {
  readonly manifest: Manifest;
  readonly divisions: NamesOfDivisions;
  /** Until when it is kept. */
  readonly kept: Html;
  readonly verify: Html | undefined;
}

function factsPart({ holds, details }: Call, { manifest, divisions, kept, verify }: FactSources): Html {
  const { conversationId, recordingId, webm, way, why, finishedAt, recordedAt, service } = manifest;
  return html`<section aria-labelledby="facts">
    <h3 id="facts">Facts</h3>
    <dl class="facts">
      ${
        conversationId !== null &&
        html`<dt>Conversation</dt>
          <dd>
            <a href="/console/recordings/${conversationId}"><code>${conversationId}</code></a>
          </dd>`
      }
      <dt>Recording</dt>
      <dd><code>${recordingId}</code></dd>
      ${divisionFact(details?.divisions ?? [], divisions)}
      <dt>Archived</dt>
      <dd>${timeOf(finishedAt, 'moment')}${afterTheEnd(recordedAt, manifest)}, by version ${service}</dd>
      <dt>Made</dt>
      <dd title="${why}">${WAYS.get(way) ?? way}</dd>
      <dt>Proof</dt>
      <dd class="acts">
        <span class="st good"><i></i>has its manifest</span>
        ${verify}
      </dd>
      <dt>SHA-256</dt>
      <dd title="${webm.sha256}">
        <code>${webm.sha256.slice(0, 12)}…${webm.sha256.slice(-6)}</code> · ${sizeOf(webm.sizeBytes)}
      </dd>
      <dt>Kept until</dt>
      <dd>${kept}</dd>
      <dt>Held</dt>
      <dd>
        ${holds.length === 0 ? 'by no case' : holds.map((hold, index) => html`${index > 0 && ', '}${named(hold.case)}`)}
      </dd>
    </dl>
  </section>`;
}

/** By name; without the right to ask for names, Genesys' own id. */
function divisionFact(ids: readonly string[], names: NamesOfDivisions): Html | undefined {
  if (ids.length === 0) return undefined;
  return html`<dt>${ids.length === 1 ? 'Division' : 'Divisions'}</dt>
    <dd>
      ${ids.map((id, index) => html`${index > 0 && ', '}<span title="${id}">${named(names.get(id) ?? id)}</span>`)}
    </dd>`;
}

function afterTheEnd(recordedAt: string | null, { finishedAt, webm }: Manifest): Html | undefined {
  if (recordedAt === null) return undefined;
  const afterMs = Date.parse(finishedAt) - Date.parse(recordedAt) - webm.durationMs;
  return afterMs < 0 ? undefined : html`, ${lengthWords(afterMs)} after its end`;
}

/** All else of its conversation. */
function othersPart({ subject, conversation }: Call): Html | undefined {
  const others = conversation.filter(({ recording }) => subjectKey(recording) !== subjectKey(subject));
  if (others.length === 0) return undefined;
  return html`<section class="audw" aria-labelledby="others">
    <h3 id="others">${subject.recordingId === undefined ? 'Its recordings' : 'Also of this conversation'}</h3>
    <ul class="aud">
      ${others.map((entry) => html`<li>${otherLine(entry)}</li>`)}
    </ul>
  </section>`;
}

function otherLine(entry: Entry): Html {
  const { recordingId, conversationId } = entry.recording;
  if (recordingId === undefined) return html`<span>The conversation as a whole: ${reasonOfEntry(entry)}</span>`;
  const href = `/console/recordings/${pathOf({ recordingId, conversationId } satisfies Recording)}`;
  if (entry.status !== 'archived')
    return html`<a href="${href}">${named(recordingId)}</a><span class="muted">${reasonOfEntry(entry)}</span>`;
  const { medium, webm } = entry.manifest;
  return html`<a href="${href}">${medium === 'video' ? 'Screen' : 'Voice'}, ${lengthWords(webm.durationMs)}</a
    ><code class="muted">${recordingId}</code>`;
}

function reasonOfEntry(entry: Entry): string {
  if (entry.status === 'archived') return 'archived';
  return entry.status === 'waiting' ? entry.waiting.reason : entry.failure.reason;
}
