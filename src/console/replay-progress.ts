/** A replay, by when it was sent → how far it has come, from what is listed as failed now: any instance can tell, and nothing is kept for it. */
import type { Archive } from '../archive/archive.ts';
import { failuresMatching, type FailureFilter } from './failed-list.ts';
import { html, type Html } from './html.ts';
import { agoTag, grouped, plural } from './moments.ts';

export interface SentReplay {
  /** Recordings that were sent. */
  readonly sent: number;
  /** When; ISO 8601, UTC. */
  readonly at: string;
}

export interface ReplayProgress extends SentReplay {
  /** Not tried yet. */
  readonly old: number;
  readonly anew: number;
  /** There may be more of either. */
  readonly isMore: boolean;
}

/** Looked at by everybody who waits, each ten seconds. */
const MOST_COUNTED = 1_000;

/** undefined where the page is not about a replay. */
export function sentIn(query: URLSearchParams): SentReplay | undefined {
  const [sent, at] = [Number(query.get('sent')), Date.parse(query.get('at') ?? '')];
  if (!Number.isSafeInteger(sent) || sent <= 0 || Number.isNaN(at)) return undefined;
  return { sent, at: new Date(at).toISOString() };
}

export async function replayProgress(
  filter: FailureFilter,
  { sent, at, archive }: SentReplay & { readonly archive: Pick<Archive, 'list'> },
  signal: AbortSignal,
): Promise<ReplayProgress> {
  let [old, anew] = [0, 0];
  for await (const { failure } of failuresMatching(filter, archive, signal)) {
    if (failure.failedAt < at) old += 1;
    else anew += 1;
    if (old + anew >= MOST_COUNTED) return { sent, at, old, anew, isMore: true };
  }
  return { sent, at, old, anew, isMore: false };
}

export function progressPart({ sent, at, old, anew, isMore }: ReplayProgress, now: Date): Html {
  const done = Math.max(0, sent - old);
  const more = isMore ? ' or more' : '';
  const words =
    old === 0
      ? 'each has been tried'
      : `${grouped(done)} tried, ${grouped(old)}${more} ${old === 1 ? 'has its' : 'have their'} old failure still`;
  const failed = anew > 0 && html`; ${plural(anew, 'has failed anew', 'have failed anew')}`;
  return html`<div class="card said live1">
    <div class="grow" data-part="sent">
      <p id="verdict">
        <b>${plural(sent, 'recording was', 'recordings were')} sent to be tried again:</b> ${words}${failed}.
      </p>
      <p class="muted small">Sent ${agoTag(at, now)} ago; what waits its turn keeps its old failure until then.</p>
      <progress max="${sent}" value="${Math.min(sent, done)}" aria-label="Tried">${done} of ${sent}</progress>
    </div>
    <button class="btn" type="button" data-pause hidden aria-pressed="false">Pause updates</button>
    <p class="vh" role="status" data-said></p>
  </div>`;
}
