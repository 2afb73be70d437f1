/** Recordings on which a side is silent throughout → a list of the newest: what was recorded, and nobody was heard. */
import type { SilentFacts, SilentRecording } from './health-facts.ts';
import { html, type Html } from './html.ts';
import { grouped, momentTag, plural } from './moments.ts';

interface SilentView {
  readonly now: Date;
  readonly channelNames: readonly [string, string];
}

/** A side that is silent throughout: a cable, a headset, a wrong trunk; or somebody who waited in vain. */
export function silentPart(silent: SilentFacts, at: SilentView): Html | undefined {
  if (silent.of === 0) return undefined;
  const rest = silent.count - silent.examples.length;
  return html`<section class="card sec" data-part="silent" aria-labelledby="silent">
    <div class="h">
      <h2 id="silent">Recorded, but nobody heard</h2>
      <span class="muted small">a side is silent throughout, of the newest ${grouped(silent.of)}</span>
    </div>
    ${
      silent.count === 0
        ? html`<p class="muted">On every side somebody speaks.</p>`
        : html`<ul class="waits">
            ${silent.examples.map((one) => silentRow(one, at))}
            ${rest > 0 && html`<li><span class="muted">${plural(rest, 'more', 'more')}</span></li>`}
          </ul>`
    }
  </section>`;
}

function silentRow(
  { recordingId, conversationId, recordedAt, channels, isWhole }: SilentRecording,
  { now, channelNames }: SilentView,
): Html {
  const who = isWhole
    ? 'nobody at all'
    : `no ${channels.map((channel) => channelNames[channel] ?? 'voice').join(', ')}`;
  return html`<li>
    <span class="num nowrap">${momentTag(recordedAt, now)}</span>
    <a class="id" href="/console/recordings/${conversationId ?? '_'}/${recordingId}"><code>${recordingId}</code></a>
    <span class="grow r">${who}</span>
  </li>`;
}
