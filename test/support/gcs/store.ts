/** Finished uploads → objects with generations and checksums, and looks at each in the instant it appears. */
import { createHash } from 'node:crypto';
import { crc32c, encodeCrc32c } from '../../../src/archive/checksum.ts';

export interface StoredObject {
  readonly name: string;
  readonly generation: string;
  readonly metageneration: number;
  readonly parts: readonly Buffer[];
  readonly sizeBytes: number;
  readonly crc32c: string;
  readonly contentType: string;
  readonly cacheControl: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly timeCreated: string;
  /** Of how many objects it was composed; undefined where it was uploaded. */
  readonly componentCount: number | undefined;
  /** It can be neither removed nor replaced. */
  readonly temporaryHold: boolean;
  /** Nor before this moment: a retention policy of the bucket, or the object's own. */
  readonly retainUntil?: string | undefined;
  /** Of an old generation: when it was replaced or removed. */
  readonly timeDeleted?: string;
}

/** A generation that was removed and can be restored until `hardDeleteTime`. */
export interface SoftDeleted extends StoredObject {
  readonly softDeleteTime: string;
  readonly hardDeleteTime: string;
}

/** What a client says of an object that is to appear. */
export interface Resource {
  readonly contentType: string | undefined;
  readonly cacheControl: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** What the client claims; a wrong claim is refused. */
  readonly crc32c: string | undefined;
  /** When it appeared; now, unless a test says otherwise. */
  readonly at?: Date;
}

export type Permission = 'create' | 'read' | 'list' | 'delete' | 'update' | 'bucket';

/** Answered as an error document. */
export class GcsError extends Error {
  readonly status: number;
  readonly reason: string;
  /** Seconds of a Retry-After. */
  readonly waitS: string | undefined;

  constructor(status: number, reason: string, message: string, waitS?: string) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.waitS = waitS;
  }
}

/** Sees an object in the instant it becomes visible, before anybody else can; what it returns are violations. */
export type Audit = (object: StoredObject, objects: ReadonlyMap<string, StoredObject>) => readonly string[];

interface Rule {
  readonly permission: Permission;
  readonly prefix: string;
  readonly reason: string;
}

const BLOCK_BYTES = 256 * 1024;

export class GcsStore {
  readonly objects = new Map<string, StoredObject>();
  /** What should never have been seen: objects that broke a rule, and changes to what must not change. */
  readonly violations: string[] = [];
  /** Old generations stay beside the live one. */
  versioning = false;
  /** Seconds for which whatever is removed can be restored; 0: not at all. */
  softDeleteS = 0;
  /** Why what is held may not be removed: documented as `objectUnderActiveHold`, seen as this. */
  heldReason = 'forbidden';
  /** Whether somebody with the right to it may remove recordings. */
  mayErase = false;
  readonly noncurrent: StoredObject[] = [];
  readonly softDeleted: SoftDeleted[] = [];
  readonly #audits: Audit[];
  readonly #rules: Rule[] = [];
  readonly #blocks: Map<string, Buffer> | undefined;
  #generation = BigInt(Date.now()) * 1000n;

  /** `sharing` keeps equal blocks once, so that a long stream of repeating bytes takes no memory. */
  constructor(audits: readonly Audit[], sharing: boolean) {
    this.#audits = [...audits];
    this.#blocks = sharing ? new Map() : undefined;
  }

  deny(permission: Permission, prefix: string, reason = 'forbidden'): void {
    this.#rules.push({ permission, prefix, reason });
  }

  allowAll(): void {
    this.#rules.length = 0;
  }

  demand(permission: Permission, name: string): void {
    const rule = this.#rules.find((rule) => rule.permission === permission && name.startsWith(rule.prefix));
    if (rule === undefined) return;
    throw new GcsError(403, rule.reason, `worker@test does not have storage.objects.${permission} access to ${name}.`);
  }

  /** @throws GcsError 412 */
  precondition(name: string, query: URLSearchParams): void {
    const wanted = query.get('ifGenerationMatch');
    const there = this.objects.get(name)?.generation ?? '0';
    if (wanted !== null && wanted !== there)
      throw new GcsError(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.');
  }

  /** The one door through which objects appear. @throws GcsError 400 where a checksum is not what was claimed */
  appear(name: string, parts: readonly Buffer[], resource: Resource, componentCount?: number): StoredObject {
    this.demand('create', name);
    const before = this.objects.get(name);
    this.demandReplacing(name);
    const crc = encodeCrc32c(parts.reduce((value, part) => crc32c(part, value), 0));
    if (resource.crc32c !== undefined && resource.crc32c !== crc) {
      throw new GcsError(
        400,
        'invalid',
        `Provided CRC32C "${resource.crc32c}" doesn't match calculated CRC32C "${crc}".`,
      );
    }
    this.#generation += 1n;
    const object: StoredObject = {
      name,
      generation: String(this.#generation),
      metageneration: 1,
      parts: this.#shared(parts),
      sizeBytes: parts.reduce((size, part) => size + part.length, 0),
      crc32c: crc,
      contentType: resource.contentType ?? 'application/octet-stream',
      cacheControl: resource.cacheControl,
      metadata: resource.metadata,
      timeCreated: (resource.at ?? new Date()).toISOString(),
      componentCount,
      temporaryHold: false,
    };
    this.#show(object);
    if (before !== undefined) this.#retire(before, 'replaced');
    return object;
  }

  /** @throws GcsError 403 where something lies there that this account may not replace, or nobody may */
  demandReplacing(name: string): void {
    const before = this.objects.get(name);
    if (before === undefined) return;
    this.demand('delete', name);
    this.#demandFree(before);
  }

  /** Neither its bytes nor its generation change. */
  hold(object: StoredObject, temporaryHold: boolean): StoredObject {
    const changed = { ...object, temporaryHold, metageneration: object.metageneration + 1 };
    this.objects.set(object.name, changed);
    return changed;
  }

  /** Nothing under `prefix` may be removed before that moment. */
  retain(prefix: string, until: Date): void {
    for (const [name, object] of this.objects)
      if (name.startsWith(prefix)) this.objects.set(name, { ...object, retainUntil: until.toISOString() });
  }

  patch(object: StoredObject, metadata: Readonly<Record<string, string>>): StoredObject {
    const changed = {
      ...object,
      metadata: { ...object.metadata, ...metadata },
      metageneration: object.metageneration + 1,
    };
    this.#show(changed);
    return changed;
  }

  /** Without a generation the live one, which versioning keeps; with one, that one and for good. */
  remove(name: string, generation?: string): void {
    const live = this.objects.get(name);
    const isLive = generation === undefined || live?.generation === generation;
    const object = isLive ? live : this.noncurrent.find((old) => old.name === name && old.generation === generation);
    if (object === undefined) throw new GcsError(404, 'notFound', `No such object: ${name}`);
    this.#demandFree(object);
    if (isRecording(name) && !this.mayErase) this.violations.push(`${name} was removed`);
    if (isLive) this.objects.delete(name);
    else this.noncurrent.splice(this.noncurrent.indexOf(object), 1);
    this.#retire(object, generation === undefined ? 'replaced' : 'removed');
  }

  /** Every generation there is, by name. */
  generations(): readonly StoredObject[] {
    return [...this.objects.values(), ...this.noncurrent].toSorted((a, b) =>
      a.name < b.name ? -1 : a.name > b.name ? 1 : Number(BigInt(a.generation) - BigInt(b.generation)),
    );
  }

  #demandFree(object: StoredObject): void {
    if (object.temporaryHold)
      throw new GcsError(
        403,
        this.heldReason,
        `Object '${object.name}' is under active Temporary hold and cannot be deleted, overwritten or archived until hold is removed.`,
      );
    if (object.retainUntil !== undefined && Date.parse(object.retainUntil) > Date.now())
      throw new GcsError(403, 'retentionPolicyNotMet', `Object '${object.name}' is subject to a retention policy.`);
  }

  #retire(object: StoredObject, how: 'replaced' | 'removed'): void {
    if (this.versioning && how === 'replaced')
      this.noncurrent.push({ ...object, timeDeleted: new Date().toISOString() });
    else if (this.softDeleteS > 0) {
      const now = Date.now();
      const [softDeleteTime, hardDeleteTime] = [now, now + this.softDeleteS * 1000].map((at) =>
        new Date(at).toISOString(),
      );
      this.softDeleted.push({ ...object, softDeleteTime: softDeleteTime ?? '', hardDeleteTime: hardDeleteTime ?? '' });
    }
  }

  bytes(name: string): Buffer {
    return Buffer.concat(this.objects.get(name)?.parts ?? []);
  }

  #show(object: StoredObject): void {
    if (isRecording(object.name) && this.objects.has(object.name)) this.violations.push(`${object.name} was replaced`);
    this.objects.set(object.name, object);
    for (const audit of this.#audits) {
      this.violations.push(...audit(object, this.objects).map((problem) => `${object.name}: ${problem}`));
    }
  }

  #shared(parts: readonly Buffer[]): readonly Buffer[] {
    const blocks = this.#blocks;
    if (blocks === undefined) return parts;
    return parts.flatMap((part) => {
      return Array.from({ length: Math.ceil(part.length / BLOCK_BYTES) }, (_, index) => {
        const block = part.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
        const key = createHash('sha1').update(block).digest('base64');
        const known = blocks.get(key) ?? Buffer.from(block);
        blocks.set(key, known);
        return known;
      });
    });
  }

  /** Blocks of a session that is still open. */
  share(part: Buffer): readonly Buffer[] {
    return this.#shared([part]);
  }
}

const digests = new WeakMap<readonly Buffer[], Map<string, Buffer>>();

/** Of all its bytes, counted once: they never change, and every answer and every look at it names one. */
export function digestOf({ parts }: StoredObject, algorithm: 'md5' | 'sha256'): Buffer {
  const known = digests.get(parts) ?? new Map<string, Buffer>();
  digests.set(parts, known);
  const digest = known.get(algorithm) ?? hashOf(parts, algorithm);
  known.set(algorithm, digest);
  return digest;
}

function hashOf(parts: readonly Buffer[], algorithm: string): Buffer {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function isRecording(name: string): boolean {
  return /(^|\/)recordings\//.test(name);
}
