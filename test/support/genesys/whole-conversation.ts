/**
 * A conversation as analytics tells of it in full: each participant with its sessions, their segments and metrics, which is most
 * of it. Fields as in the SDK's AnalyticsConversation; about 14 kB for a call that one agent took.
 */

/** Of each session, as voice calls have them. */
const METRICS = [
  'nConnected',
  'nOffered',
  'nTransferred',
  'tAbandon',
  'tAcd',
  'tAcw',
  'tAlert',
  'tAnswered',
  'tConnected',
  'tHandle',
  'tHeld',
  'tIvr',
  'tTalk',
  'tWait',
];
const SEGMENTS = ['system', 'ivr', 'delay', 'alert', 'interact', 'hold', 'wrapup'];
const PURPOSES = ['customer', 'ivr', 'acd', 'agent', 'workflow'];

interface Told {
  readonly conversationId: string;
  readonly start: string;
  readonly end: string;
  /** Of its agent's session. */
  readonly recorded: boolean;
}

export function wholeConversation({ conversationId, start, end, recorded }: Told): unknown {
  return {
    conversationId,
    conversationStart: start,
    conversationEnd: end,
    divisionIds: ['home'],
    originatingDirection: 'inbound',
    mediaStatsMinConversationMos: 4.88,
    mediaStatsMinConversationRFactor: 92.4,
    participants: PURPOSES.map((purpose) => ({
      participantId: `${conversationId}-${purpose}`,
      participantName: `The ${purpose}`,
      purpose,
      sessions: [
        {
          sessionId: `${conversationId}-${purpose}-session`,
          peerId: `${conversationId}-${purpose}-peer`,
          mediaType: 'voice',
          direction: 'inbound',
          ani: 'tel:+4930901820',
          dnis: 'tel:+49891234567',
          provider: 'Edge',
          edgeId: '5e1f2a3b-0c4d-4e5f-8a9b-1c2d3e4f5a6b',
          recording: recorded && purpose === 'agent',
          segments: SEGMENTS.map((segmentType) => ({
            segmentType,
            segmentStart: start,
            segmentEnd: end,
            queueId: '0e1d2c3b-4a59-4687-9b0c-1d2e3f4a5b6c',
            disconnectType: 'peer',
            conference: false,
          })),
          metrics: METRICS.map((name, index) => ({ name, value: 1_000 * index, emitDate: end })),
        },
      ],
    })),
  };
}
