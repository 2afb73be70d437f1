/** Who heard, changed or asked for what: the records as a table, and as lines to take along. Looking at them is on record too. */
import type { AuditQuery, AuditRecord } from '../audit/audit.ts';
import { SYSTEM_CLOCK } from '../clock.ts';
import { Failure } from '../failure.ts';
import { pour } from '../http/pour.ts';
import { dayBefore, daysBetween, isDay } from '../instant.ts';
import { canonicalId, isId } from '../recording.ts';
import { awayPart } from './away.ts';
import { html, named, type Html } from './html.ts';
import { grouped, momentTag } from './moments.ts';
import type { FoundRecords } from './page-facts.ts';
import { idsCell, wideTable } from './table-part.ts';
import { type AnswerVisit, type ConsoleNeeds, page, SENT, type Visit } from './visit.ts';

/** The newest of what matches. */
const SHOWN = 200;
const DAYS_BACK = 6;
const MOST_DAYS = 400;

export const showAudit: AnswerVisit = async (visit, needs) => {
  const now = needs.now();
  const query = parseAuditQuery(visit.query, now);
  const look = async (signal: AbortSignal): Promise<FoundRecords> => {
    await onRecord('looked', { visit, query }, needs);
    return newestOfAudit(query, needs, signal);
  };
  const asked = { of: JSON.stringify(query), who: visit.who };
  const { facts, at, problem } = await needs.lastShown.audit.look(asked, look, visit.signal);
  const away = problem && awayPart({ facts, at, problem, part: 'audit' }, now);
  const main = html`<h1>Audit</h1>
    <p class="muted">Written before each act, and changed by nobody; <code>archiver verify --audit</code> proves it.</p>
    ${auditForm(query)}
    <div data-part="records">${away}${facts !== undefined && auditTable(facts, { query, now })}</div>
    <p class="vh" role="status" data-said></p>`;
  return page({ title: 'Audit', section: 'audit', main, problem, modules: away === undefined ? [] : ['live'] });
};

/** The same records, all of them, as they lie there: one JSON a line. */
export const exportAudit: AnswerVisit = async (visit, needs) => {
  const query = parseAuditQuery(visit.query, needs.now());
  await onRecord('exported', { visit, query }, needs);
  const { res, signal } = visit;
  res.setHeader('Content-Type', 'application/x-ndjson; charset=utf-8');
  res.setHeader('Content-Disposition', `attachment; filename="audit-${query.from}-${query.to}.ndjson"`);
  await pour(recordLines(needs.audit.read(query, signal)), res, SYSTEM_CLOCK);
  return SENT;
};

async function* recordLines(records: AsyncIterable<AuditRecord>): AsyncGenerator<Buffer, void, void> {
  for await (const record of records) yield Buffer.from(`${JSON.stringify(record)}\n`);
}

/** Which fields were asked for, not their values: an audit is no place for names that somebody typed. */
async function onRecord(
  action: 'looked' | 'exported',
  { visit, query }: { readonly visit: Visit; readonly query: AuditQuery },
  { witness }: ConsoleNeeds,
): Promise<void> {
  const fields = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const about = { of: 'audit', from: query.from, to: query.to, fields: fields.join(',') };
  await witness.record(visit.req, { action, way: visit.who.way, who: visit.who.id, about });
}

/** @throws Failure `bad-request` naming what is wrong */
function parseAuditQuery(asked: URLSearchParams, now: Date): AuditQuery {
  const today = now.toISOString().slice(0, 10);
  const text = (name: string): string | undefined => {
    const value = (asked.get(name) ?? '').trim();
    return value === '' ? undefined : value;
  };
  const to = text('to') ?? today;
  if (!isDay(to)) throw new Failure('bad-request', 'to: expected a day such as 2026-08-05.');
  const from = text('from') ?? dayBefore(to, DAYS_BACK);
  if (!isDay(from) || from > to)
    throw new Failure('bad-request', 'from: expected a day such as 2026-08-05, none after to.');
  if (daysBetween(from, to).length > MOST_DAYS)
    throw new Failure('bad-request', `from: expected at most ${String(MOST_DAYS)} days before to.`);
  const [conversation, recording] = (text('C') ?? '').split('/');
  const id = (value: string | undefined): string | undefined => {
    if (value === undefined || value === '' || value === '_') return undefined;
    if (!isId(value)) throw new Failure('bad-request', 'C: expected the id of a conversation, or C/R.');
    return canonicalId(value);
  };
  return { from, to, who: text('who'), conversationId: id(conversation), recordingId: id(recording) };
}

/** In the memory of what is shown, however many there are. */
async function newestOfAudit(query: AuditQuery, { audit }: ConsoleNeeds, signal: AbortSignal): Promise<FoundRecords> {
  let records: AuditRecord[] = [];
  let count = 0;
  for await (const record of audit.read(query, signal)) {
    count += 1;
    records.push(record);
    if (records.length > 2 * SHOWN) records = records.slice(-SHOWN);
  }
  return { records: records.slice(-SHOWN).toReversed(), count };
}

function auditForm({ from, to, who, conversationId, recordingId }: AuditQuery): Html {
  const ids = [conversationId, recordingId].filter((id) => id !== undefined).join('/');
  return html`<form class="filters" method="get" action="/console/audit">
    <label class="lab1">Who <input class="inp" name="who" value="${who ?? ''}" autocomplete="off" /></label>
    <label class="lab1">Conversation, or C/R <input class="inp" name="C" value="${ids}" autocomplete="off" /></label>
    <label class="lab1">From <input class="inp" type="date" name="from" value="${from}" /></label>
    <label class="lab1">To <input class="inp" type="date" name="to" value="${to}" /></label>
    <button class="btn" type="submit">Show</button>
    <button class="btn" type="submit" formaction="/console/audit.ndjson">Export</button>
  </form>`;
}

function auditTable(
  { records, count }: FoundRecords,
  { query, now }: { readonly query: AuditQuery; readonly now: Date },
): Html {
  const days = query.from === query.to ? query.from : `${query.from} to ${query.to}`;
  if (count === 0) return html`<section class="card sec"><p>Nothing on record that matches, ${days}.</p></section>`;
  const newest =
    count > records.length ? html`, the newest ${grouped(records.length)} of them; Export has all` : undefined;
  return html`<section class="card troubles" aria-labelledby="records">
    <div class="sec h">
      <h2 id="records">${grouped(count)} ${count === 1 ? 'record' : 'records'}</h2>
      <span class="muted small">${days}, UTC${newest}</span>
    </div>
    ${wideTable({
      label: 'Records, one a row',
      heads: ['When', 'Who', 'Did', 'Conversation and recording', 'From', 'About'],
      rows: records.map((record) => recordRow(record, now)),
    })}
  </section>`;
}

function recordRow(record: AuditRecord, now: Date): Html {
  const { at, who, way, action, conversationId, recordingId, from, about = {}, why } = record;
  const facts = Object.entries(about).map(([name, value]) => `${name} ${String(value)}`);
  return html`<tr>
    <td class="nowrap">${momentTag(at, now)}</td>
    <td>
      ${named(who)}
      <div class="muted small">by ${way}</div>
    </td>
    <td><span class="code">${action}</span></td>
    ${idsCell({ conversationId, recordingId })}
    <td><code>${from ?? '–'}</code></td>
    <td>${named([...facts, ...(why === undefined ? [] : [`“${why}”`])].join(' · '))}</td>
  </tr>`;
}
