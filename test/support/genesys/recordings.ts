/** What a test says of a recording → the JSON Genesys Cloud answers about it, state after state. */
import { type SimulatedFile, sizeOf } from './reply.ts';

/**
 * What one question finds, before the recording is ready: `transcoding` and `transcoding-stub` (202 without and with a
 * body), `no-uris` (200 without media yet) concern the recording itself; the others also its metadata.
 */
export type RecordingState =
  | 'transcoding'
  | 'transcoding-stub'
  | 'no-uris'
  | 'unknown-recording'
  | 'uploading'
  | 'restoring'
  | 'archived'
  | 'deleted'
  | 'error'
  | 'future-state';

export interface SimulatedRecording {
  readonly recordingId: string;
  /** Absent: known to the Media API only. */
  readonly conversationId?: string;
  readonly media?: 'audio' | 'screen' | 'chat' | 'email' | 'message' | 'messaging';
  readonly files?: readonly SimulatedFile[];
  /** Answered in this order, one per question; afterwards `fileState`. */
  readonly states?: readonly RecordingState[];
  /** What it settles in; AVAILABLE by default. */
  readonly fileState?: string;
  /** Archived: no media, whatever fileState says. */
  readonly archiveDate?: string;
  readonly durationMs?: number;
  readonly startTime?: string;
  readonly estimatedTranscodeTimeMs?: number;
  /** Overrides or adds fields of both answers. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

const FILE_STATES: Readonly<Record<string, string>> = {
  uploading: 'UPLOADING',
  restoring: 'RESTORING',
  archived: 'ARCHIVED',
  deleted: 'DELETED',
  error: 'ERROR',
  'future-state': 'HIBERNATING',
};

/** A recording with its place in its script. */
export class ScriptedRecording {
  definition: SimulatedRecording;
  version = 1;
  #states: RecordingState[];

  constructor(definition: SimulatedRecording) {
    this.definition = definition;
    this.#states = [...(definition.states ?? [])];
  }

  update(change: Partial<SimulatedRecording>): void {
    this.definition = { ...this.definition, ...change };
    if (change.states !== undefined) this.#states = [...change.states];
    if (change.files !== undefined) this.version += 1;
  }

  /** Metadata shows and uses up file states only; transcoding is nothing it knows of. */
  metadataState(): RecordingState | undefined {
    const [state] = this.#states;
    if (state === undefined || (FILE_STATES[state] === undefined && state !== 'unknown-recording')) return undefined;
    return this.#states.shift();
  }

  recordingState(): RecordingState | undefined {
    return this.#states.shift();
  }

  fileState(state: RecordingState | undefined): string {
    return FILE_STATES[state ?? ''] ?? this.definition.fileState ?? 'AVAILABLE';
  }

  /** Whether nothing stands between this recording and its media. */
  get playable(): boolean {
    const settled = ['AVAILABLE', 'RESTORED'].includes(this.definition.fileState ?? 'AVAILABLE');
    return settled && this.definition.archiveDate === undefined && this.#states.length === 0;
  }
}

/** RecordingMetadata: https://developer.genesys.cloud/devapps/api-explorer (Recording) */
export function metadataBody(recording: ScriptedRecording, state: RecordingState | undefined): Record<string, unknown> {
  const { recordingId, conversationId, media = 'audio', archiveDate, startTime, durationMs } = recording.definition;
  return {
    id: recordingId,
    conversationId,
    path: '',
    ...(startTime === undefined ? {} : { startTime }),
    ...(startTime === undefined || durationMs === undefined
      ? {}
      : { endTime: new Date(Date.parse(startTime) + durationMs).toISOString() }),
    media,
    mediaSubtype: media === 'screen' ? 'Screen' : 'Trunk',
    annotations: [],
    fileState: recording.fileState(state),
    ...archival(archiveDate),
    deleteDate: '2027-08-05T00:00:00.000Z',
    maxAllowedRestorationsForOrg: 10_000,
    remainingRestorationsAllowedForOrg: 10_000,
    ...(archiveDate === undefined ? { sessionId: 'c4a1b7c7-21e4-4e0a-8a0b-4dc1c5c1f0d2' } : {}),
    region: 'us-east-1',
    selfUri: `/api/v2/conversations/${conversationId ?? ''}/recordingmetadata/${recordingId}`,
    ...recording.definition.extra,
  };
}

export type MediaUris = Readonly<
  Record<string, { readonly mediaUri: string; readonly waveformData: readonly number[] }>
>;

/** Recording, with media where `mediaUris` is given. */
export function recordingBody(
  recording: ScriptedRecording,
  state: RecordingState | undefined,
  mediaUris: MediaUris | undefined,
): Record<string, unknown> {
  const { recordingId, conversationId, durationMs, startTime, estimatedTranscodeTimeMs = 1_200 } = recording.definition;
  const { region: _, ...common } = metadataBody(recording, state);
  const sizes = (recording.definition.files ?? []).map((file) => sizeOf(file) ?? 0);
  const playable = mediaUris !== undefined;
  return {
    ...common,
    startTime: playable ? (startTime ?? '2026-08-05T09:12:03.412Z') : null,
    mediaUris: mediaUris ?? {},
    estimatedTranscodeTimeMs,
    ...(playable ? { actualTranscodeTimeMs: 980 } : {}),
    ...(playable && durationMs !== undefined ? { outputDurationMs: durationMs } : {}),
    outputSizeInBytes: playable ? sizes.reduce((sum, size) => sum + size, 0) : 0,
    users: [
      { id: 'a7e2d1f0-55b1-4a35-9a0c-1d2f5c6b7a80', selfUri: '/api/v2/users/a7e2d1f0-55b1-4a35-9a0c-1d2f5c6b7a80' },
    ],
    recordingFileRole: 'CUSTOMER_EXPERIENCE',
    originalRecordingStartTime: '2026-08-05T09:12:03.412Z',
    creationTime: '2026-08-05T09:18:45.000Z',
    selfUri: `/api/v2/conversations/${conversationId ?? ''}/recordings/${recordingId}`,
    ...recording.definition.extra,
  };
}

/** The 202 that has a body: a stub without media. */
export function stubBody(recording: ScriptedRecording): Record<string, unknown> {
  const { recordingId, conversationId, media = 'audio', estimatedTranscodeTimeMs = 4_200 } = recording.definition;
  return {
    id: recordingId,
    conversationId,
    media,
    fileState: 'AVAILABLE',
    estimatedTranscodeTimeMs,
    outputSizeInBytes: 0,
    selfUri: `/api/v2/conversations/${conversationId ?? ''}/recordings/${recordingId}`,
  };
}

function archival(archiveDate: string | undefined): Record<string, unknown> {
  return archiveDate === undefined ? {} : { archiveDate, archiveMedium: 'CLOUDARCHIVE' };
}
