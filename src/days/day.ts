/** One UTC day: what Genesys has of it against what lies in the archive → every difference by name, a verdict, a proof. */
import { createHash } from 'node:crypto';
import type { Archive } from '../archive/archive.ts';
import type { Manifest } from '../archive/manifest.ts';
import { isPerhapsItsOwn } from './day-troubles.ts';
import { Failure } from '../failure.ts';
import type { Census, CountedConversation, CountedList, CountedRecording } from '../genesys/census.ts';
import { keyOf, type Recording, recordingOfKey } from '../recording.ts';
import { type EarlierLook, mendingOfView, type Shown, Sight } from './sight.ts';

/** Why a recording is not archived; in this order, and the first that holds. */
export type State = 'failed' | 'waiting' | 'stored-away' | 'missing' | 'lost' | 'unlisted';

/** One named thing that is not as it should be. */
export interface Finding {
  readonly day: string;
  /** `{conversationId|_}.{recordingId}`; `{conversationId}._` for a whole conversation. */
  readonly key: string;
  readonly state: State;
  /** A FailureCode where one is known. */
  readonly code?: string;
  readonly reason: string;
}

/**
 * - `complete`    all that Genesys has is here, or has no media, or was erased on purpose
 * - `accounted`   what is not here is gone at Genesys too: nothing is left to fetch
 * - `incomplete`  something can still be fetched
 * - `open`        Genesys' data do not reach to the end of the day yet, or leave something of it out, or this client is not shown all
 *                 that it was: never a proof
 */
export type Verdict = 'complete' | 'accounted' | 'incomplete' | 'open';

/** What was established about a day: the line of the report, and the proof that lies in the archive. */
export interface DayProof {
  readonly day: string;
  readonly verdict: Verdict;
  /** With recordings, as analytics flags them or Genesys lists them. */
  readonly conversations: number;
  readonly recordings: number;
  readonly archived: number;
  readonly noMedia: number;
  readonly erased: number;
  readonly missing: number;
  readonly failed: number;
  readonly waiting: number;
  readonly storedAway: number;
  readonly lost: number;
  readonly unlisted: number;
  readonly dataUntil: string;
  readonly asked: 'all' | 'so-far';
  readonly calls: number;
  readonly polls: number;
  readonly seconds: number;
  /** SHA-256, hex, over the sorted keys of all recordings of the day, one a line. */
  readonly keysSha256: string;
  /** Divisions that the client was shown: completeness is claimed for these alone. */
  readonly divisions: readonly string[];
  /** Why it is open though it is over: what this client was not shown, and what to do. */
  readonly hindered?: string;
}

/** One recording (or a whole conversation) of a day, and what was found of it. */
export interface SeenSubject {
  /** As in a {@link Finding}. */
  readonly key: string;
  /** Where it is archived. */
  readonly manifest?: Manifest;
  /** Where it is not, though it should be. */
  readonly found?: Omit<Finding, 'day' | 'key'>;
}

export interface DayNeeds {
  readonly census: Census;
  readonly archive: Pick<Archive, 'find' | 'failureOf' | 'waitingOf' | 'list'>;
  /** Told of each finding when it is made. */
  readonly onFinding: (finding: Finding) => void;
  /** Told after each conversation. */
  readonly onProgress?: (done: number) => void;
  /** Told of each conversation with recordings, with all that was found of it, before the next ones are looked at. */
  readonly onConversation?: (
    conversation: CountedConversation,
    seen: readonly SeenSubject[],
    signal: AbortSignal,
  ) => Promise<void>;
  readonly now?: () => Date;
  /** What was shown of the day before. */
  readonly earlier?: EarlierLook | undefined;
}

/** Data are complete for the watermark and before; two hours more for what was under way at midnight. */
const SETTLED_AFTER_MS = 2 * 3_600_000;
/** `recordingmetadata` at once; the pace of the token bounds them further. */
const WIDTH = 8;

const WITHOUT_MEDIA = new Set(['chat', 'email', 'message', 'messaging']);

/** @throws Failure where the day cannot be looked at: the permission, the region, an outage that lasts */
export async function examineDay(day: string, needs: DayNeeds, signal: AbortSignal): Promise<DayProof> {
  const { census, now = () => new Date() } = needs;
  const started = performance.now();
  const before = { ...census.calls };
  const dataUntil = await census.dataUntil(signal);
  const isClosed = isDayClosed(day, dataUntil);
  const tally = new DayTally(day, needs.onFinding);
  const sight = new Sight(census);
  const answers = new ListAnswers();
  const counted = census.conversationsOf(day, isClosed, signal);
  await inParallel(counted.conversations, WIDTH, async (conversation) => {
    const seen: SeenSubject[] = [];
    await examineConversation(conversation, { tally, needs, sight, answers, now: now(), seen }, signal);
    if (seen.length > 0) await needs.onConversation?.(conversation, seen, signal);
    needs.onProgress?.(tally.conversations);
  });
  answers.requireMost();
  const illegible = counted.isLegible() ? undefined : ILLEGIBLE;
  const hindered = isClosed ? (illegible ?? (await sight.hindrance(tally.shown(), needs.earlier, signal))) : undefined;
  const isWhole = isClosed && counted.isWhole() && hindered === undefined;
  return {
    ...tally.counts(isWhole),
    dataUntil: dataUntil.toISOString(),
    asked: isWhole ? 'all' : 'so-far',
    calls: census.calls.made - before.made,
    polls: census.calls.polls - before.polls,
    seconds: Math.round((performance.now() - started) / 1000),
    ...(hindered === undefined ? {} : { hindered }),
  };
}

const ILLEGIBLE =
  "Genesys' analytics list conversations of it without an id that can be asked for; ask Genesys support if it stays";

/** Whether analytics promises to know all of it. */
export function isDayClosed(day: string, dataUntil: Date): boolean {
  return Date.parse(`${day}T00:00:00Z`) + 24 * 3_600_000 + SETTLED_AFTER_MS <= dataUntil.getTime();
}

interface Examination {
  readonly seen: SeenSubject[];
  readonly tally: DayTally;
  readonly needs: DayNeeds;
  readonly sight: Sight;
  readonly answers: ListAnswers;
  readonly now: Date;
}

async function examineConversation(
  conversation: CountedConversation,
  examination: Examination,
  signal: AbortSignal,
): Promise<void> {
  const { tally, needs, answers } = examination;
  const { conversationId } = conversation;
  const listed = await listedOf(conversationId, { census: needs.census, answers }, signal);
  if (listed instanceof Failure) {
    tally.conversation(conversation);
    const found = NOT_THERE.has(listed.code) ? await unlistedOf(conversation, examination, signal) : refusedBy(listed);
    report(`${conversationId}._`, found, examination);
    return;
  }
  const { recordings, lacking } = listed;
  if (recordings.length === 0 && lacking === undefined && !conversation.isRecorded) return;
  tally.conversation(conversation);
  if (lacking !== undefined) report(`${conversationId}._`, notAllOf(lacking), examination);
  else if (recordings.length === 0) {
    const isYoung = isYoungerThanSettled(conversation, examination.now);
    const found: Found = isYoung
      ? { state: 'waiting', reason: YOUNG }
      : await unlistedOf(conversation, examination, signal);
    report(`${conversationId}._`, found, examination);
    return;
  }
  for (const counted of recordings) {
    const recording = { recordingId: counted.recordingId, conversationId };
    tally.recording(recording);
    await examineRecording(recording, { counted, conversation, ...examination }, signal);
  }
  if (lacking !== undefined) return;
  for (const found of await notListedOf(conversation, recordings, { examination, signal }))
    report(`${conversationId}._`, found, examination);
}

interface Examining {
  readonly examination: Examination;
  readonly signal: AbortSignal;
}

/** A list with something in it need not be all: of calls and screens that were recorded it may have none, and a conversation may go on. */
async function notListedOf(
  conversation: CountedConversation,
  listed: readonly CountedRecording[],
  { examination: { sight, now, needs }, signal }: Examining,
): Promise<readonly Found[]> {
  const { hasCall, hasScreen, divisions } = conversation;
  const screens = listed.filter(({ media }) => media === 'screen').length;
  const lacking = [
    ...(hasCall && screens === listed.length ? (['recordings'] as const) : []),
    ...(hasScreen && screens === 0 ? (['screens'] as const) : []),
  ];
  const covered = await Promise.all(lacking.map((view) => sight.covers(view, divisions, signal)));
  const unseen = lacking.filter((_, index) => covered[index] !== true).map((view) => withheld(view, conversation));
  if (isGoingOn(conversation, now)) return [{ state: 'waiting', reason: GOES_ON }, ...unseen];
  const unlisted = lacking.filter((_, index) => covered[index] === true);
  if (unlisted.length === 0) return unseen;
  if (isYoungerThanSettled(conversation, now)) return [{ state: 'waiting', reason: YOUNG }, ...unseen];
  const here = await viewsHere(conversation, needs, signal);
  return [...unlisted.filter((view) => !here.has(view)).map((view) => UNLISTED[view]), ...unseen];
}

/** That nothing is listed says something only where this client would see it. */
async function unlistedOf(
  conversation: CountedConversation,
  { sight }: Pick<Examination, 'sight'>,
  signal: AbortSignal,
): Promise<Found> {
  const isSeen = await sight.covers('recordings', conversation.divisions, signal);
  return isSeen ? UNLISTED.all : withheld('recordings', conversation);
}

/** Of a conversation. */
const ASKED_FOR = 100;

/** Of which kind recordings of a conversation are archived: Genesys may have deleted them since. */
async function viewsHere(
  { conversationId }: CountedConversation,
  { archive }: DayNeeds,
  signal: AbortSignal,
): Promise<ReadonlySet<'recordings' | 'screens'>> {
  const views = new Set<'recordings' | 'screens'>();
  const { entries } = await archive.list({ conversationId, status: 'archived', limit: ASKED_FOR }, signal);
  for (const entry of entries)
    if (entry.status === 'archived') views.add(entry.manifest.medium === 'video' ? 'screens' : 'recordings');
  return views;
}

function withheld(view: 'recordings' | 'screens', { divisions }: CountedConversation): Found {
  return {
    state: 'failed',
    code: 'forbidden',
    reason: `forbidden: its ${view} are not shown to this client; ${mendingOfView(view, divisions)}`,
  };
}

/** Nothing is proven of a list that was not read in full. */
function notAllOf({ code, message }: Failure): Found {
  return { state: code === 'not-ready' ? 'waiting' : 'failed', code, reason: `${code}: ${message}` };
}

function refusedBy({ code, message }: Failure): Found {
  return { state: 'failed', code, reason: message };
}

const UNLISTED = {
  all: {
    state: 'unlisted',
    reason:
      'a recording was started, but Genesys lists none: discarded, deleted by a policy, or not visible to this client',
  },
  recordings: {
    state: 'unlisted',
    reason: 'a call was recorded, but Genesys lists only screens: discarded, deleted by a policy, or not uploaded yet',
  },
  screens: {
    state: 'unlisted',
    reason: 'a screen was recorded, but Genesys lists none: discarded, deleted by a policy, or not uploaded yet',
  },
} as const;
const YOUNG = 'the conversation ended less than two hours ago';
const GOES_ON = 'the conversation goes on, and more of it may come';
/** What did not end by then is stuck, or was never told to have ended: what is listed of it by then is all. */
const GOES_ON_FOR_MS = 48 * 3_600_000;

/** Of a conversation: it is not there, or not any more. */
const NOT_THERE: ReadonlySet<string> = new Set(['not-found', 'gone']);

/** 403, 404 and 410 are answers about this conversation. Whatever else is wrong with a few of them keeps the others from nothing. */
async function listedOf(
  conversationId: string,
  { census, answers }: { readonly census: Census; readonly answers: ListAnswers },
  signal: AbortSignal,
): Promise<CountedList | Failure> {
  try {
    const list = await census.recordingsOf(conversationId, signal);
    answers.answered();
    return list;
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    if (NOT_THERE.has(thrown.code) || thrown.code === 'forbidden') answers.answered();
    else answers.refuse(thrown);
    return thrown;
  }
}

/** Of the lists of a day: more than these, or all there are, and it is Genesys that does not answer. */
const MOST_UNANSWERED = 3;
/** So many more of those that were answered. */
const UNANSWERED_SHARE = 0.1;

/** Each of these was waited for as long as for an outage. */
const SILENT: ReadonlySet<string> = new Set(['upstream-unavailable', 'upstream-timeout']);

/** Whether what went wrong with some lists of a day is these conversations' own affair. */
class ListAnswers {
  #first: Failure | undefined;
  #refused = 0;
  #answered = 0;

  answered(): void {
    this.#answered += 1;
  }

  /** @throws Failure the one that was given, where it is more than that, whatever is said of those that are being asked for */
  refuse(failure: Failure): void {
    this.#first ??= failure;
    this.#refused += 1;
    const most = SILENT.has(failure.code) ? MOST_UNANSWERED : this.#most + WIDTH;
    if (!isPerhapsItsOwn(failure) || this.#refused > most) throw failure;
  }

  /** Once all were asked for. @throws Failure the first that was given */
  requireMost(): void {
    if (this.#first !== undefined && (this.#answered === 0 || this.#refused > this.#most)) throw this.#first;
  }

  get #most(): number {
    return MOST_UNANSWERED + this.#answered * UNANSWERED_SHARE;
  }
}

function isYoungerThanSettled({ endedAt }: CountedConversation, now: Date): boolean {
  return endedAt === undefined || now.getTime() - endedAt.getTime() < SETTLED_AFTER_MS;
}

/** Recorded, and not known to have ended. */
function isGoingOn({ isRecorded, startedAt, endedAt }: CountedConversation, now: Date): boolean {
  return isRecorded && endedAt === undefined && now.getTime() - startedAt.getTime() < GOES_ON_FOR_MS;
}

interface RecordingLook extends Examination {
  readonly counted: CountedRecording;
  readonly conversation: CountedConversation;
}

async function examineRecording(recording: Recording, look: RecordingLook, signal: AbortSignal): Promise<void> {
  const { tally, needs, counted } = look;
  const key = keyOf(recording);
  const archived = await stateInArchive(recording, needs, signal);
  if (archived === 'erased') return tally.well('erased');
  if (archived !== undefined) {
    look.seen.push({ key, manifest: archived });
    return tally.well('archived');
  }
  if (WITHOUT_MEDIA.has(counted.media)) return tally.well('no-media');
  const failure = await needs.archive.failureOf(recording, signal);
  if (failure?.status === 'no-media') return tally.well('no-media');
  const found: Found =
    failure === undefined
      ? await stateOf(recording, look, signal)
      : { state: 'failed', code: failure.code, reason: `${failure.code}: ${failure.reason}` };
  return report(key, found, look);
}

function report(key: string, found: Found, { tally, seen }: Examination): void {
  seen.push({ key, found });
  tally.found(key, found);
}

async function stateInArchive(
  recording: Recording,
  { archive }: DayNeeds,
  signal: AbortSignal,
): Promise<Manifest | 'erased' | undefined> {
  try {
    return await archive.find(recording, signal);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.status === 410) return 'erased';
    throw thrown;
  }
}

type Found = Omit<Finding, 'day' | 'key'>;

/** Genesys' word on it; what waits here with a reason says that reason. */
async function stateOf(recording: Recording, look: RecordingLook, signal: AbortSignal): Promise<Found> {
  const { counted, conversation, needs, now } = look;
  const state = counted.fileState;
  if (state === 'DELETED' || state === 'ERROR') return { state: 'lost', reason: `Genesys: file state ${state}` };
  const waiting = await needs.archive.waitingOf(recording, signal);
  if (waiting !== undefined)
    return { state: 'waiting', code: waiting.code, reason: `${waiting.code}: ${waiting.reason}` };
  if (state === 'UPLOADING' || state === 'RESTORING')
    return { state: 'waiting', reason: `Genesys: file state ${state}` };
  if (state === 'ARCHIVED')
    return { state: 'stored-away', code: 'needs-restore', reason: 'Genesys keeps it in its long-term archive' };
  if (isYoungerThanSettled(conversation, now)) return { state: 'waiting', reason: YOUNG };
  return { state: 'missing', reason: 'no event reached us' };
}

/** The figures of one day, as they are found. Holds the keys of its recordings: about 100 bytes each. */
class DayTally {
  readonly #day: string;
  readonly #onFinding: (finding: Finding) => void;
  readonly #keys: string[] = [];
  readonly #divisions = new Set<string>();
  readonly #well = { archived: 0, 'no-media': 0, erased: 0 };
  readonly #states = { failed: 0, waiting: 0, 'stored-away': 0, missing: 0, lost: 0, unlisted: 0 };
  conversations = 0;
  /** Conversations that are not shown, or not whole. */
  #refused = 0;

  constructor(day: string, onFinding: (finding: Finding) => void) {
    this.#day = day;
    this.#onFinding = onFinding;
  }

  conversation({ divisions }: CountedConversation): void {
    this.conversations += 1;
    for (const division of divisions) this.#divisions.add(division);
  }

  shown(): Shown {
    return { conversations: this.conversations, divisions: [...this.#divisions], refused: this.#refused };
  }

  recording(recording: Recording): void {
    this.#keys.push(keyOf(recording));
  }

  well(how: 'archived' | 'no-media' | 'erased'): void {
    this.#well[how] += 1;
  }

  found(key: string, found: Found): void {
    this.#states[found.state] += 1;
    if (found.code === 'forbidden' && recordingOfKey(key) === undefined) this.#refused += 1;
    this.#onFinding({ day: this.#day, key, ...found });
  }

  counts(isWhole: boolean): Omit<DayProof, 'dataUntil' | 'asked' | 'calls' | 'polls' | 'seconds'> {
    const { failed, waiting, missing, lost, unlisted } = this.#states;
    return {
      day: this.#day,
      verdict: this.#verdict(isWhole),
      conversations: this.conversations,
      recordings: this.#keys.length,
      archived: this.#well.archived,
      noMedia: this.#well['no-media'],
      erased: this.#well.erased,
      missing,
      failed,
      waiting,
      storedAway: this.#states['stored-away'],
      lost,
      unlisted,
      keysSha256: sha256Of(this.#keys),
      divisions: [...this.#divisions].toSorted(),
    };
  }

  #verdict(isWhole: boolean): Verdict {
    const { lost, unlisted, ...open } = this.#states;
    if (!isWhole) return 'open';
    if (Object.values(open).some((count) => count > 0)) return 'incomplete';
    return lost + unlisted > 0 ? 'accounted' : 'complete';
  }
}

function sha256Of(keys: readonly string[]): string {
  const hash = createHash('sha256');
  for (const key of keys.toSorted()) hash.update(`${key}\n`);
  return hash.digest('hex');
}

/** Works on `width` items at once, in their order of arrival; the first failure ends all. */
export async function inParallel<T>(
  items: AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  const over = new AbortController();
  const worker = async (): Promise<void> => {
    for (;;) {
      const step = await iterator.next();
      if (step.done === true || over.signal.aborted) return;
      await work(step.value);
    }
  };
  const first = (error: unknown): void => over.abort(error);
  await Promise.all(Array.from({ length: width }, () => worker().catch(first)));
  if (over.signal.aborted) await iterator.return?.();
  over.signal.throwIfAborted();
}
