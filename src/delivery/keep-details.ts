/**
 * A conversation whose recordings are archived → what Genesys knows of it, beside them: `conversations/{conversationId}/`. Asked half an
 * hour after the archiving, when it has settled; transcripts are waited for two days. Nothing of it ever holds up or fails a recording.
 */
import type { Archive } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import {
  conversationPrefix,
  type ConversationDetails,
  detailsName,
  encodeDetails,
  noTranscriptName,
  readDetails,
  recordingNoteName,
  type RecordingOfConversation,
  transcriptName,
} from '../archive/details.ts';
import { archivedRow, indexDayOf, type IndexRow, movedRow } from '../archive/index-row.ts';
import type { Manifest } from '../archive/manifest.ts';
import { Failure } from '../failure.ts';
import { canonicalId } from '../recording.ts';
import type { ConversationSource } from '../genesys/conversations.ts';
import type { Log } from '../telemetry/log.ts';
import { ageOf, type Delivery, type Settlement } from '../queue/queue.ts';
import { isArchivedEarly, SETTLED_AFTER_MS } from './schedule.ts';

export interface KeepDetailsNeeds {
  readonly source: ConversationSource;
  readonly archive: Pick<Archive, 'list' | 'notes'>;
  /** Lines of the index, once they can say more. */
  readonly index: { note(row: IndexRow, day?: string): void } | undefined;
  readonly keepsTranscripts: boolean;
  /** Whether each of them was erased on purpose: then nothing of them is kept again. */
  readonly areErased: (subjects: readonly ErasedSubject[], signal: AbortSignal) => Promise<boolean>;
  readonly log: Log;
  readonly version: string;
}

export interface ErasedSubject {
  readonly conversationId: string;
  /** undefined for the whole conversation. */
  readonly recordingId: string | undefined;
}

const MINUTE_MS = 60_000;
/** Whatever Genesys does not know by then it is not asked for any more. */
const PATIENCE_MS = 48 * 60 * MINUTE_MS;
/** It waits as long again as it is old, between these. */
const SOONEST_MS = 30 * MINUTE_MS;
const LATEST_MS = 12 * 60 * MINUTE_MS;
/** A refusal is one for all conversations: so long nobody asks again. */
const REFUSED_FOR_MS = 15 * MINUTE_MS;
/** Of a listing of the archive. */
const PAGE = 100;

export class KeepDetails {
  readonly #needs: KeepDetailsNeeds;
  /** On the clock of `performance.now()`. */
  #refusedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(needs: KeepDetailsNeeds) {
    this.#needs = needs;
  }

  /** Of a message of kind `details`. @throws Failure, by which it comes again */
  async work(delivery: Delivery, signal: AbortSignal): Promise<Settlement> {
    const { message } = delivery;
    if (message.kind !== 'details') return { outcome: 'done' };
    const { conversationId } = message;
    const ageMs = ageOf(delivery);
    if (ageMs < SETTLED_AFTER_MS) return { outcome: 'wait', afterMs: SETTLED_AFTER_MS - ageMs };
    if (await this.#needs.areErased([{ conversationId, recordingId: undefined }], signal)) return { outcome: 'done' };
    const isWhole = await this.#keep(conversationId, ageMs, signal);
    if (isWhole || ageMs >= PATIENCE_MS) return { outcome: 'done' };
    return { outcome: 'wait', afterMs: Math.min(Math.max(ageMs, SOONEST_MS), LATEST_MS) };
  }

  /** Whether nothing more is to come. */
  async #keep(conversationId: string, ageMs: number, signal: AbortSignal): Promise<boolean> {
    const manifests = await this.#archivedOf(conversationId, signal);
    // Of what was erased since nothing comes back.
    if (manifests.length === 0) return true;
    const { details, isNew } = await this.#keepConversation(conversationId, manifests, signal);
    for (const manifest of manifests)
      if (details !== undefined && lacksDetails(manifest, { details, isNew })) this.#index(manifest, details);
    const areNotesWhole = await this.#keepNotes(conversationId, { manifests, ageMs }, signal);
    return areNotesWhole && details !== undefined && details.endedAt !== null;
  }

  /** Asked for until Genesys says that it is over; none where it is not known, or not shown. */
  async #keepConversation(
    conversationId: string,
    manifests: readonly Manifest[],
    signal: AbortSignal,
  ): Promise<KeptDetails> {
    const { archive, version } = this.#needs;
    const known = await readDetails(conversationId, archive.notes, signal);
    if (known !== undefined && known.endedAt !== null) return { details: known, isNew: false };
    const conversation = await this.#askUnlessRefused(conversationId, signal);
    if (conversation === undefined) return { details: known, isNew: false };
    const text = encodeDetails(conversation, { conversationId, at: new Date(), service: version });
    const recordings = manifests.map(({ recordingId }) => ({ recordingId: canonicalId(recordingId), conversationId }));
    await this.#write({ name: detailsName(conversationId), text, of: recordings }, signal);
    return { details: await readDetails(conversationId, archive.notes, signal), isNew: true };
  }

  /** A permission that is missing is the operator's to give, and costs one call in a quarter of an hour until then. */
  async #askUnlessRefused(conversationId: string, signal: AbortSignal): Promise<unknown> {
    if (performance.now() < this.#refusedUntilMs) return undefined;
    try {
      return await this.#needs.source.conversation(conversationId, signal);
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.code !== 'forbidden') throw thrown;
      this.#refusedUntilMs = performance.now() + REFUSED_FOR_MS;
      this.#needs.log.warn('Details of conversations are refused; recordings are archived without them.', {
        reason: thrown.message,
        next: 'Give the role analytics:conversationDetail:view, or set KEEP_DETAILS=no.',
      });
      return undefined;
    }
  }

  async #archivedOf(conversationId: string, signal: AbortSignal): Promise<readonly Manifest[]> {
    const manifests: Manifest[] = [];
    const query = { conversationId, status: 'archived', limit: PAGE } as const;
    for await (const entry of listedEntries(query, this.#needs.archive, signal))
      if (entry.status === 'archived') manifests.push(entry.manifest);
    return manifests;
  }

  #index(manifest: Manifest, details: ConversationDetails): void {
    const known = archivedRow(manifest, details);
    // Of two lines of the same moment either may be the one that counts.
    const row = known.at === manifest.finishedAt ? { ...known, at: new Date().toISOString() } : known;
    this.#needs.index?.note(row);
    const earlierDay = indexDayOf(archivedRow(manifest));
    const subject = { recordingId: manifest.recordingId, conversationId: details.conversationId };
    if (earlierDay !== indexDayOf(row)) this.#needs.index?.note(movedRow(subject, row.at), earlierDay);
  }

  /** Genesys is asked only where something is missing. Whether nothing is any more. */
  async #keepNotes(conversationId: string, { manifests, ageMs }: Archived, signal: AbortSignal): Promise<boolean> {
    const { keepsTranscripts, source } = this.#needs;
    const there = await this.#namesOf(conversationId, signal);
    const lacksNote = (of: RecordingOfConversation): boolean => !there.has(recordingNoteName(of));
    const lacksTranscript = (of: WantedRecording): boolean =>
      keepsTranscripts && of.isSpoken && !there.has(transcriptName(of)) && !there.has(noTranscriptName(of));
    const wanted = manifests
      .filter(({ api }) => api === 'recordings')
      .map(({ recordingId, medium, finishedAt }) => ({
        // As Genesys spells it, and whoever looks for it, however it lies in the archive.
        recordingId: canonicalId(recordingId),
        conversationId,
        isSpoken: medium === 'audio',
        finishedAt,
      }));
    if (!wanted.some((one) => lacksNote(one) || lacksTranscript(one))) return true;
    const noted = new Map((await source.notedRecordings(conversationId, signal)).map((one) => [one.recordingId, one]));
    for (const { recordingId } of wanted.filter(lacksNote)) {
      const recording = { recordingId, conversationId };
      const note = noted.get(recordingId)?.note;
      if (note !== undefined)
        await this.#write(
          { name: recordingNoteName(recording), text: `${JSON.stringify(note)}\n`, of: [recording] },
          signal,
        );
    }
    const missing = wanted.filter(lacksTranscript).map(({ recordingId, finishedAt }) => {
      const waitedMs = Math.min(ageMs, Date.now() - Date.parse(finishedAt));
      return { recordingId, conversationId, sessionId: noted.get(recordingId)?.sessionId, waitedMs };
    });
    return this.#keepTranscripts(missing, signal);
  }

  async #namesOf(conversationId: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const names = new Set<string>();
    for await (const { name } of this.#needs.archive.notes.list(conversationPrefix(conversationId), signal))
      names.add(name);
    return names;
  }

  /** Whether all are there, or known to be none. */
  async #keepTranscripts(missing: readonly MissingTranscript[], signal: AbortSignal): Promise<boolean> {
    let isWhole = true;
    for (const [sessionId, recordings] of Map.groupBy(missing, (one) => one.sessionId)) {
      const conversationId = recordings[0]?.conversationId ?? '';
      const leg = sessionId === undefined ? undefined : { conversationId, sessionId };
      const texts = leg === undefined ? NONE : await this.#needs.source.transcripts(leg, signal);
      for (const { recordingId, waitedMs } of recordings) {
        const recording = { recordingId, conversationId };
        const text = texts.get(recordingId);
        if (text !== undefined) await this.#write({ name: transcriptName(recording), text, of: [recording] }, signal);
        else if (waitedMs >= PATIENCE_MS) await this.#noteNone(recording, signal);
        else isWhole = false;
      }
    }
    return isWhole;
  }

  async #noteNone(recording: RecordingOfConversation, signal: AbortSignal): Promise<void> {
    const reason = 'Genesys had no transcript within 48 hours: the call was too short, or was not transcribed.';
    const text = `${JSON.stringify({ version: 1, ...recording, at: new Date().toISOString(), reason })}\n`;
    await this.#write({ name: noTranscriptName(recording), text, of: [recording] }, signal);
  }

  /** An erasure of all that it is about, which came in between, has the last word. */
  async #write({ name, text, of }: KeptText, signal: AbortSignal): Promise<void> {
    const { archive, areErased, log } = this.#needs;
    if (await areErased(of, signal)) return;
    const isWritten = await archive.notes.replace(name, text, signal);
    if (!isWritten) log.warn('What is kept of a conversation could not be written anew.', { name });
    if (await areErased(of, signal)) await archive.notes.remove(name, signal);
  }
}

interface KeptText {
  readonly name: string;
  readonly text: string;
  /** The recordings that it is kept for. */
  readonly of: readonly RecordingOfConversation[];
}

/** A recording that comes later has them in its line from the start, unless nobody looked for them ({@link isArchivedEarly}). */
function lacksDetails(
  manifest: Manifest,
  { details, isNew }: { readonly details: ConversationDetails; readonly isNew: boolean },
): boolean {
  return isNew || (isArchivedEarly(manifest) && manifest.finishedAt > details.at);
}

const NONE: ReadonlyMap<string, string> = new Map();

interface KeptDetails {
  readonly details: ConversationDetails | undefined;
  /** Written just now. */
  readonly isNew: boolean;
}

interface Archived {
  readonly manifests: readonly Manifest[];
  /** Of the work. */
  readonly ageMs: number;
}

interface WantedRecording extends RecordingOfConversation {
  /** A screen says nothing. */
  readonly isSpoken: boolean;
}

interface MissingTranscript extends RecordingOfConversation {
  readonly sessionId: string | undefined;
  /** Since the recording was archived. */
  readonly waitedMs: number;
}
