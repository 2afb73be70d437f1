/** What a page of the console is given, and what it may answer. */
import type { Request, Response } from 'express';
import type { Archive } from '../archive/archive.ts';
import type { Audit } from '../audit/audit.ts';
import type { Failure } from '../failure.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Queue } from '../queue/queue.ts';
import type { Turnstile } from '../http/turnstile.ts';
import type { Witness } from '../http/witness.ts';
import type { Search } from '../search/search.ts';
import type { Returns } from './returns.ts';
import type { ShownBefore } from './page-facts.ts';
import type { Hearing } from './hearing.ts';
import type { HealthWatch } from './health-facts.ts';
import type { DivisionNames } from './divisions.ts';
import { html, type Html } from './html.ts';
import type { Keeping } from './keeping.ts';
import type { Identity } from './who/identity.ts';

/** What pages are made of. */
export interface ConsoleNeeds {
  readonly archive: Archive;
  /** Where replays go. */
  readonly queue: Pick<Queue, 'publish' | 'depth'>;
  readonly audit: Pick<Audit, 'read'>;
  readonly witness: Witness;
  readonly health: Pick<HealthWatch, 'known'>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly version: string;
  readonly lastShown: ShownBefore;
  readonly returns: Pick<Returns, 'isThere'>;
  /** undefined where there is no index to search in. */
  readonly search: Search | undefined;
  readonly hearing: Hearing;
  /** Who reads a recording whole to compare it. */
  readonly rereads: Turnstile;
  /** Holds and erases at once; undefined where the account may not. */
  readonly keeping: Keeping | undefined;
  readonly divisions: Pick<DivisionNames, 'known'>;
  /** A keyed hash: the same of the same text, and nothing to be told from it. */
  readonly hashed: (text: string) => string;
  /** Milliseconds that a page waits for the archive. */
  readonly patienceMs: number;
  /** Wall clock. */
  readonly now: () => Date;
}

/** One request of somebody who may ask it. */
export interface Visit {
  readonly who: Identity;
  /** `/console/find`, without its query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Of the path. */
  readonly params: Readonly<Record<string, string>>;
  /** Of a POST that came from a form of ours; empty for GET. */
  readonly form: URLSearchParams;
  /** Shows that a form is ours; another one at each visit. */
  readonly token: string;
  /** Aborts when the visitor has left. */
  readonly signal: AbortSignal;
  readonly req: Request;
  readonly res: Response;
}

export type Section = 'find' | 'health' | 'audit';

export interface ShownPage {
  readonly kind: 'page';
  /** What the tab says. */
  readonly title: string;
  /** Which entry of the navigation it belongs to. */
  readonly section?: Section;
  readonly main: Html;
  /** Modules of browser/, by their names without ending; `frame` is on every page. */
  readonly modules?: readonly string[];
  readonly status?: number;
  /** Why what is shown is not of now: answered with 503, and a page all the same. */
  readonly problem?: Failure | undefined;
  /** Where it leads by itself without scripts; with them its module does. */
  readonly goesOnTo?: string;
}

export type VisitAnswer =
  | ShownPage
  | { readonly kind: 'redirect'; readonly to: string }
  | { readonly kind: 'data'; readonly type: string; readonly text: string; readonly etag?: string }
  /** The page has answered by itself (`visit.res`): media. */
  | { readonly kind: 'sent' };

export type AnswerVisit = (visit: Visit, needs: ConsoleNeeds) => Promise<VisitAnswer>;

export function page(shown: Omit<ShownPage, 'kind'>): VisitAnswer {
  return { kind: 'page', ...shown };
}

/** `to` is a path of ours. */
export function redirect(to: string): VisitAnswer {
  return { kind: 'redirect', to };
}

/** With an `etag` (quoted) who has it already is told so and no more. */
export function data(type: string, text: string, etag?: string): VisitAnswer {
  return { kind: 'data', type, text, ...(etag === undefined ? {} : { etag }) };
}

export const SENT: VisitAnswer = { kind: 'sent' };

/** Stands in every form that changes something. */
export function tokenField({ token }: Pick<Visit, 'token'>): Html {
  return html`<input type="hidden" name="token" value="${token}" />`;
}
