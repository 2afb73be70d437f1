/** `archiver certificate`: a signed statement about a day or a recording, and the page of it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  certifyDay,
  certifyErasure,
  certifyRecording,
  type CertifyingNeeds,
  type DayCertificate,
  type NoCertificate,
  type RecordingCertificate,
} from '../certificate/certify.ts';
import { openSigner } from '../certificate/open-signer.ts';
import { certificatePage } from '../certificate/page.ts';
import { writeWhole } from '../export/case-folder.ts';
import { Failure, systemCode } from '../failure.ts';
import { keyOf, type Recording } from '../recording.ts';
import { encodeSigned, fingerprintOf, signStatement, type Signer } from '../statement.ts';
import { readVersion } from '../version.ts';
import { requireRange } from './days.ts';
import { type FlagValues, UsageError } from './flags.ts';
import { openAuditOf } from './on-record.ts';
import { openArchiveOf, openWorkplace } from './open.ts';
import { EXIT, type Exit } from './report.ts';
import { parseRecordingFlag } from './targets.ts';
import type { Task } from './task.ts';

export async function runCertificate(task: Task): Promise<Exit> {
  const { flags, report, signal } = task;
  const subject = subjectAsked(flags);
  const workplace = openWorkplace(task, 'certificate');
  const archive = await openArchiveOf(workplace, task, true);
  const audit = await openAuditOf({ workplace, archive }, task);
  const needs = { archive, audit, service: readVersion(), now: () => new Date() };
  const certificate = await certify(subject, needs, signal);
  if ('refused' in certificate) {
    report.problem(certificate.refused);
    report.summary({ refused: certificate.refused }, EXIT.refused);
    return EXIT.refused;
  }
  // A key is kept where there is an archive: one that is not there yet gets none.
  const signer = requireSigner(await openSigner(workplace.config, signal));
  const files = await writeCertificate(certificate, { signer, folder: flags.text('to') ?? '.' }, signal);
  const key = fingerprintOf(signer.publicKey);
  report.line(`${files.json}\n${files.page}`, { type: 'certificate', ...files, key });
  report.text(`\nSigned with key ${key}. Check it anywhere:  archiver verify --certificate ${files.json}`);
  report.summary({ ...files, key }, EXIT.well);
  return EXIT.well;
}

interface CertifiedSubject {
  /** Of a recording otherwise. */
  readonly day: string | undefined;
  readonly recording: Recording | undefined;
  readonly isErased: boolean;
}

/** @throws UsageError */
function subjectAsked(flags: FlagValues): CertifiedSubject {
  requireRange(flags, new Date());
  if (flags.has('day') === flags.has('recording'))
    throw new UsageError('Say either --day DAY or --recording C/R: a certificate is about one of them.');
  if (flags.has('day') && flags.isOn('erased'))
    throw new UsageError('--erased is about a recording: a day names what of it was erased by itself.');
  const text = flags.text('recording');
  const recording = text === undefined ? undefined : parseRecordingFlag(text);
  return { day: flags.text('day'), recording, isErased: flags.isOn('erased') };
}

/** A bucket is no place for a private key. */
function requireSigner(signer: Signer | undefined): Signer {
  if (signer !== undefined) return signer;
  throw new Failure(
    'misconfigured',
    'No key signs certificates: set CERTIFICATE_KEY (or CERTIFICATE_KEY_FILE) to an Ed25519 key (openssl genpkey -algorithm ed25519), or to a key version of Cloud KMS.',
  );
}

type Certificate = DayCertificate | RecordingCertificate;

async function certify(
  { day = '', recording, isErased }: CertifiedSubject,
  needs: CertifyingNeeds,
  signal: AbortSignal,
): Promise<Certificate | NoCertificate> {
  if (recording === undefined) return certifyDay(day, needs, signal);
  return isErased ? certifyErasure(recording, needs, signal) : certifyRecording(recording, needs, signal);
}

/** To be handed on, as far as the umask lets it. */
const OPEN_MODE = 0o666;

/** What exists of that name is replaced: it is made anew from the archive. */
async function writeCertificate(
  certificate: Certificate,
  { signer, folder }: { readonly signer: Signer; readonly folder: string },
  signal: AbortSignal,
): Promise<{ readonly json: string; readonly page: string }> {
  const signed = await signStatement(certificate, signer, signal);
  const text = encodeSigned(signed);
  const name = `certificate.${nameOfSubject(certificate)}`;
  const [json, page] = [join(folder, `${name}.json`), join(folder, `${name}.html`)];
  try {
    await mkdir(folder, { recursive: true });
    await writeWhole(json, text, OPEN_MODE);
    await writeWhole(page, certificatePage({ file: `${name}.json`, text }, signed), OPEN_MODE);
  } catch (error) {
    throw new UsageError(
      `--to ${folder} cannot be written (${systemCode(error) ?? 'unknown error'}): name another folder.`,
    );
  }
  return { json, page };
}

function nameOfSubject(certificate: Certificate): string {
  if (certificate.of === 'day') return certificate.day;
  const { recordingId, conversationId } = certificate;
  return keyOf({ recordingId, conversationId: conversationId ?? undefined });
}
