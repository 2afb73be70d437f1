/** Calls as a contact centre has them, with sound that can be told apart by ear and by figures → an archive, its details and its index. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linesOf, partName } from '../../../src/archive/day-index.ts';
import type { Archive } from '../../../src/archive/archive.ts';
import { detailsName, encodeDetails, readDetails } from '../../../src/archive/details.ts';
import { archivedRow, indexDayOf } from '../../../src/archive/index-row.ts';
import type { Manifest } from '../../../src/archive/manifest.ts';
import { encodeLevels, type Levels, levelFactsOf } from '../../../src/levels.ts';
import type { Recording } from '../../../src/recording.ts';
import { manifestOf } from '../archive/content.ts';
import { ffmpeg } from '../media/ffmpeg.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);

/** Of each ten seconds: the customer from 1 to 4, the agent from 3.5 to 7; then nobody. */
export const CUSTOMER = { from: 1, to: 4, hertz: 440 } as const;
export const AGENT = { from: 3.5, to: 7, hertz: 1_000 } as const;
const PERIOD_S = 10;

const made = new Map<string, Promise<Buffer>>();

/** Stereo Opus in WebM, as long as that. */
export function soundOf(seconds: number): Promise<Buffer> {
  return once(`sound ${String(seconds)}`, () => {
    const tone = ({ from, to, hertz }: typeof CUSTOMER | typeof AGENT): string =>
      `0.4*sin(2*PI*${String(hertz)}*t)*between(mod(t\\,${String(PERIOD_S)})\\,${String(from)}\\,${String(to)})`;
    const source = `aevalsrc=${tone(CUSTOMER)}|${tone(AGENT)}:s=48000:d=${String(seconds)}:c=stereo`;
    return filmOf('-f', 'lavfi', '-i', source, '-c:a', 'libopus', '-b:a', '48k');
  });
}

/** A silent picture that counts: its brightness says which second it is. */
export function screenOf(seconds: number): Promise<Buffer> {
  return once(`screen ${String(seconds)}`, () => {
    const source = `color=c=0x334455:s=320x180:r=10:d=${String(seconds)}`;
    return filmOf(
      '-f',
      'lavfi',
      '-i',
      source,
      '-c:v',
      'libvpx-vp9',
      '-deadline',
      'realtime',
      '-cpu-used',
      '8',
      '-g',
      '20',
    );
  });
}

/** Into a file: a pipe could not be given its length and its index afterwards. */
async function filmOf(...words: readonly string[]): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'call-'));
  try {
    const path = join(folder, 'made.webm');
    await ffmpeg(...words, path);
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function once(name: string, make: () => Promise<Buffer>): Promise<Buffer> {
  const known = made.get(name) ?? make();
  made.set(name, known);
  return known;
}

export function levelsOf(seconds: number): Levels {
  const lane = ({ from, to }: typeof CUSTOMER | typeof AGENT, height: number): Levels['channels'][number] => {
    const values = Uint8Array.from({ length: seconds * 10 }, (_, tenth) => {
      const at = (tenth / 10) % PERIOD_S;
      return at >= from && at < to ? height : 0;
    });
    const periods = Array.from({ length: Math.ceil(seconds / PERIOD_S) }, (_, period) => period * PERIOD_S);
    const speech = periods.map((start) => ({
      start: Math.min((start + from) * 10, seconds * 10),
      end: Math.min((start + to) * 10, seconds * 10),
    }));
    return { values, speech: speech.filter(({ start, end }) => end > start) };
  };
  return { channels: [lane(CUSTOMER, 220), lane(AGENT, 200)] };
}

export interface CallFacts {
  readonly agent?: string;
  readonly queue?: string;
  readonly number?: string;
  readonly direction?: 'inbound' | 'outbound';
  readonly division?: string;
  readonly seconds?: number;
  /** Kept of the conversation. */
  readonly isKnown?: boolean;
  readonly startedAt?: string;
  readonly medium?: 'audio' | 'video';
  readonly hasLevels?: boolean;
  /** As its manifest has it, where nobody is to wait for so much sound. */
  readonly durationMs?: number;
  /** Others than what is heard of it. */
  readonly levels?: Levels;
  readonly manifest?: Partial<Manifest>;
}

/** Archived, with its details and its line in the index. */
export async function addCall(
  archive: Archive,
  recording: Recording & { readonly conversationId: string },
  facts: CallFacts = {},
): Promise<Manifest> {
  const {
    seconds = 40,
    startedAt = '2026-11-27T16:58:07.000Z',
    medium = 'audio',
    isKnown = true,
    hasLevels = medium === 'audio',
    levels = levelsOf(seconds),
  } = facts;
  const bytes = await (medium === 'audio' ? soundOf(seconds) : screenOf(seconds));
  const isSound = medium === 'audio';
  const kind = isSound
    ? ({ contentType: 'audio/webm', channels: 2, codecs: ['A_OPUS'] } as const)
    : ({ contentType: 'video/webm', channels: 0, codecs: ['V_VP9'] } as const);
  await using deposit = await archive.begin(recording, signal());
  const manifest = await deposit.commit(bytes, kind.contentType, (stored) =>
    manifestOf(recording, stored, {
      recordedAt: startedAt,
      medium,
      finishedAt: new Date(Date.parse(startedAt) + seconds * 1000 + 73_000).toISOString(),
      webm: { ...stored, ...kind, durationMs: facts.durationMs ?? seconds * 1000 },
      ...(hasLevels ? { levels: levelFactsOf(levels) } : {}),
      ...facts.manifest,
    }),
  );
  if (hasLevels) await archive.putLevels(manifest, encodeLevels(levels), signal());
  if (isKnown) await addDetails(archive, recording.conversationId, facts);
  await addRow(archive, manifest);
  return manifest;
}

export async function addRow(archive: Archive, manifest: Manifest): Promise<void> {
  const details = await readDetails(manifest.conversationId ?? '', archive.notes, signal());
  const row = archivedRow(manifest, details);
  await archive.notes.create(partName(indexDayOf(row), manifest.recordingId), linesOf([row]), signal());
}

export async function addDetails(archive: Archive, conversationId: string, facts: CallFacts): Promise<void> {
  const {
    agent,
    queue = 'Claims',
    number = '+442079460183',
    direction = 'inbound',
    division = 'division-1',
    startedAt = '2026-11-27T16:58:07.000Z',
  } = facts;
  const participants = [
    { purpose: 'customer', sessions: [{ mediaType: 'voice', ani: `tel:${number}`, dnis: `tel:${number}` }] },
    {
      purpose: 'acd',
      participantName: queue,
      sessions: [{ mediaType: 'voice', segments: [{ queueId: `id-of-${queue}` }] }],
    },
    ...(agent === undefined
      ? []
      : [{ purpose: 'agent', participantName: agent, userId: `id-of-${agent}`, sessions: [] }]),
  ];
  const conversation = {
    conversationId,
    conversationStart: startedAt,
    originatingDirection: direction,
    divisionIds: [division],
    participants,
  };
  await archive.notes.create(
    detailsName(conversationId),
    encodeDetails(conversation, { conversationId, at: new Date(startedAt), service: '0' }),
    signal(),
  );
}
