/** What is done beside archiving, as the configuration asks for it: lines of the index, details of conversations, notices. */
import type { Archive } from '../archive/archive.ts';
import { areErased, erasedAmong } from '../archive/erased.ts';
import type { IndexRow } from '../archive/index-row.ts';
import { IndexWriter } from '../archive/index-writer.ts';
import type { DeliveryNeeds } from '../delivery.ts';
import type { Subject } from '../archive/names.ts';
import { FollowUps } from '../delivery/follow-ups.ts';
import type { ConversationSource } from '../genesys/conversations.ts';
import { KeepDetails } from '../delivery/keep-details.ts';
import { layLevels } from '../delivery/lay-levels.ts';
import { Notifier } from '../delivery/notify.ts';
import type { Queue } from '../queue/queue.ts';
import type { Context } from './run.ts';

export type BesideContext = Pick<Context, 'config' | 'log' | 'version' | 'opened'>;

interface BesideNeeds {
  readonly archive: Archive;
  readonly queue: Pick<Queue, 'publish'>;
  readonly conversations: ConversationSource;
  /** Hears of each line of the index as it is made. */
  readonly onRow: ((row: IndexRow) => void) | undefined;
}

export function openBeside(
  context: BesideContext,
  { archive, queue, conversations, onRow = () => undefined }: BesideNeeds,
): Required<Pick<DeliveryNeeds, 'beside' | 'followUps'>> {
  const { config, log, version } = context;
  const { notes } = archive;
  const index = openIndex(context, { archive, onRow });
  // The Media API of a gateway knows recordings alone.
  const keepsDetails = config.keepDetails !== 'no' && config.genesys.recordingApi !== 'media';
  const keepsTranscripts = config.keepDetails === 'transcript';
  const details = new KeepDetails({
    source: conversations,
    archive,
    index,
    keepsTranscripts,
    areErased: (subjects, signal) => areErased(subjects, notes, signal),
    log,
    version,
  });
  const notifier = openNotifier(context);
  return {
    beside: {
      ...(keepsDetails ? { details: (delivery, signal) => details.work(delivery, signal) } : {}),
      levels: (delivery, signal) => layLevels(delivery, archive, signal),
      ...(notifier === undefined ? {} : { notice: (delivery, signal) => notifier.work(delivery, signal) }),
    },
    followUps: new FollowUps({ queue, notes, index, keepsDetails, notifies: notifier !== undefined }),
  };
}

function openIndex(
  { log, opened }: BesideContext,
  { archive, onRow }: { readonly archive: Archive; readonly onRow: (row: IndexRow) => void },
): IndexWriter {
  return opened.use(
    new IndexWriter({
      notes: archive.notes,
      onRow: (_day, row) => onRow(row),
      erasedAmong: async (rows, signal) => {
        const subjects = rows.map((row) => ({ row, ...subjectOfRow(row) }));
        return new Set((await erasedAmong(subjects, archive.notes, signal)).map(({ row }) => row));
      },
      onTrouble: (error) =>
        log.warn('Lines of the index could not be written; they are with the next ones.', { error }),
    }),
  );
}

function subjectOfRow({ recordingId, conversationId }: IndexRow): Subject {
  return { recordingId: recordingId ?? undefined, conversationId: conversationId ?? undefined };
}

function openNotifier({ config, log, version, opened }: BesideContext): Notifier | undefined {
  const { notify, proxies } = config;
  if (notify === undefined) return undefined;
  const notifier = new Notifier({ url: new URL(notify.url), keys: () => notify.keys, proxies, version, log });
  opened.defer(() => notifier.close());
  return notifier;
}
