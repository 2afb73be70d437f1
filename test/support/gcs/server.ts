/** A port of the loopback → Cloud Storage's JSON API, as far as the service uses it, with faults to order. */
import assert from 'node:assert/strict';
import { randomUUID, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { auditArchive } from './audit.ts';
import { FaultPlan, type Fault, type Instruction, type Operation } from './faults.ts';
import { verifySignedUrl } from './signed.ts';
import {
  bothNames,
  damage,
  finalResource,
  limited,
  listGenerations,
  listPage,
  orderedNames,
  type OrderedNames,
  parseContentRange,
  parseJson,
  parseMultipart,
  parseResource,
  readBody,
  record,
  resourceOf,
  returned,
  sendError,
  sendJson,
  sendMedia,
  type Context,
  type Range,
} from './wire.ts';
import { GcsError, GcsStore, type Audit, type Permission, type Resource, type StoredObject } from './store.ts';

export interface GcsServerOptions {
  readonly bucket?: string;
  /** Looked at in the instant each object becomes visible; the rules of the archive by default. */
  readonly audits?: readonly Audit[];
  /** When an occupied name is refused: some servers tell at the start of a session, some at its end. */
  readonly preconditionAt?: 'start' | 'end' | 'both';
  /** Whether somebody may replace what lies there is looked at before the condition that nothing does. */
  readonly rightsFirst?: boolean;
  /** Tokens that are let in; any request is, where it is absent. */
  readonly tokens?: Set<string>;
  /** Verifies signed links; without it they are refused. */
  readonly signer?: { readonly email: string; readonly publicKey: KeyObject };
  /** Keeps equal blocks once: for streams larger than memory. */
  readonly sharing?: boolean;
}

export interface Seen {
  readonly operation: Operation;
  readonly name: string;
  readonly headers: IncomingMessage['headers'];
}

interface Session {
  readonly name: string;
  readonly query: URLSearchParams;
  readonly resource: Resource;
  parts: Buffer[];
  size: number;
  finished: StoredObject | undefined;
}

/** Begins the token of the page behind an empty one. */
const AFTER_EMPTY = 'behind.';

const EMPTY: Resource = { contentType: undefined, cacheControl: undefined, metadata: {}, crc32c: undefined };

/** The connection ends here without an answer. */
class Broken extends Error {}

export class GcsServer {
  readonly bucket: string;
  readonly store: GcsStore;
  readonly faults = new FaultPlan();
  /** What is said of the bucket itself; undefined where nobody may see it. */
  settings: Readonly<Record<string, unknown>> | undefined = {
    location: 'EUROPE-WEST3',
    softDeletePolicy: { retentionDurationSeconds: '604800' },
    iamConfiguration: { publicAccessPrevention: 'enforced' },
  };
  /** Permissions that the caller does not have on the bucket. */
  readonly withheld = new Set<string>();
  /** Objects that lie there beside those that are held: made as they are asked for, never changed, never removed. */
  generated: (OrderedNames & { get(name: string): StoredObject | undefined }) | undefined;
  /** As Cloud Storage may page a list: with fewer entries than were asked for, and empty pages that others follow. */
  pages: { readonly most: number; readonly hasEmpty?: boolean } = { most: 1000 };
  /** How far the clock of Cloud Storage goes before ours, ms. */
  clockOffsetMs = 0;
  /** Every request, in order. */
  readonly seen: Seen[] = [];
  /** Sees every request before it is served, and may order a fault for it. */
  gate: ((seen: Seen) => Fault | undefined) | undefined;
  readonly #sessions = new Map<string, Session>();
  readonly #options: GcsServerOptions;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #closing = new AbortController();
  #port = 0;

  constructor(options: GcsServerOptions) {
    this.#options = options;
    this.bucket = options.bucket ?? 'recordings-test';
    this.store = new GcsStore(options.audits ?? [auditArchive({ ebml: true })], options.sharing ?? false);
    this.store.now = () => Date.now() + this.clockOffsetMs;
  }

  /** `port` is kept over a restart. */
  async listen(port = 0): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    assert.ok(typeof address === 'object' && address !== null);
    this.#port = address.port;
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.#port)}`;
  }

  fault(operation: Operation, ...instructions: readonly Instruction[]): void {
    this.faults.plan(operation, instructions);
  }

  deny(permission: Permission, prefix: string, reason?: string): void {
    this.store.deny(permission, prefix, reason);
  }

  /** Places an object as another client would. */
  put(name: string, bytes: Buffer, resource: Partial<Resource> = {}): StoredObject {
    return this.store.appear(name, [bytes], { ...EMPTY, ...resource });
  }

  names(): readonly string[] {
    return [...this.store.objects.keys()].toSorted();
  }

  /** Uploads begun and neither finished nor cancelled. */
  openSessions(): number {
    return [...this.#sessions.values()].filter((session) => session.finished === undefined).length;
  }

  count(operation: Operation): number {
    return this.seen.filter((seen) => seen.operation === operation).length;
  }

  /** Every fault fired, and nothing was ever visible that should not have been. */
  assertSound(): void {
    this.faults.assertUsed();
    assert.deepEqual(this.store.violations, []);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await readBody(request);
      await this.#route(request, response, body);
    } catch (error) {
      if (error instanceof GcsError) sendError(response, error);
      else if (error instanceof Broken || request.destroyed) request.socket.resetAndDestroy();
      else sendError(response, new GcsError(500, 'testServer', String(error)));
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const upload = /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/.exec(url.pathname);
    const object = /^\/(?:download\/)?storage\/v1\/b\/([^/]+)\/o\/([^/]+)(\/compose)?$/.exec(url.pathname);
    const list = /^\/storage\/v1\/b\/([^/]+)\/o$/.exec(url.pathname);
    const context = { request, response, body, query: url.searchParams };
    if (this.clockOffsetMs !== 0) response.setHeader('date', new Date(Date.now() + this.clockOffsetMs).toUTCString());
    const bucket = /^\/storage\/v1\/b\/([^/]+)(\/iam\/testPermissions)?$/.exec(url.pathname);
    if (bucket !== null) return this.#bucket(context, decodeURIComponent(bucket[1] ?? ''), bucket[2] !== undefined);
    if (upload !== null) return this.#upload(context, decodeURIComponent(upload[1] ?? ''));
    if (list !== null) return this.#list(context, decodeURIComponent(list[1] ?? ''));
    if (object === null) return this.#signed(context, url);
    const name = decodeURIComponent(object[2] ?? '');
    this.#authorize(request, decodeURIComponent(object[1] ?? ''));
    if (object[3] !== undefined) return this.#compose(context, name);
    if (request.method === 'DELETE') return this.#delete(context, name);
    if (request.method === 'PATCH') return this.#patch(context, name);
    return context.query.get('alt') === 'media' ? this.#media(context, name) : this.#get(context, name);
  }

  #authorize({ headers }: IncomingMessage, bucket: string): void {
    const { tokens } = this.#options;
    const token = headers.authorization?.replace(/^Bearer /, '') ?? '';
    if (tokens !== undefined && !tokens.has(token)) throw new GcsError(401, 'authError', 'Invalid Credentials');
    if (bucket !== this.bucket) throw new GcsError(404, 'notFound', 'The specified bucket does not exist.');
  }

  /** https://cloud.google.com/storage/docs/json_api/v1/buckets: get, and testIamPermissions */
  #bucket({ request, response, query }: Context, name: string, isTest: boolean): void {
    this.#authorize(request, name);
    const granted = query.getAll('permissions').filter((permission) => !this.withheld.has(permission));
    if (isTest) return sendJson(response, { kind: 'storage#testIamPermissionsResponse', permissions: granted });
    if (this.settings === undefined) throw new GcsError(403, 'forbidden', 'storage.buckets.get is needed.');
    const locks = this.store.objectRetention ? { objectRetention: { mode: 'Enabled' } } : {};
    sendJson(response, { name, ...locks, ...this.settings });
  }

  /** Notes the request and does what its fault says up front; the rest of the fault is for who serves it. */
  async #begin(operation: Operation, name: string, context: Context, uploaded = 0): Promise<Fault | undefined> {
    const seen = { operation, name, headers: context.request.headers };
    this.seen.push(seen);
    const fault = this.gate?.(seen) ?? this.faults.take(operation, name, uploaded);
    if (fault?.kind === 'call') {
      await fault.run();
      return undefined;
    }
    if (fault?.kind === 'return' && fault.afterBytes === undefined) throw returned(fault);
    if (fault?.kind === 'reset' && fault.afterBytes === undefined) throw new Broken();
    return fault;
  }

  async #upload(context: Context, bucket: string): Promise<void> {
    const id = context.query.get('upload_id');
    if (id !== null) return this.#session(context, id);
    this.#authorize(context.request, bucket);
    if (context.query.get('uploadType') === 'resumable') return this.#start(context);
    const name = context.query.get('name') ?? '';
    const { json, media, mediaType } = parseMultipart(context.request, context.body);
    const named = name === '' ? String(json['name']) : name;
    const fault = await this.#begin('insert', named, context);
    if (fault?.kind === 'reset' || fault?.kind === 'return')
      throw fault.kind === 'reset' ? new Broken() : returned(fault);
    if (this.#options.rightsFirst === true) this.store.demandReplacing(named);
    this.store.precondition(named, context.query);
    const resource = parseResource(json, mediaType);
    const object = this.store.appear(named, [damage(media, fault)], resource);
    await this.#answer(context, object, fault);
  }

  async #start(context: Context): Promise<void> {
    const { request, response, body, query } = context;
    const json = body.length === 0 ? {} : parseJson(body);
    const name = query.get('name') ?? String(json['name']);
    const fault = await this.#begin('start', name, context);
    this.store.demand('create', name);
    if (this.#options.preconditionAt !== 'end') this.store.precondition(name, query);
    const id = randomUUID();
    const resource = parseResource(json, request.headers['x-upload-content-type']);
    this.#sessions.set(id, { name, query, resource, parts: [], size: 0, finished: undefined });
    if (fault?.kind === 'lose-answer') {
      // A client cannot cancel what it was never told of.
      this.#sessions.delete(id);
      throw new Broken();
    }
    const location = `${this.url}/upload/storage/v1/b/${this.bucket}/o?uploadType=resumable&upload_id=${id}`;
    response.writeHead(200, { location, 'content-length': '0' }).end();
  }

  async #session(context: Context, id: string): Promise<void> {
    const session = this.#sessions.get(id);
    if (context.request.method === 'DELETE') {
      await this.#begin('cancel', session?.name ?? '', context);
      this.#sessions.delete(id);
      context.response.writeHead(499, { 'content-length': '0' }).end();
      return;
    }
    const range = parseContentRange(context.request.headers['content-range'], context.body.length);
    const operation = range.total !== undefined ? 'final' : range.start === undefined ? 'status' : 'chunk';
    const uploaded = (range.start ?? 0) + context.body.length;
    const fault = await this.#begin(operation, session?.name ?? '', context, uploaded);
    if (fault?.kind === 'expire-session') this.#sessions.delete(id);
    if (session === undefined || fault?.kind === 'expire-session')
      throw new GcsError(410, 'gone', 'The session is gone.');
    if (session.finished !== undefined) return this.#answer(context, session.finished, fault);
    await this.#receive(session, context, { range, fault });
  }

  async #receive(
    session: Session,
    context: Context,
    { range, fault }: { range: Range; fault: Fault | undefined },
  ): Promise<void> {
    if (fault?.kind === 'forget-everything') Object.assign(session, { parts: [], size: 0 });
    else if (range.start !== undefined)
      keep(session, range.start, limited(damage(context.body, fault), range.start, fault));
    if (fault?.kind === 'return') throw returned(fault);
    if (fault?.kind === 'reset') throw new Broken();
    if (fault?.kind === 'stall') {
      await sleep(fault.ms, undefined, { signal: this.#closing.signal }).catch(() => undefined);
      throw new Broken();
    }
    if (this.#options.sharing === true && session.parts.length > 0) {
      const last = session.parts.pop() ?? Buffer.alloc(0);
      session.parts.push(...this.store.share(last));
    }
    if (range.total === undefined || session.size < range.total) {
      const held = session.size === 0 ? {} : { range: `bytes=0-${String(session.size - 1)}` };
      if (fault?.kind === 'lose-answer') throw new Broken();
      context.response.writeHead(308, { ...held, 'content-length': '0' }).end();
      return;
    }
    this.store.precondition(session.name, session.query);
    const object = this.store.appear(session.name, session.parts, finalResource(session.resource, context.request));
    session.finished = object;
    await this.#answer(context, object, fault);
  }

  async #compose(context: Context, name: string): Promise<void> {
    const fault = await this.#begin('compose', name, context);
    const json = parseJson(context.body);
    const sources = Array.isArray(json['sourceObjects']) ? json['sourceObjects'].map(record) : [];
    if (sources.length < 1 || sources.length > 32) throw new GcsError(400, 'invalid', 'Compose takes 1 to 32 objects.');
    if (this.#options.rightsFirst === true) this.store.demandReplacing(name);
    this.store.precondition(name, context.query);
    const parts = sources.flatMap((source) => this.#source(source).parts);
    const object = this.store.appear(name, parts, parseResource(record(json['destination'])), sources.length);
    await this.#answer(context, object, fault);
  }

  #source(source: Readonly<Record<string, unknown>>): StoredObject {
    const name = String(source['name']);
    this.store.demand('read', name);
    const object = this.store.objects.get(name);
    const { generation = object?.generation } = source;
    const wanted = record(source['objectPreconditions'])['ifGenerationMatch'] ?? object?.generation;
    if (object === undefined || String(generation) !== object.generation)
      throw new GcsError(404, 'notFound', `No such object: ${name}`);
    if (wanted !== object.generation) throw new GcsError(412, 'conditionNotMet', 'A source has changed.');
    return object;
  }

  async #get(context: Context, name: string): Promise<void> {
    const fault = await this.#begin('get', name, context);
    this.store.demand('read', name);
    await this.#answer(context, this.#existing(name, context.query), fault);
  }

  async #media(context: Context, name: string): Promise<void> {
    const fault = await this.#begin('media', name, context);
    this.store.demand('read', name);
    await sendMedia(context, this.#existing(name, context.query), fault);
  }

  /** What a browser asks for: path style, `/bucket/object`, or the object alone under the bucket's own host. */
  async #signed(context: Context, url: URL): Promise<void> {
    const path = decodeURIComponent(url.pathname.slice(1));
    const name = path.startsWith(`${this.bucket}/`) ? path.slice(this.bucket.length + 1) : path;
    const fault = await this.#begin('signed', name, context);
    const { signer } = this.#options;
    const refused = signer === undefined ? 'links are not signed for this server' : verifySignedUrl(url, signer);
    if (refused !== undefined) throw new GcsError(403, 'SignatureDoesNotMatch', refused);
    const object = this.#existing(name, new URLSearchParams());
    const asked = {
      type: url.searchParams.get('response-content-type'),
      disposition: url.searchParams.get('response-content-disposition'),
    };
    const headers = {
      ...(asked.type === null ? {} : { 'content-type': asked.type }),
      ...(asked.disposition === null ? {} : { 'content-disposition': asked.disposition }),
    };
    await sendMedia({ ...context, headers }, object, fault);
  }

  async #list(context: Context, bucket: string): Promise<void> {
    this.#authorize(context.request, bucket);
    const query = new URLSearchParams(context.query);
    const prefix = query.get('prefix') ?? '';
    await this.#begin('list', prefix, context);
    this.store.demand('list', prefix);
    if (query.get('softDeleted') === 'true') {
      // https://docs.cloud.google.com/storage/docs/json_api/v1/objects/list: not together with versions
      if (query.get('versions') === 'true') throw new GcsError(400, 'invalid', 'softDeleted excludes versions.');
      if (this.store.softDeleteS === 0)
        throw new GcsError(400, 'invalid', 'Soft delete policy is required to list soft-deleted versions');
      if (this.#sendsEmptyPage(context, query)) return;
      return sendJson(context.response, listGenerations(this.store.softDeleted, query));
    }
    if (this.#sendsEmptyPage(context, query)) return;
    if (query.get('versions') === 'true')
      return sendJson(context.response, listGenerations(this.store.generations(), query));
    const held = orderedNames(this.store.objects.keys());
    const names = this.generated === undefined ? held : bothNames(held, this.generated);
    return sendJson(
      context.response,
      listPage(names, (name) => this.#find(name), query),
    );
  }

  /** In front of each page where there are any; else `query` is for the page itself. */
  #sendsEmptyPage({ response }: Context, query: URLSearchParams): boolean {
    const { most, hasEmpty = false } = this.pages;
    const token = query.get('pageToken') ?? '';
    query.set('maxResults', String(Math.min(most, Number(query.get('maxResults') ?? most))));
    query.set('pageToken', token.replace(AFTER_EMPTY, ''));
    const isEmpty = hasEmpty && !token.startsWith(AFTER_EMPTY);
    if (isEmpty) sendJson(response, { kind: 'storage#objects', nextPageToken: AFTER_EMPTY + token });
    return isEmpty;
  }

  async #delete(context: Context, name: string): Promise<void> {
    const fault = await this.#begin('delete', name, context);
    this.store.demand('delete', name);
    const generation = context.query.get('generation') ?? undefined;
    if (generation === undefined) this.#existing(name, context.query);
    this.store.precondition(name, context.query);
    this.store.remove(name, generation);
    if (fault?.kind === 'lose-answer') throw new Broken();
    context.response.writeHead(204).end();
  }

  async #patch(context: Context, name: string): Promise<void> {
    await this.#begin('patch', name, context);
    const json = parseJson(context.body);
    if (json['retention'] !== undefined) {
      this.store.demand('update', name);
      const isOverriding = context.query.get('overrideUnlockedRetention') === 'true';
      const locked = this.store.lock(this.#existing(name, context.query), json['retention'], isOverriding);
      return sendJson(context.response, resourceOf(locked, this.bucket));
    }
    if (typeof json['temporaryHold'] === 'boolean') {
      this.store.demand('update', name);
      const held = this.store.hold(this.#existing(name, context.query), json['temporaryHold']);
      return sendJson(context.response, resourceOf(held, this.bucket));
    }
    this.store.demand('create', name);
    const { metadata } = parseResource(json);
    sendJson(
      context.response,
      resourceOf(this.store.patch(this.#existing(name, context.query), metadata), this.bucket),
    );
  }

  #existing(name: string, query: URLSearchParams): StoredObject {
    const object = this.#find(name);
    const generation = query.get('generation') ?? object?.generation;
    if (object !== undefined && generation === object.generation) return object;
    throw new GcsError(404, 'notFound', `No such object: ${this.bucket}/${name}`);
  }

  #find(name: string): StoredObject | undefined {
    return this.store.objects.get(name) ?? this.generated?.get(name);
  }

  async #answer(context: Context, object: StoredObject, fault: Fault | undefined): Promise<void> {
    if (fault?.kind === 'lose-answer') throw new Broken();
    const resource = resourceOf(object, this.bucket);
    sendJson(context.response, fault?.kind === 'wrong-crc' ? { ...resource, crc32c: 'AAAAAA==' } : resource);
  }
}

export async function startGcsServer(options: GcsServerOptions = {}): Promise<GcsServer> {
  const server = new GcsServer(options);
  await server.listen();
  return server;
}

/** Bytes that are held already are skipped; a gap is refused. */
function keep(session: Session, start: number, body: Buffer): void {
  if (start > session.size) throw new GcsError(400, 'invalid', 'Bytes before this chunk are missing.');
  const fresh = body.subarray(session.size - start);
  if (fresh.length === 0) return;
  session.parts.push(fresh);
  session.size += fresh.length;
}
