/** Voicemails that were left in a queue → what the Conversations and the Voicemail API answer about them. */
import { notFound } from './errors.ts';
import { ScriptedRecording } from './recordings.ts';
import { jsonReply, type Reply, type SimulatedFile } from './reply.ts';

export interface SimulatedVoicemail {
  readonly messageId: string;
  readonly conversationId: string;
  readonly file: SimulatedFile;
  /** `complete` by default; until then there is no media. */
  readonly uploadStatus?: 'pending' | 'complete' | 'failed' | 'timeout' | 'none';
  readonly deleted?: boolean;
  /** Agents that it was offered to: each has the callback, and the voicemail in it. */
  readonly offeredTo?: number;
  /** Overrides or adds fields of the message. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

const LEFT_AT = '2026-08-05T09:20:00.000Z';

export class SimulatedVoicemails {
  readonly #voicemails = new Map<string, { definition: SimulatedVoicemail; readonly media: ScriptedRecording }>();

  add(definition: SimulatedVoicemail): void {
    const { messageId, conversationId, file } = definition;
    const media = new ScriptedRecording({ recordingId: `voicemail-${messageId}`, conversationId, files: [file] });
    this.#voicemails.set(messageId, { definition, media });
  }

  has(conversationId: string): boolean {
    return [...this.#voicemails.values()].some(({ definition }) => definition.conversationId === conversationId);
  }

  /** https://developer.genesys.cloud/devapps/api-explorer (Conversations): the call, then a callback per agent. */
  conversation(conversationId: string): Reply {
    const caller = {
      id: 'd5e1a3a0-0f5e-4f0e-8a39-6c2a3b1f7d10',
      purpose: 'customer',
      startTime: LEFT_AT,
      calls: [{ id: 'call-1', state: 'disconnected' }],
    };
    const participants = [...this.#voicemails.values()]
      .filter(({ definition }) => definition.conversationId === conversationId)
      .flatMap(({ definition }) => participantsOf(definition));
    return jsonReply(200, {
      id: conversationId,
      startTime: LEFT_AT,
      participants: [caller, ...participants],
      divisions: [],
      selfUri: `/api/v2/conversations/${conversationId}`,
    });
  }

  message(messageId: string): Reply {
    const voicemail = this.#voicemails.get(messageId);
    if (voicemail === undefined) return notFound();
    const { conversationId, deleted = false, extra } = voicemail.definition;
    return jsonReply(200, {
      id: messageId,
      conversation: { id: conversationId, selfUri: `/api/v2/conversations/${conversationId}` },
      read: false,
      audioRecordingDurationSeconds: 2,
      audioRecordingSizeBytes: 20_000,
      createdDate: LEFT_AT,
      modifiedDate: LEFT_AT,
      deleted,
      callerAddress: 'tel:+15551234567',
      queue: { id: '5b1f7a0c-6d2e-4b5a-9f27-1a2b3c4d5e6f' },
      selfUri: `/api/v2/voicemail/messages/${messageId}`,
      ...extra,
    });
  }

  media(messageId: string, sign: (recording: ScriptedRecording, file: SimulatedFile) => string): Reply {
    const voicemail = this.#voicemails.get(messageId);
    if (voicemail === undefined || voicemail.definition.deleted === true) return notFound();
    const { uploadStatus = 'complete', file } = voicemail.definition;
    if (uploadStatus !== 'complete') return jsonReply(202, undefined);
    return jsonReply(200, { id: messageId, mediaFileUri: sign(voicemail.media, file), waveformData: [0.5] });
  }
}

function participantsOf(definition: SimulatedVoicemail): readonly object[] {
  const { messageId, uploadStatus = 'complete', offeredTo = 1 } = definition;
  const callback = { id: `callback-${messageId}`, state: 'connected', voicemail: { id: messageId, uploadStatus } };
  return Array.from({ length: offeredTo + 1 }, (_, index) => ({
    id: `participant-${messageId}-${String(index)}`,
    purpose: index === 0 ? 'acd' : 'agent',
    startTime: LEFT_AT,
    callbacks: [callback],
  }));
}
