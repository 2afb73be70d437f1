/** A certificate and nothing else (no archive, no network) → what it states, and whatever of it does not hold. */
import type { KeyObject } from 'node:crypto';
import { sha256Hex } from '../archive/leaves.ts';
import { isOf, tryManifest } from '../archive/records.ts';
import { parseSeal, type SealedDay } from '../archive/seals.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { leafHash, rootFrom } from '../merkle.ts';
import { parseId, parseOptionalId } from '../recording.ts';
import { checkSignature, fingerprintOf, parseSigned, publicKeyIn, type Signed, statedIn } from '../statement.ts';

export interface CertificateCheck {
  /** Name and value, for people. */
  readonly stated: readonly (readonly [name: string, value: string])[];
  /** Empty where all of it holds. */
  readonly faults: readonly string[];
  /** SHA-256, hex, of the key that signed it; undefined where there is none. */
  readonly fingerprint: string | undefined;
}

/** @throws Failure `bad-request` where the text is no certificate */
export function checkCertificate(text: string, key?: KeyObject): CertificateCheck {
  const signed = parseSigned(text);
  const fields = signed === undefined ? undefined : statedIn(signed);
  if (signed === undefined || fields?.raw('kind') !== 'certificate' || fields.raw('version') !== 1)
    throw new Failure('bad-request', 'This is no certificate: expected the JSON that archiver certificate wrote.');
  const signer = signed.signature === null ? undefined : publicKeyIn(signed.signature.publicKey);
  const faults = [...signatureFaults(signed, key), ...statementFaults(fields)];
  return { stated: statedLines(fields), faults, fingerprint: signer === undefined ? undefined : fingerprintOf(signer) };
}

function signatureFaults(signed: Signed, key: KeyObject | undefined): readonly string[] {
  switch (checkSignature(signed, key)) {
    case 'valid':
      return [];
    case 'unsigned':
      return ['it is not signed'];
    case 'forged':
      return ['its signature is not that of what it states: it was changed after it was signed'];
    case 'another key':
      return ['it is signed with another key than the one that was given'];
  }
}

function statementFaults(fields: Fields): readonly string[] {
  try {
    return fields.raw('of') === 'day' ? dayFaultsOf(fields) : recordingFaults(fields);
  } catch (thrown) {
    return [`it states something that cannot be read (${Failure.from(thrown).message})`];
  }
}

function dayFaultsOf(fields: Fields): readonly string[] {
  const { faults } = witnessFaults(fields.requireFields('sealed'), fields.requireText('day'));
  return faults;
}

function recordingFaults(fields: Fields): readonly string[] {
  const faults = manifestFaults(fields);
  if (fields.raw('sealed') === null) return faults;
  const witness = fields.requireFields('sealed');
  const { faults: ofWitness, sealed } = witnessFaults(witness, fields.requireText('day'));
  const leaf = leafHash(Buffer.from(fields.requireText('manifestSha256'), 'hex'));
  const isLed = sealed !== undefined && rootFrom(leaf, pathIn(witness.requireFields('leaf'))) === sealed.root;
  return [
    ...faults,
    ...ofWitness,
    ...(isLed ? [] : ['its path does not lead from its manifest to the root that was sealed']),
  ];
}

function pathIn(path: Fields): Parameters<typeof rootFrom>[1] {
  const beside = path.requireArray('beside').map(String);
  return { index: path.requireCount('index'), size: path.requireCount('size'), beside };
}

function manifestFaults(fields: Fields): readonly string[] {
  const text = fields.text('manifest');
  if (text === undefined) return [];
  const manifest = tryManifest(text);
  const recording = {
    recordingId: parseId(fields.raw('recordingId'), 'recordingId'),
    conversationId: parseOptionalId(fields.raw('conversationId'), 'conversationId'),
  };
  return [
    ...(sha256Hex(text) === fields.text('manifestSha256') ? [] : ['its manifest does not have the hash it names']),
    ...(manifest !== undefined && isOf(manifest, recording) ? [] : ['its manifest is that of another recording']),
  ];
}

/** Whether the seal names the day, and the proofs that are quoted. */
function witnessFaults(
  witness: Fields,
  day: string,
): { readonly faults: readonly string[]; readonly sealed: SealedDay | undefined } {
  const statement = statedIn({ statement: witness.requireText('statement'), signature: null });
  if (statement === undefined) return { faults: ['its seal cannot be read'], sealed: undefined };
  const seal = parseSeal(statement, 'its seal');
  const sealed = seal.days.find((one) => one.day === day);
  if (sealed === undefined || seal.n !== witness.requireCount('n'))
    return { faults: [`its seal does not name ${day}`], sealed: undefined };
  const quoted = new Map(
    witness.requireArray('proofs').map((proof) => {
      const { name, text } = proofIn(proof);
      return [name, text];
    }),
  );
  const faults = sealed.proofs
    .filter(({ name, sha256 }) => sha256Hex(quoted.get(name) ?? '') !== sha256)
    .map(({ name }) => `${name} is not the proof that was sealed`);
  return { faults, sealed };
}

function proofIn(value: unknown): { readonly name: string; readonly text: string } {
  const proof = Fields.of(value, 'proofs');
  return { name: proof.requireText('name'), text: proof.requireText('text') };
}

/** In the words of people. */
function statedLines(fields: Fields): CertificateCheck['stated'] {
  const witness = fields.fields('sealed');
  const sealed = sealedIn(witness, fields.text('day') ?? '');
  const manifest = tryManifest(fields.text('manifest'));
  const erasure = fields.fields('erasure');
  const holds = (fields.array('holds') ?? []).map((hold) => Fields.in(hold)?.text('case') ?? '');
  const pairs: readonly (readonly [string, string | undefined])[] = [
    ['made', fields.text('at')],
    ['conversation', fields.text('conversationId')],
    ['recording', fields.text('recordingId')],
    ['day', fields.text('day')],
    ['state', fields.text('state') ?? sealed?.verdict],
    ['recorded', manifest?.recordedAt ?? undefined],
    ['archived', manifest?.finishedAt],
    ['bytes', manifest === undefined ? undefined : String(manifest.webm.sizeBytes)],
    ['SHA-256', manifest?.webm.sha256],
    ['read whole', fields.boolean('isRead') === true ? 'yes, for this certificate' : undefined],
    ['manifest', fields.text('manifestSha256')],
    ['sealed', witness === undefined ? 'not yet' : `seal ${String(witness.number('n'))}`],
    [
      'recordings',
      sealed === undefined ? undefined : `${String(sealed.leaves)}, of which ${String(sealed.erased)} erased`,
    ],
    ['root', sealed?.root],
    ['held by', holds.length === 0 ? undefined : holds.join(', ')],
    ['erased', erasure === undefined ? undefined : erasureText(erasure)],
  ];
  return pairs.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
}

function erasureText(erasure: Fields): string {
  const [begun, ended, by] = ['begunAt', 'endedAt', 'by'].map((name) => erasure.text(name) ?? '');
  const until = erasure.text('until');
  const how = until === undefined ? 'read back: gone' : `can be restored until ${until}`;
  return `begun ${begun ?? ''} by ${by ?? ''}, ended ${ended ?? ''}, ${how}`;
}

function sealedIn(witness: Fields | undefined, day: string): SealedDay | undefined {
  try {
    const fields = statedIn({ statement: witness?.text('statement') ?? '', signature: null });
    return fields === undefined ? undefined : parseSeal(fields, 'seal').days.find((one) => one.day === day);
  } catch {
    return undefined;
  }
}
