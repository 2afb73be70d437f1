/** What answers, the workers that write, and what the doctor says where they run → one line each, what is wrong first. */
import type { Pulse, PulseCheck } from '../pulse.ts';
import type { HealthFacts } from './health-facts.ts';
import { html, named, type Html } from './html.ts';
import { grouped, plural } from './moments.ts';

/** What is wrong comes first, with what to do; of what is well its word. */
function checkRows(pulses: readonly Pulse[]): readonly Html[] {
  const known = new Map(
    pulses.flatMap(({ checks }) => checks.map((check) => [`${check.name} ${check.about ?? ''} ${check.found}`, check])),
  );
  return [...known.values()]
    .toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (a.name < b.name ? -1 : 1))
    .map(
      ({ name, about, state, found, next }) =>
        html`<li>
          <span class="dot ${DOTS[state]}"></span
          ><span>${name}${about !== undefined && html` <span class="muted small">${named(about)}</span>`}</span>
          <span class="grow r"
            >${named(found)}${next !== undefined && html`<span class="next small">${next}</span>`}</span
          >
        </li>`,
    );
}

const ORDER: readonly PulseCheck['state'][] = ['fail', 'warn', 'ok'];
const DOTS: Readonly<Record<PulseCheck['state'], string>> = { ok: '', warn: 'warn', fail: 'bad' };

export function partsPart(facts: Pick<HealthFacts, 'parts' | 'pulses'>): Html {
  const parts = Object.entries(facts.parts.dependencies);
  const versions = [...new Set(facts.pulses.map(({ service }) => service))];
  return html`<section class="card sec" data-part="parts" aria-labelledby="parts">
    <div class="h">
      <h2 id="parts">Parts</h2>
      <span class="muted small"
        >${versions.length === 1 ? html`version ${versions[0]} everywhere` : 'as this console sees them'}</span
      >
    </div>
    <ul class="checks">
      ${parts.map(
        ([name, { ok, problem }]) =>
          html`<li>
            <span class="dot ${ok ? '' : 'bad'}"></span><span>${name}</span>
            <span class="grow r">${ok ? 'answers' : named(problem ?? 'does not answer')}</span>
          </li>`,
      )}
      ${facts.pulses.map(
        ({ instance, service, slots, waiting }) =>
          html`<li>
            <span class="dot"></span><span>${instance}</span>
            <span class="grow r">${service}, ${plural(slots, 'slot')}, ${grouped(waiting)} waiting</span>
          </li>`,
      )}
      ${checkRows(facts.pulses)}
    </ul>
  </section>`;
}
