/** A stream of unknown length → one object that appears whole and checked once the stream has ended well. */
import { Failure } from '../../failure.ts';
import type { Sink } from '../archive.ts';
import { passing, refusalOf, type ApiAnswer, type BucketClient } from './client.ts';
import { isMissingBucket, isTransient } from './failure.ts';
import type { Sent } from './object.ts';
import { createCrc32c, encodeCrc32c } from '../checksum.ts';
import { arrivedDamaged, confirm, existingObject, insertObject, placementOf, resourceOf } from './insert.ts';
import type { NewObject, Placement } from './insert.ts';
import { statObject } from './metadata.ts';
import type { RetryBudget } from './retry.ts';

/** A multiple of 256 KiB. https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload */
const CHUNK_BYTES = 8 * 256 * 1024;
const CANCEL_TIMEOUT_MS = 5_000;

/** What the server says of a session, or why it says nothing. */
type SessionState =
  | { readonly kind: 'done'; readonly answer: ApiAnswer }
  /** It holds so many bytes from the start. */
  | { readonly kind: 'kept'; readonly bytes: number }
  | { readonly kind: 'unsure'; readonly failure: Failure }
  | { readonly kind: 'gone' }
  /** Another object has the name. */
  | { readonly kind: 'occupied' };

/**
 * One chunk is held in memory until the server has confirmed it; nothing is visible before `finish` has returned, and
 * nothing after `dispose` without it. What fits into one chunk is a single request.
 *
 * Failures of every kind are survived while there is progress now and then ({@link RetryPolicy}); what the server holds
 * is asked for, never assumed. The session URI is a bearer secret: it appears in no message and no fact.
 */
export class ObjectWriter implements Sink, AsyncDisposable {
  readonly #object: NewObject;
  readonly #client: BucketClient;
  readonly #signal: AbortSignal;
  readonly #crc = createCrc32c();
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  /** Bytes of the chunk in use. */
  #filled = 0;
  /** Where the chunk begins in the object: everything before it is held by the server alone. */
  #base = 0;
  #session: string | undefined;
  /** Another object has the name: bytes are only counted, to be compared with it at the end. */
  #occupied = false;

  constructor(object: NewObject, client: BucketClient, signal: AbortSignal) {
    this.#object = object;
    this.#client = client;
    this.#signal = signal;
  }

  /** Size and CRC32C of all bytes written so far. */
  get sent(): Sent {
    return { sizeBytes: this.#base + this.#filled, crc32c: encodeCrc32c(this.#crc.value) };
  }

  /** @throws Failure; the writer is then of no use but to be disposed */
  async write(bytes: Buffer): Promise<void> {
    this.#crc.update(bytes);
    for (let at = 0; at < bytes.length;) {
      // A full chunk waits for the byte after it, so that the last chunk is never empty.
      if (this.#filled === this.#chunk.length) await this.#flush(undefined);
      const copied = bytes.copy(this.#chunk, this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
  }

  /** @throws Failure `archive-unavailable` | `misconfigured` | `incomplete` */
  async finish(): Promise<Placement> {
    const { sent } = this;
    const { name } = this.#object;
    if (this.#base === 0) return this.#insert();
    const answer = await this.#flush(sent.sizeBytes);
    if (answer === undefined) return placementOf(await existingObject(name, this.#client, this.#signal), sent);
    this.#session = undefined;
    return confirm({ name, answer, sent }, this.#client, this.#signal);
  }

  /** Cancels the session, which would otherwise live for a week, invisible. What fails here is left to that week. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#session === undefined) return;
    const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
    await this.#client.exchange({ method: 'DELETE', path: this.#session, body: [] }, signal).catch(() => undefined);
    this.#session = undefined;
  }

  async #insert(): Promise<Placement> {
    const parts = [this.#chunk.subarray(0, this.#filled)];
    return insertObject({ object: this.#object, parts }, this.#client, this.#signal);
  }

  /** Sends the chunk on its way; with `total` it is the last one. Returns the answer that says the object is there. */
  async #flush(total: number | undefined): Promise<ApiAnswer | undefined> {
    const answer = this.#occupied ? undefined : await this.#deliver(total);
    this.#base += this.#filled;
    this.#filled = 0;
    return answer;
  }

  /** undefined: the server holds the chunk, or another object has the name. */
  async #deliver(total: number | undefined): Promise<ApiAnswer | undefined> {
    const budget = this.#client.budget();
    const end = this.#base + this.#filled;
    let held = this.#base;
    let most = held;
    for (;;) {
      const step = await this.#turn(held, total, budget);
      if (step.kind === 'occupied' || (step.kind === 'gone' && (await this.#isThere(total)))) return this.#giveWay();
      if (step.kind === 'done' && total === undefined) throw lost('ended the upload before its end');
      if (step.kind === 'done') return step.answer;
      if (step.kind === 'gone') await this.#forgetSession(budget);
      held = step.kind === 'gone' ? this.#base : step.bytes;
      if (held < this.#base) throw lost('no longer holds what it had confirmed');
      if (held > end) throw lost('claims more bytes than were sent');
      if (held === end && total === undefined) return undefined;
      if (held > most) budget.progress();
      most = Math.max(held, most);
    }
  }

  /** Sends from `held` on; where the outcome is in doubt, or nothing was kept, the server is asked what it holds. */
  async #turn(
    held: number,
    total: number | undefined,
    budget: RetryBudget,
  ): Promise<Exclude<SessionState, { kind: 'unsure' }>> {
    let step = await this.#send(held, total);
    if (step.kind === 'kept' && step.bytes <= held)
      step = { kind: 'unsure', failure: lost('keeps nothing of what is sent') };
    while (step.kind === 'unsure') {
      await budget.again(step.failure, this.#signal);
      step = await this.#put([], `*/${total === undefined ? '*' : String(total)}`);
    }
    return step;
  }

  async #send(held: number, total: number | undefined): Promise<SessionState> {
    this.#session ??= await this.#start();
    const end = this.#base + this.#filled;
    const all = total === undefined ? '*' : String(total);
    if (held === end) return this.#put([], `*/${all}`);
    return this.#put(
      [this.#chunk.subarray(held - this.#base, this.#filled)],
      `${String(held)}-${String(end - 1)}/${all}`,
    );
  }

  /** The checksum goes with whatever may be the last request of the session: the server refuses damaged bytes. */
  async #put(body: readonly Buffer[], range: string): Promise<SessionState> {
    if (this.#session === undefined) return { kind: 'occupied' };
    const last = !range.endsWith('/*');
    const headers = {
      'content-range': `bytes ${range}`,
      ...(last ? { 'x-goog-hash': `crc32c=${this.sent.crc32c}` } : {}),
    };
    const asked = { method: 'PUT', path: this.#session, headers, body } as const;
    const answer = await this.#client.exchange(asked, this.#signal).catch(passing);
    return answer instanceof Failure ? { kind: 'unsure', failure: answer } : this.#read(answer);
  }

  /** @throws Failure for an answer that no repetition would change */
  #read(answer: ApiAnswer): SessionState {
    const refusal = refusalOf(answer);
    if (answer.status === 200 || answer.status === 201) return { kind: 'done', answer };
    if (answer.status === 308) return { kind: 'kept', bytes: keptOf(answer.header('range')) };
    if (answer.status === 412) return { kind: 'occupied' };
    if (isTransient(refusal)) return { kind: 'unsure', failure: this.#client.failure(answer, 'create') };
    if ([404, 410, 499].includes(answer.status) && !isMissingBucket(refusal)) return { kind: 'gone' };
    throw answer.status === 400 ? arrivedDamaged(answer, this.#client) : this.#client.failure(answer, 'create');
  }

  /** The session's URI; undefined where another object has the name. */
  async #start(): Promise<string | undefined> {
    const asked = {
      method: 'POST',
      path: this.#client.uploadPath(this.#object.name, { uploadType: 'resumable', ifGenerationMatch: '0' }),
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: [Buffer.from(JSON.stringify(resourceOf(this.#object, this.#client)))],
    } as const;
    const answer = await this.#client.send(asked, 'create', this.#signal);
    if (answer.status === 412) return undefined;
    const uri = answer.header('location');
    if (answer.status >= 300 || uri === undefined) throw this.#client.failure(answer, 'create');
    return uri;
  }

  /** A finished session may be forgotten by the server, while its object is there. */
  async #isThere(total: number | undefined): Promise<boolean> {
    if (total === undefined) return false;
    return (await statObject(this.#object.name, this.#client, this.#signal)) !== undefined;
  }

  /** While every byte is still at hand, a new session can take its place. */
  async #forgetSession(budget: RetryBudget): Promise<void> {
    this.#session = undefined;
    if (this.#base > 0) throw lost('ended the session');
    await budget.again(lost('ended the session'), this.#signal);
  }

  #giveWay(): undefined {
    this.#occupied = true;
    return undefined;
  }
}

/** How many bytes a `Range: bytes=0-N` of a 308 stands for; none where there is no such header. */
function keptOf(range: string | undefined): number {
  const match = /^bytes=0-(\d{1,15})$/.exec(range ?? '');
  return match?.[1] === undefined ? 0 : Number(match[1]) + 1;
}

/** The bytes before the chunk are held by nobody else: the recording is done again from its source. */
function lost(what: string): Failure {
  return new Failure('archive-unavailable', `Cloud Storage ${what}: the work is done again.`, { retry: 'again' });
}
