/** A batch request → its results: nothing at the first question, everything at the second. */
import { randomUUID } from 'node:crypto';
import { errorReply, notFound } from './errors.ts';
import type { ScriptedRecording } from './recordings.ts';
import { jsonReply, type Reply, type SimulatedFile } from './reply.ts';

export interface BatchDeps {
  readonly recordingsOf: (conversationId: string) => readonly ScriptedRecording[];
  readonly urlOf: (recording: ScriptedRecording, file: SimulatedFile) => string;
}

interface Item {
  readonly conversationId: string;
  readonly recordingId: string | undefined;
}

/** Originals, one result per file; a job is seen only by the client that asked for it. */
export class BatchJobs {
  readonly #deps: BatchDeps;
  readonly #jobs = new Map<string, { readonly clientId: string; readonly items: readonly Item[]; polls: number }>();

  constructor(deps: BatchDeps) {
    this.#deps = deps;
  }

  start(list: unknown, clientId: string): Reply {
    if (!Array.isArray(list) || list.length === 0 || list.length > 100)
      return errorReply(400, 'bad.request', 'batchDownloadRequestList must have 1 to 100 entries.');
    const id = randomUUID();
    this.#jobs.set(id, { clientId, items: list.map(parseItem), polls: 0 });
    return jsonReply(200, { id, selfUri: `/api/v2/recording/batchrequests/${id}` });
  }

  status(jobId: string, clientId: string): Reply {
    const job = this.#jobs.get(jobId);
    if (job === undefined || job.clientId !== clientId) return notFound();
    job.polls += 1;
    const all = job.items.flatMap((item) => this.#resultsOf(item));
    const results = job.polls > 1 ? all : [];
    return jsonReply(200, {
      id: jobId,
      jobId,
      expectedResultCount: all.length,
      resultCount: results.length,
      errorCount: results.filter((result) => 'errorMsg' in result).length,
      status: results.length === all.length ? 'COMPLETED' : 'PROCESSING',
      results,
      selfUri: `/api/v2/recording/batchrequests/${jobId}`,
    });
  }

  #resultsOf({ conversationId, recordingId = '' }: Item): readonly Record<string, string>[] {
    const all = this.#deps.recordingsOf(conversationId);
    const found = all.filter(({ definition }) => recordingId === '' || definition.recordingId === recordingId);
    if (found.length === 0) return [{ conversationId, recordingId, errorMsg: 'recording not found' }];
    return found.flatMap((recording): readonly Record<string, string>[] => {
      const ids = { conversationId, recordingId: recording.definition.recordingId };
      if (!recording.playable) return [{ ...ids, errorMsg: 'recording is archived and cannot be downloaded' }];
      const files = recording.definition.files ?? [];
      return files.map((file) => ({
        ...ids,
        resultUrl: this.#deps.urlOf(recording, file),
        contentType: file.contentType,
      }));
    });
  }
}

function parseItem(entry: unknown): Item {
  const fields = new Map<string, unknown>(Object.entries(typeof entry === 'object' && entry !== null ? entry : {}));
  const recordingId = fields.get('recordingId');
  return {
    conversationId: String(fields.get('conversationId')),
    recordingId: typeof recordingId === 'string' ? recordingId : undefined,
  };
}
