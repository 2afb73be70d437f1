/** What workers did by five minutes → two lines, events in and recordings archived; and in words for whoever does not see them. */
import { BEAT_MS, beatsTogether, type Pulse } from '../pulse.ts';
import { type Disturbance, disturbancesIn } from './disturbances.ts';
import { html, type Html } from './html.ts';
import { grouped, momentTag } from './moments.ts';

const WIDTH = 640;
const HEIGHT = 104;
const SHOWN = 72;

export function chartPart(pulses: readonly Pulse[], now: Date): Html | undefined {
  const beats = beatsTogether(pulses);
  if (beats.length === 0) return undefined;
  const end = Math.floor(now.getTime() / BEAT_MS) * BEAT_MS;
  const byMoment = new Map(beats.map((beat) => [Date.parse(beat.at), beat]));
  const slots = Array.from({ length: SHOWN }, (_, n) => byMoment.get(end - (SHOWN - 1 - n) * BEAT_MS));
  const accepted = slots.map((beat) => beat?.accepted ?? 0);
  const archived = slots.map((beat) => beat?.archived ?? 0);
  const most = Math.max(1, ...accepted, ...archived);
  const total = (values: readonly number[]): string => grouped(values.reduce((sum, value) => sum + value, 0));
  const begin = new Date(end - (SHOWN - 1) * BEAT_MS).toISOString();
  const disturbances = disturbancesIn(slots.flatMap((beat) => beat ?? []));
  // Where a receiver of its own takes events, workers know nothing of them.
  const takes = pulses.some(({ command }) => command === 'serve') || accepted.some((count) => count > 0);
  const words = takes
    ? html`In six hours ${total(accepted)} events came in and ${total(archived)} recordings were archived.`
    : html`In six hours ${total(archived)} recordings were archived.`;
  return html`<section class="card sec" data-part="chart" aria-labelledby="chart">
    <div class="h">
      <h2 id="chart">${takes ? 'Events in, recordings archived' : 'Recordings archived'}</h2>
      <span class="muted small">per 5 min, last 6 h</span>
      <span class="grow"></span>
      <span class="legend" aria-hidden="true"
        >${takes && html`<span class="in">events</span>`}<span class="out">archived</span></span
      >
    </div>
    <svg
      class="chart"
      viewBox="0 0 ${WIDTH} ${HEIGHT}"
      preserveAspectRatio="none"
      role="img"
      aria-labelledby="chart-words"
    >
      <path class="g" d="M0 ${HEIGHT - 1}H${WIDTH}" />
      ${disturbances.map((one) => disturbedRect(one, end))}
      ${takes && html`<path class="in" d="${pathThrough(accepted, most)}" />`}
      <path class="out" d="${pathThrough(archived, most)}" />
    </svg>
    <p class="vh" id="chart-words">${words}</p>
    <p class="xl muted small" aria-hidden="true">
      <span>${momentTag(begin, now)}</span><span>${momentTag(new Date(end).toISOString(), now)}</span>
    </p>
    ${
      disturbances.length > 0 &&
      html`<ul class="dists">
        ${disturbances.map((one) => html`<li>${disturbanceTimes(one, now)} ${one.words} <span class="code">${one.code}</span></li>`)}
      </ul>`
    }
  </section>`;
}

function disturbedRect({ from, to }: Disturbance, end: number): Html {
  const first = end - (SHOWN - 1) * BEAT_MS;
  const x = (at: number): number => (Math.max(0, at - first) / (end - first)) * WIDTH;
  const left = Math.max(0, x(Date.parse(from)) - 3);
  const width = Math.min(WIDTH, x(Date.parse(to)) + 3) - left;
  return html`<rect class="dist" x="${left.toFixed(1)}" y="0" width="${width.toFixed(1)}" height="${HEIGHT - 1}" />`;
}

/** The five minutes of the last one are part of it. */
function disturbanceTimes({ from, to }: Disturbance, now: Date): Html {
  return html`${momentTag(from, now)} to ${momentTag(new Date(Date.parse(to) + BEAT_MS).toISOString(), now)}`;
}

function pathThrough(values: readonly number[], most: number): string {
  const points = values.map((value, index) => {
    const x = (index / (values.length - 1)) * WIDTH;
    const y = HEIGHT - 4 - (value / most) * (HEIGHT - 12);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join('L')}`;
}
