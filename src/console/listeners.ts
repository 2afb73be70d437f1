/** Who heard a recording of late, from the audit. */
import type { AuditRecord } from '../audit/audit.ts';
import { dayAt, dayBefore } from '../instant.ts';
import type { Recording } from '../recording.ts';
import { html, named, type Html } from './html.ts';
import { ifInTime } from './patience.ts';
import type { ConsoleNeeds, Visit } from './visit.ts';
import { lengthWords, timeOf } from './words-for.ts';

/** The audit of a day is read whole to find a recording in it. */
const DAYS = 2;
const MOST_SHOWN = 8;
const HEARD = new Set(['listened', 'played', 'downloaded', 'linked', 'exported']);

export function listenersPart(
  recording: Recording,
  heard: readonly AuditRecord[] | undefined,
  { who }: Pick<Visit, 'who'>,
): Html {
  const all = who.roles.has('audit');
  return html`<section aria-labelledby="listeners">
    <h3 id="listeners">Who listened, today and yesterday</h3>
    ${
      heard === undefined
        ? html`<p class="muted small">The audit cannot be read just now.</p>`
        : heard.length === 0
          ? html`<p class="muted small">Nobody before you.</p>`
          : html`<ul class="aud">
              ${heard.map((record) => html`<li>${timeOf(record.at, 'moment')}<span class="grow">${named(record.who)}${whatOf(record)}</span></li>`)}
            </ul>`
    }
    ${all && html`<p class="small"><a href="${`/console/audit?C=${recording.conversationId ?? ''}`}">All of it, in the audit</a></p>`}
  </section>`;
}

/** The newest first; undefined where the audit is away: the sound does not wait for it. */
export function heardOf(
  recording: Recording,
  { signal }: Visit,
  needs: ConsoleNeeds,
): Promise<readonly AuditRecord[] | undefined> {
  const { patienceMs } = needs;
  return ifInTime((inTime) => readHeard(recording, needs, inTime), { otherwise: undefined, patienceMs }, signal);
}

async function readHeard(
  { recordingId, conversationId }: Recording,
  { audit, now }: Pick<ConsoleNeeds, 'audit' | 'now'>,
  signal: AbortSignal,
): Promise<readonly AuditRecord[] | undefined> {
  const today = dayAt(now().getTime());
  const heard: AuditRecord[] = [];
  for await (const record of audit.read(
    { from: dayBefore(today, DAYS - 1), to: today, conversationId, recordingId },
    signal,
  )) {
    if (HEARD.has(record.action)) heard.push(record);
    if (heard.length > 2 * MOST_SHOWN) heard.splice(0, MOST_SHOWN);
  }
  return heard.toReversed().slice(0, MOST_SHOWN);
}

function whatOf({ action, about }: AuditRecord): string {
  if (action === 'played') {
    const [from, to] = [Number(about?.['fromS']), Number(about?.['toS'])];
    return Number.isFinite(from) && Number.isFinite(to)
      ? `, ${lengthWords(from * 1000)}–${lengthWords(to * 1000)}`
      : ', played';
  }
  return action === 'listened' ? ', opened' : `, ${action}`;
}
