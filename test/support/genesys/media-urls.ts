/** A media file → a URL that looks and behaves like a pre-signed one of Amazon S3, and such a URL → the file. */
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Fault } from './faults.ts';
import type { ScriptedRecording } from './recordings.ts';
import { fileReply, type MediaOptions, type Reply, type SimulatedFile, xmlReply } from './reply.ts';

interface Signed {
  readonly recording: ScriptedRecording;
  readonly file: SimulatedFile;
  readonly expiresAt: number;
}

const S3_CODES: ReadonlyMap<number, string> = new Map([
  [403, 'AccessDenied'],
  [404, 'NoSuchKey'],
  [500, 'InternalError'],
  [503, 'SlowDown'],
]);

export class MediaUrls {
  readonly #key = randomBytes(32);
  readonly #signed = new Map<string, Signed>();
  readonly #lifetimeS: number;

  constructor(lifetimeS: number) {
    this.#lifetimeS = lifetimeS;
  }

  sign(origin: string, recording: ScriptedRecording, file: SimulatedFile): string {
    const { recordingId, conversationId } = recording.definition;
    const subject = `${recordingId}/${file.channel}/${randomUUID()}`;
    const signature = createHmac('sha256', this.#key).update(subject).digest('hex');
    this.#signed.set(signature, { recording, file, expiresAt: Date.now() + this.#lifetimeS * 1_000 });
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const query = new URLSearchParams({
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Date': date,
      'X-Amz-SignedHeaders': 'host',
      'X-Amz-Credential': `SIMULATED/${date.slice(0, 8)}/us-east-1/s3/aws4_request`,
      'X-Amz-Expires': String(Math.ceil(this.#lifetimeS)),
      'X-Amz-Signature': signature,
    });
    return `${origin}/recordings/${conversationId ?? '_'}/${recordingId}-${file.channel}?${query.toString()}`;
  }

  expire(): void {
    for (const [signature, signed] of this.#signed) this.#signed.set(signature, { ...signed, expiresAt: 0 });
  }

  signatures(): readonly string[] {
    return [...this.#signed.keys()];
  }

  /** `media:R:CHANNEL`; undefined where nothing was signed so. */
  routeOf(url: URL): string | undefined {
    const signed = this.#find(url);
    return signed && `media:${signed.recording.definition.recordingId}:${signed.file.channel}`;
  }

  /** As S3 judges: the signature alone counts, and two ways of signing are one too many. */
  answer(asked: { request: IncomingMessage; url: URL; fault: Fault | undefined }, options: MediaOptions): Reply {
    const { request, url, fault } = asked;
    const signed = this.#find(url);
    if (request.headers.authorization !== undefined)
      return xmlReply(400, 'InvalidArgument', 'Only one auth mechanism allowed');
    if (fault?.status !== undefined)
      return xmlReply(
        fault.status,
        fault.code ?? S3_CODES.get(fault.status) ?? 'InternalError',
        'The request was refused.',
      );
    if (signed === undefined || request.method !== 'GET')
      return xmlReply(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match yours.');
    if (Date.now() >= signed.expiresAt) return xmlReply(403, 'AccessDenied', 'Request has expired');
    const { definition, version } = signed.recording;
    const file = definition.files?.find(({ channel }) => channel === signed.file.channel) ?? signed.file;
    return fileReply(file, version, request, options);
  }

  #find(url: URL): Signed | undefined {
    return this.#signed.get(url.searchParams.get('X-Amz-Signature') ?? '');
  }
}
