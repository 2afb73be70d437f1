/**
 * A recording that was archived, given up or found waiting → what else has to happen for it: its conversation's details are asked for,
 * somebody is told, the index has its line. Messages are published before the delivery settles, so that none is lost.
 */
import { type ConversationDetails, readDetails } from '../archive/details.ts';
import { archivedRow, failedRow, indexDayOf, type IndexRow, movedRow, waitingRow } from '../archive/index-row.ts';
import { type FailureRecord, type Manifest, recordingOf, type WaitingRecord } from '../archive/manifest.ts';
import type { Notes } from '../archive/notes.ts';
import { ageOf, type Delivery, type Message, type NoticeEvent, type Queue } from '../queue/queue.ts';
import { isArchivedEarly, SEEN_AFTER_MS, SETTLED_AFTER_MS } from './schedule.ts';

export interface FollowUpNeeds {
  readonly queue: Pick<Queue, 'publish'>;
  /** What is kept of conversations is read here, where anything is. */
  readonly notes: Pick<Notes, 'read'>;
  /** Takes lines of the index; `day` where it is another than the line's own. */
  readonly index: { note(row: IndexRow, day?: string): void } | undefined;
  readonly keepsDetails: boolean;
  readonly notifies: boolean;
}

export class FollowUps {
  readonly #needs: FollowUpNeeds;

  constructor(needs: FollowUpNeeds) {
    this.#needs = needs;
  }

  /** @throws Failure `queue-unavailable`: the delivery has to come again */
  async archived(manifest: Manifest, delivery: Delivery, signal: AbortSignal): Promise<void> {
    const { queue, keepsDetails, notifies, index } = this.#needs;
    const { recordingId, conversationId } = recordingOf(manifest);
    const details: Message[] =
      keepsDetails && conversationId !== undefined
        ? [{ kind: 'details', conversationId, afterMs: SETTLED_AFTER_MS, ...traceOf(delivery) }]
        : [];
    const event = { event: 'recording.archived', at: manifest.finishedAt } as const;
    const notices = notifies ? [noticeOf({ ...event, recordingId, conversationId }, delivery)] : [];
    const messages = [...details, ...notices];
    const [known] = await Promise.all([
      isArchivedEarly(manifest) ? undefined : this.#detailsOf(conversationId, signal),
      messages.length > 0 ? queue.publish(messages, signal) : undefined,
    ]);
    if (index === undefined) return;
    const row = archivedRow(manifest, known);
    index.note(row);
    const earlierDay = dayMissingRowsLieOn(delivery);
    // As long as it waited it had a line on the day its event came.
    if (ageOf(delivery) >= SEEN_AFTER_MS && earlierDay !== indexDayOf(row))
      index.note(movedRow({ recordingId, conversationId }, row.at), earlierDay);
  }

  /** Once the failure is on record. @throws Failure `queue-unavailable`: the delivery has to come again */
  async failed(record: FailureRecord, delivery: Delivery, signal: AbortSignal): Promise<void> {
    const { queue, notifies, index } = this.#needs;
    const [recordingId, conversationId] = [record.recordingId ?? undefined, record.conversationId ?? undefined];
    const event = { event: 'recording.failed', at: record.failedAt, code: record.code } as const;
    if (notifies && record.status === 'failed')
      await queue.publish([noticeOf({ ...event, recordingId, conversationId }, delivery)], signal);
    const row = failedRow(record, await this.#detailsOf(conversationId, signal));
    index?.note(row, row.conversationStart === null ? dayMissingRowsLieOn(delivery) : indexDayOf(row));
  }

  /** Once it is on record that it waits. */
  async waits(record: WaitingRecord, delivery: Delivery, signal: AbortSignal): Promise<void> {
    const details = await this.#detailsOf(record.conversationId ?? undefined, signal);
    const row = waitingRow(record, { at: new Date(), details });
    this.#needs.index?.note(row, row.conversationStart === null ? dayMissingRowsLieOn(delivery) : indexDayOf(row));
  }

  async #detailsOf(conversationId: string | undefined, signal: AbortSignal): Promise<ConversationDetails | undefined> {
    const { index, keepsDetails, notes } = this.#needs;
    if (index === undefined || !keepsDetails || conversationId === undefined) return undefined;
    return readDetails(conversationId, notes, signal);
  }
}

/** While nobody knows when it started: the day its event came, which is seldom another one. */
function dayMissingRowsLieOn({ acceptedAt }: Delivery): string {
  return acceptedAt.toISOString().slice(0, 10);
}

interface Occasion {
  readonly event: NoticeEvent;
  readonly at: string;
  readonly recordingId: string | undefined;
  readonly conversationId: string | undefined;
  readonly code?: string;
}

/** That a day is over and still lacks something; `at` is when that was found, ISO 8601, UTC. */
export function dayNotice(day: string, at: string): Message {
  return { kind: 'notice', event: 'day.incomplete', day, at, recordingId: undefined, conversationId: undefined };
}

function noticeOf(occasion: Occasion, delivery: Delivery): Message {
  return { kind: 'notice', ...occasion, ...traceOf(delivery) };
}

function traceOf({ message: { traceparent } }: Delivery): { readonly traceparent?: string } {
  return traceparent === undefined ? {} : { traceparent };
}
