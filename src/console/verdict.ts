/** Facts → the one sentence that says whether everything has arrived, and how sure that is. */
import type { ReadingResult } from '../archive/proofs.ts';
import { OUT_OF_ORDER } from './disturbances.ts';
import { html, type Html } from './html.ts';
import type { HealthFacts } from './health-facts.ts';
import { momentTag, plural, spanText } from './moments.ts';

export interface HealthVerdict {
  readonly state: 'good' | 'warn' | 'bad' | 'unknown' | 'first';
  /** In words without markup, for whoever hears it; UTC. */
  readonly text: string;
  readonly sentence: Html;
  /** Where that is known from. */
  readonly from: Html;
  /** What has not arrived. */
  readonly except: number;
}

/** A look each night, and two hours for it: beyond that nobody knows. */
const CHECK_HOLDS_MS = 26 * 3_600_000;
/** Without anything archived for so long, while something waits that long for the other side. */
const SILENT_MS = 600_000;

export function verdictOf(facts: HealthFacts | undefined, now: Date): HealthVerdict {
  if (facts === undefined)
    return verdict(
      'unknown',
      html`Not known: the archive does not answer`,
      html`Nothing has been seen of it since the console started.`,
    );
  const silence = silenceIn(facts, now);
  if (silence !== undefined) return silence;
  const checked = facts.days.filter(({ at }) => at !== null);
  // However far Genesys' data reach: what was compared ends with the comparison.
  const until = latest(checked.map(({ dataUntil, at }) => [dataUntil ?? at ?? '', at ?? ''].toSorted()[0] ?? ''));
  const lookedAt = latest(checked.map(({ at }) => at ?? ''));
  if (lookedAt === undefined || until === undefined) return neverChecked(facts);
  const from = html`Compared with Genesys ${momentTag(lookedAt, now)}`;
  if (now.getTime() - Date.parse(lookedAt) > CHECK_HOLDS_MS) {
    const age = spanText((now.getTime() - Date.parse(lookedAt)) / 1000);
    return verdict(
      'unknown',
      html`Not known: the last comparison with Genesys is ${age} old`,
      html`${from}. Run <code>archiver reconcile</code>, or see why the nightly look failed.`,
    );
  }
  return arrivedUntil(until, { facts, from, now });
}

/** Everything but what is known to be missing, has failed or waits. */
function arrivedUntil(
  until: string,
  { facts, from, now }: { readonly facts: HealthFacts; readonly from: Html; readonly now: Date },
): HealthVerdict {
  const failed = facts.troubles.reduce((sum, { count }) => sum + count, 0);
  const missing = facts.days.reduce((sum, day) => sum + (day.missing ?? 0), 0);
  const late = facts.unready.filter(({ waiting }) => waiting.since < until).length;
  const except = failed + missing + late;
  const all = html`All calls that ended before ${momentTag(until, now)} have arrived`;
  if (except === 0 && facts.reading !== undefined && facts.reading.findings > 0)
    return damagedSince(facts.reading, { all, now });
  if (except === 0) return verdict('good', all, from);
  const state = failed + missing > 0 ? 'bad' : 'warn';
  const more = facts.hasMore ? ' or more' : '';
  return { ...verdict(state, html`${all}, except ${except}${more}`, from), except };
}

/** Everything has come; but what lies there is not what was stored. */
function damagedSince(
  { at, findings }: ReadingResult,
  { all, now }: { readonly all: Html; readonly now: Date },
): HealthVerdict {
  const count = plural(findings, 'thing', 'things');
  return verdict(
    'bad',
    html`${all}, but ${count} in the archive ${findings === 1 ? 'is' : 'are'} not as stored`,
    html`Verified ${momentTag(at, now)}. <code>archiver verify</code> names each, and the command that mends it.`,
  );
}

function neverChecked({ newest, troubles, unready }: HealthFacts): HealthVerdict {
  const isEmpty = newest.entries === 0 && troubles.length === 0 && unready.length === 0;
  if (isEmpty)
    return verdict('first', html`Nothing is archived yet`, html`These are the steps to the first recording.`);
  return verdict(
    'unknown',
    html`Not known: nothing was compared with Genesys in the last 14 days`,
    html`Run <code>archiver reconcile</code>; <code>archiver serve</code> does so each night by itself.`,
  );
}

function silenceIn({ newest, unready }: HealthFacts, now: Date): HealthVerdict | undefined {
  const longest = unready.find(({ waiting }) => OUT_OF_ORDER.has(waiting.code));
  const { lastArchivedAt } = newest;
  if (longest === undefined || lastArchivedAt === null) return undefined;
  const silentMs = now.getTime() - Date.parse(lastArchivedAt);
  if (silentMs < SILENT_MS || now.getTime() - Date.parse(longest.waiting.since) < SILENT_MS) return undefined;
  const why = OUT_OF_ORDER.get(longest.waiting.code) ?? '';
  const waiting = plural(unready.length, 'recording waits', 'recordings wait');
  return {
    ...verdict(
      'bad',
      html`Nothing has arrived for ${spanText(silentMs / 1000)}: ${why}`,
      html`${waiting}, and each is asked for again by itself.`,
    ),
    except: unready.length,
  };
}

function verdict(state: HealthVerdict['state'], sentence: Html, from: Html): HealthVerdict {
  return {
    state,
    sentence,
    from,
    except: 0,
    text: sentence
      .toString()
      .replaceAll(/<[^>]*>/g, '')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  };
}

function latest(instants: readonly string[]): string | undefined {
  return instants.filter((instant) => instant !== '').toSorted((a, b) => (a < b ? 1 : -1))[0];
}
