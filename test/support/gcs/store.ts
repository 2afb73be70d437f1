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
  /** Nor before this moment, by a retention policy of the bucket. */
  readonly retainUntil?: string | undefined;
  /** Nor before this one, by a retention of its own. */
  readonly retention?: Retention | undefined;
  /** Of an old generation: when it was replaced or removed. */
  readonly timeDeleted?: string;
}

/** https://docs.cloud.google.com/storage/docs/object-lock */
export interface Retention {
  readonly mode: 'Unlocked' | 'Locked';
  readonly retainUntilTime: string;
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
  /** As the client wrote it. */
  readonly retention?: unknown;
  /** When it appeared; now, unless a test says otherwise. */
  readonly at?: Date;
}

export type Permission = 'create' | 'read' | 'list' | 'delete' | 'update' | 'setRetention' | 'bucket';

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
  /** What time it is there, ms. */
  now = (): number => Date.now();
  /** Objects may have a retention of their own. */
  objectRetention = false;
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
    throw new GcsError(
      403,
      rule.reason,
      `worker@test does not have storage.objects.${permission} access to the Google Cloud Storage object. Permission 'storage.objects.${permission}' denied on resource (or it may not exist).`,
    );
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
    const retention = resource.retention === undefined ? undefined : this.#retentionFor(name, resource.retention);
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
      retention,
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
    this.#demandFree(before, this.versioning);
  }

  /** Neither its bytes nor its generation change. */
  hold(object: StoredObject, temporaryHold: boolean): StoredObject {
    const changed = { ...object, temporaryHold, metageneration: object.metageneration + 1 };
    this.objects.set(object.name, changed);
    return changed;
  }

  /** The time has come for whatever has a retention of its own under `prefix`. */
  endLocks(prefix: string): void {
    for (const [name, object] of this.objects)
      if (name.startsWith(prefix) && object.retention !== undefined)
        this.objects.set(name, {
          ...object,
          retention: { ...object.retention, retainUntilTime: new Date(this.now()).toISOString() },
        });
  }

  /** Nothing under `prefix` may be removed before that moment. */
  retain(prefix: string, until: Date): void {
    for (const [name, object] of this.objects)
      if (name.startsWith(prefix)) this.objects.set(name, { ...object, retainUntil: until.toISOString() });
  }

  /**
   * Another retention of its own; null takes it away.
   * @throws GcsError 403 where a locked one would end earlier, or an unlocked one without saying that this is meant
   */
  lock(object: StoredObject, wanted: unknown, isOverriding: boolean): StoredObject {
    const { retention } = object;
    const next = wanted === null ? undefined : this.#retentionFor(object.name, wanted);
    if (retention?.mode === 'Locked' && (next?.mode !== 'Locked' || isEarlier(next, retention)))
      throw new GcsError(
        403,
        'forbidden',
        'The locked object retention cannot be removed. Its retention mode cannot be changed and its retention period cannot be shortened.',
      );
    const isEased = retention !== undefined && (next === undefined || isEarlier(next, retention));
    if ((isEased || (retention !== undefined && next?.mode === 'Locked')) && !isOverriding)
      throw new GcsError(
        403,
        'forbidden',
        'The unlocked object retention cannot be removed and its retention period cannot be shortened without overriding unlocked retention intent and permission.',
      );
    const changed = { ...object, retention: next, metageneration: object.metageneration + 1 };
    this.objects.set(object.name, changed);
    return changed;
  }

  /** @throws GcsError 400 | 403 */
  #retentionFor(name: string, wanted: unknown): Retention {
    this.demand('setRetention', name);
    const refused = (message: string): GcsError => new GcsError(400, 'invalid', message);
    if (!this.objectRetention) throw refused('Object retention is not enabled on the bucket.');
    const { mode, retainUntilTime } = Object.assign({ mode: undefined, retainUntilTime: undefined }, wanted);
    if (mode !== 'Unlocked' && mode !== 'Locked')
      throw refused(`Invalid value for: ${String(mode)} is not a valid value`);
    if (typeof retainUntilTime !== 'string')
      throw refused('Missing retain until time. Both mode and retain until time are required.');
    if (!(Date.parse(retainUntilTime) > this.now())) throw refused('Retain until time cannot be in the past.');
    return { mode, retainUntilTime };
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
    this.#demandFree(object, this.versioning && generation === undefined);
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

  /** A live version may become an old one before its retention ends, but not while it is held. */
  #demandFree(object: StoredObject, becomesOld: boolean): void {
    if (object.temporaryHold)
      throw new GcsError(
        403,
        this.heldReason,
        `Object '${object.name}' is under active Temporary hold and cannot be deleted, overwritten or archived until hold is removed.`,
      );
    const until = retainedUntil(object);
    if (!becomesOld && until !== undefined && Date.parse(until) > this.now())
      throw new GcsError(
        403,
        'retentionPolicyNotMet',
        `Object '${object.name}' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until ${until}`,
      );
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

/** The later of the two: https://docs.cloud.google.com/storage/docs/json_api/v1/objects (`retentionExpirationTime`). */
export function retainedUntil({ retainUntil, retention }: StoredObject): string | undefined {
  const ends = [retainUntil, retention?.retainUntilTime].filter((end) => end !== undefined);
  return ends.toSorted((a, b) => Date.parse(a) - Date.parse(b)).at(-1);
}

function isEarlier(one: Retention, other: Retention): boolean {
  return Date.parse(one.retainUntilTime) < Date.parse(other.retainUntilTime);
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
