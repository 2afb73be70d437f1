/** What workers did by five minutes → two lines, events in and recordings archived; and in words for whoever does not see them. */
import type { PulseBeat } from '../pulse.ts';
import { html, type Html } from './html.ts';
import { grouped, momentTag } from './moments.ts';

const WIDTH = 640;
const HEIGHT = 104;
const BEAT_MS = 300_000;
const SHOWN = 72;

export function chartPart(beats: readonly PulseBeat[], now: Date): Html | undefined {
  if (beats.length === 0) return undefined;
  const end = Math.floor(now.getTime() / BEAT_MS) * BEAT_MS;
  const byMoment = new Map(beats.map((beat) => [Date.parse(beat.at), beat]));
  const slots = Array.from({ length: SHOWN }, (_, n) => byMoment.get(end - (SHOWN - 1 - n) * BEAT_MS));
  const accepted = slots.map((beat) => beat?.accepted ?? 0);
  const archived = slots.map((beat) => beat?.archived ?? 0);
  const most = Math.max(1, ...accepted, ...archived);
  const total = (values: readonly number[]): string => grouped(values.reduce((sum, value) => sum + value, 0));
  const begin = new Date(end - (SHOWN - 1) * BEAT_MS).toISOString();
  return html`<section class="card sec" data-part="chart" aria-labelledby="chart">
    <div class="h">
      <h2 id="chart">Events in, recordings archived</h2>
      <span class="muted small">per 5 min, last 6 h</span>
      <span class="grow"></span>
      <span class="legend" aria-hidden="true"><span class="in">events</span><span class="out">archived</span></span>
    </div>
    <svg
      class="chart"
      viewBox="0 0 ${WIDTH} ${HEIGHT}"
      preserveAspectRatio="none"
      role="img"
      aria-label="In six hours ${total(accepted)} events came in and ${total(archived)} recordings were archived."
    >
      <path class="g" d="M0 ${HEIGHT - 1}H${WIDTH}" />
      <path class="in" d="${pathThrough(accepted, most)}" />
      <path class="out" d="${pathThrough(archived, most)}" />
    </svg>
    <p class="xl muted small" aria-hidden="true">
      <span>${momentTag(begin, now)}</span><span>${momentTag(new Date(end).toISOString(), now)}</span>
    </p>
  </section>`;
}

function pathThrough(values: readonly number[], most: number): string {
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * WIDTH;
    const y = HEIGHT - 4 - (value / most) * (HEIGHT - 12);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join('L')}`;
}
