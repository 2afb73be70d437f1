/** What Genesys knows of recordings that are gone, behind its routes of audits, orphans and upload reports. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { errorReply, notFound } from './errors.ts';
import { ScriptedRecording } from './recordings.ts';
import { jsonReply, type Reply, type SimulatedFile } from './reply.ts';

export interface InquiryScript {
  /** Deletions, the oldest first. */
  deletions: readonly {
    readonly recordingId: string;
    readonly conversationId: string;
    readonly eventDate: string;
    readonly user?: string;
    readonly client?: string;
  }[];
  orphans: readonly { readonly id: string; readonly conversationId: string; readonly status: string }[];
  /** Text of each report, by upload status. */
  uploads: Readonly<Record<string, string>>;
  /** Polls before an answer. */
  pendingPolls: number;
  pageSize: number;
}

export class SimulatedInquiries {
  readonly script: InquiryScript = { deletions: [], orphans: [], uploads: {}, pendingPolls: 1, pageSize: 100 };
  readonly #polls = new Map<string, number>();
  readonly #reports = new Map<string, string>();

  async submitAudit(request: IncomingMessage): Promise<Reply> {
    const { interval = '', filters } = JSON.parse(await text(request)) as { interval?: string; filters?: unknown };
    if (!/^\S+\/\S+$/.test(interval) || !Array.isArray(filters))
      return errorReply(400, 'bad.request', 'The interval or the filters are not valid.');
    const id = randomUUID();
    this.#polls.set(id, 0);
    return jsonReply(202, { id, state: 'Queued', interval });
  }

  auditState(id: string): Reply {
    const polls = this.#poll(id);
    if (polls === undefined) return notFound();
    return jsonReply(200, { id, state: polls > this.script.pendingPolls ? 'Succeeded' : 'Running' });
  }

  auditResults(id: string, url: URL): Reply {
    if (!this.#polls.has(id)) return notFound();
    const page = Number(url.searchParams.get('cursor') ?? '0');
    const { deletions, pageSize } = this.script;
    const some = deletions.slice(page * pageSize, (page + 1) * pageSize);
    const isLast = (page + 1) * pageSize >= deletions.length;
    return jsonReply(200, {
      id,
      pageSize,
      ...(isLast ? {} : { cursor: String(page + 1) }),
      entities: some.map(({ recordingId, conversationId, eventDate, user, client }) => ({
        id: randomUUID(),
        action: 'Delete',
        entityType: 'Recording',
        entity: { id: recordingId },
        eventDate,
        context: { conversationId },
        ...(user === undefined ? {} : { user: { id: user } }),
        ...(client === undefined ? {} : { client: { id: client } }),
      })),
    });
  }

  orphans(url: URL): Reply {
    const page = Number(url.searchParams.get('pageNumber') ?? '1');
    const size = Number(url.searchParams.get('pageSize') ?? '25');
    const entities = this.script.orphans.slice((page - 1) * size, page * size);
    return jsonReply(200, {
      entities: entities.map(({ id, conversationId, status }) => ({
        id,
        orphanStatus: status,
        recording: { id, conversationId },
      })),
      pageSize: size,
      pageNumber: page,
      total: this.script.orphans.length,
    });
  }

  async submitReport(request: IncomingMessage): Promise<Reply> {
    const { uploadStatus = '' } = JSON.parse(await text(request)) as { uploadStatus?: string };
    const id = randomUUID();
    this.#polls.set(id, 0);
    this.#reports.set(id, this.script.uploads[uploadStatus] ?? '');
    return jsonReply(202, { id, state: 'InProgress' });
  }

  report(id: string, sign: (recording: ScriptedRecording, file: SimulatedFile) => string): Reply {
    const [polls, report] = [this.#poll(id), this.#reports.get(id)];
    if (polls === undefined || report === undefined) return notFound();
    if (polls <= this.script.pendingPolls) return jsonReply(200, { id, state: 'InProgress' });
    if (report === '') return jsonReply(200, { id, state: 'Completed' });
    const file = { channel: '0', contentType: 'text/csv', bytes: Buffer.from(report) };
    const recording = new ScriptedRecording({ recordingId: `report-${id}`, files: [file] });
    return jsonReply(200, { id, state: 'Completed', signedUrl: sign(recording, file) });
  }

  #poll(id: string): number | undefined {
    const polls = this.#polls.get(id);
    if (polls === undefined) return undefined;
    this.#polls.set(id, polls + 1);
    return polls + 1;
  }
}
