/** Recordings of a case → a folder with all that is kept of them: WebM, originals, manifests, details, certificates, and a page that plays them. */
import type { Archive } from '../archive/archive.ts';
import {
  type ConversationDetails,
  detailsName,
  noTranscriptName,
  parseDetails,
  recordingNoteName,
  type RecordingOfConversation,
  transcriptName,
} from '../archive/details.ts';
import { isErased } from '../archive/erased.ts';
import type { Manifest } from '../archive/manifest.ts';

import { parseManifest } from '../archive/records.ts';
import { findSpelledManifest } from '../archive/spelled-manifest.ts';
import type { Audit, AuditEntry } from '../audit/audit.ts';
import { certifyRecording, type CertifyingNeeds } from '../certificate/certify.ts';
import { certificatePage } from '../certificate/page.ts';
import { Failure } from '../failure.ts';
import { canonicalId, canonicalRecording, keyOf, pathOf, type Recording } from '../recording.ts';
import { encodeSigned, signStatement, type Signer } from '../statement.ts';
import type { CasePlace } from './case-folder.ts';

export interface ExportNeeds extends Omit<CertifyingNeeds, 'archive' | 'audit'> {
  readonly archive: Archive;
  readonly audit: Pick<Audit, 'read' | 'record'>;
  readonly folder: CasePlace;
  /** No certificates where there is none. */
  readonly signer: Signer | undefined;
  /** Who exports, and why, as the audit is told. */
  readonly by: Pick<AuditEntry, 'who' | 'way' | 'why' | 'about'>;
}

export interface ExportedRecording {
  readonly recording: Recording;
  readonly manifest: Manifest;
  readonly details: ConversationDetails | undefined;
  /** Names in the folder; undefined where no key signs. */
  readonly certificate: string | undefined;
}

/** What is not in the folder, or not as it should be. */
export interface ExportFinding {
  readonly recording: Recording;
  readonly state: 'missing' | 'erased' | 'damaged';
  readonly reason: string;
}

/** On record before the first byte of it is read. @throws Failure where the archive, its audit or the folder cannot be used */
export async function exportRecording(
  asked: Recording,
  needs: ExportNeeds,
  signal: AbortSignal,
): Promise<ExportedRecording | ExportFinding> {
  const { archive, audit, by, folder } = needs;
  await audit.record({ action: 'exported', ...by, ...canonicalRecording(asked) }, signal);
  // One whose erasure was killed on its way lies there still.
  if (await isErased(asked, archive.notes, signal)) return { recording: asked, state: 'erased', reason: ERASED };
  const found = await findSpelledManifest(asked, archive, signal);
  if (found === undefined) return notThere(asked, archive, signal);
  const { recording, text } = found;
  const place = mediaPlace(recording);
  const manifest = legible(text);
  if (manifest instanceof Failure) return { recording, state: 'damaged', reason: manifest.message };
  const wrong = await copyMedia({ place, manifest }, needs, signal);
  if (wrong !== undefined && (await isErased(asked, archive.notes, signal)))
    return { recording, state: 'erased', reason: ERASED };
  if (wrong !== undefined) return { recording, state: 'damaged', reason: wrong };
  await folder.text(`${place}/manifest.json`, text);
  const details = await copyDetails(recording, needs, signal);
  return { recording, manifest, details, certificate: await copyCertificate(recording, needs, signal) };
}

function mediaPlace(recording: Recording): string {
  return `recordings/${pathOf(recording)}`;
}

function certificatePlace(recording: Recording): string {
  return `certificates/certificate.${keyOf(recording)}`;
}

/** Whether a file of a case is of this recording: its media, what certifies it, or what is kept of it. */
export function isFileOf(recording: Recording, file: string): boolean {
  const { recordingId, conversationId } = recording;
  return (
    file.startsWith(`${mediaPlace(recording)}/`) ||
    file.startsWith(`${certificatePlace(recording)}.`) ||
    (conversationId !== undefined && notesOn({ recordingId, conversationId }).includes(file))
  );
}

const ERASED = 'it was erased on purpose';

async function notThere(recording: Recording, archive: Archive, signal: AbortSignal): Promise<ExportFinding> {
  const told = (await archive.failureOf(recording, signal)) ?? (await archive.waitingOf(recording, signal));
  const reason = told === undefined ? 'it is not archived' : `${told.code}: ${told.reason}`;
  return { recording, state: 'missing', reason };
}

interface Copying {
  readonly place: string;
  readonly manifest: Manifest;
}

/** Each file held against its manifest as it passes; why one is not as stated, and then it is not left there. */
async function copyMedia(
  { place, manifest }: Copying,
  { archive, folder }: ExportNeeds,
  signal: AbortSignal,
): Promise<string | undefined> {
  const webm = { name: 'recording.webm', facts: manifest.webm, open: () => archive.read(manifest, undefined, signal) };
  const originals = manifest.sources.flatMap(({ original, sizeBytes, sha256 }) =>
    original === undefined
      ? []
      : [{ name: original, facts: { sizeBytes, sha256 }, open: () => archive.original(manifest, original, signal) }],
  );
  for (const { name, facts, open } of [webm, ...originals]) {
    const copy = async (): Promise<boolean> =>
      folder.copy(`${place}/${name}`, { source: await open(), stated: facts }, signal);
    const isAsStated = await copy().catch(faultOfOne);
    if (isAsStated instanceof Failure)
      return isAsStated.code === 'not-found' ? `${name} is missing` : `${name}: ${isAsStated.message}`;
    if (!isAsStated) return `${name} is not what its manifest says`;
  }
  return undefined;
}

/** It is not there, or lies there as nothing of ours: that keeps the other recordings from nothing. */
function faultOfOne(thrown: unknown): Failure {
  if (thrown instanceof Failure && (thrown.code === 'not-found' || thrown.code === 'conflict')) return thrown;
  throw thrown;
}

function legible(text: string): Manifest | Failure {
  try {
    return parseManifest(text);
  } catch (thrown) {
    return faultOfOne(thrown);
  }
}

/** What Genesys said of the conversation, and what belongs to this recording; as it is kept. */
async function copyDetails(
  { conversationId, recordingId }: Recording,
  { archive: { notes }, folder }: ExportNeeds,
  signal: AbortSignal,
): Promise<ConversationDetails | undefined> {
  if (conversationId === undefined) return undefined;
  let details: ConversationDetails | undefined;
  for (const name of notesOn({ recordingId, conversationId })) {
    const text = await notes.read(name, signal);
    if (text === undefined) continue;
    if (!folder.files.has(name)) await folder.text(name, text);
    if (name === detailsName(canonicalId(conversationId))) details = withoutAnswer(parseDetails(text));
  }
  return details;
}

/** Names of what may be kept of it and of its conversation, in the archive and in a case: under its ids of today, however it lies there. */
function notesOn(recording: RecordingOfConversation): readonly string[] {
  const conversationId = canonicalId(recording.conversationId);
  const of = { recordingId: canonicalId(recording.recordingId), conversationId };
  return [
    detailsName(conversationId),
    ...[recordingNoteName, transcriptName, noTranscriptName].map((name) => name(of)),
  ];
}

/** What the page shows of them: all that Genesys answered lies in the folder, and need not be held. */
function withoutAnswer(details: ConversationDetails | undefined): ConversationDetails | undefined {
  return details === undefined ? undefined : { ...details, conversation: undefined };
}

async function copyCertificate(
  recording: Recording,
  needs: ExportNeeds,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { folder, signer } = needs;
  if (signer === undefined) return undefined;
  const certificate = await certifyRecording(recording, { ...needs, isRead: true }, signal);
  if ('refused' in certificate) return undefined;
  const signed = await signStatement(certificate, signer, signal);
  const name = certificatePlace(recording);
  const text = encodeSigned(signed);
  await folder.text(`${name}.json`, text);
  await folder.text(`${name}.html`, certificatePage({ file: `certificate.${keyOf(recording)}.json`, text }, signed));
  return `${name}.html`;
}
