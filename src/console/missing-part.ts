/** A recording that is not in the archive → why, what comes next, and what can be done meanwhile. */
import { Failure, FAILURES, isFailureCode } from '../failure.ts';
import { pathOf, type Recording } from '../recording.ts';
import { type Subject, subjectKey } from '../archive/names.ts';
import type { Call } from './call.ts';
import { mayHearLive } from './hearing.ts';
import { html, named, type Html } from './html.ts';
import type { ConsoleNeeds, Visit } from './visit.ts';
import { timeOf } from './words-for.ts';

interface MissingPlace {
  readonly visit: Visit;
  readonly needs: ConsoleNeeds;
  /** Else nothing can be done with it. */
  readonly isNow: boolean;
}

export function missingPart(call: Call, { visit, needs, isNow }: MissingPlace): Html {
  const { state, subject } = call;
  switch (state.kind) {
    case 'erased':
      return erasedBox(subject, state, visit);
    case 'waiting':
      return html`${stateBox(
        'Not archived yet',
        html`<p>${state.waiting.reason}</p>
          <p class="muted">
            Since ${timeOf(state.waiting.since, 'moment')}; tried again at ${timeOf(state.waiting.nextTry, 'moment')},
            by itself. ${nextOf(state.waiting.code)}
          </p>`,
        'warn',
      )}${isNow && liveOffer(call, { visit, needs })}`;
    case 'missing':
      return missingBox(call, state.failure, { visit, needs, isNow });
    case 'unknown':
      return html`${stateBox('Not in the archive', unknownWords(call))}${isNow && liveOffer(call, { visit, needs })}`;
    case 'archived':
      throw new Failure('internal', 'What is archived is not missing.');
  }
}

function erasedBox(
  subject: Subject,
  { mark, isOver }: Extract<Call['state'], { kind: 'erased' }>,
  { who }: Visit,
): Html {
  const by = mark !== undefined && html`, ${timeOf(mark.erasedAt, 'moment')}, by ${named(mark.by)}`;
  const audit =
    who.roles.has('audit') &&
    html` <a href="${`/console/audit?C=${subject.conversationId ?? ''}`}">The audit</a> says the same, and why.`;
  if (isOver)
    return stateBox(
      'Erased',
      html`<p>It was erased on purpose${by}: it is neither played nor made again, and its facts are gone.${audit}</p>`,
    );
  const again = `archiver erase --${subject.recordingId === undefined ? 'conversation' : 'recording'} ${addressed(subject)}`;
  return stateBox(
    'Being erased',
    html`<p>Its erasure was begun on purpose${by}: it is neither played nor made again.${audit}</p>
      <p>
        It is not over: something of it is still there.
        ${
          who.roles.has('erase')
            ? html`<a href="/console/erase?of=${subjectKey(subject)}">Erase it again</a>, which ends it.`
            : html`<code>${again}</code> ends it.`
        }
      </p>`,
    'warn',
  );
}

/** As commands take it. */
function addressed({ conversationId, recordingId }: Subject): string {
  return recordingId === undefined ? (conversationId ?? '_') : pathOf({ recordingId, conversationId });
}

function unknownWords({ subject, conversation }: Call): Html {
  if (subject.recordingId === undefined)
    return conversation.length > 0
      ? html`<p class="muted">What there is of it stands below.</p>`
      : html`<p>Nothing of this conversation is known here: no event of it has arrived, or its id is wrong.</p>`;
  return html`<p>
    Nothing is known of it here: no event of it has arrived, or its ids are wrong. <code>archiver reconcile</code> finds
    what no event told of.
  </p>`;
}

type MissingState = Extract<Call['state'], { kind: 'missing' }>['failure'];

const TITLES: Readonly<Record<MissingState['status'], string>> = {
  failed: 'It could not be archived',
  'no-media': 'It has neither sound nor picture',
  'no-recordings': 'This conversation was not recorded',
};

/** Genesys has nothing of it that could be played. */
const NOWHERE: ReadonlySet<string> = new Set(['gone', 'erased', 'not-found']);

function missingBox(call: Call, failure: MissingState, at: MissingPlace): Html {
  const isFailed = failure.status === 'failed';
  const box = stateBox(
    TITLES[failure.status],
    html`<p>${named(failure.reason)}</p>
      ${isFailed && html`<p><b>What to do next:</b> ${nextOf(failure.code)}</p>`}
      <p class="muted small">
        <code>${failure.code}</code> ·
        ${failure.attempts === 1 ? 'one attempt' : `${String(failure.attempts)} attempts`} · last at
        ${timeOf(failure.failedAt, 'moment')}
      </p>
      ${isFailed && at.isNow && at.visit.who.roles.has('operate') && html`<p class="acts"><a class="btn" href="${`/console/failures?code=${failure.code}`}">Replay</a></p>`}
      ${idsPart(call)}`,
    isFailed ? 'bad' : '',
  );
  return html`${box}${isFailed && at.isNow && !NOWHERE.has(failure.code) && liveOffer(call, at)}`;
}

function idsPart({ subject: { conversationId, recordingId } }: Call): Html {
  return html`<dl class="facts">
    ${
      conversationId !== undefined &&
      html`<dt>Conversation</dt>
        <dd><code>${conversationId}</code></dd>`
    }
    ${
      recordingId !== undefined &&
      html`<dt>Recording</dt>
        <dd><code>${recordingId}</code></dd>`
    }
  </dl>`;
}

function nextOf(code: string): string {
  return isFailureCode(code) ? FAILURES[code].next : 'Look for its code in the log.';
}

function stateBox(title: string, words: Html, tone: '' | 'warn' | 'bad' = ''): Html {
  return html`<section class="state ${tone}" aria-labelledby="state">
    <h3 id="state">${title}</h3>
    ${words}
  </section>`;
}

/** What is made while it plays cannot be sought in. */
function liveOffer(
  { subject: { recordingId, conversationId } }: Call,
  { visit, needs }: Pick<MissingPlace, 'visit' | 'needs'>,
): Html | undefined {
  if (recordingId === undefined || !mayHearLive(visit.who, needs.hearing)) return undefined;
  const recording: Recording = { recordingId, conversationId };
  return html`<section class="state" aria-labelledby="live">
    <h3 id="live">Listen now</h3>
    <p class="muted">
      It is fetched from Genesys Cloud while it plays: there is no going back and forth in it, and it can take a while
      to begin.
    </p>
    <audio
      controls
      preload="none"
      src="/console/media/${pathOf(recording)}"
      aria-label="Live from Genesys Cloud"
    ></audio>
  </section>`;
}
